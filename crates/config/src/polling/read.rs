//! From the tree of a `polling.yaml` to [`PollingFile`].

use std::collections::HashSet;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{CronSchedule, PollingFile, PollingSource, Schedule};
use crate::entry;
use crate::ledger::Ledger;
use crate::quantity;
use crate::section::{Section, items, text, texts};
use crate::tree::{Node, Value};

/// Every source that is sound; faults go to the ledger.
pub(crate) fn read(ledger: &mut Ledger, root: &Node) -> PollingFile {
    let mut section = Section::of(ledger, root, "");
    let mut file = PollingFile { sources: Vec::new() };
    match section.take("sources") {
        Some(node) => {
            let mut names = HashSet::new();
            for (index, item) in items(ledger, node, "sources").into_iter().flatten().enumerate() {
                let path = format!("sources[{index}]");
                if let Some(source) = source(ledger, item, &path, &mut names) {
                    file.sources.push(source);
                }
            }
        }
        None if matches!(root.value, Value::Map(_) | Value::Null) => {
            ledger.problem(&root.origin, "", "sources required")
        }
        None => {}
    }
    section.finish(ledger);
    file
}

fn source<'a>(
    ledger: &mut Ledger,
    node: &'a Node,
    path: &str,
    names: &mut HashSet<&'a str>,
) -> Option<PollingSource> {
    let mut section = Section::of(ledger, node, path);
    let missing = "Source definition invalid: Required field name not specified";
    let name = entry::name(ledger, &mut section, node, names, ("source", missing));
    let schedule = schedule(ledger, &mut section, node);
    let meters = entry::filter(ledger, &mut section, node);
    let resources = strings(ledger, &mut section, "resources", "Resources should be a list");
    let discovery = strings(ledger, &mut section, "discovery", "Discovery should be a list");
    section.later(ledger, &["group_id_coordination_expression"]);
    section.finish(ledger);
    Some(PollingSource {
        name: name?.to_owned(),
        schedule: schedule?,
        meters: meters?,
        resources: resources?,
        discovery: discovery?,
    })
}

fn strings(
    ledger: &mut Ledger,
    section: &mut Section<'_>,
    key: &'static str,
    no_list: &str,
) -> Option<Vec<String>> {
    let path = section.path_of(key);
    let Some(node) = section.take(key) else { return Some(Vec::new()) };
    if !matches!(node.value, Value::List(_) | Value::Invalid) {
        ledger.problem(&node.origin, path, no_list);
        return None;
    }
    Some(texts(ledger, node, &path)?.into_iter().map(|(text, _)| text.to_owned()).collect())
}

fn schedule(ledger: &mut Ledger, section: &mut Section<'_>, node: &Node) -> Option<Schedule> {
    let (interval, cron, timezone) =
        (section.take("interval"), section.take("cron"), section.take("timezone"));
    match (interval, cron) {
        (Some(_), Some(cron)) => {
            let message = "a source has either interval or cron, not both";
            ledger.problem(&cron.origin, section.path_of("cron"), message);
            None
        }
        (Some(interval), None) => {
            if let Some(timezone) = timezone {
                let message = "timezone has a meaning beside cron only";
                ledger.problem(&timezone.origin, section.path_of("timezone"), message);
            }
            interval_of(ledger, interval, section.path_of("interval")).map(Schedule::Interval)
        }
        (None, Some(cron)) => cron_of(ledger, section, cron, timezone),
        (None, None) => {
            if matches!(node.value, Value::Map(_)) {
                ledger.problem(&node.origin, section.path_of("interval"), "Missing interval value");
            }
            None
        }
    }
}

fn interval_of(ledger: &mut Ledger, node: &Node, path: String) -> Option<Duration> {
    let duration = match &node.value {
        Value::Int(seconds) if *seconds <= 0 => Ok(Duration::ZERO),
        Value::Int(seconds) => u64::try_from(*seconds).map(Duration::from_secs).map_err(|_| ()),
        Value::String(text) => quantity::duration(text).ok_or(()),
        Value::Invalid => return None,
        _ => Err(()),
    };
    let message = match duration {
        Ok(duration) if duration.is_zero() => "Interval value should > 0",
        Ok(duration) if duration > Duration::from_secs(31_536_000) => {
            "Invalid interval value: more than a year"
        }
        Ok(duration) => return Some(duration),
        Err(()) => "Invalid interval value: expected whole seconds, or a text such as \"10s\"",
    };
    ledger.problem(&node.origin, path, message);
    None
}

fn cron_of(
    ledger: &mut Ledger,
    section: &Section<'_>,
    cron: &Node,
    timezone: Option<&Node>,
) -> Option<Schedule> {
    let expression = text(ledger, cron, &section.path_of("cron"));
    let pattern = expression.and_then(|expression| match expression.parse::<croner::Cron>() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            ledger.problem(&cron.origin, section.path_of("cron"), format!("no cron expression: {error}"));
            None
        }
    });
    let name = match timezone {
        Some(node) => text(ledger, node, &section.path_of("timezone"))?,
        None => "UTC",
    };
    let zone = match (name, timezone) {
        ("UTC", _) => TimeZone::UTC,
        (name, node) => match TimeZone::get(name) {
            Ok(zone) => zone,
            Err(_) => {
                let origin = &node.unwrap_or(cron).origin;
                ledger.problem(origin, section.path_of("timezone"), format!("unknown time zone {name:?}"));
                return None;
            }
        },
    };
    Some(Schedule::Cron(Box::new(CronSchedule {
        expression: expression?.to_owned(),
        timezone: name.to_owned(),
        pattern: pattern?,
        zone,
    })))
}

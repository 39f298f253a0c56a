//! Archive policies as definition files write them (metrics-api §4).

use std::time::Duration;

use nephos_model::Granularity;
use nephos_timeseries::policy::{ItemSpec, expand_methods, resolve_definition};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem};

use crate::ledger::Ledger;
use crate::quantity;
use crate::section::{Section, items, text, texts};
use crate::tree::{Node, Value};

/// One policy; `None` after a fault. `default_methods` are those of a policy that names none.
pub(super) fn read(
    ledger: &mut Ledger,
    node: &Node,
    path: &str,
    default_methods: &[AggregationMethod],
) -> Option<ArchivePolicy> {
    let mut section = Section::of(ledger, node, path);
    let name = required(ledger, &mut section, node, "name").and_then(|name| {
        let path = section.path_of("name");
        text(ledger, name, &path).map(str::to_owned)
    });
    let back_window = match section.take("back_window") {
        None => Some(0),
        Some(node) => whole(ledger, node, &section.path_of("back_window")),
    };
    let methods = match section.take("aggregation_methods") {
        None => Some(default_methods.to_vec()),
        Some(node) => methods(ledger, node, &section.path_of("aggregation_methods"), default_methods),
    };
    let definition = required(ledger, &mut section, node, "definition")
        .and_then(|node| definition(ledger, node, &section.path_of("definition")));
    section.finish(ledger);
    Some(ArchivePolicy { name: name?, back_window: back_window?, definition: definition?, methods: methods? })
}

fn required<'a>(
    ledger: &mut Ledger,
    section: &mut Section<'a>,
    node: &Node,
    key: &'static str,
) -> Option<&'a Node> {
    let found = section.take(key);
    if found.is_none() && matches!(node.value, Value::Map(_)) {
        ledger.problem(&node.origin, section.path_of(key), format!("Required field {key} not specified"));
    }
    found
}

fn whole<T: TryFrom<i64>>(ledger: &mut Ledger, node: &Node, path: &str) -> Option<T> {
    let number = match &node.value {
        Value::Int(number) => T::try_from(*number).ok(),
        Value::Invalid => return None,
        _ => None,
    };
    if number.is_none() {
        ledger.problem(&node.origin, path, "expected a whole number from 0 on");
    }
    number
}

/// Methods with `*`, `+method` and `-method` worked in.
fn methods(
    ledger: &mut Ledger,
    node: &Node,
    path: &str,
    default_methods: &[AggregationMethod],
) -> Option<Vec<AggregationMethod>> {
    let entries = texts(ledger, node, path)?;
    let mut sound = true;
    let mut names = Vec::with_capacity(entries.len());
    for (entry, node) in entries {
        let name = entry.strip_prefix(['+', '-']).unwrap_or(entry);
        if entry != "*"
            && let Err(error) = name.parse::<AggregationMethod>()
        {
            ledger.problem(&node.origin, path, error.to_string());
            sound = false;
        }
        names.push(entry.to_owned());
    }
    if sound { expand_methods(&names, default_methods).ok() } else { None }
}

fn definition(ledger: &mut Ledger, node: &Node, path: &str) -> Option<Vec<PolicyItem>> {
    let nodes = items(ledger, node, path)?;
    let mut specs = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(spec) = spec(ledger, node, &path) else { continue };
        if let Err(error) = PolicyItem::new(spec) {
            ledger.problem(&node.origin, path, error.to_string());
            continue;
        }
        specs.push(spec);
    }
    if specs.len() < nodes.len() {
        return None;
    }
    match resolve_definition(&specs) {
        Ok(definition) => Some(definition),
        Err(error) => {
            ledger.problem(&node.origin, path, error.to_string());
            None
        }
    }
}

fn spec(ledger: &mut Ledger, node: &Node, path: &str) -> Option<ItemSpec> {
    let mut section = Section::of(ledger, node, path);
    let granularity = timespan(ledger, &mut section, "granularity");
    let timespan = timespan(ledger, &mut section, "timespan");
    let points = match section.take("points") {
        Some(node) => whole::<u64>(ledger, node, &section.path_of("points")).map(Some),
        None => Some(None),
    };
    section.finish(ledger);
    let granularity =
        granularity?.and_then(|nanos| Granularity::from_nanos(i64::try_from(nanos.as_nanos()).ok()?));
    Some(ItemSpec { granularity, points: points?, timespan: timespan? })
}

/// A positive length of time of at most 292 years, `Some(None)` if absent, `None` after a fault.
fn timespan(ledger: &mut Ledger, section: &mut Section<'_>, key: &'static str) -> Option<Option<Duration>> {
    const LONGEST: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());
    let Some(node) = section.take(key) else { return Some(None) };
    let duration = match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Value::String(text) => quantity::duration(text),
        Value::Invalid => return None,
        _ => None,
    };
    let message = match duration {
        Some(duration) if duration.is_zero() => "Timespan must be positive",
        Some(duration) if duration > LONGEST => "the timespan is longer than 292 years",
        Some(duration) => return Some(Some(duration)),
        None => "Unable to parse timespan",
    };
    ledger.problem(&node.origin, section.path_of(key), message);
    None
}

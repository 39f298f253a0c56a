//! Archive policies as definition files write them (metrics-api §4).

use std::time::Duration;

use nephos_model::Granularity;
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

fn required<'a>(ledger: &mut Ledger, section: &mut Section<'a>, node: &Node, key: &'static str) -> Option<&'a Node> {
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

/// Methods with `*`, `+method` and `-method` worked in, in the order they are named.
fn methods(
    ledger: &mut Ledger,
    node: &Node,
    path: &str,
    default_methods: &[AggregationMethod],
) -> Option<Vec<AggregationMethod>> {
    let entries = texts(ledger, node, path)?;
    let mut sound = true;
    let (mut plain, mut added, mut removed, mut every) = (Vec::new(), Vec::new(), Vec::new(), false);
    for (entry, node) in &entries {
        let (list, name) = match (entry.strip_prefix('+'), entry.strip_prefix('-')) {
            (Some(name), _) => (&mut added, name),
            (_, Some(name)) => (&mut removed, name),
            _ if *entry == "*" => {
                every = true;
                continue;
            }
            _ => (&mut plain, *entry),
        };
        match name.parse() {
            Ok(method) => list.push(method),
            Err(error) => {
                let error: nephos_timeseries::method::UnknownMethod = error;
                ledger.problem(&node.origin, path, error.to_string());
                sound = false;
            }
        }
    }
    let mut methods: Vec<AggregationMethod> = match (every, plain.is_empty()) {
        (true, _) => AggregationMethod::all().collect(),
        (false, true) => default_methods.to_vec(),
        (false, false) => plain,
    };
    methods.extend(added);
    methods.retain(|method| !removed.contains(method));
    let mut seen = std::collections::HashSet::new();
    methods.retain(|method| seen.insert(*method));
    sound.then_some(methods)
}

fn definition(ledger: &mut Ledger, node: &Node, path: &str) -> Option<Vec<PolicyItem>> {
    let nodes = items(ledger, node, path)?;
    if nodes.is_empty() {
        ledger.problem(&node.origin, path, "at least one granularity is needed");
        return None;
    }
    let mut definition: Vec<PolicyItem> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(item) = item(ledger, node, &path) else { continue };
        if definition.iter().any(|other| other.granularity == item.granularity) {
            let seconds = item.granularity.as_secs_f64();
            let message = format!("More than one archive policy uses granularity `{seconds:?}'");
            ledger.problem(&node.origin, path, message);
            continue;
        }
        definition.push(item);
    }
    (definition.len() == nodes.len()).then_some(definition)
}

fn item(ledger: &mut Ledger, node: &Node, path: &str) -> Option<PolicyItem> {
    let mut section = Section::of(ledger, node, path);
    let granularity = nanos(ledger, &mut section, "granularity")?;
    let timespan = nanos(ledger, &mut section, "timespan")?;
    let points = match section.take("points") {
        Some(node) => Some(whole::<u64>(ledger, node, &section.path_of("points"))?),
        None => None,
    };
    section.finish(ledger);
    match work_out(granularity, points, timespan) {
        Ok(item) => Some(item),
        Err(message) => {
            ledger.problem(&node.origin, path, message);
            None
        }
    }
}

/// The third of granularity, points and timespan from the two that are given.
fn work_out(granularity: Option<i64>, points: Option<u64>, timespan: Option<i64>) -> Result<PolicyItem, &'static str> {
    let positive = |nanos: i64| Granularity::from_nanos(nanos).ok_or("the granularity is too small");
    let whole = |number: i64| u64::try_from(number).map_err(|_| "Timespan must be positive");
    let item = match (granularity, points, timespan) {
        (Some(granularity), None, Some(timespan)) => {
            PolicyItem { granularity: positive(granularity)?, points: Some(whole(timespan / granularity)?) }
        }
        (None, Some(points), Some(timespan)) => {
            let per_point = u64::try_from(timespan).ok().and_then(|span| span.checked_div(points)).unwrap_or(0);
            PolicyItem { granularity: positive(i64::try_from(per_point).unwrap_or(0))?, points: Some(points) }
        }
        (Some(granularity), points, timespan) => {
            let product = points.map(|points| i128::from(points) * i128::from(granularity));
            if product.is_some_and(|product| product > i128::from(i64::MAX)) {
                return Err("the timespan is longer than 292 years");
            }
            if product.zip(timespan).is_some_and(|(product, timespan)| product != i128::from(timespan)) {
                return Err("timespan \u{2260} granularity \u{d7} points");
            }
            PolicyItem { granularity: positive(granularity)?, points }
        }
        _ => return Err("At least two of granularity/points/timespan must be provided"),
    };
    match item.points {
        Some(0) => Err("Calculated number of points is < 0"),
        _ => Ok(item),
    }
}

/// A positive length of time in nanoseconds, `Some(None)` if absent, `None` after a fault.
fn nanos(ledger: &mut Ledger, section: &mut Section<'_>, key: &'static str) -> Option<Option<i64>> {
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
        Some(duration) => match i64::try_from(duration.as_nanos()) {
            Ok(nanos) => return Some(Some(nanos)),
            Err(_) => "the timespan is longer than 292 years",
        },
        None => "Unable to parse timespan",
    };
    ledger.problem(&node.origin, section.path_of(key), message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_one_of_three_is_worked_out() {
        const S: i64 = 1_000_000_000;
        let item = |nanos: i64, points: Option<u64>| {
            Ok(PolicyItem { granularity: Granularity::from_nanos(nanos).unwrap(), points })
        };
        for (granularity, points, timespan, expected) in [
            (Some(60 * S), Some(10), None, item(60 * S, Some(10))),
            (Some(7 * S), None, Some(3600 * S), item(7 * S, Some(514))),
            (None, Some(1000), Some(3600 * S), item(3_600_000_000, Some(1000))),
            (Some(S), Some(60), Some(60 * S), item(S, Some(60))),
            (Some(S), None, None, item(S, None)),
            (Some(S), Some(60), Some(61 * S), Err("timespan ≠ granularity × points")),
            (None, None, Some(S), Err("At least two of granularity/points/timespan must be provided")),
            (None, Some(5), None, Err("At least two of granularity/points/timespan must be provided")),
            (Some(10 * S), None, Some(S), Err("Calculated number of points is < 0")),
            (Some(S), Some(0), None, Err("Calculated number of points is < 0")),
            (None, Some(0), Some(S), Err("the granularity is too small")),
            (Some(S), Some(u64::MAX), None, Err("the timespan is longer than 292 years")),
        ] {
            assert_eq!(work_out(granularity, points, timespan), expected, "{granularity:?} {points:?} {timespan:?}");
        }
    }
}

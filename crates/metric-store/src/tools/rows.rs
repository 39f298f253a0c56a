//! The rows of an export: CSV with one header line, each row of the kind that its first cell tells.
//!
//! ```text
//! kind,id,granularity,time,method,value
//! policy,0,,,,"{""name"":…}"                        an archive policy; metrics name it by its number
//! metric,<uuid>,,,,"{""policy"":0,""window"":…}"    a metric; what follows is of it
//! bucket,<uuid>,60,<start>,mean,0.5                 an aggregate; granularity in seconds
//! raw,<uuid>,,<time>,,0.5                           a measure that late ones may still join
//! end,,,,,2                                         the last line: how many metrics there were
//! ```
//! Times are ISO 8601 in UTC with nanoseconds; values are the shortest decimals that read back exactly, `inf`, `-inf`
//! and `NaN`. A NaN of other bits has them behind a colon, in hexadecimal.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use nephos_model::{Granularity, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem};
use serde::{Deserialize, Serialize};

use crate::head::{Erased, Former, Past};

/// The first line.
pub(super) const HEADER: &str = "kind,id,granularity,time,method,value";
const FIELDS: [&str; 6] = ["kind", "id", "granularity", "time", "method", "value"];
const BILLION: i64 = 1_000_000_000;

/// What is wrong with a line, and in which field of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) field: &'static str,
    pub(super) reason: String,
}

/// Names the field of a fault.
pub(super) fn fault(field: &'static str, reason: impl Into<String>) -> Fault {
    Fault { field, reason: reason.into() }
}

/// What a metric's state is made of, but for its raw measures.
#[derive(Debug)]
pub(super) struct State {
    pub(super) policy: u64,
    pub(super) window: Timestamp,
    pub(super) sealed: Timestamp,
    pub(super) low_water: Vec<(Granularity, Timestamp)>,
    pub(super) past: Option<Box<Past>>,
}

/// One line.
#[derive(Debug)]
pub(super) enum Row {
    Policy(u64, Arc<ArchivePolicy>),
    Metric(MetricId, State),
    Bucket(MetricId, Granularity, Timestamp, AggregationMethod, f64),
    Raw(MetricId, Timestamp, f64),
    End(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyText {
    name: String,
    back_window: u32,
    definition: Vec<ItemText>,
    aggregation_methods: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemText {
    granularity: String,
    points: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateText {
    policy: u64,
    window: String,
    sealed: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    low_water: Vec<MarkText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<PastText>,
}

/// What was done to a metric beside appending.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PastText {
    newest: String,
    /// Start, stop and window of each range.
    erased: Vec<[String; 3]>,
    former: Vec<FormerText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerText {
    policy: PolicyText,
    until: String,
    lasting: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkText {
    granularity: String,
    time: String,
}

pub(super) fn time_text(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
    format!("{at:.9}")
}

fn read_time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

pub(super) fn granularity_text(granularity: Granularity) -> String {
    let nanos = granularity.as_nanos();
    match nanos % BILLION {
        0 => (nanos / BILLION).to_string(),
        part => format!("{}.{part:09}", nanos / BILLION).trim_end_matches('0').to_owned(),
    }
}

fn read_granularity(text: &str) -> Option<Granularity> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.to_owned());
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = digits(whole)?.parse().ok()?;
    let part: i64 = if part.len() > 9 { None } else { format!("{:0<9}", digits(part)?).parse().ok() }?;
    Granularity::from_nanos(whole.checked_mul(BILLION)?.checked_add(part)?)
}

pub(super) fn put_value(line: &mut String, value: f64) {
    // Writing to a string does not fail.
    let _written = if value.is_nan() && value.to_bits() != f64::NAN.to_bits() {
        write!(line, "NaN:{:016x}", value.to_bits())
    } else {
        write!(line, "{value:?}")
    };
}

fn read_value(text: &str) -> Option<f64> {
    match text.split_once(':') {
        None if text == "NaN" => Some(f64::NAN),
        None => text.parse().ok(),
        Some(("NaN", bits)) => {
            u64::from_str_radix(bits, 16).ok().map(f64::from_bits).filter(|value| value.is_nan())
        }
        Some(_) => None,
    }
}

fn json_cell<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn policy_text(policy: &ArchivePolicy) -> PolicyText {
    let item =
        |item: &PolicyItem| ItemText { granularity: granularity_text(item.granularity), points: item.points };
    PolicyText {
        name: policy.name.clone(),
        back_window: policy.back_window,
        definition: policy.definition.iter().map(item).collect(),
        aggregation_methods: policy.methods.iter().map(ToString::to_string).collect(),
    }
}

/// The row of a policy.
pub(super) fn policy_row(number: u64, policy: &ArchivePolicy) -> String {
    format!("policy,{number},,,,{}\n", json_cell(&policy_text(policy)))
}

fn past_text(past: &Past) -> PastText {
    let range = |range: &Erased| [range.start, range.stop, range.window].map(time_text);
    let former = |former: &Former| FormerText {
        policy: policy_text(&former.policy),
        until: time_text(former.until),
        lasting: time_text(former.lasting),
    };
    PastText {
        newest: time_text(past.newest),
        erased: past.erased.iter().map(range).collect(),
        former: past.former.iter().map(former).collect(),
    }
}

/// The row of a metric.
pub(super) fn metric_row(metric: MetricId, state: &State) -> String {
    let mark = |(granularity, at): &(Granularity, Timestamp)| MarkText {
        granularity: granularity_text(*granularity),
        time: time_text(*at),
    };
    let text = StateText {
        policy: state.policy,
        window: time_text(state.window),
        sealed: time_text(state.sealed),
        low_water: state.low_water.iter().map(mark).collect(),
        past: state.past.as_deref().map(past_text),
    };
    format!("metric,{metric},,,,{}\n", json_cell(&text))
}

/// Reads a line.
pub(super) fn read(line: &str) -> Result<Row, Fault> {
    let [kind, id, granularity, time, method, value] = &cells(line)?;
    let metric = || id.parse::<MetricId>().map_err(|_| fault("id", "no UUID of a metric"));
    let number = |field, text: &str| text.parse::<u64>().map_err(|_| fault(field, "no whole number"));
    let time_of = || read_time(time).ok_or_else(|| fault("time", "no ISO 8601 time with its zone"));
    let value_of = || read_value(value).ok_or_else(|| fault("value", "no number"));
    let empty =
        |fields: &[(&'static str, &Cow<'_, str>)]| match fields.iter().find(|(_, cell)| !cell.is_empty()) {
            Some((field, _)) => Err(fault(field, format!("a row of kind {kind} has none"))),
            None => Ok(()),
        };
    let (granularity_cell, time_cell) = (("granularity", granularity), ("time", time));
    let method_cell = ("method", method);
    match kind.as_ref() {
        "policy" => {
            empty(&[granularity_cell, time_cell, method_cell])?;
            Ok(Row::Policy(number("id", id)?, Arc::new(read_policy(value)?)))
        }
        "metric" => {
            empty(&[granularity_cell, time_cell, method_cell])?;
            Ok(Row::Metric(metric()?, read_state(value)?))
        }
        "bucket" => {
            let granularity =
                read_granularity(granularity).ok_or_else(|| fault("granularity", "no positive seconds"))?;
            let method = method.parse().map_err(|_| fault("method", "unknown aggregation method"))?;
            Ok(Row::Bucket(metric()?, granularity, time_of()?, method, value_of()?))
        }
        "raw" => {
            empty(&[granularity_cell, method_cell])?;
            Ok(Row::Raw(metric()?, time_of()?, value_of()?))
        }
        "end" => {
            empty(&[("id", id), granularity_cell, time_cell, method_cell])?;
            Ok(Row::End(number("value", value)?))
        }
        _ => Err(fault("kind", "one of policy, metric, bucket, raw, end is expected")),
    }
}

fn read_policy(text: &str) -> Result<ArchivePolicy, Fault> {
    let bad = |reason: String| fault("value", reason);
    policy_of(serde_json::from_str(text).map_err(|error| bad(error.to_string()))?)
}

fn policy_of(text: PolicyText) -> Result<ArchivePolicy, Fault> {
    let bad = |reason: String| fault("value", reason);
    let mut definition: Vec<PolicyItem> = Vec::with_capacity(text.definition.len());
    for item in &text.definition {
        let granularity = read_granularity(&item.granularity).ok_or_else(|| {
            bad(format!("granularity {:?} is no positive number of seconds", item.granularity))
        })?;
        if definition.iter().any(|other| other.granularity == granularity) {
            return Err(bad(format!("granularity {} is there twice", item.granularity)));
        }
        definition.push(PolicyItem { granularity, points: item.points });
    }
    let methods = text.aggregation_methods.iter().map(|name| name.parse());
    let methods = methods.collect::<Result<_, nephos_timeseries::UnknownMethod>>();
    let methods = methods.map_err(|error| bad(error.to_string()))?;
    Ok(ArchivePolicy { name: text.name, back_window: text.back_window, definition, methods })
}

fn read_state(text: &str) -> Result<State, Fault> {
    let bad = |reason: String| fault("value", reason);
    let text: StateText = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    let time = |text: &str| read_time(text).ok_or_else(|| bad(format!("{text:?} is no ISO 8601 time")));
    let mut low_water = Vec::with_capacity(text.low_water.len());
    for mark in &text.low_water {
        let granularity = read_granularity(&mark.granularity).ok_or_else(|| {
            bad(format!("granularity {:?} is no positive number of seconds", mark.granularity))
        })?;
        low_water.push((granularity, time(&mark.time)?));
    }
    let (window, sealed) = (time(&text.window)?, time(&text.sealed)?);
    if sealed > window {
        return Err(bad("sealed is after window".to_owned()));
    }
    let past = text.past.map(|past| read_past(past, &time)).transpose()?.map(Box::new);
    Ok(State { policy: text.policy, window, sealed, low_water, past })
}

fn read_past(text: PastText, time: &dyn Fn(&str) -> Result<Timestamp, Fault>) -> Result<Past, Fault> {
    let range = |[start, stop, window]: [String; 3]| {
        Ok(Erased { start: time(&start)?, stop: time(&stop)?, window: time(&window)? })
    };
    let former = |text: FormerText| {
        let (until, lasting) = (time(&text.until)?, time(&text.lasting)?);
        Ok(Former { policy: Arc::new(policy_of(text.policy)?), until, lasting })
    };
    Ok(Past {
        newest: time(&text.newest)?,
        erased: text.erased.into_iter().map(range).collect::<Result<_, Fault>>()?,
        former: text.former.into_iter().map(former).collect::<Result<_, Fault>>()?,
    })
}

/// The six cells of a line; one in quotes may hold commas and doubled quotes.
fn cells(line: &str) -> Result<[Cow<'_, str>; 6], Fault> {
    let mut cells: [Cow<'_, str>; 6] = Default::default();
    let mut rest = Some(line);
    for (cell, field) in cells.iter_mut().zip(FIELDS) {
        let Some(text) = rest else { return Err(fault(field, "the line ends before it")) };
        (*cell, rest) = match text.strip_prefix('"') {
            None => match text.split_once(',') {
                Some((cell, after)) => (Cow::Borrowed(cell), Some(after)),
                None => (Cow::Borrowed(text), None),
            },
            Some(quoted) => {
                let (cell, after) = unquote(quoted).ok_or_else(|| fault(field, "a quote is not closed"))?;
                let after = match after.strip_prefix(',') {
                    None if !after.is_empty() => return Err(fault(field, "text behind the closing quote")),
                    after => after,
                };
                (Cow::Owned(cell), after)
            }
        };
    }
    match rest {
        Some(_) => Err(fault("value", "the line has more cells behind it")),
        None => Ok(cells),
    }
}

/// What stands before the closing quote, and what behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        cell.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Some((cell, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_fault_names_its_field() {
        let id = "6f0c2b57-9d61-4f5a-a5b5-2f5a3c1d7e90";
        for (line, field, words) in [
            ("row,1,,,,".to_owned(), "kind", "expected"),
            ("bucket,1,,,,".to_owned(), "granularity", "seconds"),
            (format!("bucket,{id},60,now,mean,1"), "time", "ISO 8601"),
            (format!("bucket,{id},60,2026-01-01T00:00:00Z,best,1"), "method", "unknown"),
            (format!("bucket,{id},60,2026-01-01T00:00:00Z,mean,one"), "value", "no number"),
            (format!("raw,{id},60,2026-01-01T00:00:00Z,,1"), "granularity", "has none"),
            ("raw,x,,2026-01-01T00:00:00Z,,1".to_owned(), "id", "UUID"),
            ("end,,,,".to_owned(), "value", "ends before"),
            ("end,,,,,1,".to_owned(), "value", "more cells"),
            ("policy,0,,,,\"{\"\"name".to_owned(), "value", "not closed"),
            ("policy,0,,,,{}".to_owned(), "value", "missing field"),
        ] {
            let found = read(&line).unwrap_err();
            assert_eq!(found.field, field, "{line}: {found:?}");
            assert!(found.reason.contains(words), "{line}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn times_widths_and_values_come_back_exactly(
            nanos in any::<i64>(), width in 1..=i64::MAX, bits in any::<u64>(),
        ) {
            let at = Timestamp::from_nanos(nanos);
            prop_assert_eq!(read_time(&time_text(at)), Some(at));
            let granularity = Granularity::from_nanos(width).unwrap();
            prop_assert_eq!(read_granularity(&granularity_text(granularity)), Some(granularity));
            for bits in [bits, bits | f64::INFINITY.to_bits()] {
                let mut text = String::new();
                put_value(&mut text, f64::from_bits(bits));
                prop_assert_eq!(read_value(&text).map(f64::to_bits), Some(bits), "{}", text);
            }
        }

        #[test]
        fn any_name_of_a_policy_survives(name in any::<String>()) {
            let policy = ArchivePolicy { name, back_window: 0, definition: Vec::new(), methods: Vec::new() };
            let row = policy_row(7, &policy);
            let line = row.strip_suffix('\n').unwrap();
            prop_assert!(!line.contains('\n'));
            match read(line) {
                Ok(Row::Policy(7, read)) => prop_assert_eq!(read.as_ref(), &policy),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}

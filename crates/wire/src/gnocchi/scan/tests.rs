use proptest::prelude::*;

use super::*;
use crate::gnocchi::measures::{Entries, MaybeObject, NamedMeasures, PostedMeasures, read_body};
use crate::gnocchi::parse_uuid;

const NOW: Timestamp = Timestamp::from_secs(1_500_000_000);

/// Times and the bits of values: NaN must compare.
type Bits = Vec<(Timestamp, u64)>;

fn bits(columns: &Columns, from: usize, to: usize) -> Bits {
    let pairs = columns.timestamps[from..to].iter().zip(&columns.values[from..to]);
    pairs.map(|(timestamp, value)| (*timestamp, value.to_bits())).collect()
}

fn checked(posted: &PostedMeasures<'_>) -> Result<Bits, String> {
    let measures = posted.check(NOW).map_err(|error| error.to_string())?;
    Ok(measures.iter().map(|measure| (measure.timestamp, measure.value.to_bits())).collect())
}

fn slow_list(body: &[u8]) -> Result<Bits, String> {
    let mut spare = None;
    let posted: PostedMeasures<'_> = read_body(body, &mut spare).map_err(|error| error.to_string())?;
    checked(&posted)
}

fn fast_list(body: &[u8]) -> Option<Bits> {
    list(body).map(|columns| bits(&columns, 0, columns.values.len()))
}

fn slow_by_metric(body: &[u8]) -> Result<Vec<(Uuid, Bits)>, String> {
    let mut spare = None;
    let posted: MaybeObject<Entries<'_, PostedMeasures<'_>>> =
        read_body(body, &mut spare).map_err(|error| error.to_string())?;
    let entries = posted.0.ok_or("no object")?.0;
    entries.iter().map(|(key, posted)| Ok((parse_uuid(key).ok_or("no id")?, checked(posted)?))).collect()
}

fn fast_by_metric(body: &[u8]) -> Option<Vec<(Uuid, Bits)>> {
    by_metric(body).as_ref().map(runs_of)
}

fn runs_of(scanned: &ByMetric) -> Vec<(Uuid, Bits)> {
    assert_eq!(scanned.ids.len(), scanned.ends.len());
    assert_eq!(scanned.columns.values.len(), scanned.ends.last().copied().unwrap_or(0));
    let mut start = 0;
    let runs = scanned.ids.iter().zip(&scanned.ends).map(|(id, end)| {
        let run = bits(&scanned.columns, start, *end);
        start = *end;
        (*id, run)
    });
    runs.collect()
}

type Run = (String, String, Option<String>, Option<String>, Bits);

fn slow_by_resource(body: &[u8]) -> Result<(usize, Vec<Run>), String> {
    let mut spare = None;
    let posted: MaybeObject<Entries<'_, MaybeObject<Entries<'_, NamedMeasures<'_>>>>> =
        read_body(body, &mut spare).map_err(|error| error.to_string())?;
    let entries = posted.0.ok_or("no object")?.0;
    let mut runs = Vec::new();
    for (resource, metrics) in &entries {
        for (name, named) in &metrics.0.as_ref().ok_or("no object")?.0 {
            if named.unknown_key.is_some() {
                return Err("unknown key".to_owned());
            }
            let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
            runs.push((
                resource.to_string(),
                name.to_string(),
                text(&named.archive_policy_name),
                text(&named.unit),
                checked(&named.measures)?,
            ));
        }
    }
    Ok((entries.len(), runs))
}

fn fast_by_resource(body: &[u8]) -> Option<(usize, Vec<Run>)> {
    let scanned = by_resource(body)?;
    let (mut first, mut start) = (0, 0);
    let mut runs = Vec::new();
    for (resource, last) in &scanned.resources {
        for named in &scanned.metrics[first..*last] {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let (policy, unit) = (owned(named.archive_policy_name), owned(named.unit));
            let measures = bits(&scanned.columns, start, named.end);
            runs.push(((*resource).to_owned(), named.name.to_owned(), policy, unit, measures));
            start = named.end;
        }
        first = *last;
    }
    Some((scanned.resources.len(), runs))
}

const ID: &str = "a9c729cc-d1b0-5e6b-b5ba-8b5a7f45f1fc";

#[test]
fn what_clients_send_is_scanned() {
    for item in [
        r#"{"timestamp":"2026-11-22T05:00:01.250","value":60}"#,
        r#"{"timestamp": "2015-03-06T14:33:57", "value": 43.1}"#,
        r#"{"timestamp": "2015-03-06 14:33:57Z", "value": -0}"#,
        r#"{"value" : 1e3 , "timestamp" : "2015-03-06T14:33:57.123456789+02:00"}"#,
        r#"{"timestamp": "2015-03-06T14:33:57.1234567899-01:30", "value": 0.1}"#,
        r#"{"timestamp": 1425652437.25, "value": 12345678901234567890}"#,
        r#"{"timestamp": 1425652437, "value": 123456789012345678901234567890}"#,
        r#"{"timestamp": 0, "value": 1.7976931348623157e308}"#,
        r#"{"timestamp": 0, "value": 4.9e-324}"#,
        r#"{"timestamp": 0, "value": " 3.5"}"#,
        r#"{"timestamp": 0, "value": "nan"}"#,
        r#"{"timestamp": 0, "value": NaN}"#,
        r#"{"timestamp": 0, "value": -Infinity}"#,
        r#"{"timestamp": 0, "value": Infinity}"#,
        r#"{"timestamp": 0, "value": true}"#,
    ] {
        let body = format!(" [{item} ,{item}]\n");
        assert_eq!(fast_list(body.as_bytes()), Some(slow_list(body.as_bytes()).unwrap()), "{item}");
    }
    let body = format!(r#"{{"{ID}": [], "{}":[{{"timestamp":1,"value":2}}]}}"#, ID.replace('-', ""));
    assert_eq!(fast_by_metric(body.as_bytes()), Some(slow_by_metric(body.as_bytes()).unwrap()));
    let body = r#"{"a": {}, "é/": {"cpu": [{"timestamp": 1, "value": 2}],
        "m": {"unit": "B", "archive_policy_name": "low", "measures": [{"timestamp": 3, "value": 4}]}}}"#;
    assert_eq!(fast_by_resource(body.as_bytes()), Some(slow_by_resource(body.as_bytes()).unwrap()));
    for empty in ["[]", " [ ] "] {
        assert_eq!(fast_list(empty.as_bytes()), Some(Vec::new()));
    }
    assert_eq!(by_metric(b"{}"), Some(ByMetric::default()));
}

#[test]
fn what_is_unusual_is_left_to_others() {
    for body in [
        r#"[{"timestamp": 1, "value": 1, "unit": "B"}]"#,
        r#"[{"timestamp": "-5 minutes", "value": 1}]"#,
        r#"[{"timestamp": "1425652437", "value": 1}]"#,
        r#"[{"timestamp": "2015-03-06", "value": 1}]"#,
        r#"[{"timestamp": 1, "value": "\u0031"}]"#,
        r#"[{"timestamp": 1, "value": 1, "value": 2}]"#,
        r#"[{"timestamp": 1, "value": 1e400}]"#,
        r#"[{"timestamp": 1, "value": 01}]"#,
        r#"[{"timestamp": 1, "value": 1.}]"#,
        r#"[{"timestamp": 1, "value": 1e}]"#,
        r#"[{"timestamp": 1, "value": -}]"#,
        r#"[{"timestamp": 1, "value": +1}]"#,
        r#"[{"timestamp": 1, "value": null}]"#,
        r#"[{"timestamp": 1}]"#,
        r#"[{"timestamp": 1, "value": 1},]"#,
        r#"[{"timestamp": 1, "value": 1}] x"#,
        r#"[{"timestamp": 1, "value": 1}, {"timestamp": "2015-03-06T14:33:57", "value": 1}]"#,
        r#"[{"timestamp": "2015-02-30T14:33:57", "value": 1}]"#,
        r#"[{"timestamp": "2015-02-20T24:33:57", "value": 1}]"#,
        r#"[{"timestamp": "1969-12-31T23:59:59", "value": 1}]"#,
        r#"[{"timestamp": "2263-12-31T23:59:59", "value": 1}]"#,
        r#"{}"#,
        "",
    ] {
        assert_eq!(list(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn a_metric_that_comes_in_pieces_and_is_very_long_is_left_to_others() {
    let item = r#"{"timestamp":1,"value":2}"#;
    let list = vec![item; 100_000].join(",");
    let body = format!(r#"{{"{ID}":[{item}],"{}":[{list}]}}"#, ID.replace('a', "b"));
    let mut pieces = Pieces::new(body.len());
    body.as_bytes().chunks(100_000).for_each(|piece| pieces.take(piece));
    let Err(Unsure { read, rest }) = pieces.end() else { panic!("sure of {} bytes", body.len()) };
    assert_eq!(runs_of(&read).len(), 1);
    // A scanner that has all of it is sure again.
    let whole = runs_of(&by_metric(body.as_bytes()).unwrap());
    assert_eq!(runs_of(&by_metric(&rest).unwrap())[1], whole[1]);
}

fn timestamp() -> impl Strategy<Value = String> {
    let date = (1969..2265, 0..14, 0..33, prop::sample::select(vec!["T", " ", "t", ""]));
    let clock = (0..25, 0..61, 0..61);
    let zone = prop::sample::select(vec!["", "Z", "+00:00", "-01:30", "+2:00", "+25:00", "z", " "]);
    let iso = (date, clock, "(\\.[0-9]{0,11})?", zone).prop_map(|(date, clock, fraction, zone)| {
        let (year, month, day, joint) = date;
        let (hour, minute, second) = clock;
        format!("\"{year:04}-{month:02}-{day:02}{joint}{hour:02}:{minute:02}:{second:02}{fraction}{zone}\"")
    });
    prop_oneof![
        6 => iso,
        2 => "[0-9]{1,10}(\\.[0-9]{1,9})?",
        1 => "-?[0-9]{1,20}",
        1 => Just("\"5 minutes\"".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][-+]?[0-9]{1,3})?",
        4 => any::<f64>().prop_filter_map("finite", |value| value.is_finite().then(|| format!("{value:?}"))),
        2 => any::<i64>().prop_map(|value| value.to_string()),
        2 => any::<u32>().prop_map(|value| format!("{}", f64::from(value) / 1e3)),
        1 => prop::sample::select(vec!["NaN", "Infinity", "-Infinity", "true", "false", "\"1.5\"", "\"nan\"", "null", "-NaN"])
            .prop_map(str::to_owned),
    ]
}

fn measures() -> impl Strategy<Value = String> {
    let item = (timestamp(), value(), any::<bool>(), prop::sample::select(vec!["", " ", "\n\t"])).prop_map(
        |(timestamp, value, swapped, blank)| {
            let (a, b) = (format!("\"timestamp\":{blank}{timestamp}"), format!("\"value\":{blank}{value}"));
            if swapped { format!("{{{b},{blank}{a}}}") } else { format!("{{{a}{blank},{b}}}") }
        },
    );
    prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(", ")))
}

fn any_id() -> impl Strategy<Value = String> {
    any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string())
}

/// Some of the metrics have the list of the one before, or another value at its time.
fn batch() -> impl Strategy<Value = String> {
    prop::collection::vec((any_id(), measures(), value(), 0..4), 0..5).prop_map(|runs| {
        let mut before = String::from("[]");
        let mut texts = Vec::new();
        for (id, run, value, how) in runs {
            before = match (how, before.rsplit_once(':')) {
                (0, _) => before,
                (1, Some((begin, _))) => format!("{begin}:{value}}}]"),
                _ => run,
            };
            texts.push(format!("\"{id}\": {before}"));
        }
        format!("{{{}}}", texts.join(","))
    })
}

fn named_batch() -> impl Strategy<Value = String> {
    let form = (measures(), 0..4).prop_map(|(measures, form)| match form {
        0 => format!("{{\"measures\": {measures}}}"),
        1 => format!("{{\"archive_policy_name\": \"low\", \"measures\": {measures}, \"unit\": \"B\"}}"),
        _ => measures,
    });
    let metrics = prop::collection::vec(("[a-zé./]{1,4}", form), 0..3).prop_map(|runs| {
        let runs: Vec<String> = runs.iter().map(|(name, run)| format!("\"{name}\":{run}")).collect();
        format!("{{{}}}", runs.join(", "))
    });
    prop::collection::vec(("[a-z0-9é-]{1,6}", metrics), 0..3).prop_map(|resources| {
        let resources: Vec<String> =
            resources.iter().map(|(id, metrics)| format!("\"{id}\": {metrics}")).collect();
        format!("{{{}}}", resources.join(","))
    })
}

/// A body with some bytes changed, added or taken away.
fn damaged(body: String, edits: Vec<(prop::sample::Index, u8, i32)>) -> Vec<u8> {
    let mut body = body.into_bytes();
    for (at, byte, edit) in edits {
        let at = at.index(body.len());
        let byte =
            if byte < 128 { b"0123456789-+.eE\"\\{}[],: \n\x00\xc3NI"[usize::from(byte) % 28] } else { byte };
        match edit {
            0 => body[at] = byte,
            1 => body.insert(at, byte),
            _ => drop(body.remove(at)),
        }
        if body.is_empty() {
            break;
        }
    }
    body
}

/// Reads a batch in pieces that end where it says, and what is left of it in the other way.
fn in_pieces(body: &[u8], cuts: &[prop::sample::Index]) -> (Result<Vec<(Uuid, Bits)>, String>, bool) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    let mut pieces = Pieces::new(body.len());
    cuts.windows(2).for_each(|ends| pieces.take(&body[ends[0]..ends[1]]));
    let (read, rest) = match pieces.end() {
        Ok(read) => (read, None),
        Err(Unsure { read, rest }) => (read, Some(rest)),
    };
    let is_sure = rest.is_none();
    let mut runs = runs_of(&read);
    match rest.map(|rest| slow_by_metric(&rest)) {
        Some(Err(error)) => return (Err(error), is_sure),
        Some(Ok(others)) => {
            let says_nothing = !runs.is_empty();
            assert!(
                !says_nothing
                    || matches!(others.first(), Some((id, run)) if *id == runs[runs.len() - 1].0 && run.is_empty())
            );
            runs.extend(others.into_iter().skip(usize::from(says_nothing)));
        }
        None => {}
    }
    (Ok(runs), is_sure)
}

/// Where the scanner is sure, it is right.
fn agree(body: &[u8]) -> Result<(), TestCaseError> {
    if let Some(fast) = fast_list(body) {
        prop_assert_eq!(Ok(fast), slow_list(body));
    }
    if let Some(fast) = fast_by_metric(body) {
        prop_assert_eq!(Ok(fast), slow_by_metric(body));
    }
    if let Some(fast) = fast_by_resource(body) {
        prop_assert_eq!(Ok(fast), slow_by_resource(body));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn bodies_mean_the_same_to_the_scanner(list in measures(), batch in batch(), named in named_batch()) {
        agree(list.as_bytes())?;
        agree(batch.as_bytes())?;
        agree(named.as_bytes())?;
    }

    #[test]
    fn damaged_bodies_mean_the_same_to_the_scanner(
        body in prop_oneof![measures(), batch(), named_batch()],
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..3),
    ) {
        let body = damaged(body, edits);
        agree(&body)?;
    }

    #[test]
    fn batches_mean_the_same_in_pieces(
        body in batch(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let (read, is_sure) = in_pieces(body.as_bytes(), &cuts);
        prop_assert_eq!(read.ok(), slow_by_metric(body.as_bytes()).ok());
        prop_assert_eq!(is_sure, by_metric(body.as_bytes()).is_some());
    }

    #[test]
    fn damaged_batches_mean_the_same_in_pieces(
        body in batch(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..3),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = damaged(body, edits);
        let (read, is_sure) = in_pieces(&body, &cuts);
        prop_assert_eq!(read.ok(), slow_by_metric(&body).ok());
        prop_assert_eq!(is_sure, by_metric(&body).is_some());
    }

    #[test]
    fn usual_bodies_are_scanned(
        seconds in prop::collection::vec(0_i64..9_000_000_000, 1..5),
        value in any::<f64>().prop_filter("finite", |value| value.is_finite()),
    ) {
        let items: Vec<String> = seconds.iter().map(|seconds| {
            let time = crate::gnocchi::time::format(Timestamp::from_secs(*seconds));
            format!("{{\"timestamp\": \"{time}\", \"value\": {value:?}}}")
        }).collect();
        let body = format!("[{}]", items.join(", "));
        prop_assert_eq!(fast_list(body.as_bytes()), Some(slow_list(body.as_bytes()).unwrap()));
    }

    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..96)) {
        agree(&body)?;
    }
}

use serde_json::Value;

use super::*;
use crate::method::AggregationMethod;
use crate::resample::{Calendar, Resample, resample};

fn method(name: &str) -> AggregationMethod {
    name.parse().unwrap()
}

/// Value of each method over measures one second apart in one bucket.
fn one_bucket(values: &[f64], predecessor: Option<f64>, name: &str) -> Option<f64> {
    let timestamps: Vec<_> = (0_i64..).take(values.len()).map(Timestamp::from_secs).collect();
    let predecessor = predecessor.map(|value| Measure::new(Timestamp::from_secs(-100), value));
    let mut out = BucketColumns::new(&[method(name)]);
    let hour = Granularity::from_secs(3600).unwrap();
    aggregate(&timestamps, values, predecessor, hour, Timestamp::EPOCH, &mut out);
    assert_eq!(out.starts(), [Timestamp::EPOCH]);
    out.column(method(name)).unwrap().get(0)
}

#[test]
fn methods_give_the_values_of_the_original() {
    let cases = [
        ("std", 3.415650255319866),
        ("median", 4.0),
        ("1pct", 1.06),
        ("25pct", 2.5),
        ("95pct", 8.399999999999999),
        ("mean", 4.5),
        ("sum", 18.0),
        ("min", 1.0),
        ("max", 9.0),
        ("first", 5.0),
        ("last", 3.0),
        ("count", 4.0),
        ("rate:mean", -2.0 / 3.0),
        ("rate:count", 3.0),
        ("rate:first", -4.0),
        ("rate:last", -6.0),
        ("rate:median", -4.0),
    ];
    for (name, expected) in cases {
        assert_eq!(one_bucket(&[5.0, 1.0, 9.0, 3.0], None, name), Some(expected), "{name}");
    }
}

#[test]
fn nan_counts_where_it_must_and_hides_where_it_may() {
    let (nan, values, all) = (f64::NAN, [2.0, f64::NAN, 1.0], [f64::NAN, f64::NAN]);
    let cases = [
        ("mean", nan, nan),
        ("sum", nan, nan),
        ("min", 1.0, nan),
        ("max", nan, nan),
        ("count", 3.0, 2.0),
        ("first", 2.0, nan),
        ("last", 1.0, nan),
        ("std", nan, nan),
        ("median", 2.0, nan),
        ("50pct", 2.0, nan),
        ("1pct", 1.02, nan),
        ("99pct", nan, nan),
        ("rate:mean", nan, nan),
        ("rate:count", 2.0, 1.0),
    ];
    for (name, some, every) in cases {
        for (values, expected) in [(&values[..], some), (&all[..], every)] {
            let value = one_bucket(values, None, name).unwrap();
            assert!(
                value == expected || (value.is_nan() && expected.is_nan()),
                "{name}: {value} for {expected}"
            );
        }
    }
    assert_eq!(one_bucket(&[f64::NAN, 3.0, f64::NAN, 4.0], None, "min"), Some(3.0));
}

#[test]
fn a_value_needs_enough_measures() {
    assert_eq!(one_bucket(&[7.0], None, "std"), None);
    assert_eq!(one_bucket(&[7.0, 7.0], None, "std"), Some(0.0));
    assert_eq!(one_bucket(&[7.0], None, "rate:mean"), None);
    assert_eq!(one_bucket(&[7.0], Some(4.0), "rate:mean"), Some(3.0));
    assert_eq!(one_bucket(&[7.0, 8.0], None, "rate:std"), None);
    assert_eq!(one_bucket(&[7.0, 8.0], Some(6.0), "rate:std"), Some(0.0));
    assert_eq!(one_bucket(&[f64::MAX], None, "median"), Some(f64::MAX));
}

#[test]
fn differences_reach_over_gaps_and_begin_before_the_first_bucket() {
    let timestamps = [0, 5, 500, 700].map(Timestamp::from_secs);
    let mut out = BucketColumns::new(&[method("rate:last"), method("last")]);
    let ten = Granularity::from_secs(10).unwrap();
    aggregate(&timestamps, &[1.0, 2.0, 10.0, 4.0], None, ten, Timestamp::from_secs(503), &mut out);
    let expected = [(500, 8.0), (700, -6.0)].map(|(secs, value)| (Timestamp::from_secs(secs), value));
    assert_eq!(out.points(method("rate:last")).collect::<Vec<_>>(), expected);
    assert_eq!(out.len(), 2);
}

#[test]
fn small_buckets_begin_exactly() {
    let millisecond = Granularity::from_nanos(1_000_000).unwrap();
    let nanos = [1_425_652_437_123_999_999, 1_425_652_437_124_000_000, 1_425_652_437_124_999_999];
    let timestamps = nanos.map(Timestamp::from_nanos);
    let mut out = BucketColumns::new(&[method("count")]);
    aggregate(&timestamps, &[1.0; 3], None, millisecond, Timestamp::MIN, &mut out);
    let expected = [(1_425_652_437_123_000_000, 1.0), (1_425_652_437_124_000_000, 2.0)];
    assert_eq!(
        out.points(method("count")).collect::<Vec<_>>(),
        expected.map(|(nanos, count)| (Timestamp::from_nanos(nanos), count))
    );
}

#[test]
fn ends_of_time_are_buckets_too() {
    let timestamps = [Timestamp::MIN, Timestamp::from_nanos(i64::MIN + 1), Timestamp::MAX];
    for width in [1, 7, i64::MAX] {
        let mut out = BucketColumns::new(&[method("count")]);
        aggregate(
            &timestamps,
            &[1.0; 3],
            None,
            Granularity::from_nanos(width).unwrap(),
            Timestamp::MIN,
            &mut out,
        );
        let counted: f64 = out.points(method("count")).map(|(_, count)| count).sum();
        assert_eq!(counted, 3.0);
    }
}

struct Recorded {
    name: String,
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
    results: Vec<(AggregationMethod, Vec<(Timestamp, f64)>)>,
    granularity: Option<Granularity>,
}

fn recorded(file: &str) -> Vec<Recorded> {
    let path = format!("{}/testdata/aggregate/{file}", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let time = |value: &Value| Timestamp::from_nanos(value.as_i64().unwrap());
    let float = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let point = |pair: &Value| (time(&pair[0]), float(&pair[1]));
    let case = |case: &Value| Recorded {
        name: case["name"].as_str().unwrap().to_owned(),
        timestamps: case["timestamps"].as_array().unwrap().iter().map(time).collect(),
        values: case["values"].as_array().unwrap().iter().map(float).collect(),
        results: case["results"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, points)| (method(name), points.as_array().unwrap().iter().map(point).collect()))
            .collect(),
        granularity: case["granularity"].as_i64().and_then(Granularity::from_nanos),
    };
    cases.iter().map(case).collect()
}

/// Exactly, but for percentiles behind the first bucket (see the data's README).
fn assert_points(
    what: &str,
    method: AggregationMethod,
    ours: &[(Timestamp, f64)],
    theirs: &[(Timestamp, f64)],
) {
    assert_eq!(ours.len(), theirs.len(), "{what} {method}");
    for (row, (our, their)) in ours.iter().zip(theirs).enumerate() {
        let inexact = matches!(method.stat, Stat::Percentile(_)) && row > 0;
        let tolerance = if inexact { 1e-12 * their.1.abs().max(1e-3) } else { 0.0 };
        let equal =
            our.1 == their.1 || (our.1.is_nan() && their.1.is_nan()) || (our.1 - their.1).abs() <= tolerance;
        assert!(our.0 == their.0 && equal, "{what} {method} row {row}: {our:?} for {their:?}");
    }
}

#[test]
fn recorded_buckets_are_reproduced() {
    let cases = recorded("gnocchi-buckets.json");
    assert_eq!(cases.len(), 60);
    for case in cases {
        let methods: Vec<_> = case.results.iter().map(|(method, _)| *method).collect();
        let mut out = BucketColumns::new(&methods);
        let granularity = case.granularity.unwrap();
        aggregate(&case.timestamps, &case.values, None, granularity, Timestamp::EPOCH, &mut out);
        for (method, theirs) in &case.results {
            assert_points(&case.name, *method, &out.points(*method).collect::<Vec<_>>(), theirs);
        }
    }
}

#[test]
fn recorded_calendar_groups_are_reproduced() {
    let cases = recorded("gnocchi-calendar.json");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let by = Resample::Calendar(Calendar::from_letter(&case.name).unwrap());
        for (method, theirs) in &case.results {
            let (starts, values) = resample(&case.timestamps, &case.values, *method, by);
            let ours: Vec<_> = starts.into_iter().zip(values).collect();
            assert_points(&case.name, *method, &ours, theirs);
        }
    }
}

use nephos_model::Granularity;

use super::*;
use crate::policy::PolicyItem;

fn policy(back_window: u32, widths: &[i64], methods: &[&str]) -> ArchivePolicy {
    let item = |secs: &i64| PolicyItem { granularity: Granularity::from_secs(*secs).unwrap(), points: None };
    ArchivePolicy {
        name: "test".to_owned(),
        back_window,
        definition: widths.iter().map(item).collect(),
        methods: methods.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

fn run(measures: &[(i64, f64)]) -> Vec<Measure> {
    measures.iter().map(|(secs, value)| Measure::new(Timestamp::from_secs(*secs), *value)).collect()
}

/// As the owner of a metric does what came together.
fn merge(kept: &mut Vec<Measure>, measures: &[(i64, f64)]) {
    let mut run = run(measures);
    sort_run(&mut run);
    insert_run(kept, &run);
}

fn content(measures: &[Measure]) -> Vec<(i64, f64)> {
    measures.iter().map(|measure| (measure.timestamp.as_secs(), measure.value)).collect()
}

const HALF_PAST_TWO: i64 = 14 * 3600 + 34 * 60;

#[test]
fn back_window_counts_blocks_of_the_coarsest_granularity() {
    for (back_window, methods, first_hour) in
        [(0, ["mean"], 14), (2, ["mean"], 12), (0, ["rate:mean"], 13), (2, ["rate:last"], 11)]
    {
        let policy = policy(back_window, &[60, 3600], &methods);
        let start = window_start(Timestamp::from_secs(HALF_PAST_TWO), &policy);
        assert_eq!(start, Some(Timestamp::from_secs(first_hour * 3600)));
    }
    assert_eq!(window_start(Timestamp::EPOCH, &policy(0, &[], &["mean"])), None);
}

#[test]
fn smallest_of_a_run_wins_and_replaces_what_was_there() {
    let mut kept = Vec::new();
    merge(&mut kept, &[(1, 5.0), (2, f64::NAN), (1, 3.0), (2, 8.0), (1, f64::NAN), (3, 1.0)]);
    assert_eq!(content(&kept), [(1, 3.0), (2, 8.0), (3, 1.0)]);
    merge(&mut kept, &[(2, 9.0), (0, 7.0)]);
    assert_eq!(content(&kept), [(0, 7.0), (1, 3.0), (2, 9.0), (3, 1.0)]);
    merge(&mut kept, &[(3, f64::NAN), (3, f64::NAN)]);
    assert!(kept.last().unwrap().value.is_nan());
    merge(&mut kept, &[]);
    assert_eq!(kept.len(), 4);
}

#[test]
fn order_of_arrival_inside_a_run_is_irrelevant() {
    let negative_nan = f64::NAN.copysign(-1.0);
    let mut measures = run(&[(1, 0.0), (1, -0.0), (2, f64::NAN), (2, negative_nan), (3, 1.0)]);
    let bits = |measures: &[Measure]| {
        let mut run = measures.to_vec();
        sort_run(&mut run);
        run.iter().map(|measure| measure.value.to_bits()).collect::<Vec<_>>()
    };
    let expected = bits(&measures);
    measures.reverse();
    assert_eq!(bits(&measures), expected);
}

#[test]
fn extremes_of_time_and_window_are_survived() {
    let policy = policy(u32::MAX, &[9_000_000_000], &["rate:mean"]);
    let mut kept: Vec<_> = [Timestamp::MAX, Timestamp::MIN, Timestamp::EPOCH]
        .map(|timestamp| Measure::new(timestamp, 1.0))
        .to_vec();
    sort_run(&mut kept);
    assert_eq!(kept.len(), 3);
    assert!(window_start(Timestamp::MIN, &policy).is_some());
    assert!(window_start(Timestamp::MAX, &policy).unwrap() < Timestamp::EPOCH);
}

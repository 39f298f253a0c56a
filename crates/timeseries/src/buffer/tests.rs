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

/// Merges and trims, as the owner of a buffer does.
fn merge(buffer: &mut RawBuffer, policy: &ArchivePolicy, measures: &[(i64, f64)]) -> MergeOutcome {
    let outcome = merge_run(buffer, policy, &mut run(measures));
    buffer.trim(policy);
    outcome
}

fn content(buffer: &RawBuffer) -> Vec<(i64, f64)> {
    buffer.timestamps.iter().map(|timestamp| timestamp.as_secs()).zip(buffer.values.iter().copied()).collect()
}

const HALF_PAST_TWO: i64 = 14 * 3600 + 34 * 60;

#[test]
fn back_window_counts_blocks_of_the_coarsest_granularity() {
    for (back_window, methods, first_hour) in
        [(0, ["mean"], 14), (2, ["mean"], 12), (0, ["rate:mean"], 13), (2, ["rate:last"], 11)]
    {
        let policy = policy(back_window, &[60, 3600], &methods);
        let mut buffer = RawBuffer::default();
        merge(&mut buffer, &policy, &[(HALF_PAST_TWO, 1.0)]);
        assert_eq!(buffer.first_block(&policy), Some(Timestamp::from_secs(first_hour * 3600)));
        let outcome = merge(&mut buffer, &policy, &[(first_hour * 3600, 1.0), (first_hour * 3600 - 1, 1.0)]);
        assert_eq!((outcome.accepted, outcome.late), (1, 1));
    }
}

#[test]
fn first_run_takes_points_far_apart_and_the_limit_follows_it() {
    let policy = policy(0, &[3600], &["mean"]);
    let mut buffer = RawBuffer::default();
    let outcome = merge(&mut buffer, &policy, &[(HALF_PAST_TWO, 2.0), (10, 1.0)]);
    let expected = MergeOutcome { accepted: 2, late: 0, recompute_from: Some(Timestamp::from_secs(10)) };
    assert_eq!(outcome, expected);
    assert_eq!(content(&buffer), [(HALF_PAST_TWO, 2.0)]);

    // Judged by what was there before the run: the newer of the two does not make the older one late.
    let outcome =
        merge(&mut buffer, &policy, &[(HALF_PAST_TWO + 7200, 4.0), (HALF_PAST_TWO - 60, 3.0), (11, 0.0)]);
    let from = Some(Timestamp::from_secs(HALF_PAST_TWO - 60));
    assert_eq!(outcome, MergeOutcome { accepted: 2, late: 1, recompute_from: from });
    assert_eq!(content(&buffer), [(HALF_PAST_TWO + 7200, 4.0)]);

    let outcome = merge(&mut buffer, &policy, &[(HALF_PAST_TWO, 9.0)]);
    assert_eq!(outcome, MergeOutcome { accepted: 0, late: 1, recompute_from: None });
}

#[test]
fn smallest_of_a_run_wins_and_replaces_what_was_buffered() {
    let policy = policy(0, &[3600], &["mean"]);
    let mut buffer = RawBuffer::default();
    merge(&mut buffer, &policy, &[(1, 5.0), (2, f64::NAN), (1, 3.0), (2, 8.0), (1, f64::NAN), (3, 1.0)]);
    assert_eq!(content(&buffer), [(1, 3.0), (2, 8.0), (3, 1.0)]);
    let outcome = merge(&mut buffer, &policy, &[(2, 9.0), (0, 7.0)]);
    assert_eq!(content(&buffer), [(0, 7.0), (1, 3.0), (2, 9.0), (3, 1.0)]);
    assert_eq!(outcome.recompute_from, Some(Timestamp::EPOCH));
    merge(&mut buffer, &policy, &[(3, f64::NAN), (3, f64::NAN)]);
    assert!(buffer.last().unwrap().value.is_nan());
}

#[test]
fn order_of_arrival_inside_a_run_is_irrelevant() {
    let policy = policy(0, &[3600], &["mean"]);
    let negative_nan = f64::NAN.copysign(-1.0);
    let mut measures = run(&[(1, 0.0), (1, -0.0), (2, f64::NAN), (2, negative_nan), (3, 1.0)]);
    let bits = |measures: &[Measure]| {
        let mut buffer = RawBuffer::default();
        merge_run(&mut buffer, &policy, &mut measures.to_vec());
        buffer.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let expected = bits(&measures);
    measures.reverse();
    assert_eq!(bits(&measures), expected);
}

#[test]
fn trim_keeps_the_fine_bucket_that_the_block_cuts() {
    // Blocks of 10 s, fine buckets of 7 s: the block that begins at 20 lies in the bucket that begins at 14.
    let policy = policy(0, &[7, 10], &["mean"]);
    let mut buffer = RawBuffer::default();
    merge(&mut buffer, &policy, &[(13, 1.0), (14, 2.0), (19, 3.0), (20, 4.0), (25, 5.0)]);
    assert_eq!(content(&buffer), [(14, 2.0), (19, 3.0), (20, 4.0), (25, 5.0)]);
    let outcome = merge(&mut buffer, &policy, &[(19, 9.0)]);
    assert_eq!(outcome.late, 1, "what is kept for computing does not widen the back window");
}

#[test]
fn trim_keeps_one_predecessor_for_differences() {
    let policy = policy(0, &[10], &["rate:mean"]);
    let mut buffer = RawBuffer::default();
    merge(&mut buffer, &policy, &[(1, 1.0), (2, 2.0), (100, 3.0)]);
    assert_eq!(content(&buffer), [(2, 2.0), (100, 3.0)]);
    merge(&mut buffer, &policy, &[(1000, 4.0)]);
    assert_eq!(content(&buffer), [(100, 3.0), (1000, 4.0)]);
}

#[test]
fn extremes_of_time_and_window_are_survived() {
    let policy = policy(u32::MAX, &[9_000_000_000], &["rate:mean"]);
    let mut buffer = RawBuffer::default();
    let mut measures: Vec<_> = [Timestamp::MAX, Timestamp::MIN, Timestamp::EPOCH]
        .map(|timestamp| Measure::new(timestamp, 1.0))
        .to_vec();
    assert_eq!(merge_run(&mut buffer, &policy, &mut measures).accepted, 3);
    assert_eq!(buffer.trim(&policy), 0);
    assert_eq!(buffer.len(), 3);
    assert_eq!(merge_run(&mut buffer, &policy, &mut Vec::new()), MergeOutcome::default());
}

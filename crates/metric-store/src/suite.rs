//! The contract of [`MetricStore`] as tests, for every implementation and everything that wraps one.
//!
//! ```ignore
//! nephos_metric_store::contract_suite!(make_subject().await);
//! ```
//! The expression gives a [`Subject`] with an empty store; each behaviour gets its own.

// Test code that other crates compile as a library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod changes;
mod parts;

use std::sync::Arc;

use async_trait::async_trait;
use nephos_lang::operations::{Operation, Reference};
use nephos_model::{Granularity, Measure, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, Calendar, Fill, PolicyItem, Resample, Stat};

use crate::compute::{Computation, Computed, Filling, Refusal, Work};
use crate::contract::{AppendReport, MetricStore, Run, SeriesRequest};

pub use changes::{
    a_bucket_in_which_policies_change_twice_is_whole, an_erased_range_is_gone_in_whole_buckets,
    another_policy_shows_what_the_stored_aggregates_give, measures_that_follow_an_erasure_are_taken_as_ever,
    retention_does_not_go_back_with_what_is_erased,
};
pub use parts::long_answers_are_the_same_whole_and_in_parts;

/// A store under test.
#[async_trait]
pub trait Subject: Send {
    /// The store.
    fn store(&self) -> Arc<dyn MetricStore>;
    /// Stops the engine below and starts it again on what it left.
    async fn reopen(&mut self);
    /// Writes everything to segments and merges them.
    async fn compact(&mut self);
}

/// Every behaviour as a test of its own.
#[macro_export]
macro_rules! contract_suite {
    ($subject:expr) => {
        $crate::contract_suite!(@tests $subject;
            an_append_is_visible_to_the_next_query
            an_append_repeated_changes_nothing
            a_later_run_replaces_and_the_smallest_of_one_run_wins
            runs_of_one_metric_in_one_call_are_merged_one_after_the_other
            late_measures_are_dropped_and_counted
            the_first_run_takes_everything
            a_late_measure_inside_the_window_updates_its_bucket
            rates_reach_over_runs_and_segments
            nan_and_infinities_are_kept_bit_for_bit
            a_bucket_of_one_measure_has_no_deviation
            granularities_come_coarsest_first_and_windows_cut_them
            exactly_as_many_slots_as_points_are_kept
            a_shrunk_policy_shrinks_reads_at_once_and_growth_brings_nothing_back
            deleted_metrics_are_hidden_and_may_come_back_empty
            an_erased_range_is_gone_in_whole_buckets
            measures_that_follow_an_erasure_are_taken_as_ever
            retention_does_not_go_back_with_what_is_erased
            another_policy_shows_what_the_stored_aggregates_give
            a_bucket_in_which_policies_change_twice_is_whole
            unknown_metrics_and_methods_give_empty_series
            answers_keep_the_order_of_requests
            resampling_regroups_the_stored_series
            computing_is_the_same_in_one_place_and_in_many
            long_answers_are_the_same_whole_and_in_parts
            a_restart_gives_the_same_answers
        );
    };
    (@tests $subject:expr; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::suite::$name(&mut $subject).await;
            }
        )*
    };
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

fn width(seconds: i64) -> Granularity {
    Granularity::from_secs(seconds).unwrap()
}

fn policy(back_window: u32, items: &[(i64, Option<u64>)], methods: &[&str]) -> Arc<ArchivePolicy> {
    Arc::new(ArchivePolicy {
        name: "tested".to_owned(),
        back_window,
        definition: items
            .iter()
            .map(|(seconds, points)| PolicyItem { granularity: width(*seconds), points: *points })
            .collect(),
        methods: methods.iter().map(|name| name.parse().unwrap()).collect(),
    })
}

fn run(metric: MetricId, policy: &Arc<ArchivePolicy>, measures: &[(i64, f64)]) -> Run {
    let measures = measures
        .iter()
        .map(|(seconds, value)| Measure::new(Timestamp::from_secs(*seconds), *value))
        .collect();
    Run { metric, policy: Arc::clone(policy), measures }
}

async fn append(
    subject: &dyn Subject,
    metric: MetricId,
    policy: &Arc<ArchivePolicy>,
    measures: &[(i64, f64)],
) -> AppendReport {
    subject.store().append_runs(vec![run(metric, policy, measures)]).await.unwrap()
}

fn request(metric: MetricId, policy: &Arc<ArchivePolicy>, method: &str, seconds: i64) -> SeriesRequest {
    SeriesRequest {
        metric,
        policy: Arc::clone(policy),
        method: method.parse().unwrap(),
        granularities: vec![width(seconds)],
        start: None,
        stop: None,
        resample: None,
    }
}

/// Points of the one granularity asked for, in seconds.
async fn read(subject: &dyn Subject, request: SeriesRequest) -> Vec<(i64, f64)> {
    let series = subject.store().query(vec![request]).await.unwrap();
    let points = &series[0].granularities[0];
    points.timestamps.iter().map(|time| time.as_secs()).zip(points.values.iter().copied()).collect()
}

/// Before and after the data moved from memory to segments and back.
async fn expect_always(subject: &mut dyn Subject, request: SeriesRequest, expected: &[(i64, f64)]) {
    assert_eq!(read(subject, request.clone()).await, expected, "in memory");
    subject.compact().await;
    assert_eq!(read(subject, request.clone()).await, expected, "in segments");
    subject.reopen().await;
    assert_eq!(read(subject, request).await, expected, "after a restart");
}

/// What was appended is what the next query shows.
pub async fn an_append_is_visible_to_the_next_query(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None)], &["mean"]));
    let report = append(subject, metric, &policy, &[(0, 1.0), (30, 3.0), (60, 10.0)]).await;
    assert_eq!(report, AppendReport { accepted: 3, late: 0 });
    expect_always(subject, request(metric, &policy, "mean", MINUTE), &[(0, 2.0), (60, 10.0)]).await;
}

/// The same append again is harmless.
pub async fn an_append_repeated_changes_nothing(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(HOUR, None)], &["count", "sum"]));
    for _ in 0..3 {
        append(subject, metric, &policy, &[(0, 1.0), (30, 3.0)]).await;
    }
    assert_eq!(read(subject, request(metric, &policy, "sum", HOUR)).await, [(0, 4.0)]);
    expect_always(subject, request(metric, &policy, "count", HOUR), &[(0, 2.0)]).await;
}

/// Equal timestamps: the smallest value of a run, but the value of the last run.
pub async fn a_later_run_replaces_and_the_smallest_of_one_run_wins(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(HOUR, None)], &["sum"]));
    append(subject, metric, &policy, &[(10, 5.0), (10, 2.0), (10, f64::NAN), (10, 7.0)]).await;
    assert_eq!(read(subject, request(metric, &policy, "sum", HOUR)).await, [(0, 2.0)]);
    append(subject, metric, &policy, &[(10, 9.0)]).await;
    expect_always(subject, request(metric, &policy, "sum", HOUR), &[(0, 9.0)]).await;
}

/// One call may hold several runs of a metric; the first one's newest measure judges the second's.
pub async fn runs_of_one_metric_in_one_call_are_merged_one_after_the_other(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None)], &["sum"]));
    let runs = vec![
        run(metric, &policy, &[(100, 5.0), (130, 1.0)]),
        run(metric, &policy, &[(130, 7.0), (100, 9.0)]),
    ];
    let report = subject.store().append_runs(runs).await.unwrap();
    assert_eq!(report, AppendReport { accepted: 3, late: 1 });
    expect_always(subject, request(metric, &policy, "sum", MINUTE), &[(60, 5.0), (120, 7.0)]).await;
}

/// Older than the coarsest block of what was there before, less the back window.
pub async fn late_measures_are_dropped_and_counted(subject: &mut dyn Subject) {
    for (back_window, limit) in [(0, 14 * HOUR), (2, 12 * HOUR)] {
        let policy = policy(back_window, &[(MINUTE, None), (HOUR, None)], &["count"]);
        let metric = MetricId::random();
        append(subject, metric, &policy, &[(14 * HOUR + 34 * MINUTE, 1.0)]).await;
        let report = append(subject, metric, &policy, &[(limit - 1, 1.0), (limit, 1.0)]).await;
        assert_eq!(report, AppendReport { accepted: 1, late: 1 }, "back window {back_window}");
        let points = read(subject, request(metric, &policy, "count", MINUTE)).await;
        assert_eq!(points, [(limit, 1.0), (14 * HOUR + 34 * MINUTE, 1.0)]);
    }
}

/// Lateness comes from what was there before: a first run may reach far.
pub async fn the_first_run_takes_everything(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None)], &["sum"]));
    let report = append(subject, metric, &policy, &[(1_000_000, 2.0), (-90, 1.0)]).await;
    assert_eq!(report, AppendReport { accepted: 2, late: 0 });
    expect_always(subject, request(metric, &policy, "sum", MINUTE), &[(-120, 1.0), (999_960, 2.0)]).await;
}

/// Also when its neighbours are in a segment already.
pub async fn a_late_measure_inside_the_window_updates_its_bucket(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(1, &[(MINUTE, None)], &["sum", "count"]));
    append(subject, metric, &policy, &[(0, 1.0), (60, 1.0), (120, 1.0), (180, 1.0)]).await;
    subject.compact().await;
    append(subject, metric, &policy, &[(130, 5.0)]).await;
    subject.compact().await;
    append(subject, metric, &policy, &[(140, 7.0), (300, 1.0)]).await;
    let expected = [(0, 1.0), (60, 1.0), (120, 13.0), (180, 1.0), (300, 1.0)];
    expect_always(subject, request(metric, &policy, "sum", MINUTE), &expected).await;
}

/// Differences of consecutive measures, whatever run, block or file they came with.
pub async fn rates_reach_over_runs_and_segments(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None)], &["rate:mean", "rate:count"]));
    for (time, value) in [(0, 10.0), (60, 15.0), (120, 12.0), (500, 20.0)] {
        append(subject, metric, &policy, &[(time, value)]).await;
        subject.compact().await;
    }
    let expected = [(60, 5.0), (120, -3.0), (480, 8.0)];
    expect_always(subject, request(metric, &policy, "rate:mean", MINUTE), &expected).await;
}

/// Values are not rounded, normalised or lost.
pub async fn nan_and_infinities_are_kept_bit_for_bit(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(1, None)], &["last"]));
    let values =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1 + 0.2, f64::MIN_POSITIVE / 2.0, 1e300];
    let measures: Vec<_> = (0i64..).zip(values).collect();
    append(subject, metric, &policy, &measures).await;
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for _ in 0..2 {
        let series = subject.store().query(vec![request(metric, &policy, "last", 1)]).await.unwrap();
        assert_eq!(bits(&series[0].granularities[0].values), bits(&values));
        subject.compact().await;
        subject.reopen().await;
    }
}

/// No point at all, which is not a point that is NaN.
pub async fn a_bucket_of_one_measure_has_no_deviation(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None)], &["std"]));
    append(subject, metric, &policy, &[(0, 1.0), (60, 1.0), (61, 3.0), (120, 9.0), (180, 9.0)]).await;
    expect_always(subject, request(metric, &policy, "std", MINUTE), &[(60, 2.0f64.sqrt())]).await;
}

/// Start is rounded down to each granularity and belongs to the window; stop is not and does not.
pub async fn granularities_come_coarsest_first_and_windows_cut_them(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None), (300, None)], &["mean"]));
    let measures: Vec<_> = (0..20u32).map(|minute| (i64::from(minute) * MINUTE, f64::from(minute))).collect();
    append(subject, metric, &policy, &measures).await;
    let asked = SeriesRequest {
        granularities: Vec::new(),
        start: Some(Timestamp::from_secs(7 * MINUTE + 59)),
        stop: Some(Timestamp::from_secs(10 * MINUTE)),
        ..request(metric, &policy, "mean", MINUTE)
    };
    for _ in 0..2 {
        let series = subject.store().query(vec![asked.clone()]).await.unwrap();
        let shown: Vec<_> = series[0]
            .granularities
            .iter()
            .map(|points| (points.granularity, points.timestamps.iter().map(|time| time.as_secs()).collect()))
            .collect();
        assert_eq!(shown, [(width(300), vec![300]), (width(MINUTE), vec![420, 480, 540])]);
        subject.compact().await;
    }
}

/// Counted back from the newest bucket, gaps included; the clock plays no part.
pub async fn exactly_as_many_slots_as_points_are_kept(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, Some(3)), (300, Some(2))], &["mean"]));
    for minute in 0..9u32 {
        append(subject, metric, &policy, &[(i64::from(minute) * MINUTE, f64::from(minute))]).await;
        if minute == 4 {
            subject.compact().await;
        }
    }
    assert_eq!(read(subject, request(metric, &policy, "mean", 300)).await, [(0, 2.0), (300, 6.5)]);
    let expected = [(360, 6.0), (420, 7.0), (480, 8.0)];
    expect_always(subject, request(metric, &policy, "mean", MINUTE), &expected).await;
    append(subject, metric, &policy, &[(600, 10.0)]).await;
    expect_always(subject, request(metric, &policy, "mean", MINUTE), &[(480, 8.0), (600, 10.0)]).await;
}

/// The policy of the request counts for reads; what an append's policy let go is gone.
pub async fn a_shrunk_policy_shrinks_reads_at_once_and_growth_brings_nothing_back(subject: &mut dyn Subject) {
    let metric = MetricId::random();
    let of = |points| policy(0, &[(MINUTE, Some(points))], &["mean"]);
    append(subject, metric, &of(10), &[(0, 0.0), (60, 1.0), (120, 2.0), (180, 3.0)]).await;
    assert_eq!(read(subject, request(metric, &of(2), "mean", MINUTE)).await, [(120, 2.0), (180, 3.0)]);
    append(subject, metric, &of(2), &[(181, 3.0)]).await;
    append(subject, metric, &of(10), &[(240, 4.0)]).await;
    let expected = [(120, 2.0), (180, 3.0), (240, 4.0)];
    expect_always(subject, request(metric, &of(10), "mean", MINUTE), &expected).await;
}

/// Hidden at once and for good, in memory and in segments.
pub async fn deleted_metrics_are_hidden_and_may_come_back_empty(subject: &mut dyn Subject) {
    let (metric, other) = (MetricId::random(), MetricId::random());
    let policy = policy(0, &[(MINUTE, None)], &["mean"]);
    for compacted in [false, true] {
        append(subject, metric, &policy, &[(0, 1.0), (60, 2.0), (120, 3.0)]).await;
        append(subject, other, &policy, &[(0, 7.0)]).await;
        if compacted {
            subject.compact().await;
        }
        subject.store().delete(&[metric, MetricId::random()]).await.unwrap();
        subject.store().delete(&[metric]).await.unwrap();
        expect_always(subject, request(metric, &policy, "mean", MINUTE), &[]).await;
        append(subject, metric, &policy, &[(0, 5.0)]).await;
        expect_always(subject, request(metric, &policy, "mean", MINUTE), &[(0, 5.0)]).await;
        expect_always(subject, request(other, &policy, "mean", MINUTE), &[(0, 7.0)]).await;
        subject.store().delete(&[metric]).await.unwrap();
    }
    assert_eq!(subject.store().statistics().await.unwrap().metrics, 1);
}

/// Every granularity asked for is there, with no points.
pub async fn unknown_metrics_and_methods_give_empty_series(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None), (HOUR, None)], &["mean"]));
    append(subject, metric, &policy, &[(0, 1.0)]).await;
    let unknown =
        SeriesRequest { granularities: Vec::new(), ..request(MetricId::random(), &policy, "mean", 1) };
    let series = subject.store().query(vec![unknown]).await.unwrap();
    let shown: Vec<_> = series[0].granularities.iter().map(|points| points.granularity).collect();
    assert_eq!(shown, [width(HOUR), width(MINUTE)]);
    assert!(series[0].granularities.iter().all(|points| points.timestamps.is_empty()));
    assert_eq!(read(subject, request(metric, &policy, "max", MINUTE)).await, []);
    assert_eq!(read(subject, request(metric, &policy, "mean", 7)).await, []);
}

/// Many metrics in one call, wherever their shards are.
pub async fn answers_keep_the_order_of_requests(subject: &mut dyn Subject) {
    let policy = policy(0, &[(MINUTE, None)], &["mean"]);
    let metrics: Vec<(MetricId, f64)> =
        (0..100u32).map(|value| (MetricId::random(), f64::from(value))).collect();
    let runs = metrics.iter().map(|(metric, value)| run(*metric, &policy, &[(0, *value)])).collect();
    let report = subject.store().append_runs(runs).await.unwrap();
    assert_eq!(report.accepted, 100);
    for _ in 0..2 {
        let requests = metrics.iter().map(|(metric, _)| request(*metric, &policy, "mean", MINUTE)).collect();
        let series = subject.store().query(requests).await.unwrap();
        let values: Vec<f64> = series.iter().map(|series| series.granularities[0].values[0]).collect();
        assert_eq!(values, metrics.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        subject.compact().await;
    }
}

/// Means of means, counts of buckets, rates not taken again; groups start at the step or the calendar.
pub async fn resampling_regroups_the_stored_series(subject: &mut dyn Subject) {
    let (metric, policy) = (MetricId::random(), policy(0, &[(MINUTE, None)], &["mean", "count", "rate:max"]));
    let measures = [(0, 1.0), (30, 3.0), (60, 8.0), (120, 4.0), (180, 5.0)];
    append(subject, metric, &policy, &measures).await;
    subject.compact().await;
    append(subject, metric, &policy, &[(240, 6.0)]).await;
    let by = |method, by| SeriesRequest { resample: Some(by), ..request(metric, &policy, method, MINUTE) };
    let step = Resample::Step(width(120));
    assert_eq!(read(subject, by("mean", step)).await, [(0, 5.0), (120, 4.5), (240, 6.0)]);
    assert_eq!(read(subject, by("count", step)).await, [(0, 2.0), (120, 2.0), (240, 1.0)]);
    assert_eq!(read(subject, by("rate:max", step)).await, [(0, 5.0), (120, 1.0), (240, 1.0)]);
    assert_eq!(read(subject, by("mean", Resample::Calendar(Calendar::Year))).await, [(0, 5.0)]);
    let windowed = SeriesRequest {
        start: Some(Timestamp::from_secs(60)),
        stop: Some(Timestamp::from_secs(180)),
        ..by("mean", step)
    };
    assert_eq!(
        read(subject, windowed).await,
        [(0, 5.0), (120, 4.5)],
        "groups count what lies outside the window"
    );
}

/// What is computed across metrics, wherever they lie: sums, extremes, what owners cannot share, and refusals.
pub async fn computing_is_the_same_in_one_place_and_in_many(subject: &mut dyn Subject) {
    let policy = policy(0, &[(MINUTE, None)], &["mean"]);
    let metrics: Vec<MetricId> = (0..15).map(|_| MetricId::random()).collect();
    // Each lacks the first minute or a later one; none lacks the third.
    let value = |number: usize, minute: usize| match minute {
        0 if number.is_multiple_of(2) => None,
        1 if number % 5 == 1 => None,
        _ => Some(number as f64 * 0.1 + minute as f64),
    };
    for (number, metric) in metrics.iter().enumerate() {
        let at = |minute: usize| i64::try_from(minute).unwrap() * MINUTE;
        let points = (0..3).filter_map(|minute| Some((at(minute), value(number, minute)?)));
        append(subject, *metric, &policy, &points.collect::<Vec<_>>()).await;
    }
    let columns: Vec<Vec<f64>> =
        (0..3).map(|minute| (0..15).filter_map(|number| value(number, minute)).collect()).collect();
    let sum = |column: &Vec<f64>| column.iter().sum::<f64>();
    let largest = |column: &Vec<f64>| column.iter().copied().fold(f64::MIN, f64::max);
    let middle = |column: &Vec<f64>| {
        let half = column.len() / 2;
        if column.len() % 2 == 1 { column[half] } else { (column[half - 1] + column[half]) / 2.0 }
    };
    let dropping = Filling::Fill { fill: Fill::Null, dropping: true };
    let across = |method: &str, metrics: &[MetricId], filling| {
        let references = vec![Reference { name: "m".to_owned(), method: "mean".to_owned() }];
        let operand = Box::new(Operation::Metric(references));
        let operations = Arc::new(Operation::Aggregate { method: method.to_owned(), operand });
        let requests = metrics.iter().map(|metric| request(*metric, &policy, "mean", MINUTE)).collect();
        let selection = vec![(0..u32::try_from(metrics.len()).unwrap()).collect()];
        Computation { requests, work: Work::Operations { operations, selection, filling } }
    };
    let all = |method, filling| across(method, &metrics, filling);
    let computations = vec![
        all("sum", dropping),
        all("max", dropping),
        all("median", dropping),
        all("mean", Filling::Overlap(30.0)),
        all("mean", Filling::Overlap(100.0)),
        across("sum", &metrics[..2], Filling::Fill { fill: Fill::Value(100.0), dropping: false }),
    ];
    let expected = [
        columns.iter().map(sum).collect(),
        columns.iter().map(largest).collect(),
        columns.iter().map(middle).collect(),
        // Open ends are cut to the one minute that all have.
        vec![sum(&columns[2]) / 15.0],
        vec![sum(&columns[2]) / 15.0],
        vec![100.0 + 0.1, 101.0, 4.1],
    ];
    for place in ["memory", "segments"] {
        let outcomes = subject.store().compute(computations.clone()).await.unwrap();
        assert_eq!(outcomes.len(), expected.len());
        for (outcome, expected) in outcomes.into_iter().zip(&expected) {
            let Computed { grids, aggregated, .. } = outcome.unwrap();
            assert!(aggregated && grids.len() == 1 && grids[0].width() == 1, "in {place}");
            let found = grids[0].column(0);
            assert_eq!(found.len(), expected.len(), "in {place}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= expected.abs() * 1e-12, "in {place}: {found} {expected}");
            }
        }
        subject.compact().await;
    }
    let lonely = metrics.iter().copied().chain([MetricId::random()]).collect::<Vec<_>>();
    let refused = subject.store().compute(vec![across("sum", &lonely, Filling::Overlap(1.0))]).await.unwrap();
    assert_eq!(refused, [Err(Refusal::Unaggregable("No overlap".to_owned()))]);
    let Work::Operations { operations, selection, .. } = all("sum", dropping).work else { unreachable!() };
    let Operation::Aggregate { operand, .. } = operations.as_ref() else { unreachable!() };
    let work = Work::Operations { operations: Arc::new((**operand).clone()), selection, filling: dropping };
    let each = Computation { work, ..all("sum", dropping) };
    let each = subject.store().compute(vec![each]).await.unwrap().remove(0).unwrap();
    assert!(!each.aggregated && each.grids[0].width() == 15);
    for (number, metric) in metrics.iter().enumerate() {
        let column = each.grids[0].column(number).iter().copied().filter(|value| !value.is_nan());
        let points = read(subject, request(*metric, &policy, "mean", MINUTE)).await;
        assert!(points.into_iter().map(|(_, value)| value).eq(column), "{metric}");
    }
}

/// Many metrics and runs: a restart forgets nothing and changes nothing, with and without segments.
pub async fn a_restart_gives_the_same_answers(subject: &mut dyn Subject) {
    let policy = policy(1, &[(MINUTE, Some(30)), (300, None)], &["mean", "std", "rate:mean", "95pct"]);
    let metrics: Vec<MetricId> = (0..20).map(|_| MetricId::random()).collect();
    let requests: Vec<SeriesRequest> = metrics
        .iter()
        .flat_map(|metric| {
            let methods: [AggregationMethod; 4] = [
                AggregationMethod::plain(Stat::Mean),
                AggregationMethod::plain(Stat::Std),
                AggregationMethod::rate(Stat::Mean),
                AggregationMethod::plain(Stat::Percentile(95)),
            ];
            let one = request(*metric, &policy, "mean", MINUTE);
            methods.map(|method| SeriesRequest { method, granularities: Vec::new(), ..one.clone() })
        })
        .collect();
    for round in 0..6u32 {
        for (number, metric) in (0u32..).zip(&metrics) {
            let at = i64::from(round * 400 + number * 7);
            let value = f64::from(round * number) * 0.1;
            append(subject, *metric, &policy, &[(at, value), (at + 13, value + 1.0), (at - 100, 2.0)]).await;
        }
        let before = subject.store().query(requests.clone()).await.unwrap();
        subject.reopen().await;
        assert_eq!(subject.store().query(requests.clone()).await.unwrap(), before, "replayed, round {round}");
        subject.compact().await;
        assert_eq!(
            subject.store().query(requests.clone()).await.unwrap(),
            before,
            "compacted, round {round}"
        );
        subject.reopen().await;
        assert_eq!(subject.store().query(requests.clone()).await.unwrap(), before, "loaded, round {round}");
    }
}

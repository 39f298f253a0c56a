use nephos_timeseries::{AggregationMethod, Stat};

use super::*;

fn policy(back_window: u32, points: Option<u64>, rate: bool) -> Arc<ArchivePolicy> {
    let stat = Stat::Mean;
    Arc::new(ArchivePolicy {
        name: "p".to_owned(),
        back_window,
        definition: vec![
            PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points },
            PolicyItem { granularity: Granularity::from_secs(7).unwrap(), points: None },
        ],
        methods: vec![if rate { AggregationMethod::rate(stat) } else { AggregationMethod::plain(stat) }],
    })
}

fn run(metric: MetricId, policy: &Arc<ArchivePolicy>, times: &[i64]) -> Batch {
    let mut batch = Batch::default();
    batch.push(metric, policy, times.iter().map(|at| Measure::new(Timestamp::from_secs(*at), 1.0)));
    batch
}

fn seconds(state: &MetricState) -> Vec<i64> {
    state.raw.iter().map(|measure| measure.timestamp.as_secs()).collect()
}

#[test]
fn the_window_does_not_move_back_when_the_back_window_grows() {
    let (mut head, metric) = (Head::default(), MetricId::random());
    head.append(1, &run(metric, &policy(0, None, false), &[600]));
    let report = head.append(2, &run(metric, &policy(5, None, false), &[599, 600, 660]));
    assert_eq!(report, AppendReport { accepted: 2, late: 1 });
    let report = head.append(3, &run(metric, &policy(5, None, false), &[601]));
    assert_eq!(report.late, 0, "from now on the wider window counts");
}

#[test]
fn a_checkpoint_is_worth_while_by_the_metrics_there_are_and_by_what_it_packs_again() {
    let (mut head, policy) = (Head::default(), policy(0, None, false));
    assert_eq!(head.checkpoint_bytes(), 0);
    let metrics: Vec<MetricId> = (0..50).map(|_| MetricId::random()).collect();
    for metric in &metrics {
        head.append(1, &run(*metric, &policy, &[600]));
    }
    assert_eq!(head.checkpoint_bytes(), 50 * LOG_OF_METRIC);
    let many: Vec<i64> = (700..10_700).collect();
    head.append(2, &run(metrics[0], &policy, &many));
    assert_eq!(head.checkpoint_bytes(), 16 * 10_050);
}

#[test]
fn sealing_keeps_what_a_straddling_bucket_and_a_difference_need() {
    for (rate, expected) in [(false, vec![63, 70, 125]), (true, vec![55, 63, 70, 125])] {
        let (mut head, metric) = (Head::default(), MetricId::random());
        head.append(1, &run(metric, &policy(0, None, rate), &[10, 55, 63, 70, 125]));
        let state = head.metrics.get_mut(metric).unwrap();
        // 67 is inside the bucket of seven seconds that starts at 63.
        state.seal(Timestamp::from_secs(67));
        assert_eq!(seconds(state), expected);
    }
}

#[test]
fn commits_that_a_segment_includes_are_skipped_in_replay() {
    let (mut head, metric) = (Head::default(), MetricId::random());
    let policy = policy(0, None, false);
    head.append(3, &run(metric, &policy, &[600]));
    head.metrics.get_mut(metric).unwrap().stored = 3;
    assert_eq!(head.append(2, &run(metric, &policy, &[610])).accepted, 0);
    assert_eq!(head.append(3, &run(metric, &policy, &[610])).accepted, 0);
    assert_eq!(head.append(4, &run(metric, &policy, &[610])).accepted, 1);
    assert_eq!(head.append(4, &run(metric, &policy, &[620])).accepted, 1, "two runs of one commit");
    head.delete(3, metric);
    assert!(head.metrics.contains(metric));
    head.delete(5, metric);
    assert!(head.metrics.len() == 0);
    head.buried.insert(metric, 7);
    assert_eq!(head.append(7, &run(metric, &policy, &[620])).accepted, 0);
    assert_eq!(head.append(8, &run(metric, &policy, &[0])).accepted, 1);
    assert_eq!(head.metrics.get(metric).unwrap().born_after, 7);
}

#[test]
fn equal_policies_are_kept_once() {
    let mut head = Head::default();
    let metrics = [MetricId::random(), MetricId::random()];
    for metric in metrics {
        head.append(1, &run(metric, &policy(2, Some(5), false), &[600]));
    }
    assert!(Arc::ptr_eq(
        &head.metrics.get(metrics[0]).unwrap().policy,
        &head.metrics.get(metrics[1]).unwrap().policy
    ));
}

#[test]
fn a_policy_that_let_buckets_go_keeps_them_gone() {
    let (mut head, metric) = (Head::default(), MetricId::random());
    let minute = Granularity::from_secs(60).unwrap();
    head.append(1, &run(metric, &policy(0, Some(2), false), &[600]));
    head.append(2, &run(metric, &policy(0, None, false), &[6_000]));
    let state = head.metrics.get(metric).unwrap();
    let unlimited = PolicyItem { granularity: minute, points: None };
    assert_eq!(state.first_kept(&unlimited), Timestamp::from_secs(540));
    let few = PolicyItem { granularity: minute, points: Some(3) };
    assert_eq!(state.first_kept(&few), Timestamp::from_secs(5_880));
}

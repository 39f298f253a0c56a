use nephos_timeseries::{AggregationMethod, Stat};
use proptest::prelude::*;

use super::*;
use crate::pack::{Columns, Packer};

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
    head.metrics.get_mut(metric).unwrap().aside.stored = 3;
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
    assert_eq!(head.metrics.get(metric).unwrap().aside.born_after, 7);
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

/// What may happen to a metric.
#[derive(Clone, Debug)]
enum Step {
    /// Measures, at so many seconds after the newest one.
    Append(Vec<i64>),
    Erase(i64, i64),
    /// The back window of another policy.
    Adopt(u32, bool),
    Seal,
    /// As a checkpoint does it, with these measures after it took its copy.
    Checkpoint(Vec<i64>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let times = || prop_oneof![4 => prop::collection::vec(-5..90_i64, 1..2), 1 => prop::collection::vec(-200..200_i64, 0..5)];
    prop_oneof![
        8 => times().prop_map(Step::Append),
        1 => (-300..60_i64, 1..200_i64).prop_map(|(start, len)| Step::Erase(start, start + len)),
        1 => (0..3_u32, any::<bool>()).prop_map(|(back, rate)| Step::Adopt(back, rate)),
        1 => Just(Step::Seal),
        2 => times().prop_map(Step::Checkpoint),
    ]
}

/// Does a step to the one metric of a head; with `closer`, no append goes the short way.
fn step(
    head: &mut Head,
    metric: MetricId,
    policy: &Arc<ArchivePolicy>,
    step: &Step,
    closer: bool,
) -> Vec<AppendReport> {
    let commit = head.commit + 1;
    head.commit = commit;
    let newest = head.metrics.get(metric).map_or(0, |state| state.last().as_secs().max(0));
    let append = |head: &mut Head, times: &[i64]| {
        if let Some(state) = head.metrics.get_mut(metric).filter(|_| closer) {
            state.look_closer();
        }
        let times: Vec<i64> = times.iter().map(|at| newest + at).collect();
        head.append(commit, &run(metric, policy, &times))
    };
    let Some(state) = head.metrics.get_mut(metric) else { return vec![append(head, &[1_000])] };
    match step {
        Step::Append(times) => return vec![append(head, times)],
        Step::Erase(start, stop) => {
            let at = |at: &i64| Timestamp::from_secs(newest + at);
            head.erase(commit, metric, at(start), at(stop));
        }
        Step::Adopt(..) => head.adopt(commit, metric, policy),
        Step::Seal => drop(state.seal(state.window)),
        Step::Checkpoint(times) => {
            let (mut copy, mut packer, last) = (state.clone(), Packer::default(), state.last_raw());
            packer.seal(&mut copy).unwrap();
            let report = append(head, times);
            let state = head.metrics.get_mut(metric).unwrap();
            match packer.rest(&copy).filter(|rest| rest.changes() == state.changes()) {
                Some(rest) => state.seal_packed(copy.aside.sealed, last, rest),
                None => state.seal(copy.aside.sealed),
            };
            return vec![report];
        }
    }
    Vec::new()
}

fn shown(head: &Head, metric: MetricId) -> impl PartialEq + std::fmt::Debug {
    let state = head.metrics.get(metric).unwrap();
    let mut columns = Columns::default();
    state.fill(&mut columns, &mut Scratch::default());
    let past = state.aside.past.clone();
    (columns.timestamps, state.raw.clone(), state.window, state.last(), state.first_raw(), past)
}

proptest! {
    #[test]
    fn the_short_way_of_newer_measures_leads_where_the_long_one_does(
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let metric = MetricId::random();
        let (mut quick, mut slow) = (Head::default(), Head::default());
        let mut present = policy(0, None, false);
        for one in &steps {
            if let Step::Adopt(back, rate) = one {
                present = policy(*back, None, *rate);
            }
            let reports = [(&mut quick, false), (&mut slow, true)]
                .map(|(head, closer)| step(head, metric, &present, one, closer));
            prop_assert_eq!(&reports[0], &reports[1], "{:?}", one);
            prop_assert_eq!(shown(&quick, metric), shown(&slow, metric), "{:?}", one);
            // A restart keeps nothing but what is stored.
            let state = quick.metrics.get(metric).unwrap();
            prop_assert!(state.newest == Timestamp::MAX || state.newest == state.last_raw());
        }
    }
}

#[test]
fn measures_that_come_one_by_one_go_the_short_way_also_after_a_checkpoint() {
    let (mut head, metric, policy) = (Head::default(), MetricId::random(), policy(1, None, true));
    for at in 0..50 {
        head.append(1, &run(metric, &policy, &[600 + at * 30]));
        let state = head.metrics.get_mut(metric).unwrap();
        assert_eq!(state.newest, Timestamp::from_secs(600 + at * 30));
        if at % 20 == 19 {
            state.seal(state.window);
        }
    }
}

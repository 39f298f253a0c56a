//! Random changes of policy: what is shown never depends on what was written to segments by then, and is never anything
//! but the aggregate of all measures.

use nephos_timeseries::{BucketColumns, aggregate};
use proptest::prelude::*;

use super::*;
use crate::contract::{Adoption, Erase, Run};

const METHODS: [&str; 7] = ["sum", "count", "max", "mean", "median", "rate:sum", "rate:mean"];
const WIDTHS: [i64; 5] = [10, 20, 60, 7, 300];

pub(super) fn policy(kind: usize) -> Arc<ArchivePolicy> {
    let (widths, methods): (&[i64], &[&str]) = [
        (&[10][..], &["sum", "count", "max"][..]),
        (&[10, 60], &["mean", "max", "median"]),
        (&[60, 300], &["mean", "count", "rate:sum", "rate:mean"]),
        (&[20, 7], &["sum", "mean", "rate:sum"]),
        (&[300], &["max", "mean"]),
    ][kind % 5];
    let item =
        |seconds: &i64| PolicyItem { granularity: Granularity::from_secs(*seconds).unwrap(), points: None };
    Arc::new(ArchivePolicy {
        name: format!("kind {}", kind % 5),
        back_window: 0,
        definition: widths.iter().map(item).collect(),
        methods: methods.iter().map(|name| name.parse().unwrap()).collect(),
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// Measures, each so many seconds after the one before, with their values.
    Append(Vec<(i64, i8)>),
    Adopt(usize),
    Erase(i64, i64),
    Checkpoint {
        full: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((1i64..90, any::<i8>()), 1..12).prop_map(Step::Append),
        3 => (0usize..5).prop_map(Step::Adopt),
        1 => (0i64..900, 1i64..400).prop_map(|(back, long)| Step::Erase(back, long)),
        3 => any::<bool>().prop_map(|full| Step::Checkpoint { full }),
        1 => Just(Step::Restart),
    ]
}

/// Points of every granularity and method of a policy.
type Shown = Vec<(i64, AggregationMethod, Vec<(i64, u64)>)>;

async fn shown(store: &Local, metric: MetricId, policy: &Arc<ArchivePolicy>) -> Shown {
    let mut all = Vec::new();
    for method in policy.methods.clone() {
        let request = SeriesRequest {
            metric,
            policy: Arc::clone(policy),
            method,
            granularities: Vec::new(),
            start: None,
            stop: None,
            resample: None,
        };
        let series = store.store().query(vec![request]).await.unwrap().remove(0);
        for points in series.granularities {
            let values = points.values.iter().map(|value| value.to_bits());
            let points_at = points.timestamps.iter().map(|at| at.as_secs()).zip(values).collect();
            all.push((points.granularity.as_nanos() / 1_000_000_000, method, points_at));
        }
    }
    all
}

/// Aggregates of all measures; numbers are whole, so that every way to them is exact.
fn expected(measures: &[(i64, f64)], seconds: i64, method: AggregationMethod) -> Vec<(i64, u64)> {
    let times: Vec<_> = measures.iter().map(|(at, _)| Timestamp::from_secs(*at)).collect();
    let values: Vec<_> = measures.iter().map(|(_, value)| *value).collect();
    let mut buckets = BucketColumns::new(&[method]);
    let width = Granularity::from_secs(seconds).unwrap();
    aggregate(&times, &values, None, width, Timestamp::MIN, &mut buckets);
    buckets.points(method).map(|(start, value)| (start.as_secs(), value.to_bits())).collect()
}

async fn play(steps: &[Step]) {
    let metric = MetricId::random();
    // One goes through all that may happen to a store, the other never writes a segment.
    let (mut busy, quiet) = (Local::new(1), Local::new(1));
    let mut policy = policy(0);
    let (mut now, mut measures, mut erased) = (10_000i64, Vec::new(), false);
    for step in steps {
        match step {
            Step::Append(some) => {
                let run: Vec<(i64, f64)> = some
                    .iter()
                    .map(|(after, value)| {
                        now += after;
                        (now, f64::from(*value))
                    })
                    .collect();
                measures.extend(run.iter().copied());
                let list = run.iter().map(|(at, value)| Measure::new(Timestamp::from_secs(*at), *value));
                let run = Run { metric, policy: Arc::clone(&policy), measures: list.collect() };
                for store in [busy.store(), quiet.store()] {
                    assert_eq!(store.append_runs(vec![run.clone()]).await.unwrap().late, 0);
                }
            }
            Step::Adopt(kind) => {
                policy = self::policy(*kind);
                let adoption = Adoption { metric, policy: Arc::clone(&policy) };
                for store in [busy.store(), quiet.store()] {
                    store.adopt(&adoption).await.unwrap();
                }
            }
            Step::Erase(back, long) => {
                erased = true;
                let start = Timestamp::from_secs(now - back);
                let erase =
                    Erase { metrics: vec![metric], start, stop: Timestamp::from_secs(now - back + long) };
                for store in [busy.store(), quiet.store()] {
                    store.erase(&erase).await.unwrap();
                }
            }
            Step::Checkpoint { full } => busy.local().compact(*full).await.unwrap(),
            Step::Restart => busy.reopen().await,
        }
        let answer = shown(&busy, metric, &policy).await;
        assert_eq!(answer, shown(&quiet, metric, &policy).await, "after {step:?}");
        for (seconds, method, points) in answer {
            assert!(WIDTHS.contains(&seconds) && METHODS.contains(&method.to_string().as_str()));
            if !erased && !method.rate {
                let all = expected(&measures, seconds, method);
                let wrong: Vec<_> = points.iter().filter(|point| !all.contains(point)).collect();
                assert!(wrong.is_empty(), "{method} at {seconds}: {wrong:?} is not of all measures");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_changes_of_policy_show_aggregates_of_all_measures(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&steps));
    }
}

//! Merging, aggregating and forgetting run by run gives the same buckets as computing everything from all measures
//! that were ever taken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation
)]

use std::collections::BTreeMap;

use nephos_model::{Granularity, Measure, Timestamp};
use nephos_timeseries::{
    AggregationMethod, ArchivePolicy, BucketColumns, PolicyItem, Stat, aggregate, insert_run, sort_run,
    window_start,
};
use proptest::prelude::*;

/// All measures ever taken, nothing forgotten.
#[derive(Default)]
struct Model {
    taken: BTreeMap<i64, f64>,
    late: u64,
}

impl Model {
    fn run(&mut self, policy: &ArchivePolicy, run: &[Measure]) {
        let block = policy.coarsest().unwrap().as_nanos();
        let blocks =
            i64::from(policy.back_window) + i64::from(policy.methods.iter().any(|method| method.rate));
        let limit = self.taken.keys().next_back().map(|last| last.div_euclid(block) * block - blocks * block);
        let mut smallest: BTreeMap<i64, f64> = BTreeMap::new();
        for measure in run {
            let at = measure.timestamp.as_nanos();
            if limit.is_some_and(|limit| at < limit) {
                self.late += 1;
                continue;
            }
            let value = smallest.entry(at).or_insert(f64::NAN);
            *value = value.min(measure.value);
        }
        self.taken.extend(smallest);
    }

    fn points(&self, granularity: Granularity, method: AggregationMethod) -> Vec<(Timestamp, f64)> {
        let mut series: Vec<(i64, f64)> = self.taken.iter().map(|(at, value)| (*at, *value)).collect();
        if method.rate {
            series = series.windows(2).map(|pair| (pair[1].0, pair[1].1 - pair[0].1)).collect();
        }
        let mut buckets: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (at, value) in series {
            let width = granularity.as_nanos();
            buckets.entry(at.div_euclid(width) * width).or_default().push(value);
        }
        let value = |(start, values): (i64, Vec<f64>)| {
            Some((Timestamp::from_nanos(start), naive(method.stat, values)?))
        };
        buckets.into_iter().filter_map(value).collect()
    }
}

fn naive(stat: Stat, values: Vec<f64>) -> Option<f64> {
    let count = values.len() as f64;
    let mut sum = 0.0;
    for value in &values {
        sum += value;
    }
    let mean = sum / count;
    let numbers = values.iter().copied().filter(|value| !value.is_nan());
    let mut sorted: Vec<f64> = numbers.clone().collect();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
    sorted.resize(values.len(), f64::NAN);
    Some(match stat {
        Stat::Mean => mean,
        Stat::Sum => sum,
        Stat::Count => count,
        Stat::First => values[0],
        Stat::Last => values[values.len() - 1],
        Stat::Min => numbers.fold(f64::NAN, f64::min),
        Stat::Max if values.iter().any(|value| value.is_nan()) => f64::NAN,
        Stat::Max => numbers.fold(f64::NAN, f64::max),
        Stat::Std if values.len() == 1 => return None,
        Stat::Std => {
            let mut squares = 0.0;
            for value in &values {
                squares += (value - mean).powi(2);
            }
            (squares / (count - 1.0)).sqrt()
        }
        Stat::Median if values.len() % 2 == 1 => sorted[values.len() / 2],
        Stat::Median => (sorted[values.len() / 2 - 1] + sorted[values.len() / 2]) / 2.0,
        Stat::Percentile(rank) => {
            let position = (count - 1.0) * (f64::from(rank) / 100.0);
            let below = position as usize;
            match position - below as f64 {
                0.0 => sorted[below],
                part => sorted[below] * ((below + 1) as f64 - position) + sorted[below + 1] * part,
            }
        }
    })
}

/// What the owner of a metric does: it keeps the back window, the fine bucket that it cuts, and one predecessor.
struct Subject {
    policy: ArchivePolicy,
    kept: Vec<Measure>,
    stored: Vec<BucketColumns>,
    late: u64,
}

impl Subject {
    fn new(policy: ArchivePolicy) -> Self {
        let stored = policy.definition.iter().map(|_| BucketColumns::new(&policy.methods)).collect();
        Self { policy, kept: Vec::new(), stored, late: 0 }
    }

    fn window(&self) -> Option<Timestamp> {
        window_start(self.kept.last()?.timestamp, &self.policy)
    }

    fn run(&mut self, run: &[Measure]) {
        let mut taken = run.to_vec();
        let window = self.window();
        taken.retain(|measure| window.is_none_or(|window| measure.timestamp >= window));
        self.late += (run.len() - taken.len()) as u64;
        sort_run(&mut taken);
        insert_run(&mut self.kept, &taken);
        assert!(self.kept.is_sorted_by(|a, b| a.timestamp < b.timestamp));
        if let Some(first) = taken.first() {
            let (timestamps, values): (Vec<_>, Vec<_>) =
                self.kept.iter().map(|measure| (measure.timestamp, measure.value)).unzip();
            for (item, stored) in self.policy.definition.iter().zip(&mut self.stored) {
                let mut fresh = BucketColumns::new(&self.policy.methods);
                aggregate(&timestamps, &values, None, item.granularity, first.timestamp, &mut fresh);
                stored.overwrite(&fresh);
            }
        }
        let Some(window) = self.window() else { return };
        let widths = self.policy.definition.iter().map(|item| window.floor(item.granularity));
        let needed = widths.min().unwrap();
        let older = self.kept.partition_point(|measure| measure.timestamp < needed);
        self.kept.drain(..older.saturating_sub(usize::from(self.policy.has_rate())));
    }
}

fn same(ours: &[(Timestamp, f64)], theirs: &[(Timestamp, f64)]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0 && (a.1 == b.1 || (a.1.is_nan() && b.1.is_nan())))
}

/// Granularities in milliseconds: among them such that do not divide the coarsest.
fn widths() -> impl Strategy<Value = Vec<i64>> {
    let sets: [&[i64]; 8] = [
        &[1],
        &[10],
        &[1, 10],
        &[7, 20],
        &[3, 7, 10],
        &[10_000, 60_000],
        &[7_000, 10_000, 25_000],
        &[20, 10],
    ];
    proptest::sample::select(sets.to_vec()).prop_map(<[i64]>::to_vec)
}

fn methods() -> impl Strategy<Value = Vec<AggregationMethod>> {
    let names = "mean sum min max std median first last count 1pct 25pct 95pct rate:mean rate:last rate:std rate:count \
                 rate:90pct";
    let all: Vec<AggregationMethod> = names.split(' ').map(|name| name.parse().unwrap()).collect();
    let plain: Vec<_> = all.iter().copied().filter(|method| !method.rate).collect();
    prop_oneof![Just(all), Just(plain)]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-50_i32..50).prop_map(f64::from),
        4 => -1e3..1e3,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ]
}

/// Runs whose measures lie around a slowly moving present, in units of the coarsest width.
fn runs() -> impl Strategy<Value = Vec<Vec<(f64, f64)>>> {
    let run = (0.0_f64..3.0, proptest::collection::vec((-4.0_f64..1.5, value()), 0..12));
    proptest::collection::vec(run, 1..14).prop_map(|runs| {
        let mut now = 0.0;
        let mut place = |(step, measures): (f64, Vec<(f64, f64)>)| {
            now += step;
            measures.into_iter().map(|(offset, value)| (now + offset, value)).collect()
        };
        runs.into_iter().map(&mut place).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn runs_give_what_all_measures_together_give(
        widths in widths(),
        methods in methods(),
        back_window in 0_u32..3,
        runs in runs(),
        coarse_grid in any::<bool>(),
    ) {
        let item = |ms: &i64| PolicyItem { granularity: Granularity::from_nanos(ms * 1_000_000).unwrap(), points: None };
        let definition: Vec<_> = widths.iter().map(item).collect();
        let policy = ArchivePolicy { name: "model".to_owned(), back_window, definition, methods };
        let block = policy.coarsest().unwrap().as_nanos() as f64;
        let mut model = Model::default();
        let mut subject = Subject::new(policy.clone());
        for run in runs {
            let measures: Vec<Measure> = run
                .iter()
                .map(|(at, value)| {
                    // On a coarse grid timestamps repeat.
                    let nanos = 1_425_652_437_000_000_000 + (at * block) as i64;
                    let nanos = if coarse_grid { nanos / 500_000 * 500_000 } else { nanos };
                    Measure::new(Timestamp::from_nanos(nanos), *value)
                })
                .collect();
            model.run(&policy, &measures);
            subject.run(&measures);
            prop_assert_eq!(subject.late, model.late);
            for (item, stored) in policy.definition.iter().zip(&subject.stored) {
                for method in &policy.methods {
                    let ours: Vec<_> = stored.points(*method).collect();
                    let theirs = model.points(item.granularity, *method);
                    prop_assert!(same(&ours, &theirs), "{method} {:?}: {ours:?} for {theirs:?}", item.granularity);
                }
            }
        }
    }
}

//! What the stores of `testdata` were filled with: shared by the test that reads them and the example that writes one.

use std::path::PathBuf;
use std::sync::Arc;

use nephos_model::{Granularity, ManualClock, Measure, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

use super::{Batch, LocalStore, MetricStore, StoreOptions};

pub(crate) const METRICS: u32 = 9;
pub(crate) const STATS: [Stat; 4] = [Stat::Mean, Stat::Max, Stat::Count, Stat::Std];

pub(crate) fn metric(number: u32) -> MetricId {
    MetricId(uuid::Uuid::from_u128(u128::from(number) * 0x0123_4567_89ab_cdef_0011_2233 + 5))
}

pub(crate) fn policy(number: u32) -> Arc<ArchivePolicy> {
    let item = |secs, points| PolicyItem { granularity: Granularity::from_secs(secs).unwrap(), points };
    Arc::new(ArchivePolicy {
        name: format!("policy {}", number % 3),
        back_window: number % 3,
        definition: vec![item(60, None), item(3_600, Some(50))],
        methods: STATS.into_iter().map(AggregationMethod::plain).collect(),
    })
}

/// A value of some kind by metric: constant, counter, decimals, any double.
fn value(number: u32, at: i64) -> f64 {
    let time = at as f64;
    match number % 4 {
        0 => 42.0,
        1 => time * 512.0,
        2 => (time * 7.0 % 1_000.0) / 10.0,
        _ => (time * 0.37).sin() * 1e3,
    }
}

pub(crate) async fn append(
    store: &LocalStore,
    metrics: std::ops::Range<u32>,
    readings: std::ops::Range<i64>,
) {
    let mut batch = Batch::default();
    for number in metrics {
        let measures = readings.clone().map(|at| {
            let late = at * 37 % 11;
            Measure::new(Timestamp::from_secs(1_700_000_000 + at * 45 + late), value(number, at))
        });
        batch.push(metric(number), &policy(number), measures);
    }
    store.append(Arc::new(batch)).await.unwrap();
}

/// All that a store has to keep: aggregates in several segments, measures that may change, deletions in a segment and in
/// the log, metrics that were born again.
pub(crate) async fn fill(folder: PathBuf) -> Arc<LocalStore> {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let store = LocalStore::open(StoreOptions { min_free: 0, ..StoreOptions::new(folder, clock) }).unwrap();
    append(&store, 0..METRICS, 0..700).await;
    store.compact(false).await.unwrap();
    append(&store, 0..5, 700..900).await;
    store.delete(&[metric(5), metric(6)]).await.unwrap();
    store.compact(false).await.unwrap();
    append(&store, 2..4, 900..1_000).await;
    store.delete(&[metric(7), metric(4)]).await.unwrap();
    append(&store, 4..6, 1_000..1_100).await;
    store
}

//! Files of the stable format: a store that holds them answers what one answers that is made now.

use std::fs;
use std::path::Path;

use super::*;
use crate::batch::Batch;
use crate::tools::verify;

const METRICS: u32 = 9;
const STATS: [Stat; 4] = [Stat::Mean, Stat::Max, Stat::Count, Stat::Std];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/format-3")
}

fn metric(number: u32) -> MetricId {
    MetricId(uuid::Uuid::from_u128(u128::from(number) * 0x0123_4567_89ab_cdef_0011_2233 + 5))
}

fn policy(number: u32) -> Arc<ArchivePolicy> {
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

async fn append(store: &LocalStore, metrics: std::ops::Range<u32>, readings: std::ops::Range<i64>) {
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
async fn fill(folder: PathBuf) -> Arc<LocalStore> {
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

async fn answers(store: &LocalStore) -> Vec<Series> {
    let requests = (0..METRICS).flat_map(|number| {
        STATS.into_iter().map(move |stat| SeriesRequest {
            metric: metric(number),
            policy: policy(number),
            method: AggregationMethod::plain(stat),
            granularities: Vec::new(),
            start: None,
            stop: None,
            resample: None,
        })
    });
    store.query(requests.collect()).await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_of_format_3_can_be_read_for_ever() {
    let mut kinds: Vec<String> = fs::read_dir(golden().join("shard-0000"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().chars().take(4).collect())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["MANI", "log-", "segm"]);
    let (old, new) = (folder(), folder());
    copy(&golden(), &old.path().join("store"));
    let place = crate::Place::from(old.path().join("store"));
    assert!(verify(&place, &mut |_, _| {}).unwrap().is_empty());
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let options = StoreOptions { min_free: 0, ..StoreOptions::new(old.path().join("store"), clock) };
    let (was, made) = (LocalStore::open(options).unwrap(), fill(new.path().join("store")).await);
    let expected = answers(&made).await;
    let points = |series: &Series| series.granularities.iter().map(|one| one.values.len()).sum::<usize>();
    assert!(expected.iter().map(points).sum::<usize>() > 10_000);
    assert_eq!(answers(&was).await, expected);
    // And it goes on from there.
    for store in [&was, &made] {
        append(store, 0..METRICS, 1_100..1_300).await;
        store.compact(true).await.unwrap();
    }
    assert_eq!(answers(&was).await, answers(&made).await);
}

#[tokio::test]
#[ignore = "makes the files that the other test reads, once for each format"]
async fn write_format_3() {
    assert!(!golden().exists(), "what was written stays for ever");
    fill(golden()).await.close().await;
}

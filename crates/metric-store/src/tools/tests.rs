use std::path::PathBuf;

use nephos_model::{Granularity, ManualClock, Measure, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

use super::*;
use crate::batch::Batch;
use crate::contract::MetricStore;
use crate::options::StoreOptions;
use crate::store::LocalStore;

/// Thirty metrics in two segments and a log, one of them deleted.
async fn filled(folder: PathBuf) -> Vec<MetricId> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let store = LocalStore::open(StoreOptions { min_free: 0, ..StoreOptions::new(folder, clock) }).unwrap();
    let policy = Arc::new(ArchivePolicy {
        name: "minutely".to_owned(),
        back_window: 0,
        definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points: None }],
        methods: vec![AggregationMethod::plain(Stat::Mean), AggregationMethod::plain(Stat::Count)],
    });
    let metrics: Vec<MetricId> = (0..30).map(|_| MetricId::random()).collect();
    for round in 0..3 {
        let mut batch = Batch::default();
        for metric in &metrics {
            let minutes = round * 50..round * 50 + 50;
            let measures = minutes.map(|minute| Measure::new(Timestamp::from_secs(minute * 60), 0.1));
            batch.push(*metric, &policy, measures);
        }
        store.append(Arc::new(batch)).await.unwrap();
        if round == 0 {
            store.compact(true).await.unwrap();
            store.delete(&metrics[..1]).await.unwrap();
        } else if round == 1 {
            store.compact(false).await.unwrap();
        }
    }
    store.close().await;
    metrics
}

#[tokio::test]
async fn a_store_tells_what_it_holds_and_has_no_problems() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path().join("store")).await;
    let place = Place::from(folder.path().join("store"));
    let mut heard = (0, 0);
    let found = inspect(&place, &mut |done, total| heard = (done, total)).unwrap();
    let [shard] = found.shards.as_slice() else { panic!("one shard") };
    assert_eq!((shard.epoch, shard.segments.len(), shard.logs), (1, 2, 1));
    assert!(heard.0 == heard.1 && heard.0 > 0, "{heard:?}");
    let [first, second] = shard.segments.as_slice() else { panic!("two segments") };
    assert_eq!((first.metrics, second.metrics), (30, 30));
    assert_eq!((first.buckets, first.raw), (30 * 49, 30));
    let rows: u64 = found
        .encodings
        .iter()
        .filter(|(name, _)| name.starts_with("values"))
        .map(|(_, size)| size.rows)
        .sum();
    assert_eq!(rows, 2 * (first.buckets + second.buckets), "a row for each method");
    assert_eq!(verify(&place, &mut |_, _| {}).unwrap(), []);
}

#[tokio::test]
async fn any_flipped_bit_is_a_problem_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path().join("store")).await;
    let place = Place::from(folder.path().join("store"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("store/shard-0000")).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.sort();
    // Manifests before the newest are read by nobody.
    let is_manifest = |path: &PathBuf| path.display().to_string().contains("MANIFEST");
    let newest = files.iter().rfind(|path| is_manifest(path)).unwrap().clone();
    files.retain(|path| !is_manifest(path) || *path == newest);
    for path in files {
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut content = whole.clone();
            content[at] ^= 0x20;
            std::fs::write(&path, content).unwrap();
            let problems = verify(&place, &mut |_, _| {}).unwrap();
            let named = problems.iter().any(|problem| problem.path == path.display().to_string());
            let cut = path.extension().is_some_and(|extension| extension == "nlog");
            assert!(named || cut, "byte {at} of {}: {problems:?}", path.display());
        }
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn where_there_is_no_store_the_error_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::from(folder.path().to_owned());
    let error = verify(&place, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("FORMAT"), "{error}");
}

//! Files of the stable format: a store that holds them answers what one answers that is made now.

mod filling;

use std::fs;
use std::path::Path;

use filling::{METRICS, STATS, append, fill, metric, policy};

use super::*;
use crate::batch::Batch;
use crate::tools::verify;

/// Stores that were written at different times.
const GOLDEN: [&str; 2] = ["format-3", "format-3-segments-4"];

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
async fn stores_of_format_3_can_be_read_for_ever() {
    for golden in GOLDEN {
        can_be_read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(golden)).await;
    }
}

async fn can_be_read(golden: &Path) {
    let mut kinds: Vec<String> = fs::read_dir(golden.join("shard-0000"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().chars().take(4).collect())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["MANI", "log-", "segm"]);
    let (old, new) = (folder(), folder());
    copy(golden, &old.path().join("store"));
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

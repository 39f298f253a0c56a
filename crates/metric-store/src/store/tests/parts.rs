//! Answers part by part.

use super::*;
use crate::contract::Progress;

async fn filled(
    limits: Limits,
    metrics: usize,
) -> (tempfile::TempDir, Arc<LocalStore>, Arc<Vec<SeriesRequest>>) {
    let folder = folder();
    let store = LocalStore::open(StoreOptions { limits, ..options(folder.path()) }).unwrap();
    let metrics: Vec<MetricId> = (0..metrics).map(|_| MetricId::random()).collect();
    let runs = metrics.iter().map(|metric| run(*metric, (0..2_000).map(|minute| (minute * 60, 0.5))));
    store.append_runs(runs.collect()).await.unwrap();
    let requests = metrics.into_iter().map(request).collect();
    (folder, store, Arc::new(requests))
}

#[tokio::test]
async fn a_part_is_no_larger_than_needed_and_none_is_empty() {
    let (_folder, store, requests) = filled(Limits::default(), 100).await;
    for compacted in [false, true] {
        if compacted {
            store.compact(true).await.unwrap();
        }
        let (mut so_far, mut parts) = (Progress::default(), 0);
        while so_far.answered < requests.len() {
            let part = store.query_next(&requests, &mut so_far).await.unwrap();
            assert!((1..=PART_POINTS / 2_000 + 1).contains(&part.len()), "{}", part.len());
            parts += 1;
        }
        assert!(parts > 5);
        assert!(so_far.points >= 200_000, "{so_far:?}");
        assert!(store.query_next(&requests, &mut so_far).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn series_without_points_fill_a_part_as_well() {
    let (_folder, store, _) = filled(Limits::default(), 1).await;
    let requests = Arc::new((0..10_000).map(|_| request(MetricId::random())).collect::<Vec<_>>());
    let mut so_far = Progress::default();
    let part = store.query_next(&requests, &mut so_far).await.unwrap();
    assert!((100..5_000).contains(&part.len()), "{}", part.len());
}

#[tokio::test]
async fn limits_bound_all_parts_together() {
    let (_folder, store, requests) = filled(Limits { points: 150_000, ..Limits::default() }, 100).await;
    let mut so_far = Progress::default();
    let refused = loop {
        match store.query_next(&requests, &mut so_far).await {
            Ok(part) => assert!(!part.is_empty()),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, StoreError::TooLarge { what: "a query's points", size: 150_001.., limit: 150_000 }),
        "{refused:?}"
    );
    assert!((60..=75).contains(&so_far.answered), "{so_far:?}");
    let (_folder, store, requests) = filled(Limits { requests: 9, ..Limits::default() }, 10).await;
    let refused = store.query_next(&requests, &mut Progress::default()).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { size: 10, limit: 9, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_shard_that_is_given_up_ends_what_is_read_of_it() {
    let (_folder, store, requests) = filled(Limits::default(), 50).await;
    let mut so_far = Progress::default();
    assert!(!store.query_next(&requests, &mut so_far).await.unwrap().is_empty());
    let before = (so_far.answered, so_far.points);
    store.release(0).await.unwrap();
    let refused = store.query_next(&requests, &mut so_far).await;
    assert!(matches!(refused, Err(StoreError::NoOwner { .. })), "{refused:?}");
    assert_eq!((so_far.answered, so_far.points), before);
}

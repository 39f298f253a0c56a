//! The engine on an object store: the whole contract, restarts included, and takeovers while it is used.

use std::sync::Arc;

use async_trait::async_trait;
use nephos_model::{Measure, MetricId, Timestamp};
use nephos_observe::SystemClock;
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

use super::{ObjectPlace, Place, SimFs, bucket, runtime};
use crate::contract::{MetricStore, Run, SeriesRequest, StoreError};
use crate::options::StoreOptions;
use crate::store::LocalStore;
use crate::suite::Subject;

struct Engine {
    place: Place,
    store: Arc<LocalStore>,
}

fn open(place: &Place) -> Arc<LocalStore> {
    let options = StoreOptions::new(place.clone(), Arc::new(SystemClock::default()));
    LocalStore::open(StoreOptions { shards: 2, ..options }).unwrap()
}

impl Engine {
    fn new(place: ObjectPlace) -> Self {
        let place = Place::Object(place);
        Self { store: open(&place), place }
    }
}

#[async_trait]
impl Subject for Engine {
    fn store(&self) -> Arc<dyn MetricStore> {
        Arc::clone(&self.store) as Arc<dyn MetricStore>
    }

    /// Another process takes over; the old one is not even asked to stop.
    async fn reopen(&mut self) {
        self.store = open(&self.place);
    }

    async fn compact(&mut self) {
        self.store.compact(true).await.unwrap();
    }
}

mod in_memory {
    crate::contract_suite!(super::Engine::new(super::ObjectPlace::memory(super::runtime())));
}

fn run(second: i64) -> Run {
    let definition =
        vec![PolicyItem { granularity: nephos_model::Granularity::from_secs(60).unwrap(), points: None }];
    Run {
        metric: MetricId(uuid::Uuid::from_u128(7)),
        policy: Arc::new(ArchivePolicy {
            name: "counting".to_owned(),
            back_window: 10,
            definition,
            methods: vec![AggregationMethod::plain(Stat::Count)],
        }),
        measures: vec![Measure::new(Timestamp::from_secs(1_000_000 + second), 1.0)],
    }
}

async fn count(store: &LocalStore) -> f64 {
    let Run { metric, policy, .. } = run(0);
    let request = SeriesRequest {
        metric,
        policy,
        method: AggregationMethod::plain(Stat::Count),
        granularities: Vec::new(),
        start: None,
        stop: None,
        resample: None,
    };
    store.query(vec![request]).await.unwrap()[0].granularities[0].values.iter().sum()
}

#[tokio::test]
async fn a_log_of_many_objects_is_made_an_end_of() {
    let place = Place::Object(ObjectPlace::memory(runtime()));
    let disk = place.shard(0).unwrap();
    let options = StoreOptions::new(place.clone(), Arc::new(SystemClock::default()));
    let store = LocalStore::open(options).unwrap();
    let mut second = 0;
    while disk.list().unwrap().iter().all(|name| !name.ends_with(".nseg")) {
        store.append_runs(vec![run(second)]).await.unwrap();
        second += 1;
        assert!(second < 5_000, "{:?}", disk.list().unwrap());
    }
}

/// Owners come one after the other, and none of those before notices until it tries something.
async fn takeovers(place: Place) {
    let mut second = 0_i32;
    let mut before: Vec<Arc<LocalStore>> = Vec::new();
    for owner in 0..5 {
        let store = open(&place);
        assert_eq!(count(&store).await, f64::from(second), "owner {owner}");
        for _ in 0..4 {
            store.append_runs(vec![run(second.into())]).await.unwrap();
            second += 1;
            if owner % 2 == 1 {
                store.compact(true).await.unwrap();
            }
        }
        for (former, old) in before.iter().enumerate() {
            // What it appends or merges must neither be answered with success nor disturb the owner.
            if former % 2 == 0 {
                assert!(old.compact(true).await.is_err(), "owner {former} merged after owner {owner} came");
            }
            let refused = old.append_runs(vec![run(second.into())]).await;
            assert!(matches!(refused, Err(StoreError::NoOwner { .. })), "owner {former}: {refused:?}");
        }
        assert_eq!(count(&store).await, f64::from(second), "owner {owner}");
        before.push(store);
    }
}

#[tokio::test]
async fn owners_follow_each_other_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    takeovers(Place::Folder(folder.path().join("store"))).await;
}

#[tokio::test]
async fn owners_follow_each_other_on_a_simulated_disk() {
    takeovers(Place::Simulated(SimFs::new(3))).await;
}

#[tokio::test]
async fn owners_follow_each_other_in_memory() {
    takeovers(Place::Object(ObjectPlace::memory(runtime()))).await;
}

#[tokio::test]
async fn owners_follow_each_other_on_s3() {
    let place = tokio::task::spawn_blocking(|| ObjectPlace::s3(&bucket(), runtime()).unwrap());
    takeovers(Place::Object(place.await.unwrap())).await;
}

//! Several collectors on one store: who owns what, and that nothing is lost or counted twice while that changes.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use nephos_coordination::{LocalGroups, LocalLeases};
use nephos_metric_store::{
    Adoption, AppendReport, Batch, Erase, Run, Series, SeriesRequest, StoreOptions, StoreStatistics, shard_of,
};
use nephos_model::{Granularity, Measure, MetricId, Timestamp};
use nephos_observe::SystemClock;
use nephos_timeseries::{ArchivePolicy, PolicyItem};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

const SHARDS: u32 = 8;
/// Appends that a load makes at least.
const FEWEST: i64 = 20;
const METRICS: u128 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// Quick, but not so quick that a busy machine loses leases by itself.
fn pace() -> Pace {
    Pace {
        ttl: Duration::from_secs(2),
        renew: Duration::from_millis(400),
        look: Duration::from_millis(100),
        patience: Duration::from_secs(1),
    }
}

/// What all collectors share.
struct World {
    folder: TempDir,
    leases: LocalLeases,
    groups: LocalGroups,
    clock: Arc<dyn Clock>,
    /// Who answers at which URL.
    served: Arc<Mutex<HashMap<String, Arc<dyn MetricStore>>>>,
}

struct Collector {
    ownership: Arc<Ownership>,
    store: Arc<LocalStore>,
    shutdown: Shutdown,
    keeper: JoinHandle<Result<(), NotShared>>,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Self {
            folder: tempfile::tempdir().unwrap(),
            leases: LocalLeases::new(Arc::clone(&clock)),
            groups: LocalGroups::new(Arc::clone(&clock), pace().ttl),
            clock,
            served: Arc::default(),
        }
    }

    fn start(&self, name: &str, shared: bool) -> Collector {
        let mut options = StoreOptions::new(self.folder.path().join("store"), Arc::clone(&self.clock));
        options.shards = SHARDS;
        options.own = Some(Vec::new());
        options.min_free = 0;
        let store = LocalStore::open(options).unwrap();
        let ownership = Arc::new(Ownership::new(OwnershipParts {
            leases: Arc::new(self.leases.clone()),
            membership: Arc::new(self.groups.member(name)),
            store: Arc::clone(&store),
            clock: Arc::clone(&self.clock),
            url: format!("http://{name}"),
            shared,
            pace: pace(),
        }));
        self.served.lock().unwrap().insert(format!("http://{name}"), ownership.guard());
        let shutdown = Shutdown::default();
        let keeper = tokio::spawn(keep(Arc::clone(&ownership), shutdown.clone()));
        Collector { ownership, store, shutdown, keeper }
    }

    /// The store as somebody sees it who owns nothing.
    fn remote(&self) -> Arc<dyn MetricStore> {
        Arc::new(Direct { leases: self.leases.clone(), served: Arc::clone(&self.served) })
    }

    /// Sends until told to stop, and some times at least; how many times each metric was measured.
    fn load(&self, through: Arc<dyn MetricStore>) -> (Arc<AtomicBool>, JoinHandle<i64>) {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let policy = policy();
        let task = tokio::spawn(async move {
            let mut second = 0;
            while second <= FEWEST || !told.load(Ordering::Relaxed) {
                let at = Timestamp::from_secs(1_000_000 + second);
                let runs = (0..METRICS).map(|number| Run {
                    metric: metric(number),
                    policy: Arc::clone(&policy),
                    measures: vec![Measure::new(at, 1.0)],
                });
                let batch: Arc<Batch> = Arc::new(runs.collect::<Vec<_>>().into());
                let end = tokio::time::Instant::now() + PATIENCE;
                while let Err(error) = through.append(Arc::clone(&batch)).await {
                    assert!(error.is_retryable() && tokio::time::Instant::now() < end, "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                second += 1;
            }
            second
        });
        (stop, task)
    }

    async fn assert_counted(&self, measured: i64) {
        assert!(measured > FEWEST, "only {measured} appends");
        let requests = (0..METRICS).map(|number| SeriesRequest {
            metric: metric(number),
            policy: policy(),
            method: "count".parse().unwrap(),
            granularities: Vec::new(),
            start: None,
            stop: None,
            resample: None,
        });
        let found = self.remote().query(requests.collect()).await.unwrap();
        for (number, series) in found.iter().enumerate() {
            let count: f64 = series.granularities[0].values.iter().sum();
            assert_eq!(count, measured as f64, "metric {number}");
        }
    }
}

async fn keep(ownership: Arc<Ownership>, shutdown: Shutdown) -> Result<(), NotShared> {
    ownership.keep(&shutdown).await
}

impl Collector {
    /// Ends in order.
    async fn stop(self) {
        self.shutdown.trigger();
        self.keeper.await.unwrap().unwrap();
        self.store.close().await;
        self.ownership.release().await;
    }

    /// Does nothing any more, as if the machine slept.
    fn pause(&self) {
        self.keeper.abort();
    }

    fn resume(&mut self) {
        self.keeper = tokio::spawn(keep(Arc::clone(&self.ownership), self.shutdown.clone()));
    }
}

fn metric(number: u128) -> MetricId {
    MetricId(uuid::Uuid::from_u128(number * 0x1234_5678_9abc_def1))
}

fn policy() -> Arc<ArchivePolicy> {
    Arc::new(ArchivePolicy {
        name: "counting".to_owned(),
        back_window: 60,
        definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points: None }],
        methods: vec!["count".parse().unwrap()],
    })
}

/// Calls owners without a network between.
#[derive(Debug)]
struct Direct {
    leases: LocalLeases,
    served: Arc<Mutex<HashMap<String, Arc<dyn MetricStore>>>>,
}

impl Direct {
    async fn owner(&self, shard: u32) -> Result<Arc<dyn MetricStore>, StoreError> {
        let none = StoreError::NoOwner { retry_after: Duration::ZERO };
        let holder = self.leases.holder(&lease_name(shard)).await.unwrap();
        let Some(holder) = holder else { return Err(none) };
        self.served.lock().unwrap().get(&holder.url).cloned().ok_or(none)
    }
}

#[async_trait::async_trait]
impl MetricStore for Direct {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        let mut sum = AppendReport::default();
        for (shard, part) in batch.split(SHARDS, |metric| shard_of(metric, SHARDS)) {
            let report = self.owner(shard).await?.append(part).await?;
            sum.accepted += report.accepted;
            sum.late += report.late;
        }
        Ok(sum)
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        let mut all = Vec::new();
        for request in requests {
            let owner = self.owner(shard_of(request.metric, SHARDS)).await?;
            all.extend(owner.query(vec![request]).await?);
        }
        Ok(all)
    }

    async fn delete(&self, _metrics: &[MetricId]) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn erase(&self, _erase: &Erase) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn adopt(&self, _adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        unreachable!()
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        unreachable!()
    }
}

/// Waits until each shard is served by exactly one of them, and each has some.
async fn settled(collectors: &[&Collector]) {
    wait("every shard has one owner and every collector a share", || {
        let shares: Vec<Vec<u32>> =
            collectors.iter().map(|collector| collector.ownership.serving()).collect();
        let mut all: Vec<u32> = shares.iter().flatten().copied().collect();
        all.sort_unstable();
        let fine = all == (0..SHARDS).collect::<Vec<_>>() && shares.iter().all(|share| !share.is_empty());
        if fine { Ok(()) } else { Err(format!("{shares:?}")) }
    })
    .await;
}

async fn wait(what: &str, check: impl Fn() -> Result<(), String>) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Err(last) = check() {
        assert!(tokio::time::Instant::now() < end, "{what} did not happen; last: {last}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_move_when_collectors_come_and_go_and_every_measure_counts_once() {
    let world = World::new();
    let first = world.start("first", true);
    settled(&[&first]).await;
    let loads = [world.load(world.remote()), world.load(first.ownership.routed(world.remote()))];
    let second = world.start("second", true);
    settled(&[&first, &second]).await;
    let third = world.start("third", true);
    settled(&[&first, &second, &third]).await;
    second.stop().await;
    settled(&[&first, &third]).await;
    for (stop, _) in &loads {
        stop.store(true, Ordering::Relaxed);
    }
    let [(_, remote), (_, routed)] = loads;
    let measured = remote.await.unwrap().max(routed.await.unwrap());
    world.assert_counted(measured).await;
    third.stop().await;
    settled(&[&first]).await;
    world.assert_counted(measured).await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_was_paused_steps_down_and_nothing_is_lost_or_counted_twice() {
    let world = World::new();
    let mut first = world.start("first", true);
    let second = world.start("second", true);
    settled(&[&first, &second]).await;
    let (stop, load) = world.load(world.remote());
    let before = first.ownership.serving();
    first.pause();
    settled(&[&second]).await;
    // It still believes that it serves, and answers nobody.
    assert_eq!(first.ownership.serving(), before);
    let guard = first.ownership.guard();
    let ours = (0..METRICS).map(metric).find(|metric| before.contains(&shard_of(*metric, SHARDS))).unwrap();
    let run =
        Run { metric: ours, policy: policy(), measures: vec![Measure::new(Timestamp::from_secs(5), 1.0)] };
    for store in [guard, Arc::clone(&first.store) as Arc<dyn MetricStore>] {
        let refused = store.append_runs(vec![run.clone()]).await;
        assert!(matches!(refused, Err(StoreError::NoOwner { .. })), "{refused:?}");
    }
    first.resume();
    settled(&[&first, &second]).await;
    stop.store(true, Ordering::Relaxed);
    world.assert_counted(load.await.unwrap()).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_one_lease_gives_up_that_shard_only() {
    let world = World::new();
    let first = world.start("first", true);
    settled(&[&first]).await;
    let (stop, load) = world.load(first.ownership.routed(world.remote()));
    // Somebody of the same name took it: its epoch has moved.
    let taken = world.leases.acquire(&lease_name(3), "first", "http://nobody", pace().ttl).await.unwrap();
    wait("the shard is given up", || match first.ownership.serving().as_slice() {
        [0, 1, 2, 4, 5, 6, 7] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    settled(&[&first]).await;
    let holder = world.leases.holder(&lease_name(3)).await.unwrap().unwrap();
    assert!(holder.epoch > taken.epoch && holder.url == "http://first", "{holder:?}");
    stop.store(true, Ordering::Relaxed);
    world.assert_counted(load.await.unwrap()).await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_shared_is_refused_to_a_second_collector() {
    let world = World::new();
    let first = world.start("first", false);
    settled(&[&first]).await;
    let second = world.start("second", false);
    let error = tokio::time::timeout(PATIENCE, second.keeper).await.unwrap().unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("first has the metric store") && text.contains("[store] shared"), "{text}");
    assert_eq!(first.ownership.serving().len(), SHARDS as usize);
    first.stop().await;
    // One that ends gives it up to the next.
    let third = world.start("third", false);
    settled(&[&third]).await;
    third.stop().await;
}

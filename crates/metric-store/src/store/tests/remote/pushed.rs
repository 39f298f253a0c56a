//! Two owners of one store: how often they are asked, and for what.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use nephos_lang::operations::{Operation, Reference};
use nephos_timeseries::{ArchivePolicy, Fill};

use super::*;
use crate::compute::{Computation, Computed, Filling, Refusal, Work};
use crate::contract::{Adoption, Erase, Progress};

/// An owner that counts.
#[derive(Debug)]
struct Counting {
    store: Arc<LocalStore>,
    calls: AtomicUsize,
    /// Series that left it.
    series: AtomicUsize,
}

#[async_trait]
impl MetricStore for Counting {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        self.store.append(batch).await
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.series.fetch_add(requests.len(), Ordering::Relaxed);
        self.store.query(requests).await
    }

    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        self.calls.fetch_add(usize::from(so_far.answered == 0), Ordering::Relaxed);
        let part = self.store.query_next(requests, so_far).await?;
        self.series.fetch_add(part.len(), Ordering::Relaxed);
        Ok(part)
    }

    async fn compute(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let outcomes = self.store.compute(computations).await?;
        let grids = outcomes.iter().flatten().flat_map(|computed| &computed.grids);
        self.series.fetch_add(grids.map(nephos_timeseries::Grid::width).sum(), Ordering::Relaxed);
        Ok(outcomes)
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        self.store.delete(metrics).await
    }

    async fn erase(&self, erase: &Erase) -> Result<(), StoreError> {
        self.store.erase(erase).await
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        self.store.adopt(adoption).await
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.store.statistics().await
    }
}

/// Owners by shard.
#[derive(Debug)]
pub(super) struct Owners(pub(super) Mutex<[String; 3]>);

#[async_trait]
impl OwnerLookup for Owners {
    async fn owner(&self, shard: u32) -> Result<Option<Owner>, String> {
        let url = self.0.lock().unwrap()[shard as usize].clone();
        Ok(Some(Owner { url, epoch: 1 }))
    }
}

pub(super) struct Shared {
    _folder: tempfile::TempDir,
    owners: [Arc<Counting>; 2],
    urls: [String; 2],
    lookup: Arc<Owners>,
    pub(super) store: RemoteStore,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    /// The first owner has shard 0, the second the others.
    pub(super) async fn new(limits: Limits) -> Self {
        let folder = folder();
        let open = |own: Vec<u32>| {
            let options = StoreOptions { shards: 3, own: Some(own), limits, ..options(folder.path()) };
            let store = LocalStore::open(options).unwrap();
            Arc::new(Counting { store, calls: AtomicUsize::new(0), series: AtomicUsize::new(0) })
        };
        let owners = [open(vec![0]), open(vec![1, 2])];
        let (mut urls, mut servers) = (Vec::new(), Vec::new());
        for owner in &owners {
            let (url, server) = serve(Arc::clone(owner) as _, "127.0.0.1:0", Limits::default()).await;
            urls.push(url);
            servers.push(server);
        }
        let urls: [String; 2] = urls.try_into().unwrap();
        let lookup = Arc::new(Owners(Mutex::new([0, 1, 1].map(|owner: usize| urls[owner].clone()))));
        let options = RemoteOptions::new(SecretString::from(TOKEN.to_owned()), 3);
        let store = RemoteStore::new(client(), Arc::clone(&lookup) as _, options);
        Self { _folder: folder, owners, urls, lookup, store, servers }
    }

    /// Calls and series since the last look, by owner.
    pub(super) fn counted(&self) -> [(usize, usize); 2] {
        let take = |figure: &AtomicUsize| figure.swap(0, Ordering::Relaxed);
        [0, 1].map(|owner: usize| (take(&self.owners[owner].calls), take(&self.owners[owner].series)))
    }

    /// The sum of a plain value of metrics, one point each.
    async fn total(&self, metrics: &[MetricId]) -> f64 {
        let outcomes = self.store.compute(vec![sum(metrics)]).await.unwrap();
        outcomes[0].as_ref().unwrap().grids[0].column(0)[0]
    }
}

/// What metrics come to at each timestamp.
pub(super) fn sum(metrics: &[MetricId]) -> Computation {
    let request = |metric: &MetricId| SeriesRequest {
        granularities: vec![Granularity::from_secs(60).unwrap()],
        ..request(*metric)
    };
    let reference = Reference { name: "m".to_owned(), method: "mean".to_owned() };
    let operand = Box::new(Operation::Metric(vec![reference]));
    let operations = Arc::new(Operation::Aggregate { method: "sum".to_owned(), operand });
    let selection = vec![(0..u32::try_from(metrics.len()).unwrap()).collect()];
    let filling = Filling::Fill { fill: Fill::Null, dropping: true };
    Computation {
        requests: metrics.iter().map(request).collect(),
        work: Work::Operations { operations, selection, filling },
    }
}

/// So many metrics of each shard, with values 1, 2, 3, …
async fn filled(store: &RemoteStore, each: usize) -> [Vec<MetricId>; 3] {
    let mut metrics = [const { Vec::new() }; 3];
    while metrics.iter().any(|of_shard| of_shard.len() < each) {
        let metric = MetricId::random();
        let of_shard = &mut metrics[shard_of(metric, 3) as usize];
        if of_shard.len() < each {
            of_shard.push(metric);
        }
    }
    let runs = metrics.iter().flatten().zip(1u32..).map(|(metric, value)| run(*metric, [(0, value.into())]));
    store.append_runs(runs.collect()).await.unwrap();
    metrics
}

#[tokio::test]
async fn each_owner_is_asked_once_and_sends_what_series_come_to() {
    let shared = Shared::new(Limits::default()).await;
    let metrics = filled(&shared.store, 10).await;
    // All at one owner: it answers alone, with one series.
    let of_second = metrics[1..].concat();
    assert_eq!(shared.total(&of_second).await, f64::from((11..=30).sum::<u32>()));
    assert_eq!(shared.counted(), [(0, 0), (1, 1)]);
    // At both: a share of two columns each.
    let all = metrics.concat();
    assert_eq!(shared.total(&all).await, f64::from((1..=30).sum::<u32>()));
    assert_eq!(shared.counted(), [(1, 2), (1, 2)]);
    // So few that their series are no more than shares would be.
    let few = [metrics[0][0], metrics[1][0], metrics[2][0]];
    assert_eq!(shared.total(&few).await, f64::from(1 + 11 + 21));
    assert_eq!(shared.counted(), [(1, 1), (1, 2)]);
    // A query asks each once, too.
    let series = shared.store.query(all.iter().copied().map(request).collect()).await.unwrap();
    let values: Vec<f64> = series.iter().map(|series| series.granularities[0].values[0]).collect();
    assert_eq!(values, (1..=30).map(f64::from).collect::<Vec<_>>());
    assert_eq!(shared.counted(), [(1, 10), (1, 20)]);
}

#[tokio::test]
async fn a_shard_that_moved_is_followed_in_the_middle_of_a_computation() {
    let shared = Shared::new(Limits::default()).await;
    let metrics = filled(&shared.store, 10).await.concat();
    let expected = f64::from((1..=30).sum::<u32>());
    assert_eq!(shared.total(&metrics).await, expected);
    // The second owner gives shard 2 to the first; the caller still believes otherwise.
    let [first, second] = &shared.owners;
    second.store.release(2).await.unwrap();
    first.store.acquire(2).await.unwrap();
    shared.lookup.0.lock().unwrap()[2] = shared.urls[0].clone();
    assert_eq!(shared.total(&metrics).await, expected);
    shared.counted();
    assert_eq!(shared.total(&metrics).await, expected);
    assert_eq!(shared.counted(), [(1, 2), (1, 2)], "known by now");
}

#[tokio::test]
async fn limits_count_where_series_are_read() {
    let shared = Shared::new(Limits { requests: 15, ..Limits::default() }).await;
    let metrics = filled(&shared.store, 10).await;
    let refused = shared.store.compute(vec![sum(&metrics.concat())]).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { what: "a query's series", size: 20, limit: 15 })),
        "{refused:?}"
    );
    assert_eq!(shared.total(&metrics[0]).await, 55.0);
}

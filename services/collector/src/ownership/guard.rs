//! The store as calls see it: what is surely ours, and where the rest is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use nephos_metric_store::{
    Adoption, AppendReport, Batch, Computation, Computed, Erase, LocalStore, MetricStore, Progress, Refusal,
    Series, SeriesRequest, StoreError, StoreStatistics, shard_of,
};
use nephos_model::MetricId;
use nephos_timeseries::ArchivePolicy;

use super::Shares;

const NO_OWNER: StoreError = StoreError::NoOwner { retry_after: Duration::from_secs(1) };

/// The shards of this process, refused when their lease may have run out.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) store: Arc<LocalStore>,
    pub(super) shares: Arc<Shares>,
}

impl Guarded {
    fn shard(&self, metric: MetricId) -> u32 {
        shard_of(metric, self.store.shard_count())
    }

    fn check(&self, mut metrics: impl Iterator<Item = MetricId>) -> Result<(), StoreError> {
        // The store refuses by itself what is not open. Only while a lease is in doubt each metric is looked at.
        let sure = self.shares.now() < self.shares.all_open.load(Ordering::Acquire)
            || metrics.all(|metric| self.shares.is_ours(self.shard(metric)));
        if sure { Ok(()) } else { Err(NO_OWNER) }
    }

    fn is_whole(&self) -> bool {
        self.shares.now() < self.shares.whole.load(Ordering::Acquire)
    }
}

/// The metrics that computations read.
fn metrics(computations: &[Computation]) -> impl Iterator<Item = MetricId> {
    computations.iter().flat_map(|computation| &computation.requests).map(|request| request.metric)
}

#[async_trait]
impl MetricStore for Guarded {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        self.check(batch.runs().map(|run| run.metric))?;
        self.store.append(batch).await
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        self.check(requests.iter().map(|request| request.metric))?;
        self.store.query(requests).await
    }

    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        self.check(requests.iter().map(|request| request.metric))?;
        self.store.query_next(requests, so_far).await
    }

    async fn compute(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.check(metrics(&computations))?;
        self.store.compute(computations).await
    }

    async fn compute_next(
        &self,
        computations: &Arc<Vec<Computation>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.check(metrics(computations))?;
        self.store.compute_next(computations, so_far).await
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        self.check(metrics.iter().copied())?;
        self.store.delete(metrics).await
    }

    async fn erase(&self, erase: &Erase) -> Result<(), StoreError> {
        self.check(erase.metrics.iter().copied())?;
        self.store.erase(erase).await
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        self.check(std::iter::once(adoption.metric))?;
        self.store.adopt(adoption).await
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.store.statistics().await
    }
}

/// All shards: appends to our own go straight to them, everything else through the store that finds owners.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) ours: Guarded,
    pub(super) others: Arc<dyn MetricStore>,
}

impl Routed {
    fn whole(&self) -> &dyn MetricStore {
        if self.ours.is_whole() { &self.ours } else { self.others.as_ref() }
    }
}

#[async_trait]
impl MetricStore for Routed {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        if self.ours.is_whole() {
            return self.ours.append(batch).await;
        }
        let of_others = |metric| u32::from(!self.ours.shares.is_ours(self.ours.shard(metric)));
        let parts = batch.split(2, of_others).into_iter().map(|(other, part)| async move {
            let store: &dyn MetricStore = if other == 0 { &self.ours } else { self.others.as_ref() };
            store.append(part).await
        });
        let mut sum = AppendReport::default();
        for report in futures_util::future::join_all(parts).await {
            let report = report?;
            sum.accepted += report.accepted;
            sum.late += report.late;
        }
        Ok(sum)
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        self.whole().query(requests).await
    }

    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        self.whole().query_next(requests, so_far).await
    }

    async fn compute(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.whole().compute(computations).await
    }

    async fn compute_next(
        &self,
        computations: &Arc<Vec<Computation>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.whole().compute_next(computations, so_far).await
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        self.whole().delete(metrics).await
    }

    async fn erase(&self, erase: &Erase) -> Result<(), StoreError> {
        self.whole().erase(erase).await
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        self.whole().adopt(adoption).await
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.whole().statistics().await
    }
}

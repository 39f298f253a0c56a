//! What a metric store promises, in whatever process it runs.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nephos_model::{Granularity, Measure, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy};
pub use nephos_timeseries::{Calendar, Resample};

pub use crate::batch::{Batch, RunRef};
use crate::compute::{Computation, Computed, Refusal, evaluate_all};
use crate::remote::Calls;

/// Measures of one metric that are merged together: see [`Batch`], which holds many without an allocation for each.
#[derive(Clone, Debug)]
pub struct Run {
    /// The metric.
    pub metric: MetricId,
    /// Its archive policy as it is now. The store keeps what it was last given, so it needs no index.
    pub policy: Arc<ArchivePolicy>,
    /// The measures.
    pub measures: Vec<Measure>,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Measures taken.
    pub accepted: u64,
    /// Measures older than the back window: dropped for ever, as the contract wants.
    pub late: u64,
}

/// One series to read.
#[derive(Clone, Debug)]
pub struct SeriesRequest {
    /// The metric.
    pub metric: MetricId,
    /// Its archive policy as it is now: retention is judged by it.
    pub policy: Arc<ArchivePolicy>,
    /// Which aggregate.
    pub method: AggregationMethod,
    /// Which granularities; empty means all of the policy.
    pub granularities: Vec<Granularity>,
    /// First bucket: rounded down to each granularity, inclusive.
    pub start: Option<Timestamp>,
    /// End: bucket start < stop, not rounded.
    pub stop: Option<Timestamp>,
    /// Regrouping; needs exactly one granularity.
    pub resample: Option<Resample>,
}

/// Points of one granularity, ascending in time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPoints {
    /// The stored granularity they come from.
    pub granularity: Granularity,
    /// Bucket starts.
    pub timestamps: Vec<Timestamp>,
    /// Values, as many as timestamps.
    pub values: Vec<f64>,
}

/// The answer to one [`SeriesRequest`]: coarsest granularity first.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Series {
    /// Per granularity; granularities without data are present with no points.
    pub granularities: Vec<SeriesPoints>,
}

/// A range of time to erase of some metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// The metrics.
    pub metrics: Vec<MetricId>,
    /// Start of the range, inclusive.
    pub start: Timestamp,
    /// Its end, exclusive.
    pub stop: Timestamp,
}

/// Another policy for a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The metric.
    pub metric: MetricId,
    /// What it gets.
    pub policy: Arc<ArchivePolicy>,
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Metrics that hold data.
    pub metrics: u64,
    /// Measures accepted since the process started.
    pub accepted: u64,
    /// Measures dropped as late since the process started.
    pub late: u64,
    /// Measures accepted but not yet readable: zero by construction, counted to prove it.
    pub backlog: u64,
    /// Bytes on disk: log and segments.
    pub disk_bytes: u64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Writes are refused: free space is below `[store] min_free`. Reads go on.
    #[error("free space on {path} is {free} bytes, below store.min_free of {min_free} bytes")]
    DiskFull {
        /// The folder.
        path: String,
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        min_free: u64,
    },
    /// Nobody owns the shard just now; a retry helps.
    #[error("no process owns the metric store just now")]
    NoOwner {
        /// When to try again.
        retry_after: Duration,
    },
    /// The owner could not be reached or answered nonsense; a retry helps.
    #[error("metric store at {url}: {reason}")]
    Remote {
        /// Its address.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The request is larger than the store allows.
    #[error("{what} is {size}, more than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A file is damaged; the message names it.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store was written by a version that this one does not understand.
    #[error("{path} says {found:?}; this version reads {expected:?} only")]
    Format {
        /// The file.
        path: String,
        /// Its first line.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The operating system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Its error.
        #[source]
        source: std::io::Error,
    },
    /// The store is shutting down.
    #[error("the metric store is shutting down")]
    Closed,
}

impl StoreError {
    /// The same error once more: for each of several callers that one failure touched.
    pub(crate) fn same(&self) -> Self {
        match self {
            Self::DiskFull { path, free, min_free } => {
                Self::DiskFull { path: path.clone(), free: *free, min_free: *min_free }
            }
            Self::NoOwner { retry_after } => Self::NoOwner { retry_after: *retry_after },
            Self::Remote { url, reason } => Self::Remote { url: url.clone(), reason: reason.clone() },
            Self::TooLarge { what, size, limit } => Self::TooLarge { what, size: *size, limit: *limit },
            Self::Damaged { path, reason } => Self::Damaged { path: path.clone(), reason: reason.clone() },
            Self::Format { path, found, expected } => {
                Self::Format { path: path.clone(), found: found.clone(), expected }
            }
            Self::Io { action, path, source } => Self::Io {
                action,
                path: path.clone(),
                source: std::io::Error::new(source.kind(), source.to_string()),
            },
            Self::Closed => Self::Closed,
        }
    }

    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Damaged { .. } | Self::Format { .. })
    }
}

/// How far a list of requests was answered, part by part; its default is the beginning. What is being read for it
/// elsewhere ends when it is dropped.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests answered.
    pub answered: usize,
    /// Points read for them: what bounds those of one call bounds those of all parts.
    pub points: u64,
    /// The rest, on its way from the owners.
    pub(crate) calls: Option<Box<Calls>>,
}

/// A metric store. Two implementations: the engine in this process, and the shard's owner over HTTP.
#[async_trait]
pub trait MetricStore: Send + Sync + Debug {
    /// Takes a batch. When it returns `Ok`, every run is durable (it survives `kill -9` and power loss) and visible to
    /// the next [`query`](Self::query) of any process. On `Err` any subset may have been taken: repeating the append
    /// is harmless, since the same `(metric, timestamp, value)` twice is one.
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError>;

    /// [`append`](Self::append) for callers that have a few runs.
    async fn append_runs(&self, runs: Vec<Run>) -> Result<AppendReport, StoreError> {
        self.append(Arc::new(runs.into())).await
    }

    /// Reads series, one answer for each request in the same order. A metric without data gives empty series.
    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError>;

    /// The next part of what [`query`](Self::query) answers, for whoever hands it on before the rest is read: series of as
    /// many requests as take little room, of one at least. All are answered when `so_far` says so. Whoever is done before
    /// drops `so_far`; after an error the rest may be asked for again.
    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        let rest = requests.iter().skip(so_far.answered).cloned().collect();
        so_far.answered = requests.len();
        self.query(rest).await
    }

    /// Reads series and computes with them, one outcome for each computation in the same order. What a
    /// [`query`](Self::query) of all their series would refuse is refused; large results across many owners may differ
    /// from those of one in the last digits.
    async fn compute(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        let requests = computations.iter().flat_map(|computation| computation.requests.iter().cloned());
        let series = self.query(requests.collect()).await?;
        evaluate_all(computations, series).await
    }

    /// The next part of what [`compute`](Self::compute) answers, as [`query_next`](Self::query_next).
    async fn compute_next(
        &self,
        computations: &Arc<Vec<Computation>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        let rest = computations.iter().skip(so_far.answered).cloned().collect();
        so_far.answered = computations.len();
        self.compute(rest).await
    }

    /// Forgets metrics: hidden at once, space regained later. Unknown ones are fine; idempotent.
    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError>;

    /// Erases a range of time: when it returns, every bucket of every granularity that lies inside the range is gone,
    /// durably, and space is regained later. A bucket that sticks out of the range stays whole once it can take no more
    /// measures; before that it goes on without the erased ones. Measures that come afterwards are taken as ever: late
    /// ones inside the back window make their buckets anew. Retention does not go back, nor does the window. Metrics
    /// without data are fine; idempotent. [`StoreError::TooLarge`] for a metric that has more erased ranges than can be
    /// kept apart until its segments are merged.
    async fn erase(&self, erase: &Erase) -> Result<(), StoreError>;

    /// Gives a metric another policy, with whatever granularities and methods, durably and visibly to the next query.
    /// What can be [derived](nephos_timeseries::Derivation) from the aggregates that it has shows under the new policy
    /// as well; the rest begins empty. Runs that still come with a policy the metric had before are merged under the
    /// new one. What the new policy does not keep, and is no source of what it keeps, is gone. A metric without data
    /// gets its policy from its first run. Answers the last other policy that aggregates are still there of, if any:
    /// the same when it is asked again, whoever brought the change. [`StoreError::TooLarge`] for a metric whose policy
    /// changed more often than can be kept apart.
    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError>;

    /// Figures for status pages.
    async fn statistics(&self) -> Result<StoreStatistics, StoreError>;
}

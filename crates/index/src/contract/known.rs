//! What is told of metrics from memory.

use std::num::NonZeroU32;
use std::sync::Arc;

use nephos_timeseries::ArchivePolicy;

/// What measures need to know of the metrics that they belong to.
#[derive(Clone, Debug, Default)]
pub struct KnownMetrics {
    /// For each id asked for, in order, the place of its kind; `None` if there is no such live metric.
    pub metrics: Vec<Option<KindPlace>>,
    /// What many metrics share stands here once.
    pub kinds: Vec<MetricKind>,
}

impl KnownMetrics {
    /// For each id asked for, in order, its kind; `None` if there is no such live metric.
    pub fn each(&self) -> impl Iterator<Item = Option<&MetricKind>> {
        self.metrics.iter().map(|place| self.kinds.get((*place)?.index()))
    }
}

/// A place in [`KnownMetrics::kinds`], in four bytes even where it is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindPlace(NonZeroU32);

impl KindPlace {
    /// None beyond four billion.
    pub(crate) fn new(index: usize) -> Option<Self> {
        u32::try_from(index).ok()?.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    /// Its index.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Who may do something to a metric, and how it is kept.
#[derive(Clone, Debug)]
pub struct MetricKind {
    /// Creator string of the metric.
    pub creator: Option<Arc<str>>,
    /// Project of its resource.
    pub project_id: Option<Arc<str>>,
    /// Its policy as it is now.
    pub policy: Arc<ArchivePolicy>,
}

//! The head: what every metric of a shard has in memory.
//!
//! A metric keeps its raw measures sorted by time. Aggregates of everything from [`MetricState::sealed`] on are
//! computed from them when they are asked for; aggregates before that lie in segments. Measures before
//! [`MetricState::window`] can't change any more, so a checkpoint may aggregate them, write the aggregates and
//! move `sealed` up to `window`. That the result does not depend on when it does is what keeps replay exact.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use nephos_model::{Granularity, Measure, MetricId, Timestamp};
use nephos_timeseries::{ArchivePolicy, PolicyItem, RawBuffer, first_kept, low_water, merge_run};

use crate::contract::{AppendReport, Run};

/// One metric.
#[derive(Clone, Debug)]
pub(crate) struct MetricState {
    /// The policy of its last run.
    pub(crate) policy: Arc<ArchivePolicy>,
    /// Raw measures, ascending, one a timestamp: all from `sealed` on, as much before it as a bucket
    /// that straddles it needs, and the one before those if differences are wanted.
    pub(crate) raw: RawBuffer,
    /// Measures before this are late. Never moves back: aggregates whose raw measures may be gone are never
    /// replaced by aggregates of fewer measures.
    pub(crate) window: Timestamp,
    /// Buckets that start before this (rounded down to their width) are in segments, later ones are not.
    pub(crate) sealed: Timestamp,
    /// Per granularity the last bucket start that a former policy let go; absent ones are the earliest time.
    pub(crate) low_water: Vec<(Granularity, Timestamp)>,
    /// The last commit that changed it.
    pub(crate) commit: u64,
    /// What segments hold of this metric from commits up to this one belongs to a deleted metric of the same name.
    pub(crate) born_after: u64,
    /// The last commit that a segment's copy of it includes; zero if no segment has one.
    pub(crate) stored: u64,
}

impl MetricState {
    /// A metric that was just born in this commit.
    fn new(policy: &Arc<ArchivePolicy>, commit: u64) -> Self {
        Self {
            policy: Arc::clone(policy),
            raw: RawBuffer::default(),
            window: Timestamp::MIN,
            sealed: Timestamp::MIN,
            low_water: Vec::new(),
            commit,
            born_after: commit.saturating_sub(1),
            stored: 0,
        }
    }

    /// The newest measure's time.
    pub(crate) fn last(&self) -> Timestamp {
        self.raw.timestamps.last().copied().unwrap_or(Timestamp::MIN)
    }

    /// Merges one run; returns how many of its measures were late.
    fn merge(&mut self, policy: &Arc<ArchivePolicy>, mut measures: Vec<Measure>) -> u64 {
        if !Arc::ptr_eq(&self.policy, policy) && self.policy != *policy {
            self.raise_low_water();
            self.policy = Arc::clone(policy);
        }
        self.window = self.window.max(self.raw.first_block(policy).unwrap_or(Timestamp::MIN));
        let given = measures.len();
        let window = self.window;
        measures.retain(|measure| measure.timestamp >= window);
        let late = given - measures.len();
        merge_run(&mut self.raw, policy, &mut measures);
        self.window = self.window.max(self.raw.first_block(policy).unwrap_or(Timestamp::MIN));
        late as u64
    }

    /// What the policy let go stays gone, whatever policy follows.
    fn raise_low_water(&mut self) {
        let last = self.last();
        for item in &self.policy.definition {
            let mark = self.low_water_of(item.granularity);
            let raised = low_water(mark, last, item);
            if let (true, Some(raised)) = (raised > mark, raised) {
                self.low_water.retain(|(granularity, _)| *granularity != item.granularity);
                self.low_water.push((item.granularity, raised));
            }
        }
    }

    fn low_water_of(&self, granularity: Granularity) -> Option<Timestamp> {
        self.low_water.iter().find(|(its, _)| *its == granularity).map(|(_, mark)| *mark)
    }

    /// Start of the oldest bucket that counts under a policy's item, which may differ from the metric's own.
    pub(crate) fn first_kept(&self, item: &PolicyItem) -> Timestamp {
        let kept = first_kept(self.last(), item).max(self.low_water_of(item.granularity));
        kept.unwrap_or(Timestamp::MIN)
    }

    /// Where in `raw` the measures begin that buckets from `from` on need.
    pub(crate) fn needed_from(&self, from: Timestamp) -> usize {
        let at = self.raw.timestamps.partition_point(|timestamp| *timestamp < from);
        at.saturating_sub(usize::from(self.policy.has_rate()))
    }

    /// Notes that every bucket before `sealed` is in a segment, and forgets the measures nobody needs any more.
    pub(crate) fn seal(&mut self, sealed: Timestamp) {
        let granularities = self.policy.definition.iter().map(|item| item.granularity);
        let needed = granularities.map(|granularity| sealed.floor(granularity)).min().unwrap_or(sealed);
        let at = self.needed_from(needed);
        let RawBuffer { timestamps, values } = &mut self.raw;
        timestamps.drain(..at);
        values.drain(..at);
        let roomy = timestamps.len() * 2 + 32;
        if timestamps.capacity() > roomy {
            timestamps.shrink_to(roomy / 2);
            values.shrink_to(roomy / 2);
        }
        self.sealed = sealed;
    }
}

/// All metrics of a shard.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Live metrics.
    pub(crate) metrics: HashMap<MetricId, MetricState>,
    /// Deleted metrics that segments may still hold, with the commit that deleted them, until a segment says so.
    pub(crate) deleted: HashMap<MetricId, u64>,
    /// While a log is replayed: deletions that segments say.
    pub(crate) buried: HashMap<MetricId, u64>,
    /// The last commit applied.
    pub(crate) commit: u64,
    policies: HashSet<Arc<ArchivePolicy>>,
}

impl Head {
    /// One shared copy of equal policies.
    pub(crate) fn intern(&mut self, policy: &Arc<ArchivePolicy>) -> Arc<ArchivePolicy> {
        if let Some(known) = self.policies.get(policy) {
            return Arc::clone(known);
        }
        if self.policies.len() >= 1_024 {
            self.policies.retain(|policy| Arc::strong_count(policy) > 1);
        }
        self.policies.insert(Arc::clone(policy));
        Arc::clone(policy)
    }

    /// Merges one run of a commit, unless a segment's copy of the metric includes the commit.
    pub(crate) fn append(&mut self, commit: u64, run: Run) -> AppendReport {
        let Run { metric, policy, measures } = run;
        if measures.is_empty() || self.includes(metric, commit) {
            return AppendReport::default();
        }
        let same = self.metrics.get(&metric).is_some_and(|state| Arc::ptr_eq(&state.policy, &policy));
        let policy = if same { policy } else { self.intern(&policy) };
        let given = measures.len() as u64;
        let state = self.metrics.entry(metric).or_insert_with(|| MetricState::new(&policy, commit));
        let late = state.merge(&policy, measures);
        state.commit = commit;
        AppendReport { accepted: given - late, late }
    }

    /// Forgets a metric.
    pub(crate) fn delete(&mut self, commit: u64, metric: MetricId) {
        if !self.includes(metric, commit) {
            self.metrics.remove(&metric);
            self.deleted.insert(metric, commit);
        }
    }

    /// Bytes of all raw measures.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.metrics.values().map(|state| state.raw.len() as u64 * 16).sum()
    }

    /// Whether segments already say what this commit did to a metric: only while a log is replayed.
    fn includes(&self, metric: MetricId, commit: u64) -> bool {
        self.metrics.get(&metric).is_some_and(|state| commit <= state.stored)
            || self.buried.get(&metric).is_some_and(|buried| commit <= *buried)
    }
}

#[cfg(test)]
mod tests;

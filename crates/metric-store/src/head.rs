//! The head: what every metric of a shard has in memory.
//!
//! A metric keeps its raw measures sorted by time. Aggregates of everything from [`MetricState::sealed`] on are
//! computed from them when they are asked for; aggregates before that lie in segments. Measures before
//! [`MetricState::window`] can't change any more, so a checkpoint may aggregate them, write the aggregates and
//! move `sealed` up to `window`. That the result does not depend on when it does is what keeps replay exact.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use nephos_model::{Granularity, Measure, MetricId, Timestamp};
use nephos_timeseries::{
    ArchivePolicy, PolicyItem, Scratch, first_kept, insert_run, low_water, sort_run, window_start,
};

use crate::batch::{Batch, RunRef};
use crate::contract::AppendReport;

mod aside;
mod former;
mod packed;
mod past;
mod table;

pub(crate) use aside::Aside;
pub(crate) use former::{Former, Sealing, begin, blind, ceil, known_from};
pub(crate) use packed::Packed;
pub(crate) use past::{Erased, Past, aggregate_rest, hidden, hide};
pub(crate) use table::{Ahead, MetricTable, Place};

/// One metric: what appending newer measures needs, in one line of the processor's cache, and apart from it the rest.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct MetricState {
    /// Raw measures, ascending, one a timestamp: all from `sealed` on, as much before it as a bucket
    /// that straddles it needs, and the one before those if differences are wanted. The oldest may be packed.
    pub(crate) raw: Vec<Measure>,
    /// The newest measure's time. The latest time of all if more must be looked at before the next one follows: always,
    /// unless the window is where the policy puts it for this measure.
    newest: Timestamp,
    /// Measures before this are late. Never moves back: aggregates whose raw measures may be gone are never
    /// replaced by aggregates of fewer measures.
    pub(crate) window: Timestamp,
    /// The policy of its last run.
    pub(crate) policy: Arc<ArchivePolicy>,
    /// The last commit that changed it.
    pub(crate) commit: u64,
    /// What few look at.
    pub(crate) aside: Box<Aside>,
}

const _: () = assert!(size_of::<MetricState>() == 64, "a metric is one line of the processor's cache");

impl MetricState {
    /// A metric that was just born in this commit.
    fn new(policy: &Arc<ArchivePolicy>, commit: u64) -> Self {
        Self {
            raw: Vec::new(),
            newest: Timestamp::MAX,
            window: Timestamp::MIN,
            policy: Arc::clone(policy),
            commit,
            aside: Box::new(Aside::new(0, commit.saturating_sub(1))),
        }
    }

    /// What a segment says of a metric.
    pub(crate) fn stored(
        policy: Arc<ArchivePolicy>,
        raw: Vec<Measure>,
        window: Timestamp,
        sealed: Timestamp,
        low_water: Vec<(Granularity, Timestamp)>,
        (commit, born_after): (u64, u64),
    ) -> Self {
        let mut aside = Box::new(Aside::new(commit, born_after));
        aside.sealed = sealed;
        aside.set_low_water(low_water);
        // The first append finds out whether the window is where the policy puts it.
        Self { raw, newest: Timestamp::MAX, window, policy, commit, aside }
    }

    /// [`clone_from`](Clone::clone_from) that uses the memory again.
    pub(crate) fn copy(&mut self, other: &Self) {
        self.raw.clone_from(&other.raw);
        self.policy.clone_from(&other.policy);
        self.aside.clone_from(&other.aside);
        (self.newest, self.window, self.commit) = (other.newest, other.window, other.commit);
    }

    /// The newest measure's time, even if that one is erased.
    pub(crate) fn last(&self) -> Timestamp {
        let last = self.last_raw();
        self.aside.past.as_ref().map_or(last, |past| last.max(past.newest))
    }

    /// Marks of buckets that former policies let go.
    pub(crate) fn low_water(&self) -> &[(Granularity, Timestamp)] {
        self.aside.low_water()
    }

    /// Merges one run, its policy interned; returns how many of its measures were late.
    fn merge(&mut self, policy: &Interned, run: RunRef<'_>, scratch: &mut Vec<Measure>) -> usize {
        let is_its_own = Arc::ptr_eq(&self.policy, &policy.policy) || self.change_policy(&policy.policy);
        // What polling sends: one measure, newer than all before.
        if let ([timestamp], [value]) = (run.timestamps, run.values)
            && is_its_own
            && *timestamp > self.newest
            && self.follow(*timestamp, policy)
        {
            self.newest = *timestamp;
            self.grow(1);
            self.raw.push(Measure::new(*timestamp, *value));
            return 0;
        }
        self.merge_any(run, scratch)
    }

    /// Moves the window for a newer measure, if that takes no division: it lies in the newest block or the next one.
    fn follow(&mut self, newest: Timestamp, policy: &Interned) -> bool {
        let window = self.window.as_nanos();
        let block = window.checked_sub(policy.reach);
        let Some(ahead) = block.and_then(|block| newest.as_nanos().checked_sub(block)) else { return false };
        if ahead < policy.block {
            return true;
        }
        let Some(next) = window.checked_add(policy.block).filter(|_| ahead - policy.block < policy.block)
        else {
            return false;
        };
        self.window = Timestamp::from_nanos(next);
        true
    }

    /// Has the next append look at more than the newest measure's time.
    fn look_closer(&mut self) {
        self.newest = Timestamp::MAX;
    }

    fn merge_any(&mut self, run: RunRef<'_>, scratch: &mut Vec<Measure>) -> usize {
        let measures = run.timestamps.iter().zip(run.values);
        let measures = measures.map(|(timestamp, value)| Measure::new(*timestamp, *value));
        let first = run.timestamps.first().copied().unwrap_or(Timestamp::MAX);
        let ordered = (self.measures() == 0 || first > self.last())
            && run.timestamps.is_sorted_by(|earlier, later| earlier < later);
        let mut late = 0;
        if ordered && first >= self.window {
            self.grow(run.timestamps.len());
            self.raw.extend(measures);
        } else {
            scratch.clear();
            scratch.extend(measures.filter(|measure| measure.timestamp >= self.window));
            late = run.timestamps.len() - scratch.len();
            sort_run(scratch);
            if !scratch.is_empty() {
                self.disturb();
            }
            insert_run(&mut self.raw, scratch);
        }
        self.move_window();
        late
    }

    /// Room for more measures: an eighth at a time, since most metrics are as long as the others.
    fn grow(&mut self, more: usize) {
        let len = self.raw.len();
        if len + more > self.raw.capacity() {
            self.raw.reserve_exact(more.max(len / 8).max(4));
        }
    }

    /// Moves the window to where the newest measure puts it.
    fn move_window(&mut self) {
        self.look_closer();
        let newest = self.last();
        if let Some(start) = window_start(newest, &self.policy)
            && newest > Timestamp::MIN
        {
            self.window = self.window.max(start);
            // While the newest is erased, what is newer than all that is there may be late.
            let is_there = newest == self.last_raw();
            if is_there && start > Timestamp::MIN && start == self.window {
                self.newest = newest;
            }
        }
    }

    /// What the policy let go stays gone, whatever policy follows.
    fn raise_low_water(&mut self) {
        let last = self.last();
        let mut marks = self.low_water().to_vec();
        for item in &self.policy.definition {
            let mark = self.low_water_of(item.granularity);
            let raised = low_water(mark, last, item);
            if let (true, Some(raised)) = (raised > mark, raised) {
                marks.retain(|(granularity, _)| *granularity != item.granularity);
                marks.push((item.granularity, raised));
            }
        }
        self.aside.set_low_water(marks);
    }

    fn low_water_of(&self, granularity: Granularity) -> Option<Timestamp> {
        self.low_water().iter().find(|(its, _)| *its == granularity).map(|(_, mark)| *mark)
    }

    /// Start of the oldest bucket that counts under a policy's item, which may differ from the metric's own.
    pub(crate) fn first_kept(&self, item: &PolicyItem) -> Timestamp {
        let kept = first_kept(self.last(), item).max(self.low_water_of(item.granularity));
        kept.unwrap_or(Timestamp::MIN)
    }

    /// Where in `raw`, none of it packed, the measures begin that buckets from `from` on need.
    pub(crate) fn needed_from(&self, from: Timestamp) -> usize {
        let at = self.raw.partition_point(|measure| measure.timestamp < from);
        at.saturating_sub(usize::from(self.has_rate(from)))
    }

    /// Notes that every bucket before `sealed` is in a segment, and forgets the measures nobody needs any more.
    /// Returns how many those were.
    pub(crate) fn seal(&mut self, sealed: Timestamp) -> usize {
        self.unpack(&mut Scratch::default());
        let widths = self.widths_after(sealed);
        let needed = widths.map(|width| sealed.floor(width)).min().unwrap_or(sealed);
        let at = self.needed_from(needed);
        self.raw.drain(..at);
        self.aside.sealed = sealed;
        self.forget_past();
        at
    }

    /// Gives memory back after so many measures went. Room for as many as came since the last time stays; what one
    /// long run took goes.
    pub(crate) fn shrink(&mut self, gone: usize) {
        let roomy = gone.min(self.raw.len() + 1_024) + self.raw.len() + 8;
        if self.raw.capacity() > roomy + roomy / 4 {
            self.raw.shrink_to(roomy);
        }
    }
}

/// A policy as the head shares it, with what every append asks of it.
struct Interned {
    policy: Arc<ArchivePolicy>,
    /// Nanoseconds of its widest bucket; 0 if it keeps none.
    block: i64,
    /// From the start of the newest block to where measures become late: zero or negative.
    reach: i64,
}

impl Interned {
    fn new(policy: Arc<ArchivePolicy>) -> Self {
        let block = policy.coarsest().map_or(0, Granularity::as_nanos);
        let reach = window_start(Timestamp::EPOCH, &policy).map_or(0, Timestamp::as_nanos);
        Self { policy, block, reach }
    }
}

/// All metrics of a shard.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Live metrics.
    pub(crate) metrics: MetricTable,
    /// Deleted metrics that segments may still hold, with the commit that deleted them, until a segment says so.
    pub(crate) deleted: HashMap<MetricId, u64>,
    /// How many metrics were deleted.
    pub(crate) deletions: u64,
    /// While a log is replayed: deletions that segments say.
    pub(crate) buried: HashMap<MetricId, u64>,
    /// The last commit applied.
    pub(crate) commit: u64,
    policies: HashSet<Arc<ArchivePolicy>>,
    scratch: Vec<Measure>,
}

/// Bytes of log for each metric that make a checkpoint worth while: some twenty measures that came one by one.
const LOG_OF_METRIC: u64 = 640;

/// Runs whose metrics are looked up together: the look-ups don't wait for each other's cache misses.
const LOOK_AHEAD: usize = 64;
/// A scratch that grew beyond this for one run is given back.
const LARGE_RUN: usize = 1 << 16;

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

    /// Merges the runs of a commit, except those that a segment's copy of the metric includes.
    pub(crate) fn append(&mut self, commit: u64, batch: &Batch) -> AppendReport {
        let policies: Vec<_> =
            batch.policies().iter().map(|policy| Interned::new(self.intern(policy))).collect();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut report = AppendReport::default();
        let (mut names, mut runs, mut ahead) = (batch.runs(), batch.runs(), Ahead::default());
        loop {
            self.metrics.look_up(names.by_ref().take(LOOK_AHEAD).map(|run| run.metric), &mut ahead);
            if ahead.places.is_empty() {
                break;
            }
            self.metrics.touch(&ahead.places);
            for (place, run) in ahead.places.iter().zip(runs.by_ref()) {
                let Some(policy) = policies.get(run.policy_number) else { continue };
                let birth = || self.place_or_birth(commit, run.metric, &policy.policy);
                let Some(place) = place.or_else(birth) else {
                    continue;
                };
                ahead.next = place.wrapping_add(1);
                // No segment's copy is newer than what it is a copy of: mostly that is all there is to look at.
                let is_new = |state: &&mut MetricState| commit > state.commit || commit > state.aside.stored;
                let Some(state) = self.metrics.at(place).filter(is_new) else { continue };
                let late = state.merge(policy, run, &mut scratch) as u64;
                state.commit = commit;
                report.accepted += run.timestamps.len() as u64 - late;
                report.late += late;
            }
        }
        if scratch.capacity() > LARGE_RUN {
            scratch = Vec::new();
        }
        self.scratch = scratch;
        report
    }

    /// The place of a metric that was not there when it was looked up; `None` if it was deleted since this commit.
    fn place_or_birth(
        &mut self,
        commit: u64,
        metric: MetricId,
        policy: &Arc<ArchivePolicy>,
    ) -> Option<Place> {
        if self.buried.get(&metric).is_some_and(|buried| commit <= *buried) {
            return None;
        }
        let place = self.metrics.place(metric);
        Some(place.unwrap_or_else(|| self.metrics.insert(metric, MetricState::new(policy, commit))))
    }

    /// Forgets a metric.
    pub(crate) fn delete(&mut self, commit: u64, metric: MetricId) {
        if !self.includes(metric, commit) {
            self.metrics.remove(metric);
            self.deleted.insert(metric, commit);
        }
    }

    /// Erases a range of a metric.
    pub(crate) fn erase(&mut self, commit: u64, metric: MetricId, start: Timestamp, stop: Timestamp) {
        if let Some(state) = self.metrics.get_mut(metric).filter(|state| commit > state.aside.stored) {
            state.erase(start, stop);
            state.commit = commit;
        }
    }

    /// Gives a metric another policy.
    pub(crate) fn adopt(&mut self, commit: u64, metric: MetricId, policy: &Arc<ArchivePolicy>) {
        let policy = self.intern(policy);
        if let Some(state) = self.metrics.get_mut(metric).filter(|state| commit > state.aside.stored) {
            state.adopt(&policy);
            state.commit = commit;
        }
    }

    /// The policies that a metric had before, oldest first.
    pub(crate) fn former_policies(&self, metric: MetricId) -> Vec<Arc<ArchivePolicy>> {
        let formers = self.metrics.get(metric).map(MetricState::formers).unwrap_or_default();
        formers.iter().map(|former| Arc::clone(&former.policy)).collect()
    }

    /// Forgets ranges of metrics that no segment holds any buckets of.
    pub(crate) fn left_behind(&mut self, erased: &[(MetricId, Vec<Erased>)]) {
        for (metric, ranges) in erased {
            if let Some(state) = self.metrics.get_mut(*metric) {
                state.forget_ranges(|range| ranges.contains(range));
            }
        }
    }

    /// The most ranges that any of some metrics has erased.
    pub(crate) fn most_erased(&self, metrics: &[MetricId]) -> usize {
        let states = metrics.iter().filter_map(|metric| self.metrics.get(*metric));
        states.map(|state| state.erased().len()).max().unwrap_or_default()
    }

    /// Bytes of log that make a checkpoint worth while. It packs all raw measures again, and has work to do for each
    /// metric, however few of its measures are new.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        let raw: u64 = self.metrics.iter().map(|(_, state)| state.measures() as u64 * 16).sum();
        raw.max(self.metrics.len() as u64 * LOG_OF_METRIC)
    }

    /// Whether segments already say what this commit did to a metric: only while a log is replayed.
    fn includes(&self, metric: MetricId, commit: u64) -> bool {
        self.metrics.get(metric).is_some_and(|state| commit <= state.aside.stored)
            || self.buried.get(&metric).is_some_and(|buried| commit <= *buried)
    }
}

#[cfg(test)]
mod tests;

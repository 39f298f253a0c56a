//! Policies that a metric had before the one it has.
//!
//! What was aggregated under a former policy stays as it is in segments. Where the present policy asks for something
//! else, it is derived from that when it is read ([`Derivation`]): so a change of policy is one record of the log,
//! takes effect at once, and rewrites nothing. A bucket of a new granularity in which the change lies is derived as a
//! whole; for that, what it comes from goes on to be aggregated until that bucket ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy};

use super::MetricState;

/// A policy that a metric had before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Former {
    pub(crate) policy: Arc<ArchivePolicy>,
    /// The metric's window when it got the next one: later buckets are aggregated under that.
    pub(crate) until: Timestamp,
    /// Until when its aggregates go on: the end of the widest bucket of a following policy that holds `until`.
    pub(crate) lasting: Timestamp,
}

/// The end of the bucket that holds this time, or the time itself if a bucket begins there.
pub(crate) fn ceil(time: Timestamp, width: Granularity) -> Timestamp {
    let floor = time.floor(width);
    if floor == time { time } else { floor.plus_nanos(width.as_nanos()) }
}

impl Former {
    /// Has it go on for a policy that follows: to the end of the widest of the buckets holding `until` that only that
    /// one has.
    fn go_on_for(&mut self, next: &ArchivePolicy) {
        let new = next.definition.iter().map(|item| item.granularity);
        let ends =
            new.filter(|width| self.policy.item(*width).is_none()).map(|width| ceil(self.until, width));
        self.lasting = ends.fold(self.lasting, Timestamp::max);
    }

    /// Where buckets of a width begin to be those of the next policy.
    pub(crate) fn end(&self, width: Granularity) -> Timestamp {
        // Measures before `until` may be gone: only if it aggregated them itself it knows the bucket that holds it.
        if self.policy.item(width).is_some() { self.until.floor(width) } else { ceil(self.until, width) }
    }

    /// Up to where all that buckets of a width are derived from was aggregated: not the one that holds `until`, if it is
    /// wider than any that the policy went on for.
    pub(crate) fn derivable_until(&self, width: Granularity) -> Timestamp {
        let end = self.end(width);
        if end > self.lasting { self.lasting.floor(width) } else { end }
    }
}

/// Where buckets of a width begin to be those of the policy that follows these.
pub(crate) fn begin(formers: &[Former], width: Granularity) -> Timestamp {
    formers.iter().map(|former| former.end(width)).max().unwrap_or(Timestamp::MIN)
}

/// From when on all buckets of a width with these methods were aggregated under these policies and the one after.
pub(crate) fn known_from(formers: &[Former], width: Granularity, methods: &[AggregationMethod]) -> Timestamp {
    let lacking = formers.iter().filter(|former| {
        former.policy.item(width).is_none() || methods.iter().any(|m| !former.policy.methods.contains(m))
    });
    // Not the last one's: an earlier one that lacks the width ends at the end of a bucket, a later one may at its start.
    lacking.map(|former| former.end(width)).max().unwrap_or(Timestamp::MIN)
}

/// Times before which no differences are known, at a width: policies without them may not have kept what they need.
pub(crate) fn blind(formers: &[Former], width: Granularity) -> Vec<Timestamp> {
    formers.iter().filter(|former| !former.policy.has_rate()).map(|former| former.end(width)).collect()
}

/// What a checkpoint aggregates of one granularity.
pub(crate) struct Sealing {
    pub(crate) granularity: Granularity,
    pub(crate) methods: Vec<AggregationMethod>,
    /// First bucket, and the end.
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// Whether policies keep the same aggregates, for however long.
fn alike(a: &ArchivePolicy, b: &ArchivePolicy) -> bool {
    a.definition.len() == b.definition.len()
        && a.methods.len() == b.methods.len()
        && a.definition.iter().all(|item| b.item(item.granularity).is_some())
        && a.methods.iter().all(|method| b.methods.contains(method))
}

impl MetricState {
    /// Policies it had before, oldest first.
    pub(crate) fn formers(&self) -> &[Former] {
        self.aside.past.as_ref().map(|past| past.former.as_slice()).unwrap_or_default()
    }

    /// Notes the policy that a run came with; whether it is the metric's now.
    pub(super) fn change_policy(&mut self, policy: &Arc<ArchivePolicy>) -> bool {
        let alike = alike(&self.policy, policy);
        // Whoever sent it has not heard of the change yet.
        let outdated = || self.formers().iter().any(|former| former.policy.name == policy.name);
        if !alike && self.policy.name != policy.name && outdated() {
            return false;
        }
        self.adopt(policy);
        true
    }

    /// Gets another policy.
    pub(super) fn adopt(&mut self, policy: &Arc<ArchivePolicy>) {
        // What a checkpoint is about to leave of it is not what the next policy needs.
        self.disturb();
        self.raise_low_water();
        let former = std::mem::replace(&mut self.policy, Arc::clone(policy));
        let until = self.window;
        if until > Timestamp::MIN && !alike(&former, policy) {
            let formers = &mut self.aside.past.get_or_insert_default().former;
            // Those that still go on since an earlier change may know more of a wide bucket than the last one.
            formers
                .iter_mut()
                .filter(|earlier| earlier.lasting > until)
                .for_each(|earlier| earlier.go_on_for(policy));
            let mut former = Former { policy: former, until, lasting: until };
            former.go_on_for(policy);
            formers.push(former);
        }
        self.move_window();
    }

    /// What a checkpoint aggregates up to the window.
    pub(crate) fn sealing(&self) -> Vec<Sealing> {
        let formers = self.formers();
        let lasting = |former: &&Former| former.lasting > self.aside.sealed;
        let mut all: BTreeMap<Granularity, Sealing> = BTreeMap::new();
        for item in &self.policy.definition {
            let (granularity, methods) = (item.granularity, self.policy.methods.clone());
            let sealed = self.aside.sealed.floor(granularity);
            let from = sealed.max(self.first_kept(item)).max(begin(formers, granularity));
            let until = self.window.floor(granularity);
            all.insert(granularity, Sealing { granularity, methods, from, until });
        }
        for (at, former) in formers.iter().enumerate().filter(|(_, former)| lasting(former)) {
            for width in former.policy.definition.iter().map(|item| item.granularity) {
                let before = formers.get(..at).unwrap_or_default();
                let from = self.aside.sealed.floor(width).max(begin(before, width));
                let until = self.window.floor(width).min(ceil(former.lasting, width));
                let empty = || Sealing { granularity: width, methods: Vec::new(), from, until };
                let sealing = all.entry(width).or_insert_with(empty);
                sealing.from = sealing.from.min(from);
                sealing.until = sealing.until.max(until);
                let more = former.policy.methods.iter().filter(|method| !sealing.methods.contains(method));
                let more: Vec<AggregationMethod> = more.copied().collect();
                sealing.methods.extend(more);
            }
        }
        all.into_values().collect()
    }

    /// Whether anything is aggregated after `sealed` that needs differences.
    pub(super) fn has_rate(&self, sealed: Timestamp) -> bool {
        let mut lasting = self.formers().iter().filter(|former| former.lasting > sealed);
        self.policy.has_rate() || lasting.any(|former| former.policy.has_rate())
    }

    /// Widths of the buckets that are still aggregated after everything before `sealed` is in segments.
    pub(super) fn widths_after(&self, sealed: Timestamp) -> impl Iterator<Item = Granularity> {
        let lasting = self.formers().iter().filter(move |former| former.lasting > sealed);
        let policies = lasting.map(|former| &former.policy).chain([&self.policy]);
        policies.flat_map(|policy| policy.definition.iter().map(|item| item.granularity))
    }

    /// Granularities that segments keep, and the oldest bucket of each.
    pub(crate) fn kept(&self) -> Vec<(Granularity, Timestamp)> {
        let items = self.policy.definition.iter();
        let own: BTreeMap<Granularity, Timestamp> =
            items.map(|item| (item.granularity, self.first_kept(item))).collect();
        if self.formers().is_empty() {
            return own.into_iter().collect();
        }
        // Others are derived from them, as far back as any of these is kept.
        let oldest = own.values().min().copied().unwrap_or(Timestamp::MIN);
        let widths = self.formers().iter().flat_map(|former| &former.policy.definition);
        let mut widths: Vec<Granularity> =
            widths.map(|item| item.granularity).chain(own.into_keys()).collect();
        widths.sort_unstable();
        widths.dedup();
        widths.into_iter().map(|width| (width, oldest.floor(width))).collect()
    }
}

//! A part of the metrics in memory, in an order in which somebody asks for them.
//!
//! Clients name their metrics in the same order each time, and memory that is read in order is there before it is asked
//! for, while a look-up by hash waits for it twice. So whoever looks for many metrics guesses where each is.

use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use indexmap::map::Slice;
use nephos_model::MetricId;

use super::cache::Kind;

#[derive(Debug, Default)]
pub(super) struct Shard {
    kinds: IndexMap<MetricId, Arc<Kind>, RandomState>,
    /// One for each metric, in the same order; apart, because few look at them.
    stamps: Vec<u32>,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn get(&self, id: MetricId) -> Option<&Arc<Kind>> {
        self.kinds.get(&id)
    }

    /// The stamp that the metric was kept with.
    pub(super) fn stamp(&self, id: MetricId) -> Option<u32> {
        self.stamps.get(self.kinds.get_index_of(&id)?).copied()
    }

    /// Keeps a metric; a new one behind all others.
    pub(super) fn insert(&mut self, id: MetricId, kind: Arc<Kind>, stamp: u32) {
        let (at, _) = self.kinds.insert_full(id, kind);
        match self.stamps.get_mut(at) {
            Some(held) => *held = stamp,
            None => self.stamps.push(stamp),
        }
    }

    /// Removes a metric; the last one takes its place.
    pub(super) fn remove(&mut self, id: MetricId) {
        if let Some((at, _, _)) = self.kinds.swap_remove_full(&id) {
            self.stamps.swap_remove(at);
        }
    }

    pub(super) fn clear(&mut self) {
        self.kinds.clear();
        self.stamps.clear();
    }

    /// Puts those of the metrics that are here side by side, in the order given and behind all others. These keep their
    /// order: what somebody else asks for, and lies together already, stays so.
    pub(super) fn arrange(&mut self, ids: &[MetricId]) {
        let mut is_asked = vec![false; self.kinds.len()];
        let mut asked = Vec::new();
        for at in ids.iter().filter_map(|id| self.kinds.get_index_of(id)) {
            if !std::mem::replace(&mut is_asked[at], true) {
                asked.push(at);
            }
        }
        let others = (0..self.kinds.len()).filter(|at| !is_asked[*at]);
        let mut kinds = IndexMap::with_capacity_and_hasher(self.kinds.len(), self.kinds.hasher().clone());
        let mut stamps = Vec::with_capacity(self.stamps.len());
        for at in others.chain(asked) {
            if let (Some((id, kind)), Some(stamp)) = (self.kinds.get_index(at), self.stamps.get(at)) {
                kinds.insert(*id, Arc::clone(kind));
                stamps.push(*stamp);
            }
        }
        (self.kinds, self.stamps) = (kinds, stamps);
    }

    /// For a look-up of many that goes on where another one has ended.
    pub(super) fn cursor(&self, start: usize) -> Cursor<'_> {
        let metrics = self.kinds.as_slice();
        Cursor { shard: self, metrics, next: start, jumped_to: start, left: 0, searches: 0 }
    }
}

/// Where somebody is who looks for one metric after the other.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    shard: &'a Shard,
    metrics: &'a Slice<MetricId, Arc<Kind>>,
    /// Where the next metric is as a rule.
    next: usize,
    /// What `next` was after the last wrong guess.
    jumped_to: usize,
    /// Where the order was left that held before.
    left: usize,
    searches: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn find(&mut self, id: MetricId) -> Option<&'a Arc<Kind>> {
        match self.metrics.get_index(self.next) {
            Some((held, kind)) if *held == id => {
                self.next += 1;
                Some(kind)
            }
            _ => self.find_elsewhere(id),
        }
    }

    #[inline(never)]
    fn find_elsewhere(&mut self, id: MetricId) -> Option<&'a Arc<Kind>> {
        let at = match self.metrics.get_index(self.left) {
            Some((held, _)) if *held == id => {
                let at = self.left;
                self.left = self.next;
                at
            }
            _ => {
                let at = self.shard.kinds.get_index_of(&id)?;
                self.searches += 1;
                // Only where a guess was right is an order to come back to.
                if self.next != self.jumped_to {
                    self.left = self.next;
                }
                self.jumped_to = at + 1;
                at
            }
        };
        self.next = at + 1;
        self.metrics.get_index(at).map(|(_, kind)| kind)
    }

    /// Where a look-up ends.
    pub(super) fn end(&self) -> usize {
        self.next
    }

    /// How many of the metrics found were nowhere where they were guessed to be.
    pub(super) fn searches(&self) -> usize {
        self.searches
    }
}

//! Every metric of a shard by its id: dense states, so that a million of them cost little more than their fields, and
//! an open hash table of eight bytes a slot that says where each lies. The id itself is beside the state: what an
//! append has to wait for anyway.

use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::RandomState;
use nephos_model::MetricId;

use super::MetricState;
use crate::pages::{MANY_METRICS, allow_huge};

/// A map from metrics to their states.
#[derive(Debug, Default)]
pub(crate) struct MetricTable {
    /// Seeded: whoever chooses ids can't choose their slots.
    hasher: RandomState,
    /// For each metric a slot at or behind the one that its hash asks for, with none empty between: the upper half of
    /// the hash, and the place of its state plus one. Empty slots are zero. A power of two in number.
    slots: Vec<u64>,
    states: Vec<MetricState>,
}

/// Where a metric's state lies until a metric is removed.
pub(crate) type Place = u32;

/// The lower half of a slot.
const PLACE: u64 = 0xffff_ffff;
const FEWEST_SLOTS: usize = 64;

impl MetricTable {
    /// Number of metrics.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn hash(&self, metric: MetricId) -> u64 {
        self.hasher.hash_one(metric.0.as_u128())
    }

    /// The slots in the order in which a hash asks for them.
    fn probe(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let first = usize::try_from(hash & PLACE).unwrap_or(0);
        (0..self.slots.len()).map(move |step| first.wrapping_add(step) & mask).map(|at| (at, self.slots[at]))
    }

    /// The slot of a metric, and its place.
    fn find(&self, metric: MetricId) -> Option<(usize, Place)> {
        let hash = self.hash(metric);
        let mut filled = self.probe(hash).take_while(|(_, slot)| *slot != 0);
        filled.find_map(|(at, slot)| {
            let place = place_in(slot);
            let same = (slot ^ hash) & !PLACE == 0 && self.states.get(place as usize)?.metric == metric;
            same.then_some((at, place))
        })
    }

    /// Where a metric's state lies.
    pub(crate) fn place(&self, metric: MetricId) -> Option<Place> {
        self.find(metric).map(|(_, place)| place)
    }

    /// The same for one that is looked for behind another one: mostly it lies there, too, since clients name their metrics in
    /// the order in which they did at first, and memory that is read in order is there before it is asked for.
    pub(crate) fn place_after(&self, last: Option<Place>, metric: MetricId) -> Option<Place> {
        let next = last.map_or(0, |last| last.wrapping_add(1));
        match self.states.get(next as usize) {
            Some(state) if state.metric == metric => Some(next),
            _ => self.place(metric),
        }
    }

    /// The state at a place.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut MetricState> {
        self.states.get_mut(place as usize)
    }

    /// Brings what an append to these metrics needs into the processor's cache: waiting for all of them at once
    /// takes little longer than waiting for one.
    pub(crate) fn touch(&self, places: impl Iterator<Item = Place>) {
        let lasts = places.filter_map(|place| self.states.get(place as usize)).map(MetricState::last_raw);
        black_box(lasts.fold(0, |all, last| all ^ last.as_nanos()));
    }

    /// A metric's state.
    pub(crate) fn get(&self, metric: MetricId) -> Option<&MetricState> {
        self.states.get(self.place(metric)? as usize)
    }

    /// A metric's state.
    pub(crate) fn get_mut(&mut self, metric: MetricId) -> Option<&mut MetricState> {
        let place = self.place(metric)?;
        self.at(place)
    }

    /// Whether a metric is there.
    pub(crate) fn contains(&self, metric: MetricId) -> bool {
        self.find(metric).is_some()
    }

    /// Adds a metric that is not there yet.
    pub(crate) fn insert(&mut self, metric: MetricId, state: MetricState) -> Place {
        debug_assert!(!self.contains(metric), "metrics are inserted once");
        // Never fuller than five eighths.
        if (self.states.len() + 1) * 8 > self.slots.len() * 5 {
            self.slots = vec![0; (self.slots.len() * 2).max(FEWEST_SLOTS)];
            for at in 0..self.states.len() {
                self.fill_slot(at);
            }
        }
        if self.states.len() == self.states.capacity() {
            // Doubling would waste up to half of the largest part of memory.
            self.states.reserve_exact(self.states.len() / 8 + 64);
            if self.states.len() >= MANY_METRICS {
                allow_huge();
            }
        }
        self.states.push(MetricState { metric, ..state });
        self.fill_slot(self.states.len() - 1)
    }

    /// Puts the place of a state into the first slot that is empty for it.
    fn fill_slot(&mut self, at: usize) -> Place {
        let place = Place::try_from(at).unwrap_or(Place::MAX);
        let Some(hash) = self.states.get(at).map(|state| self.hash(state.metric)) else { return place };
        let empty = self.probe(hash).find(|(_, slot)| *slot == 0);
        if let Some((slot, _)) = empty {
            self.slots[slot] = hash & !PLACE | (u64::from(place) + 1);
        }
        place
    }

    /// Removes a metric; places found before may now hold another one.
    pub(crate) fn remove(&mut self, metric: MetricId) -> Option<MetricState> {
        let (slot, place) = self.find(metric)?;
        self.empty_slot(slot);
        // The last state takes its place.
        if let Some(last) = self.states.last().map(|state| state.metric).filter(|last| *last != metric)
            && let Some((moved, _)) = self.find(last)
        {
            self.slots[moved] = self.slots[moved] & !PLACE | (u64::from(place) + 1);
        }
        Some(self.states.swap_remove(place as usize))
    }

    /// Empties a slot; those behind it that could not have theirs move up.
    fn empty_slot(&mut self, mut hole: usize) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hole;
        loop {
            self.slots[hole] = 0;
            let (from, moved) = loop {
                at = (at + 1) & mask;
                let slot = self.slots[at];
                let Some(state) = self.states.get(place_in(slot) as usize).filter(|_| slot != 0) else {
                    return;
                };
                let first = usize::try_from(self.hash(state.metric) & PLACE).unwrap_or(0);
                // As far from where it should be as the hole at least.
                if at.wrapping_sub(first) & mask >= at.wrapping_sub(hole) & mask {
                    break (at, slot);
                }
            };
            self.slots[hole] = moved;
            hole = from;
        }
    }

    /// All metrics, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MetricId, &MetricState)> {
        self.states.iter().map(|state| (state.metric, state))
    }
}

/// The place that a filled slot tells.
fn place_in(slot: u64) -> Place {
    Place::try_from(slot & PLACE).unwrap_or(0).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use nephos_timeseries::ArchivePolicy;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn metrics_come_and_go_as_in_a_map(
            steps in prop::collection::vec((0_u128..300, prop::bool::weighted(0.6)), 0..1_500),
        ) {
            let policy = Arc::new(ArchivePolicy {
                name: String::new(),
                back_window: 0,
                definition: Vec::new(),
                methods: Vec::new(),
            });
            let (mut table, mut map) = (MetricTable::default(), HashMap::new());
            for (commit, (number, adds)) in (1..).zip(steps) {
                let metric = MetricId(uuid::Uuid::from_u128(number));
                if !adds {
                    let removed = table.remove(metric).map(|state| state.commit);
                    prop_assert_eq!(removed, map.remove(&metric));
                } else if !table.contains(metric) {
                    let place = table.insert(metric, MetricState::new(&policy, commit));
                    prop_assert_eq!(table.at(place).map(|state| state.metric), Some(metric));
                    map.insert(metric, commit);
                }
            }
            prop_assert_eq!(table.len(), map.len());
            for number in 0..300 {
                let metric = MetricId(uuid::Uuid::from_u128(number));
                prop_assert_eq!(table.get(metric).map(|state| state.commit), map.get(&metric).copied());
            }
            let all: HashMap<MetricId, u64> =
                table.iter().map(|(metric, state)| (metric, state.commit)).collect();
            prop_assert_eq!(all, map);
        }
    }
}

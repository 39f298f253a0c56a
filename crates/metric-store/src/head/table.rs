//! Every metric of a shard by its id: dense states, so that a million of them cost little more than their fields, the ids
//! beside them in the same order, which is mostly the order in which clients name them, and for all others an open hash
//! table of eight bytes a slot that says where each lies.

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
    /// By place. Apart from the states: four lie in a line of the processor's cache, and those that follow are there
    /// before they are asked for.
    ids: Vec<MetricId>,
    /// By place.
    states: Vec<MetricState>,
}

/// Where a metric's state lies until a metric is removed.
pub(crate) type Place = u32;

/// Metrics that are looked up together, and where the next ones are looked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Where they lie, in their order; `None` for those that are not there.
    pub(crate) places: Vec<Option<Place>>,
    /// Behind the last one.
    pub(crate) next: Place,
    /// Where the order went on elsewhere.
    left: Place,
    /// Whether the last one was not where it was looked for.
    was_wrong: bool,
    /// Those still to be looked up by their hash: which of them it is, its id and hash.
    lost: Vec<(usize, MetricId, u64)>,
    /// How many were looked up by their hash.
    #[cfg(test)]
    hashed: usize,
}

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

    /// The slot that a hash asks for first.
    fn first_slot(&self, hash: u64) -> usize {
        usize::try_from(hash & PLACE).unwrap_or(0) & self.slots.len().wrapping_sub(1)
    }

    /// The slots in the order in which a hash asks for them.
    fn probe(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + '_ {
        let (mask, first) = (self.slots.len().wrapping_sub(1), self.first_slot(hash));
        (0..self.slots.len()).map(move |step| first.wrapping_add(step) & mask).map(|at| (at, self.slots[at]))
    }

    /// The slot of a metric, and its place.
    fn find(&self, metric: MetricId, hash: u64) -> Option<(usize, Place)> {
        let mut filled = self.probe(hash).take_while(|(_, slot)| *slot != 0);
        filled.find_map(|(at, slot)| {
            let place = place_in(slot);
            let same = (slot ^ hash) & !PLACE == 0 && self.has(place, metric);
            same.then_some((at, place))
        })
    }

    fn has(&self, place: Place, metric: MetricId) -> bool {
        self.ids.get(place as usize) == Some(&metric)
    }

    /// Where a metric's state lies.
    pub(crate) fn place(&self, metric: MetricId) -> Option<Place> {
        self.find(metric, self.hash(metric)).map(|(_, place)| place)
    }

    /// The same for one that was at a place before.
    pub(crate) fn place_again(&self, metric: MetricId, before: Place) -> Option<Place> {
        if self.has(before, metric) { Some(before) } else { self.place(metric) }
    }

    /// Looks up metrics that are named in this order. Mostly they lie in it, too, since clients name their metrics in the
    /// order in which they did at first.
    pub(crate) fn look_up(&self, metrics: impl Iterator<Item = MetricId>, ahead: &mut Ahead) {
        ahead.places.clear();
        ahead.lost.clear();
        #[cfg(test)]
        {
            ahead.hashed = 0;
        }
        for metric in metrics {
            let was_wrong = std::mem::take(&mut ahead.was_wrong);
            let guess = [ahead.next, ahead.left].into_iter().find(|place| self.has(*place, metric));
            let place = guess.or_else(|| {
                ahead.was_wrong = true;
                #[cfg(test)]
                {
                    ahead.hashed += 1;
                }
                if was_wrong {
                    // There is no order: all that follow may be looked for at once.
                    ahead.lost.push((ahead.places.len(), metric, self.hash(metric)));
                    return None;
                }
                ahead.left = ahead.next;
                self.place(metric)
            });
            ahead.next = place.map_or(ahead.next, |place| place.wrapping_add(1));
            ahead.places.push(place);
        }
        let slots = ahead.lost.iter().filter_map(|(_, _, hash)| self.slots.get(self.first_slot(*hash)));
        black_box(slots.fold(0, |all, slot| all ^ slot));
        for (at, metric, hash) in &ahead.lost {
            ahead.places[*at] = self.find(*metric, *hash).map(|(_, place)| place);
        }
    }

    /// The state at a place.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut MetricState> {
        self.states.get_mut(place as usize)
    }

    /// The state at a place, to be read.
    pub(crate) fn peek(&self, place: Place) -> Option<&MetricState> {
        self.states.get(place as usize)
    }

    /// Brings what an append to these metrics needs into the processor's cache: waiting for all of them at once
    /// takes little longer than waiting for one.
    pub(crate) fn touch(&self, places: &[Option<Place>]) {
        let states = || places.iter().flatten().filter_map(|place| self.states.get(*place as usize));
        black_box(states().fold(0, |all, state| all ^ state.commit));
        // Only then it is known where their measures end.
        let ends = states().filter_map(|state| state.raw.last());
        black_box(ends.fold(0, |all, measure| all ^ measure.timestamp.as_nanos()));
    }

    /// A metric's state.
    pub(crate) fn get(&self, metric: MetricId) -> Option<&MetricState> {
        self.peek(self.place(metric)?)
    }

    /// A metric's state.
    pub(crate) fn get_mut(&mut self, metric: MetricId) -> Option<&mut MetricState> {
        let place = self.place(metric)?;
        self.at(place)
    }

    /// Whether a metric is there.
    pub(crate) fn contains(&self, metric: MetricId) -> bool {
        self.place(metric).is_some()
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
            let more = self.states.len() / 8 + 64;
            self.states.reserve_exact(more);
            self.ids.reserve_exact(more);
            if self.states.len() >= MANY_METRICS {
                allow_huge();
            }
        }
        self.ids.push(metric);
        self.states.push(state);
        self.fill_slot(self.ids.len() - 1)
    }

    /// Puts the place of a state into the first slot that is empty for it.
    fn fill_slot(&mut self, at: usize) -> Place {
        let place = Place::try_from(at).unwrap_or(Place::MAX);
        let Some(hash) = self.ids.get(at).map(|metric| self.hash(*metric)) else { return place };
        let empty = self.probe(hash).find(|(_, slot)| *slot == 0);
        if let Some((slot, _)) = empty {
            self.slots[slot] = hash & !PLACE | (u64::from(place) + 1);
        }
        place
    }

    /// Removes a metric; places found before may now hold another one.
    pub(crate) fn remove(&mut self, metric: MetricId) -> Option<MetricState> {
        let (slot, place) = self.find(metric, self.hash(metric))?;
        self.empty_slot(slot);
        // The last state takes its place.
        if let Some(last) = self.ids.last().copied().filter(|last| *last != metric)
            && let Some((moved, _)) = self.find(last, self.hash(last))
        {
            self.slots[moved] = self.slots[moved] & !PLACE | (u64::from(place) + 1);
        }
        self.ids.swap_remove(place as usize);
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
                let Some(metric) = self.ids.get(place_in(slot) as usize).filter(|_| slot != 0) else {
                    return;
                };
                let first = self.first_slot(self.hash(*metric));
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
        self.ids.iter().copied().zip(&self.states)
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

    fn id(number: u128) -> MetricId {
        MetricId(uuid::Uuid::from_u128(number))
    }

    fn state(commit: u64) -> MetricState {
        let (name, definition, methods) = (String::new(), Vec::new(), Vec::new());
        MetricState::new(&Arc::new(ArchivePolicy { name, back_window: 0, definition, methods }), commit)
    }

    fn table_of(numbers: impl IntoIterator<Item = u128>) -> MetricTable {
        let mut table = MetricTable::default();
        for number in numbers {
            table.insert(id(number), state(1));
        }
        table
    }

    /// What looking them up finds, and how many of them had to be looked for by their hashes.
    fn looked_up(table: &MetricTable, ahead: &mut Ahead, numbers: &[u128]) -> (Vec<Option<Place>>, usize) {
        let (mut places, mut hashed) = (Vec::new(), 0);
        for part in numbers.chunks(64) {
            table.look_up(part.iter().map(|number| id(*number)), ahead);
            places.extend(&ahead.places);
            hashed += ahead.hashed;
            // As an append does it.
            ahead.next = ahead.places.last().copied().flatten().map_or(ahead.next, |place| place + 1);
        }
        (places, hashed)
    }

    #[test]
    fn metrics_named_in_their_order_are_found_without_their_hashes_and_others_are_found_too() {
        let mut table = table_of(0..200);
        table.insert(id(900), state(1));
        let all: Vec<u128> = (0..200).collect();
        let mut inserted = all.clone();
        inserted.insert(70, 900);
        let left_out: Vec<u128> = all.iter().copied().filter(|number| *number != 70).collect();
        let backwards: Vec<u128> = all.iter().rev().copied().collect();
        let unknown: Vec<u128> = (300..500).collect();
        // The first of all is the first that is looked for: backwards it is found, too.
        let cases = [(&all, 0), (&inserted, 1), (&left_out, 1), (&backwards, 199), (&unknown, 200)];
        for (numbers, expected) in cases {
            let (places, hashed) = looked_up(&table, &mut Ahead::default(), numbers);
            let each: Vec<_> = numbers.iter().map(|number| table.place(id(*number))).collect();
            assert_eq!((places, hashed), (each, expected));
        }
        // The last one took its place, and is found there as well.
        table.remove(id(100));
        let without: Vec<u128> = all.iter().copied().filter(|number| *number != 100).collect();
        for (numbers, expected) in [(&without, 1), (&inserted, 64)] {
            let (places, hashed) = looked_up(&table, &mut Ahead::default(), numbers);
            let each: Vec<_> = numbers.iter().map(|number| table.place(id(*number))).collect();
            assert_eq!(places, each);
            assert!(hashed <= expected, "{hashed}");
        }
    }

    #[test]
    fn two_clients_with_orders_of_their_own_are_both_answered() {
        let table = table_of(0..300);
        let (mut ahead, one) = (Ahead::default(), (0..300).collect::<Vec<u128>>());
        let other: Vec<u128> = (0..300).map(|number| number * 7 % 300).collect();
        for numbers in [&one, &other, &one, &other] {
            let (places, _) = looked_up(&table, &mut ahead, numbers);
            assert!(numbers.iter().zip(places).all(|(number, place)| place.map(u128::from) == Some(*number)));
        }
    }

    proptest! {
        #[test]
        fn metrics_come_and_go_as_in_a_map(
            steps in prop::collection::vec((0_u128..300, prop::bool::weighted(0.6)), 0..1_500),
            asked in prop::collection::vec((0_u128..300, 1_u128..40), 0..30),
        ) {
            let (mut table, mut map) = (MetricTable::default(), HashMap::new());
            for (commit, (number, adds)) in (1..).zip(steps) {
                let metric = id(number);
                if !adds {
                    let removed = table.remove(metric).map(|state| state.commit);
                    prop_assert_eq!(removed, map.remove(&metric));
                } else if !table.contains(metric) {
                    let place = table.insert(metric, state(commit));
                    prop_assert!(table.has(place, metric));
                    map.insert(metric, commit);
                }
            }
            prop_assert_eq!(table.len(), map.len());
            for number in 0..300 {
                prop_assert_eq!(table.get(id(number)).map(|state| state.commit), map.get(&id(number)).copied());
            }
            let all: HashMap<MetricId, u64> =
                table.iter().map(|(metric, state)| (metric, state.commit)).collect();
            prop_assert_eq!(&all, &map);
            // Stretches of its order and jumps, as clients come and go.
            let order: Vec<MetricId> = table.iter().map(|(metric, _)| metric).collect();
            let stretch = |(from, len): (u128, u128)| {
                let ordered = order.iter().copied().skip(usize::try_from(from).unwrap());
                [id(from)].into_iter().chain(ordered.take(usize::try_from(len).unwrap()))
            };
            let asked: Vec<MetricId> = asked.into_iter().flat_map(stretch).collect();
            let mut ahead = Ahead::default();
            for part in asked.chunks(64) {
                table.look_up(part.iter().copied(), &mut ahead);
                let each: Vec<_> = part.iter().map(|metric| table.place(*metric)).collect();
                prop_assert_eq!(&ahead.places, &each);
            }
        }
    }
}

//! Every metric of a shard by its id: dense states, so that a million of them cost little more than their fields.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use nephos_model::MetricId;

use super::MetricState;

/// A map from metrics to their states.
#[derive(Debug, Default)]
pub(crate) struct MetricTable {
    /// Seeded: whoever chooses ids can't choose their places.
    places: HashMap<u128, u32, RandomState>,
    states: Vec<(MetricId, MetricState)>,
}

/// Where a metric's state lies until a metric is removed.
pub(crate) type Place = u32;

const fn key(metric: MetricId) -> u128 {
    metric.0.as_u128()
}

impl MetricTable {
    /// Number of metrics.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// Where a metric's state lies.
    pub(crate) fn place(&self, metric: MetricId) -> Option<Place> {
        self.places.get(&key(metric)).copied()
    }

    /// The state at a place.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut MetricState> {
        self.states.get_mut(place as usize).map(|(_, state)| state)
    }

    /// A metric's state.
    pub(crate) fn get(&self, metric: MetricId) -> Option<&MetricState> {
        self.states.get(self.place(metric)? as usize).map(|(_, state)| state)
    }

    /// A metric's state.
    pub(crate) fn get_mut(&mut self, metric: MetricId) -> Option<&mut MetricState> {
        let place = self.place(metric)?;
        self.at(place)
    }

    /// Whether a metric is there.
    pub(crate) fn contains(&self, metric: MetricId) -> bool {
        self.places.contains_key(&key(metric))
    }

    /// Adds a metric that is not there yet.
    pub(crate) fn insert(&mut self, metric: MetricId, state: MetricState) -> Place {
        let place = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        let before = self.places.insert(key(metric), place);
        debug_assert!(before.is_none(), "metrics are inserted once");
        if self.states.len() == self.states.capacity() {
            // Doubling would waste up to half of the largest part of memory.
            self.states.reserve_exact(self.states.len() / 8 + 64);
        }
        self.states.push((metric, state));
        place
    }

    /// Removes a metric; places found before may now hold another one.
    pub(crate) fn remove(&mut self, metric: MetricId) -> Option<MetricState> {
        let place = self.places.remove(&key(metric))?;
        let (_, state) = self.states.swap_remove(place as usize);
        if let Some((moved, _)) = self.states.get(place as usize) {
            self.places.insert(key(*moved), place);
        }
        Some(state)
    }

    /// All metrics, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MetricId, &MetricState)> {
        self.states.iter().map(|(metric, state)| (*metric, state))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nephos_timeseries::ArchivePolicy;

    use super::*;

    #[test]
    fn removing_a_metric_leaves_every_other_in_reach() {
        let policy = Arc::new(ArchivePolicy {
            name: String::new(),
            back_window: 0,
            definition: Vec::new(),
            methods: Vec::new(),
        });
        let mut table = MetricTable::default();
        let metrics: Vec<MetricId> = (0..100).map(|_| MetricId::random()).collect();
        for (commit, metric) in (1..).zip(&metrics) {
            table.insert(*metric, MetricState::new(&policy, commit));
        }
        for gone in (0..100).step_by(3) {
            assert!(table.remove(metrics[gone]).is_some());
            assert!(table.remove(metrics[gone]).is_none());
        }
        for (at, metric) in metrics.iter().enumerate() {
            let expected = (at % 3 != 0).then_some(at as u64 + 1);
            assert_eq!(table.get(*metric).map(|state| state.commit), expected);
        }
        assert_eq!((table.len(), table.iter().count()), (66, 66));
    }
}

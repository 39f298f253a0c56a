//! The map from a resource and a name to the metric there.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use nephos_model::{MetricId, ResourceId};

/// Entries held at most; a full map starts anew.
const CAPACITY: usize = 4_000_000;

/// Metrics by their places. An entry holds as long as the metric's own one has the same stamp: what is forgotten there
/// need not be looked for here.
#[derive(Debug, Default)]
pub(super) struct Names {
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Names are few.
    numbers: HashMap<Arc<str>, u32, RandomState>,
    metrics: HashMap<(ResourceId, u32), (MetricId, u32), RandomState>,
}

impl Names {
    /// The metric at each place, and the stamp that it must have.
    pub(super) fn look_up(&self, places: &[(ResourceId, &str)]) -> Vec<Option<(MetricId, u32)>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let find = |(resource, name): &(ResourceId, &str)| {
            let number = held.numbers.get(*name)?;
            held.metrics.get(&(*resource, *number)).copied()
        };
        places.iter().map(find).collect()
    }

    /// Keeps what stands at a place.
    pub(super) fn keep(&self, resource: ResourceId, name: &str, metric: MetricId, stamp: u32) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.metrics.len() >= CAPACITY {
            *held = Held::default();
        }
        let next = u32::try_from(held.numbers.len()).unwrap_or(u32::MAX);
        let number = match held.numbers.get(name) {
            Some(number) => *number,
            None => *held.numbers.entry(Arc::from(name)).or_insert(next),
        };
        held.metrics.insert((resource, number), (metric, stamp));
    }
}

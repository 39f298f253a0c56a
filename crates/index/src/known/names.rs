//! The map from a resource and a name to the metric there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
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
    are_asked: AtomicBool,
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
        self.are_asked.store(true, Ordering::Relaxed);
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let find = |(resource, name): &(ResourceId, &str)| {
            let number = held.numbers.get(*name)?;
            held.metrics.get(&(*resource, *number)).copied()
        };
        places.iter().map(find).collect()
    }

    /// Keeps metrics and where each stands, if anywhere; `first` is the stamp of the first, those that follow are the
    /// others'.
    pub(super) fn keep<'a>(
        &self,
        first: u32,
        metrics: impl Iterator<Item = (MetricId, Option<(ResourceId, &'a str)>)>,
    ) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        for (number, (metric, place)) in (0..).zip(metrics) {
            let (Some((resource, name)), stamp) = (place, first.wrapping_add(number)) else { continue };
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

    /// Whether anybody has asked. Who does not would pay for nothing.
    pub(super) fn are_asked(&self) -> bool {
        self.are_asked.load(Ordering::Relaxed)
    }
}

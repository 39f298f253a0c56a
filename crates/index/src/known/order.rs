//! When the order of the metrics in memory follows those who ask.

use std::sync::{Mutex, PoisonError};

use nephos_model::MetricId;

/// Metrics that a look-up must have for its order to count.
pub(super) const MANY: usize = 64;
/// Wrong guesses that are nobody's fault: the first in each shard.
const FREE: usize = super::cache::SHARDS;
/// One wrong guess in so many metrics is put up with.
const TOLERANCE: usize = 16;
/// Wrong guesses for each metric in memory that make it worth while to move all of them.
const WORTH: usize = 2;

/// Decides. Orders are followed once wrong guesses have cost more than following takes: so it pays where the same ones come
/// again and again, and where they contradict each other it costs no more than half of what the searches do anyway. All
/// that came meanwhile are followed at once, since moving all metrics costs the same for a few of them.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Since the last time.
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    wrong: usize,
    /// The metrics that were guessed wrong with the rest of their look-ups, one look-up behind the other; not many more
    /// than there are in memory.
    metrics: Vec<MetricId>,
}

impl Order {
    /// The order to follow, if it is time, after a look-up of these metrics, so many of which were not where they were
    /// guessed to be, while so many are in memory.
    pub(super) fn to_follow(
        &self,
        metrics: &[MetricId],
        searches: usize,
        held: usize,
    ) -> Option<Vec<MetricId>> {
        if metrics.len() < MANY || searches <= FREE + metrics.len() / TOLERANCE {
            return None;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.wrong = asked.wrong.saturating_add(searches);
        if asked.metrics.len() < held {
            asked.metrics.extend_from_slice(metrics);
        }
        let is_worth = asked.wrong >= held.saturating_mul(WORTH);
        is_worth.then(|| std::mem::take(&mut *asked).metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(number: usize) -> Vec<MetricId> {
        (0..number).map(|_| MetricId::random()).collect()
    }

    #[test]
    fn an_order_is_followed_when_searches_have_cost_more_than_that() {
        let (order, ids) = (Order::default(), ids(2_000));
        let parts = ids.chunks(1_000).cycle().take(9);
        let told: Vec<Option<usize>> =
            parts.map(|part| order.to_follow(part, 900, 1_400).map(|metrics| metrics.len())).collect();
        let both = Some(2_000);
        assert_eq!(told, [None, None, None, both, None, None, None, both, None]);
    }

    #[test]
    fn few_metrics_and_few_wrong_guesses_are_followed_never() {
        let (order, ids) = (Order::default(), ids(1_600));
        for _ in 0..1_000 {
            assert!(order.to_follow(&ids[..63], 63, 63).is_none());
            assert!(order.to_follow(&ids, 116, 1_600).is_none());
            assert!(order.to_follow(&ids[..64], 20, 64).is_none());
        }
    }
}

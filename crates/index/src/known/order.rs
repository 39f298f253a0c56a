//! When the order of the metrics in memory follows those who ask.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Metrics that a look-up must have for its order to count.
pub(super) const MANY: usize = 64;
/// Wrong guesses that are nobody's fault: the first in each shard.
const FREE: usize = super::cache::SHARDS;
/// One wrong guess in so many metrics is put up with.
const TOLERANCE: usize = 16;
/// Wrong guesses for each metric in memory that make it worth while to move all of them.
const WORTH: usize = 2;

/// Decides. An order is followed once wrong guesses have cost more than following takes: so it pays where one order comes
/// again and again, and where many contradict each other it costs no more than half of what the searches do anyway.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Since one was followed.
    wrong: AtomicUsize,
}

impl Order {
    /// Whether to follow a look-up of so many metrics, so many of which were not where they were guessed to be, while so many
    /// are in memory.
    pub(super) fn is_to_follow(&self, metrics: usize, searches: usize, held: usize) -> bool {
        if metrics < MANY || searches <= FREE + metrics / TOLERANCE {
            return false;
        }
        let wrong = self.wrong.fetch_add(searches, Ordering::Relaxed).saturating_add(searches);
        let is_worth = wrong >= held.saturating_mul(WORTH);
        if is_worth {
            self.wrong.store(0, Ordering::Relaxed);
        }
        is_worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_followed_when_searches_have_cost_more_than_that() {
        let order = Order::default();
        let told: Vec<bool> = (0..9).map(|_| order.is_to_follow(1_000, 900, 1_400)).collect();
        assert_eq!(told, [false, false, false, true, false, false, false, true, false]);
    }

    #[test]
    fn few_metrics_and_few_wrong_guesses_are_followed_never() {
        let order = Order::default();
        for _ in 0..1_000 {
            assert!(!order.is_to_follow(63, 63, 63));
            assert!(!order.is_to_follow(1_600, 116, 1_600));
            assert!(!order.is_to_follow(64, 20, 64));
        }
    }
}

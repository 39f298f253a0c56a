//! When the order of the metrics in memory follows those who ask.

use std::sync::{Mutex, PoisonError};

/// Metrics that a look-up must have for its order to count.
pub(super) const MANY: usize = 64;
/// Wrong guesses that are nobody's fault: the first in each shard.
const FREE: usize = super::cache::SHARDS;
/// One wrong guess in so many metrics is put up with.
const TOLERANCE: usize = 16;
/// Look-ups in a wrong order before it is followed: at first, and at most.
const PATIENCE: (u32, u32) = (2, 1 << 12);
/// After so many look-ups in the right order, one after the other, what was before is forgotten.
const CALM: u32 = 64;

/// Decides. Each time an order is followed, it takes twice as many look-ups in a wrong one to follow again: those who ask
/// in orders that contradict each other would make each other's look-ups slower for ever.
#[derive(Debug)]
pub(super) struct Order {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Look-ups in a wrong order since one was followed.
    wrong: u32,
    patience: u32,
    /// Look-ups in the right order since one was not.
    right: u32,
}

impl Default for State {
    fn default() -> Self {
        Self { wrong: 0, patience: PATIENCE.0, right: 0 }
    }
}

impl Default for Order {
    fn default() -> Self {
        Self { state: Mutex::new(State::default()) }
    }
}

impl Order {
    /// Whether to follow a look-up of so many metrics, so many of which were not where they were guessed to be.
    pub(super) fn is_to_follow(&self, metrics: usize, searches: usize) -> bool {
        if metrics < MANY {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if searches <= FREE + metrics / TOLERANCE {
            state.right += 1;
            if state.right >= CALM {
                *state = State::default();
            }
            return false;
        }
        state.right = 0;
        state.wrong += 1;
        if state.wrong < state.patience {
            return false;
        }
        state.wrong = 0;
        state.patience = (state.patience * 2).min(PATIENCE.1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often an order is followed while so many look-ups come, every `every`th of them in a wrong one.
    fn followed(order: &Order, look_ups: usize, every: usize) -> usize {
        let wrong = |number: &usize| number.is_multiple_of(every);
        (1..=look_ups).filter(|number| order.is_to_follow(1_000, if wrong(number) { 900 } else { 3 })).count()
    }

    #[test]
    fn an_order_that_is_asked_for_twice_is_followed() {
        let order = Order::default();
        assert!(!order.is_to_follow(1_000, 900));
        assert!(order.is_to_follow(1_000, 900));
    }

    #[test]
    fn contradicting_orders_are_followed_ever_more_rarely() {
        let order = Order::default();
        assert_eq!(followed(&order, 100_000, 2), 22);
        assert_eq!(followed(&order, 100_000, 2), 12);
    }

    #[test]
    fn long_after_a_contradiction_an_order_is_followed_at_once() {
        let order = Order::default();
        followed(&order, 10_000, 1);
        assert_eq!(followed(&order, 63, 64), 0);
        assert_eq!(followed(&order, 4, 1), 0);
        assert_eq!(followed(&order, 64, 65), 0);
        assert_eq!(followed(&order, 2, 1), 1);
    }

    #[test]
    fn few_metrics_and_few_wrong_guesses_are_followed_never() {
        let order = Order::default();
        for _ in 0..1_000 {
            assert!(!order.is_to_follow(63, 63));
            assert!(!order.is_to_follow(1_600, 116));
            assert!(!order.is_to_follow(64, 20));
        }
    }
}

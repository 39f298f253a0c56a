//! When a failed notification is tried again (nephos.md §8). Pure but for the jitter.

use std::time::Duration;

use nephos_index::{OutboxItem, OutboxResult};
use nephos_model::Timestamp;
use rand::Rng;

/// First waiting time.
const FIRST: Duration = Duration::from_secs(1);
/// Longest waiting time.
const MOST: Duration = Duration::from_secs(300);
/// How long after it was written a notification is still tried.
const FOR: Duration = Duration::from_secs(3_600);

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver took it.
    Delivered,
    /// It may work later.
    Failed(String),
    /// It will never work.
    Refused(String),
}

/// What becomes of `item` after an attempt that ended at `now`.
pub fn next(item: &OutboxItem, attempt: Attempt, now: Timestamp) -> OutboxResult {
    match attempt {
        Attempt::Delivered => OutboxResult::Delivered,
        Attempt::Refused(error) => OutboxResult::Dead { error },
        Attempt::Failed(error) => {
            let full = FIRST.saturating_mul(1_u32.checked_shl(item.attempts).unwrap_or(u32::MAX)).min(MOST);
            let due = now.plus(full.mul_f64(rand::rng().random_range(0.5..=1.0)));
            if due > item.created.plus(FOR) {
                return OutboxResult::Dead { error: format!("given up after an hour: {error}") };
            }
            OutboxResult::Retry { due, error }
        }
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::AlarmId;
    use uuid::Uuid;

    use super::*;

    fn item(attempts: u32) -> OutboxItem {
        OutboxItem {
            id: Uuid::new_v4(),
            alarm_id: AlarmId::random(),
            action: "http://127.0.0.1/".into(),
            payload: "{}".into(),
            created: Timestamp::EPOCH,
            attempts,
            due: Timestamp::EPOCH,
        }
    }

    #[test]
    fn waits_double_from_one_second_to_five_minutes() {
        for (attempts, most) in [(0, 1), (1, 2), (4, 16), (9, 300), (40, 300)] {
            let OutboxResult::Retry { due, .. } =
                next(&item(attempts), Attempt::Failed("x".into()), Timestamp::EPOCH)
            else {
                panic!("not tried again after {attempts}")
            };
            assert!(due <= Timestamp::from_secs(most), "{attempts}: {due:?}");
            assert!(due >= Timestamp::from_nanos(most * 500_000_000), "{attempts}: {due:?}");
        }
    }

    #[test]
    fn an_hour_after_it_was_written_it_is_given_up() {
        let late = Timestamp::from_secs(3_599);
        assert!(matches!(
            next(&item(10), Attempt::Failed("refused".into()), late),
            OutboxResult::Dead { error } if error == "given up after an hour: refused"
        ));
    }

    #[test]
    fn a_refusal_is_final() {
        assert!(matches!(
            next(&item(0), Attempt::Refused("404".into()), Timestamp::EPOCH),
            OutboxResult::Dead { .. }
        ));
    }
}

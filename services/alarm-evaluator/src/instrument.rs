//! The evaluator's own figures.

use std::time::Duration;

use metrics::{counter, histogram};

/// An alarm was evaluated; `result` is `committed`, `stale` or `failed`.
pub(crate) fn evaluated(result: &'static str, took: Duration) {
    counter!("nephos_alarm_evaluator_evaluations_total", "result" => result).increment(1);
    histogram!("nephos_alarm_evaluator_evaluation_seconds").record(took.as_secs_f64());
}

/// A state changed.
pub(crate) fn transitioned(state: &'static str) {
    counter!("nephos_alarm_evaluator_transitions_total", "state" => state).increment(1);
}

/// Notifications were written to the outbox.
pub(crate) fn emitted(count: usize) {
    counter!("nephos_alarm_evaluator_notifications_total")
        .increment(u64::try_from(count).unwrap_or(u64::MAX));
}

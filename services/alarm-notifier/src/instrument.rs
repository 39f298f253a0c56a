//! The notifier's own figures.

use std::time::Duration;

use metrics::{counter, histogram};
use nephos_index::OutboxResult;

/// A delivery was tried.
pub(crate) fn attempted(result: &OutboxResult, took: Duration) {
    let result = match result {
        OutboxResult::Delivered => "delivered",
        OutboxResult::Retry { .. } => "retry",
        OutboxResult::Dead { .. } => "dead",
    };
    counter!("nephos_alarm_notifier_attempts_total", "result" => result).increment(1);
    histogram!("nephos_alarm_notifier_attempt_seconds").record(took.as_secs_f64());
}

//! The collector's own figures.

use std::time::Duration;

use metrics::{counter, histogram};

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Samples came from the bus.
pub(crate) fn received(samples: usize) {
    counter!("nephos_collector_received_samples_total").increment(count(samples));
}

/// Measures were made durable.
pub(crate) fn emitted(accepted: u64, late: u64) {
    counter!("nephos_collector_emitted_measures_total").increment(accepted);
    dropped("late", usize::try_from(late).unwrap_or(usize::MAX));
}

/// Samples were given up for good.
pub(crate) fn dropped(reason: &'static str, samples: usize) {
    if samples > 0 {
        counter!("nephos_collector_dropped_samples_total", "reason" => reason).increment(count(samples));
    }
}

/// A step failed and is tried again.
pub(crate) fn failed(stage: &'static str) {
    counter!("nephos_collector_errors_total", "stage" => stage).increment(1);
}

/// A batch was acknowledged.
pub(crate) fn finished(took: Duration) {
    histogram!("nephos_collector_batch_seconds").record(took.as_secs_f64());
}

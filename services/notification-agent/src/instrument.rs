//! The agent's own metrics: the one place that names them.

use std::time::Duration;

/// A batch was taken off the bus.
pub(crate) fn received(messages: usize, samples: usize) {
    metrics::counter!("nephos_notification_agent_received_messages_total").increment(messages as u64);
    metrics::counter!("nephos_notification_agent_received_samples_total").increment(samples as u64);
}

/// Samples reached publishers.
pub(crate) fn emitted(samples: u64) {
    metrics::counter!("nephos_notification_agent_emitted_samples_total").increment(samples);
}

/// Samples went no further.
pub(crate) fn dropped(reason: &'static str, samples: u64) {
    metrics::counter!("nephos_notification_agent_dropped_samples_total", "reason" => reason)
        .increment(samples);
}

/// Something failed; what failed may well succeed later.
pub(crate) fn failed(kind: &'static str) {
    metrics::counter!("nephos_notification_agent_errors_total", "kind" => kind).increment(1);
}

/// Every message of a batch was settled.
pub(crate) fn settled(took: Duration) {
    metrics::histogram!("nephos_notification_agent_batch_duration_seconds").record(took);
}

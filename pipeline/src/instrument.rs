//! The pipelines' own metrics: the one place that names them.

use std::time::Duration;

use crate::flow::Dropped;

/// A batch was done.
pub(crate) fn processed(received: usize, dropped: &Dropped, took: Duration) {
    metrics::counter!("nephos_pipeline_received_samples_total").increment(received as u64);
    for (reason, count) in dropped.iter() {
        lost(reason.as_str(), count);
    }
    metrics::histogram!("nephos_pipeline_batch_duration_seconds").record(took);
}

/// Samples ended here.
pub(crate) fn lost(reason: &'static str, count: u64) {
    metrics::counter!("nephos_pipeline_dropped_samples_total", "reason" => reason).increment(count);
}

/// A publisher took samples.
pub(crate) fn emitted(publisher: &'static str, count: usize) {
    metrics::counter!("nephos_pipeline_emitted_samples_total", "publisher" => publisher)
        .increment(count as u64);
}

/// Something failed; what failed may well succeed later.
pub(crate) fn failed(kind: &'static str) {
    metrics::counter!("nephos_pipeline_errors_total", "kind" => kind).increment(1);
}

/// State that nobody had written for long was deleted.
pub(crate) fn expired(count: u64) {
    metrics::counter!("nephos_pipeline_expired_states_total").increment(count);
}

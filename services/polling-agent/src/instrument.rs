//! The agent's own figures.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::pollster::Polled;

fn many(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A pollster was run.
pub(crate) fn polled(pollster: &'static str, polled: &Polled, took: Duration) {
    counter!("nephos_polling_agent_received_samples_total", "pollster" => pollster)
        .increment(many(polled.samples.len()));
    histogram!("nephos_polling_agent_poll_seconds", "pollster" => pollster).record(took.as_secs_f64());
    for (reason, count) in &polled.left_out {
        counter!("nephos_polling_agent_left_out_resources_total", "pollster" => pollster, "reason" => *reason)
            .increment(many(*count));
    }
    for (kind, _) in &polled.faults {
        error(kind);
    }
}

/// Something went wrong and was survived.
pub(crate) fn error(kind: &'static str) {
    counter!("nephos_polling_agent_errors_total", "kind" => kind).increment(1);
}

/// A run began later than its whole interval allows.
pub(crate) fn overrun() {
    counter!("nephos_polling_agent_overruns_total").increment(1);
}

/// A batch was acknowledged.
pub(crate) fn emitted(samples: usize, took: Duration) {
    counter!("nephos_polling_agent_emitted_samples_total").increment(many(samples));
    histogram!("nephos_polling_agent_publish_seconds").record(took.as_secs_f64());
}

/// Samples were given up.
pub(crate) fn dropped(reason: &'static str, samples: usize) {
    counter!("nephos_polling_agent_dropped_samples_total", "reason" => reason).increment(many(samples));
}

/// How many samples wait to be acknowledged.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn waiting(samples: usize) {
    gauge!("nephos_polling_agent_waiting_samples").set(samples as f64);
}

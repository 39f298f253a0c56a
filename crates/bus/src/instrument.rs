//! The bus's own metrics: the one place that names them.

use std::time::Duration;

use crate::contract::{Destination, Subscription};

const fn destination_name(destination: Destination) -> &'static str {
    match destination {
        Destination::Polling => "polling",
        Destination::Metering => "metering",
    }
}

const fn subscription_name(subscription: Subscription) -> &'static str {
    match subscription {
        Subscription::Polling => "polling",
        Subscription::Metering => "metering",
    }
}

/// A batch was handed to `publish` and acknowledged, or not.
pub(crate) fn published(destination: Destination, samples: usize, took: Duration, acknowledged: bool) {
    let topic = destination_name(destination);
    if acknowledged {
        metrics::counter!("nephos_bus_emitted_samples_total", "topic" => topic).increment(samples as u64);
    } else {
        metrics::counter!("nephos_bus_errors_total", "kind" => "publish").increment(1);
    }
    metrics::histogram!("nephos_bus_publish_duration_seconds", "topic" => topic).record(took);
}

/// A message reached a consumer.
pub(crate) fn received(subscription: Subscription, samples: usize) {
    let topic = subscription_name(subscription);
    metrics::counter!("nephos_bus_received_messages_total", "topic" => topic).increment(1);
    metrics::counter!("nephos_bus_received_samples_total", "topic" => topic).increment(samples as u64);
}

/// A message was given back and will come again.
pub(crate) fn retried(subscription: Subscription) {
    metrics::counter!("nephos_bus_redelivered_messages_total", "topic" => subscription_name(subscription))
        .increment(1);
}

/// Messages or samples went where nobody reads them on: a dead-letter queue, or nowhere.
pub(crate) fn dropped(reason: &'static str, count: u64) {
    metrics::counter!("nephos_bus_dropped_total", "reason" => reason).increment(count);
}

/// Something failed that was not a publish.
pub(crate) fn failed(kind: &'static str) {
    metrics::counter!("nephos_bus_errors_total", "kind" => kind).increment(1);
}

/// Whether the broker is reachable now.
pub(crate) fn connected(yes: bool) {
    metrics::gauge!("nephos_bus_connected_count").set(if yes { 1.0 } else { 0.0 });
}

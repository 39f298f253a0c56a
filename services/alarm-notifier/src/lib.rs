//! The alarm notifier: delivers the outbox that evaluations write, at least once, with retries that back off.
//!
//! A notification keeps its id over all attempts (`x-openstack-request-id`), so that receivers can drop repeats.

mod http;
mod instrument;
pub mod notifier;
pub mod retry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use nephos_index::{OutboxItem, OutboxResult};
use nephos_model::{AlarmId, Clock};
use nephos_observe::{Backoff, Health, Shutdown};

pub use http::{HttpNotifier, HttpOptions, SetupError};
pub use notifier::{LogNotifier, Notifier, Notifiers, TestNotifier};

/// How often due notifications are looked for.
const TICK: Duration = Duration::from_millis(500);
/// Notifications claimed at once.
const BATCH: u64 = 256;

/// What the notifier works with.
#[derive(Debug)]
pub struct NotifierParts {
    /// The outbox.
    pub index: Arc<dyn nephos_index::Index>,
    /// Who delivers which scheme.
    pub notifiers: Arc<Notifiers>,
    /// Longest time one attempt may take; claims are held that much longer.
    pub timeout: Duration,
    /// Alarms notified at the same time.
    pub workers: u16,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where readiness is reported.
    pub health: Health,
}

/// Delivers notifications until shutdown is asked for; attempts under way are finished.
pub async fn run(parts: NotifierParts, shutdown: Shutdown) {
    let outbox = Arc::new(std::sync::Mutex::new(Err("the outbox was not read yet".to_owned())));
    let seen = Arc::clone(&outbox);
    parts.health.register(
        "alarm-notifier",
        Arc::new(move || seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()),
    );
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        let result = cycle(&parts, &shutdown).await;
        let pause = match &result {
            // More may be waiting when the batch was full.
            Ok(claimed) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("notifications are delivered again");
                }
                backoff.reset();
                if u64::try_from(*claimed).is_ok_and(|claimed| claimed >= BATCH) {
                    Duration::ZERO
                } else {
                    TICK
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error, "notifications cannot be delivered; trying again");
                }
                backoff.next_delay()
            }
        };
        *outbox.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = result.map(|_| ());
        tokio::select! {
            () = shutdown.requested() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Claims due notifications and tries each once; how many there were.
async fn cycle(parts: &NotifierParts, shutdown: &Shutdown) -> Result<usize, String> {
    // An alarm's notifications go one after another, so a claim must outlast several attempts.
    let lease = parts.timeout.saturating_mul(8).saturating_add(Duration::from_secs(30));
    let lease_nanos = i64::try_from(lease.as_nanos()).unwrap_or(i64::MAX);
    let claimed = parts
        .index
        .claim_outbox(parts.clock.now(), lease_nanos, BATCH)
        .await
        .map_err(|error| error.to_string())?;
    let count = claimed.len();
    let mut by_alarm: BTreeMap<AlarmId, Vec<OutboxItem>> = BTreeMap::new();
    for item in claimed {
        by_alarm.entry(item.alarm_id).or_default().push(item);
    }
    futures_util::stream::iter(by_alarm.into_values())
        .for_each_concurrent(usize::from(parts.workers.max(1)), |items| async move {
            for item in items {
                // Unsettled claims run out by themselves and are taken up by whoever is there then.
                if shutdown.is_requested() {
                    return;
                }
                attempt(parts, item).await;
            }
        })
        .await;
    Ok(count)
}

async fn attempt(parts: &NotifierParts, item: OutboxItem) {
    let started = parts.clock.monotonic();
    let outcome = parts.notifiers.deliver(&item).await;
    let now = parts.clock.now();
    let result = retry::next(&item, outcome, now);
    let action = notifier::without_secrets(&item.action);
    match &result {
        OutboxResult::Delivered => tracing::debug!(alarm = %item.alarm_id, action, "notification delivered"),
        OutboxResult::Retry { error, .. } => {
            tracing::info!(alarm = %item.alarm_id, action, error, attempts = item.attempts + 1, "notification failed; trying again later");
        }
        OutboxResult::Dead { error } => {
            tracing::error!(alarm = %item.alarm_id, action, error, attempts = item.attempts + 1, "notification given up");
        }
    }
    instrument::attempted(&result, parts.clock.monotonic().saturating_sub(started));
    if let Err(error) = parts.index.settle_outbox(item.id, now, &result).await {
        // Its claim runs out and it is tried again: at least once, under the same id.
        tracing::warn!(alarm = %item.alarm_id, %error, "the result of a notification could not be stored");
    }
}

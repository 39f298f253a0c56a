//! The collector: takes samples from the bus, makes their resources and metrics exist, appends their measures to the
//! metric store, and acknowledges what is durable.
//!
//! A batch goes through four steps, each in a module of its own: `gather` takes what is ready, in order;
//! `place` finds out which metric of which resource each sample belongs to, and `describe` what it tells of that; `resolve` turns names into
//! metrics through the index and its cache; `store` appends and acknowledges. Whatever fails for a passing reason is
//! tried again with the deliveries still in hand, so nothing is acknowledged before it is durable. Redelivery is harmless:
//! an append is idempotent by (metric, timestamp).

mod describe;
mod gather;
mod instrument;
pub mod ownership;
mod place;
mod resolve;
mod store;

use std::sync::Arc;
use std::time::Duration;

use nephos_bus::{Bus, BusError, Subscription};
use nephos_config::resources::ResourcesFile;
use nephos_index::Index;
use nephos_metric_store::MetricStore;
use nephos_model::{Clock, Sample};
use nephos_observe::{Backoff, Shutdown};
use tokio::sync::watch;

use crate::resolve::Resolver;

/// What the collector works with.
#[derive(Debug)]
pub struct CollectorParts {
    /// Where samples come from.
    pub bus: Arc<dyn Bus>,
    /// Resources, metrics, policies.
    pub index: Arc<dyn Index>,
    /// Where measures go.
    pub store: Arc<dyn MetricStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Which meter belongs to which resource type, by which policy; may change while running.
    pub resources: watch::Receiver<Arc<ResourcesFile>>,
    /// Who owns what is created.
    pub creator: String,
    /// Most samples appended at once.
    pub batch_size: u16,
}

/// Unsettled messages in hand. A message has at most 100 samples.
const PREFETCH: u16 = 64;

/// Collects until shutdown is asked for; the batch in hand is finished.
pub async fn run(parts: CollectorParts, shutdown: Shutdown) -> Result<(), BusError> {
    let mut resolver = Resolver::new(
        Arc::clone(&parts.index),
        parts.creator.clone(),
        Arc::clone(&parts.clock),
        parts.resources.clone(),
    );
    let mut consumer = subscribe(&parts, &shutdown).await?;
    while let Some(batch) = gather::next(consumer.as_mut(), usize::from(parts.batch_size), &shutdown).await {
        let started = parts.clock.monotonic();
        instrument::received(batch.samples);
        let Some(measures) = resolve_until_done(&mut resolver, &batch.parts, &shutdown).await else { break };
        if !store::append_until_durable(parts.store.as_ref(), Arc::new(measures), &shutdown).await {
            break;
        }
        batch.ack().await;
        instrument::finished(parts.clock.monotonic().saturating_sub(started));
    }
    consumer.cancel().await;
    Ok(())
}

async fn subscribe(
    parts: &CollectorParts,
    shutdown: &Shutdown,
) -> Result<Box<dyn nephos_bus::Consumer>, BusError> {
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        match parts.bus.subscribe(Subscription::Metering, PREFETCH).await {
            Ok(consumer) => return Ok(consumer),
            Err(error @ (BusError::Refused { .. } | BusError::Closed)) => return Err(error),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "waiting for the message bus");
                }
            }
        }
        if pause(backoff.next_delay(), shutdown).await {
            return Err(BusError::Closed);
        }
    }
}

/// Resolves the messages' samples, waiting out passing faults of the index; `None` when shutdown was asked for meanwhile.
async fn resolve_until_done(
    resolver: &mut Resolver,
    messages: &[Vec<Sample>],
    shutdown: &Shutdown,
) -> Option<nephos_metric_store::Batch> {
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        match resolver.batch(messages).await {
            Ok(measures) => {
                if told {
                    tracing::info!("the index answers again");
                }
                return Some(measures);
            }
            Err(error) => {
                instrument::failed("index");
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "samples wait for the index");
                }
            }
        }
        if pause(backoff.next_delay(), shutdown).await {
            return None;
        }
    }
}

/// Waits; true if shutdown was asked for meanwhile.
async fn pause(delay: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.requested() => true,
        () = tokio::time::sleep(delay) => false,
    }
}

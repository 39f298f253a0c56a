//! Notification agent: takes polled samples off the bus and through the pipelines.
//!
//! Messages that are ready are processed together as one batch. A batch is acknowledged when every publisher has its
//! outputs and the transformers' state is written; whatever stops that from happening makes the batch wait, in this
//! process at first, at the bus later. Any number of agents may run; which of them gets a message makes no difference.

mod carrier;
mod housekeeping;
mod instrument;

use std::sync::Arc;
use std::time::Duration;

use nephos_bus::{Bus, BusError, Consumer, Delivery, Subscription};
use nephos_config::PipelineFile;
use nephos_coordination::StateStore;
use nephos_model::Clock;
use nephos_observe::{Backoff, Health, Shutdown};
use nephos_pipeline::Pipelines;
use tokio::sync::watch;
use tokio::task::JoinSet;

use carrier::{Batch, Carrier};

/// What a notification agent works with.
#[derive(Debug)]
pub struct NotificationParts {
    /// Where samples come from, and where `nephos://` takes them.
    pub bus: Arc<dyn Bus>,
    /// State of the transformers, shared with other agents.
    pub state: Arc<dyn StateStore>,
    /// The pipelines; a new value is put in force at once.
    pub pipelines: watch::Receiver<Arc<PipelineFile>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where this agent says whether it works.
    pub health: Health,
    /// Most messages held unacknowledged.
    pub prefetch: u16,
    /// Most batches processed at a time; at least 1.
    pub workers: u16,
}

/// Why a notification agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The bus will never let it read.
    #[error("cannot read samples from the bus")]
    Subscribe(#[source] BusError),
}

/// A batch takes no further message once it has this many samples.
const BATCH_SAMPLES: usize = 1_000;

/// How long batches in work may take to end after shutdown was requested.
const GRACE: Duration = Duration::from_secs(15);

/// Runs until shutdown is requested and what was taken is either done or given back.
pub async fn run(parts: NotificationParts, shutdown: Shutdown) -> Result<(), NotificationError> {
    let pipelines =
        Arc::new(Pipelines::new(Arc::clone(&parts.bus), Arc::clone(&parts.state), Arc::clone(&parts.clock)));
    let mut files = parts.pipelines.clone();
    housekeeping::put_in_force(&pipelines, &mut files);
    let bus = Arc::clone(&parts.bus);
    parts.health.register("bus", Arc::new(move || bus.ready()));

    let Some(consumer) = subscribe(&parts, &shutdown).await? else { return Ok(()) };
    let mut side = JoinSet::new();
    side.spawn(housekeeping::follow(Arc::clone(&pipelines), files));
    side.spawn(housekeeping::keep(Arc::clone(&pipelines), Arc::clone(&parts.state), parts.health.clone()));
    let carrier = Carrier::new(pipelines, Arc::clone(&parts.clock), shutdown.clone(), GRACE);
    consume(consumer, &Arc::new(carrier), usize::from(parts.workers.max(1)), &shutdown).await;
    side.shutdown().await;
    Ok(())
}

/// Waits for a bus that is away; `None` if shutdown came first.
async fn subscribe(
    parts: &NotificationParts,
    shutdown: &Shutdown,
) -> Result<Option<Box<dyn Consumer>>, NotificationError> {
    let mut backoff = Backoff::default();
    let mut said = false;
    loop {
        let error = match parts.bus.subscribe(Subscription::Polling, parts.prefetch).await {
            Ok(consumer) => return Ok(Some(consumer)),
            Err(error @ (BusError::Refused { .. } | BusError::Closed)) => {
                return Err(NotificationError::Subscribe(error));
            }
            Err(error) => error,
        };
        instrument::failed("subscribe");
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(error = %error, "waiting for the message bus");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.requested() => return Ok(None),
        }
    }
}

/// Takes batches until shutdown or the end of the bus, and waits for those in work.
async fn consume(
    mut consumer: Box<dyn Consumer>,
    carrier: &Arc<Carrier>,
    workers: usize,
    shutdown: &Shutdown,
) {
    let mut working = JoinSet::new();
    loop {
        while working.len() >= workers {
            finished(working.join_next().await);
        }
        let first = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            delivery = consumer.next() => delivery,
        };
        let Some(first) = first else { break };
        let batch = gather(first, consumer.as_mut());
        let carrier = Arc::clone(carrier);
        working.spawn(async move { carrier.carry(batch).await });
    }
    consumer.cancel().await;
    while let Some(result) = working.join_next().await {
        finished(Some(result));
    }
}

/// The first message with all that are ready behind it, up to the size of a batch.
fn gather(first: Box<dyn Delivery>, consumer: &mut dyn Consumer) -> Batch {
    let mut batch = Batch::new(first);
    while batch.len() < BATCH_SAMPLES {
        match consumer.try_next() {
            Some(delivery) => batch.add(delivery),
            None => break,
        }
    }
    instrument::received(batch.messages(), batch.len());
    batch
}

fn finished(result: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = result {
        // Its messages were dropped unsettled, so the bus delivers them again.
        instrument::failed("panic");
        tracing::error!(error = %error, "a batch broke off");
    }
}

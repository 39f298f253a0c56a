//! A message in a consumer's hands.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use nephos_model::Sample;
use tokio::sync::OwnedSemaphorePermit;
use xxhash_rust::xxh3::xxh3_128;

use super::publish;
use super::session::Session;
use crate::contract::{BusError, Delivery, Subscription};
use crate::instrument;
use crate::retry::RetryPolicy;

/// Messages that were given back, by the hash of their body, and how often. Plain queues do not count that themselves.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counts: Mutex<HashMap<u128, u32>>,
}

impl Attempts {
    /// More entries than can be in flight: then most are of messages that another consumer has settled.
    const MOST: usize = 65_536;

    /// Notes that `body` was given back once more; how often in all.
    fn add(&self, body: &[u8]) -> u32 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= Self::MOST {
            counts.clear();
        }
        let count = counts.entry(xxh3_128(body)).or_default();
        *count += 1;
        *count
    }

    /// Forgets `body`, which was settled.
    fn settle(&self, body: &[u8]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Nearly always nothing was ever given back, and the hash need not be computed.
        if !counts.is_empty() {
            counts.remove(&xxh3_128(body));
        }
    }
}

/// What all deliveries of one consumer share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) subscription: Subscription,
    pub(super) retry: RetryPolicy,
    pub(super) attempts: Attempts,
}

/// A message as the broker delivered it, not settled yet.
pub(super) struct Envelope {
    pub(super) session: Arc<Session>,
    pub(super) desk: Arc<Desk>,
    pub(super) acker: Acker,
    pub(super) body: Vec<u8>,
    pub(super) queue: Arc<str>,
    /// How often the broker says it delivered this before.
    pub(super) delivered_before: u32,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("queue", &self.queue)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Envelope {
    /// Settles it for good.
    pub(super) async fn ack(&self) -> Result<(), BusError> {
        self.settle(self.acker.ack(BasicAckOptions::default())).await?;
        self.desk.attempts.settle(&self.body);
        Ok(())
    }

    /// Moves it to the dead letters.
    pub(super) async fn dead_letter(&self, reason: &str) -> Result<(), BusError> {
        tracing::warn!(queue = &*self.queue, reason, "message was dead-lettered");
        publish::dead_letter(&self.session, &self.body, &self.queue, reason).await?;
        instrument::dropped("dead_letter", 1);
        self.ack().await
    }

    /// Gives it back to its queue after a pause, or up.
    async fn give_back(&self) -> Result<(), BusError> {
        let delivered = self.desk.attempts.add(&self.body).max(self.delivered_before.saturating_add(1));
        let Some(pause) = self.desk.retry.pause_after(delivered) else {
            return self.dead_letter(&format!("given back by its consumer {delivered} times")).await;
        };
        instrument::retried(self.desk.subscription);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The broker has it back already.
            () = self.session.over() => return Ok(()),
        }
        let options = BasicNackOptions { requeue: true, multiple: false };
        self.settle(self.acker.nack(options)).await
    }

    async fn settle(&self, settling: impl Future<Output = lapin::Result<bool>>) -> Result<(), BusError> {
        let peer = &self.session.peer;
        let settling = async {
            match settling.await {
                Ok(true) => Ok(()),
                Ok(false) => Err(peer.unavailable("the message's channel is gone; it will come again")),
                Err(error) => Err(peer.unavailable(error)),
            }
        };
        self.session.during(settling).await
    }
}

/// A delivery of samples.
#[derive(Debug)]
pub(super) struct AmqpDelivery {
    pub(super) samples: Vec<Sample>,
    pub(super) partition: u32,
    /// Absent once settled; the permit bounds how many are not.
    pub(super) unsettled: Option<(Envelope, OwnedSemaphorePermit)>,
}

#[async_trait]
impl Delivery for AmqpDelivery {
    fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    fn partition(&self) -> u32 {
        self.partition
    }

    async fn ack(mut self: Box<Self>) -> Result<(), BusError> {
        match self.unsettled.take() {
            Some((envelope, _permit)) => envelope.ack().await,
            None => Ok(()),
        }
    }

    async fn retry(self: Box<Self>) -> Result<(), BusError> {
        // Dropping it unsettled is giving it back.
        Ok(())
    }

    async fn dead_letter(mut self: Box<Self>, reason: &str) -> Result<(), BusError> {
        match self.unsettled.take() {
            Some((envelope, _permit)) => envelope.dead_letter(reason).await,
            None => Ok(()),
        }
    }
}

impl Drop for AmqpDelivery {
    fn drop(&mut self) {
        let (Some((envelope, permit)), Ok(runtime)) =
            (self.unsettled.take(), tokio::runtime::Handle::try_current())
        else {
            // Without a runtime the process is ending; the broker gives back what it held.
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = envelope.give_back().await {
                tracing::debug!(%error, "message could not be given back; the broker will do so");
            }
            drop(permit);
        });
    }
}

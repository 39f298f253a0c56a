//! What a bus promises.

use std::fmt::Debug;

use async_trait::async_trait;
use nephos_model::Sample;

/// Where a batch of samples goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Polling agent → notification agent: `telemetry.polling` on exchange `ceilometer`,
    /// routing key `notifications.sample`.
    Polling,
    /// Notification agent → collector: exchange `nephos`, queue `nephos.samples.NN`. The transport splits a batch by
    /// partition = xxh3_64(resource_id) mod the number of queues.
    Metering,
}

/// What a consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// What was sent to [`Destination::Polling`].
    Polling,
    /// What was sent to [`Destination::Metering`]: all partitions, each with a single active consumer; and
    /// `metering.sample` of foreign `notifier://` publishers.
    Metering,
}

/// Why a bus did not do what it was asked. All are retryable except `Refused`.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Not connected; the bus reconnects by itself.
    #[error("message bus at {url} is not reachable: {reason}")]
    Unavailable {
        /// Address without credentials.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The broker returned or nacked the message, or the consumer at the other end gave it back.
    #[error("message was not accepted: {reason}")]
    NotAccepted {
        /// Why.
        reason: String,
    },
    /// The broker will never accept this: missing vhost, no permission, clashing declaration.
    #[error("message bus at {url} refuses: {reason}")]
    Refused {
        /// Address without credentials.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The bus is shutting down.
    #[error("the message bus is closed")]
    Closed,
}

/// One received message, to be settled exactly once. Dropping it unsettled gives it back for redelivery.
#[async_trait]
pub trait Delivery: Send + Debug {
    /// The samples. Undecodable messages never get here: the transport sends them to the dead-letter queue.
    /// Single undecodable samples of an otherwise good message are dead-lettered alone, with their reason.
    fn take_samples(&mut self) -> Vec<Sample>;
    /// The partition it came through, for [`Subscription::Metering`]; 0 otherwise. Messages of one partition arrive
    /// in order.
    fn partition(&self) -> u32;
    /// All done: never deliver it again.
    async fn ack(self: Box<Self>) -> Result<(), BusError>;
    /// A passing fault: deliver it again later. The transport delays and, after its delivery limit, dead-letters.
    async fn retry(self: Box<Self>) -> Result<(), BusError>;
    /// It can never be handled: to the dead-letter queue with `reason`.
    async fn dead_letter(self: Box<Self>, reason: &str) -> Result<(), BusError>;
}

/// A stream of deliveries. At most `prefetch` are unsettled at a time.
#[async_trait]
pub trait Consumer: Send + Debug {
    /// The next delivery; waits through reconnects. `None` when the bus is closed or the consumer cancelled.
    async fn next(&mut self) -> Option<Box<dyn Delivery>>;
    /// The next delivery if one is here already.
    fn try_next(&mut self) -> Option<Box<dyn Delivery>>;
    /// Stops taking new messages; what was delivered can still be settled.
    async fn cancel(&mut self);
}

/// A message bus. Two implementations: RabbitMQ, and queues of this process.
#[async_trait]
pub trait Bus: Send + Sync + Debug {
    /// Sends samples in messages of at most 100. Returns `Ok` when they are **acknowledged**: by the broker's
    /// confirm, or (in one process) when the consumer at the end of the chain settled them with `ack`. On `Err` any
    /// subset may have arrived: sending again is harmless to the store. Waits (bounded queue) when consumers are slow;
    /// does not retry by itself.
    async fn publish(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError>;

    /// Starts reading. `prefetch` bounds the unsettled deliveries.
    async fn subscribe(
        &self,
        subscription: Subscription,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BusError>;

    /// `Ok` if the transport works right now: for `/readyz`.
    fn ready(&self) -> Result<(), String>;

    /// Stops: no new messages in; what is confirmed stays confirmed.
    async fn close(&self);
}

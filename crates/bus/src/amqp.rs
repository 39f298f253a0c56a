//! The bus on RabbitMQ.
//!
//! One task keeps one connection and replaces it, with back-off, for as long as the bus lives. A connection with its
//! channels is a [`Session`](session::Session); whatever fails on its connection or its publishing channel ends the whole
//! session, so nothing is ever repaired half-way: publishers fail fast until the next session, consumers open themselves
//! again on it, and deliveries of an ended session can no longer be settled, because the broker has given them back to
//! their queue. Only the queues that are read stand each alone: each has a channel, and one that cannot be opened tries on
//! over a connection of its own.

mod consumer;
mod delivery;
mod error;
mod publish;
mod session;
mod supervisor;
mod topology;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use nephos_model::{Clock, Sample};
use nephos_wire::oslo::Signer;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::batch::cut;
use crate::contract::{Bus, BusError, Consumer, Destination, Subscription};
use crate::instrument;
use crate::retry::RetryPolicy;
use error::Peer;
use publish::Sender;
use supervisor::{Connector, Link, Supervisor};
use topology::Topology;

/// Settings of [`AmqpBus`].
#[derive(Clone, Debug)]
pub struct AmqpOptions {
    /// `amqp://user:password@host:port/vhost`, or `amqps`; `heartbeat` and the other parameters of RabbitMQ's URIs are
    /// understood. The vhost must exist.
    pub url: SecretString,
    /// Certificates in PEM form that are trusted besides the system's.
    pub ca: Option<String>,
    /// Queues that [`Destination::Metering`] is spread over: the same in all processes.
    pub queues: u32,
    /// What samples are signed with, and what those of foreign publishers must be signed with; may be empty.
    pub telemetry_secret: SecretString,
    /// Name of this process, shown by the broker and sent as `telemetry.publisher.<member>`.
    pub member: String,
    /// What happens to deliveries that are given back.
    pub retry: RetryPolicy,
}

impl AmqpOptions {
    /// Sixteen queues, no further certificates, the usual redelivery.
    pub fn new(url: SecretString, telemetry_secret: SecretString, member: impl Into<String>) -> Self {
        let (member, retry) = (member.into(), RetryPolicy::default());
        Self { url, ca: None, queues: 16, telemetry_secret, member, retry }
    }
}

/// A bus on a RabbitMQ server.
#[derive(Debug)]
pub struct AmqpBus {
    shared: Arc<Shared>,
    link: watch::Receiver<Link>,
}

/// What publishers and consumers need besides the session.
#[derive(Debug)]
struct Shared {
    connector: Arc<Connector>,
    topology: Topology,
    sender: Sender,
    signer: Signer,
    retry: RetryPolicy,
    /// Cancelled when the bus is closed or dropped.
    closed: CancellationToken,
}

impl AmqpBus {
    /// Starts connecting and returns at once; [`Bus::ready`] tells how it goes. Fails only if the URL is none.
    /// Must be called within a tokio runtime.
    pub fn connect(options: AmqpOptions, clock: Arc<dyn Clock>) -> Result<Self, BusError> {
        let (peer, uri) = Peer::parse(options.url.expose_secret())?;
        let signer = Signer::new(options.telemetry_secret.expose_secret());
        let closed = CancellationToken::new();
        let publisher_id = format!("telemetry.publisher.{}", options.member);
        let connector = Arc::new(Connector { peer, uri, ca: options.ca, member: options.member });
        let shared = Shared {
            connector: Arc::clone(&connector),
            topology: Topology { queues: options.queues.max(1) },
            sender: Sender { publisher_id, clock, signer: signer.clone() },
            signer,
            retry: options.retry,
            closed: closed.clone(),
        };
        let link = Supervisor { connector, closed }.start();
        Ok(Self { shared: Arc::new(shared), link })
    }

    async fn send(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError> {
        if self.shared.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        let session = self.link.borrow().session()?;
        let read_as = match destination {
            Destination::Polling => Subscription::Polling,
            Destination::Metering => Subscription::Metering,
        };
        session.declare_all(self.shared.topology.queues(read_as)).await?;
        let batches = cut(destination, samples, self.shared.topology.queues);
        session.during(self.shared.sender.send_all(&session, destination, batches)).await
    }
}

#[async_trait]
impl Bus for AmqpBus {
    async fn publish(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError> {
        if samples.is_empty() {
            return Ok(());
        }
        let (started, count) = (Instant::now(), samples.len());
        let result = self.send(destination, samples).await;
        instrument::published(destination, count, started.elapsed(), result.is_ok());
        result
    }

    async fn subscribe(
        &self,
        subscription: Subscription,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BusError> {
        if self.shared.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        let (shared, link) = (Arc::clone(&self.shared), self.link.clone());
        Ok(Box::new(consumer::start(shared, link, subscription, prefetch.max(1))))
    }

    fn ready(&self) -> Result<(), String> {
        if self.shared.closed.is_cancelled() {
            return Err(BusError::Closed.to_string());
        }
        self.link.borrow().session().map(|_| ()).map_err(|error| error.to_string())
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        let mut link = self.link.clone();
        // An error means that the supervisor has ended, which is what is waited for.
        let _ended = link.wait_for(|link| matches!(link, Link::Closed)).await.is_err();
    }
}

impl Drop for AmqpBus {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

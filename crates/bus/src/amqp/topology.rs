//! Exchanges and queues (telemetry-pipeline §3.1).
//!
//! Names that OpenStack's own services declare too are plain durable ones without arguments, as those services declare
//! them with `amqp_durable_queues`; if they exist in another form, that form is used. Our own are quorum queues that
//! dead-letter what was delivered too often.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::error::is_clash;
use super::session::Session;
use crate::contract::{BusError, Subscription};

/// Exchange of polling agents and of the `notifier://` publisher.
pub(super) const CEILOMETER: &str = "ceilometer";
/// Queue and routing key of what polling agents send.
pub(super) const POLLING: &str = "notifications.sample";
/// Queue and routing key of what foreign `notifier://` publishers send.
const FOREIGN_METERING: &str = "metering.sample";
/// Our own exchange.
pub(super) const NEPHOS: &str = "nephos";
/// Exchange and queue of what cannot be handled.
pub(super) const DEAD: &str = "nephos.dead";
/// How often our own queues deliver a message before they dead-letter it: the last resort against one that kills its
/// consumers, above the limit that consumers themselves keep.
const DELIVERY_LIMIT: u32 = 200;
/// Dead letters kept; the oldest go first, so that a broken sender cannot fill the broker's disk.
const DEAD_LETTERS: u32 = 100_000;

/// Name and routing key of a partition's queue.
pub(super) fn partition_queue(partition: u32) -> String {
    format!("nephos.samples.{partition:02}")
}

/// What is declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Topology {
    pub(super) queues: u32,
}

/// A queue that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queue {
    /// What polling agents send.
    Polling,
    /// One partition of our own samples.
    Partition(u32),
    /// What foreign `notifier://` publishers send.
    Foreign,
}

impl Queue {
    /// Its name, which is its routing key too.
    pub(super) fn name(self) -> String {
        match self {
            Self::Polling => POLLING.to_owned(),
            Self::Partition(partition) => partition_queue(partition),
            Self::Foreign => FOREIGN_METERING.to_owned(),
        }
    }

    /// Its partition; 0 if it is none.
    pub(super) const fn partition(self) -> u32 {
        match self {
            Self::Partition(partition) => partition,
            Self::Polling | Self::Foreign => 0,
        }
    }

    /// Whether others than we send to it, so that signatures matter.
    pub(super) const fn is_foreign(self) -> bool {
        matches!(self, Self::Foreign)
    }

    /// Declares it, what leads to it, and where its dead letters go, on a channel of its own.
    pub(super) async fn declare(self, session: &Session) -> Result<(), BusError> {
        session.declare_dead_letters().await?;
        match self {
            Self::Polling | Self::Foreign => shared_queue(session, &self.name()).await,
            Self::Partition(_) => own_queue(session, &self.name()).await,
        }
    }
}

impl Topology {
    /// The queues of `subscription`.
    pub(super) fn queues(&self, subscription: Subscription) -> Vec<Queue> {
        match subscription {
            Subscription::Polling => vec![Queue::Polling],
            Subscription::Metering => {
                (0..self.queues).map(Queue::Partition).chain([Queue::Foreign]).collect()
            }
        }
    }
}

/// Declares where dead letters go.
pub(super) async fn declare_dead_letters(session: &Session) -> Result<(), BusError> {
    let channel = open(session).await?;
    let declared = async {
        exchange(&channel, DEAD, ExchangeKind::Fanout, false).await?;
        let arguments = table([("x-queue-type", text("quorum")), ("x-max-length", number(DEAD_LETTERS))]);
        queue(&channel, DEAD, false, arguments).await?;
        bind(&channel, DEAD, DEAD, "").await
    };
    declared.await.map_err(|error| session.peer.error(&error))
}

/// Declares a quorum queue of our own exchange whose routing key is its name.
async fn own_queue(session: &Session, name: &str) -> Result<(), BusError> {
    let channel = open(session).await?;
    let declared = async {
        exchange(&channel, NEPHOS, ExchangeKind::Topic, false).await?;
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
            ("x-delivery-limit", number(DELIVERY_LIMIT)),
            // Not with the strategy "at-least-once": in RabbitMQ 3.10, which Debian 12 has, its workers are started too
            // late after a restart and end for good when a queue is deleted, and then no queue that names it has a
            // leader any more. Whatever consumers themselves give up is dead-lettered with a confirm anyway.
            ("x-dead-letter-exchange", text(DEAD)),
        ]);
        queue(&channel, name, false, arguments).await?;
        bind(&channel, name, NEPHOS, name).await
    };
    declared.await.map_err(|error| session.peer.error(&error))
}

/// Declares a queue of exchange `ceilometer` whose routing key is its name.
async fn shared_queue(session: &Session, name: &str) -> Result<(), BusError> {
    let mut channel = open(session).await?;
    for passive in [false, true] {
        match exchange(&channel, CEILOMETER, ExchangeKind::Topic, passive).await {
            Ok(()) => break,
            Err(error) => channel = after_clash(session, &error, passive, CEILOMETER).await?,
        }
    }
    for passive in [false, true] {
        match queue(&channel, name, passive, FieldTable::default()).await {
            Ok(()) => break,
            Err(error) => channel = after_clash(session, &error, passive, name).await?,
        }
    }
    bind(&channel, name, CEILOMETER, name).await.map_err(|error| session.peer.error(&error))
}

/// The broker closes a channel on which a declaration clashed: a new one, to look only whether the thing is there.
async fn after_clash(
    session: &Session,
    error: &lapin::Error,
    passive: bool,
    name: &str,
) -> Result<Channel, BusError> {
    if passive || !is_clash(error) {
        return Err(session.peer.error(error));
    }
    if session.peer.first_clash(name) {
        tracing::warn!(name, %error, "exists with other properties than ours; used as it is");
    }
    open(session).await
}

async fn open(session: &Session) -> Result<Channel, BusError> {
    session.connection.create_channel().await.map_err(|error| session.failed(&error))
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind, passive: bool) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
}

async fn queue(channel: &Channel, name: &str, passive: bool, arguments: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
    channel.queue_declare(name.into(), options, arguments).await.map(|_| ())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(ShortString::from(key), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u32) -> AMQPValue {
    AMQPValue::LongLongInt(i64::from(value))
}

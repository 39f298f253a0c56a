//! Reading: a task that consumes on every session, and the consumer it feeds.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use lapin::message::Delivery as Message;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel};
use nephos_observe::Backoff;
use nephos_wire::oslo::{OsloError, SampleMessage, read_samples};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::delivery::{AmqpDelivery, Attempts, Desk, Envelope};
use super::publish;
use super::session::Session;
use super::supervisor::Link;
use super::topology::{FOREIGN_METERING, POLLING, partition_queue};
use crate::contract::{BusError, Consumer, Delivery, Subscription};
use crate::instrument;

/// Starts reading `subscription`, on this and every later session.
pub(super) fn start(
    shared: Arc<Shared>,
    link: watch::Receiver<Link>,
    subscription: Subscription,
    prefetch: u16,
) -> AmqpConsumer {
    let (deliveries, receiver) = mpsc::channel(usize::from(prefetch));
    let cancelled = shared.closed.child_token();
    let desk = Desk { subscription, retry: shared.retry, attempts: Attempts::default() };
    let reader = Reader {
        shared,
        desk: Arc::new(desk),
        prefetch,
        unsettled: Arc::new(Semaphore::new(usize::from(prefetch))),
        deliveries,
        cancelled: cancelled.clone(),
    };
    tokio::spawn(reader.run(link));
    AmqpConsumer { receiver, cancelled }
}

/// The end of the reading task that services hold.
#[derive(Debug)]
pub(super) struct AmqpConsumer {
    receiver: mpsc::Receiver<AmqpDelivery>,
    cancelled: CancellationToken,
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Box<dyn Delivery>> {
        self.receiver.recv().await.map(|delivery| Box::new(delivery) as Box<dyn Delivery>)
    }

    fn try_next(&mut self) -> Option<Box<dyn Delivery>> {
        self.receiver.try_recv().ok().map(|delivery| Box::new(delivery) as Box<dyn Delivery>)
    }

    async fn cancel(&mut self) {
        self.cancelled.cancel();
        self.receiver.close();
        // Nobody will ask for what was fetched ahead: back to the queue with it.
        while self.receiver.recv().await.is_some() {}
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        self.cancelled.cancel();
    }
}

/// A queue that is read.
#[derive(Clone, Debug)]
struct Source {
    queue: Arc<str>,
    partition: u32,
    /// Whether others than we send to it, so that signatures matter.
    foreign: bool,
}

struct Reader {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    prefetch: u16,
    /// One permit for each delivery that may be unsettled.
    unsettled: Arc<Semaphore>,
    deliveries: mpsc::Sender<AmqpDelivery>,
    cancelled: CancellationToken,
}

type Messages = SelectAll<BoxStream<'static, (Source, lapin::Result<Message>)>>;

impl Reader {
    async fn run(self, mut link: watch::Receiver<Link>) {
        let mut backoff = Backoff::default();
        let mut told = false;
        loop {
            let Some(session) = self.next_session(&mut link).await else { return };
            match self.read_on(&session).await {
                Ok(()) => return,
                // The supervisor tells of lost connections; what remains is a broker that refuses.
                Err(error @ BusError::Refused { .. }) if !told => {
                    told = true;
                    tracing::error!(%error, subscription = ?self.desk.subscription, "cannot read; trying on");
                }
                Err(error) => {
                    tracing::debug!(%error, subscription = ?self.desk.subscription, "reading was interrupted");
                }
            }
            instrument::failed("consume");
            let pause = tokio::time::sleep(backoff.next_delay());
            if self.cancelled.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn next_session(&self, link: &mut watch::Receiver<Link>) -> Option<Arc<Session>> {
        let up = link.wait_for(|link| !matches!(link, Link::Down { .. }));
        let up = self.cancelled.run_until_cancelled(up).await?.ok()?;
        up.session().ok()
    }

    /// Reads until cancelled (`Ok`) or until the session or the channel breaks.
    async fn read_on(&self, session: &Arc<Session>) -> Result<(), BusError> {
        session.declare(self.desk.subscription, &self.shared.topology).await?;
        let (channel, mut messages, tags) = session.during(self.consume(session)).await?;
        loop {
            let next = tokio::select! {
                () = self.cancelled.cancelled() => break,
                () = session.over() => return Err(session.peer.unavailable("the session ended")),
                next = messages.next() => next,
            };
            match next {
                Some((source, Ok(message))) => self.take_in(session, source, message).await?,
                Some((_, Err(error))) => return Err(session.peer.error(&error)),
                None => return Err(session.peer.unavailable("the broker cancelled the consumer")),
            }
        }
        for tag in tags {
            // If the channel is gone, so is the consumer.
            let cancel = channel.basic_cancel(tag, BasicCancelOptions::default());
            let _gone =
                session.during(async { cancel.await.map_err(|error| session.peer.error(&error)) }).await;
        }
        drop(messages);
        self.until_settled(session).await;
        Ok(())
    }

    /// Keeps the channel open while deliveries that came through it are unsettled.
    async fn until_settled(&self, session: &Session) {
        tokio::select! {
            () = session.over() => {}
            _all = self.unsettled.acquire_many(u32::from(self.prefetch)) => {}
        }
    }

    fn sources(&self) -> Vec<Source> {
        let source = |queue: &str, partition, foreign| Source { queue: queue.into(), partition, foreign };
        match self.desk.subscription {
            Subscription::Polling => vec![source(POLLING, 0, false)],
            Subscription::Metering => (0..self.shared.topology.queues)
                .map(|partition| source(&partition_queue(partition), partition, false))
                .chain([source(FOREIGN_METERING, 0, true)])
                .collect(),
        }
    }

    async fn consume(&self, session: &Session) -> Result<(Channel, Messages, Vec<ShortString>), BusError> {
        let failed = |error: lapin::Error| session.peer.error(&error);
        let channel = session.connection.create_channel().await.map_err(|error| session.failed(&error))?;
        let sources = self.sources();
        // RabbitMQ counts for each consumer of the channel alone, and quorum queues know no common limit.
        let each = usize::from(self.prefetch).div_ceil(sources.len());
        let each = u16::try_from(each).unwrap_or(u16::MAX);
        channel.basic_qos(each, BasicQosOptions::default()).await.map_err(failed)?;
        let (mut messages, mut tags) = (Messages::new(), Vec::with_capacity(sources.len()));
        for source in sources {
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel
                .basic_consume((&*source.queue).into(), "".into(), options, arguments)
                .await
                .map_err(failed)?;
            tags.push(consumer.tag());
            messages.push(consumer.map(move |message| (source.clone(), message)).boxed());
        }
        Ok((channel, messages, tags))
    }

    /// Decodes a message and hands it on, once there is room.
    async fn take_in(
        &self,
        session: &Arc<Session>,
        source: Source,
        message: Message,
    ) -> Result<(), BusError> {
        let envelope = Envelope {
            session: Arc::clone(session),
            desk: Arc::clone(&self.desk),
            acker: message.acker,
            body: message.data,
            queue: source.queue,
            delivered_before: delivered_before(&message.properties),
        };
        if let Some(method) = compression(&message.properties) {
            return envelope.dead_letter(&format!("compressed messages ({method}) are not supported")).await;
        }
        let signer = source.foreign.then_some(&self.shared.signer);
        let SampleMessage { samples, bad } = match read_samples(&envelope.body, signer) {
            Ok(message) => message,
            // Shared queues carry other things too, which nobody else takes out of them.
            Err(error @ OsloError::EventType { .. }) => {
                tracing::debug!(%error, queue = &*envelope.queue, "notification ignored");
                instrument::dropped("event_type", 1);
                return envelope.ack().await;
            }
            Err(error) => return envelope.dead_letter(&error.reason()).await,
        };
        instrument::received(self.desk.subscription, samples.len());
        for bad in bad {
            let reason = format!("sample {}: {}", bad.index, bad.error);
            tracing::warn!(queue = &*envelope.queue, reason, "sample was dead-lettered");
            publish::dead_letter(session, bad.raw.as_bytes(), &envelope.queue, &reason).await?;
            instrument::dropped("bad_sample", 1);
        }
        if samples.is_empty() {
            return envelope.ack().await;
        }
        self.hand_on(samples, source.partition, envelope).await;
        Ok(())
    }

    async fn hand_on(&self, samples: Vec<nephos_model::Sample>, partition: u32, envelope: Envelope) {
        let room = Arc::clone(&self.unsettled).acquire_owned();
        // Cancelled or closed meanwhile, the message stays unsettled and the broker gives it back.
        let Some(Ok(permit)) = self.cancelled.run_until_cancelled(room).await else { return };
        let delivery = AmqpDelivery { samples, partition, unsettled: Some((envelope, permit)) };
        if self.deliveries.send(delivery).await.is_err() {
            tracing::debug!("consumer was cancelled; message given back");
        }
    }
}

/// How often a quorum queue has delivered the message before.
fn delivered_before(properties: &BasicProperties) -> u32 {
    let count = header(properties, "x-delivery-count").and_then(|value| match value {
        AMQPValue::LongLongInt(count) => u32::try_from(*count).ok(),
        AMQPValue::LongInt(count) => u32::try_from(*count).ok(),
        AMQPValue::LongUInt(count) => Some(*count),
        AMQPValue::ShortInt(count) => u32::try_from(*count).ok(),
        AMQPValue::ShortUInt(count) => Some(u32::from(*count)),
        AMQPValue::ShortShortUInt(count) => Some(u32::from(*count)),
        AMQPValue::ShortShortInt(count) => u32::try_from(*count).ok(),
        _ => None,
    });
    count.unwrap_or(0)
}

/// The method a message of kombu is compressed with.
fn compression(properties: &BasicProperties) -> Option<String> {
    match header(properties, "compression")? {
        AMQPValue::LongString(method) => Some(String::from_utf8_lossy(method.as_bytes()).into_owned()),
        other => Some(format!("{other:?}")),
    }
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref().and_then(|headers| headers.inner().get(name))
}

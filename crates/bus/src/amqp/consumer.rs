//! Reading: a task for each queue that consumes on every session, and the consumer they all feed.
//!
//! Each queue has a channel and a back-off of its own, so that one that the broker refuses keeps none of the others from
//! being read. A quorum queue that has no leader after a crash is worse: RabbitMQ ends the whole connection over which
//! somebody tries to read it. So a queue that could not be opened is tried again over a connection of its own, and stays
//! there while it can be read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::Delivery as Message;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use nephos_observe::Backoff;
use nephos_wire::oslo::{OsloError, SampleMessage, read_samples};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::delivery::{AmqpDelivery, Attempts, Desk, Envelope};
use super::publish;
use super::session::Session;
use super::supervisor::{Link, watch_over};
use super::topology::Queue;
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
    let desk = Arc::new(Desk { subscription, retry: shared.retry, attempts: Attempts::default() });
    let unsettled = Arc::new(Semaphore::new(usize::from(prefetch)));
    let queues = shared.topology.queues(subscription);
    // RabbitMQ counts for each consumer alone, and quorum queues know no common limit.
    let each = usize::from(prefetch).div_ceil(queues.len().max(1));
    let fetch_ahead = u16::try_from(each).unwrap_or(u16::MAX);
    for queue in queues {
        let reader = Reader {
            shared: Arc::clone(&shared),
            desk: Arc::clone(&desk),
            queue,
            name: queue.name().into(),
            fetch_ahead,
            prefetch,
            unsettled: Arc::clone(&unsettled),
            deliveries: deliveries.clone(),
            cancelled: cancelled.clone(),
        };
        tokio::spawn(reader.run(link.clone()));
    }
    AmqpConsumer { receiver, cancelled }
}

/// The end of the reading tasks that services hold.
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

/// Reads one queue.
struct Reader {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    queue: Queue,
    name: Arc<str>,
    /// Messages that the broker sends of this queue before the first is settled.
    fetch_ahead: u16,
    /// Deliveries of all queues together that may be unsettled.
    prefetch: u16,
    /// One permit for each of them.
    unsettled: Arc<Semaphore>,
    deliveries: mpsc::Sender<AmqpDelivery>,
    cancelled: CancellationToken,
}

/// How reading goes.
#[derive(Default)]
struct Progress {
    backoff: Backoff,
    /// Failures since the queue was read.
    failures: u32,
    /// Whether it was said that the queue cannot be read.
    told: bool,
    /// Whether opening the queue failed last, and may fail others with it.
    suspect: bool,
}

impl Progress {
    /// Failures after which a queue is worth a word that the broker does not plainly refuse: a lost connection fails
    /// each of its queues once, and of that the supervisor tells.
    const WORTH_TELLING: u32 = 3;

    /// The queue is read now.
    fn reading(&mut self, queue: &str) {
        self.backoff.reset();
        self.failures = 0;
        self.suspect = false;
        if std::mem::take(&mut self.told) {
            tracing::info!(queue, "queue is read again");
        }
    }

    /// Reading failed; how long to wait before the next try.
    fn failed(&mut self, queue: &str, error: &BusError) -> Duration {
        instrument::failed("consume");
        self.failures = self.failures.saturating_add(1);
        let lasting = matches!(error, BusError::Refused { .. }) || self.failures >= Self::WORTH_TELLING;
        if lasting && !std::mem::replace(&mut self.told, true) {
            tracing::error!(%error, queue, "cannot read this queue; trying on");
        } else {
            tracing::debug!(%error, queue, "reading was interrupted");
        }
        self.backoff.next_delay()
    }
}

impl Reader {
    async fn run(self, mut link: watch::Receiver<Link>) {
        let mut progress = Progress::default();
        loop {
            // Even who reads alone waits until the broker is there for all.
            let Some(session) = self.next_session(&mut link).await else { return };
            let read = if progress.suspect {
                self.read_alone(&mut progress).await
            } else {
                self.read_on(&session, &mut progress).await
            };
            let Err(error) = read else { return };
            let pause = tokio::time::sleep(progress.failed(&self.name, &error));
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

    /// Reads over a connection of its own.
    async fn read_alone(&self, progress: &mut Progress) -> Result<(), BusError> {
        let purpose = format!(" {}", self.name);
        let opening = self.shared.connector.open(&purpose);
        let Some(opened) = self.cancelled.run_until_cancelled(opening).await else { return Ok(()) };
        let (session, events) = opened?;
        let read = tokio::select! {
            read = self.read_on(&session, progress) => read,
            reason = watch_over(&session, events) => Err(session.peer.unavailable(reason)),
        };
        session.close().await;
        read
    }

    /// Reads until cancelled (`Ok`) or until the session or the channel breaks.
    async fn read_on(&self, session: &Arc<Session>, progress: &mut Progress) -> Result<(), BusError> {
        progress.suspect = true;
        let opening = Box::pin(session.during(self.consume(session)));
        let Some(opened) = self.cancelled.run_until_cancelled(opening).await else { return Ok(()) };
        let (channel, mut messages) = opened?;
        progress.reading(&self.name);
        loop {
            let next = tokio::select! {
                () = self.cancelled.cancelled() => break,
                () = session.over() => return Err(session.peer.unavailable("the session ended")),
                next = messages.next() => next,
            };
            match next {
                Some(Ok(message)) => self.take_in(session, message).await?,
                Some(Err(error)) => return Err(session.peer.error(&error)),
                None => return Err(session.peer.unavailable("the broker cancelled the consumer")),
            }
        }
        // If the channel is gone, so is the consumer.
        let cancel = channel.basic_cancel(messages.tag(), BasicCancelOptions::default());
        let _gone = session.during(async { cancel.await.map_err(|error| session.peer.error(&error)) }).await;
        drop(messages);
        self.until_settled(session).await;
        Ok(())
    }

    /// Keeps the channel open while deliveries that may have come through it are unsettled.
    async fn until_settled(&self, session: &Session) {
        tokio::select! {
            () = session.over() => {}
            _all = self.unsettled.acquire_many(u32::from(self.prefetch)) => {}
        }
    }

    async fn consume(&self, session: &Session) -> Result<(Channel, lapin::Consumer), BusError> {
        session.declare(self.queue).await?;
        let failed = |error: lapin::Error| session.peer.error(&error);
        let channel = session.connection.create_channel().await.map_err(|error| session.failed(&error))?;
        channel.basic_qos(self.fetch_ahead, BasicQosOptions::default()).await.map_err(failed)?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume((&*self.name).into(), "".into(), options, arguments);
        let messages = consuming.await.map_err(failed)?;
        Ok((channel, messages))
    }

    /// Decodes a message and hands it on, once there is room.
    async fn take_in(&self, session: &Arc<Session>, message: Message) -> Result<(), BusError> {
        let envelope = Envelope {
            session: Arc::clone(session),
            desk: Arc::clone(&self.desk),
            acker: message.acker,
            body: message.data,
            queue: Arc::clone(&self.name),
            delivered_before: delivered_before(&message.properties),
        };
        if let Some(method) = compression(&message.properties) {
            return envelope.dead_letter(&format!("compressed messages ({method}) are not supported")).await;
        }
        let signer = self.queue.is_foreign().then_some(&self.shared.signer);
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
        self.hand_on(samples, envelope).await;
        Ok(())
    }

    async fn hand_on(&self, samples: Vec<nephos_model::Sample>, envelope: Envelope) {
        let room = Arc::clone(&self.unsettled).acquire_owned();
        // Cancelled or closed meanwhile, the message stays unsettled and the broker gives it back.
        let Some(Ok(permit)) = self.cancelled.run_until_cancelled(room).await else { return };
        let delivery =
            AmqpDelivery { samples, partition: self.queue.partition(), unsettled: Some((envelope, permit)) };
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

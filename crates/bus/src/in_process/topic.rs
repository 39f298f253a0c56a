//! One direction of the in-process bus: a queue, its consumers, and the messages they hold.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use nephos_model::Sample;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::batch::Batch;
use crate::contract::{BusError, Consumer, Delivery, Subscription};
use crate::instrument;
use crate::retry::RetryPolicy;

/// Which consumers of a topic get messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// All, each message going to one of them.
    Competing,
    /// The eldest alone; the next one when it leaves.
    SingleActive,
}

/// A queue of messages. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    subscription: Subscription,
    access: Access,
    retry: RetryPolicy,
    capacity: usize,
    /// One permit for each message that is waiting or being worked on.
    room: Arc<Semaphore>,
    state: Mutex<State>,
    /// Rung at every change of `state` and at every settled message.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Message>,
    consumers: Vec<u64>,
    next_consumer: u64,
    closed: bool,
    /// Nobody will read any more: what comes back goes to its publisher as undeliverable.
    abandoned: bool,
}

/// A message on its way, with the way back to its publisher.
struct Message {
    samples: Vec<Sample>,
    partition: u32,
    delivered: u32,
    settled: oneshot::Sender<Result<(), BusError>>,
    _room: OwnedSemaphorePermit,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("samples", &self.samples.len())
            .field("partition", &self.partition)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

impl Topic {
    pub(super) fn new(
        subscription: Subscription,
        access: Access,
        capacity: usize,
        retry: RetryPolicy,
    ) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            subscription,
            access,
            retry,
            capacity,
            room: Arc::new(Semaphore::new(capacity)),
            state: Mutex::default(),
            changed: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Queues `batches` and waits until all are settled. The first failure is returned after that.
    pub(super) async fn send_all(&self, batches: Vec<Batch>) -> Result<(), BusError> {
        let mut answers = Vec::with_capacity(batches.len());
        let mut result = Ok(());
        for batch in batches {
            match self.send(batch).await {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        for answer in answers {
            // A message dropped without an answer went down with the bus.
            result = result.and(answer.await.unwrap_or(Err(BusError::Closed)));
        }
        result
    }

    async fn send(&self, batch: Batch) -> Result<oneshot::Receiver<Result<(), BusError>>, BusError> {
        let room = Arc::clone(&self.shared.room).acquire_owned().await.map_err(|_| BusError::Closed)?;
        let (settled, answer) = oneshot::channel();
        let message = Message {
            samples: batch.samples,
            partition: batch.partition,
            delivered: 0,
            settled,
            _room: room,
        };
        let mut state = self.shared.lock();
        if state.closed {
            return Err(BusError::Closed);
        }
        state.ready.push_back(message);
        drop(state);
        self.shared.changed.notify_waiters();
        Ok(answer)
    }

    pub(super) fn subscribe(&self, prefetch: u16) -> Result<TopicConsumer, BusError> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(BusError::Closed);
        }
        let id = state.next_consumer;
        state.next_consumer += 1;
        state.consumers.push(id);
        drop(state);
        let prefetch = Arc::new(Semaphore::new(usize::from(prefetch.max(1))));
        Ok(TopicConsumer { shared: Arc::clone(&self.shared), id, prefetch })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Takes nothing more in; consumers still get what is queued.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.room.close();
        self.shared.changed.notify_waiters();
    }

    /// Waits until every message is settled, or nobody is left to settle what is queued.
    pub(super) async fn drained(&self) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let forsaken = self.shared.lock().consumers.is_empty();
            if forsaken {
                self.abandon();
            }
            if self.shared.room.available_permits() >= self.shared.capacity {
                return;
            }
            changed.await;
        }
    }

    /// Tells the publishers of everything still queued that it went nowhere.
    pub(super) fn abandon(&self) {
        let mut state = self.shared.lock();
        state.abandoned = true;
        let left = std::mem::take(&mut state.ready);
        drop(state);
        for message in left {
            self.shared.settle(message, Err(BusError::Closed));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, message: Message, result: Result<(), BusError>) {
        // Nobody listens when the publisher gave up waiting; that is its right.
        drop(message.settled.send(result));
        drop(message._room);
        self.changed.notify_waiters();
    }

    /// The next message for consumer `id`. `Err` when there will never be one again.
    fn take(&self, id: u64) -> Result<Option<Message>, BusError> {
        let mut state = self.lock();
        let may = match self.access {
            Access::Competing => state.consumers.contains(&id),
            Access::SingleActive => state.consumers.first() == Some(&id),
        };
        let message = if may { state.ready.pop_front() } else { None };
        match message {
            Some(mut message) => {
                message.delivered += 1;
                Ok(Some(message))
            }
            None if !state.consumers.contains(&id) => Err(BusError::Closed),
            // Closed, and neither queued nor in somebody's hands, from which it could come back.
            None if state.closed && self.room.available_permits() >= self.capacity => Err(BusError::Closed),
            None => Ok(None),
        }
    }

    /// Queues the message again after a pause, or gives it up.
    fn give_back(self: &Arc<Self>, message: Message) {
        let pause = self.retry.pause_after(message.delivered);
        let (Some(pause), Ok(runtime)) = (pause, tokio::runtime::Handle::try_current()) else {
            instrument::dropped("given_up", 1);
            let reason = format!("given back by its consumer {} times", message.delivered);
            return self.settle(message, Err(BusError::NotAccepted { reason }));
        };
        instrument::retried(self.subscription);
        let shared = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            shared.queue_again(message);
        });
    }

    fn queue_again(&self, message: Message) {
        let mut state = self.lock();
        if state.abandoned {
            drop(state);
            return self.settle(message, Err(BusError::Closed));
        }
        state.ready.push_back(message);
        drop(state);
        self.changed.notify_waiters();
    }

    fn leave(&self, id: u64) {
        self.lock().consumers.retain(|other| *other != id);
        self.changed.notify_waiters();
    }
}

/// Reads a topic.
#[derive(Debug)]
pub(super) struct TopicConsumer {
    shared: Arc<Shared>,
    id: u64,
    prefetch: Arc<Semaphore>,
}

impl TopicConsumer {
    fn deliver(&self, message: Message, slot: OwnedSemaphorePermit) -> Box<dyn Delivery> {
        instrument::received(self.shared.subscription, message.samples.len());
        let shared = Arc::clone(&self.shared);
        Box::new(TopicDelivery { shared, message: Some(message), taken: false, _slot: slot })
    }
}

#[async_trait]
impl Consumer for TopicConsumer {
    async fn next(&mut self) -> Option<Box<dyn Delivery>> {
        let slot = Arc::clone(&self.prefetch).acquire_owned().await.ok()?;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(message) = self.shared.take(self.id).ok()? {
                return Some(self.deliver(message, slot));
            }
            changed.await;
        }
    }

    fn try_next(&mut self) -> Option<Box<dyn Delivery>> {
        let slot = Arc::clone(&self.prefetch).try_acquire_owned().ok()?;
        let message = self.shared.take(self.id).ok().flatten()?;
        Some(self.deliver(message, slot))
    }

    async fn cancel(&mut self) {
        self.shared.leave(self.id);
    }
}

impl Drop for TopicConsumer {
    fn drop(&mut self) {
        self.shared.leave(self.id);
    }
}

/// A message in a consumer's hands.
#[derive(Debug)]
struct TopicDelivery {
    shared: Arc<Shared>,
    /// Absent once settled.
    message: Option<Message>,
    taken: bool,
    _slot: OwnedSemaphorePermit,
}

#[async_trait]
impl Delivery for TopicDelivery {
    fn take_samples(&mut self) -> Vec<Sample> {
        let taken = std::mem::replace(&mut self.taken, true);
        // A copy stays with the message, for the case that it has to be delivered again.
        self.message.as_ref().filter(|_| !taken).map(|message| message.samples.clone()).unwrap_or_default()
    }

    fn partition(&self) -> u32 {
        self.message.as_ref().map_or(0, |message| message.partition)
    }

    async fn ack(mut self: Box<Self>) -> Result<(), BusError> {
        if let Some(message) = self.message.take() {
            self.shared.settle(message, Ok(()));
        }
        Ok(())
    }

    async fn retry(self: Box<Self>) -> Result<(), BusError> {
        // Dropping it unsettled is giving it back.
        Ok(())
    }

    async fn dead_letter(mut self: Box<Self>, reason: &str) -> Result<(), BusError> {
        if let Some(message) = self.message.take() {
            let samples = message.samples.len();
            instrument::dropped("dead_letter", samples as u64);
            let meter = message.samples.first().map(|sample| sample.name.as_str());
            tracing::error!(reason, samples, meter, "samples dropped that can never be handled");
            self.shared.settle(message, Ok(()));
        }
        Ok(())
    }
}

impl Drop for TopicDelivery {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.shared.give_back(message);
        }
    }
}

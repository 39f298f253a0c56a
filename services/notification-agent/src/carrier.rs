//! Carries a batch through the pipelines and settles its messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nephos_bus::{BusError, Delivery};
use nephos_model::{Clock, Sample};
use nephos_observe::{Backoff, Shutdown};
use nephos_pipeline::{PipelineError, Pipelines, Processed};
use tokio::task::{JoinError, JoinHandle};

use crate::instrument;

/// How long a batch is tried here before its messages go back to the bus.
const PATIENCE: Duration = Duration::from_secs(300);

/// Messages with their samples, in order.
#[derive(Debug)]
pub(crate) struct Batch {
    messages: Vec<Message>,
    samples: usize,
}

#[derive(Debug)]
struct Message {
    delivery: Box<dyn Delivery>,
    samples: Vec<Sample>,
}

impl Batch {
    pub(crate) fn new(first: Box<dyn Delivery>) -> Self {
        let mut batch = Self { messages: Vec::new(), samples: 0 };
        batch.add(first);
        batch
    }

    pub(crate) fn add(&mut self, mut delivery: Box<dyn Delivery>) {
        let samples = delivery.take_samples();
        self.samples += samples.len();
        self.messages.push(Message { delivery, samples });
    }

    /// Samples in it.
    pub(crate) fn len(&self) -> usize {
        self.samples
    }

    /// Messages in it.
    pub(crate) fn messages(&self) -> usize {
        self.messages.len()
    }
}

/// What became of samples.
#[derive(Debug)]
enum Outcome {
    /// All is safe.
    Done,
    /// It cannot be done now.
    Later,
    /// Processing them panicked: a fault of ours that these samples bring out.
    Poison(String),
}

/// Takes batches through the pipelines.
#[derive(Debug)]
pub(crate) struct Carrier {
    pipelines: Arc<Pipelines>,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    /// How long work may go on after shutdown was requested.
    grace: Duration,
    /// Whether the last try of any batch failed: said once.
    failing: AtomicBool,
}

impl Carrier {
    pub(crate) fn new(
        pipelines: Arc<Pipelines>,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
        grace: Duration,
    ) -> Self {
        Self { pipelines, clock, shutdown, grace, failing: AtomicBool::new(false) }
    }

    /// Processes a batch and settles every message of it.
    pub(crate) async fn carry(&self, batch: Batch) {
        let started = self.clock.monotonic();
        let mut messages = batch.messages;
        let all: Vec<Sample> = match messages.as_mut_slice() {
            [only] => std::mem::take(&mut only.samples),
            many => many.iter().flat_map(|message| message.samples.iter().cloned()).collect(),
        };
        let all = Arc::new(all);
        match self.process(&all).await {
            Outcome::Done => {
                for message in messages {
                    settled("ack", message.delivery.ack().await);
                }
            }
            Outcome::Later => {
                for message in messages {
                    settled("retry", message.delivery.retry().await);
                }
            }
            Outcome::Poison(_) => {
                if let [only] = messages.as_mut_slice() {
                    only.samples = Arc::unwrap_or_clone(all);
                }
                for message in messages {
                    self.carry_apart(message).await;
                }
            }
        }
        instrument::settled(self.clock.monotonic().saturating_sub(started));
    }

    /// Processes each sample of a message by itself, so that a poisonous one takes no other with it.
    async fn carry_apart(&self, message: Message) {
        let mut poison = None;
        for sample in message.samples {
            let name = format!("{} of {}", sample.name, sample.resource_id);
            match self.process(&Arc::new(vec![sample])).await {
                Outcome::Done => {}
                Outcome::Later => return settled("retry", message.delivery.retry().await),
                Outcome::Poison(reason) => {
                    instrument::dropped("poison", 1);
                    tracing::error!(sample = name, reason, "a sample cannot be processed");
                    poison.get_or_insert(format!("sample {name}: {reason}"));
                }
            }
        }
        match poison {
            Some(reason) => settled("dead_letter", message.delivery.dead_letter(&reason).await),
            None => settled("ack", message.delivery.ack().await),
        }
    }

    /// Tries until it succeeds, with pauses; for some minutes at most, and not on after shutdown.
    async fn process(&self, samples: &Arc<Vec<Sample>>) -> Outcome {
        let started = self.clock.monotonic();
        let mut backoff = Backoff::default();
        loop {
            match self.attempt(samples).await {
                Some(Ok(Ok(processed))) => {
                    self.succeeded(&processed);
                    return Outcome::Done;
                }
                Some(Ok(Err(error))) => self.failed(&error),
                Some(Err(panic)) => {
                    instrument::failed("panic");
                    return Outcome::Poison(reason_of(panic));
                }
                None => return Outcome::Later,
            }
            if self.clock.monotonic().saturating_sub(started) >= PATIENCE {
                return Outcome::Later;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = self.shutdown.requested() => return Outcome::Later,
            }
        }
    }

    /// One try, in a task of its own so that a panic ends there; `None` if shutdown did not leave it the time.
    async fn attempt(
        &self,
        samples: &Arc<Vec<Sample>>,
    ) -> Option<Result<Result<Processed, PipelineError>, JoinError>> {
        let pipelines = Arc::clone(&self.pipelines);
        let samples = Arc::clone(samples);
        let mut task = OwnedTask(tokio::spawn(async move { pipelines.process(&samples).await }));
        tokio::select! {
            result = &mut task.0 => Some(result),
            () = self.out_of_time() => None,
        }
    }

    async fn out_of_time(&self) {
        self.shutdown.requested().await;
        tokio::time::sleep(self.grace).await;
    }

    fn succeeded(&self, processed: &Processed) {
        instrument::emitted(processed.published);
        for (reason, count) in processed.dropped.iter() {
            instrument::dropped(reason.as_str(), count);
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("batches get through again");
        }
    }

    fn failed(&self, error: &PipelineError) {
        instrument::failed(error.kind());
        if !self.failing.swap(true, Ordering::Relaxed) {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(error = %error, source, "a batch did not get through; it is tried again");
        }
    }
}

/// A task that ends with its owner.
struct OwnedTask<T>(JoinHandle<T>);

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn reason_of(panic: JoinError) -> String {
    match panic.try_into_panic() {
        Ok(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => {
                payload.downcast_ref::<&str>().map_or("processing it panicked", |text| text).to_owned()
            }
        },
        Err(error) => error.to_string(),
    }
}

/// A message that could not be settled comes again; nothing is lost by that.
fn settled(how: &'static str, result: Result<(), BusError>) {
    if let Err(error) = result {
        instrument::failed(how);
        tracing::debug!(error = %error, how, "a message could not be settled; it will come again");
    }
}

#[cfg(test)]
mod tests;

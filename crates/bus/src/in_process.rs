//! The bus of one process: bounded queues whose messages carry the way back to their publisher.
//!
//! `publish` returns when the consumer at the end settled every message, so an acknowledgement means the same as with a
//! broker: the samples are somewhere safe. There is no dead-letter queue; what can never be handled is logged, counted
//! and dropped.

mod topic;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use nephos_model::Sample;

use crate::batch::cut;
use crate::contract::{Bus, BusError, Consumer, Destination, Subscription};
use crate::instrument;
use crate::retry::RetryPolicy;
use topic::{Access, Topic};

/// How long `close` waits for consumers to settle what they hold.
const DRAIN: Duration = Duration::from_secs(10);

/// Settings of [`InProcessBus`].
#[derive(Clone, Copy, Debug)]
pub struct InProcessOptions {
    /// Partitions of [`Destination::Metering`].
    pub queues: u32,
    /// Messages of up to 100 samples that may wait or be worked on in each direction; further publishers wait.
    pub capacity: usize,
    /// What happens to deliveries that are given back.
    pub retry: RetryPolicy,
}

impl Default for InProcessOptions {
    /// 16 partitions, 256 messages, and few enough redeliveries that a publisher learns of trouble within a minute.
    fn default() -> Self {
        let retry = RetryPolicy {
            deliveries: 10,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(10),
        };
        Self { queues: 16, capacity: 256, retry }
    }
}

/// A bus inside one process.
#[derive(Debug)]
pub struct InProcessBus {
    queues: u32,
    polling: Topic,
    metering: Topic,
}

impl InProcessBus {
    /// An empty bus.
    pub fn new(options: InProcessOptions) -> Self {
        let topic = |subscription, access| Topic::new(subscription, access, options.capacity, options.retry);
        Self {
            queues: options.queues,
            polling: topic(Subscription::Polling, Access::Competing),
            metering: topic(Subscription::Metering, Access::SingleActive),
        }
    }
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self::new(InProcessOptions::default())
    }
}

#[async_trait]
impl Bus for InProcessBus {
    async fn publish(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError> {
        let (started, count) = (Instant::now(), samples.len());
        let topic = match destination {
            Destination::Polling => &self.polling,
            Destination::Metering => &self.metering,
        };
        let result = topic.send_all(cut(destination, samples, self.queues)).await;
        instrument::published(destination, count, started.elapsed(), result.is_ok());
        result
    }

    async fn subscribe(
        &self,
        subscription: Subscription,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BusError> {
        let topic = match subscription {
            Subscription::Polling => &self.polling,
            Subscription::Metering => &self.metering,
        };
        Ok(Box::new(topic.subscribe(prefetch)?))
    }

    fn ready(&self) -> Result<(), String> {
        if self.polling.is_closed() { Err(BusError::Closed.to_string()) } else { Ok(()) }
    }

    async fn close(&self) {
        self.polling.close();
        self.metering.close();
        let drained = async {
            // Upstream first: what its consumers still send on must be taken in downstream.
            self.polling.drained().await;
            self.metering.drained().await;
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(
                "messages were still unsettled when the bus closed; their publishers were told so"
            );
        }
        self.polling.abandon();
        self.metering.abandon();
    }
}

//! Takes from the bus what is ready: one message at least, as many as fit a batch.

use nephos_bus::{Consumer, Delivery};
use nephos_model::Sample;
use nephos_observe::Shutdown;

/// Deliveries of one batch with their samples, in order of arrival within each partition.
#[derive(Debug)]
pub(crate) struct Batch {
    deliveries: Vec<Box<dyn Delivery>>,
    /// Samples by message.
    pub(crate) parts: Vec<Vec<Sample>>,
    /// How many samples there are.
    pub(crate) samples: usize,
}

impl Batch {
    /// Settles every delivery. One whose channel is gone comes again, which is harmless.
    pub(crate) async fn ack(self) {
        for delivery in self.deliveries {
            if let Err(error) = delivery.ack().await {
                tracing::debug!(%error, "a message could not be acknowledged; it will come again");
            }
        }
    }
}

/// The next batch of about `most` samples; `None` when the bus has closed or shutdown was asked for.
pub(crate) async fn next(consumer: &mut dyn Consumer, most: usize, shutdown: &Shutdown) -> Option<Batch> {
    let first = tokio::select! {
        biased;
        () = shutdown.requested() => return None,
        first = consumer.next() => first?,
    };
    let mut batch = Batch { deliveries: Vec::new(), parts: Vec::new(), samples: 0 };
    let mut next = Some(first);
    while let Some(mut delivery) = next {
        let samples = delivery.take_samples();
        batch.samples += samples.len();
        batch.parts.push(samples);
        batch.deliveries.push(delivery);
        next = if batch.samples < most { consumer.try_next() } else { None };
    }
    Some(batch)
}

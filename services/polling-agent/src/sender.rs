//! Sends what the outbox holds, until it is acknowledged.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nephos_bus::{Bus, BusError, Destination};
use nephos_observe::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::instrument;
use crate::outbox::{Batch, Outbox};

/// Batches that may be unacknowledged at a time.
const WINDOW: usize = 50;

/// What became of a batch.
struct Sent {
    batch: Batch,
    result: Result<(), BusError>,
    took: Duration,
}

/// How the bus is doing.
#[derive(Debug, Default)]
struct Link {
    failing: bool,
    backoff: Backoff,
    pause: Option<Instant>,
}

impl Link {
    /// While it fails, one batch at a time shows whether it works again.
    const fn window(&self) -> usize {
        match (self.pause, self.failing) {
            (Some(_), _) => 0,
            (None, true) => 1,
            (None, false) => WINDOW,
        }
    }

    fn failed(&mut self, error: &BusError) {
        if !self.failing {
            match error {
                BusError::Refused { .. } => error!(%error, "samples wait: the message bus refuses them"),
                _ => warn!(%error, "samples wait until the message bus takes them"),
            }
        }
        self.failing = true;
        if self.pause.is_none() {
            self.pause = Some(Instant::now() + self.backoff.next_delay());
        }
    }

    fn succeeded(&mut self) {
        if self.failing {
            info!("the message bus takes samples again");
        }
        *self = Self::default();
    }
}

/// Sends until `drain` is cancelled and nothing is left, or `grace` after that is over. What is left then is lost, and
/// counted.
pub(crate) async fn run(outbox: &Outbox, bus: &dyn Bus, drain: &CancellationToken, grace: Duration) {
    let mut link = Link::default();
    let mut deadline = None;
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < link.window()
            && let Some(batch) = outbox.take()
        {
            under_way.push(send(bus, batch));
        }
        instrument::waiting(outbox.held());
        if deadline.is_some() && outbox.held() == 0 {
            break;
        }
        tokio::select! {
            Some(sent) = under_way.next() => {
                let closed = matches!(sent.result, Err(BusError::Closed));
                settle(outbox, &mut link, sent);
                if closed && deadline.is_some() {
                    break;
                }
            }
            () = outbox.filled(), if link.pause.is_none() => {}
            () = until(link.pause) => link.pause = None,
            () = drain.cancelled(), if deadline.is_none() => deadline = Some(Instant::now() + grace),
            () = until(deadline) => break,
        }
    }
    drop(under_way);
    let lost = outbox.held();
    if lost > 0 {
        instrument::dropped("shutdown", lost);
        error!(samples = lost, "samples are lost: the message bus did not take them before the end");
    }
}

async fn send(bus: &dyn Bus, batch: Batch) -> Sent {
    let began = Instant::now();
    let result = bus.publish(Destination::Polling, batch.samples.clone()).await;
    Sent { batch, result, took: began.elapsed() }
}

fn settle(outbox: &Outbox, link: &mut Link, sent: Sent) {
    match sent.result {
        Ok(()) => {
            let samples = sent.batch.samples.len();
            instrument::emitted(samples, sent.took);
            outbox.settle(samples);
            link.succeeded();
        }
        Err(error) => {
            instrument::error("publish");
            link.failed(&error);
            outbox.give_back(sent.batch);
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;

//! Where the outputs of sinks go.

mod file;
mod log;
mod nephos;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nephos_bus::{Bus, BusError};
use nephos_config::pipeline::{PublisherKind, PublisherSpec};
use nephos_model::{Clock, Sample};
use nephos_observe::Backoff;

pub use file::ToFile;
pub use log::ToLog;
pub use nephos::ToNephos;

use crate::instrument;

/// Takes samples somewhere.
#[async_trait]
pub trait Publisher: Debug + Send + Sync {
    /// Returns when the samples are safe there. After an error any part of them may have arrived; all are sent again.
    async fn publish(&self, samples: &[Sample]) -> Result<(), PublishError>;
}

/// Why samples could not be published. All of it may pass.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The message bus did not take them.
    #[error("the message bus did not take the samples")]
    Bus(#[from] BusError),
    /// A file did not take them.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sample could not be written as text.
    #[error("cannot write sample {id} as JSON")]
    Json {
        /// Its identifier.
        id: uuid::Uuid,
        /// Why.
        source: serde_json::Error,
    },
    /// The thread that wrote came to an end.
    #[error("the writing of {path} was broken off")]
    BrokenOff {
        /// Of which file.
        path: PathBuf,
    },
}

/// How long the collector may be out of reach before the batch is given back to the bus.
const BUS_PATIENCE: Duration = Duration::from_secs(300);
/// How long a file may fail before what belongs there is dropped, so that it does not hold up everything else.
const FILE_PATIENCE: Duration = Duration::from_secs(60);

/// A publisher with what is known of its health. Shared by all sinks that name its url.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) spec: PublisherSpec,
    publisher: Box<dyn Publisher>,
    clock: Arc<dyn Clock>,
    /// Since when it has been failing, by the monotonic clock.
    failing: Mutex<Option<Duration>>,
}

impl Outlet {
    pub(crate) fn open(spec: &PublisherSpec, bus: &Arc<dyn Bus>, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let publisher: Box<dyn Publisher> = match &spec.kind {
            PublisherKind::Nephos => Box::new(ToNephos::new(Arc::clone(bus))),
            PublisherKind::File(file) => Box::new(ToFile::new(file.clone())),
            PublisherKind::Log { level } => Box::new(ToLog::new(*level)),
        };
        Arc::new(Self { spec: spec.clone(), publisher, clock: Arc::clone(clock), failing: Mutex::default() })
    }

    fn scheme(&self) -> &'static str {
        match self.spec.kind {
            PublisherKind::Nephos => "nephos",
            PublisherKind::File(_) => "file",
            PublisherKind::Log { .. } => "log",
        }
    }

    /// Publishes with retries. An error means that the collector could not be reached for long; files and logs fail
    /// for a minute at most, after which their samples are dropped until they work again.
    pub(crate) async fn deliver(&self, samples: &[Sample]) -> Result<(), PublishError> {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.publisher.publish(samples).await {
                Ok(()) => {
                    self.recovered();
                    instrument::emitted(self.scheme(), samples.len());
                    return Ok(());
                }
                Err(error) => error,
            };
            instrument::failed(self.scheme());
            let since = self.failed(&error);
            let essential = matches!(self.spec.kind, PublisherKind::Nephos);
            let patience = if essential { BUS_PATIENCE } else { FILE_PATIENCE };
            if since >= patience || matches!(error, PublishError::Bus(BusError::Closed)) {
                if essential {
                    return Err(error);
                }
                tracing::error!(
                    url = self.spec.url,
                    samples = samples.len(),
                    error = chain(&error),
                    "samples were dropped: their publisher has been failing too long"
                );
                instrument::lost("publisher", samples.len() as u64);
                return Ok(());
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Notes a failure, says so if it is the first of its row, and returns how long that row has lasted.
    fn failed(&self, error: &PublishError) -> Duration {
        let now = self.clock.monotonic();
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *failing.get_or_insert(now);
        drop(failing);
        if since == now {
            tracing::warn!(url = self.spec.url, error = chain(error), "publishing failed; it is tried again");
        }
        now.saturating_sub(since)
    }

    fn recovered(&self) {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(since) = failing {
            let seconds = self.clock.monotonic().saturating_sub(since).as_secs();
            tracing::info!(url = self.spec.url, seconds, "publishing works again");
        }
    }
}

/// An error and all it came from, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

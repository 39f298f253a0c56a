//! An object store behind calls that block, each repeated while that may help.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use nephos_observe::Backoff;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Error, GetOptions, ObjectStore, PutMode, PutOptions};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::blob::Pages;
use crate::contract::StoreError;
use crate::instrument;

/// How long one try of a call may take.
pub(super) const TRY: Duration = Duration::from_secs(10);
/// How long a call is tried altogether.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of pages kept in memory where no setting says otherwise.
pub(super) const CACHE: u64 = 128 << 20;
/// Most of an answer's text that an error shows.
const SHOWN: usize = 400;
/// Metadata by which a process recognises what it created itself.
const MARK: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("nephos-mark"));

/// What we need of an object store.
pub(super) trait Objects: ObjectStore + MultipartStore {}
impl<T: ObjectStore + MultipartStore> Objects for T {}

/// A bucket, and how it is called.
pub(super) struct Bucket {
    objects: Arc<dyn Objects>,
    /// Its URL.
    name: String,
    runtime: Handle,
    /// How long one try may take.
    attempt: Duration,
    /// How long a call is tried altogether.
    patience: Duration,
    pub(super) pages: Pages,
}

/// What became of creating an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there, and ours.
    Done,
    /// There is another of its name, with this mark.
    Taken {
        /// Empty if it has none.
        mark: String,
    },
}

/// A mark that nothing else has.
pub(super) fn new_mark() -> String {
    Uuid::new_v4().simple().to_string()
}

impl Bucket {
    pub(super) fn new(
        objects: Arc<dyn Objects>,
        name: impl Into<String>,
        runtime: Handle,
        cache: u64,
    ) -> Self {
        Self {
            objects,
            name: name.into(),
            runtime,
            attempt: TRY,
            patience: PATIENCE,
            pages: Pages::new(cache),
        }
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, attempt: Duration, patience: Duration) -> Self {
        Self { attempt, patience, ..self }
    }

    /// The full name of an object, for people.
    pub(super) fn describe(&self, key: &Path) -> String {
        format!("{}/{key}", self.name)
    }

    /// Turns an error into one that names the action and the object.
    pub(super) fn failed(&self, action: &'static str, key: &Path) -> impl FnOnce(Error) -> StoreError {
        let path = self.describe(key);
        move |error| StoreError::Io { action, path, source: explain(&error) }
    }

    /// Calls until it succeeds, fails for good, or patience ends.
    pub(super) fn try_call<T, R, A>(
        &self,
        operation: &'static str,
        key: &Path,
        attempt: A,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        R: Future<Output = Result<T, Error>> + Send + 'static,
        A: Fn(Arc<dyn Objects>) -> R + Send + 'static,
    {
        self.start(operation, key, attempt).wait()
    }

    /// [`try_call`](Self::try_call), with the error of this crate.
    pub(super) fn call<T, R, A>(
        &self,
        operation: &'static str,
        key: &Path,
        attempt: A,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: Future<Output = Result<T, Error>> + Send + 'static,
        A: Fn(Arc<dyn Objects>) -> R + Send + 'static,
    {
        self.try_call(operation, key, attempt).map_err(self.failed(operation, key))
    }

    /// Starts a call that goes on whether or not somebody waits for it.
    pub(super) fn start<T, R, A>(&self, operation: &'static str, key: &Path, attempt: A) -> Pending<T>
    where
        T: Send + 'static,
        R: Future<Output = Result<T, Error>> + Send + 'static,
        A: Fn(Arc<dyn Objects>) -> R + Send + 'static,
    {
        // Not `Handle::block_on`: that panics on a runtime that ends, and on its workers.
        let (done, answer) = sync_channel(1);
        let (objects, object) = (Arc::clone(&self.objects), self.describe(key));
        let limits = (self.attempt, self.patience);
        self.runtime.spawn(async move {
            let outcome = repeat(operation, &object, limits, move || attempt(Arc::clone(&objects))).await;
            // Nobody may wait any more.
            let _unheard = done.send(outcome);
        });
        Pending(answer)
    }
}

/// A call under way.
pub(super) struct Pending<T>(Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// Waits for its outcome.
    pub(super) fn wait(self) -> Result<T, Error> {
        self.0.recv().unwrap_or_else(|_| Err(generic("the runtime has ended")))
    }
}

async fn repeat<T, R>(
    operation: &'static str,
    object: &str,
    (limit, patience): (Duration, Duration),
    mut attempt: impl FnMut() -> R,
) -> Result<T, Error>
where
    R: Future<Output = Result<T, Error>>,
{
    let end = Instant::now() + patience;
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(3));
    loop {
        let asked = Instant::now();
        let call = timeout(limit, attempt());
        let outcome = call.await.unwrap_or_else(|_| Err(generic("no answer in time")));
        instrument::object_called(operation, outcome.is_ok(), asked.elapsed());
        let delay = backoff.next_delay();
        match outcome {
            Err(error) if is_passing(&error) && Instant::now() + delay < end => {
                tracing::debug!(operation, object, error = %explain(&error), "trying again");
                sleep(delay).await;
            }
            outcome => return outcome,
        }
    }
}

/// Creates an object if there is none of its name. An error leaves open whether it will be there one day.
pub(super) fn put_new(bucket: &Bucket, key: &Path, content: Bytes, mark: &str) -> Result<Put, Error> {
    let (location, mark) = (key.clone(), mark.to_owned());
    bucket.try_call("create", key, move |objects| {
        let (key, mark, content) = (location.clone(), mark.clone(), content.clone());
        async move {
            let options = PutOptions {
                mode: PutMode::Create,
                attributes: [(MARK, AttributeValue::from(mark.clone()))].into_iter().collect(),
                ..PutOptions::default()
            };
            match objects.put_opts(&key, content.into(), options).await {
                Ok(_) => return Ok(Put::Done),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
            // An earlier try of ours whose answer was lost, or somebody else.
            let head = GetOptions { head: true, ..GetOptions::default() };
            match objects.get_opts(&key, head).await {
                Ok(found) if found.attributes.get(&MARK).is_some_and(|value| **value == *mark) => {
                    Ok(Put::Done)
                }
                Ok(found) => {
                    let mark = found.attributes.get(&MARK).map(|value| value.to_string());
                    Ok(Put::Taken { mark: mark.unwrap_or_default() })
                }
                // Servers also refuse while somebody else's attempt is under way, which may fail.
                Err(Error::NotFound { .. }) => Err(generic("it is being created by another process")),
                Err(error) => Err(error),
            }
        }
    })
}

/// An error of our own among those of the object store.
pub(super) fn generic(text: &'static str) -> Error {
    Error::Generic { store: "object store", source: text.into() }
}

/// Whether the same call may succeed later.
fn is_passing(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

/// An error with its causes, in one line.
fn explain(error: &Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push('…');
    }
    io::Error::new(kind, line)
}

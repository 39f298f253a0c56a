//! One connection with what belongs to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::error::Peer;
use super::topology::{Queue, declare_dead_letters};
use crate::contract::BusError;

/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection, its publishing channel, and what has been declared on it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: Peer,
    pub(super) connection: Connection,
    /// In confirm mode.
    pub(super) publisher: Channel,
    /// One declares, the others wait: a quorum queue that is read while it is being made costs the connection.
    queues: Mutex<HashMap<Queue, Arc<OnceCell<()>>>>,
    dead_letters: OnceCell<()>,
    over: CancellationToken,
}

impl Session {
    pub(super) async fn open(peer: Peer, connection: Connection) -> Result<Arc<Self>, BusError> {
        let publisher = connection.create_channel().await.map_err(|error| peer.error(&error))?;
        let confirm = publisher.confirm_select(ConfirmSelectOptions::default()).await;
        confirm.map_err(|error| peer.error(&error))?;
        Ok(Arc::new(Self {
            peer,
            connection,
            publisher,
            queues: Mutex::default(),
            dead_letters: OnceCell::new(),
            over: CancellationToken::new(),
        }))
    }

    /// Ends the session: the supervisor opens another one.
    pub(super) fn fail(&self) {
        self.over.cancel();
    }

    /// Waits until the session is over.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Runs `operation`, but not beyond the session's end: the client library leaves some answers of a dead connection
    /// outstanding for ever.
    pub(super) async fn during<T>(
        &self,
        operation: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let done = self.over.run_until_cancelled(operation).await;
        done.unwrap_or_else(|| Err(self.peer.unavailable("the connection was lost meanwhile")))
    }

    /// Ends the session because of `error`, unless the broker merely refused what was asked.
    pub(super) fn failed(&self, error: &lapin::Error) -> BusError {
        self.fail();
        self.peer.error(error)
    }

    /// Sees to it that `queue` is there, with the exchange it is sent to by.
    pub(super) async fn declare(&self, queue: Queue) -> Result<(), BusError> {
        let declared = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(queue).or_default())
        };
        let declaring = declared.get_or_try_init(|| queue.declare(self));
        self.during(declaring).await.map(|_| ())
    }

    /// Sees to it that all of `queues` are there.
    pub(super) async fn declare_all(&self, queues: Vec<Queue>) -> Result<(), BusError> {
        try_join_all(queues.into_iter().map(|queue| self.declare(queue))).await.map(|_| ())
    }

    /// Sees to it that dead letters have a queue.
    pub(super) async fn declare_dead_letters(&self) -> Result<(), BusError> {
        let declaring = self.dead_letters.get_or_try_init(|| declare_dead_letters(self));
        self.during(declaring).await.map(|_| ())
    }

    /// Says goodbye if there is still somebody to say it to. The broker gives back what was not settled.
    pub(super) async fn close(&self) {
        self.fail();
        let goodbye = self.connection.close(200, "OK".into());
        if let Ok(Err(error)) = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await {
            tracing::debug!(%error, "connection to the message bus was gone already");
        }
    }
}

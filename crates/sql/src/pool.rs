//! A pool of connections that trusts what it hands out and throws away what failed.
//!
//! A connection comes back only after a clean end of its use; dropped in the middle (a cancelled request) it is closed,
//! which rolls back. So nothing has to be tested on return, and an idle one is tested only after a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::{Connection, Options};
use crate::error::SqlError;

/// How long to wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle for longer than this, a connection is tested before use.
const TEST_AFTER: Duration = Duration::from_secs(30);
/// Idle for longer than this, a connection is closed.
const CLOSE_AFTER: Duration = Duration::from_secs(600);

/// Connections of one kind.
#[derive(Debug)]
pub(crate) struct Pool {
    options: Options,
    slots: Semaphore,
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// What ran, while tests want to know.
    #[cfg(feature = "testing")]
    pub(crate) recording: Mutex<Option<Vec<crate::testing::Recorded>>>,
}

/// A borrowed connection. Dropped without [`give_back`](Lease::give_back), it is closed.
#[derive(Debug)]
pub(crate) struct Lease<'p> {
    pub(crate) connection: Connection,
    /// It was idle before, so the other side may have gone meanwhile.
    pub(crate) reused: bool,
    pool: &'p Pool,
    _slot: SemaphorePermit<'p>,
}

impl Pool {
    pub(crate) fn new(options: Options, size: usize) -> Self {
        Self {
            options,
            slots: Semaphore::new(size),
            idle: Mutex::default(),
            #[cfg(feature = "testing")]
            recording: Mutex::default(),
        }
    }

    /// Borrows a connection, the most recently used one first.
    pub(crate) async fn acquire(&self) -> Result<Lease<'_>, SqlError> {
        let slot = tokio::time::timeout(ACQUIRE_TIMEOUT, self.slots.acquire())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| SqlError::Unavailable {
                reason: "no connection became free in time".to_owned(),
            })?;
        while let Some((mut connection, since)) = self.take_idle() {
            if since.elapsed() < TEST_AFTER || connection.ping().await {
                return Ok(Lease { connection, reused: true, pool: self, _slot: slot });
            }
        }
        let connection = self.options.connect().await?;
        Ok(Lease { connection, reused: false, pool: self, _slot: slot })
    }

    /// Closes all idle connections: called when one turned out to be dead, for then the others probably are too.
    pub(crate) fn clear(&self) {
        let dead = std::mem::take(&mut *self.idle());
        drop(dead);
    }

    fn take_idle(&self) -> Option<(Connection, Instant)> {
        let mut idle = self.idle();
        // The least recently used ones are at the front.
        let expired = idle.iter().take_while(|(_, since)| since.elapsed() > CLOSE_AFTER).count();
        idle.drain(..expired);
        idle.pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Returns the connection for the next user: only when it is in no transaction and in the middle of nothing.
    pub(crate) fn give_back(self) {
        self.pool.idle().push((self.connection, Instant::now()));
    }
}

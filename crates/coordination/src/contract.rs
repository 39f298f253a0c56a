//! What coordination promises.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

/// Why coordination did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CoordinationError {
    /// The database behind it is away; a retry helps.
    #[error("coordination back end is not reachable: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// Somebody else holds the lease.
    #[error("lease {name} is held by {holder}")]
    Held {
        /// Its name.
        name: String,
        /// By whom.
        holder: String,
    },
    /// We held it once, but another took it meanwhile.
    #[error("lease {name} was lost")]
    Lost {
        /// Its name.
        name: String,
    },
}

/// Key of one transformer's state: (sink, transformer index, grouping key).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateKey {
    /// Name of the sink.
    pub sink: String,
    /// Position of the transformer in the sink.
    pub transformer: u32,
    /// What the transformer groups by, normally meter and resource.
    pub group: String,
}

/// State as it was read: `version` 0 and no bytes when there is none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VersionedState {
    /// Counts writes of this key.
    pub version: u64,
    /// The state, in the transformer's own versioned format.
    pub bytes: Vec<u8>,
}

/// One state to write.
#[derive(Clone, Debug)]
pub struct StateWrite {
    /// Which.
    pub key: StateKey,
    /// The version it was read at; the write happens only if it is still that.
    pub read_version: u64,
    /// The new state.
    pub bytes: Vec<u8>,
}

/// Shared transformer state. Implementations: memory, SQLite, PostgreSQL.
#[async_trait]
pub trait StateStore: Send + Sync + Debug {
    /// Reads many keys in one round trip, in their order.
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<VersionedState>, CoordinationError>;
    /// Writes many in one transaction, all or nothing: `Ok(false)` if any version moved meanwhile (then nothing was
    /// written, and the step must be run again on fresh state).
    async fn write(&self, writes: &[StateWrite]) -> Result<bool, CoordinationError>;
    /// Deletes state not written for `older_than`; returns how many.
    async fn expire(&self, older_than: Duration) -> Result<u64, CoordinationError>;
    /// `Ok` if the back end works right now: for `/readyz`.
    async fn ready(&self) -> Result<(), CoordinationError>;
}

/// Which members of a group are alive. Implementations: alone in this process, SQL heartbeats.
#[async_trait]
pub trait Membership: Send + Sync + Debug {
    /// This process's own member name.
    fn me(&self) -> &str;
    /// Says "I am here" in `group`; call every `heartbeat` (3 s). A member silent for 10 s is gone.
    async fn beat(&self, group: &str) -> Result<(), CoordinationError>;
    /// Living members of `group`, sorted, this one included after its first beat.
    async fn members(&self, group: &str) -> Result<Vec<String>, CoordinationError>;
    /// Leaves at once, so that others take over without waiting.
    async fn leave(&self, group: &str) -> Result<(), CoordinationError>;
}

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name, e.g. `shard-0000`.
    pub name: String,
    /// Rises each time it changes hands: fences the old owner.
    pub epoch: u64,
}

/// Who holds a lease, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// Holder's member name.
    pub holder: String,
    /// Address the holder serves on.
    pub url: String,
    /// Its epoch.
    pub epoch: u64,
}

/// Exclusive ownership with expiry. Times are the database's own, so that clocks of hosts do not matter.
#[async_trait]
pub trait Leases: Send + Sync + Debug {
    /// Takes the lease for `ttl` if it is free, expired or already `holder`'s (a restarted process of the same name takes
    /// over at once, with a new epoch).
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        url: &str,
        ttl: Duration,
    ) -> Result<Lease, CoordinationError>;
    /// Prolongs it; `Lost` if the epoch moved.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CoordinationError>;
    /// Gives it up.
    async fn release(&self, lease: &Lease) -> Result<(), CoordinationError>;
    /// Who holds it now; `None` if nobody does or it has expired.
    async fn holder(&self, name: &str) -> Result<Option<LeaseHolder>, CoordinationError>;
}

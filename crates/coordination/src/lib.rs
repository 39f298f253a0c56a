//! Who does what among several processes: membership, partitioning, leases, and transformer state that all share.

pub mod contract;
mod local;
mod rendezvous;
mod sql;

pub use contract::{
    CoordinationError, Lease, LeaseHolder, Leases, Membership, StateKey, StateStore, StateWrite,
    VersionedState,
};
pub use local::{LocalGroups, LocalLeases, LocalMembership, MemoryStateStore};
pub use rendezvous::{even_share, owner, owns};
pub use sql::{SqlLeases, SqlMembership, SqlStateStore};

/// How often a member says that it is alive.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(3);
/// A member silent for this long is gone.
pub const MEMBER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

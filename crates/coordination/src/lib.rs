//! Who does what among several processes: membership, partitioning, leases, and transformer state that all share.

pub mod contract;

pub use contract::{
    CoordinationError, Lease, LeaseHolder, Leases, Membership, StateKey, StateStore, StateWrite, VersionedState,
};

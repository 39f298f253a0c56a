//! Coordination inside one process: nothing is kept beyond it.

mod leases;
mod membership;
mod state;

pub use leases::LocalLeases;
pub use membership::{LocalGroups, LocalMembership};
pub use state::MemoryStateStore;

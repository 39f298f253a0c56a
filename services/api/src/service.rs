//! What the API does, without HTTP: permissions, lookups, writes.

pub mod aggregates;
pub mod batch;
pub mod expiry;
pub mod ingest;
pub mod measures;
pub mod metrics;
pub mod policies;
pub mod problem;
pub mod resources;
pub mod search;
pub mod types;

pub use problem::Problem;

//! What the API does, without HTTP: permissions, lookups, writes.

pub mod batch;
pub mod expiry;
pub mod measures;
pub mod metrics;
pub mod policies;
pub mod problem;
pub mod resources;
pub mod types;

pub use problem::Problem;

//! Pure time-series arithmetic: archive policies, merging of measures, aggregation, resampling, retention
//! and the chunk codec. No I/O, no clock.

pub mod method;
pub mod policy;

pub use method::{AggregationMethod, Stat};
pub use policy::{ArchivePolicy, PolicyItem};

//! The time-series engine: shards, log, head, packed segments, retention and queries.
//!
//! [`contract`] is what everyone else sees.

pub mod contract;

pub use contract::{
    AppendReport, Calendar, MetricStore, Resample, Run, Series, SeriesPoints, SeriesRequest, StoreError, StoreStatistics,
};

//! Gnocchi's v1 API: identifiers, times, timespans, JSON and objects as clients see them (metrics-api).

pub mod id;

pub use id::{ResourceIdError, parse_uuid, resource_id};

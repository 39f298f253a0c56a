//! Gnocchi's v1 API: identifiers, times, timespans, JSON and bodies as clients see them (metrics-api).

mod civil;
mod digits;
pub mod id;
pub mod invalid;
pub mod json;
pub mod measures;
pub mod points;
pub mod scan;
pub mod time;
pub mod timespan;

pub use id::{ResourceIdError, parse_uuid, resource_id};
pub use invalid::{Field, Invalid, Object, Step};

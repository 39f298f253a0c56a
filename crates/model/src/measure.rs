//! What goes into and comes out of the metric store.

use crate::time::{Granularity, Timestamp};

/// One raw `(timestamp, value)` as a client or pollster gave it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// When it was taken.
    pub timestamp: Timestamp,
    /// Its value; NaN and infinities are legal (metrics-api §5.1).
    pub value: f64,
}

impl Measure {
    /// A measure.
    pub const fn new(timestamp: Timestamp, value: f64) -> Self {
        Self { timestamp, value }
    }
}

/// One aggregate: a bucket's start, its width and the value of one aggregation method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Start of the bucket.
    pub timestamp: Timestamp,
    /// Width of the bucket.
    pub granularity: Granularity,
    /// The aggregate.
    pub value: f64,
}

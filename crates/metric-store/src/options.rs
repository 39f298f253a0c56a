//! What a store is opened with.

use std::sync::Arc;
use std::time::Duration;

use nephos_model::Clock;

use crate::disk::Place;

/// Bounds of one call, so that no caller can take all memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Measures in one append.
    pub measures: u64,
    /// Series in one query.
    pub requests: u64,
    /// Points read for one query, before resampling.
    pub points: u64,
    /// Bytes of a request or an answer between processes.
    pub body: u64,
}

impl Default for Limits {
    /// Two million measures, a hundred thousand series, ten million points, 256 MiB.
    fn default() -> Self {
        Self { measures: 2_000_000, requests: 100_000, points: 10_000_000, body: 256 << 20 }
    }
}

/// How a [`LocalStore`](crate::LocalStore) is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where it lies; created if it is not there.
    pub place: Place,
    /// Below so many free bytes on a folder's file system appends are refused.
    pub min_free: u64,
    /// Where latencies are read from.
    pub clock: Arc<dyn Clock>,
    /// Number of shards when the store is created; an existing store keeps the number it was created with.
    pub shards: u32,
    /// Shards to open at once; `None` opens all. Others can be taken over later.
    pub own: Option<Vec<u32>>,
    /// Bounds of one call.
    pub limits: Limits,
    /// A shard whose log holds so many bytes more than segments is written to a segment, and so is one with a measure for
    /// each 24 of them.
    pub checkpoint_bytes: u64,
}

impl StoreOptions {
    /// One shard, default limits, a gibibyte kept free, a checkpoint every 32 MiB of log.
    pub fn new(place: impl Into<Place>, clock: Arc<dyn Clock>) -> Self {
        Self {
            place: place.into(),
            min_free: 1 << 30,
            clock,
            shards: 1,
            own: None,
            limits: Limits::default(),
            checkpoint_bytes: 32 << 20,
        }
    }
}

/// When to try again a call that found no owner.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

//! Pure time-series arithmetic: archive policies, merging of measures, aggregation, resampling, retention
//! and the chunk codec. No I/O, no clock.
//!
//! The way of a measure: [`merge_run`] puts it into the metric's [`RawBuffer`] and says from when on buckets
//! change; [`aggregate_buffer`] computes those buckets for each granularity of the policy, and
//! [`BucketColumns::overwrite`] puts them in the place of the old ones; [`RawBuffer::trim`] then forgets what no
//! late measure can need. [`codec`] packs columns into chunks. On the way out, [`retention`] says what a policy
//! still shows, and [`resample()`] and [`window`] regroup and cut;
//! [`Grid`] works across series.

pub mod aggregate;
pub mod buffer;
pub mod codec;
pub mod columns;
pub mod grid;
pub mod method;
pub mod policy;
pub mod resample;
pub mod retention;

pub use aggregate::{aggregate, aggregate_buffer};
pub use buffer::{MergeOutcome, RawBuffer, insert_run, merge_run, sort_run, window_start};
pub use codec::{
    Chunk, CodecError, ColumnSummary, Effort, Scratch, decode_columns, decode_raw, encode_columns,
    encode_columns_into, encode_raw, encode_raw_into,
};
pub use columns::{BucketColumns, Column, Presence};
pub use grid::{Across, Fill, Grid, GridError, Reduction};
pub use method::{AggregationMethod, Stat, UnknownMethod};
pub use policy::{ArchivePolicy, ItemSpec, PolicyError, PolicyItem};
pub use resample::{Calendar, Resample, resample, window};
pub use retention::{first_kept, low_water};

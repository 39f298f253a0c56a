//! Pure time-series arithmetic: archive policies, merging of measures, aggregation, resampling, retention
//! and the chunk codec. No I/O, no clock.
//!
//! The way of a measure: [`window_start`] tells whether it is late; [`sort_run`] and [`insert_run`] put what came
//! together among the measures that are kept; [`aggregate()`] computes buckets for each granularity of the policy when
//! they are asked for or can't change any more. [`codec`] packs columns into chunks, and
//! [`BucketColumns::overwrite`] joins those of neighbouring chunks. On the way out, [`retention`] says what a policy
//! still shows, and [`resample()`] and [`window`] regroup and cut; [`Grid`] works across series.

pub mod aggregate;
pub mod buffer;
pub mod codec;
pub mod columns;
pub mod derive;
pub mod grid;
pub mod method;
pub mod policy;
pub mod resample;
pub mod retention;

pub use aggregate::aggregate;
pub use buffer::{RawBuffer, insert_run, sort_run, window_start};
pub use codec::{
    Chunk, CodecError, ColumnSummary, Effort, Scratch, decode_columns, decode_raw, encode_columns,
    encode_columns_into, encode_raw, encode_raw_into,
};
pub use columns::{BucketColumns, Column, Presence};
pub use derive::{Derivation, derivations};
pub use grid::{Across, Fill, Fold, Grid, GridError, Overlap, Ranking, Reduction};
pub use method::{AggregationMethod, Stat, UnknownMethod};
pub use policy::{ArchivePolicy, ItemSpec, PolicyError, PolicyItem};
pub use resample::{Calendar, Resample, resample, window};
pub use retention::{first_kept, low_water};

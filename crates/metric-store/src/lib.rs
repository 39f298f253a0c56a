//! The time-series engine: shards, log, head, packed segments, retention and queries.
//!
//! [`MetricStore`] is what everyone else sees; [`LocalStore`] is the engine in this process, [`RemoteStore`] reaches
//! the process that owns a shard, which serves [`routes()`].
//!
//! **The way of an append.** Metrics are hashed to shards. The caller's task packs its runs into bytes; the shard's
//! one writer thread takes all calls that arrived while the disk was busy, writes them as one frame of the log,
//! syncs once, merges them into the head, and answers. So an answer means: durable, and visible to the next read.
//! The head keeps each metric's raw measures; nothing is aggregated yet. When the log has grown enough, a checkpoint
//! aggregates what no late measure can change any more, packs it into a new segment together with the raw measures
//! that are left, which stay as small in memory until one of them changes, and drops the log. Compaction merges neighbouring segments, joins chunks, and leaves deleted
//! metrics and expired buckets behind. Both run beside appends and queries and never stop them.
//!
//! **The way of a query.** Buckets before a metric's sealed edge are unpacked from segments, the chunks and columns
//! that the window and method touch and no others; later ones are aggregated from raw measures there and then. Each
//! is cut to what the policy given with the request still shows. Operations across metrics are computed by the owner of
//! their series, or by several owners in parts, so that results travel instead of series; what is an aggregate of series
//! is added up while they are read, and none of them is kept. Other processes get answers part by part, each read when
//! the one before was taken ([`MetricStore::query_next`]).
//!
//! **What changes what is stored.** Nothing does; a metric's state says how to read it. A range of time that was erased
//! hides buckets until merging leaves them behind; a metric with another policy derives from the aggregates of the one
//! before what that did not keep. Both are one record of the log.
//!
//! **Where it lies.** `FORMAT`, and for each shard a folder, or a prefix in an object store, with `MANIFEST-N` (the live
//! set; each change is the next number), `log-EPOCH-N.nlog` and `segment-EPOCH-N.nseg`. Everything is checksummed;
//! damage is told by file and place and costs what it touches.
//!
//! **Two owners.** Whoever opens a shard takes it over: it creates the next manifest, with an epoch of its own, which
//! only one process can. The owner before finds that manifest after its next write of the log, before it answers, and
//! in the way of its next manifest: so a process that was paused beyond its lease changes nothing and answers nothing.

pub mod bench;
pub mod compute;
pub mod contract;
pub mod options;
pub mod pages;
pub mod remote;
pub mod routes;
pub mod store;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
pub mod tools;

mod backup;
mod batch;
mod bytes;
mod checkpoint;
mod compaction;
mod damage;
mod disk;
mod files;
mod format;
mod head;
mod instrument;
mod janitor;
mod log;
mod maintenance;
mod manifest;
mod pack;
mod protocol;
mod query;
mod runs;
mod segment;
mod shard;

pub use backup::{StoreFile, backup};
pub use bytes::shard_of;
pub use compute::{Computation, Computed, Filling, Refusal, Work};
pub use contract::{
    Adoption, AppendReport, Batch, Calendar, Erase, MetricStore, Progress, Resample, Run, RunRef, Series,
    SeriesPoints, SeriesRequest, StoreError, StoreStatistics,
};
pub use disk::{ObjectPlace, Place, S3Options};
pub use options::{Limits, StoreOptions};
pub use remote::{Owner, OwnerLookup, RemoteOptions, RemoteStore};
pub use routes::routes;
pub use store::LocalStore;

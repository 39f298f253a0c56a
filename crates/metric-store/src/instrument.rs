//! Counters and latencies of the store, named in one place.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram};

use crate::contract::{AppendReport, StoreError};

/// What is counted of every append. Finding a counter takes longer than counting, so they are found once.
struct Appends {
    took: Histogram,
    received: Counter,
    accepted: Counter,
    late: Counter,
}

static APPENDS: LazyLock<Appends> = LazyLock::new(|| Appends {
    took: histogram!("nephos_store_append_duration_seconds"),
    received: counter!("nephos_store_received_measures_total"),
    accepted: counter!("nephos_store_accepted_measures_total"),
    late: counter!("nephos_store_dropped_measures_total", "reason" => "late"),
});

/// An append was answered with success.
pub(crate) fn appended(report: AppendReport, took: Duration) {
    APPENDS.took.record(took.as_secs_f64());
    APPENDS.received.increment(report.accepted + report.late);
    APPENDS.accepted.increment(report.accepted);
    APPENDS.late.increment(report.late);
}

/// Series were read.
pub(crate) fn queried(series: u64, points: u64, took: Duration) {
    counter!("nephos_store_queried_series_total").increment(series);
    counter!("nephos_store_emitted_points_total").increment(points);
    histogram!("nephos_store_query_duration_seconds").record(took.as_secs_f64());
}

/// A call failed.
pub(crate) fn failed(operation: &'static str, error: &StoreError) {
    let kind = match error {
        StoreError::DiskFull { .. } => "disk_full",
        StoreError::NoOwner { .. } => "no_owner",
        StoreError::Remote { .. } => "remote",
        StoreError::TooLarge { .. } => "too_large",
        StoreError::Damaged { .. } => "damaged",
        StoreError::Format { .. } => "format",
        StoreError::Io { .. } => "io",
        StoreError::Closed => "closed",
    };
    counter!("nephos_store_errors_total", "operation" => operation, "kind" => kind).increment(1);
}

/// What is counted of every group of calls, found once as well.
struct Commits {
    commits: Counter,
    calls: Counter,
    bytes: Counter,
    took: Histogram,
}

static COMMITS: LazyLock<Commits> = LazyLock::new(|| Commits {
    commits: counter!("nephos_store_log_commits_total"),
    calls: counter!("nephos_store_log_calls_total"),
    bytes: counter!("nephos_store_log_bytes_total"),
    took: histogram!("nephos_store_log_sync_duration_seconds"),
});

/// A group of calls was made durable by one sync.
pub(crate) fn committed(calls: usize, bytes: u64, took: Duration) {
    COMMITS.commits.increment(1);
    COMMITS.calls.increment(calls as u64);
    COMMITS.bytes.increment(bytes);
    COMMITS.took.record(took.as_secs_f64());
}

/// A shard has so many bytes in logs that no segment holds yet, and so many segments.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn shard(number: u32, log_bytes: u64, segments: usize) {
    let label = number.to_string();
    gauge!("nephos_store_log_pending_bytes", "shard" => label.clone()).set(log_bytes as f64);
    gauge!("nephos_store_segments", "shard" => label).set(segments as f64);
}

/// A segment was written by a checkpoint or a compaction.
pub(crate) fn segment_written(cause: &'static str, bytes: u64, took: Duration) {
    counter!("nephos_store_segments_written_total", "cause" => cause).increment(1);
    counter!("nephos_store_segment_bytes_total", "cause" => cause).increment(bytes);
    histogram!("nephos_store_segment_duration_seconds", "cause" => cause).record(took.as_secs_f64());
}

/// The janitor made so much room.
pub(crate) fn tidied(bytes: u64) {
    counter!("nephos_store_tidied_bytes_total").increment(bytes);
}

/// Damage was met.
pub(crate) fn damage() {
    counter!("nephos_store_damage_total").increment(1);
}

/// A request to an object store was answered, or failed.
pub(crate) fn object_called(operation: &'static str, succeeded: bool, took: Duration) {
    counter!("nephos_store_object_requests_total", "operation" => operation).increment(1);
    if !succeeded {
        counter!("nephos_store_object_errors_total", "operation" => operation).increment(1);
    }
    histogram!("nephos_store_object_request_duration_seconds", "operation" => operation)
        .record(took.as_secs_f64());
}

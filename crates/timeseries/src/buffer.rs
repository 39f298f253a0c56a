//! The raw buffer of a metric: the measures that late ones may still join (metrics-api §9.2).

use std::cmp::Ordering;

use nephos_model::{Measure, Timestamp};

use crate::policy::ArchivePolicy;

/// Measures of one metric, strictly ascending in time; both columns have the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawBuffer {
    /// When the measures were taken.
    pub timestamps: Vec<Timestamp>,
    /// Their values.
    pub values: Vec<f64>,
}

/// What a run did to a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeOutcome {
    /// Measures taken, repeated timestamps included.
    pub accepted: u64,
    /// Measures older than the back window, dropped.
    pub late: u64,
    /// Timestamp of the oldest measure taken: buckets that hold it or begin later are to be computed again.
    pub recompute_from: Option<Timestamp>,
}

impl RawBuffer {
    /// Number of measures.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The newest measure.
    pub fn last(&self) -> Option<Measure> {
        Some(Measure::new(*self.timestamps.last()?, *self.values.last()?))
    }

    /// Measures before this instant are late: the start of the coarsest bucket of the newest measure, less the
    /// back window, less one bucket more if differences are kept. `None` for an empty buffer, which takes
    /// everything.
    pub fn first_block(&self, policy: &ArchivePolicy) -> Option<Timestamp> {
        window_start(*self.timestamps.last()?, policy)
    }

    /// Forgets what no measure still to come can need; returns how many measures went. To be called after the
    /// buckets of a run were computed. Beyond [`first_block`](Self::first_block) it keeps the rest of the buckets
    /// that the block's start cuts (a granularity need not divide the coarsest one), and with differences one
    /// measure more: the predecessor of the first.
    pub fn trim(&mut self, policy: &ArchivePolicy) -> usize {
        let Some(first_block) = self.first_block(policy) else { return 0 };
        let keep_from = policy.definition.iter().map(|item| first_block.floor(item.granularity)).min();
        let keep_from = keep_from.unwrap_or(first_block);
        let older = self.timestamps.partition_point(|timestamp| *timestamp < keep_from);
        let gone = older.saturating_sub(usize::from(policy.has_rate()));
        if gone > 0 {
            self.timestamps.drain(..gone);
            self.values.drain(..gone);
            self.release_spare();
        }
        gone
    }

    /// Gives memory back when a buffer has become much smaller than it was.
    fn release_spare(&mut self) {
        let roomy = self.len().saturating_mul(4).max(64);
        if self.timestamps.capacity() > roomy {
            self.timestamps.shrink_to(self.len() * 2);
            self.values.shrink_to(self.len() * 2);
        }
    }
}

/// Measures before this instant are late once `newest` was taken: the start of its coarsest bucket, less the back
/// window, less one bucket more if differences are kept. `None` for a policy without granularities.
pub fn window_start(newest: Timestamp, policy: &ArchivePolicy) -> Option<Timestamp> {
    let block = policy.coarsest()?;
    let blocks = i64::from(policy.back_window) + i64::from(policy.has_rate());
    Some(newest.floor(block).plus_nanos(block.as_nanos().saturating_mul(blocks).saturating_neg()))
}

/// Sorts a run by time; of equal times the smallest value stays (NaN only if there is nothing else).
pub fn sort_run(run: &mut Vec<Measure>) {
    run.sort_unstable_by(by_time_then_value);
    run.dedup_by_key(|measure| measure.timestamp);
}

/// Merges a [sorted](sort_run) run into measures that ascend strictly; of equal times the run's value stays.
pub fn insert_run(measures: &mut Vec<Measure>, run: &[Measure]) {
    let Some(first) = run.first() else { return };
    let at = match measures.last() {
        Some(last) if last.timestamp >= first.timestamp => {
            measures.partition_point(|measure| measure.timestamp < first.timestamp)
        }
        _ => measures.len(),
    };
    // Only the part behind the run's first measure is touched: mostly nothing.
    let tail = measures.split_off(at);
    measures.reserve(tail.len() + run.len());
    let mut tail = tail.into_iter().peekable();
    for measure in run {
        while let Some(before) = tail.next_if(|other| other.timestamp < measure.timestamp) {
            measures.push(before);
        }
        tail.next_if(|other| other.timestamp == measure.timestamp);
        measures.push(*measure);
    }
    measures.extend(tail);
}

/// Merges measures that belong together, in any order, into the buffer. Lateness is judged by what was buffered
/// before; among equal timestamps of the run the smallest value wins (NaN only if there is nothing else), and it
/// replaces a buffered one. The run is used as scratch: afterwards it holds what was taken, sorted, one measure
/// for each timestamp. The caller computes buckets and then [trims](RawBuffer::trim) the buffer.
pub fn merge_run(buffer: &mut RawBuffer, policy: &ArchivePolicy, run: &mut Vec<Measure>) -> MergeOutcome {
    let given = run.len() as u64;
    if let Some(first_block) = buffer.first_block(policy) {
        run.retain(|measure| measure.timestamp >= first_block);
    }
    let accepted = run.len() as u64;
    if run.len() > 1 {
        run.sort_unstable_by(by_time_then_value);
        run.dedup_by_key(|measure| measure.timestamp);
    }
    let recompute_from = run.first().map(|measure| measure.timestamp);
    if let Some(first) = recompute_from {
        insert_sorted(buffer, first, run);
    }
    MergeOutcome { accepted, late: given - accepted, recompute_from }
}

fn by_time_then_value(a: &Measure, b: &Measure) -> Ordering {
    a.timestamp.cmp(&b.timestamp).then_with(|| nan_last(&a.value, &b.value))
}

/// Ascending, NaN behind everything; total, so that results do not depend on the order of arrival.
pub(crate) fn nan_last(a: &f64, b: &f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then_with(|| a.total_cmp(b))
}

/// Merges a sorted run without repeated timestamps, whose first is `first`. Only the part of the buffer at and
/// behind `first` is touched: mostly nothing.
fn insert_sorted(buffer: &mut RawBuffer, first: Timestamp, run: &[Measure]) {
    let at = match buffer.timestamps.last() {
        Some(last) if *last >= first => buffer.timestamps.partition_point(|timestamp| *timestamp < first),
        _ => buffer.len(),
    };
    let tail_times = buffer.timestamps.split_off(at);
    let tail_values = buffer.values.split_off(at);
    let mut tail = tail_times.into_iter().zip(tail_values).peekable();
    for measure in run {
        while let Some((timestamp, value)) = tail.next_if(|(timestamp, _)| *timestamp < measure.timestamp) {
            buffer.timestamps.push(timestamp);
            buffer.values.push(value);
        }
        // The buffered value of the same instant is replaced.
        tail.next_if(|(timestamp, _)| *timestamp == measure.timestamp);
        buffer.timestamps.push(measure.timestamp);
        buffer.values.push(measure.value);
    }
    for (timestamp, value) in tail {
        buffer.timestamps.push(timestamp);
        buffer.values.push(value);
    }
}

#[cfg(test)]
mod tests;

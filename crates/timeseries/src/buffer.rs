//! Raw measures of a metric, and how late ones join them (metrics-api §9.2).

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

impl RawBuffer {
    /// Number of measures.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
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

fn by_time_then_value(a: &Measure, b: &Measure) -> Ordering {
    a.timestamp.cmp(&b.timestamp).then_with(|| nan_last(&a.value, &b.value))
}

/// Ascending, NaN behind everything; total, so that results do not depend on the order of arrival.
pub(crate) fn nan_last(a: &f64, b: &f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then_with(|| a.total_cmp(b))
}

#[cfg(test)]
mod tests;

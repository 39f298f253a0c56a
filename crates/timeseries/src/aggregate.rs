//! From raw measures to buckets (metrics-api §9.1, §9.3).

use nephos_model::{Granularity, Measure, Timestamp};

use crate::buffer::nan_last;
use crate::columns::BucketColumns;
use crate::method::Stat;

/// Appends to `out` the buckets of `granularity` that hold `from` or begin later, with every method `out` has a
/// column for. `timestamps` ascend strictly; `predecessor` is the measure just before the first of them, if one
/// is known: differences begin with it. A bucket without measures is left out.
pub fn aggregate(
    timestamps: &[Timestamp],
    values: &[f64],
    predecessor: Option<Measure>,
    granularity: Granularity,
    from: Timestamp,
    out: &mut BucketColumns,
) {
    let rows = timestamps.len().min(values.len());
    let (timestamps, values) = (&timestamps[..rows], &values[..rows]);
    let from = from.floor(granularity);
    let mut begin = timestamps.partition_point(|timestamp| *timestamp < from);

    let differs = out.columns().iter().any(|column| column.method().rate);
    let mut plain = Summary::default();
    let mut rate = Summary::default();
    let mut differences = Vec::new();
    let mut previous = match begin.checked_sub(1) {
        Some(before) => values.get(before).copied(),
        None => predecessor.map(|measure| measure.value),
    };
    let width = granularity.as_nanos();
    let mut next: Option<Timestamp> = None;
    while let Some(first) = timestamps.get(begin) {
        // Mostly the bucket that follows, which needs no division.
        let follows = next.filter(|next| first >= next && first.nanos_since(*next) < width);
        let start = follows.unwrap_or_else(|| first.floor(granularity));
        next = start.as_nanos().checked_add(width).map(Timestamp::from_nanos);
        let inside = |timestamp: &&Timestamp| timestamp.nanos_since(start) < width;
        let end = begin + 1 + timestamps[begin + 1..].iter().take_while(inside).count();
        let bucket = &values[begin..end];
        if let ([value], false) = (bucket, differs) {
            // What polling makes of the finest granularity: every statistic is known without computing.
            out.push_row(start, |method| of_one(method.stat, *value));
            begin = end;
            continue;
        }
        plain.reset();
        if differs {
            rate.reset();
            differences.clear();
            differences.extend(bucket.iter().filter_map(|value| {
                let difference = previous.map(|previous| value - previous);
                previous = Some(*value);
                difference
            }));
        }
        out.push_row(start, |method| {
            if method.rate { rate.of(method.stat, &differences) } else { plain.of(method.stat, bucket) }
        });
        begin = end;
    }
}

/// One statistic of one value, as [`Summary::of`] gives it.
#[inline]
fn of_one(stat: Stat, value: f64) -> Option<f64> {
    match stat {
        Stat::Count => Some(1.0),
        Stat::Std => None,
        // Sums begin with zero, which has a sign of its own.
        Stat::Mean | Stat::Sum => Some(0.0 + value),
        _ => Some(value),
    }
}

/// Statistics of one slice of values; what several of them need is computed once.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    sum: Option<f64>,
    sorted: Vec<f64>,
}

impl Summary {
    /// Prepares for another slice.
    pub(crate) fn reset(&mut self) {
        self.sum = None;
        self.sorted.clear();
    }

    /// One statistic of `values`, the same slice at each call since [`reset`](Self::reset). None where there is no
    /// value, or one value and its deviation is asked for.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn of(&mut self, stat: Stat, values: &[f64]) -> Option<f64> {
        let (first, last) = (*values.first()?, *values.last()?);
        let count = values.len() as f64;
        Some(match stat {
            Stat::Count => count,
            Stat::First => first,
            Stat::Last => last,
            Stat::Sum => self.sum(values),
            Stat::Mean => self.sum(values) / count,
            Stat::Min => smallest(values)?,
            Stat::Max => largest(values)?,
            Stat::Std if values.len() < 2 => return None,
            Stat::Std => {
                let mean = self.sum(values) / count;
                let squares = values.iter().fold(0.0, |sum, value| sum + (value - mean) * (value - mean));
                (squares / (count - 1.0)).sqrt()
            }
            Stat::Median => median(self.sorted(values))?,
            Stat::Percentile(rank) => percentile(self.sorted(values), rank)?,
        })
    }

    fn sum(&mut self, values: &[f64]) -> f64 {
        *self.sum.get_or_insert_with(|| values.iter().fold(0.0, |sum, value| sum + value))
    }

    fn sorted(&mut self, values: &[f64]) -> &[f64] {
        if self.sorted.is_empty() {
            self.sorted.extend_from_slice(values);
            self.sorted.sort_unstable_by(nan_last);
        }
        &self.sorted
    }
}

/// NaN only if there is nothing else.
fn smallest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|least, value| if value < least || least.is_nan() { value } else { least })
}

/// NaN if there is one.
fn largest(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(|most, value| if value <= most || most.is_nan() { most } else { value })
}

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some((lower + upper) / 2.0)
}

/// Linear interpolation at rank (n−1)·(N/100). Clients compare the result exactly, so the order of the
/// operations is part of the contract.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn percentile(sorted: &[f64], rank: u8) -> Option<f64> {
    let position = (sorted.len().checked_sub(1)? as f64) * (f64::from(rank) / 100.0);
    let (below, above) = (position.floor(), position.ceil());
    let low = *sorted.get(below as usize)?;
    if below == above {
        return Some(low);
    }
    let high = *sorted.get(above as usize)?;
    Some(low * (above - position) + high * (position - below))
}

#[cfg(test)]
mod tests;

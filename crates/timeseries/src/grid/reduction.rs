//! Many values into one, NaN ignored, with the order of additions that clients' numbers come from: across series one
//! after the other; along a series in pairs of halves.

use std::str::FromStr;

/// How values become one. Deviation and variance are those of the whole, not of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Sum divided by count.
    Mean,
    /// Middle value.
    Median,
    /// Square root of the variance.
    Std,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum; 0 of nothing.
    Sum,
    /// Mean square of the distances from the mean.
    Var,
    /// Number of values.
    Count,
}

/// A reduction, or (`rate:…`) the differences of its results to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Across {
    /// Whether differences are wanted.
    pub rate: bool,
    /// The reduction.
    pub reduction: Reduction,
}

/// A name that is no reduction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown reduction {0:?}")]
pub struct UnknownReduction(pub String);

impl FromStr for Across {
    type Err = UnknownReduction;

    fn from_str(text: &str) -> Result<Self, UnknownReduction> {
        let (rate, name) = match text.strip_prefix("rate:") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let reduction = match name {
            "mean" => Reduction::Mean,
            "median" => Reduction::Median,
            "std" => Reduction::Std,
            "min" => Reduction::Min,
            "max" => Reduction::Max,
            "sum" => Reduction::Sum,
            "var" => Reduction::Var,
            "count" => Reduction::Count,
            _ => return Err(UnknownReduction(text.to_owned())),
        };
        Ok(Self { rate, reduction })
    }
}

/// The value, or 0 for NaN.
pub(super) fn or_zero(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

pub(super) fn one_if_value(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { 1.0 }
}

pub(super) fn lesser(a: f64, b: f64) -> f64 {
    if a <= b || b.is_nan() { a } else { b }
}

pub(super) fn greater(a: f64, b: f64) -> f64 {
    if a >= b || b.is_nan() { a } else { b }
}

impl Reduction {
    /// For each of `rows` rows, what the columns have there. Every column has `rows` values.
    pub(super) fn of_columns(self, columns: &[&[f64]], rows: usize) -> Vec<f64> {
        // A single row lies in memory like a series, and is added up like one.
        if rows == 1 || self == Self::Median {
            let (mut row, mut scratch) = (Vec::with_capacity(columns.len()), Vec::new());
            let mut reduced = |at: usize| {
                row.clear();
                row.extend(columns.iter().filter_map(|column| column.get(at)));
                self.of_row(&row, &mut scratch)
            };
            return (0..rows).map(&mut reduced).collect();
        }
        match self {
            Self::Min => extreme(columns, rows, lesser),
            Self::Max => extreme(columns, rows, greater),
            Self::Sum => accumulated(columns, rows, or_zero),
            Self::Count => accumulated(columns, rows, one_if_value),
            Self::Mean => means(columns, rows).0,
            Self::Var | Self::Std | Self::Median => {
                let (means, counts) = means(columns, rows);
                let mut sums = vec![0.0; rows];
                for column in columns {
                    for ((sum, value), mean) in sums.iter_mut().zip(*column).zip(&means) {
                        let distance = if value.is_nan() { 0.0 } else { value - mean };
                        *sum += distance * distance;
                    }
                }
                let variances = sums.iter().zip(&counts).map(|(sum, count)| sum / count);
                if self == Self::Std { variances.map(f64::sqrt).collect() } else { variances.collect() }
            }
        }
    }

    /// Of some values in a row; `scratch` saves allocations.
    pub(super) fn of_row(self, values: &[f64], scratch: &mut Vec<f64>) -> f64 {
        let mut changed = |change: &dyn Fn(f64) -> f64| {
            scratch.clear();
            scratch.extend(values.iter().map(|value| change(*value)));
            pairwise_sum(scratch)
        };
        match self {
            Self::Sum => changed(&or_zero),
            Self::Count => values.iter().copied().map(one_if_value).sum(),
            Self::Min => values.iter().copied().reduce(lesser).unwrap_or(f64::NAN),
            Self::Max => values.iter().copied().reduce(greater).unwrap_or(f64::NAN),
            Self::Mean => changed(&or_zero) / values.iter().copied().map(one_if_value).sum::<f64>(),
            Self::Var | Self::Std => {
                let count = values.iter().copied().map(one_if_value).sum::<f64>();
                let mean = changed(&or_zero) / count;
                let square = |value: f64| {
                    let distance = if value.is_nan() { 0.0 } else { value - mean };
                    distance * distance
                };
                let variance = changed(&square) / count;
                if self == Self::Std { variance.sqrt() } else { variance }
            }
            Self::Median => {
                scratch.clear();
                scratch.extend(values.iter().filter(|value| !value.is_nan()));
                median(scratch)
            }
        }
    }
}

fn extreme(columns: &[&[f64]], rows: usize, better: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut best = vec![f64::NAN; rows];
    for (at, column) in columns.iter().enumerate() {
        for (best, value) in best.iter_mut().zip(*column) {
            *best = if at == 0 { *value } else { better(*best, *value) };
        }
    }
    best
}

fn accumulated(columns: &[&[f64]], rows: usize, change: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; rows];
    for column in columns {
        for (sum, value) in sums.iter_mut().zip(*column) {
            *sum += change(*value);
        }
    }
    sums
}

/// Mean and count of each row.
fn means(columns: &[&[f64]], rows: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut sums, mut counts) = (vec![0.0; rows], vec![0.0; rows]);
    let mut complete = 0.0;
    for column in columns {
        // Most columns have no NaN; telling so and adding up are both done several values at a time.
        if column.iter().fold(false, |any, value| any | value.is_nan()) {
            for ((sum, count), value) in sums.iter_mut().zip(&mut counts).zip(*column) {
                *sum += or_zero(*value);
                *count += one_if_value(*value);
            }
        } else {
            complete += 1.0;
            sums.iter_mut().zip(*column).for_each(|(sum, value)| *sum += value);
        }
    }
    for (sum, count) in sums.iter_mut().zip(&mut counts) {
        *count += complete;
        *sum /= *count;
    }
    (sums, counts)
}

fn median(values: &mut [f64]) -> f64 {
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    if values.is_empty() {
        return f64::NAN;
    }
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if odd {
        return upper;
    }
    let lower = below.iter().copied().reduce(f64::max).unwrap_or(upper);
    (lower + upper) / 2.0
}

/// The sum of values in halves, down to blocks of at most 128 that are added up in eight lanes.
fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() < 8 {
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    if values.len() > 128 {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let blocks = values.chunks_exact(8);
    let rest = blocks.remainder();
    let mut lanes = [0.0; 8];
    for (at, block) in blocks.enumerate() {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = if at == 0 { *value } else { *lane + value };
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(sum, |sum, value| sum + value)
}

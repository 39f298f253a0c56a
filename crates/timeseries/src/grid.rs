//! Several series on common timestamps, as columns: what operations across series work on (metrics-api §10).
//!
//! A cell without a point holds NaN. Columns are borrowed until an operation changes them.

mod counter;
mod fold;
mod rank;
mod reduction;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use nephos_model::{Granularity, Timestamp};

use crate::aggregate::Summary;
use crate::method::{AggregationMethod, Stat};

pub use fold::Fold;
pub use rank::{Ranking, UnknownRanking};
pub use reduction::{Across, Reduction, UnknownReduction};

/// Series of one granularity on common ascending timestamps.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid<'a> {
    granularity: Granularity,
    timestamps: Arc<Vec<Timestamp>>,
    /// One for each series, as long as `timestamps`.
    columns: Vec<Cow<'a, [f64]>>,
}

/// What stands in cells of a series that has no point there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// NaN.
    Null,
    /// This number.
    Value(f64),
    /// The value before it; none before the first.
    Forward,
    /// The value after it; none after the last.
    Backward,
    /// The value before it, and before the first the first.
    ForwardThenBackward,
    /// The value after it, and after the last the last.
    BackwardThenForward,
}

/// Why series do not go together. The texts are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum GridError {
    /// At no timestamp have all of them a value.
    #[error("No overlap")]
    NoOverlap,
    /// At too few timestamps have all of them a value.
    #[error("Less than {needed:.6}% of datapoints overlap in this timespan ({found:.2}%)")]
    LittleOverlap {
        /// How many there should be, in percent.
        needed: f64,
        /// How many there are, in percent.
        found: f64,
    },
    /// The window has more points than the series.
    #[error("Rolling window '{window}' is greater than serie length '{length}'")]
    WindowTooLong {
        /// Points of the window.
        window: usize,
        /// Points of the series.
        length: usize,
    },
    /// Timestamps or their distance differ.
    #[error("Can't compute timeseries with different granularity")]
    Mismatch,
    /// The numbers of series differ, and neither is one.
    #[error("Can't compute different numbers of timeseries: {left} <> {right}")]
    Widths {
        /// On one side.
        left: usize,
        /// On the other.
        right: usize,
    },
}

impl Grid<'static> {
    /// Puts series on the union of their timestamps, each ascending and as long as its values.
    pub fn align(granularity: Granularity, series: Vec<(Vec<Timestamp>, Vec<f64>)>, fill: Fill) -> Self {
        let timestamps = union(&series);
        let filler = if let Fill::Value(value) = fill { value } else { f64::NAN };
        let columns = series.into_iter().map(|(own, mut values)| {
            if own.len() == timestamps.len() {
                values.resize(timestamps.len(), filler);
                return Cow::Owned(values);
            }
            let mut column = vec![filler; timestamps.len()];
            fold::place(&own, &values, &timestamps, &mut column);
            Cow::Owned(column)
        });
        let mut grid = Self { granularity, columns: columns.collect(), timestamps: Arc::new(timestamps) };
        if !matches!(fill, Fill::Null | Fill::Value(_)) {
            grid.columns.iter_mut().for_each(|column| fill_gaps(column.to_mut(), fill));
        }
        grid
    }

    /// Refuses series that share too few timestamps, and cuts open ends.
    pub fn require_overlap(&mut self, overlap: Overlap) -> Result<(), GridError> {
        let complete =
            |row: usize| self.columns.iter().all(|column| column.get(row).is_some_and(|v| !v.is_nan()));
        let Range { start, end } = overlap.range((0..self.timestamps.len()).map(complete))?;
        let timestamps = Arc::make_mut(&mut self.timestamps);
        timestamps.truncate(end);
        timestamps.drain(..start);
        for column in &mut self.columns {
            let column = column.to_mut();
            column.truncate(end);
            column.drain(..start);
        }
        Ok(())
    }
}

/// How many timestamps series must share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Percent of the timestamps at which each series must have a value.
    pub needed: f64,
    /// Whether the series are cut to the first such timestamp before.
    pub open_start: bool,
    /// Whether they are cut to the last one.
    pub open_stop: bool,
}

impl Overlap {
    /// The rows that are left, of rows of which it is known whether each series has a value.
    fn range(self, complete: impl ExactSizeIterator<Item = bool>) -> Result<Range<usize>, GridError> {
        let Self { needed, open_start, open_stop } = self;
        let len = complete.len();
        let rows: Vec<usize> = (0..len).zip(complete).filter_map(|(row, all)| all.then_some(row)).collect();
        let (Some(first), Some(last)) = (rows.first().copied(), rows.last().copied()) else {
            return if needed > 0.0 { Err(GridError::NoOverlap) } else { Ok(0..len) };
        };
        let end = if open_stop { last + 1 } else { len };
        let begin = if open_start { first } else { 0 };
        #[allow(clippy::cast_precision_loss)]
        let found = rows.len() as f64 * 100.0 / (end - begin) as f64;
        if found < needed { Err(GridError::LittleOverlap { needed, found }) } else { Ok(begin..end) }
    }
}

/// Fills the NaN of a column from its neighbours, if it is to be filled so.
fn fill_gaps(column: &mut [f64], fill: Fill) {
    match fill {
        Fill::Null | Fill::Value(_) => {}
        Fill::Forward => carry(column.iter_mut()),
        Fill::Backward => carry(column.iter_mut().rev()),
        Fill::ForwardThenBackward => {
            carry(column.iter_mut());
            carry(column.iter_mut().rev());
        }
        Fill::BackwardThenForward => {
            carry(column.iter_mut().rev());
            carry(column.iter_mut());
        }
    }
}

/// A statistic of one group; the usual ones without a detour.
#[allow(clippy::cast_precision_loss)]
fn reduced(stat: Stat, values: &[f64], summary: &mut Summary) -> f64 {
    let sum = || values.iter().fold(0.0, |sum, value| sum + value);
    match stat {
        Stat::Sum => sum(),
        Stat::Mean => sum() / values.len() as f64,
        _ => {
            summary.reset();
            summary.of(stat, values).unwrap_or(f64::NAN)
        }
    }
}

/// The timestamps of all series, each once.
fn union(series: &[(Vec<Timestamp>, Vec<f64>)]) -> Vec<Timestamp> {
    let mut all = series.iter().map(|(own, _)| own).max_by_key(|own| own.len()).cloned().unwrap_or_default();
    for (own, _) in series {
        // Series of one granularity mostly have the very same timestamps, or some of them.
        if *own == all || is_part(own, &all) {
            continue;
        }
        let mut merged = Vec::with_capacity(all.len() + own.len());
        let (mut left, mut right) = (all.iter().peekable(), own.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (a, b) = (**a, **b);
            merged.push(a.min(b));
            if a <= b {
                left.next();
            }
            if b <= a {
                right.next();
            }
        }
        merged.extend(left);
        merged.extend(right);
        all = merged;
    }
    all
}

/// Whether all of one ascending list is in another.
fn is_part(part: &[Timestamp], whole: &[Timestamp]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|wanted| whole.any(|timestamp| timestamp == wanted))
}

/// Gives NaN the value that comes before it in the order of `cells`.
fn carry<'c>(cells: impl Iterator<Item = &'c mut f64>) {
    let mut last = f64::NAN;
    for cell in cells {
        if cell.is_nan() {
            *cell = last;
        } else {
            last = *cell;
        }
    }
}

impl<'a> Grid<'a> {
    /// Distance of the timestamps that points are said to have.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The timestamps of all rows.
    pub fn timestamps(&self) -> &[Timestamp] {
        &self.timestamps
    }

    /// The values of a series, one for each timestamp.
    pub fn column(&self, series: usize) -> &[f64] {
        self.columns.get(series).map(AsRef::as_ref).unwrap_or_default()
    }

    /// How many series there are.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// These series of it, in this order; ones that are not there are left out.
    pub fn select(&'a self, series: &[usize]) -> Self {
        let columns = series.iter().filter_map(|at| self.columns.get(*at));
        let columns = columns.map(|column| Cow::Borrowed(column.as_ref())).collect();
        Self { granularity: self.granularity, timestamps: Arc::clone(&self.timestamps), columns }
    }

    /// With nothing borrowed.
    pub fn into_owned(self) -> Grid<'static> {
        let columns = self.columns.into_iter().map(|column| Cow::Owned(column.into_owned())).collect();
        Grid { granularity: self.granularity, timestamps: self.timestamps, columns }
    }

    /// With every value changed.
    pub fn map(mut self, change: impl Fn(f64) -> f64) -> Self {
        for column in &mut self.columns {
            match column {
                Cow::Owned(values) => values.iter_mut().for_each(|value| *value = change(*value)),
                Cow::Borrowed(values) => *column = values.iter().map(|value| change(*value)).collect(),
            }
        }
        self
    }

    /// Value by value with another grid; one series goes with each of many. `Mismatch`, `Widths`.
    pub fn zip(self, other: Self, combine: impl Fn(f64, f64) -> f64) -> Result<Self, GridError> {
        if self.granularity != other.granularity || self.timestamps != other.timestamps {
            return Err(GridError::Mismatch);
        }
        let width = match (self.columns.len(), other.columns.len()) {
            (left, right) if left == right => left,
            (1, right) => right,
            (left, 1) => left,
            (left, right) => return Err(GridError::Widths { left, right }),
        };
        let side = |columns: &'_ [Cow<'a, [f64]>], at: usize| if columns.len() == 1 { 0 } else { at };
        let columns = (0..width).map(|at| {
            let left = self.column(side(&self.columns, at));
            let right = other.column(side(&other.columns, at));
            left.iter().zip(right).map(|(left, right)| combine(*left, *right)).collect()
        });
        Ok(Self {
            granularity: self.granularity,
            timestamps: Arc::clone(&self.timestamps),
            columns: columns.collect(),
        })
    }

    /// One series of what all have at each timestamp.
    pub fn aggregate(self, across: Across) -> Self {
        let columns: Vec<&[f64]> = self.columns.iter().map(AsRef::as_ref).collect();
        let values = across.reduction.of_columns(&columns, self.timestamps.len());
        let (granularity, timestamps) = (self.granularity, Arc::clone(&self.timestamps));
        let grid = Grid { granularity, timestamps, columns: vec![Cow::Owned(values)] };
        if across.rate { grid.differences() } else { grid }
    }

    /// Each series over `window` consecutive points. `WindowTooLong`.
    pub fn rolling(self, across: Across, window: usize) -> Result<Self, GridError> {
        let length = self.timestamps.len();
        if window > length || window == 0 {
            return Err(GridError::WindowTooLong { window, length });
        }
        let mut scratch = Vec::with_capacity(window);
        let columns = self.columns.iter().map(|column| {
            let windows = column.windows(window);
            windows.map(|values| across.reduction.of_row(values, &mut scratch)).collect()
        });
        let columns = columns.collect();
        let timestamps = self.timestamps.get(window - 1..).unwrap_or_default().to_vec();
        let grid = Self { granularity: self.granularity, timestamps: Arc::new(timestamps), columns };
        Ok(if across.rate { grid.differences() } else { grid })
    }

    /// Each series regrouped by a step. A group in which a series lacks a value has none either where the statistic does
    /// not ignore NaN.
    pub fn resample(self, method: AggregationMethod, step: Granularity) -> Self {
        let grid = if method.rate { self.differences() } else { self };
        let mut starts: Vec<Timestamp> = Vec::new();
        let mut groups = Vec::new();
        let mut begin = 0;
        while let Some(first) = grid.timestamps.get(begin) {
            let start = first.floor(step);
            let inside = |at: &&Timestamp| at.floor(step) == start;
            let end = begin + grid.timestamps[begin..].iter().take_while(inside).count();
            // The deviation of a single value is none.
            if end - begin > 1 || method.stat != Stat::Std {
                starts.push(start);
                groups.push(begin..end);
            }
            begin = end;
        }
        let mut summary = Summary::default();
        let columns = grid.columns.iter().map(|column| {
            let group = |group: &Range<usize>| {
                let values = column.get(group.clone()).unwrap_or_default();
                reduced(method.stat, values, &mut summary)
            };
            groups.iter().map(group).collect()
        });
        Self { granularity: step, columns: columns.collect(), timestamps: Arc::new(starts) }
    }

    /// Differences to the previous timestamp; the first has none.
    pub fn differences(mut self) -> Self {
        for column in &mut self.columns {
            let differences = column.iter().zip(column.iter().skip(1)).map(|(before, after)| after - before);
            *column = differences.collect();
        }
        self.timestamps = Arc::new(self.timestamps.get(1..).unwrap_or_default().to_vec());
        self
    }

    /// Differences to the previous timestamp by the seconds between them; NaN at the first.
    pub fn differences_by_second(mut self) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let seconds = |pair: &[Timestamp]| match pair {
            [before, after] => after.nanos_since(*before) as f64 / 1e9,
            _ => f64::NAN,
        };
        let seconds: Vec<f64> = self.timestamps.windows(2).map(seconds).collect();
        for column in &mut self.columns {
            let pairs = column.iter().zip(column.iter().skip(1)).zip(&seconds);
            let rates = pairs.map(|((before, after), seconds)| (after - before) / seconds);
            let first = (!column.is_empty()).then_some(f64::NAN);
            *column = first.into_iter().chain(rates).collect();
        }
        self
    }
}

#[cfg(test)]
mod tests;

//! Aggregates across series that come one after the other, of which none is kept: what [`Grid::align`] and
//! [`Grid::aggregate`] give of all of them, to the last bit.
//!
//! A timestamp that only a later series has is a new row of all that came before: what these come to there follows
//! from how their gaps are filled. It is what they came to at the row that the filling takes their values from, or,
//! where there is none, at a row that none of them has.

use std::borrow::Cow;
use std::sync::Arc;

use nephos_model::{Granularity, Timestamp};

use super::reduction::{greater, lesser, one_if_value, or_zero};
use super::{Fill, Grid, GridError, Overlap, Reduction, fill_gaps, is_part};

/// Fewer values than this are added up in the same order whether they are rows or a row.
const FEW: usize = 8;

/// Some aggregates of series on the union of their timestamps.
#[derive(Clone, Debug)]
pub struct Fold {
    fill: Fill,
    timestamps: Vec<Timestamp>,
    aggregates: Vec<Aggregate>,
    /// How many series have a value, and how many there are.
    present: Lane,
    width: usize,
    scratch: Scratch,
}

#[derive(Clone, Debug, Default)]
struct Scratch {
    column: Vec<f64>,
    merged: Vec<Timestamp>,
    /// For each row of the union the row it had before.
    from: Vec<Option<usize>>,
    rows: Vec<f64>,
}

#[derive(Clone, Debug)]
struct Aggregate {
    reduction: Reduction,
    width: usize,
    value: Lane,
    /// Of means.
    count: Option<Lane>,
}

/// One number for each row.
#[derive(Clone, Debug)]
struct Lane {
    kind: Kind,
    rows: Vec<f64>,
    /// What a row would have that no series has.
    absent: f64,
    /// What is to be added to every row, and to `absent`.
    all: f64,
    is_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Count,
    Min,
    Max,
}

impl Lane {
    fn new(kind: Kind) -> Self {
        let absent = if matches!(kind, Kind::Min | Kind::Max) { f64::NAN } else { 0.0 };
        Self { kind, rows: Vec::new(), absent, all: 0.0, is_first: true }
    }

    /// Takes a series: its value at each row, and what it would have at any other; `whole` says that none is NaN.
    fn add(&mut self, column: &[f64], filler: f64, whole: bool) {
        let rows = self.rows.iter_mut().zip(column);
        match self.kind {
            Kind::Sum if whole => rows.for_each(|(sum, value)| *sum += value),
            Kind::Sum => rows.for_each(|(sum, value)| *sum += or_zero(*value)),
            Kind::Count if whole => {
                self.all += 1.0;
                self.absent -= 1.0;
            }
            Kind::Count => rows.for_each(|(count, value)| *count += one_if_value(*value)),
            Kind::Min | Kind::Max if self.is_first => rows.for_each(|(best, value)| *best = *value),
            Kind::Min => rows.for_each(|(best, value)| *best = lesser(*best, *value)),
            Kind::Max => rows.for_each(|(best, value)| *best = greater(*best, *value)),
        }
        self.absent = match self.kind {
            Kind::Sum => self.absent + or_zero(filler),
            Kind::Count => self.absent + one_if_value(filler),
            Kind::Min | Kind::Max if self.is_first => filler,
            Kind::Min => lesser(self.absent, filler),
            Kind::Max => greater(self.absent, filler),
        };
        self.is_first = false;
    }

    /// Gets the rows of a larger union, each from the row it was or is filled from.
    fn spread(&mut self, from: &[Option<usize>], memory: &mut Vec<f64>) {
        memory.clear();
        let row = |from: &Option<usize>| from.and_then(|row| self.rows.get(row).copied());
        memory.extend(from.iter().map(|from| row(from).unwrap_or(self.absent)));
        std::mem::swap(&mut self.rows, memory);
    }

    fn finish(mut self) -> Vec<f64> {
        if self.kind == Kind::Count {
            self.rows.iter_mut().for_each(|count| *count += self.all);
        }
        self.rows
    }
}

impl Aggregate {
    fn new(reduction: Reduction) -> Option<Self> {
        let kind = match reduction {
            Reduction::Mean | Reduction::Sum => Kind::Sum,
            Reduction::Count => Kind::Count,
            Reduction::Min => Kind::Min,
            Reduction::Max => Kind::Max,
            Reduction::Median | Reduction::Std | Reduction::Var => return None,
        };
        let count = (reduction == Reduction::Mean).then(|| Lane::new(Kind::Count));
        Some(Self { reduction, width: 0, value: Lane::new(kind), count })
    }

    fn lanes(&mut self) -> impl Iterator<Item = &mut Lane> {
        [&mut self.value].into_iter().chain(self.count.as_mut())
    }

    /// Whether a single row comes to the same, though that is added up as a series is.
    fn suits_a_single_row(&self) -> bool {
        matches!(self.reduction, Reduction::Min | Reduction::Max) || (1..FEW).contains(&self.width)
    }

    fn finish(self) -> Vec<f64> {
        let mut values = self.value.finish();
        if let Some(counts) = self.count {
            values.iter_mut().zip(counts.finish()).for_each(|(sum, count)| *sum /= count);
        }
        values
    }
}

impl Fold {
    /// Nothing yet, to become these aggregates. `None` if one of them needs all values at once.
    pub fn new(reductions: &[Reduction], fill: Fill) -> Option<Self> {
        let aggregates = reductions.iter().map(|reduction| Aggregate::new(*reduction));
        Some(Self {
            fill,
            timestamps: Vec::new(),
            aggregates: aggregates.collect::<Option<_>>()?,
            present: Lane::new(Kind::Count),
            width: 0,
            scratch: Scratch::default(),
        })
    }

    /// Takes a series, ascending in time; `counts` says of which of the aggregates it is a part. The others have its
    /// timestamps as well.
    pub fn add(&mut self, timestamps: &[Timestamp], values: &[f64], counts: impl Fn(usize) -> bool) {
        if !are_same(timestamps, &self.timestamps) && !is_part(timestamps, &self.timestamps) {
            self.join(timestamps);
        }
        let filler = if let Fill::Value(value) = self.fill { value } else { f64::NAN };
        let is_nan = |values: &[f64]| values.iter().fold(false, |any, value| any | value.is_nan());
        // Most series have the very same timestamps, and a value at each.
        let mut whole = timestamps.len() == self.timestamps.len() && !is_nan(values);
        let mut column = values;
        if !whole {
            self.scratch.column.clear();
            self.scratch.column.resize(self.timestamps.len(), filler);
            place(timestamps, values, &self.timestamps, &mut self.scratch.column);
            fill_gaps(&mut self.scratch.column, self.fill);
            column = &self.scratch.column;
            whole = !is_nan(column);
        }
        self.present.add(column, filler, whole);
        self.width += 1;
        for (_, aggregate) in self.aggregates.iter_mut().enumerate().filter(|(at, _)| counts(*at)) {
            aggregate.width += 1;
            aggregate.lanes().for_each(|lane| lane.add(column, filler, whole));
        }
    }

    /// Makes room for the timestamps of a series.
    fn join(&mut self, own: &[Timestamp]) {
        let Scratch { merged, from, rows, .. } = &mut self.scratch;
        merged.clear();
        from.clear();
        let (mut known, mut new) = (self.timestamps.iter().peekable(), own.iter().peekable());
        let mut row = 0;
        while let Some(at) = known.peek().into_iter().chain(new.peek()).map(|at| **at).min() {
            new.next_if(|own| **own == at);
            merged.push(at);
            let was = known.next_if(|known| **known == at);
            from.push(match was {
                Some(_) => Some(row),
                None => self.fill.neighbour(row, self.timestamps.len()),
            });
            row += usize::from(was.is_some());
        }
        if merged.len() > self.timestamps.len() {
            std::mem::swap(&mut self.timestamps, merged);
            let lanes = self.aggregates.iter_mut().flat_map(Aggregate::lanes).chain([&mut self.present]);
            lanes.for_each(|lane| lane.spread(from, rows));
        }
    }

    /// Number of timestamps so far.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether no series had a point.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The aggregates, one series each, and how many series were aggregated; with `overlap` as
    /// [`Grid::require_overlap`] cuts them. `None` if all values are needed to add them up in the same order, which is
    /// so of a single timestamp. Its errors.
    pub fn finish(
        self,
        granularity: Granularity,
        overlap: Option<Overlap>,
    ) -> Result<Option<(Grid<'static>, Vec<usize>)>, GridError> {
        let mut timestamps = self.timestamps;
        let mut kept = 0..timestamps.len();
        if let Some(overlap) = overlap {
            #[allow(clippy::cast_precision_loss)]
            let width = self.width as f64;
            let complete = self.present.finish().into_iter().map(|count| count >= width);
            kept = overlap.range(complete)?;
        }
        if kept.len() == 1 && !self.aggregates.iter().all(Aggregate::suits_a_single_row) {
            return Ok(None);
        }
        let widths = self.aggregates.iter().map(|aggregate| aggregate.width).collect();
        let columns = self.aggregates.into_iter().map(|aggregate| {
            let mut column = aggregate.finish();
            column.truncate(kept.end);
            column.drain(..kept.start);
            Cow::Owned(column)
        });
        let columns = columns.collect();
        timestamps.truncate(kept.end);
        timestamps.drain(..kept.start);
        Ok(Some((Grid { granularity, timestamps: Arc::new(timestamps), columns }, widths)))
    }
}

impl Fill {
    /// The row, of so many, that fills a new one in front of row `next`.
    fn neighbour(self, next: usize, rows: usize) -> Option<usize> {
        let (before, after) = (next.checked_sub(1), (next < rows).then_some(next));
        match self {
            Self::Null | Self::Value(_) => None,
            Self::Forward => before,
            Self::Backward => after,
            Self::ForwardThenBackward => before.or(after),
            Self::BackwardThenForward => after.or(before),
        }
    }
}

/// Whether two slices are equal, which most are: without a look at each before the next.
fn are_same(one: &[Timestamp], other: &[Timestamp]) -> bool {
    let differing = |(one, other): (&Timestamp, &Timestamp)| one.as_nanos() ^ other.as_nanos();
    one.len() == other.len() && one.iter().zip(other).map(differing).fold(0, |any, bits| any | bits) == 0
}

/// Puts values where their timestamps are among `all`, which has them.
pub(super) fn place(own: &[Timestamp], values: &[f64], all: &[Timestamp], column: &mut [f64]) {
    let mut row = 0;
    for (timestamp, value) in own.iter().zip(values) {
        while all.get(row).is_some_and(|at| at < timestamp) {
            row += 1;
        }
        if let Some(cell) = column.get_mut(row) {
            *cell = *value;
        }
    }
}

//! Operations on the series of many metrics (metrics-api §10, §11): one function of what was read, so that it can be
//! called where the series lie and only the result travels.
//!
//! Series of one result that lie with several owners are aggregated at each of them as far as the order of additions
//! allows, and what comes of it is put together (`Part`, `combine`).

mod folded;
mod shared;

use std::collections::HashMap;
use std::sync::Arc;

use nephos_lang::arithmetic::BinaryOperator;
use nephos_lang::operations::{Operation, Reference};
use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{Across, Fill, Grid, GridError, Overlap, Reduction};

use crate::contract::{Series, SeriesRequest, StoreError};

pub(crate) use folded::Folding;
pub(crate) use shared::{Part, combine, divide};

/// Values that one request may look at; rolling windows look at each value many times.
const MAX_WORK: usize = 1 << 28;
/// Points from which on they are computed on a thread that may take its time.
const MANY_POINTS: usize = 50_000;

/// What becomes of timestamps at which a series has no point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filling {
    /// The cell is filled so; `dropping` leaves out results that are no finite number.
    Fill {
        /// How.
        fill: Fill,
        /// Whether results that are no finite number are left out.
        dropping: bool,
    },
    /// So many percent of the timestamps must have points of all series.
    Overlap(f64),
}

/// What is computed from some series.
#[derive(Clone, Debug)]
pub struct Computation {
    /// The series: at least one, all of the same granularities, which are named, and the same window.
    pub requests: Vec<SeriesRequest>,
    /// What becomes of them.
    pub work: Work,
}

/// What becomes of series.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// They are put on common timestamps and computed with.
    Operations {
        /// What is computed.
        operations: Arc<Operation>,
        /// For each reference of the operations, in their order, the places of the series that it means.
        selection: Vec<Vec<u32>>,
        /// What becomes of missing points.
        filling: Filling,
    },
    /// Their share of an aggregate: for each timestamp what they come to, and how many they are.
    Share(Reduction),
}

/// What came of a [`Computation`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Computed {
    /// One for each granularity, coarsest first.
    pub grids: Vec<Grid<'static>>,
    /// Whether the result is one series, the first of each grid, instead of one for each that was read.
    pub aggregated: bool,
    /// For each grid the places of those of which its series are, if it has not all of them.
    pub chosen: Vec<Option<Vec<usize>>>,
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The series do not go together; the text is the API's.
    #[error("{0}")]
    Unaggregable(String),
    /// It would take too long.
    #[error("The operations would look at more than {MAX_WORK} values")]
    TooMuch,
    /// There is no series in it.
    #[error("The operations give no series")]
    Malformed,
}

impl From<GridError> for Refusal {
    fn from(error: GridError) -> Self {
        Self::Unaggregable(error.to_string())
    }
}

impl Computation {
    /// Granularities that are read, coarsest first, each once.
    pub(crate) fn granularities(&self) -> Vec<Granularity> {
        let named = self.requests.first().map(|request| request.granularities.as_slice());
        let mut granularities = named.unwrap_or_default().to_vec();
        granularities.sort_unstable_by(|a, b| b.cmp(a));
        granularities.dedup();
        granularities
    }

    /// So many percent of the timestamps must have points of all series; where the window has no end, the series are cut.
    fn overlap(&self, needed: f64) -> Overlap {
        let window = self.requests.first();
        let is_open = |end: fn(&SeriesRequest) -> Option<Timestamp>| window.and_then(end).is_none();
        Overlap {
            needed,
            open_start: is_open(|request| request.start),
            open_stop: is_open(|request| request.stop),
        }
    }
}

/// Computes each from as many series as it asks for, which come one computation after the other.
pub(crate) async fn evaluate_all(
    computations: Vec<Computation>,
    series: Vec<Series>,
) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
    let lists = series.iter().flat_map(|series| &series.granularities);
    let points: usize = lists.map(|points| points.timestamps.len()).sum();
    let work = move || {
        let mut series = series.into_iter();
        let mut own = |computation: &Computation| series.by_ref().take(computation.requests.len()).collect();
        computations.iter().map(|computation| evaluate(computation, own(computation))).collect()
    };
    if points < MANY_POINTS {
        return Ok(work());
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            // It costs this request only, as any panic does.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Closed),
        },
    }
}

/// What an operation gives.
enum Value<'g> {
    Number(f64),
    Series(Grid<'g>, Kind),
}

/// Whether series are those that were read, some of them, or one.
#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Each,
    /// Those at these places, in their order.
    Some(Vec<usize>),
    Aggregated,
}

/// Computes from the series that were asked for.
pub(crate) fn evaluate(computation: &Computation, series: Vec<Series>) -> Result<Computed, Refusal> {
    let (operations, selection, filling) = match &computation.work {
        Work::Operations { operations, selection, filling } => (operations, selection, *filling),
        Work::Share(reduction) => return Ok(shared::share(computation, *reduction, series)),
    };
    let selection = operations.references().into_iter().zip(selection).collect();
    let mut evaluator = Evaluator { source: Source::Series(selection), work: 0 };
    let mut computed = Computed::default();
    for (granularity, series) in by_granularity(computation, series) {
        evaluator.take(operations, align(computation, filling, granularity, series)?, &mut computed)?;
    }
    Ok(computed)
}

/// Points of one series.
type Points = (Vec<Timestamp>, Vec<f64>);

/// The series of each granularity, coarsest first.
fn by_granularity(computation: &Computation, series: Vec<Series>) -> Vec<(Granularity, Vec<Points>)> {
    let (granularities, width) = (computation.granularities(), series.len());
    let mut sorted: Vec<(Granularity, Vec<Points>)> =
        granularities.into_iter().map(|granularity| (granularity, Vec::with_capacity(width))).collect();
    for series in series {
        let mut parts = series.granularities.into_iter().peekable();
        for (granularity, columns) in &mut sorted {
            // The store answers in the same order, and leaves nothing out.
            let part = parts.next_if(|part| part.granularity == *granularity);
            columns.push(part.map(|part| (part.timestamps, part.values)).unwrap_or_default());
        }
    }
    sorted
}

fn align(
    computation: &Computation,
    filling: Filling,
    granularity: Granularity,
    series: Vec<Points>,
) -> Result<Grid<'static>, GridError> {
    match filling {
        Filling::Fill { fill, .. } => Ok(Grid::align(granularity, series, fill)),
        Filling::Overlap(needed) => {
            let mut grid = Grid::align(granularity, series, Fill::Null);
            grid.require_overlap(computation.overlap(needed))?;
            Ok(grid)
        }
    }
}

/// Where series come from.
enum Source<'o> {
    /// Of a grid of all, those that each reference means.
    Series(HashMap<&'o Reference, &'o Vec<u32>>),
    /// A grid of what these aggregates come to before differences are taken; of how many series each is.
    Aggregates(Vec<(&'o Operation, usize)>),
}

struct Evaluator<'o> {
    source: Source<'o>,
    work: usize,
}

impl Evaluator<'_> {
    /// Adds what the operations make of one granularity.
    fn take(
        &mut self,
        operations: &Operation,
        base: Grid<'static>,
        computed: &mut Computed,
    ) -> Result<(), Refusal> {
        let Value::Series(grid, kind) = self.evaluate(operations, &base)? else {
            return Err(Refusal::Malformed);
        };
        computed.aggregated = kind == Kind::Aggregated;
        computed.chosen.push(if let Kind::Some(places) = kind { Some(places) } else { None });
        computed.grids.push(grid.into_owned());
        Ok(())
    }

    fn spend(&mut self, values: usize) -> Result<(), Refusal> {
        self.work = self.work.saturating_add(values);
        if self.work > MAX_WORK { Err(Refusal::TooMuch) } else { Ok(()) }
    }

    fn evaluate<'g>(&mut self, operation: &Operation, base: &'g Grid<'static>) -> Result<Value<'g>, Refusal> {
        Ok(match operation {
            Operation::Number(number) => Value::Number(*number),
            Operation::Metric(references) => Value::Series(base.select(&self.meant(references)), Kind::Each),
            Operation::Aggregate { method, operand } => {
                let across: Across = known(method)?;
                let grid = match self.given(operation) {
                    Some((column, width)) => {
                        self.spend(width.saturating_mul(base.timestamps().len()))?;
                        let grid = base.select(&[column]);
                        if across.rate { grid.differences() } else { grid }
                    }
                    None => self.series(operand, base)?.0.aggregate(across),
                };
                Value::Series(grid, Kind::Aggregated)
            }
            Operation::Rolling { method, window, operand } => {
                let (grid, kind) = self.series(operand, base)?;
                self.spend(grid.width().saturating_mul(grid.timestamps().len()).saturating_mul(*window))?;
                Value::Series(grid.rolling(known(method)?, *window)?, kind)
            }
            Operation::Resample { method, step, operand } => {
                let (grid, kind) = self.series(operand, base)?;
                let step = Granularity::from_nanos(*step).ok_or(Refusal::Malformed)?;
                Value::Series(grid.resample(known(method)?, step), kind)
            }
            Operation::RateOfChange { per_second, operand } => {
                let (grid, kind) = self.series(operand, base)?;
                Value::Series(
                    if *per_second { grid.differences_by_second() } else { grid.differences() },
                    kind,
                )
            }
            Operation::Increase { per_second, operand } => {
                let (grid, kind) = self.series(operand, base)?;
                Value::Series(grid.increases(*per_second), kind)
            }
            Operation::Rank { smallest, count, method, operand } => {
                let (grid, kind) = self.series(operand, base)?;
                let ranked = grid.ranked(known(method)?, *count, *smallest);
                let kind = match kind {
                    // One series is the first and the last of all.
                    Kind::Aggregated => return Ok(Value::Series(grid, kind)),
                    Kind::Each => Kind::Some(ranked.clone()),
                    Kind::Some(before) => {
                        Kind::Some(ranked.iter().filter_map(|at| before.get(*at).copied()).collect())
                    }
                };
                Value::Series(grid.keep(&ranked), kind)
            }
            Operation::Unary(operator, operand) => match self.evaluate(operand, base)? {
                Value::Number(number) => Value::Number(operator.apply(number)),
                Value::Series(grid, kind) => Value::Series(grid.map(|value| operator.apply(value)), kind),
            },
            Operation::Binary(operator, sides) => {
                let [left, right] = sides.as_ref();
                self.binary(*operator, left, right, base)?
            }
        })
    }

    /// The column of an aggregate that was made already, and of how many series it is.
    fn given(&self, operation: &Operation) -> Option<(usize, usize)> {
        let Source::Aggregates(given) = &self.source else { return None };
        let mut given = given.iter().enumerate();
        given.find_map(|(at, (aggregate, width))| folded::is(aggregate, operation).then_some((at, *width)))
    }

    /// Places of the series that any of the references means, in their order.
    fn meant(&self, references: &[Reference]) -> Vec<usize> {
        let Source::Series(selection) = &self.source else { return Vec::new() };
        let places = references.iter().filter_map(|reference| selection.get(reference)).copied().flatten();
        let mut places: Vec<usize> = places.map(|place| *place as usize).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn series<'g>(
        &mut self,
        operand: &Operation,
        base: &'g Grid<'static>,
    ) -> Result<(Grid<'g>, Kind), Refusal> {
        match self.evaluate(operand, base)? {
            Value::Series(grid, kind) => {
                self.spend(grid.width().saturating_mul(grid.timestamps().len()))?;
                Ok((grid, kind))
            }
            Value::Number(_) => Err(Refusal::Malformed),
        }
    }

    fn binary<'g>(
        &mut self,
        operator: BinaryOperator,
        left: &Operation,
        right: &Operation,
        base: &'g Grid<'static>,
    ) -> Result<Value<'g>, Refusal> {
        let sides = (self.evaluate(left, base)?, self.evaluate(right, base)?);
        if let (Value::Series(grid, _), _) | (_, Value::Series(grid, _)) = &sides {
            self.spend(grid.width().saturating_mul(grid.timestamps().len()))?;
        }
        Ok(match sides {
            (Value::Number(left), Value::Number(right)) => Value::Number(operator.apply(left, right)),
            (Value::Series(grid, kind), Value::Number(right)) => {
                Value::Series(grid.map(|left| operator.apply(left, right)), kind)
            }
            (Value::Number(left), Value::Series(grid, kind)) => {
                Value::Series(grid.map(|right| operator.apply(left, right)), kind)
            }
            (Value::Series(a, _), Value::Series(b, _)) => {
                let zipped = a.zip(b, |left, right| operator.apply(left, right));
                let grid = zipped.map_err(|error| match error {
                    GridError::Mismatch => Refusal::Unaggregable(format!("{error} {left} <> {right}")),
                    other => other.into(),
                })?;
                Value::Series(grid, Kind::Aggregated)
            }
        })
    }
}

/// A method that the parser has let through.
fn known<T: std::str::FromStr>(method: &str) -> Result<T, Refusal> {
    method.parse().map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests;

//! Operations on what was read.

use std::collections::HashMap;

use nephos_lang::arithmetic::BinaryOperator;
use nephos_lang::operations::{Operation, Reference};
use nephos_metric_store::Series;
use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{Fill, Grid, GridError};

use super::plan::Plan;
use super::{Computed, Filling};
use crate::service::Problem;

/// Values that one request may look at; rolling windows look at each value many times.
const MAX_WORK: usize = 1 << 28;

/// What an operation gives.
enum Value<'g> {
    Number(f64),
    Series(Grid<'g>, Kind),
}

/// Whether series are those of the sources, some of them, or one.
#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Each,
    /// Those of these sources, in their order.
    Some(Vec<usize>),
    Aggregated,
}

/// Why there is no result.
enum Refusal {
    Grid(GridError),
    Sides(String),
    TooMuch,
    Malformed,
}

impl From<GridError> for Refusal {
    fn from(error: GridError) -> Self {
        Self::Grid(error)
    }
}

/// Computes a plan from the series of its sources.
pub fn evaluate(plan: Plan, series: Vec<Series>) -> Result<Computed, Problem> {
    let mut evaluator = Evaluator { selection: selection(&plan), work: 0 };
    let (mut aggregated, mut chosen, mut grids) = (false, Vec::new(), Vec::new());
    for (granularity, series) in by_granularity(&plan, series) {
        let base = align(&plan, granularity, series)?;
        let value = evaluator.evaluate(&plan.operations, &base);
        let value = value.map_err(|refusal| problem(&plan, refusal))?;
        let Value::Series(grid, kind) = value else { return Err(problem(&plan, Refusal::Malformed)) };
        aggregated = kind == Kind::Aggregated;
        chosen.push(if let Kind::Some(sources) = kind { Some(sources) } else { None });
        grids.push(grid.into_owned());
    }
    let dropping = matches!(plan.filling, Filling::Fill { dropping: true, .. });
    Ok(Computed { grids, aggregated, chosen, dropping, regroup: plan.regroup, sources: plan.sources })
}

/// Points of one series.
type Points = (Vec<Timestamp>, Vec<f64>);

/// The series of each granularity, coarsest first.
fn by_granularity(plan: &Plan, series: Vec<Series>) -> Vec<(Granularity, Vec<Points>)> {
    let mut granularities = plan.granularities.clone();
    granularities.sort_unstable_by(|a, b| b.cmp(a));
    granularities.dedup();
    let width = series.len();
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

fn align(plan: &Plan, granularity: Granularity, series: Vec<Points>) -> Result<Grid<'static>, Problem> {
    match plan.filling {
        Filling::Fill { fill, .. } => Ok(Grid::align(granularity, series, fill)),
        Filling::Overlap(needed) => {
            let mut grid = Grid::align(granularity, series, Fill::Null);
            let (start, stop) = (plan.window.start, plan.window.stop);
            let overlap = grid.require_overlap(needed, start.is_none(), stop.is_none());
            overlap.map_err(|error| plan.refuse(error.to_string()))?;
            Ok(grid)
        }
    }
}

/// Numbers of the sources that each reference means.
fn selection(plan: &Plan) -> HashMap<&Reference, Vec<usize>> {
    let mut selection: HashMap<&Reference, Vec<usize>> = HashMap::new();
    for (number, source) in plan.sources.iter().enumerate() {
        for reference in &source.references {
            selection.entry(reference).or_default().push(number);
        }
    }
    selection
}

struct Evaluator<'p> {
    selection: HashMap<&'p Reference, Vec<usize>>,
    work: usize,
}

impl Evaluator<'_> {
    fn spend(&mut self, values: usize) -> Result<(), Refusal> {
        self.work = self.work.saturating_add(values);
        if self.work > MAX_WORK { Err(Refusal::TooMuch) } else { Ok(()) }
    }

    fn evaluate<'g>(&mut self, operation: &Operation, base: &'g Grid<'static>) -> Result<Value<'g>, Refusal> {
        Ok(match operation {
            Operation::Number(number) => Value::Number(*number),
            Operation::Metric(references) => {
                let mut series: Vec<usize> = references
                    .iter()
                    .filter_map(|reference| self.selection.get(reference))
                    .flatten()
                    .copied()
                    .collect();
                series.sort_unstable();
                series.dedup();
                Value::Series(base.select(&series), Kind::Each)
            }
            Operation::Aggregate { method, operand } => {
                let (grid, _) = self.series(operand, base)?;
                Value::Series(grid.aggregate(known(method)?), Kind::Aggregated)
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
                    GridError::Mismatch => Refusal::Sides(format!("{error} {left} <> {right}")),
                    other => Refusal::Grid(other),
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

fn problem(plan: &Plan, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Grid(error) => plan.refuse(error.to_string()),
        Refusal::Sides(text) => plan.refuse(text),
        Refusal::TooMuch => Problem::Bad(format!("The operations would look at more than {MAX_WORK} values")),
        Refusal::Malformed => Problem::Bad("The operations give no series".to_owned()),
    }
}

#[cfg(test)]
mod tests;

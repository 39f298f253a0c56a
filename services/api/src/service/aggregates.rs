//! Operations on many series: what is read, how it is put together, what is computed (metrics-api §10, §11).
//!
//! A [`Plan`] says which series go into one result. The store computes all plans of a request by one call, next to where
//! the series lie.

pub mod across;
pub mod history;
pub mod plan;
pub mod question;
pub mod sources;

use std::sync::Arc;

pub use nephos_metric_store::Filling;
use nephos_metric_store::Resample;
use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::Grid;

pub use plan::{Plan, Source};

use super::Problem;
use crate::state::ApiState;

/// Series of one request; more would not fit the time that a request has.
pub const MAX_SERIES: usize = 20_000;

/// What of the series is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// First bucket, rounded down to each granularity.
    pub start: Option<Timestamp>,
    /// End, exclusive.
    pub stop: Option<Timestamp>,
    /// One granularity; otherwise all that the series have in common.
    pub granularity: Option<Granularity>,
}

/// What was computed for one plan.
#[derive(Debug)]
pub struct Computed {
    /// One for each granularity, coarsest first.
    pub grids: Vec<Grid<'static>>,
    /// Whether the result is one series, the first of each grid, instead of one for each source.
    pub aggregated: bool,
    /// For each grid the sources that its series are of, if it has not all of them.
    pub chosen: Vec<Option<Vec<usize>>>,
    /// Whether results that are no finite number are left out.
    pub dropping: bool,
    /// What timestamps stand for, if it is not the granularity of their grid.
    pub regroup: Option<Resample>,
    /// The series it was computed from.
    pub sources: Vec<Source>,
}

impl Computed {
    /// The numbers of the grids that have a series of this source, and its number there.
    pub fn of_source(&self, source: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.grids.len()).filter_map(move |grid| match self.chosen.get(grid) {
            Some(Some(chosen)) => Some((grid, chosen.iter().position(|of| *of == source)?)),
            _ => Some((grid, source)),
        })
    }

    /// How many points it has at most.
    pub fn size(&self) -> usize {
        self.grids.iter().map(|grid| grid.timestamps().len() * grid.width()).sum()
    }

    /// Whether a source was chosen by none of the grids.
    pub fn leaves_out(&self, source: usize) -> bool {
        self.chosen.iter().any(Option::is_some) && self.of_source(source).next().is_none()
    }

    /// The points of a series, without those that are left out.
    pub fn points<'c>(
        &'c self,
        grid: &'c Grid<'static>,
        series: usize,
    ) -> impl Iterator<Item = (Timestamp, f64)> + 'c {
        let points = grid.timestamps().iter().copied().zip(grid.column(series).iter().copied());
        points.filter(|(_, value)| !self.dropping || value.is_finite())
    }
}

/// Reads and computes, by one call of the store: one result for each plan, in their order.
pub async fn compute(state: &ApiState, plans: Vec<Plan>) -> Result<Vec<Computed>, Problem> {
    let width: usize = plans.iter().map(|plan| plan.sources.len()).sum();
    if width > MAX_SERIES {
        return Err(Problem::Bad(format!("The request is about {width} series, more than {MAX_SERIES}")));
    }
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes = state.store.compute(plans.iter().map(Plan::computation).collect()).await?;
    plans.into_iter().zip(outcomes).map(|(plan, outcome)| plan.end(outcome)).collect()
}

/// Operations shared by the plans of a request.
pub type Operations = Arc<nephos_lang::operations::Operation>;

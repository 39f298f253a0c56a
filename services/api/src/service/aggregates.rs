//! Operations on many series: what is read, how it is put together, what is computed (metrics-api §10, §11).
//!
//! A [`Plan`] says which series go into one result. All plans of a request are read by one query of the store and
//! computed away from the threads that serve requests if they are large.

pub mod across;
pub mod evaluate;
pub mod history;
pub mod plan;
pub mod question;
pub mod sources;

use std::sync::Arc;

use nephos_metric_store::{Resample, Series, StoreError};
use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{Fill, Grid};

pub use plan::{Plan, Source};

use super::Problem;
use crate::state::ApiState;

/// Series of one request; more would not fit the time that a request has.
pub const MAX_SERIES: usize = 20_000;

/// Points from which on they are computed on a thread that may take its time.
const MANY_POINTS: usize = 50_000;

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
    /// The grids that have a series of this source, and its number there.
    pub fn of_source(&self, source: usize) -> impl Iterator<Item = (&Grid<'static>, usize)> {
        self.grids.iter().enumerate().filter_map(move |(at, grid)| match self.chosen.get(at) {
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

/// Reads and computes: one result for each plan, in their order.
pub async fn compute(state: &ApiState, plans: Vec<Plan>) -> Result<Vec<Computed>, Problem> {
    let width: usize = plans.iter().map(|plan| plan.sources.len()).sum();
    if width > MAX_SERIES {
        return Err(Problem::Bad(format!("The request is about {width} series, more than {MAX_SERIES}")));
    }
    let mut requests = Vec::with_capacity(width);
    for plan in &plans {
        plan.requests(&mut requests);
    }
    let series = if requests.is_empty() { Vec::new() } else { state.store.query(requests).await? };
    let lists = series.iter().flat_map(|series| &series.granularities);
    let points: usize = lists.map(|points| points.timestamps.len()).sum();
    let work = move || evaluate_all(plans, series);
    if points < MANY_POINTS {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            // It costs this request only, as any panic does.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::Store(StoreError::Closed)),
        },
    }
}

fn evaluate_all(plans: Vec<Plan>, series: Vec<Series>) -> Result<Vec<Computed>, Problem> {
    let mut series = series.into_iter();
    let compute = |plan: Plan| {
        let own = series.by_ref().take(plan.sources.len()).collect();
        evaluate::evaluate(plan, own)
    };
    plans.into_iter().map(compute).collect()
}

/// Operations shared by the plans of a request.
pub type Operations = Arc<nephos_lang::operations::Operation>;

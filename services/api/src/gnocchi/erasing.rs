//! Erasing a range of time of a metric: what Gnocchi has no way to ask for.

use std::ops::Range;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as policy;
use nephos_model::{Metric, Timestamp};

use super::GnocchiRoutes;
use super::metrics::named;
use crate::failure::Failure;
use crate::http::{Args, Segments, reply};
use crate::routes::Doc;
use crate::service::{Problem, measures, metrics};
use crate::state::{ApiState, Who};

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id| {
        Doc::new(
            id,
            "measures",
            "Erases a range of time: every bucket that lies inside it, at each granularity",
        )
        .query(&[
            ("start", "Start of the range, inclusive; required"),
            ("stop", "Its end, exclusive; required"),
        ])
        .gives_nothing(204)
        .fails(&[400, 401, 403, 404, 413, 503])
    };
    routes.delete("/v1/metric/{id}/measures", erase, doc("eraseMeasures")).delete(
        "/v1/resource/{type}/{id}/metric/{name}/measures",
        erase_named,
        doc("eraseNamedMeasures"),
    )
}

/// Reads a range: its start, inclusive, and its end, exclusive.
pub fn range(args: &Args, now: Timestamp) -> Result<Range<Timestamp>, Problem> {
    let bound = |name: &'static str| {
        let missing = || Problem::argument(name, "A range needs both start and stop");
        args.timestamp(name, now)?.ok_or_else(missing)
    };
    let range = bound("start")?..bound("stop")?;
    if range.is_empty() { Err(Problem::argument("stop", "Must be after start")) } else { Ok(range) }
}

async fn take_out(
    state: &ApiState,
    caller: &Caller,
    metric: &Metric,
    args: &Args,
) -> Result<Response, Failure> {
    metrics::demand_on(state, policy::DELETE_METRIC, caller, metric).await?;
    let range = range(args, state.clock.now())?;
    measures::erase(state, metric.id, range.start, range.end).await?;
    Ok(reply::no_content())
}

async fn erase(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(id): Segments<String>,
    args: Args,
) -> Result<Response, Failure> {
    let metric = metrics::by_id(&state, &id).await?;
    take_out(&state, &caller, &metric, &args).await
}

async fn erase_named(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(path): Segments<(String, String, String)>,
    args: Args,
) -> Result<Response, Failure> {
    let metric = named(&state, &caller, &path).await?;
    take_out(&state, &caller, &metric, &args).await
}

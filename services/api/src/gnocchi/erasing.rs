//! Erasing a range of time of a metric: what Gnocchi has no way to ask for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as policy;
use nephos_model::Metric;

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

async fn take_out(
    state: &ApiState,
    caller: &Caller,
    metric: &Metric,
    args: &Args,
) -> Result<Response, Failure> {
    metrics::demand_on(state, policy::DELETE_METRIC, caller, metric).await?;
    let now = state.clock.now();
    let bound = |name: &'static str| {
        let missing = || Problem::argument(name, "A range needs both start and stop");
        args.timestamp(name, now)?.ok_or_else(missing)
    };
    let (start, stop) = (bound("start")?, bound("stop")?);
    if start >= stop {
        return Err(Problem::argument("stop", "Must be after start").into());
    }
    measures::erase(state, metric.id, start, stop).await?;
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

//! Giving a metric another archive policy: what Gnocchi has no way to ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as policy;
use nephos_model::{Granularity, Metric};
use nephos_timeseries::derivations;
use nephos_wire::gnocchi::{Field, Invalid};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::GnocchiRoutes;
use super::metrics::named;
use super::views::MetricView;
use crate::failure::Failure;
use crate::http::{Payload, Segments, reply};
use crate::routes::Doc;
use crate::service::metrics::{self, PolicyChanged};
use crate::state::{ApiState, Who};

/// Another policy for a metric.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct MetricChange {
    /// The policy it gets.
    archive_policy_name: String,
}

/// Methods of one granularity.
#[derive(Debug, Serialize, ToSchema)]
struct Aggregates {
    /// Width of the buckets in seconds.
    granularity: f64,
    /// The methods.
    aggregation_methods: Vec<String>,
}

/// A metric that got another policy, and what became of its aggregates.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedMetric<'a> {
    /// The metric.
    metric: MetricView<'a>,
    /// Aggregates that what was stored shows through the new policy, as far back as it reaches.
    backfilled: Vec<Aggregates>,
    /// Aggregates that begin with the change.
    empty: Vec<Aggregates>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id| {
        Doc::new(
            id,
            "metrics",
            "Gives a metric another archive policy, filled from what is stored where that suffices",
        )
        .body::<MetricChange>()
        .gives::<ChangedMetric<'static>>(200)
        .fails(&[400, 401, 403, 404, 413, 415, 503])
    };
    routes.patch("/v1/metric/{id}", change, doc("changeMetric")).patch(
        "/v1/resource/{type}/{id}/metric/{name}",
        change_named,
        doc("changeNamedMetric"),
    )
}

/// Reads a change: the name of the policy.
pub fn read(body: &Value) -> Result<String, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["archive_policy_name"])?;
    Ok(body.require("archive_policy_name")?.text()?.to_owned())
}

async fn adopt(
    state: &ApiState,
    caller: &Caller,
    metric: &Metric,
    payload: &Payload,
) -> Result<Response, Failure> {
    metrics::demand_on(state, policy::DELETE_METRIC, caller, metric).await?;
    let name = read(&payload.json().await?)?;
    let PolicyChanged { metric, before, after } = metrics::change_policy(state, metric, &name).await?;
    let (mut filled, mut empty) = (BTreeMap::new(), BTreeMap::new());
    for (width, method, way) in derivations(&before, &after) {
        let side: &mut BTreeMap<Granularity, Vec<String>> =
            if way.is_some() { &mut filled } else { &mut empty };
        side.entry(width).or_default().push(method.to_string());
    }
    let shown = |side: BTreeMap<Granularity, Vec<String>>| {
        let aggregates = side.into_iter().map(|(width, aggregation_methods)| Aggregates {
            granularity: width.as_secs_f64(),
            aggregation_methods,
        });
        aggregates.collect()
    };
    let (backfilled, empty) = (shown(filled), shown(empty));
    reply::ok(&ChangedMetric { metric: MetricView::from(&metric), backfilled, empty })
}

async fn change(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(id): Segments<String>,
    payload: Payload,
) -> Result<Response, Failure> {
    let metric = metrics::by_id(&state, &id).await?;
    adopt(&state, &caller, &metric, &payload).await
}

async fn change_named(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(path): Segments<(String, String, String)>,
    payload: Payload,
) -> Result<Response, Failure> {
    let metric = named(&state, &caller, &path).await?;
    adopt(&state, &caller, &metric, &payload).await
}

//! Version documents, capabilities and status.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::LOCATION;
use nephos_identity::Rule;
use nephos_timeseries::AggregationMethod;
use serde::Serialize;
use utoipa::ToSchema;

use super::GnocchiRoutes;
use crate::failure::Failure;
use crate::http::{Args, BaseUrl, reply};
use crate::routes::Doc;
use crate::service::problem::demand;
use crate::state::{ApiState, Who};

const TAG: &str = "service";

/// Sub-trees that `/v1/` links to, by name.
const TREES: [&str; 12] = [
    "aggregates",
    "aggregation",
    "archive_policy",
    "archive_policy_rule",
    "batch",
    "capabilities",
    "influxdb",
    "metric",
    "resource",
    "resource_type",
    "search",
    "status",
];

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    routes
        .get(
            "/",
            versions,
            Doc::new("getVersions", TAG, "Versions of the metrics API").gives::<Versions>(200),
        )
        .get("/v1", to_v1, Doc::new("redirectToV1", TAG, "Redirects to /v1/").gives_nothing(302))
        .get("/v1/", v1, Doc::new("getV1", TAG, "Parts of the metrics API").gives::<Version>(200))
        .get(
            "/v1/capabilities",
            capabilities,
            Doc::new("getCapabilities", TAG, "Every aggregation method")
                .gives::<Capabilities>(200)
                .fails(&[401]),
        )
        .get(
            "/v1/status",
            status,
            Doc::new("getStatus", TAG, "Figures of the metric store")
                .query(&[("details", "false leaves out measures_to_process")])
                .gives::<Status>(200)
                .fails(&[400, 401, 403, 503]),
        )
}

/// A link to something.
#[derive(Debug, Serialize, ToSchema)]
struct Link {
    /// What it is to this document.
    rel: String,
    /// Where it is.
    href: String,
}

/// Versions of the API.
#[derive(Debug, Serialize, ToSchema)]
struct Versions {
    /// The release of Gnocchi whose API this is.
    build: &'static str,
    /// Versions of the API.
    versions: Vec<VersionLink>,
}

/// One version of the API.
#[derive(Debug, Serialize, ToSchema)]
struct VersionLink {
    /// Its name.
    id: &'static str,
    /// Whether it is the one to use.
    status: &'static str,
    /// When it last changed.
    updated: &'static str,
    /// Where it is.
    links: Vec<Link>,
}

/// The parts of a version.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    /// Its number.
    version: &'static str,
    /// Its parts.
    links: Vec<Link>,
}

/// What this server can compute.
#[derive(Debug, Serialize, ToSchema)]
struct Capabilities {
    /// Names of the methods.
    aggregation_methods: Vec<String>,
}

/// State of the metric store.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    /// Accepted but not yet readable.
    storage: StorageStatus,
    /// Who works on it.
    metricd: WorkerStatus,
}

/// Measures that were accepted and cannot be read yet.
#[derive(Debug, Serialize, ToSchema)]
struct StorageStatus {
    /// Totals.
    summary: Backlog,
    /// Per metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    measures_to_process: Option<BTreeMap<String, u64>>,
}

/// Totals of what waits.
#[derive(Debug, Serialize, ToSchema)]
struct Backlog {
    /// Metrics that wait.
    metrics: u64,
    /// Measures that wait.
    measures: u64,
}

/// Who processes measures. Nephos has no processors apart: a measure can be read as soon as it was accepted.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerStatus {
    /// Names of processors.
    processors: Vec<String>,
    /// Figures by name.
    statistics: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

/// The release of Gnocchi whose API this is. Ceilometer refuses to write to a Gnocchi before 4.2.
const GNOCCHI: &str = "4.7.1";

async fn versions(base: BaseUrl) -> Result<Response, Failure> {
    let links = vec![Link { rel: "self".to_owned(), href: base.join("/v1/") }];
    let version = VersionLink { id: "v1.0", status: "CURRENT", updated: "2015-03-19", links };
    reply::ok(&Versions { build: GNOCCHI, versions: vec![version] })
}

async fn to_v1(base: BaseUrl) -> Response {
    let mut response = reply::with_header(Response::default(), LOCATION, &base.join("/v1/"));
    *response.status_mut() = StatusCode::FOUND;
    response
}

async fn v1(base: BaseUrl) -> Result<Response, Failure> {
    let link = |rel: &str, path: &str| Link { rel: rel.to_owned(), href: base.join(path) };
    let trees = TREES.iter().map(|tree| link(tree, &format!("/v1/{tree}")));
    let links = std::iter::once(link("self", "/v1")).chain(trees).collect();
    reply::ok(&Version { version: "1.0", links })
}

async fn capabilities(_: Who) -> Result<Response, Failure> {
    let methods = AggregationMethod::all().map(|method| method.to_string()).collect();
    reply::ok(&Capabilities { aggregation_methods: methods })
}

async fn status(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
) -> Result<Response, Failure> {
    demand(Rule::GetStatus, &caller, &Default::default())?;
    let details = args.flag_or("details", true)?;
    let figures = state.store.statistics().await?;
    let store = BTreeMap::from([
        ("accepted measures", figures.accepted),
        ("late measures dropped", figures.late),
        ("metrics with data", figures.metrics),
        ("bytes on disk", figures.disk_bytes),
    ]);
    reply::ok(&Status {
        storage: StorageStatus {
            summary: Backlog { metrics: figures.backlog.min(figures.metrics), measures: figures.backlog },
            measures_to_process: details.then(BTreeMap::new),
        },
        metricd: WorkerStatus { processors: Vec::new(), statistics: BTreeMap::from([("store", store)]) },
    })
}

//! Measures of one metric.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as policy;
use nephos_metric_store::Resample;
use nephos_model::Timestamp;
use nephos_wire::gnocchi::Invalid;
use nephos_wire::gnocchi::measures::{PostedMeasures, read_body};
use nephos_wire::gnocchi::points::Width;
use nephos_wire::gnocchi::scan::{self, Columns};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, Object, Schema, SchemaType};
use utoipa::{PartialSchema, ToSchema};

use super::GnocchiRoutes;
use super::metrics::named;
use crate::failure::Failure;
use crate::http::{Args, Payload, Segments, Text, reply};
use crate::limits;
use crate::routes::Doc;
use crate::service::Problem;
use crate::service::measures::{self, Query, Subject};
use crate::state::{ApiState, Who};

const TAG: &str = "measures";

/// One measure to post.
#[derive(Debug, ToSchema)]
#[schema(as = Measure)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
pub(super) struct NewMeasure {
    /// Unix seconds, ISO 8601, or a timespan relative to now.
    timestamp: String,
    /// A number, its text, or a boolean.
    value: f64,
}

/// Points as `[timestamp, granularity, value]`.
#[derive(Debug)]
struct Points;

impl PartialSchema for Points {
    fn schema() -> RefOr<Schema> {
        let point = ArrayBuilder::new()
            .items(Object::with_type(SchemaType::AnyValue))
            .min_items(Some(3))
            .max_items(Some(3));
        Schema::from(ArrayBuilder::new().items(point)).into()
    }
}

impl ToSchema for Points {}

/// Arguments of reading measures.
const READING: &[(&str, &str)] = &[
    ("start", "First bucket, rounded down"),
    ("stop", "End, exclusive"),
    ("aggregation", "Method, mean by default"),
    ("granularity", "Only this one"),
    ("resample", "Timespan or one of Y, H, Q, M, W; needs granularity"),
    ("refresh", "Measures can be read as soon as they were accepted: has no effect"),
];

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let reading = |id| {
        Doc::new(id, TAG, "Points as [timestamp, granularity, value], coarsest granularity first")
            .query(READING)
            .gives::<Points>(200)
            .fails(&[400, 401, 403, 404, 503])
    };
    let posting = |id| {
        Doc::new(id, TAG, "Takes measures; they are durable when this answers")
            .body::<Vec<NewMeasure>>()
            .gives_nothing(202)
            .fails(&[400, 401, 403, 404, 413, 415, 503])
    };
    routes
        .get("/v1/metric/{id}/measures", get, reading("getMeasures"))
        .post("/v1/metric/{id}/measures", post, posting("postMeasures"))
        .get("/v1/resource/{type}/{id}/metric/{name}/measures", get_named, reading("getNamedMeasures"))
        .post("/v1/resource/{type}/{id}/metric/{name}/measures", post_named, posting("postNamedMeasures"))
}

/// Reads a body of measures in whatever form.
pub fn parse(bytes: &[u8], now: Timestamp) -> Result<Columns, Failure> {
    let mut spare = None;
    let posted: PostedMeasures<'_> = read_body(bytes, &mut spare).map_err(|_| Failure::UndecodableBody)?;
    let measures = posted.check(now).map_err(|error| Invalid::whole(error.to_string()))?;
    let (timestamps, values) = measures.into_iter().map(|measure| (measure.timestamp, measure.value)).unzip();
    Ok(Columns { timestamps, values })
}

async fn take(
    state: &ApiState,
    caller: &Caller,
    subject: &Subject,
    payload: Payload,
) -> Result<Response, Failure> {
    measures::demand_on(policy::POST_MEASURES, caller, &subject.kind)?;
    payload.expect_type("application/json")?;
    let posted = match payload.scan(scan::list).await {
        Some(posted) => posted,
        None => {
            let now = state.clock.now();
            payload.parse(move |bytes| parse(bytes, now)).await?
        }
    };
    limits::demand_points(state, caller, posted.values.len())?;
    measures::post(state, subject, posted).await?;
    Ok(reply::accepted())
}

fn query(args: &Args, now: Timestamp) -> Result<Query, Problem> {
    let resample = match args.get("resample") {
        Some(_) if args.get("granularity").is_none() => {
            return Err(Problem::Bad("A granularity must be specified to resample".to_owned()));
        }
        Some(text) => Some(measures::parse_resample(text)?),
        None => None,
    };
    let query = Query {
        aggregation: args.get("aggregation").unwrap_or("mean").to_owned(),
        start: args.timestamp("start", now)?,
        stop: args.timestamp("stop", now)?,
        granularity: args.granularity("granularity")?,
        resample,
    };
    args.flag("refresh")?;
    Ok(query)
}

async fn give(
    state: &ApiState,
    caller: &Caller,
    subject: &Subject,
    args: &Args,
) -> Result<Response, Failure> {
    measures::demand_on(policy::GET_MEASURES, caller, &subject.kind)?;
    let query = query(args, state.clock.now())?;
    let resample = query.resample;
    let series = measures::read(state, subject, query).await?;
    let mut out = Text::default();
    out.words("[");
    for points in series {
        let width = match resample {
            Some(Resample::Step(step)) => Width::Seconds(step),
            Some(Resample::Calendar(calendar)) => Width::Letter(calendar.letter()),
            None => Width::Seconds(points.granularity),
        };
        out.points(width, (points.timestamps, points.values));
    }
    out.words("]");
    Ok(reply::text(out))
}

async fn get(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(id): Segments<String>,
    args: Args,
) -> Result<Response, Failure> {
    let metric = measures::by_id(&state, &id).await?;
    give(&state, &caller, &metric, &args).await
}

async fn post(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(id): Segments<String>,
    payload: Payload,
) -> Result<Response, Failure> {
    let metric = measures::by_id(&state, &id).await?;
    take(&state, &caller, &metric, payload).await
}

/// The metric that a path names by its resource.
async fn subject(
    state: &ApiState,
    caller: &Caller,
    path: &(String, String, String),
) -> Result<Subject, Failure> {
    let metric = named(state, caller, path).await?;
    let found = measures::subject(state, metric.id).await?;
    Ok(found.ok_or_else(|| Problem::missing("Metric", &path.2))?)
}

async fn get_named(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(path): Segments<(String, String, String)>,
    args: Args,
) -> Result<Response, Failure> {
    let metric = subject(&state, &caller, &path).await?;
    give(&state, &caller, &metric, &args).await
}

async fn post_named(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(path): Segments<(String, String, String)>,
    payload: Payload,
) -> Result<Response, Failure> {
    let metric = subject(&state, &caller, &path).await?;
    take(&state, &caller, &metric, payload).await
}

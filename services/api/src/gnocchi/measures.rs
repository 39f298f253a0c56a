//! Measures of one metric.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as policy;
use nephos_metric_store::{Resample, SeriesPoints};
use nephos_model::Timestamp;
use nephos_wire::gnocchi::Invalid;
use nephos_wire::gnocchi::measures::{PostedMeasures, read_body};
use nephos_wire::gnocchi::points::{Width, write_points};
use nephos_wire::gnocchi::scan::{self, Columns};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, Object, Schema, SchemaType};
use utoipa::{PartialSchema, ToSchema};

use super::GnocchiRoutes;
use super::metrics::named;
use crate::failure::Failure;
use crate::http::{Args, Payload, Segments, reply};
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
    let points: usize = series.iter().map(|points| points.timestamps.len()).sum();
    if points > MANY_POINTS {
        return Ok(reply::ok_pieces(Pieces::new(series, resample, PIECE)));
    }
    Ok(reply::ok_text(Pieces::new(series, resample, usize::MAX).next().unwrap_or_default()))
}

/// Points from which on an answer is made while it is sent.
const MANY_POINTS: usize = 65_536;
/// Points of a piece of such an answer: about a mebibyte of text.
const PIECE: usize = 16_384;

/// The text of an answer, piece by piece.
struct Pieces {
    series: Vec<SeriesPoints>,
    resample: Option<Resample>,
    /// Points of a piece.
    size: usize,
    /// The next point: of which series, and which of it; nothing at the end.
    next: Option<(usize, usize)>,
}

impl Pieces {
    fn new(series: Vec<SeriesPoints>, resample: Option<Resample>, size: usize) -> Self {
        Self { series, resample, size, next: Some((0, 0)) }
    }
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let (mut number, mut from) = self.next?;
        let mut out = if (number, from) == (0, 0) { b"[".to_vec() } else { Vec::new() };
        let mut room = self.size;
        while room > 0 {
            let Some(points) = self.series.get(number) else {
                out.push(b']');
                self.next = None;
                return Some(out);
            };
            let width = match self.resample {
                Some(Resample::Step(step)) => Width::Seconds(step),
                Some(Resample::Calendar(calendar)) => Width::Letter(calendar.letter()),
                None => Width::Seconds(points.granularity),
            };
            let end = from.saturating_add(room).min(points.timestamps.len());
            let timestamps = points.timestamps.get(from..end).unwrap_or_default();
            write_points(&mut out, width, timestamps, points.values.get(from..end).unwrap_or_default());
            room -= end - from;
            (number, from) = if end == points.timestamps.len() { (number + 1, 0) } else { (number, end) };
        }
        self.next = Some((number, from));
        Some(out)
    }
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

#[cfg(test)]
mod tests {
    use nephos_model::Granularity;

    use super::*;

    #[test]
    fn pieces_of_any_size_make_the_same_text() {
        let points = |seconds: i64, count: i64| SeriesPoints {
            granularity: Granularity::from_secs(seconds).unwrap(),
            timestamps: (0..count).map(|at| Timestamp::from_secs(at * seconds)).collect(),
            values: vec![0.5; usize::try_from(count).unwrap()],
        };
        for series in [
            vec![],
            vec![points(60, 0)],
            vec![points(3_600, 0), points(60, 5), points(1, 0), points(1, 7), points(1, 0)],
        ] {
            let whole = Pieces::new(series.clone(), None, usize::MAX).next().unwrap();
            let count: usize = series.iter().map(|points| points.values.len()).sum();
            assert_eq!(String::from_utf8_lossy(&whole).matches("0.5]").count(), count);
            for size in 1..15 {
                let pieces: Vec<Vec<u8>> = Pieces::new(series.clone(), None, size).collect();
                assert!(pieces.len() >= count / size, "{size}");
                assert_eq!(pieces.concat(), whole, "{size}");
            }
        }
    }
}

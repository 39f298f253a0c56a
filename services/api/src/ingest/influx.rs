//! InfluxDB's line protocol, as Gnocchi takes it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, Method};
use nephos_identity::Caller;
use nephos_wire::gather::Full;
use nephos_wire::influx::{self, LineFault, Options, Precision, Written};
use serde_json::Value;

use super::pieces::Pieces;
use super::{LARGE, ROOM, TAG};
use crate::failure::Failure;
use crate::http::{Args, Payload, reply};
use crate::instrument;
use crate::routes::{Doc, Routes};
use crate::service::Problem;
use crate::service::ingest::{self, Destination, Taken};
use crate::state::{ApiState, Who};

const VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");
const RESOURCE_TAG: HeaderName = HeaderName::from_static("x-gnocchi-influxdb-tag-resource-id");

pub(super) fn add(routes: Routes<Arc<ApiState>>) -> Routes<Arc<ApiState>> {
    let ping = |id| Doc::new(id, TAG, "Says that lines are taken here").gives_nothing(204);
    routes
        .get("/v1/influxdb/ping", answer_ping, ping("pingInfluxdb"))
        .add(Method::HEAD, "/v1/influxdb/ping", answer_ping, ping("headInfluxdb"))
        .post(
            "/v1/influxdb/query",
            query,
            Doc::new("queryInfluxdb", TAG, "Creates a resource type, by CREATE DATABASE; knows nothing else")
                .query(&[("q", "The statement; may stand in a form instead")])
                .gives_nothing(204)
                .fails(&[400, 401, 403, 501]),
        )
        .post(
            "/v1/influxdb/write",
            write,
            Doc::new("writeInfluxdb", TAG, "Takes lines; what was taken is durable when this answers")
                .query(&[
                    ("db", "Resource type, influxdb by default"),
                    ("precision", "What timestamps count: ns (default), us, ms, s, m, h"),
                ])
                .body_of::<String>("text/plain")
                .gives_nothing(204)
                .fails(&[400, 401, 403, 404, 409, 413, 415, 503]),
        )
}

async fn answer_ping() -> Response {
    reply::with_header(reply::no_content(), VERSION, concat!("Gnocchi ", env!("CARGO_PKG_VERSION")))
}

async fn query(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    let form = match payload.expect_type("application/x-www-form-urlencoded") {
        Ok(()) => Args::parse(&String::from_utf8_lossy(&payload.bytes)),
        Err(_) => Args::default(),
    };
    let statement = args.get("q").or(form.get("q"));
    let statement = statement.ok_or_else(|| Problem::argument("q", "required key not provided"))?;
    let Some(name) = influx::create_database(statement) else {
        return Err(Failure::NotImplemented { detail: "q", reason: "Query not implemented" });
    };
    ingest::create_type(&state, &caller, &name).await?;
    Ok(reply::no_content())
}

async fn write(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let precision = match args.get("precision") {
        None | Some("") => Precision::default(),
        Some(text) => Precision::parse(text)
            .ok_or_else(|| Problem::argument("precision", "Must be one of ns, us, ms, s, m, h"))?,
    };
    let tag = headers.get(RESOURCE_TAG).and_then(|value| value.to_str().ok()).unwrap_or("host");
    let resource_type = args.get("db").unwrap_or("influxdb");
    let options = Options { tag: tag.to_owned(), precision, now: state.clock.now(), room: ROOM };
    let mut pieces = Pieces::of(&headers, body, state.options.max_body)?;
    let mut whole = Whole::default();
    while let Some(piece) = pieces.next().await? {
        let written = read(piece, options.clone()).await?;
        whole.take(&state, &caller, &Destination::of_type(resource_type), written).await?;
    }
    Ok(whole.answer(tag))
}

/// Reads lines; many of them on a thread that may take its time.
async fn read(piece: Vec<u8>, options: Options) -> Result<Written, Failure> {
    let written = if piece.len() < LARGE {
        influx::read(&piece, &options)
    } else {
        let reading = tokio::task::spawn_blocking(move || influx::read(&piece, &options));
        reading.await.map_err(|_| Failure::Internal)?
    };
    written.map_err(|Full| Failure::TooMuch)
}

/// What became of all pieces of a body.
#[derive(Debug, Default)]
struct Whole {
    lines: u64,
    refused: u64,
    first: Option<(u64, LineFault)>,
    taken: Taken,
}

impl Whole {
    async fn take(
        &mut self,
        state: &ApiState,
        caller: &Caller,
        destination: &Destination<'_>,
        written: Written,
    ) -> Result<(), Problem> {
        let first = written.first.map(|(line, fault)| (self.lines + line + 1, fault));
        self.first = self.first.or(first);
        self.lines += written.lines;
        self.refused += written.refused;
        instrument::left_out("malformed", written.refused);
        let taken = ingest::take(state, caller, destination, written.gathered).await?;
        instrument::left_out("refused", taken.refused);
        self.taken.add(taken);
        Ok(())
    }

    /// As Gnocchi, by the first line that is at fault; a header tells the whole, where clients of InfluxDB look for it.
    fn answer(self, tag: &str) -> Response {
        let (problem, why) = match (self.first, self.taken.problem) {
            (Some((line, fault)), _) => {
                let (detail, reason) = match fault {
                    LineFault::NoTag => ("key", format!("Unable to find key `{tag}' in tags")),
                    _ => ("line", format!("Unable to parse line {line}")),
                };
                let detail = Value::String(detail.to_owned());
                let problem =
                    Problem::Detailed { missing: false, cause: "Value error", reason: Some(reason), detail };
                (problem, format!("{} lines were not taken; the first is line {line}: {fault}", self.refused))
            }
            (None, Some(problem)) => {
                let why = format!("{} points were not taken: {problem}", self.taken.refused);
                (problem, why)
            }
            (None, None) => return reply::no_content(),
        };
        reply::with_header(Failure::from(problem).into_response(), ERROR, &format!("partial write: {why}"))
    }
}

//! Prometheus remote write, 1.0 and 2.0.
//!
//! `/v1/prometheus/write` puts series where Gnocchi does: one resource for each target, further labels not looked at.
//! `/api/v1/write`, where Prometheus itself takes remote writes, has one resource for each set of labels and keeps the
//! labels as its attributes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use nephos_wire::prometheus::{self, Mapping, PrometheusFault, Refused, Version, Written};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{LARGE, ROOM, TAG};
use crate::failure::Failure;
use crate::http::accept::Accept;
use crate::http::{Payload, reply};
use crate::instrument;
use crate::routes::{Doc, Routes};
use crate::service::Problem;
use crate::service::ingest::{self, Destination, Taken};
use crate::state::{ApiState, Who};

const SAMPLES: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// A Snappy block of a protobuf message.
#[derive(Debug)]
struct Block;

impl PartialSchema for Block {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        Schema::from(ObjectBuilder::new().schema_type(Type::String).format(Some(binary))).into()
    }
}

impl ToSchema for Block {}

pub(super) fn add(routes: Routes<Arc<ApiState>>) -> Routes<Arc<ApiState>> {
    let doc = |id, summary, status| {
        Doc::new(id, TAG, summary)
            .body_of::<Block>("application/x-protobuf")
            .gives_nothing(status)
            .fails(&[400, 401, 403, 409, 413, 415, 503])
    };
    routes
        .post(
            "/v1/prometheus/write",
            of_targets,
            doc(
                "writePrometheus",
                "Takes a remote write: a resource for each target, as Gnocchi has it",
                202,
            ),
        )
        .post(
            "/api/v1/write",
            of_labels,
            doc("writeSeries", "Takes a remote write: a resource for each set of labels", 204),
        )
}

async fn of_targets(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Failure> {
    let version = version(&headers)?;
    match write(&state, &caller, version, Mapping::Target, payload).await? {
        (written, Ok(())) => Ok(counted(StatusCode::ACCEPTED.into_response(), version, &written)),
        (written, Err(problem)) => Ok(counted(Failure::from(problem).into_response(), version, &written)),
    }
}

async fn of_labels(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Failure> {
    let version = version(&headers)?;
    match write(&state, &caller, version, Mapping::Labels, payload).await? {
        (written, Ok(())) => Ok(counted(reply::no_content(), version, &written)),
        (written, Err(problem)) => {
            let text = problem.to_string();
            let refusal = Failure::from(problem).into_response();
            // Prometheus logs the first line of an answer: it shall say what is wrong.
            let response = match Accept::of(&headers).names("application", "json") {
                true => refusal,
                false => (refusal.status(), text).into_response(),
            };
            Ok(counted(response, version, &written))
        }
    }
}

/// Which message a request holds. One that says nothing of it is taken for the older, as Gnocchi looks at no header.
fn version(headers: &HeaderMap) -> Result<Version, Failure> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let encoding = text(CONTENT_ENCODING).unwrap_or("snappy").trim();
    if !encoding.eq_ignore_ascii_case("snappy") {
        return Err(Failure::UnsupportedMediaType);
    }
    let parameters = text(CONTENT_TYPE).unwrap_or_default().split(';').skip(1);
    let parameters = parameters.filter_map(|parameter| parameter.trim().split_once('='));
    let mut message = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("proto"));
    match message.next().map(|(_, value)| value.trim_matches('"')) {
        None | Some("prometheus.WriteRequest") => Ok(Version::One),
        Some("io.prometheus.write.v2.Request") => Ok(Version::Two),
        Some(_) => Err(Failure::UnsupportedMediaType),
    }
}

/// Tells a sender of version 2.0 how much was written.
fn counted(response: Response, version: Version, samples: &u64) -> Response {
    if version == Version::One {
        return response;
    }
    let response = reply::with_header(response, SAMPLES, &samples.to_string());
    let response = reply::with_header(response, HISTOGRAMS, "0");
    reply::with_header(response, EXEMPLARS, "0")
}

/// Takes a message: how many samples were written, and why not all, if some could not be.
async fn write(
    state: &ApiState,
    caller: &nephos_identity::Caller,
    version: Version,
    mapping: Mapping,
    payload: Payload,
) -> Result<(u64, Result<(), Problem>), Failure> {
    let limit = state.options.max_body;
    let read = move |block: &[u8]| {
        let message = prometheus::decompress(block, limit)?;
        prometheus::read(&message, version, mapping, ROOM)
    };
    let read = match payload.bytes {
        block if block.len() < LARGE => read(&block),
        block => tokio::task::spawn_blocking(move || read(&block)).await.map_err(|_| Failure::Internal)?,
    };
    let Written { gathered, stale, exemplars, refused } = read.map_err(|fault| failure(&fault))?;
    instrument::left_out("histogram", refused.histograms);
    instrument::left_out("exemplar", exemplars);
    instrument::left_out("malformed", refused.samples);
    let taken = ingest::take(state, caller, &Destination::prometheus(), gathered).await?;
    instrument::left_out("refused", taken.refused);
    // The end of a series is taken note of although nothing is kept of it.
    let samples = taken.accepted + stale;
    Ok((samples, judged(&refused, taken)))
}

fn failure(fault: &PrometheusFault) -> Failure {
    match fault {
        PrometheusFault::TooLarge { limit } => Failure::TooLarge { limit: *limit },
        PrometheusFault::Full(_) | PrometheusFault::Symbols => Failure::TooMuch,
        PrometheusFault::Snappy | PrometheusFault::Protobuf(_) => Problem::Bad(fault.to_string()).into(),
    }
}

/// Whether everything was taken.
fn judged(refused: &Refused, taken: Taken) -> Result<(), Problem> {
    if let Some((series, fault)) = refused.first {
        let Refused { samples, histograms, .. } = refused;
        return Err(Problem::Bad(format!(
            "{samples} samples and {histograms} histograms were not taken; the first is of series {series}: {fault}"
        )));
    }
    match taken.problem {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

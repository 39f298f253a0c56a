//! What happens around each request: its id and span, CORS, its time limit, panics, and the form of refusals.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::ACCEPT;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use nephos_observe::http::Answers;
use tracing::Instrument;

use super::accept::Accept;
use super::cors::Cors;
use super::nul;
use crate::aodh;
use crate::failure::{Failure, render};
use crate::instrument;
use crate::state::ApiState;

/// The id of a request: the client's, or ours.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// On an answer: it carries no id of its request, as the original's does not.
#[derive(Clone, Copy, Debug)]
pub struct WithoutId;

/// A router with the frame around every request, whatever API it is for. The frame may change the path, so it stands
/// before the router that matches it.
#[derive(Clone, Debug)]
pub struct Framed {
    state: Arc<ApiState>,
    inner: Router,
}

impl Framed {
    /// The frame around `inner`.
    pub fn new(state: Arc<ApiState>, inner: Router) -> Self {
        Self { state, inner }
    }
}

impl Answers for Framed {
    async fn answer(&self, request: Request) -> Response {
        around(&self.state, request, &self.inner).await
    }
}

/// An id for a request.
fn new_id() -> HeaderValue {
    let mut id = *b"req-00000000-0000-0000-0000-000000000000";
    if let Some(place) = id.get_mut(4..) {
        uuid::Uuid::new_v4().hyphenated().encode_lower(place);
    }
    HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("req-"))
}

async fn around(state: &ApiState, mut request: Request, inner: &Router) -> Response {
    let started = state.clock.monotonic();
    let id = new_id();
    let accept: Vec<HeaderValue> = request.headers().get_all(ACCEPT).into_iter().cloned().collect();
    let gnocchi = is_gnocchi(request.uri().path());
    let cors = state.options.cors.answer(request.headers());
    let method = request.method().clone();
    let shown = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", id = shown, method = %method, path = request.uri().path());
    tidy(request.uri_mut());

    let mut response = if Cors::is_preflight(&method, request.headers()) {
        (StatusCode::OK, state.options.cors.preflight(request.headers())).into_response()
    } else {
        serve(state, request, inner).instrument(span.clone()).await
    };
    response = if gnocchi { render(response, &accept) } else { aodh::render(response) };
    response.headers_mut().extend(cors);
    if response.extensions().get::<WithoutId>().is_none() {
        response.headers_mut().entry(REQUEST_ID).or_insert(id);
    }
    let took = state.clock.monotonic().saturating_sub(started);
    instrument::request(&method, response.status(), took);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), took = ?took, "request served"));
    response
}

/// Runs the request within its time limit; a panic in a handler costs that request only.
async fn serve(state: &ApiState, request: Request, inner: &Router) -> Response {
    let served = AssertUnwindSafe(inner.answer(request)).catch_unwind();
    match tokio::time::timeout(state.options.request_timeout, served).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("request handler panicked");
            Failure::Internal.into_response()
        }
        Err(_) => Failure::Timeout.into_response(),
    }
}

/// Refuses what no route of Gnocchi's API can serve: clients that take no JSON, and paths with U+0000.
pub fn servable(request: &Request) -> Result<(), Failure> {
    if !Accept::admits_json(request.headers()) {
        Err(Failure::NotAcceptable)
    } else if nul::in_uri(request.uri()) {
        Err(Failure::Nul)
    } else {
        Ok(())
    }
}

/// Whether refusals on this path take Gnocchi's form; those of `/v2` take Aodh's.
fn is_gnocchi(path: &str) -> bool {
    path != "/v2" && !path.starts_with("/v2/")
}

/// `/v1//metric/` is `/v1/metric`: clients join paths carelessly. The roots `/` and `/v1/` keep their slash.
fn tidy(uri: &mut Uri) {
    let path = uri.path();
    if !path.contains("//") && (!path.ends_with('/') || path == "/" || path == "/v1/") {
        return;
    }
    let mut target: String =
        path.split('/').filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    if target.is_empty() || (target == "/v1" && path.ends_with('/')) {
        target.push('/');
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let Ok(target) = target.parse::<PathAndQuery>() else { return };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(changed) = Uri::from_parts(parts) {
        *uri = changed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superfluous_slashes_are_taken_away() {
        for (sent, expected) in [
            ("/", "/"),
            ("/v1/", "/v1/"),
            ("/v1", "/v1"),
            ("/v1/metric/", "/v1/metric"),
            ("/v1/metric/?limit=1//", "/v1/metric?limit=1//"),
            ("/v1/archive_policy//low", "/v1/archive_policy/low"),
            ("//v1///metric//", "/v1/metric"),
            ("//", "/"),
            ("//v1/", "/v1/"),
            ("/v1/resource/generic", "/v1/resource/generic"),
        ] {
            let mut uri: Uri = sent.parse().unwrap();
            tidy(&mut uri);
            assert_eq!(uri.to_string(), expected);
        }
    }
}

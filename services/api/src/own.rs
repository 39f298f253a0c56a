//! What belongs to no imitated API: the health check of the originals and our OpenAPI document.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::http::accept::Accept;

/// Routes without identity: `/healthcheck`, and the document at `/api/v1/openapi.json`.
pub(crate) fn router(document: String) -> Router {
    let document = Bytes::from(document);
    let serve = move || {
        let document = document.clone();
        async move { ([(CONTENT_TYPE, "application/json")], document) }
    };
    Router::new().route("/healthcheck", get(healthcheck)).route("/api/v1/openapi.json", get(serve))
}

async fn healthcheck(headers: HeaderMap) -> Response {
    let accept = Accept::of(&headers);
    if accept.names("application", "json") {
        ([(CONTENT_TYPE, "application/json")], r#"{"detailed": false, "reasons": []}"#).into_response()
    } else {
        ([(CONTENT_TYPE, "text/plain; charset=UTF-8")], "OK").into_response()
    }
}

//! Answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LINK, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use nephos_wire::gnocchi::json;
use serde::Serialize;

use super::{Args, BaseUrl, Text};
use crate::failure::Failure;

/// JSON with status 200.
pub fn ok<T: Serialize + ?Sized>(value: &T) -> Result<Response, Failure> {
    with_status(StatusCode::OK, value)
}

/// JSON with status 201 and the place of what was created.
pub fn created<T: Serialize + ?Sized>(location: &str, value: &T) -> Result<Response, Failure> {
    let response = with_status(StatusCode::CREATED, value)?;
    Ok(with_header(response, LOCATION, location))
}

/// JSON text with status 200.
pub fn ok_text(json: Vec<u8>) -> Response {
    json_response(StatusCode::OK, json)
}

/// Points from which on an answer is written while it is sent.
const MANY_POINTS: usize = 2_048;
/// Bytes of a piece of such an answer: still in the processor's cache when the kernel copies it, and so many that those who
/// wait for it are seldom woken.
const PIECE: usize = 512 << 10;

/// JSON text with status 200; if it is long, it is written piece by piece while it is sent.
pub fn text(text: Text) -> Response {
    if text.size() <= MANY_POINTS {
        return ok_text(text.whole());
    }
    let pieces = text.pieces(PIECE).map(Ok::<_, std::convert::Infallible>);
    json_response(StatusCode::OK, Body::from_stream(futures_util::stream::iter(pieces)))
}

/// Status 202 without a body.
pub fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// Status 204.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Adds a header; a value that cannot stand in one is left out.
pub fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn with_status<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Result<Response, Failure> {
    json::to_vec(value).map(|body| json_response(status, body)).map_err(|_| Failure::Internal)
}

fn json_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds the `Link` to the page after `marker`: the request's own path and arguments, with limit, marker and sort,
/// names in alphabetical order.
pub fn with_next(
    response: Response,
    base: &BaseUrl,
    path: &str,
    args: &Args,
    next: &NextPage<'_>,
) -> Response {
    let limit = next.limit.to_string();
    let own = args.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut pairs: Vec<(&str, &str)> =
        own.filter(|(name, _)| !["limit", "marker", "sort"].contains(name)).collect();
    pairs.push(("limit", &limit));
    pairs.push(("marker", next.marker));
    pairs.extend(next.sort.iter().map(|text| ("sort", text.as_str())));
    pairs.sort_by_key(|(name, _)| *name);
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let link = format!("<{}?{query}>; rel=\"next\"", base.join(path));
    with_header(response, LINK, &link)
}

/// Where the next page starts.
#[derive(Clone, Copy, Debug)]
pub struct NextPage<'a> {
    /// Items a page.
    pub limit: u64,
    /// The last item of this page.
    pub marker: &'a str,
    /// Sort keys as they were asked for.
    pub sort: &'a [String],
}

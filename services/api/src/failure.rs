//! Why a request of Gnocchi's API is refused: the one place that knows statuses and bodies (metrics-api §2.2).

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use nephos_index::IndexError;
use nephos_metric_store::StoreError;
use nephos_wire::gnocchi::{Invalid, json};
use serde_json::{Value, json};

use crate::http::accept::Accept;
use crate::http::nul;
use crate::service::Problem;
use crate::service::problem::capitalised;

/// When to come back if nothing better is known.
const SOON: Duration = Duration::from_secs(5);

/// Why a request is refused.
#[derive(Debug)]
pub enum Failure {
    /// Nobody known asks; the challenge is the `WWW-Authenticate`.
    Unauthorized(Option<&'static str>),
    /// The body has the wrong media type.
    UnsupportedMediaType,
    /// The client takes nothing that we can give.
    NotAcceptable,
    /// Nothing has this path.
    UnknownPath,
    /// The path has other methods: these.
    MethodNotAllowed(Arc<str>),
    /// The body is larger than this many bytes.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body is no JSON.
    UndecodableBody,
    /// The path, query or body has U+0000.
    Nul,
    /// What the body brings would take too much memory.
    TooMuch,
    /// A part of a foreign protocol that is not served.
    NotImplemented {
        /// Which argument asks for it.
        detail: &'static str,
        /// What is not served.
        reason: &'static str,
    },
    /// The request took longer than it may.
    Timeout,
    /// Accounts cannot be looked up just now.
    Away,
    /// A defect of ours.
    Internal,
    /// The service said no.
    Problem(Problem),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Problem(invalid.into())
    }
}

/// Status and description, before they take the form the client wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Status.
    pub status: StatusCode,
    /// `description` of the body: text, object or null.
    pub description: Value,
}

impl Refusal {
    fn new(status: StatusCode, description: impl Into<Value>) -> Self {
        Self { status, description: description.into() }
    }
}

impl Failure {
    /// Status and description.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Unauthorized(_) => Refusal::new(StatusCode::UNAUTHORIZED, ""),
            Self::UnsupportedMediaType => Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ""),
            Self::NotAcceptable => Refusal::new(StatusCode::NOT_ACCEPTABLE, ""),
            Self::UnknownPath => Refusal::new(StatusCode::NOT_FOUND, Value::Null),
            Self::MethodNotAllowed(_) => Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ""),
            Self::TooLarge { limit } => {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {limit} bytes"))
            }
            Self::UndecodableBody => Refusal::new(
                StatusCode::BAD_REQUEST,
                json!({"cause": "Unable to decode body", "reason": "Expected object or value", "detail": []}),
            ),
            Self::Nul => Refusal::new(StatusCode::BAD_REQUEST, nul::REFUSAL),
            Self::TooMuch => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body brings more series and points than are taken at once",
            ),
            Self::NotImplemented { detail, reason } => Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                json!({"cause": "Not implemented error", "detail": detail, "reason": reason}),
            ),
            Self::Timeout => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The request took too long. Please retry.")
            }
            Self::Away => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Nobody can log in just now. Please retry.")
            }
            Self::Internal => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ""),
            Self::Problem(problem) => of_problem(problem),
        }
    }

    fn header(&self) -> Option<(http::HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized(challenge) => {
                challenge.map(|text| (WWW_AUTHENTICATE, HeaderValue::from_static(text)))
            }
            Self::MethodNotAllowed(methods) => Some((ALLOW, HeaderValue::from_str(methods).ok()?)),
            Self::Timeout | Self::Away => Some(retry_after(SOON)),
            Self::Problem(Problem::Limited { wait, .. }) => Some(retry_after(*wait)),
            Self::Problem(Problem::Index(IndexError::Unavailable { .. })) => Some(retry_after(SOON)),
            Self::Problem(Problem::Store(StoreError::NoOwner { retry_after: wait })) => {
                Some(retry_after(*wait))
            }
            Self::Problem(Problem::Store(StoreError::DiskFull { .. })) => {
                Some(retry_after(Duration::from_secs(60)))
            }
            Self::Problem(Problem::Store(StoreError::Remote { .. } | StoreError::Closed)) => {
                Some(retry_after(SOON))
            }
            _ => None,
        }
    }
}

fn retry_after(wait: Duration) -> (http::HeaderName, HeaderValue) {
    // Whoever comes back in time must not come too early.
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    (RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

fn of_problem(problem: &Problem) -> Refusal {
    match problem {
        Problem::Forbidden => Refusal::new(StatusCode::FORBIDDEN, ""),
        Problem::NothingToSee => Refusal::new(StatusCode::FORBIDDEN, problem.to_string()),
        Problem::Limited { reason, .. } => Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason.as_str()),
        Problem::NotFound(text) => Refusal::new(StatusCode::NOT_FOUND, text.as_str()),
        Problem::Conflict(text) => Refusal::new(StatusCode::CONFLICT, text.as_str()),
        Problem::ResourceExists(id) => Refusal::new(
            StatusCode::CONFLICT,
            json!({"cause": "Resource already exists", "detail": id.to_string()}),
        ),
        Problem::Bad(text) => Refusal::new(StatusCode::BAD_REQUEST, text.as_str()),
        Problem::Detailed { missing, cause, reason, detail } => {
            let status = if *missing { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
            let mut description = json!({"cause": cause});
            if !detail.is_null() {
                description["detail"] = detail.clone();
            }
            if let Some(reason) = reason {
                description["reason"] = Value::String(reason.clone());
            }
            Refusal::new(status, description)
        }
        Problem::Invalid(invalid) => Refusal::new(StatusCode::BAD_REQUEST, of_invalid(invalid)),
        Problem::PreconditionFailed => Refusal::new(StatusCode::PRECONDITION_FAILED, ""),
        Problem::Index(error) => of_index(error),
        Problem::Store(error) => of_store(error),
    }
}

fn of_invalid(invalid: &Invalid) -> Value {
    json!({"cause": "Invalid input", "reason": invalid.reason(), "detail": invalid.detail()})
}

fn of_index(error: &IndexError) -> Refusal {
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    match error {
        IndexError::NotFound { what, id } => {
            Refusal::new(StatusCode::NOT_FOUND, format!("{} {id} does not exist", capitalised(what)))
        }
        IndexError::AlreadyExists { what, id } => {
            Refusal::new(StatusCode::CONFLICT, format!("{} {id} already exists", capitalised(what)))
        }
        IndexError::InUse { what, id } => bad(format!("{} {id} is still in use", capitalised(what))),
        IndexError::UnsupportedPolicyChange { name, reason } => {
            bad(format!("Archive policy {name} does not support change: {reason}"))
        }
        IndexError::UnsupportedTypeChange(text) => bad(text.clone()),
        IndexError::NoPolicyMatch(name) => bad(format!(
            "No archive policy name specified and no archive policy rule found matching the metric name {name}"
        )),
        IndexError::BadMarker(marker) => bad(format!("Invalid pagination: `Invalid marker: `{marker}''")),
        IndexError::BadSortKey(key) => {
            bad(format!("Invalid pagination: `Sort key supplied is invalid: {key}'"))
        }
        IndexError::UnknownAttribute { resource_type, attribute } => {
            bad(format!("Resource type {resource_type} has no {attribute} attribute"))
        }
        IndexError::BadFilterValue { value, attribute } => {
            bad(format!("Invalid value: `{value}' for field `{attribute}'"))
        }
        IndexError::StartAfterEnd => bad("Start timestamp cannot be after end timestamp".to_owned()),
        IndexError::Unavailable { .. } => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The index is not available. Please retry.")
        }
        IndexError::Database { .. } => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}

fn of_store(error: &StoreError) -> Refusal {
    let unavailable = |text: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
    match error {
        StoreError::DiskFull { .. } => {
            unavailable("The metric store is low on space and takes no measures. Please retry.")
        }
        StoreError::NoOwner { .. } | StoreError::Remote { .. } | StoreError::Closed => {
            unavailable("The metric store is not available. Please retry.")
        }
        StoreError::TooLarge { .. } => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        StoreError::Damaged { .. } | StoreError::Format { .. } | StoreError::Io { .. } => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }
}

impl IntoResponse for Failure {
    /// An empty body that carries its [`Refusal`]: only the frame around the request knows the form it must take.
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        if refusal.status.is_server_error() {
            log(&self);
        }
        let mut response = refusal.status.into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(refusal);
        response
    }
}

/// Where an error ends is where it is logged, whole.
fn log(failure: &Failure) {
    match failure {
        Failure::Problem(Problem::Store(
            error @ (StoreError::Damaged { .. } | StoreError::Format { .. } | StoreError::Io { .. }),
        )) => {
            let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(error = %error, source, "request failed in the metric store");
        }
        Failure::Problem(Problem::Index(error @ IndexError::Database { .. })) => {
            tracing::error!(error = %error, "request failed in the index");
        }
        Failure::Problem(problem) => tracing::warn!(error = %problem, "request could not be served just now"),
        Failure::Timeout => tracing::warn!("request took too long"),
        _ => {}
    }
}

/// Gives a response that carries a [`Refusal`] the body that the `Accept` headers ask for.
pub fn render(mut response: Response, accept: &[HeaderValue]) -> Response {
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else { return response };
    let (content_type, body) = body(&refusal, &Accept::read(accept));
    // The router noted the length of the body that this one replaces.
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = body.into();
    response
}

impl Failure {
    /// As a part of an answer whose other parts are fine: the JSON that it would be the body of.
    pub fn inside(&self) -> Vec<u8> {
        let refusal = self.refusal();
        if refusal.status.is_server_error() {
            log(self);
        }
        refusal.json()
    }
}

impl Refusal {
    fn json(&self) -> Vec<u8> {
        let Self { status, description } = self;
        let body = json!({"code": status.as_u16(), "title": title(*status), "description": description});
        json::to_vec(&body).unwrap_or_default()
    }
}

fn body(refusal: &Refusal, accept: &Accept) -> (&'static str, Vec<u8>) {
    let Refusal { status, description } = refusal;
    let title = title(*status);
    if accept.names("application", "json") {
        return ("application/json", refusal.json());
    }
    let line = format!("{} {title}", status.as_u16());
    let sentence = sentence(*status);
    let text = text_of(description);
    if !accept.is_absent() && accept.admits("text", "html") {
        // Enough for text between tags; clients search pages for messages that hold `>` and quotes.
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let page = format!(
            "<html>\n <head>\n  <title>{line}</title>\n </head>\n <body>\n  <h1>{line}</h1>\n  \
             {sentence}<br /><br />\n{text}\n </body>\n</html>\n"
        );
        return ("text/html; charset=UTF-8", page.into_bytes());
    }
    ("text/plain; charset=UTF-8", format!("{line}\n\n{sentence}\n\n{text}\n").into_bytes())
}

/// A description for people: its parts in one line.
fn text_of(description: &Value) -> String {
    let part = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Array(items) if items.is_empty() => None,
        other => json::to_vec(other).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
    };
    match description {
        Value::Object(parts) => {
            let parts = ["cause", "reason", "detail"].iter().filter_map(|key| parts.get(*key).and_then(part));
            parts.collect::<Vec<_>>().join(": ")
        }
        other => part(other).unwrap_or_default(),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        status => status.canonical_reason().unwrap_or("Error"),
    }
}

fn sentence(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => {
            "The server could not comply with the request: it is malformed or makes no sense."
        }
        StatusCode::UNAUTHORIZED => {
            "This server could not verify that you are authorized to access this document."
        }
        StatusCode::FORBIDDEN => "Access was denied to this resource.",
        StatusCode::NOT_FOUND => "The resource could not be found.",
        StatusCode::METHOD_NOT_ALLOWED => "The method is not allowed for this resource.",
        StatusCode::NOT_ACCEPTABLE => "No representation of this resource is acceptable to the client.",
        StatusCode::CONFLICT => "There was a conflict when trying to complete the request.",
        StatusCode::PRECONDITION_FAILED => "Request precondition failed.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body of the request was too large for this server.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The request media type is not supported by this server.",
        StatusCode::TOO_MANY_REQUESTS => "This is more than is allowed.",
        StatusCode::NOT_IMPLEMENTED => "The server does not support this.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "The server is currently unavailable. Please try again at a later time."
        }
        _ => "The server has either erred or is incapable of performing the requested operation.",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::ACCEPT;

    use super::*;

    fn shown(failure: Failure, accept: Option<&'static str>) -> (&'static str, String) {
        let headers =
            accept.map(|text| (ACCEPT, HeaderValue::from_static(text))).into_iter().collect::<HeaderMap>();
        let (content_type, body) = body(&failure.refusal(), &Accept::of(&headers));
        (content_type, String::from_utf8(body).unwrap())
    }

    #[test]
    fn clients_that_name_json_get_json() {
        let (content_type, body) = shown(Failure::UndecodableBody, Some("application/json, */*"));
        assert_eq!(content_type, "application/json");
        assert_eq!(
            body,
            "{\"code\": 400, \"description\": {\"cause\": \"Unable to decode body\", \"detail\": [], \
             \"reason\": \"Expected object or value\"}, \"title\": \"Bad Request\"}"
        );
        let (_, body) = shown(Failure::UnknownPath, Some("application/json"));
        assert_eq!(body, r#"{"code": 404, "description": null, "title": "Not Found"}"#);
    }

    #[test]
    fn browsers_get_a_page_and_others_a_text() {
        let problem = || Failure::from(Problem::Bad("timespan ≠ granularity × points <x>".to_owned()));
        let (content_type, page) = shown(problem(), Some("*/*"));
        assert!(content_type.starts_with("text/html"));
        assert!(
            page.contains("<title>400 Bad Request</title>") && page.contains("≠ granularity × points &lt;x>")
        );
        let (content_type, text) = shown(problem(), None);
        assert!(content_type.starts_with("text/plain"));
        assert!(
            text.starts_with("400 Bad Request\n\n")
                && text.ends_with("timespan ≠ granularity × points <x>\n")
        );
        let (_, text) = shown(Failure::NotAcceptable, Some("text/plain"));
        assert!(text.starts_with("406 Not Acceptable\n"));
        let (_, text) = shown(Failure::UnsupportedMediaType, None);
        assert!(text.starts_with("415 Unsupported Media Type\n"));
    }

    #[test]
    fn errors_of_the_index_and_the_store_have_their_statuses() {
        let unavailable = IndexError::Unavailable { reason: "down".to_owned() };
        let full = StoreError::DiskFull { path: "/x".to_owned(), free: 1, min_free: 2 };
        for (failure, status, retry) in [
            (Failure::from(unavailable), 503, true),
            (Failure::from(full), 503, true),
            (Failure::from(StoreError::NoOwner { retry_after: Duration::from_secs(3) }), 503, true),
            (Failure::from(StoreError::Closed), 503, true),
            (Failure::from(IndexError::Database { reason: "secret".to_owned() }), 500, false),
            (Failure::from(IndexError::InUse { what: "archive policy", id: "x".to_owned() }), 400, false),
            (Failure::from(Problem::Forbidden), 403, false),
            (Failure::NotImplemented { detail: "q", reason: "x" }, 501, false),
        ] {
            let response = failure.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), retry);
            let refusal = response.extensions().get::<Refusal>().unwrap();
            assert!(!text_of(&refusal.description).contains("secret"));
        }
    }
}

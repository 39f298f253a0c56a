//! Errors with the bodies of Aodh (alarms-api §1).

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nephos_index::IndexError;
use nephos_wire::aodh::Fault;
use serde_json::json;

use crate::failure::{Failure, Refusal};

/// What ends a request of the alarm API.
#[derive(Debug)]
pub(super) enum AodhFailure {
    /// The client's mistake.
    Fault(Fault),
    /// No such path.
    NoPath,
    /// Nobody could be made out.
    Unauthorized(Option<&'static str>),
    /// The index is away.
    Unavailable,
    /// Refused before it was about alarms.
    Frame(Failure),
    /// Our own mistake; details are in the log only.
    Internal,
}

impl AodhFailure {
    /// 404 for an alarm.
    pub(super) fn no_alarm(id: &str) -> Self {
        Self::Fault(Fault { status: 404, message: format!("Alarm {id} not found") })
    }

    /// 403 by policy.
    pub(super) fn forbidden() -> Self {
        Self::Fault(Fault { status: 403, message: "RBAC Authorization Failed".to_owned() })
    }

    /// A body that is too large or ended early.
    pub(super) fn unreadable_body(status: StatusCode) -> Self {
        let message = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "Request body is too large",
            _ => "Request body could not be read",
        };
        Self::Fault(Fault { status: status.as_u16(), message: message.to_owned() })
    }

    /// 501: the original has it, this version does not.
    pub(super) fn not_in_this_version(what: &str) -> Self {
        Self::Fault(Fault { status: 501, message: format!("{what} is not in this version") })
    }
}

impl From<Failure> for AodhFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unauthorized(challenge) => Self::Unauthorized(challenge),
            other => Self::Frame(other),
        }
    }
}

impl From<Fault> for AodhFailure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<IndexError> for AodhFailure {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::BadMarker(marker) => Self::Fault(Fault::bad(format!("Marker {marker} not found."))),
            IndexError::NotFound { what: "alarm", id } => Self::no_alarm(&id),
            error if error.is_retryable() => {
                tracing::warn!(%error, "alarm request refused");
                Self::Unavailable
            }
            error => {
                tracing::error!(%error, "alarm request failed");
                Self::Internal
            }
        }
    }
}

fn object(status: StatusCode, text: &str) -> Response {
    let code = if status.is_server_error() { "Server" } else { "Client" };
    let body = json!({"error_message": {"faultcode": code, "faultstring": text, "debuginfo": null}});
    json_response(status, &body)
}

/// Gives a response that carries a [`Refusal`] of the frame, such as one that took too long, the body of Aodh.
pub(crate) fn render(mut response: Response) -> Response {
    let Some(Refusal { status, description }) = response.extensions_mut().remove() else { return response };
    let text = description.as_str().filter(|text| !text.is_empty());
    let (parts, body) = object(status, text.or(status.canonical_reason()).unwrap_or_default()).into_parts();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = body;
    response
}

/// A JSON answer.
pub(super) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 405, with the methods the path has.
pub(super) fn no_method(method: &Method, allow: Option<&HeaderValue>) -> Response {
    let text =
        format!("405 Method Not Allowed\n\nThe method {method} is not allowed for this resource. \n\n ");
    let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({"error_message": text}));
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}

impl IntoResponse for AodhFailure {
    fn into_response(self) -> Response {
        match self {
            Self::Fault(fault) => {
                object(StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_REQUEST), &fault.message)
            }
            Self::NoPath => json_response(
                StatusCode::NOT_FOUND,
                &json!({"error_message": "404 Not Found\n\nThe resource could not be found.\n\n   "}),
            ),
            Self::Unauthorized(challenge) => {
                let mut response = object(StatusCode::UNAUTHORIZED, "Authentication required");
                if let Some(challenge) = challenge {
                    response
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
                }
                response
            }
            Self::Unavailable => {
                let mut response =
                    object(StatusCode::SERVICE_UNAVAILABLE, "The index is not reachable. Please retry.");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            // The frame around the request gives it its body.
            Self::Frame(failure) => failure.into_response(),
            Self::Internal => object(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::failure::Failure;

    #[tokio::test]
    async fn refusals_of_the_frame_take_the_form_of_this_api() {
        for (failure, status, retry, body) in [
            (
                Failure::Timeout,
                StatusCode::SERVICE_UNAVAILABLE,
                Some("5"),
                r#"{"error_message":{"debuginfo":null,"faultcode":"Server","faultstring":"The request took too long. Please retry."}}"#,
            ),
            (
                Failure::Internal,
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                r#"{"error_message":{"debuginfo":null,"faultcode":"Server","faultstring":"Internal Server Error"}}"#,
            ),
        ] {
            let response = render(failure.into_response());
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
            let after = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(after, retry);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        }
    }
}

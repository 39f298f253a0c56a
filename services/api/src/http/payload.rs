//! Request bodies.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::nul;
use crate::failure::Failure;
use crate::state::ApiState;

/// Bodies from this size on are parsed away from the threads that serve requests.
const LARGE: usize = 128 * 1024;

/// A body that was read whole, and what it says it is.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    media_type: String,
}

impl FromRequest<Arc<ApiState>> for Payload {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, state.options.max_body).await?;
        Ok(Self { bytes, media_type: media_type(&parts.headers) })
    }
}

/// The whole body, or [`Failure::TooLarge`] beyond `limit` bytes.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Failure> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Failure::TooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge { limit }),
        Err(_) => Err(Failure::UndecodableBody),
    }
}

/// The media type without its parameters, in lower case; empty if there is none.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Payload {
    /// The body as JSON of the type `application/json`.
    pub async fn json(&self) -> Result<Value, Failure> {
        self.json_of("application/json").await
    }

    /// The body as JSON of the media type `expected`.
    pub async fn json_of(&self, expected: &str) -> Result<Value, Failure> {
        self.expect_type(expected)?;
        self.parse(|bytes| serde_json::from_slice(bytes).map_err(|_| Failure::UndecodableBody)).await
    }

    /// Refuses any other media type.
    pub fn expect_type(&self, expected: &str) -> Result<(), Failure> {
        if self.media_type == expected { Ok(()) } else { Err(Failure::UnsupportedMediaType) }
    }

    /// Runs a parser over the bytes of JSON; large bodies go to a thread that may take its time.
    pub async fn parse<T, F>(&self, parser: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&[u8]) -> Result<T, Failure> + Send + 'static,
    {
        let checked = |bytes: &[u8]| if nul::in_json(bytes) { Err(Failure::Nul) } else { parser(bytes) };
        if self.bytes.len() < LARGE {
            return checked(&self.bytes);
        }
        let bytes = self.bytes.clone();
        tokio::task::spawn_blocking(move || checked(&bytes)).await.unwrap_or(Err(Failure::Internal))
    }
}

//! Request bodies.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::nul;
use crate::failure::Failure;
use crate::state::ApiState;

/// Bodies from this size on are parsed away from the threads that serve requests.
const LARGE: usize = 128 * 1024;

/// Scanners are so much faster that they get bodies up to this size where they came in.
const LARGE_TO_SCAN: usize = 2 * 1024 * 1024;

/// Room that is reserved because a request announces a body, at most; more only for who has sent as much.
const RESERVED: usize = 1024 * 1024;

/// A body that was read whole, and what it says it is.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    media_type: Option<HeaderValue>,
}

impl FromRequest<Arc<ApiState>> for Payload {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, state.options.max_body).await?;
        Ok(Self { bytes, media_type: parts.headers.get(CONTENT_TYPE).cloned() })
    }
}

/// A body that was not read yet, and what it says it is.
#[derive(Debug)]
pub struct Unread {
    body: Body,
    limit: usize,
    announced: Option<usize>,
    media_type: Option<HeaderValue>,
}

impl FromRequest<Arc<ApiState>> for Unread {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        Self::new(&parts.headers, body, state.options.max_body)
    }
}

impl Unread {
    fn new(headers: &HeaderMap, body: Body, limit: usize) -> Result<Self, Failure> {
        let announced = headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        match announced {
            Some(length) if length > limit => Err(Failure::TooLarge { limit }),
            _ => Ok(Self { body, limit, announced, media_type: headers.get(CONTENT_TYPE).cloned() }),
        }
    }

    /// How many bytes it says it has; 0 if it does not say.
    pub fn announced(&self) -> usize {
        self.announced.unwrap_or(0)
    }

    /// Gives each piece to `take` as it comes. [`Failure::TooLarge`] beyond the limit.
    pub async fn each(self, mut take: impl FnMut(Bytes)) -> Result<(), Failure> {
        let limit = self.limit;
        let mut body = Limited::new(self.body, limit);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => Failure::TooLarge { limit },
                false => Failure::UndecodableBody,
            })?;
            if let Ok(piece) = frame.into_data() {
                take(piece);
            }
        }
        Ok(())
    }

    /// Refuses any other media type; letter case and parameters do not matter. To be asked before the body is read and
    /// judged after, so that who sends it can read the answer.
    pub fn expect_type(&self, expected: &str) -> Result<(), Failure> {
        expect_type(self.media_type.as_ref(), expected)
    }
}

fn expect_type(sent: Option<&HeaderValue>, expected: &str) -> Result<(), Failure> {
    let text = sent.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sent = text.split(';').next().unwrap_or_default().trim();
    if sent.eq_ignore_ascii_case(expected) { Ok(()) } else { Err(Failure::UnsupportedMediaType) }
}

/// The whole body, or [`Failure::TooLarge`] beyond `limit` bytes.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Failure> {
    let unread = Unread::new(headers, body, limit)?;
    let announced = unread.announced();
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    unread
        .each(|part| {
            // A body that comes at once is not copied.
            if first.is_empty() && whole.is_empty() {
                first = part;
                return;
            }
            if whole.is_empty() {
                whole.reserve(announced.min(RESERVED).max(first.len() + part.len()));
                whole.extend_from_slice(&first);
            }
            if whole.len() + part.len() > whole.capacity() {
                whole.reserve(announced.saturating_sub(whole.len()).max(part.len()));
            }
            whole.extend_from_slice(&part);
        })
        .await?;
    Ok(if whole.is_empty() { first } else { whole.into() })
}

impl Payload {
    /// JSON that came as part of a body.
    pub fn json_text(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), media_type: None }
    }

    /// The body as JSON of the type `application/json`.
    pub async fn json(&self) -> Result<Value, Failure> {
        self.json_of("application/json").await
    }

    /// The body as JSON of the media type `expected`.
    pub async fn json_of(&self, expected: &str) -> Result<Value, Failure> {
        self.expect_type(expected)?;
        self.parse(|bytes| serde_json::from_slice(bytes).map_err(|_| Failure::UndecodableBody)).await
    }

    /// Refuses any other media type; letter case and parameters do not matter.
    pub fn expect_type(&self, expected: &str) -> Result<(), Failure> {
        expect_type(self.media_type.as_ref(), expected)
    }

    /// What a scanner finds in the bytes, if it is sure of it.
    pub async fn scan<T, F>(&self, scanner: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(&[u8]) -> Option<T> + Send + 'static,
    {
        if self.bytes.len() < LARGE_TO_SCAN {
            return scanner(&self.bytes);
        }
        let bytes = self.bytes.clone();
        tokio::task::spawn_blocking(move || scanner(&bytes)).await.ok().flatten()
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

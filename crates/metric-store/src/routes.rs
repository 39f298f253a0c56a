//! The owner's side of [`RemoteStore`](crate::RemoteStore):
//! `POST /internal/v1/{append,query,compute,delete,erase,adopt,statistics}`.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use nephos_model::MetricId;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::compute::Computation;
use crate::contract::{Adoption, Batch, Erase, MetricStore, SeriesRequest, StoreError};
use crate::options::Limits;
use crate::protocol::{CONTENT_TYPE, Message, decode, encode};

/// The internal routes over a store, for callers that know the token. `limits.body` bounds a request.
pub fn routes(store: Arc<dyn MetricStore>, token: SecretString, limits: Limits) -> Router {
    Router::new()
        .route("/internal/v1/append", post(append))
        .route("/internal/v1/query", post(query))
        .route("/internal/v1/compute", post(compute))
        .route("/internal/v1/delete", post(delete))
        .route("/internal/v1/erase", post(erase))
        .route("/internal/v1/adopt", post(adopt))
        .route("/internal/v1/statistics", post(statistics))
        .layer(DefaultBodyLimit::max(usize::try_from(limits.body).unwrap_or(usize::MAX)))
        // Outermost: who does not know the token does not get us to read a body.
        .layer(from_fn_with_state(Arc::new(token), authorize))
        .with_state(store)
}

async fn authorize(State(token): State<Arc<SecretString>>, request: Request<Body>, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    let expected = token.expose_secret().as_bytes();
    if !expected.is_empty() && bool::from(given.ct_eq(expected)) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
}

type Owner = State<Arc<dyn MetricStore>>;

async fn append(State(store): Owner, body: Bytes) -> Response {
    answer(body, |batch: Batch| async move { store.append(Arc::new(batch)).await }).await
}

async fn query(State(store): Owner, body: Bytes) -> Response {
    answer(body, |requests: Vec<SeriesRequest>| async move { store.query(requests).await }).await
}

async fn compute(State(store): Owner, body: Bytes) -> Response {
    answer(body, |computations: Vec<Computation>| async move { store.compute(computations).await }).await
}

async fn delete(State(store): Owner, body: Bytes) -> Response {
    answer(body, |metrics: Vec<MetricId>| async move { store.delete(&metrics).await }).await
}

async fn erase(State(store): Owner, body: Bytes) -> Response {
    answer(body, |range: Erase| async move { store.erase(&range).await }).await
}

async fn adopt(State(store): Owner, body: Bytes) -> Response {
    answer(body, |adoption: Adoption| async move { store.adopt(&adoption).await }).await
}

async fn statistics(State(store): Owner, body: Bytes) -> Response {
    answer(body, |()| async move { store.statistics().await }).await
}

async fn answer<Q: Message, A: Message, F>(body: Bytes, call: impl FnOnce(Q) -> F) -> Response
where
    F: Future<Output = Result<A, StoreError>>,
{
    let request = match decode(&body) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    drop(body);
    let answer = call(request).await;
    let status = answer.as_ref().map_or_else(status, |_| StatusCode::OK);
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], encode(&answer)).into_response()
}

fn status(error: &StoreError) -> StatusCode {
    match error {
        StoreError::DiskFull { .. } | StoreError::NoOwner { .. } | StoreError::Closed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        StoreError::Remote { .. } => StatusCode::BAD_GATEWAY,
        StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        StoreError::Damaged { .. } | StoreError::Format { .. } | StoreError::Io { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

//! The owner's side of [`RemoteStore`](crate::RemoteStore): `POST /internal/v1/{append,delete,erase,adopt,statistics}`
//! and `POST /internal/v2/{query,compute}`, whose answers are sent while they are read.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::{StreamExt, stream};
use nephos_model::MetricId;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::compute::Computation;
use crate::contract::{Adoption, Batch, Erase, MetricStore, Progress, SeriesRequest, StoreError};
use crate::options::Limits;
use crate::protocol::frames::{Item, Outgoing};
use crate::protocol::{CONTENT_TYPE, FRAMES_TYPE, Message, decode, encode};

/// The internal routes over a store, for callers that know the token. `limits.body` bounds a request.
pub fn routes(store: Arc<dyn MetricStore>, token: SecretString, limits: Limits) -> Router {
    Router::new()
        .route("/internal/v1/append", post(append))
        .route("/internal/v2/query", post(query))
        .route("/internal/v2/compute", post(compute))
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
    answer_in_parts(body, move |requests: Arc<Vec<SeriesRequest>>, mut so_far| {
        let store = Arc::clone(&store);
        async move { store.query_next(&requests, &mut so_far).await.map(|part| (part, so_far)) }
    })
    .await
}

async fn compute(State(store): Owner, body: Bytes) -> Response {
    answer_in_parts(body, move |computations: Arc<Vec<Computation>>, mut so_far| {
        let store = Arc::clone(&store);
        async move { store.compute_next(&computations, &mut so_far).await.map(|part| (part, so_far)) }
    })
    .await
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
    let request = match read(body) {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    match call(request).await {
        Ok(answer) => {
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], encode(&Ok::<_, StoreError>(answer))).into_response()
        }
        Err(error) => refused(error),
    }
}

/// Sends what `next` answers, part by part: each is read when what came before it was taken, and none any more when the
/// caller is gone.
async fn answer_in_parts<R, T, F>(
    body: Bytes,
    next: impl Fn(Arc<Vec<R>>, Progress) -> F + Send + 'static,
) -> Response
where
    R: Send + Sync + 'static,
    Vec<R>: Message,
    T: Item,
    F: Future<Output = Result<(Vec<T>, Progress), StoreError>> + Send + 'static,
{
    let requests: Arc<Vec<R>> = match read(body) {
        Ok(requests) => Arc::new(requests),
        Err(refusal) => return refusal,
    };
    let parts = stream::try_unfold(Progress::default(), move |so_far| {
        let part = (so_far.answered < requests.len()).then(|| next(Arc::clone(&requests), so_far));
        async move {
            match part {
                Some(part) => part.await.map(Some),
                None => Ok(None),
            }
        }
    });
    let mut parts = parts.boxed();
    // An error that is met before anything was sent is all there is to send.
    let first = match parts.next().await.transpose() {
        Ok(first) => first.unwrap_or_default(),
        Err(error) => return refused(error),
    };
    let mut outgoing = Outgoing::new(first, parts);
    let first = outgoing.frame().await.unwrap_or_default();
    let body = if outgoing.is_ended() {
        Body::from(first)
    } else {
        let rest = stream::unfold(outgoing, |mut outgoing| async {
            outgoing.frame().await.map(|frame| (frame, outgoing))
        });
        Body::from_stream(stream::once(ready(first)).chain(rest).map(Ok::<_, Infallible>))
    };
    ([(header::CONTENT_TYPE, FRAMES_TYPE)], body).into_response()
}

/// The request in a body, or what is answered if there is none.
#[allow(clippy::result_large_err)]
fn read<Q: Message>(body: Bytes) -> Result<Q, Response> {
    decode(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())
}

fn refused(error: StoreError) -> Response {
    let status = status(&error);
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], encode(&Err::<(), _>(error))).into_response()
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

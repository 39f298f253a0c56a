//! The API server: Gnocchi's `/v1`, Aodh's `/v2`, and what is our own.
//!
//! An endpoint has three layers: a route (HTTP in, HTTP out), a function in [`service`] (permissions and meaning, no
//! HTTP), and the traits of the index and the metric store. [`routes::Routes`] holds each route with its description,
//! so the OpenAPI document in `openapi/nephos.json` cannot differ from what is served. Refusals leave handlers as
//! [`failure::Failure`]; [`http::frame`] gives them the form that the client asked for.

pub mod aodh;
pub mod failure;
pub mod gnocchi;
pub mod http;
pub mod ingest;
mod instrument;
pub mod limits;
pub mod openapi;
mod own;
pub mod routes;
pub mod service;
pub mod state;

pub use aodh::AlarmOptions;
pub use ingest::statsd::{Statsd, StatsdOptions};
pub use limits::LimitOptions;
pub use service::expiry::{expire_history, expire_resources};
pub use service::metrics::{HousekeepingError, housekeeping};
pub use state::{ApiOptions, ApiState};

use std::sync::Arc;

use ::http::StatusCode;
use ::http::header::CONTENT_TYPE;
use axum::extract::OriginalUri;
use axum::response::{IntoResponse, Response};
use nephos_identity::Identity;
use nephos_index::Index;
use nephos_metric_store::MetricStore;
use nephos_model::Clock;
use nephos_observe::{Health, Metrics, Shutdown};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;

use crate::failure::Failure;
use crate::http::frame::Framed;
use crate::limits::Limits;
use crate::routes::Description;

/// What the server is made of.
#[derive(Debug)]
pub struct ApiParts {
    /// Where it listens; bound already.
    pub listener: TcpListener,
    /// Keys and certificates, if clients reach it by TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// A further listener that serves the alarm API at its own root.
    pub aodh: Option<TcpListener>,
    /// Where StatsD's datagrams are taken, if they are.
    pub statsd: Option<Statsd>,
    /// Policies, resources, metrics, alarms.
    pub index: Arc<dyn Index>,
    /// Measures.
    pub store: Arc<dyn MetricStore>,
    /// Makes out callers.
    pub identity: Arc<dyn Identity>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What `/readyz` reports.
    pub health: Health,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What an operator set.
    pub options: ApiOptions,
}

/// Serves until shutdown is requested and requests in flight have ended.
pub async fn run(parts: ApiParts, shutdown: Shutdown) {
    let ApiParts { listener, tls, aodh, statsd, index, store, identity, clock, health, metrics, mut options } =
        parts;
    options.tls = tls.is_some();
    let drain = options.drain_timeout;
    let limits = Limits::new(options.limits.clone());
    let state = Arc::new(ApiState { index, store, identity, clock, health, metrics, limits, options });
    let alone = async {
        if let Some(listener) = aodh {
            let app = Framed::new(Arc::clone(&state), aodh::standalone(Arc::clone(&state)));
            nephos_observe::http::serve(listener, tls.clone(), app, shutdown.clone(), drain).await;
        }
    };
    let whole =
        nephos_observe::http::serve(listener, tls.clone(), app(Arc::clone(&state)), shutdown.clone(), drain);
    let datagrams = async {
        if let Some(statsd) = statsd {
            ingest::statsd::run(Arc::clone(&state), statsd, shutdown.clone()).await;
        }
    };
    tokio::join!(whole, alone, datagrams);
}

/// Everything that is served.
pub fn app(state: Arc<ApiState>) -> Framed {
    let (gnocchi, _) = gnocchi::routes().build();
    let aodh = aodh::router(Arc::clone(&state));
    let document = openapi::text(&openapi::document(descriptions()));
    let gnocchi = gnocchi.with_state(Arc::clone(&state));
    let (ingest, _) = ingest::routes().build();
    let ingest = ingest.with_state(Arc::clone(&state));
    let inner = gnocchi
        .merge(ingest)
        .merge(aodh)
        .merge(own::router(document))
        .merge(nephos_observe::http::router(state.health.clone(), state.metrics.clone()))
        .fallback(unknown_path);
    Framed::new(state, inner)
}

/// The descriptions of everything that the OpenAPI document tells of.
pub fn descriptions() -> Vec<Description> {
    vec![gnocchi::routes().build().1, ingest::routes().build().1, aodh::description()]
}

async fn unknown_path(OriginalUri(uri): OriginalUri) -> Response {
    if uri.path() == "/v2" || uri.path().starts_with("/v2/") {
        let body = r#"{"error_message": "404 Not Found\n\nThe resource could not be found.\n\n   "}"#;
        return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/json")], body).into_response();
    }
    Failure::UnknownPath.into_response()
}

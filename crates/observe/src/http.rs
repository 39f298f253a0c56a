//! Endpoints every process has: `/healthz` (it runs), `/readyz` (what it depends on works), `/metrics`.

mod again;
mod serving;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::health::Health;
use crate::meters::Metrics;
use crate::shutdown::Shutdown;
pub use serving::{Answers, IDLE};
use tls::TlsConnections;

#[derive(Clone)]
struct Endpoints {
    health: Health,
    metrics: Metrics,
}

/// The other end of a connection. Every request that [`serve`] serves carries it as [`ConnectInfo`].
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// The address a request came from, where it is known.
    pub fn of(extensions: &axum::http::Extensions) -> Option<std::net::IpAddr> {
        extensions.get::<ConnectInfo<Self>>().map(|ConnectInfo(peer)| peer.0.ip())
    }
}

/// The routes `/healthz`, `/readyz` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(Arc::new(Endpoints { health, metrics }))
}

/// The same routes while a process starts; everything else is answered 503, to be asked again.
pub fn starting(health: Health, metrics: Metrics) -> Router {
    router(health, metrics).fallback(|| async {
        let text = "Nephos is starting; /readyz tells what it waits for.\n";
        (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text)
    })
}

/// Serves `app` on a bound listener, by TLS if there are keys, until shutdown is requested; requests in flight then get
/// `drain` to end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    app: impl Answers,
    shutdown: Shutdown,
    drain: Duration,
) {
    let overdue = async {
        shutdown.requested().await;
        tokio::time::sleep(drain).await;
    };
    let served = async {
        match tls {
            None => serving::run(listener, app, shutdown.clone()).await,
            Some(config) => {
                let connections = TlsConnections::start(listener, TlsAcceptor::from(config), &shutdown);
                serving::run(connections, app, shutdown.clone()).await;
            }
        }
    };
    tokio::select! {
        () = served => {}
        () = overdue => tracing::warn!("requests in flight were cut off at shutdown"),
    }
}

/// 200 if every check passes, else 503; each check by name with `ok` or why it fails.
async fn ready(State(endpoints): State<Arc<Endpoints>>) -> Response {
    let report = endpoints.health.report();
    let is_ready = report.values().all(Result::is_ok);
    let checks: BTreeMap<_, _> = report
        .into_iter()
        .map(|(name, result)| (name, result.err().unwrap_or_else(|| "ok".to_owned())))
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ready": is_ready, "checks": checks}).to_string();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn render(State(endpoints): State<Arc<Endpoints>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], endpoints.metrics.render()).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use tokio::net::TcpStream;

    use super::*;

    async fn get_text(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_names_what_fails_and_recovers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::default();
        let shutdown = Shutdown::default();
        let routes = router(health.clone(), Metrics::install());
        let serving = tokio::spawn(serve(listener, None, routes, shutdown.clone(), Duration::from_secs(1)));

        health.register("index", Arc::new(|| Err("no answer".to_owned())));
        let answer = get_text(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with(r#"{"checks":{"index":"no answer"},"ready":false}"#), "{answer}");
        health.register("index", Arc::new(|| Ok(())));
        assert!(get_text(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get_text(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get_text(address, "/metrics").await.contains("text/plain; version=0.0.4"));

        shutdown.trigger();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn who_was_asking_when_shutdown_came_is_answered_and_who_was_not_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, asked) = (Shutdown::default(), Arc::new(tokio::sync::Notify::new()));
        let (go_on, came) = (Arc::new(tokio::sync::Notify::new()), Arc::clone(&asked));
        let wait = Arc::clone(&go_on);
        let slow = async move |body: String| {
            came.notify_one();
            wait.notified().await;
            body
        };
        let routes = Router::new().route("/", axum::routing::post(slow));
        let serving = tokio::spawn(serve(listener, None, routes, shutdown.clone(), Duration::from_secs(60)));

        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
        asked.notified().await;
        shutdown.trigger();
        let mut answer = String::new();
        assert_eq!(idle.read_to_string(&mut answer).await.unwrap(), 0);
        assert!(!serving.is_finished());
        go_on.notify_one();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
        serving.await.unwrap();
    }
}

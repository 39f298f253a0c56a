//! Accepting connections and answering what comes over them.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::connect_info::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Peer;
use super::again::Again;
use crate::shutdown::Shutdown;

/// How long nothing is accepted after that failed: there may be no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bodies are read in pieces of at most so many bytes, which stay in the processor's cache until somebody has looked at
/// them. Headers may be as long.
const PIECE: usize = 128 << 10;

/// What requests are put to.
pub trait Answers: Clone + Send + Sync + 'static {
    /// The answer to a request.
    fn answer(&self, request: Request) -> impl Future<Output = Response> + Send;
}

impl Answers for Router {
    async fn answer(&self, request: Request) -> Response {
        let Ok(response) = TowerToHyperService::new(self.clone()).call(request).await;
        response
    }
}

/// Where connections come from.
pub(super) trait Connections: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next one. Dropping the future loses none.
    fn next(&mut self) -> impl Future<Output = (Self::Stream, SocketAddr)> + Send;
}

/// Connections without TLS.
impl Connections for TcpListener {
    type Stream = TcpStream;

    async fn next(&mut self) -> (TcpStream, SocketAddr) {
        accept(self).await
    }
}

/// The next connection. Small answers go out at once instead of waiting to be joined by more.
pub(super) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A socket that refuses this works without.
                let _slower = stream.set_nodelay(true);
                return (stream, peer);
            }
            // Who wanted to connect went away again: that says nothing of the next one.
            Err(error) if is_of_peer(error.kind()) => {
                tracing::debug!(error = %error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                tracing::warn!(error = %error, "connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_peer(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    matches!(kind, ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves until shutdown is requested and every request in flight was answered.
pub(super) async fn run(mut connections: impl Connections, app: impl Answers, shutdown: Shutdown) {
    let (open, seen) = watch::channel(());
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            connection = connections.next() => connection,
        };
        let (app, shutdown, seen) = (app.clone(), shutdown.clone(), seen.clone());
        tokio::spawn(Again::new(async move {
            connection(stream, peer, &app, &shutdown).await;
            drop(seen);
        }));
    }
    drop((connections, seen));
    open.closed().await;
}

/// Answers what comes over one connection until it is closed.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    app: &impl Answers,
    shutdown: &Shutdown,
) {
    let answer = service_fn(|request: hyper::Request<Incoming>| async move {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(Peer(peer)));
        Ok::<_, std::convert::Infallible>(app.answer(request).await)
    });
    let mut served =
        pin!(http1::Builder::new().max_buf_size(PIECE).serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = shutdown.requested() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%peer, %error, "a connection broke");
    }
}

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
use hyper_util::rt::{TokioIo, TokioTimer};
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

/// How long a connection may take from an answer, or from its beginning, to the end of the next request's headers. Who
/// sends nothing, or a byte now and then, doesn't keep a connection for ever.
pub const IDLE: Duration = Duration::from_secs(75);

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
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(PIECE);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), answer));
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::{Instant, sleep};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// The client's end of a connection that is served.
    fn connected() -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            let app = Router::new().route("/", get(|| async { sleep(IDLE * 2).await }));
            connection(server, ([127, 0, 0, 1], 1).into(), &app, &Shutdown::default()).await;
        });
        client
    }

    async fn is_closed(client: &mut DuplexStream) -> bool {
        tokio::time::timeout(IDLE / 10, client.read(&mut [0]))
            .await
            .is_ok_and(|read| read.is_ok_and(|n| n == 0))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_ends_its_headers_is_closed() {
        for part in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\nslow: "] {
            let (mut client, start) = (connected(), Instant::now());
            client.write_all(part).await.unwrap();
            while !is_closed(&mut client).await {
                // One more byte now and then does not count as progress.
                let _closed = client.write_all(part.get(..1).unwrap_or_default()).await;
                assert!(start.elapsed() < IDLE * 2, "{part:?}");
            }
            assert!(start.elapsed() >= IDLE, "{part:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_not_idleness_and_the_connection_serves_again() {
        let mut client = connected();
        for _ in 0..3 {
            client.write_all(REQUEST).await.unwrap();
            let mut answer = vec![0; 1_024];
            let read = client.read(&mut answer).await.unwrap();
            assert!(answer.get(..read).unwrap().starts_with(b"HTTP/1.1 200"), "{answer:?}");
            sleep(IDLE / 2).await;
        }
    }
}

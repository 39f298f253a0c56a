//! Accepting connections, in the clear or by TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use nephos_observe::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// Handshakes that may wait for the server to take them.
const PENDING: usize = 128;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` on a bound listener until shutdown is requested; requests in flight then get `drain` to end.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    app: Router,
    shutdown: Shutdown,
    drain: Duration,
) -> io::Result<()> {
    match tls {
        None => nephos_observe::http::serve(listener, app, shutdown, drain).await,
        Some(config) => {
            let stop = shutdown.clone();
            let listener = TlsListener::start(listener, TlsAcceptor::from(config), &shutdown)?;
            let graceful =
                axum::serve(listener, app).with_graceful_shutdown(async move { stop.requested().await });
            let overdue = async {
                shutdown.requested().await;
                tokio::time::sleep(drain).await;
            };
            tokio::select! {
                served = graceful => served,
                () = overdue => Ok(()),
            }
        }
    }
}

/// Connections whose handshakes are done. Handshakes run beside each other, so that a slow client holds up nobody.
#[derive(Debug)]
struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    fn start(listener: TcpListener, acceptor: TlsAcceptor, shutdown: &Shutdown) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(PENDING);
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = stop.requested() => {}
                () = accept_all(listener, acceptor, sender) => {}
            }
        });
        Ok(Self { ready, address })
    }
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let Ok(place) = sender.clone().reserve_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let handshake = acceptor.accept(stream);
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                        Ok(Ok(stream)) => drop(place.send((stream, peer))),
                        Ok(Err(error)) => tracing::debug!(%peer, error = %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task has stopped: so will the server, by the same shutdown.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

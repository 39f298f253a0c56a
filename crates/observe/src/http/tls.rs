//! Accepting connections by TLS.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::serving::{Connections, accept};
use crate::shutdown::Shutdown;

/// Handshakes that may wait for the server to take them.
const PENDING: usize = 128;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections whose handshakes are done. Handshakes run beside each other, so that a slow client holds up nobody.
#[derive(Debug)]
pub(super) struct TlsConnections {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsConnections {
    pub(super) fn start(listener: TcpListener, acceptor: TlsAcceptor, shutdown: &Shutdown) -> Self {
        let (sender, ready) = mpsc::channel(PENDING);
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = stop.requested() => {}
                () = accept_all(listener, acceptor, sender) => {}
            }
        });
        Self { ready }
    }
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let Ok(place) = sender.clone().reserve_owned().await else { return };
        let (stream, peer) = accept(&listener).await;
        let handshake = acceptor.accept(stream);
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => drop(place.send((stream, peer))),
                Ok(Err(error)) => tracing::debug!(%peer, error = %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        });
    }
}

impl Connections for TlsConnections {
    type Stream = TlsStream<TcpStream>;

    async fn next(&mut self) -> (TlsStream<TcpStream>, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task has stopped: so will the server, by the same shutdown.
            None => std::future::pending().await,
        }
    }
}

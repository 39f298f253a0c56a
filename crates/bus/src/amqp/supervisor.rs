//! Keeps a session alive.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use nephos_observe::Backoff;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::Peer;
use super::session::Session;
use crate::contract::BusError;
use crate::instrument;

/// How often a connection is looked at, besides the events it reports itself.
const CHECK: Duration = Duration::from_millis(500);
/// How long opening a session may take in all.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// The state of the connection, as publishers and consumers see it.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Not there; the supervisor is at it.
    Down {
        reason: String,
        /// Whether the broker turned us away.
        refused: bool,
        peer: Peer,
    },
    /// There.
    Up(Arc<Session>),
    /// Never again.
    Closed,
}

impl Link {
    /// The session, or why there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, BusError> {
        match self {
            Self::Up(session) => Ok(Arc::clone(session)),
            Self::Closed => Err(BusError::Closed),
            Self::Down { reason, refused: true, peer } => {
                Err(BusError::Refused { url: peer.url.clone(), reason: reason.clone() })
            }
            Self::Down { reason, refused: false, peer } => Err(peer.unavailable(reason)),
        }
    }
}

/// What it takes to connect.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) peer: Peer,
    pub(super) uri: AMQPUri,
    pub(super) ca: Option<String>,
    pub(super) member: String,
}

impl Connector {
    /// Opens a session of its own, known to the broker by this process's name and `purpose`. Whoever opens it also
    /// [watches over](watch_over) it.
    pub(super) async fn open(&self, purpose: &str) -> Result<(Arc<Session>, Events), BusError> {
        let opening = async {
            let name = format!("{}{purpose}", self.member);
            let properties = ConnectionProperties::default()
                .with_connection_name(name.as_str().into())
                .with_client_property("product".into(), "nephos".into());
            let tls = OwnedTLSConfig { identity: None, cert_chain: self.ca.clone() };
            let runtime = lapin::runtime::default_runtime().map_err(|error| self.peer.error(&error))?;
            let connection =
                Connection::connect_uri_with_config(self.uri.clone(), properties, tls, runtime).await;
            let connection = connection.map_err(|error| self.peer.error(&error))?;
            let events: Events = Box::pin(connection.events_listener());
            Ok((Session::open(self.peer.clone(), connection).await?, events))
        };
        let opened = tokio::time::timeout(OPEN_TIMEOUT, opening).await;
        opened.unwrap_or_else(|_| Err(self.peer.unavailable("no answer in time")))
    }
}

/// Keeps the session that all share.
pub(super) struct Supervisor {
    pub(super) connector: Arc<Connector>,
    pub(super) closed: CancellationToken,
}

impl Supervisor {
    /// Starts the task that connects, and connects again, until `closed`.
    pub(super) fn start(self) -> watch::Receiver<Link> {
        let (sender, receiver) = watch::channel(self.down("not connected yet", false));
        tokio::spawn(async move {
            let closed = self.closed.clone();
            // Cancelled in the middle of connecting there is nothing to clean up.
            closed.run_until_cancelled(self.keep_connected(&sender)).await;
            let last = sender.send_replace(Link::Closed);
            if let Link::Up(session) = last {
                session.close().await;
            }
            instrument::connected(false);
        });
        receiver
    }

    fn down(&self, reason: impl ToString, refused: bool) -> Link {
        Link::Down { reason: reason.to_string(), refused, peer: self.connector.peer.clone() }
    }

    async fn keep_connected(&self, link: &watch::Sender<Link>) {
        let mut backoff = Backoff::default();
        let mut told = false;
        loop {
            match self.connector.open("").await {
                Ok((session, events)) => {
                    if told {
                        tracing::info!(bus = self.connector.peer.url, "message bus is reachable again");
                    } else {
                        tracing::info!(bus = self.connector.peer.url, "connected to the message bus");
                    }
                    instrument::connected(true);
                    link.send_replace(Link::Up(Arc::clone(&session)));
                    let reason = watch_over(&session, events).await;
                    link.send_replace(self.down(&reason, false));
                    instrument::connected(false);
                    instrument::failed("connection");
                    tracing::warn!(
                        bus = self.connector.peer.url,
                        reason,
                        "message bus was lost; connecting again"
                    );
                    told = true;
                    session.close().await;
                    backoff.reset();
                }
                Err(error) => {
                    if !told {
                        tracing::warn!(%error, "message bus cannot be reached; trying on");
                        told = true;
                    }
                    let (reason, refused) = match error {
                        BusError::Refused { reason, .. } => (reason, true),
                        BusError::Unavailable { reason, .. } => (reason, false),
                        other => (other.to_string(), false),
                    };
                    link.send_replace(self.down(reason, refused));
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

/// What a connection reports by itself.
pub(super) type Events = std::pin::Pin<Box<dyn futures_util::Stream<Item = Event> + Send>>;

/// Waits until the session is of no use any more; says why.
pub(super) async fn watch_over(session: &Session, mut events: Events) -> String {
    let mut check = tokio::time::interval(CHECK);
    loop {
        tokio::select! {
            event = events.next() => match event {
                // Errors of single channels are told to whoever uses them.
                Some(Event::Error(error)) if !error.is_amqp_soft_error() => return error.to_string(),
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(bus = session.peer.url, reason, "message bus takes no messages for now");
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!(bus = session.peer.url, "message bus takes messages again");
                }
                Some(_) => {}
                None => return "the connection ended".to_owned(),
            },
            () = session.over() => return "a channel failed".to_owned(),
            _ = check.tick() => {
                if !session.connection.status().connected() {
                    return "the connection ended".to_owned();
                }
                if !session.publisher.status().connected() {
                    return "the publishing channel was closed".to_owned();
                }
            }
        }
    }
}

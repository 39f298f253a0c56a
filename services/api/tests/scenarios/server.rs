//! A server to test, and requests to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nephos_api::http::cors::Cors;
use nephos_api::{ApiOptions, ApiParts};
use nephos_identity::Identity;
use nephos_index::{Defaults, SqlIndex};
use nephos_metric_store::{LocalStore, MetricStore, StoreOptions};
use nephos_model::{ManualClock, Timestamp};
use nephos_observe::{Health, Metrics, Shutdown};
use nephos_sql::Db;
use nephos_sql::migrations::{INDEX, migrate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server of its own on SQLite and local files.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) aodh: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) index: Arc<SqlIndex>,
    pub(crate) store: Arc<LocalStore>,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(identity: Arc<dyn Identity>) -> Self {
        Self::start_on(identity, |store| store).await
    }

    /// Starts with a store that stands before the local one.
    pub(crate) async fn start_on(
        identity: Arc<dyn Identity>,
        before: impl FnOnce(Arc<dyn MetricStore>) -> Arc<dyn MetricStore>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_500_000_000)));
        let db =
            Db::connect(&format!("sqlite:{}", folder.path().join("index.sqlite").display())).await.unwrap();
        migrate(&db, &[&INDEX]).await.unwrap();
        let index = Arc::new(SqlIndex::open(db, Arc::clone(&clock) as _).await.unwrap());
        index.ensure_defaults(&Defaults::default()).await.unwrap();
        let store = LocalStore::open(StoreOptions {
            min_free: 0,
            ..StoreOptions::new(folder.path().join("store"), Arc::clone(&clock) as _)
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let alone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aodh = alone.local_addr().unwrap();
        let cors =
            Cors { allowed_origins: vec!["http://foobar.com".to_owned()], allowed_headers: Vec::new() };
        let parts = ApiParts {
            listener,
            tls: None,
            aodh: Some(alone),
            statsd: None,
            index: Arc::clone(&index) as _,
            store: before(Arc::clone(&store) as _),
            identity,
            clock: Arc::clone(&clock) as _,
            health: Health::default(),
            metrics: Metrics::install(),
            options: ApiOptions {
                max_limit: 3,
                max_body: 4_096,
                drain_timeout: Duration::from_secs(1),
                cors,
                ..ApiOptions::default()
            },
        };
        let shutdown = Shutdown::default();
        let stop = shutdown.clone();
        shutdown.spawn(nephos_api::run(parts, stop));
        Self { address, aodh, clock, index, store, shutdown, _folder: folder }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.shutdown.drained().await;
        self.store.close().await;
    }
}

/// An answer, headers by their names in small letters.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Sends a request over a connection of its own; `head` is its first line and headers but for the length.
pub(crate) async fn send(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    send_in_pieces(address, head, body, body.len().max(1)).await
}

/// The same, with a body of which so many bytes come at a time.
pub(crate) async fn send_in_pieces(address: SocketAddr, head: &str, body: &[u8], piece: usize) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    for piece in body.chunks(piece) {
        // The server may have answered, and gone, before it read all.
        let _sent = stream.write_all(piece).await;
        if piece.len() < body.len() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

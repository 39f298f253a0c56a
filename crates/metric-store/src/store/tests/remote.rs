//! The same contract over a real socket.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::remote::{Owner, OwnerLookup, RemoteOptions, RemoteStore};
use crate::routes::routes;

mod parts;
mod pushed;
mod streamed;

const TOKEN: &str = "a token of some length";

/// Answers with no owner or an error as often as told, then with the owner.
#[derive(Debug)]
struct Lookup {
    url: String,
    nobody: AtomicU32,
}

#[async_trait]
impl OwnerLookup for Lookup {
    async fn owner(&self, _shard: u32) -> Result<Option<Owner>, String> {
        match self.nobody.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(left) if left.is_multiple_of(2) => Ok(None),
            Ok(_) => Err("the leases are unreachable".to_owned()),
            Err(_) => Ok(Some(Owner { url: self.url.clone(), epoch: 1 })),
        }
    }
}

struct Remote {
    local: Local,
    store: Arc<RemoteStore>,
    server: JoinHandle<()>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn client() -> reqwest::Client {
    // Another test of this process may have been first.
    let _installed = rustls::crypto::ring::default_provider().install_default().is_ok();
    reqwest::Client::new()
}

fn remote(url: &str, nobody: u32, token: &str) -> Arc<RemoteStore> {
    let owners = Arc::new(Lookup { url: url.to_owned(), nobody: AtomicU32::new(nobody) });
    let options = RemoteOptions {
        patience: Duration::from_secs(2),
        ..RemoteOptions::new(SecretString::from(token.to_owned()), 3)
    };
    Arc::new(RemoteStore::new(client(), owners, options))
}

async fn serve(store: Arc<dyn MetricStore>, address: &str, limits: Limits) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = routes(store, SecretString::from(TOKEN.to_owned()), limits);
    (url, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

impl Remote {
    async fn new() -> Self {
        let local = Local::new(3);
        let (url, server) = serve(local.store(), "127.0.0.1:0", Limits::default()).await;
        Self { store: remote(&url, 0, TOKEN), server, local }
    }
}

#[async_trait]
impl Subject for Remote {
    fn store(&self) -> Arc<dyn MetricStore> {
        Arc::clone(&self.store) as Arc<dyn MetricStore>
    }

    async fn reopen(&mut self) {
        self.server.abort();
        while !self.server.is_finished() {
            tokio::task::yield_now().await;
        }
        self.local.local().close().await;
        self.local.reopen().await;
        let (url, server) = serve(self.local.store(), "127.0.0.1:0", Limits::default()).await;
        self.server = server;
        self.store = remote(&url, 0, TOKEN);
    }

    async fn compact(&mut self) {
        self.local.compact().await;
    }
}

crate::contract_suite!(Remote::new().await);

#[tokio::test]
async fn a_call_waits_for_an_owner_and_goes_on_when_there_is_one() {
    let local = Local::new(3);
    let (url, server) = serve(local.store(), "127.0.0.1:0", Limits::default()).await;
    let store = remote(&url, 4, TOKEN);
    let report = store.append_runs(vec![run(MetricId::random(), [(0, 1.0)])]).await.unwrap();
    assert_eq!(report.accepted, 1);
    server.abort();
}

#[tokio::test]
async fn a_call_whose_owner_restarts_is_repeated() {
    let local = Local::new(3);
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap().to_string();
    drop(reserved);
    let store = remote(&format!("http://{address}"), 0, TOKEN);
    let call =
        tokio::spawn(async move { store.append_runs(vec![run(MetricId::random(), [(0, 1.0)])]).await });
    // The first tries find the port closed.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!call.is_finished());
    let (_, server) = serve(local.store(), &address, Limits::default()).await;
    assert_eq!(call.await.unwrap().unwrap().accepted, 1);
    server.abort();
}

#[tokio::test]
async fn without_an_owner_a_call_ends_when_patience_does() {
    let store = remote("http://127.0.0.1:1", u32::MAX, TOKEN);
    for result in [
        store.compute(vec![pushed::sum(&[MetricId::random()])]).await.map(drop),
        store.append_runs(vec![run(MetricId::random(), [(0, 1.0)])]).await.map(drop),
        store.query(vec![request(MetricId::random())]).await.map(drop),
    ] {
        assert!(matches!(result, Err(StoreError::NoOwner { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_at_once_and_says_so() {
    let local = Local::new(3);
    let (url, server) = serve(local.store(), "127.0.0.1:0", Limits::default()).await;
    for token in ["", "a token of some lengtH", "a token"] {
        let refused = remote(&url, 0, token).append_runs(vec![run(MetricId::random(), [(0, 1.0)])]).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("401"), "{text}");
    }
    server.abort();
}

#[tokio::test]
async fn errors_of_the_owner_arrive_as_what_they_are() {
    let folder = folder();
    let limits = Limits { measures: 1, ..Limits::default() };
    let full = StoreOptions { min_free: u64::MAX, shards: 3, limits, ..options(folder.path()) };
    let owner = LocalStore::open(full).unwrap();
    let (url, server) = serve(owner, "127.0.0.1:0", Limits::default()).await;
    let store = remote(&url, 0, TOKEN);
    let metric = MetricId::random();
    let refused = store.append_runs(vec![run(metric, [(0, 1.0)])]).await;
    assert!(matches!(refused, Err(StoreError::DiskFull { min_free: u64::MAX, .. })), "{refused:?}");
    let refused = store.append_runs(vec![run(metric, [(0, 1.0), (1, 1.0)])]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { size: 2, limit: 1, .. })), "{refused:?}");
    server.abort();
}

#[tokio::test]
async fn bodies_beyond_the_limit_and_nonsense_are_refused() {
    let local = Local::new(3);
    let (url, server) = serve(local.store(), "127.0.0.1:0", Limits { body: 500, ..Limits::default() }).await;
    let store = remote(&url, 0, TOKEN);
    let refused = store.append_runs(vec![run(MetricId::random(), (0..1_000).map(|at| (at, 0.5)))]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let client = client();
    let nonsense = client.post(format!("{url}/internal/v2/query")).bearer_auth(TOKEN).body("nonsense");
    assert_eq!(nonsense.send().await.unwrap().status(), 400);
    server.abort();
}

#[tokio::test]
async fn a_call_leaves_an_owner_that_does_not_answer_once_there_is_another() {
    /// The first look finds an owner that takes connections and never answers.
    #[derive(Debug)]
    struct Handover {
        looks: AtomicU32,
        stuck: String,
        next: String,
    }

    #[async_trait]
    impl OwnerLookup for Handover {
        async fn owner(&self, _shard: u32) -> Result<Option<Owner>, String> {
            let first = self.looks.fetch_add(1, Ordering::Relaxed) == 0;
            let (url, epoch) = if first { (&self.stuck, 1) } else { (&self.next, 2) };
            Ok(Some(Owner { url: url.clone(), epoch }))
        }
    }

    let local = Local::new(3);
    let (next, server) = serve(local.store(), "127.0.0.1:0", Limits::default()).await;
    let stuck = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owners =
        Handover { looks: AtomicU32::new(0), stuck: format!("http://{}", stuck.local_addr().unwrap()), next };
    let options = RemoteOptions::new(SecretString::from(TOKEN.to_owned()), 3);
    let store = RemoteStore::new(client(), Arc::new(owners), options);
    let report = store.append_runs(vec![run(MetricId::random(), [(0, 1.0)])]).await.unwrap();
    assert_eq!(report.accepted, 1);
    server.abort();
}

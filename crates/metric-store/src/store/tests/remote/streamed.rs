//! Answers that are sent while they are read.

use std::sync::atomic::AtomicUsize;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::compute::{Computation, Computed, Refusal};
use crate::contract::{Adoption, Erase, Progress, SeriesPoints};
use crate::protocol::frames::Outgoing;

/// Makes up series of a thousand points, five a part.
#[derive(Debug, Default)]
pub(super) struct Endless {
    pub(super) parts: AtomicUsize,
    /// What comes instead of the part before which so many others were read.
    failing: std::sync::Mutex<Option<(usize, StoreError)>>,
}

pub(super) fn made_up(number: usize) -> Series {
    let points = SeriesPoints {
        granularity: Granularity::from_secs(60).unwrap(),
        timestamps: (0..1_000).map(|minute| Timestamp::from_secs(minute * 60)).collect(),
        values: (0..1_000).map(|at| f64::from(u32::try_from(number + at).unwrap())).collect(),
    };
    Series { granularities: vec![points] }
}

#[async_trait]
impl MetricStore for Endless {
    async fn append(&self, _batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        unreachable!()
    }

    async fn query(&self, _requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        unreachable!()
    }

    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        let parts = self.parts.fetch_add(1, Ordering::Relaxed);
        if let Some((_, error)) = self.failing.lock().unwrap().take_if(|(part, _)| *part == parts) {
            return Err(error);
        }
        let first = so_far.answered;
        so_far.answered = requests.len().min(first + 5);
        Ok((first..so_far.answered).map(made_up).collect())
    }

    async fn compute_next(
        &self,
        _computations: &Arc<Vec<Computation>>,
        _so_far: &mut Progress,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        unreachable!()
    }

    async fn delete(&self, _metrics: &[MetricId]) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn erase(&self, _erase: &Erase) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn adopt(&self, _adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        unreachable!()
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        unreachable!()
    }
}

pub(super) fn requests(count: usize) -> Vec<SeriesRequest> {
    (0..count).map(|_| request(MetricId::random())).collect()
}

pub(super) async fn endless(
    failing: Option<(usize, StoreError)>,
) -> (Arc<Endless>, Arc<RemoteStore>, JoinHandle<()>) {
    let owner = Arc::new(Endless { failing: std::sync::Mutex::new(failing), ..Endless::default() });
    let (url, server) = serve(Arc::clone(&owner) as _, "127.0.0.1:0", Limits::default()).await;
    (owner, remote(&url, 0, TOKEN), server)
}

#[tokio::test]
async fn many_series_come_in_their_order() {
    let (owner, store, server) = endless(None).await;
    let read = store.query(requests(1_003)).await.unwrap();
    assert_eq!(read, (0..1_003).map(made_up).collect::<Vec<_>>());
    assert_eq!(owner.parts.load(Ordering::Relaxed), 201);
    server.abort();
}

#[tokio::test]
async fn an_error_between_two_parts_arrives_as_what_it_is() {
    for part in [0, 1, 7, 150] {
        let damaged = StoreError::Damaged { path: "a segment".to_owned(), reason: "checksum".to_owned() };
        let (_, store, server) = endless(Some((part, damaged))).await;
        let refused = store.query(requests(1_000)).await;
        assert!(
            matches!(&refused, Err(StoreError::Damaged { path, .. }) if path == "a segment"),
            "{refused:?}"
        );
        server.abort();
    }
}

#[tokio::test]
async fn an_owner_that_gives_up_in_the_middle_is_asked_for_everything_again() {
    let (owner, store, server) = endless(Some((7, StoreError::Closed))).await;
    let mut wanted = requests(500);
    // Of one shard, since the second try goes to each shard's own owner.
    let metric = wanted[0].metric;
    wanted.iter_mut().for_each(|request| request.metric = metric);
    let read = store.query(wanted).await.unwrap();
    assert_eq!(read, (0..500).map(made_up).collect::<Vec<_>>());
    assert_eq!(owner.parts.load(Ordering::Relaxed), 8 + 100);
    server.abort();
}

#[tokio::test]
async fn an_answer_larger_than_allowed_is_refused_at_once() {
    let (owner, _, server) = endless(None).await;
    let (url, second) = serve(Arc::clone(&owner) as _, "127.0.0.1:0", Limits::default()).await;
    let owners = Arc::new(Lookup { url, nobody: AtomicU32::new(0) });
    let limits = Limits { body: 1 << 20, ..Limits::default() };
    let options = RemoteOptions { limits, ..RemoteOptions::new(SecretString::from(TOKEN.to_owned()), 3) };
    let store = RemoteStore::new(client(), owners, options);
    assert_eq!(store.query(requests(100)).await.unwrap().len(), 100);
    let refused = store.query(requests(10_000)).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { what: "an answer's bytes", limit: 1_048_576, .. })),
        "{refused:?}"
    );
    server.abort();
    second.abort();
}

#[tokio::test]
async fn nothing_is_read_for_a_caller_that_takes_nothing_or_is_gone() {
    const SERIES: usize = 100_000;
    let (owner, _, server) = endless(None).await;
    let (url, second) = serve(Arc::clone(&owner) as _, "127.0.0.1:0", Limits::default()).await;
    // The two servers and the test.
    let held = Arc::strong_count(&owner);
    let body = crate::protocol::encode(&requests(SERIES));
    let mut caller = tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /internal/v2/query HTTP/1.1\r\nhost: owner\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    caller.write_all(&body).await.unwrap();
    let mut status = [0; 15];
    caller.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    // What fits into the buffers of the sockets is a small part of some 900 MB.
    let mut read = 0;
    let settled = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = owner.parts.load(Ordering::Relaxed);
            if now == std::mem::replace(&mut read, now) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();
    assert!(read < SERIES / 5 / 4, "{read} parts were read for nobody");
    assert!(Arc::strong_count(&owner) > held, "it waits");
    drop(caller);
    let left = async {
        while Arc::strong_count(&owner) > held {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), left).await.unwrap();
    assert!(owner.parts.load(Ordering::Relaxed) <= read + 1);
    server.abort();
    second.abort();
}

/// What an owner sends of so many series.
pub(super) async fn frames(series: usize) -> Vec<bytes::Bytes> {
    let parts = futures_util::stream::iter((0..series).map(|number| Ok(vec![made_up(number)])));
    let mut outgoing = Outgoing::new(Vec::new(), parts.boxed());
    let mut frames = Vec::new();
    while let Some(frame) = outgoing.frame().await {
        frames.push(frame);
    }
    assert!(frames.len() > 2);
    frames
}

/// However the connection of an owner that dies ends, and wherever: what came before is no answer.
#[tokio::test]
async fn an_owner_that_dies_in_the_middle_gives_no_short_answer() {
    let frames = frames(20).await;
    let cuts = [0, 4, frames[0].len(), frames[0].len() + 1, frames.concat().len() - 1];
    for cut in cuts {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = frames.concat()[..cut].to_vec();
        let dying = tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                assert!(connection.read(&mut request).await.unwrap() > 0);
                // Its length is told by nothing but its end.
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                connection.write_all(head).await.unwrap();
                connection.write_all(&sent).await.unwrap();
                connection.shutdown().await.unwrap();
                // The caller is not kept from reading by a reset.
                drop(connection.read_to_end(&mut Vec::new()).await);
            }
        });
        let owners = Arc::new(Lookup { url, nobody: AtomicU32::new(0) });
        let patience = Duration::from_millis(300);
        let options =
            RemoteOptions { patience, ..RemoteOptions::new(SecretString::from(TOKEN.to_owned()), 3) };
        let store = RemoteStore::new(client(), owners, options);
        let refused = store.query(requests(20)).await;
        assert!(matches!(refused, Err(StoreError::NoOwner { .. })), "cut at {cut}: {refused:?}");
        dying.abort();
    }
}

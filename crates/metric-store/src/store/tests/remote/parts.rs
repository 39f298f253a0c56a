//! Answers of other processes, read part by part.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pushed::{Owners, Shared};
use super::streamed::{Endless, endless, frames, made_up, requests};
use super::*;
use crate::contract::Progress;

const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(30);

/// All parts up to the end or an error.
async fn read_on(
    store: &RemoteStore,
    requests: &Arc<Vec<SeriesRequest>>,
    so_far: &mut Progress,
) -> (Vec<Vec<Series>>, Option<StoreError>) {
    let mut parts = Vec::new();
    let mut answered = so_far.answered;
    while so_far.answered < requests.len() {
        match store.query_next(requests, so_far).await {
            Ok(part) => {
                answered += part.len();
                assert_eq!(so_far.answered, answered);
                assert!(!part.is_empty());
                parts.push(part);
            }
            Err(error) => return (parts, Some(error)),
        }
    }
    (parts, None)
}

/// Takes a request, sends the beginning of an answer and gives the connection.
async fn begin(listener: &TcpListener, sent: &[u8]) -> TcpStream {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut request = [0; 4_096];
    assert!(connection.read(&mut request).await.unwrap() > 0);
    // Its length is told by nothing but its end.
    connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
    connection.write_all(sent).await.unwrap();
    connection
}

fn store_of(owners: impl OwnerLookup + 'static, options: RemoteOptions) -> RemoteStore {
    RemoteStore::new(client(), Arc::new(owners), options)
}

fn options_with(patience: Duration) -> RemoteOptions {
    RemoteOptions { patience, ..RemoteOptions::new(SecretString::from(TOKEN.to_owned()), 3) }
}

#[tokio::test]
async fn parts_come_in_order_and_their_number_grows_with_the_answer() {
    let (owner, store, server) = endless(None).await;
    let requests = Arc::new(requests(1_003));
    let mut so_far = Progress::default();
    let (parts, error) = read_on(&store, &requests, &mut so_far).await;
    assert!(error.is_none(), "{error:?}");
    assert!(parts.len() > 10, "{}", parts.len());
    assert_eq!(parts.concat(), (0..1_003).map(made_up).collect::<Vec<_>>());
    assert_eq!(so_far.points, 1_003_000);
    assert_eq!(owner.parts.load(Ordering::Relaxed), 201);
    assert!(store.query_next(&requests, &mut so_far).await.unwrap().is_empty());
    server.abort();
}

#[tokio::test]
async fn series_of_two_owners_come_in_the_order_of_requests_and_each_is_asked_once() {
    let shared = Shared::new(Limits::default()).await;
    let metrics: Vec<MetricId> = (0..200).map(|_| MetricId::random()).collect();
    let runs = (0..)
        .zip(&metrics)
        .map(|(number, metric)| run(*metric, (0..1_000).map(move |minute| (minute * 60, f64::from(number)))));
    shared.store.append_runs(runs.collect()).await.unwrap();
    let requests: Arc<Vec<SeriesRequest>> = Arc::new(metrics.into_iter().map(request).collect());
    let whole = shared.store.query(requests.to_vec()).await.unwrap();
    shared.counted();
    let (parts, error) = read_on(&shared.store, &requests, &mut Progress::default()).await;
    assert!(error.is_none(), "{error:?}");
    assert!(parts.len() > 3, "{}", parts.len());
    assert!(parts.concat() == whole);
    assert!(whole.iter().zip(0..).all(|(series, number)| {
        let values = &series.granularities[0].values;
        values.len() == 1_000 && values.iter().all(|value| *value == f64::from(number))
    }));
    let [(first, some), (second, others)] = shared.counted();
    assert_eq!((first, second, some + others), (1, 1, 200));
}

#[tokio::test]
async fn what_came_is_handed_on_while_the_owner_stalls_and_it_learns_when_the_reader_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = remote(&format!("http://{}", listener.local_addr().unwrap()), 0, TOKEN);
    let frames = frames(20).await;
    let owner = tokio::spawn(async move { begin(&listener, &frames[0]).await });
    let requests = Arc::new(requests(20));
    let mut so_far = Progress::default();
    let part = timeout(LATE, store.query_next(&requests, &mut so_far)).await.unwrap().unwrap();
    assert!((1..20).contains(&part.len()), "{}", part.len());
    assert_eq!(part, (0..part.len()).map(made_up).collect::<Vec<_>>());
    let mut connection = owner.await.unwrap();
    assert_eq!(timeout(SOON, connection.read(&mut [0])).await.ok().map(Result::unwrap), None, "it waits");
    drop(so_far);
    assert_eq!(timeout(LATE, connection.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_reader_that_leaves_while_it_waits_ends_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = remote(&format!("http://{}", listener.local_addr().unwrap()), 0, TOKEN);
    let owner = tokio::spawn(async move { begin(&listener, &[]).await });
    let requests = Arc::new(requests(20));
    let mut so_far = Progress::default();
    assert!(timeout(SOON, store.query_next(&requests, &mut so_far)).await.is_err());
    let mut connection = owner.await.unwrap();
    assert_eq!(timeout(LATE, connection.read(&mut [0])).await.unwrap().unwrap(), 0);
    assert_eq!(so_far.answered, 0);
}

/// Wherever an answer is cut: what is handed on is whole series, and then an error comes.
#[tokio::test]
async fn an_owner_that_dies_in_the_middle_ends_the_parts_with_an_error() {
    let frames = frames(20).await;
    let all = frames.concat();
    for cut in [0, 4, frames[0].len(), frames[0].len() + 1, all.len() - 1] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = all[..cut].to_vec();
        let dying = tokio::spawn(async move {
            // The first answer has a beginning, those to what is asked then have none.
            let mut first = Some(sent);
            loop {
                let mut connection = begin(&listener, &first.take().unwrap_or_default()).await;
                connection.shutdown().await.unwrap();
                drop(connection.read_to_end(&mut Vec::new()).await);
            }
        });
        let store = store_of(Lookup { url, nobody: AtomicU32::new(0) }, options_with(SOON));
        let (parts, error) = read_on(&store, &Arc::new(requests(20)), &mut Progress::default()).await;
        assert!(matches!(error, Some(StoreError::NoOwner { .. })), "cut at {cut}: {error:?}");
        let read = parts.concat();
        assert!(
            read.len() < 20 && read.is_empty() == (cut < frames[0].len()),
            "cut at {cut}: {}",
            read.len()
        );
        assert_eq!(read, (0..read.len()).map(made_up).collect::<Vec<_>>());
        dying.abort();
    }
}

#[tokio::test]
async fn an_owner_that_gives_up_in_the_middle_is_asked_for_what_is_left() {
    let (owner, store, server) = endless(Some((70, StoreError::Closed))).await;
    let (parts, error) = read_on(&store, &Arc::new(requests(500)), &mut Progress::default()).await;
    assert!(error.is_none(), "{error:?}");
    let read = parts.concat();
    assert_eq!(read.len(), 500);
    // The owner makes up series by their place in what it is asked for.
    let again = read.iter().skip(1).position(|series| *series == made_up(0)).unwrap() + 1;
    let expected: Vec<Series> = (0..again).chain(0..500 - again).map(made_up).collect();
    assert_eq!(read, expected);
    assert_eq!(owner.parts.load(Ordering::Relaxed), 71 + (500 - again).div_ceil(5));
    server.abort();
}

#[tokio::test]
async fn an_error_in_the_middle_arrives_as_what_it_is_and_the_rest_may_be_asked_for_again() {
    let damaged = StoreError::Damaged { path: "a segment".to_owned(), reason: "checksum".to_owned() };
    let (_, store, server) = endless(Some((70, damaged))).await;
    let (requests, mut so_far) = (Arc::new(requests(500)), Progress::default());
    let (parts, error) = read_on(&store, &requests, &mut so_far).await;
    assert!(matches!(error, Some(StoreError::Damaged { .. })), "{error:?}");
    assert!((1..500).contains(&parts.concat().len()));
    let (rest, error) = read_on(&store, &requests, &mut so_far).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(parts.concat().len() + rest.concat().len(), 500);
    server.abort();
}

#[tokio::test]
async fn an_owner_that_stalls_in_the_middle_is_left_once_there_is_another() {
    /// The first look finds an owner that stalls.
    #[derive(Debug)]
    struct Handover {
        looks: AtomicU32,
        stuck: String,
        next: String,
    }

    #[async_trait]
    impl OwnerLookup for Handover {
        async fn owner(&self, _shard: u32) -> Result<Option<Owner>, String> {
            // Each of three shards is looked up once before the call.
            let first = self.looks.fetch_add(1, Ordering::Relaxed) < 3;
            let (url, epoch) = if first { (&self.stuck, 1) } else { (&self.next, 2) };
            Ok(Some(Owner { url: url.clone(), epoch }))
        }
    }

    let (_, _, server) = endless(None).await;
    let (next, second) = serve(Arc::new(Endless::default()), "127.0.0.1:0", Limits::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = format!("http://{}", listener.local_addr().unwrap());
    let frames = frames(20).await;
    let stalling = tokio::spawn(async move { begin(&listener, &frames[0]).await });
    let store =
        store_of(Handover { looks: AtomicU32::new(0), stuck, next }, options_with(Duration::from_secs(10)));
    let (parts, error) = read_on(&store, &Arc::new(requests(20)), &mut Progress::default()).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(parts.concat().len(), 20);
    drop(stalling.await.unwrap());
    server.abort();
    second.abort();
}

#[tokio::test]
async fn an_owner_that_does_not_answer_yet_keeps_back_no_series_before_its_own() {
    let (_, _, server) = endless(None).await;
    let (url, second) = serve(Arc::new(Endless::default()), "127.0.0.1:0", Limits::default()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let owners = Owners(Mutex::new([url, silent_url.clone(), silent_url]));
    let store = store_of(owners, options_with(Duration::from_secs(10)));
    let of = |shard| {
        let mut requests = requests(500).into_iter();
        requests.find(|request| shard_of(request.metric, 3) == shard).unwrap()
    };
    let (one, other) = (of(0), of(1));
    let requests: Vec<SeriesRequest> = (0..50).map(|_| one.clone()).chain([other]).collect();
    let (requests, mut so_far) = (Arc::new(requests), Progress::default());
    let read = async {
        let mut read = Vec::new();
        while so_far.answered < 50 {
            read.extend(store.query_next(&requests, &mut so_far).await.unwrap());
        }
        read
    };
    assert_eq!(timeout(LATE, read).await.unwrap(), (0..50).map(made_up).collect::<Vec<_>>());
    // It was asked all the same.
    let (mut asked, _) = timeout(LATE, silent.accept()).await.unwrap().unwrap();
    assert!(asked.read(&mut [0; 4_096]).await.unwrap() > 0);
    assert!(
        timeout(SOON, store.query_next(&requests, &mut so_far)).await.is_err(),
        "the last one's is awaited"
    );
    server.abort();
    second.abort();
}

#[tokio::test]
async fn no_more_is_read_than_is_taken_and_held() {
    const SERIES: usize = 100_000;
    let (owner, _, server) = endless(None).await;
    let (url, second) = serve(Arc::clone(&owner) as _, "127.0.0.1:0", Limits::default()).await;
    // The two servers and the test.
    let unread = Arc::strong_count(&owner);
    // All together are some 900 MB.
    let limits = Limits { body: 8 << 20, ..Limits::default() };
    let options = RemoteOptions { limits, ..options_with(Duration::from_secs(2)) };
    let store = store_of(Lookup { url, nobody: AtomicU32::new(0) }, options);
    let (requests, mut so_far) = (Arc::new(requests(SERIES)), Progress::default());
    while so_far.answered < 2_000 {
        let part = store.query_next(&requests, &mut so_far).await.unwrap();
        assert!((1..200).contains(&part.len()), "{}", part.len());
    }
    // What fits into the buffers of the sockets is a small part.
    tokio::time::sleep(SOON).await;
    let read = owner.parts.load(Ordering::Relaxed) * 5;
    assert!((so_far.answered..SERIES / 4).contains(&read), "{read} series were read");
    assert!(Arc::strong_count(&owner) > unread, "it waits");
    drop(so_far);
    let left = async {
        while Arc::strong_count(&owner) > unread {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LATE, left).await.unwrap();
    server.abort();
    second.abort();
}

#[tokio::test]
async fn what_is_held_is_bounded_and_not_what_is_handed_on() {
    let (_, _, server) = endless(None).await;
    let (url, second) = serve(Arc::new(Endless::default()), "127.0.0.1:0", Limits::default()).await;
    for (body, expected) in [(1 << 20, 1_000), (60_000, 0)] {
        let limits = Limits { body, ..Limits::default() };
        let options = RemoteOptions { limits, ..options_with(Duration::from_secs(2)) };
        let store = store_of(Lookup { url: url.clone(), nobody: AtomicU32::new(0) }, options);
        let (parts, error) = read_on(&store, &Arc::new(requests(1_000)), &mut Progress::default()).await;
        let is_refused = matches!(error, Some(StoreError::TooLarge { what: "an answer's bytes", .. }));
        assert_eq!((parts.concat().len(), is_refused), (expected, expected == 0), "{error:?}");
    }
    server.abort();
    second.abort();
}

#[tokio::test]
async fn fewer_or_more_series_than_asked_for_are_refused() {
    for asked in [19, 21] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = remote(&format!("http://{}", listener.local_addr().unwrap()), 0, TOKEN);
        let sent = frames(20).await.concat();
        let owner = tokio::spawn(async move {
            let mut connection = begin(&listener, &sent).await;
            connection.shutdown().await.unwrap();
            drop(connection.read_to_end(&mut Vec::new()).await);
        });
        let (_, error) = read_on(&store, &Arc::new(requests(asked)), &mut Progress::default()).await;
        let text = error.unwrap().to_string();
        assert!(text.contains("more or fewer"), "{asked}: {text}");
        owner.await.unwrap();
    }
}

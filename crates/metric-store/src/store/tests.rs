use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nephos_model::{Clock, Granularity, ManualClock, Measure, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

use super::*;
use crate::contract::Run;
use crate::disk::Place;
use crate::disk::sim::SimFs;
use crate::suite::Subject;

mod adoption;
mod backup;
mod golden;
mod model;
mod parts;
mod remote;

/// A folder in memory where there is one: tests sync a lot.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(super) fn options(folder: &Path) -> StoreOptions {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    StoreOptions { min_free: 0, ..StoreOptions::new(folder.join("store"), clock) }
}

struct Local {
    folder: tempfile::TempDir,
    shards: u32,
    store: Option<Arc<LocalStore>>,
}

impl Local {
    fn new(shards: u32) -> Self {
        let mut local = Self { folder: folder(), shards, store: None };
        local.open();
        local
    }

    fn open(&mut self) {
        // The old one first: its threads must be gone.
        self.store = None;
        let options = StoreOptions { shards: self.shards, ..options(self.folder.path()) };
        self.store = Some(LocalStore::open(options).unwrap());
    }

    fn local(&self) -> &Arc<LocalStore> {
        self.store.as_ref().unwrap()
    }
}

#[async_trait]
impl Subject for Local {
    fn store(&self) -> Arc<dyn MetricStore> {
        Arc::clone(self.local()) as Arc<dyn MetricStore>
    }

    async fn reopen(&mut self) {
        self.open();
    }

    async fn compact(&mut self) {
        self.local().compact(true).await.unwrap();
    }
}

mod contract_with_one_shard {
    crate::contract_suite!(super::Local::new(1));
}

mod contract_with_five_shards {
    crate::contract_suite!(super::Local::new(5));
}

pub(super) fn minutely() -> Arc<ArchivePolicy> {
    Arc::new(ArchivePolicy {
        name: "minutely".to_owned(),
        back_window: 0,
        definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points: None }],
        methods: vec![AggregationMethod::plain(Stat::Mean)],
    })
}

pub(super) fn run(metric: MetricId, measures: impl IntoIterator<Item = (i64, f64)>) -> Run {
    let measures =
        measures.into_iter().map(|(at, value)| Measure::new(Timestamp::from_secs(at), value)).collect();
    Run { metric, policy: minutely(), measures }
}

pub(super) fn request(metric: MetricId) -> SeriesRequest {
    SeriesRequest {
        metric,
        policy: minutely(),
        method: AggregationMethod::plain(Stat::Mean),
        granularities: Vec::new(),
        start: None,
        stop: None,
        resample: None,
    }
}

async fn points(store: &LocalStore, metric: MetricId) -> Result<usize, StoreError> {
    Ok(store.query(vec![request(metric)]).await?[0].granularities[0].values.len())
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let shard = folder.join("store/shard-0000");
    let mut found: Vec<_> = fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|its| its == extension));
    found.sort();
    found
}

#[tokio::test]
async fn appends_get_disk_full_below_min_free_while_reads_and_deletes_go_on() {
    let folder = folder();
    let (metric, other) = (MetricId::random(), MetricId::random());
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        store.append_runs(vec![run(metric, [(0, 1.0)]), run(other, [(0, 1.0)])]).await.unwrap();
    }
    let full = StoreOptions { min_free: u64::MAX, ..options(folder.path()) };
    let store = LocalStore::open(full).unwrap();
    let refused = store.append_runs(vec![run(metric, [(60, 1.0)])]).await;
    assert!(matches!(&refused, Err(StoreError::DiskFull { min_free: u64::MAX, .. })), "{refused:?}");
    assert_eq!(points(&store, metric).await.unwrap(), 1);
    store.delete(&[other]).await.unwrap();
    drop(store);
    let store = LocalStore::open(options(folder.path())).unwrap();
    assert_eq!(points(&store, metric).await.unwrap(), 1, "a refused append leaves nothing");
    assert_eq!(points(&store, other).await.unwrap(), 0);
    store.append_runs(vec![run(metric, [(60, 1.0)])]).await.unwrap();
    assert_eq!(points(&store, metric).await.unwrap(), 2);
}

#[tokio::test]
async fn a_disk_that_fills_up_or_gets_room_is_noticed_within_a_tenth_of_a_second() {
    let (fs, metric) = (SimFs::new(1), MetricId::random());
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    let options = StoreOptions::new(Place::Simulated(fs.clone()), Arc::clone(&clock) as Arc<dyn Clock>);
    let store = LocalStore::open(StoreOptions { min_free: 1 << 30, ..options }).unwrap();
    let append = async |second| store.append_runs(vec![run(metric, [(second, 1.0)])]).await;
    append(0).await.unwrap();
    fs.set_free(1 << 29);
    clock.advance(Duration::from_millis(100));
    for second in 1..3 {
        assert!(matches!(append(second).await, Err(StoreError::DiskFull { .. })));
    }
    // There is room again, and nobody has to wait for it to be looked at.
    fs.set_free(1 << 31);
    append(3).await.unwrap();
}

#[tokio::test]
async fn calls_beyond_the_limits_are_refused_with_size_and_limit() {
    let folder = folder();
    let limits = Limits { measures: 5, requests: 2, points: 3, ..Limits::default() };
    let store = LocalStore::open(StoreOptions { limits, ..options(folder.path()) }).unwrap();
    let metric = MetricId::random();
    let many = store.append_runs(vec![run(metric, (0..6).map(|minute| (minute * 60, 1.0)))]).await;
    assert!(matches!(many, Err(StoreError::TooLarge { size: 6, limit: 5, .. })), "{many:?}");
    store.append_runs(vec![run(metric, (0..5).map(|minute| (minute * 60, 1.0)))]).await.unwrap();
    for compacted in [false, true] {
        if compacted {
            store.compact(true).await.unwrap();
        }
        let read = store.query(vec![request(metric)]).await;
        assert!(matches!(read, Err(StoreError::TooLarge { limit: 3, .. })), "{read:?}");
    }
    let few = SeriesRequest { start: Some(Timestamp::from_secs(240)), ..request(metric) };
    assert_eq!(store.query(vec![few]).await.unwrap()[0].granularities[0].values, [1.0]);
    let asked = store.query(vec![request(metric); 3]).await;
    assert!(matches!(asked, Err(StoreError::TooLarge { size: 3, limit: 2, .. })), "{asked:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_a_segment_is_named_and_costs_what_it_touches() {
    let folder = folder();
    let metrics: Vec<MetricId> = (0..100).map(|_| MetricId::random()).collect();
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        let runs = metrics.iter().map(|metric| run(*metric, (0..50).map(|minute| (minute * 60, 0.37))));
        store.append_runs(runs.collect()).await.unwrap();
        store.compact(true).await.unwrap();
    }
    let [segment] = files(folder.path(), "nseg").try_into().unwrap();
    let whole = fs::read(&segment).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut content = whole.clone();
        content[at] ^= 0x04;
        fs::write(&segment, &content).unwrap();
        let store = LocalStore::open(options(folder.path())).unwrap();
        let (mut sound, mut named) = (0, 0);
        for metric in &metrics {
            match points(&store, *metric).await {
                Ok(50) => sound += 1,
                Ok(_) => {}
                Err(StoreError::Damaged { path, .. }) => {
                    assert_eq!(path, segment.display().to_string());
                    named += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        // A chunk or a state costs one metric, an index block a group; header and footer cost the file.
        let framing = at < 24 || at + 200 > whole.len();
        assert!(framing || sound >= metrics.len() - 32, "byte {at}: {sound} sound, {named} named");
        let metric = MetricId::random();
        store.append_runs(vec![run(metric, [(0, 1.0)])]).await.unwrap();
        assert_eq!(points(&store, metric).await.unwrap(), 1);
        drop(store);
        for log in files(folder.path(), "nlog") {
            fs::remove_file(log).unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_frame_of_the_log_costs_its_call_alone() {
    let folder = folder();
    let metrics: Vec<MetricId> = (0..3).map(|_| MetricId::random()).collect();
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        for metric in &metrics {
            store.append_runs(vec![run(*metric, [(0, 1.0)])]).await.unwrap();
        }
    }
    let [log] = files(folder.path(), "nlog").try_into().unwrap();
    let mut content = fs::read(&log).unwrap();
    let written = content.iter().rposition(|byte| *byte != 0).unwrap();
    content[written / 2] ^= 1;
    fs::write(&log, content).unwrap();
    let store = LocalStore::open(options(folder.path())).unwrap();
    let mut found = Vec::new();
    for metric in &metrics {
        found.push(points(&store, *metric).await.unwrap());
    }
    assert_eq!(found, [1, 0, 1]);
}

#[tokio::test]
async fn a_missing_or_broken_segment_leaves_the_others_readable() {
    let folder = folder();
    let metrics = [MetricId::random(), MetricId::random()];
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        for metric in metrics {
            store.append_runs(vec![run(metric, [(0, 1.0), (60, 1.0)])]).await.unwrap();
            store.compact(false).await.unwrap();
        }
    }
    let segments = files(folder.path(), "nseg");
    assert_eq!(segments.len(), 2);
    fs::remove_file(&segments[0]).unwrap();
    let store = LocalStore::open(options(folder.path())).unwrap();
    assert_eq!(points(&store, metrics[0]).await.unwrap(), 0);
    assert_eq!(points(&store, metrics[1]).await.unwrap(), 2);
}

#[tokio::test]
async fn the_log_goes_when_a_checkpoint_is_due_and_space_of_deleted_metrics_is_regained() {
    let folder = folder();
    let small = StoreOptions { checkpoint_bytes: 20_000, ..options(folder.path()) };
    let store = LocalStore::open(small).unwrap();
    let metrics: Vec<MetricId> = (0..50).map(|_| MetricId::random()).collect();
    for minute in 0..100 {
        let runs = metrics.iter().map(|metric| run(*metric, [(minute * 60, 0.1)]));
        store.append_runs(runs.collect()).await.unwrap();
    }
    store.compact(true).await.unwrap();
    assert_eq!(files(folder.path(), "nseg").len(), 1);
    assert_eq!(files(folder.path(), "nlog").len(), 1);
    for metric in &metrics {
        assert_eq!(points(&store, *metric).await.unwrap(), 100);
    }
    let before = store.statistics().await.unwrap();
    assert_eq!((before.metrics, before.accepted, before.late, before.backlog), (50, 5_000, 0, 0));
    assert!(before.disk_bytes < 5_000 * 4, "{} bytes for 5000 points", before.disk_bytes);
    store.delete(&metrics[1..]).await.unwrap();
    store.compact(true).await.unwrap();
    let after = store.statistics().await.unwrap();
    assert_eq!(after.metrics, 1);
    assert!(after.disk_bytes * 5 < before.disk_bytes, "{} of {}", after.disk_bytes, before.disk_bytes);
}

#[tokio::test]
async fn expired_buckets_leave_the_disk_at_compaction() {
    let folder = folder();
    let store = LocalStore::open(options(folder.path())).unwrap();
    let metric = MetricId::random();
    let mut policy = minutely().as_ref().clone();
    policy.definition[0].points = Some(100);
    let policy = Arc::new(policy);
    let noise = |at: i64| {
        f64::from_bits(0x3ff0_0000_0000_0000 | (at.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12))
    };
    let mut sizes = Vec::new();
    for round in 0..40 {
        let mut one =
            run(metric, (0..500).map(|minute| ((round * 500 + minute) * 60, noise(round * 500 + minute))));
        one.policy = Arc::clone(&policy);
        store.append_runs(vec![one]).await.unwrap();
        store.compact(true).await.unwrap();
        sizes.push(store.statistics().await.unwrap().disk_bytes);
    }
    assert!(sizes[39] < sizes[1] * 2, "{sizes:?}");
}

#[tokio::test]
async fn many_callers_at_once_share_syncs_and_all_are_kept() {
    let folder = folder();
    let metric = MetricId::random();
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        let calls = (0..200).map(|_| store.append_runs(vec![run(MetricId::random(), [(0, 1.0)])]));
        for done in futures_util::future::join_all(calls).await {
            assert_eq!(done.unwrap().accepted, 1);
        }
        store.append_runs(vec![run(metric, [(0, 1.0)])]).await.unwrap();
    }
    let store = LocalStore::open(options(folder.path())).unwrap();
    assert_eq!(store.statistics().await.unwrap().metrics, 201);
}

#[tokio::test]
async fn a_shard_that_is_not_ours_has_no_owner_until_it_is_acquired() {
    let folder = folder();
    let some = StoreOptions { shards: 4, own: Some(Vec::new()), ..options(folder.path()) };
    let store = LocalStore::open(some).unwrap();
    let metric = MetricId::random();
    let refused = store.append_runs(vec![run(metric, [(0, 1.0)])]).await;
    assert!(matches!(refused, Err(StoreError::NoOwner { .. })), "{refused:?}");
    let shard = shard_of(metric, 4);
    store.acquire(shard).await.unwrap();
    store.acquire(shard).await.unwrap();
    assert_eq!(store.owned(), [shard]);
    store.append_runs(vec![run(metric, [(0, 1.0)])]).await.unwrap();
    store.release(shard).await.unwrap();
    assert!(matches!(points(&store, metric).await, Err(StoreError::NoOwner { .. })));
    store.acquire(shard).await.unwrap();
    assert_eq!(points(&store, metric).await.unwrap(), 1);
    store.close().await;
    assert!(matches!(points(&store, metric).await, Err(StoreError::Closed)));
    assert!(matches!(store.acquire(shard).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn an_unknown_format_is_refused() {
    let folder = folder();
    drop(LocalStore::open(options(folder.path())).unwrap());
    fs::write(folder.path().join("store/FORMAT"), "nephos-store 1\nshards 1\n").unwrap();
    let error = LocalStore::open(options(folder.path())).unwrap_err().to_string();
    assert!(error.contains("nephos-store 1") && error.contains("FORMAT"), "{error}");
}

#[tokio::test]
async fn a_damaged_state_or_index_costs_no_sound_chunk_even_after_compaction() {
    let folder = folder();
    let metrics: Vec<MetricId> = (0..80).map(|_| MetricId::random()).collect();
    let mut policy = minutely().as_ref().clone();
    policy.methods.push(AggregationMethod::plain(Stat::Count));
    let policy = Arc::new(policy);
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        let runs = metrics.iter().map(|metric| run(*metric, (0..200).map(|minute| (minute * 60, 0.1))));
        store
            .append_runs(runs.map(|run| Run { policy: Arc::clone(&policy), ..run }).collect())
            .await
            .unwrap();
        store.compact(true).await.unwrap();
    }
    let [segment] = files(folder.path(), "nseg").try_into().unwrap();
    let mut content = fs::read(&segment).unwrap();
    // Names of policies stand in states alone.
    let state = content.windows(8).position(|window| window == b"minutely").unwrap();
    content[state] ^= 1;
    fs::write(&segment, &content).unwrap();
    for _ in 0..2 {
        let store = LocalStore::open(options(folder.path())).unwrap();
        let mut lost = 0;
        for metric in &metrics {
            let read = points(&store, *metric).await.unwrap();
            assert!((199..=200).contains(&read), "{read}");
            lost += 200 - read;
        }
        assert_eq!(lost, 1, "the raw measure that no chunk held");
        store.compact(true).await.unwrap();
    }
}

#[tokio::test]
async fn a_segment_with_a_damaged_index_is_not_compacted_away() {
    let folder = folder();
    let metrics: Vec<MetricId> = (0..80).map(|_| MetricId::random()).collect();
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        for metric in &metrics {
            store.append_runs(vec![run(*metric, [(0, 1.0), (60, 1.0)])]).await.unwrap();
        }
        store.compact(true).await.unwrap();
    }
    let [segment] = files(folder.path(), "nseg").try_into().unwrap();
    let whole = fs::read(&segment).unwrap();
    let mut content = whole.clone();
    let least = metrics.iter().min().unwrap();
    // The first mention of an id is in its index block.
    let entry = content.windows(16).position(|window| window == least.as_bytes()).unwrap();
    content[entry] ^= 1;
    fs::write(&segment, &content).unwrap();
    {
        let store = LocalStore::open(options(folder.path())).unwrap();
        assert_eq!(store.statistics().await.unwrap().metrics, 80 - 32);
        store.append_runs(vec![run(MetricId::random(), [(0, 1.0)])]).await.unwrap();
        store.compact(true).await.unwrap();
    }
    // Whoever restores the bytes gets everything back.
    fs::write(&segment, &whole).unwrap();
    let store = LocalStore::open(options(folder.path())).unwrap();
    assert_eq!(store.statistics().await.unwrap().metrics, 81);
    assert_eq!(points(&store, *least).await.unwrap(), 2);
}

#[tokio::test]
async fn checkpoints_that_fail_end_in_refused_appends_and_recover_by_themselves() {
    let folder = folder();
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let options = StoreOptions {
        checkpoint_bytes: 1_000,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..options(folder.path())
    };
    let store = LocalStore::open(options).unwrap();
    let obstacle = folder.path().join("store/shard-0000/segment-00000001-00000001.nseg");
    fs::create_dir(&obstacle).unwrap();
    let metric = MetricId::random();
    let mut accepted: usize = 0;
    let refused = loop {
        let minute = i64::try_from(accepted).unwrap() * 60;
        match store.append_runs(vec![run(metric, [(minute, 1.0)])]).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 10_000, "memory grows for ever");
    };
    assert!(matches!(&refused, StoreError::Io { action: "checkpoint", .. }), "{refused:?}");
    assert_eq!(points(&store, metric).await.unwrap(), accepted);
    fs::remove_dir(&obstacle).unwrap();
    clock.advance(Duration::from_secs(60));
    let minute = i64::try_from(accepted).unwrap() * 60;
    store.append_runs(vec![run(metric, [(minute, 1.0)])]).await.unwrap();
    assert_eq!(points(&store, metric).await.unwrap(), accepted + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_append_is_seen_once_whatever_checkpoints_and_compactions_run_beside_it() {
    let folder = folder();
    let options = StoreOptions { checkpoint_bytes: 3_000, shards: 2, ..options(folder.path()) };
    let store = LocalStore::open(options.clone()).unwrap();
    let metrics: Vec<MetricId> = (0..6).map(|_| MetricId::random()).collect();
    let writers = metrics.iter().map(|metric| {
        let (store, metric) = (Arc::clone(&store), *metric);
        tokio::spawn(async move {
            for minute in 0..150 {
                store.append_runs(vec![run(metric, [(minute * 60, 1.5)])]).await.unwrap();
                assert_eq!(points(&store, metric).await.unwrap(), usize::try_from(minute).unwrap() + 1);
            }
        })
    });
    for writer in futures_util::future::join_all(writers).await {
        writer.unwrap();
    }
    assert!(files(folder.path(), "nseg").len() < 12, "{:?}", files(folder.path(), "nseg"));
    drop(store);
    let store = LocalStore::open(options).unwrap();
    for metric in metrics {
        assert_eq!(points(&store, metric).await.unwrap(), 150);
    }
}

#[tokio::test]
async fn restarts_without_writes_pile_up_no_files() {
    let folder = folder();
    for _ in 0..3 {
        drop(LocalStore::open(options(folder.path())).unwrap());
        assert_eq!(files(folder.path(), "nlog").len(), 1);
    }
}

use nephos_model::{Granularity, ManualClock, Measure, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

use super::*;
use crate::batch::Batch;
use crate::checkpoint::checkpoint;
use crate::compaction::compact;
use crate::contract::{Erase, MetricStore, SeriesRequest};
use crate::disk::LocalDisk;
use crate::log::LogWriter;
use crate::options::StoreOptions;
use crate::query::{Budget, Memory, query};
use crate::shard::apply;
use crate::shard::commit::Change;
use crate::store::LocalStore;

fn policy(points: Option<u64>) -> Arc<ArchivePolicy> {
    Arc::new(ArchivePolicy {
        name: "p".to_owned(),
        back_window: 0,
        definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points }],
        methods: vec![AggregationMethod::plain(Stat::Mean)],
    })
}

/// A value each minute that no codec makes small.
fn measures(minutes: std::ops::Range<i64>) -> impl Iterator<Item = Measure> {
    let value = |minute: i64| (minute as f64 * 0.731).sin() * 1e6;
    minutes.map(move |minute| Measure::new(Timestamp::from_secs(minute * 60), value(minute)))
}

struct Subject {
    _folder: tempfile::TempDir,
    shard: Arc<Shard>,
    log: LogWriter,
    clock: ManualClock,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(LocalDisk::open(folder.path().to_owned()).unwrap());
        let (shard, log) = Shard::open(disk, 0).unwrap();
        Self { _folder: folder, shard, log, clock: ManualClock::new(Timestamp::EPOCH) }
    }

    fn change(&mut self, change: &Change) {
        let (commit, mut part) = (self.shard.head().commit + 1, change.encode());
        self.log.append(commit, [&mut part]).unwrap();
        apply(&mut self.shard.head_mut(), commit, part.bytes()).unwrap();
    }

    /// Appends, and makes a segment of it.
    fn segment(&mut self, metrics: &[MetricId], points: Option<u64>, minutes: std::ops::Range<i64>) {
        let mut batch = Batch::default();
        for metric in metrics {
            batch.push(*metric, &policy(points), measures(minutes.clone()));
        }
        self.change(&Change::Append(Arc::new(batch)));
        self.checkpoint();
    }

    fn checkpoint(&mut self) {
        self.log.rotate().unwrap();
        checkpoint(&self.shard, self.log.key(), &self.clock).unwrap();
    }

    /// Opens the shard again, by what is on disk alone.
    fn reopen(&mut self) {
        (self.shard, self.log) = Shard::open(Arc::clone(&self.shard.disk), 0).unwrap();
    }

    /// Minutes of a metric that show.
    fn minutes(&self, metric: MetricId) -> Vec<i64> {
        let request = SeriesRequest {
            metric,
            policy: policy(None),
            method: AggregationMethod::plain(Stat::Mean),
            granularities: Vec::new(),
            start: None,
            stop: None,
            resample: None,
        };
        let series = query(&self.shard, &request, &Budget::new(u64::MAX), &mut Memory::default()).unwrap();
        series.granularities[0].timestamps.iter().map(|at| at.as_secs() / 60).collect()
    }

    fn tidy(&self, at: usize) -> u64 {
        let segment = Arc::clone(&self.shard.segments()[at]);
        tidy(&self.shard, &segment, WORTH, &self.clock).unwrap()
    }

    fn sizes(&self) -> Vec<u64> {
        self.shard.segments().iter().map(|segment| segment.size()).collect()
    }
}

#[test]
fn a_segment_is_written_again_when_enough_of_it_is_dead() {
    let mut subject = Subject::new();
    let metrics: Vec<_> = (0..8).map(|_| MetricId::random()).collect();
    subject.segment(&metrics, None, 0..500);
    let whole = subject.sizes()[0];
    subject.change(&Change::Delete(vec![metrics[0]]));
    subject.tidy(0);
    assert_eq!(subject.sizes(), [whole], "an eighth is too little");
    subject.change(&Change::Delete(metrics[1..4].to_vec()));
    subject.tidy(0);
    let half = subject.sizes()[0];
    assert!(half < whole * 6 / 10, "{half} of {whole}");
    subject.tidy(0);
    assert_eq!(subject.sizes(), [half]);
    let segments = subject.shard.segments();
    let known: Vec<bool> = metrics.iter().map(|metric| segments[0].knows(*metric)).collect();
    assert_eq!(known, [false, false, false, false, true, true, true, true]);
}

#[test]
fn a_segment_in_which_nothing_is_alive_is_dropped() {
    let mut subject = Subject::new();
    let metrics = [MetricId::random(), MetricId::random()];
    subject.segment(&metrics, Some(100), 0..500);
    subject.tidy(0);
    assert_eq!(subject.sizes().len(), 1, "a hundred buckets are kept, in one chunk");
    subject.segment(&metrics[..1], Some(100), 500..700);
    subject.tidy(0);
    assert_eq!(subject.sizes().len(), 2, "the other metric has nothing newer");
    subject.segment(&metrics[1..], Some(100), 500..700);
    subject.tidy(0);
    assert_eq!(subject.sizes().len(), 2);
    subject.change(&Change::Delete(metrics.to_vec()));
    subject.tidy(1);
    assert_eq!(subject.sizes().len(), 1, "the log says that it was deleted");
    subject.tidy(0);
    assert!(subject.sizes().is_empty());
}

#[test]
fn that_a_metric_was_deleted_stays_said_as_long_as_an_older_segment_has_it() {
    let mut subject = Subject::new();
    let metrics: Vec<_> = (0..3).map(|_| MetricId::random()).collect();
    subject.segment(&metrics[..1], None, 0..500);
    subject.change(&Change::Delete(vec![metrics[0]]));
    subject.segment(&metrics[1..], None, 0..500);
    subject.change(&Change::Delete(vec![metrics[1]]));
    subject.tidy(1);
    let segments = subject.shard.segments();
    let known: Vec<bool> = metrics.iter().map(|metric| segments[1].knows(*metric)).collect();
    assert_eq!(known, [true, false, true], "the first one's deletion, nothing of the second");
}

#[test]
fn a_segment_that_says_only_that_metrics_were_deleted_stays_as_long_as_an_older_one_has_them() {
    let mut subject = Subject::new();
    let metric = MetricId::random();
    subject.segment(&[metric], None, 0..500);
    subject.change(&Change::Delete(vec![metric]));
    subject.checkpoint();
    subject.tidy(1);
    assert_eq!(subject.sizes().len(), 2);
    subject.reopen();
    assert_eq!(subject.minutes(metric), [0; 0]);
    subject.tidy(0);
    assert_eq!(subject.sizes().len(), 1, "nothing of it is left");
    subject.tidy(0);
    assert!(subject.sizes().is_empty());
    subject.reopen();
    assert_eq!(subject.minutes(metric), [0; 0]);
}

#[test]
fn an_erased_range_stays_hidden_in_segments_that_were_not_written_again() {
    let mut subject = Subject::new();
    let (metric, other) = (MetricId::random(), MetricId::random());
    subject.segment(&[metric], None, 0..500);
    subject.segment(&[metric, other], None, 500..1_000);
    // All that the second one has, and a part of the first.
    let (start, stop) = (Timestamp::from_secs(100 * 60), Timestamp::from_secs(999 * 60));
    subject.change(&Change::Erase(Erase { metrics: vec![metric], start, stop }));
    let shown: Vec<i64> = (0..100).chain([999]).collect();
    let expect = |subject: &mut Subject, after: &str| {
        assert_eq!(subject.minutes(metric), shown, "{after}");
        subject.checkpoint();
        subject.reopen();
        assert_eq!(subject.minutes(metric), shown, "{after} and a restart");
    };
    expect(&mut subject, "the erasure");
    let before = subject.sizes();
    subject.tidy(1);
    assert!(
        subject.sizes()[1] < before[1] * 6 / 10 && subject.sizes()[0] == before[0],
        "{:?}",
        subject.sizes()
    );
    expect(&mut subject, "one was written again");
    compact(&subject.shard, true, &subject.clock).unwrap();
    assert_eq!(subject.sizes().len(), 1);
    expect(&mut subject, "all were written again");
}

#[test]
fn the_janitor_waits_before_it_looks_and_rests_after_it_read() {
    let mut subject = Subject::new();
    let metrics = [MetricId::random(), MetricId::random()];
    subject.segment(&metrics[..1], None, 0..500);
    subject.segment(&metrics[1..], None, 0..500);
    let mut janitor = Janitor::default();
    janitor.watch(Arc::downgrade(&subject.shard));
    let mut after = |subject: &Subject, wait: Duration| {
        subject.clock.advance(wait);
        janitor.round(&subject.clock);
        subject.sizes().len()
    };
    assert_eq!(after(&subject, AGAIN), 2, "seen for the first time");
    subject.change(&Change::Delete(metrics.to_vec()));
    assert_eq!(after(&subject, AGAIN_AFTER_DELETION / 2), 2);
    assert_eq!(after(&subject, AGAIN_AFTER_DELETION), 1);
    assert_eq!(after(&subject, Duration::ZERO), 1, "it rests");
    assert_eq!(after(&subject, Duration::from_secs(1)), 0);
}

#[tokio::test]
async fn space_of_deleted_metrics_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let options = StoreOptions::new(folder.path().join("store"), Arc::clone(&clock) as Arc<dyn Clock>);
    let store = LocalStore::open(StoreOptions { min_free: 0, ..options }).unwrap();
    let metrics: Vec<_> = (0..100).map(|_| MetricId::random()).collect();
    let mut batch = Batch::default();
    for metric in &metrics {
        batch.push(*metric, &policy(None), measures(0..500));
    }
    store.append(Arc::new(batch)).await.unwrap();
    store.compact(true).await.unwrap();
    let before = store.statistics().await.unwrap().disk_bytes;
    store.delete(&metrics[..50]).await.unwrap();
    let mut now = store.statistics().await.unwrap().disk_bytes;
    for _ in 0..1_000 {
        if now < before * 6 / 10 {
            break;
        }
        clock.advance(AGAIN);
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = store.statistics().await.unwrap().disk_bytes;
    }
    assert!(now < before * 6 / 10, "{now} of {before}");
    assert_eq!(store.statistics().await.unwrap().metrics, 50);
}

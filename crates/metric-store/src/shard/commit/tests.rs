//! Checkpoints that lag: appends wait for them, are refused in the end, and go on.

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, sync_channel};

use nephos_model::{Granularity, ManualClock, Measure, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle as Task;
use tokio::time::timeout;

use super::*;
use crate::disk::sim::{Op, SimFs};
use crate::disk::{LocalDisk, Place};
use crate::maintenance::{Task as Asked, do_job};
use crate::shard::BYTES_OF_MEASURE;

const CHECKPOINT: u64 = 4 << 10;
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(30);

/// A shard on a simulated disk whose segments are written when the test says so.
struct Lagging {
    fs: SimFs,
    clock: Arc<ManualClock>,
    shard: Arc<Shard>,
    committer: Committer,
    jobs: Receiver<Asked>,
    permits: Arc<Semaphore>,
    policy: Arc<ArchivePolicy>,
}

impl Lagging {
    fn new(patience: Duration) -> Self {
        let (fs, clock) = (SimFs::new(1), Arc::new(ManualClock::new(Timestamp::EPOCH)));
        let (shard, log) = open(&fs);
        let options = StoreOptions::new(Place::Simulated(fs.clone()), Arc::clone(&clock) as Arc<dyn Clock>);
        let options = StoreOptions { min_free: 0, checkpoint_bytes: CHECKPOINT, ..options };
        let (sender, jobs) = sync_channel(8);
        let committer = start(Arc::clone(&shard), log, sender, &options).unwrap();
        committer.log.lock().unwrap().as_mut().unwrap().patience = patience;
        let policy = Arc::new(ArchivePolicy {
            name: "p".to_owned(),
            back_window: 0,
            definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points: None }],
            methods: vec![AggregationMethod::plain(Stat::Mean)],
        });
        Self { fs, clock, shard, committer, jobs, permits: Arc::new(Semaphore::new(1_000)), policy }
    }

    /// What becomes of a change, in its time.
    async fn change(&self, change: Change) -> Task<Result<AppendReport, StoreError>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.unwrap();
        let (reply, answer) = oneshot::channel();
        let call = Call { part: change.encode(), change, reply, _permit: permit };
        self.committer.commands.send(Command::Commit(call)).await.unwrap();
        tokio::spawn(async move { answer.await.unwrap() })
    }

    /// An append of 50 measures.
    async fn append(&self) -> Task<Result<AppendReport, StoreError>> {
        let mut batch = Batch::default();
        let measures =
            (0..50u32).map(|at| Measure::new(Timestamp::from_secs(at.into()), f64::from(at).sin()));
        batch.push(MetricId::random(), &self.policy, measures);
        self.change(Change::Append(Arc::new(batch))).await
    }

    /// Appends until one is not taken at once, which it gives.
    async fn fill(&self) -> Task<Result<AppendReport, StoreError>> {
        loop {
            let mut append = self.append().await;
            match timeout(SOON, &mut append).await {
                Ok(Ok(Ok(report))) => assert_eq!(report.accepted, 50),
                Ok(refused) => return tokio::spawn(async move { refused.unwrap() }),
                Err(_) => return append,
            }
        }
    }

    /// The segment that is asked for.
    fn asked(&self) -> Job {
        loop {
            if let Asked::Job(job) = self.jobs.recv_timeout(LATE).unwrap() {
                return job;
            }
        }
    }

    fn write_segment(&self) {
        do_job(self.asked(), self.clock.as_ref());
    }

    fn end(self) {
        drop(self.committer.commands);
        self.committer.thread.join().unwrap();
    }
}

fn open(fs: &SimFs) -> (Arc<Shard>, LogWriter) {
    let disk = LocalDisk::on(Arc::new(fs.clone()), "/store/shard-0000".into()).unwrap();
    Shard::open(Arc::new(disk), 0).unwrap()
}

async fn answered(call: Task<Result<AppendReport, StoreError>>) -> Result<AppendReport, StoreError> {
    timeout(LATE, call).await.expect("in time").unwrap()
}

fn assert_refused(answer: &Result<AppendReport, StoreError>) {
    let Err(StoreError::Io { action: "checkpoint", source, .. }) = answer else { panic!("{answer:?}") };
    let text = source.to_string();
    assert!(text.ends_with("bytes wait for a segment to be written"), "{text}");
}

#[tokio::test]
async fn appends_wait_for_a_segment_that_takes_long_and_go_on_when_it_is_written() {
    let shard = Lagging::new(LATE);
    let mut waiting = shard.fill().await;
    let pending = shard.shard.pending();
    assert!((8 * CHECKPOINT..9 * CHECKPOINT).contains(&pending), "{pending}");
    assert!(timeout(SOON, &mut waiting).await.is_err(), "it waits");
    shard.write_segment();
    assert_eq!(answered(waiting).await.unwrap().accepted, 50);
    assert!(shard.shard.pending() < 8 * CHECKPOINT);
    assert_eq!(answered(shard.append().await).await.unwrap().accepted, 50);
    shard.end();
}

#[tokio::test]
async fn appends_are_refused_when_patience_ends_and_deletions_are_not() {
    let shard = Lagging::new(SOON / 4);
    let refused = shard.fill().await;
    assert_refused(&answered(refused).await);
    assert_refused(&answered(shard.append().await).await);
    let deletion = shard.change(Change::Delete(vec![MetricId::random()])).await;
    assert!(answered(deletion).await.is_ok());
    shard.write_segment();
    assert_eq!(answered(shard.append().await).await.unwrap().accepted, 50);
    shard.end();
}

#[tokio::test]
async fn where_segments_can_not_be_written_appends_are_refused_at_once_and_go_on_when_they_can() {
    // Nobody waits for what is not under way.
    let shard = Lagging::new(LATE * 10);
    while shard.shard.pending() < CHECKPOINT {
        assert!(answered(shard.append().await).await.is_ok());
    }
    let job = shard.asked();
    shard.fs.fail(Op::Create, 0, ErrorKind::PermissionDenied);
    do_job(job, shard.clock.as_ref());
    assert_refused(&answered(shard.fill().await).await);
    assert!(shard.shard.pending() >= 8 * CHECKPOINT);
    assert!(shard.jobs.try_recv().is_err(), "not before some time went by");
    shard.clock.advance(RETRY_CHECKPOINT);
    // The one that has it tried again waits for what comes of it.
    let mut waiting = shard.append().await;
    assert!(timeout(SOON, &mut waiting).await.is_err(), "it waits");
    shard.write_segment();
    assert_eq!(answered(waiting).await.unwrap().accepted, 50);
    assert!(shard.shard.pending() < 8 * CHECKPOINT);
    shard.end();
}

#[tokio::test]
async fn checkpoints_that_are_longer_for_many_metrics_may_lag_by_three() {
    let shard = Lagging::new(SOON / 4);
    shard.shard.checkpoint_bytes.store(4 * CHECKPOINT, Ordering::Relaxed);
    assert_refused(&answered(shard.fill().await).await);
    let pending = shard.shard.pending();
    assert!((12 * CHECKPOINT..13 * CHECKPOINT).contains(&pending), "{pending}");
    shard.end();
}

#[tokio::test]
async fn many_measures_of_a_metric_are_written_to_a_segment_however_short_the_log_is() {
    let shard = Lagging::new(LATE);
    let enough = CHECKPOINT.div_ceil(BYTES_OF_MEASURE * 50);
    for appended in 1..=enough {
        assert!(shard.jobs.try_recv().is_err(), "too early");
        assert_eq!(answered(shard.append().await).await.unwrap().accepted, 50);
        assert_eq!(shard.shard.unsealed_measures(), appended * 50);
    }
    let asked = shard.asked();
    assert!(shard.shard.unsealed() < CHECKPOINT, "{}", shard.shard.unsealed());
    assert_eq!(answered(shard.append().await).await.unwrap().accepted, 50);
    do_job(asked, shard.clock.as_ref());
    assert_eq!(shard.shard.unsealed_measures(), 50, "of what came later the segment may have some");
    assert_eq!(answered(shard.append().await).await.unwrap().accepted, 50);
    let fs = shard.fs.clone();
    shard.end();
    assert_eq!(open(&fs).0.unsealed_measures(), 50, "a restart finds in the log what came after the segment");
}

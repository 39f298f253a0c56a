//! The thread that writes segments: checkpoints, compactions and the janitor's work of all shards, one after the
//! other, so that they never take more than one core from ingestion.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use nephos_model::Clock;
use tokio::sync::oneshot;

use crate::checkpoint::checkpoint;
use crate::compaction::compact;
use crate::contract::StoreError;
use crate::files::io_error;
use crate::janitor::Janitor;
use crate::log::LogKey;
use crate::options::StoreOptions;
use crate::shard::{Extent, Shard};

const QUEUE: usize = 4_096;

/// A checkpoint, and the compaction that may follow it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) shard: Arc<Shard>,
    /// Log files before this one are no longer needed when the segment counts.
    pub(crate) log_from: LogKey,
    /// How much had been appended where they end.
    pub(crate) covered: Extent,
    /// Merge all segments into one.
    pub(crate) full: bool,
    pub(crate) reply: Option<oneshot::Sender<Result<(), StoreError>>>,
}

/// What the thread is asked.
#[derive(Debug)]
pub(crate) enum Task {
    /// Look after a shard as long as it is open.
    Watch(Weak<Shard>),
    /// Write segments.
    Job(Job),
}

/// How often the janitor is asked whether there is something to do: reading a clock, mostly.
const ROUND: Duration = Duration::from_secs(1);

/// Starts the thread; it ends when all senders are gone.
pub(crate) fn start(options: &StoreOptions) -> Result<(SyncSender<Task>, JoinHandle<()>), StoreError> {
    let (jobs, queue) = sync_channel(QUEUE);
    let clock = Arc::clone(&options.clock);
    let thread = std::thread::Builder::new()
        .name("segments".to_owned())
        .spawn(move || run(&queue, clock.as_ref()))
        .map_err(io_error("start the segments' thread of", Path::new("the metric store")))?;
    Ok((jobs, thread))
}

fn run(queue: &Receiver<Task>, clock: &dyn Clock) {
    let mut janitor = Janitor::default();
    loop {
        match queue.recv_timeout(ROUND) {
            Ok(Task::Watch(shard)) => janitor.watch(shard),
            Ok(Task::Job(job)) => do_job(job, clock),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        janitor.round(clock);
    }
}

/// Writes segments, and tells the shard and whoever asked.
pub(crate) fn do_job(job: Job, clock: &dyn Clock) {
    let Job { shard, log_from, covered, full, reply } = job;
    let done = checkpoint(&shard, log_from, clock);
    shard.end_checkpoint(covered, done.is_err());
    let done = done.and_then(|()| compact(&shard, full, clock));
    if let Err(error) = &done {
        shard.note_loss(error);
    }
    shard.show();
    match (done, reply) {
        (done, Some(reply)) => drop(reply.send(done)),
        (Err(StoreError::Closed) | Ok(()), None) => {}
        (Err(error), None) => {
            tracing::warn!(error = %error, shard = shard.number, "segments could not be written; tried again later");
        }
    }
}

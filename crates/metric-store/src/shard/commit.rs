//! Group commit: one thread a shard takes all calls that arrived while the disk was busy, writes them as one frame,
//! syncs once, applies them to the head and answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use nephos_model::{Clock, MetricId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{ADOPT, APPEND, DELETE, ERASE, Shard, put_metrics};
use crate::bytes::{begin_bytes, end_bytes};
use crate::contract::{Adoption, AppendReport, Batch, Erase, StoreError};
use crate::files::io_error;
use crate::head::Head;
use crate::instrument;
use crate::log::LogWriter;
use crate::maintenance::{Job, Task};
use crate::options::{RETRY_AFTER, StoreOptions};
use crate::protocol::Message;
use crate::runs::put_batch;

/// A commit takes no more calls once it has so many bytes.
const COMMIT_BYTES: usize = 8 << 20;
const QUEUE: usize = 1_024;
/// A file of the log is read as a whole at the next start.
const LOG_FILE_BYTES: u64 = 64 << 20;
/// After a checkpoint that failed.
const RETRY_CHECKPOINT: Duration = Duration::from_secs(5);
/// Appends wait when the log is so many checkpoints long.
const MOST_BEHIND: u64 = 8;
/// How long they wait before they are refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call that changes the shard.
#[derive(Debug)]
pub(crate) enum Change {
    Append(Arc<Batch>),
    Delete(Vec<MetricId>),
    Erase(Erase),
    Adopt(Adoption),
}

impl Change {
    /// The bytes of the log: made by the caller, so that the one writer does not have to.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let kind = match self {
            Self::Append(_) => APPEND,
            Self::Delete(_) => DELETE,
            Self::Erase(_) => ERASE,
            Self::Adopt(_) => ADOPT,
        };
        let mut bytes = vec![kind];
        let length = begin_bytes(&mut bytes);
        match self {
            Self::Append(batch) => put_batch(&mut bytes, batch),
            Self::Delete(metrics) => put_metrics(&mut bytes, metrics),
            Self::Erase(erase) => erase.put(&mut bytes),
            Self::Adopt(adoption) => adoption.put(&mut bytes),
        }
        end_bytes(&mut bytes, length);
        bytes
    }
}

impl Change {
    /// Does it to the head.
    pub(crate) fn apply(&self, head: &mut Head, commit: u64) -> AppendReport {
        match self {
            Self::Append(batch) => head.append(commit, batch),
            Self::Delete(metrics) => {
                metrics.iter().for_each(|metric| head.delete(commit, *metric));
                head.deletions += metrics.len() as u64;
                AppendReport::default()
            }
            Self::Adopt(Adoption { metric, policy }) => {
                head.adopt(commit, *metric, policy);
                AppendReport::default()
            }
            Self::Erase(Erase { metrics, start, stop }) => {
                metrics.iter().for_each(|metric| head.erase(commit, *metric, *start, *stop));
                AppendReport::default()
            }
        }
    }
}

/// What the writer is asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make durable, apply, answer.
    Commit {
        change: Change,
        bytes: Vec<u8>,
        reply: oneshot::Sender<Result<AppendReport, StoreError>>,
        /// Memory that the call may take; given back when it is answered.
        permit: OwnedSemaphorePermit,
    },
    /// Write what the log holds to a segment, then merge segments.
    Checkpoint { full: bool, reply: oneshot::Sender<Result<(), StoreError>> },
}

/// A shard's writer thread.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) thread: JoinHandle<()>,
}

struct Writer {
    shard: Arc<Shard>,
    log: LogWriter,
    jobs: SyncSender<Task>,
    clock: Arc<dyn Clock>,
    min_free: u64,
    checkpoint_bytes: u64,
    next_checkpoint: Duration,
    last_write: Duration,
    /// Whether the last group was refused or could not be written: told when it begins and when it ends.
    troubled: bool,
}

struct Pending {
    change: Change,
    bytes: Vec<u8>,
    reply: oneshot::Sender<Result<AppendReport, StoreError>>,
    _permit: OwnedSemaphorePermit,
}

/// Starts the writer of an open shard.
pub(crate) fn start(
    shard: Arc<Shard>,
    log: LogWriter,
    jobs: SyncSender<Task>,
    options: &StoreOptions,
) -> Result<Committer, StoreError> {
    let (commands, queue) = mpsc::channel(QUEUE);
    let writer = Writer {
        log,
        jobs,
        clock: Arc::clone(&options.clock),
        min_free: options.min_free,
        checkpoint_bytes: options.checkpoint_bytes,
        next_checkpoint: Duration::ZERO,
        last_write: Duration::ZERO,
        troubled: false,
        shard,
    };
    let place = writer.shard.disk.describe("");
    let thread = std::thread::Builder::new()
        .name(format!("log-{:04}", writer.shard.number))
        .spawn(move || writer.run(queue))
        .map_err(io_error("start the log's thread of", Path::new(&place)))?;
    Ok(Committer { commands, thread })
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut next = None;
        while let Some(command) = next.take().or_else(|| queue.blocking_recv()) {
            match command {
                Command::Checkpoint { full, reply } => self.checkpoint(full, Some(reply)),
                Command::Commit { change, bytes, reply, permit } => {
                    self.checkpoint_if_due();
                    self.gather();
                    let mut size = bytes.len();
                    let mut group = vec![Pending { change, bytes, reply, _permit: permit }];
                    while size < COMMIT_BYTES {
                        match queue.try_recv() {
                            Ok(Command::Commit { change, bytes, reply, permit }) => {
                                size += bytes.len();
                                group.push(Pending { change, bytes, reply, _permit: permit });
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit(group);
                    self.checkpoint_if_due();
                }
            }
        }
    }

    /// Waits until the next write of the log may begin: more calls join it meanwhile.
    #[allow(clippy::disallowed_methods, reason = "this thread has nothing else to do")]
    fn gather(&mut self) {
        let now = self.clock.monotonic();
        let next = self.last_write + self.shard.disk.commit_window();
        if now < next {
            std::thread::sleep(next - now);
        }
        self.last_write = now.max(next);
    }

    /// Makes a group of calls durable, applies and answers them.
    fn commit(&mut self, group: Vec<Pending>) {
        let group = match self.refusal() {
            Some(refusal) => self.refuse(group, &refusal),
            None => group,
        };
        if group.is_empty() {
            return;
        }
        let number = self.shard.head().commit + 1;
        let (start, before) = (self.clock.monotonic(), self.log.len());
        if let Err(error) = self.log.append(number, group.iter().map(|call| call.bytes.as_slice())) {
            self.shard.note_loss(&error);
            let error = self.named(error);
            self.trouble(&error);
            for call in group {
                answer(call.reply, Err(error.same()));
            }
            return;
        }
        let written = self.log.len() - before;
        if self.log.len() >= LOG_FILE_BYTES
            && let Err(error) = self.log.rotate()
        {
            tracing::warn!(error = %error, "a new log file could not be started; the old one goes on");
        }
        instrument::committed(group.len(), written, self.clock.monotonic().saturating_sub(start));
        self.shard.logged.fetch_add(written, Ordering::Relaxed);
        let appends = group.iter().any(|call| matches!(call.change, Change::Append(_)));
        if appends && std::mem::take(&mut self.troubled) {
            tracing::info!(shard = self.shard.number, "the metric store takes writes again");
        }
        for (reply, report) in self.apply(number, group) {
            answer(reply, Ok(report));
        }
    }

    fn apply(
        &self,
        number: u64,
        group: Vec<Pending>,
    ) -> Vec<(oneshot::Sender<Result<AppendReport, StoreError>>, AppendReport)> {
        let mut head = self.shard.head_mut();
        let mut answers = Vec::with_capacity(group.len());
        for call in group {
            let report = call.change.apply(&mut head, number);
            self.shard.accepted.fetch_add(report.accepted, Ordering::Relaxed);
            self.shard.late.fetch_add(report.late, Ordering::Relaxed);
            answers.push((call.reply, report));
        }
        head.commit = number;
        answers
    }

    /// Why appends can't be taken just now.
    fn refusal(&self) -> Option<StoreError> {
        if self.shard.is_lost() {
            return Some(StoreError::NoOwner { retry_after: RETRY_AFTER });
        }
        match self.shard.disk.free_bytes() {
            Ok(Some(free)) if free < self.min_free => Some(self.disk_full(free)),
            Ok(_) => self.behind(),
            Err(error) => Some(error),
        }
    }

    fn disk_full(&self, free: u64) -> StoreError {
        StoreError::DiskFull { path: self.shard.disk.describe(""), free, min_free: self.min_free }
    }

    /// A write that found no room is a full disk, whatever limit was set.
    fn named(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                self.disk_full(self.shard.disk.free_bytes().ok().flatten().unwrap_or(0))
            }
            other => other,
        }
    }

    fn trouble(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.troubled, true) {
            tracing::error!(error = %error, shard = self.shard.number, "the metric store takes no writes");
        }
    }

    /// Answers appends with an error. Deletions go on: they make room.
    fn refuse(&mut self, group: Vec<Pending>, refusal: &StoreError) -> Vec<Pending> {
        self.trouble(refusal);
        let (refused, taken): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|call| matches!(call.change, Change::Append(_)));
        for call in refused {
            answer(call.reply, Err(refusal.same()));
        }
        taken
    }

    /// Bytes of log that make a checkpoint worth while: as many as it writes again of what it wrote before.
    fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes.max(self.shard.retained.load(Ordering::Relaxed))
    }

    /// Checkpoints that can't keep up slow appends down; if they fail, memory must not grow for ever.
    fn behind(&self) -> Option<StoreError> {
        let most = self.checkpoint_bytes().saturating_mul(MOST_BEHIND);
        let bytes = self.shard.wait_for_checkpoint(most, PATIENCE);
        let source =
            || std::io::Error::other(format!("{bytes} bytes of log wait for a segment to be written"));
        (bytes >= most).then(|| StoreError::Io {
            action: "checkpoint",
            path: self.shard.disk.describe(""),
            source: source(),
        })
    }

    fn checkpoint_if_due(&mut self) {
        let now = self.clock.monotonic();
        let long = self.shard.unsealed() >= self.checkpoint_bytes()
            || self.log.frames() >= self.shard.disk.most_appends();
        let due = long
            && !self.shard.checkpointing.load(Ordering::Acquire)
            && (now >= self.next_checkpoint || !self.shard.checkpoint_failed.load(Ordering::Relaxed));
        if due {
            self.next_checkpoint = now + RETRY_CHECKPOINT;
            self.checkpoint(false, None);
        }
    }

    /// Goes on in a new log file and has the old ones written to a segment.
    fn checkpoint(&mut self, full: bool, reply: Option<oneshot::Sender<Result<(), StoreError>>>) {
        if let Err(error) = self.log.rotate() {
            self.shard.note_loss(&error);
            tracing::warn!(error = %error, "a new log file could not be started");
            if let Some(reply) = reply {
                answer(reply, Err(error));
            }
            return;
        }
        self.shard.checkpointing.store(true, Ordering::Release);
        let covered = self.shard.logged.load(Ordering::Relaxed);
        let job = Job { shard: Arc::clone(&self.shard), log_from: self.log.key(), covered, full, reply };
        // A queue that is full, or gone, means that this can wait: the log keeps everything.
        if self.jobs.try_send(Task::Job(job)).is_err() {
            self.shard.checkpointing.store(false, Ordering::Release);
        }
    }
}

/// Answers a caller. One that is gone does not need the answer.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

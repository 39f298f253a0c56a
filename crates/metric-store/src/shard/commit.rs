//! Group commit: one thread a shard takes all calls that arrived while the disk was busy, writes them as one frame,
//! syncs once, applies them to the head and answers. A small call that comes alone, after one that did, is done by its
//! caller instead, if the disk is quick: waking another thread and being woken by it would take longer than the disk does.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::log::{LogWriter, Part};
use crate::maintenance::{Job, Task};
use crate::options::{RETRY_AFTER, StoreOptions};
use crate::protocol::Message;
use crate::runs::put_batch;

/// A commit takes no more calls once it has so many bytes.
const COMMIT_BYTES: usize = 8 << 20;
/// Calls of more bytes are for the writer's thread, whoever is waiting.
const ALONE_BYTES: usize = 64 << 10;
/// A disk that takes longer to write is waited for by the writer's thread only.
const QUICK: Duration = Duration::from_micros(500);
/// How old what is known of the disk's free space may be.
const LOOK: Duration = Duration::from_millis(100);
const QUEUE: usize = 1_024;
/// A file of the log is read as a whole at the next start.
const LOG_FILE_BYTES: u64 = 64 << 20;
/// After a checkpoint that failed.
const RETRY_CHECKPOINT: Duration = Duration::from_secs(5);
/// Appends wait when so many checkpoints' bytes are pending.
const MOST_BEHIND: u64 = 8;
/// The same for checkpoints that are longer than was set, since there are many metrics.
const MOST_BEHIND_MANY: u64 = 3;
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
    pub(crate) fn encode(&self) -> Part {
        let kind = match self {
            Self::Append(_) => APPEND,
            Self::Delete(_) => DELETE,
            Self::Erase(_) => ERASE,
            Self::Adopt(_) => ADOPT,
        };
        Part::new(|bytes| {
            bytes.push(kind);
            let length = begin_bytes(bytes);
            match self {
                Self::Append(batch) => put_batch(bytes, batch),
                Self::Delete(metrics) => put_metrics(bytes, metrics),
                Self::Erase(erase) => erase.put(bytes),
                Self::Adopt(adoption) => adoption.put(bytes),
            }
            end_bytes(bytes, length);
        })
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

/// A change that waits for the disk.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) change: Change,
    /// [Encoded](Change::encode).
    pub(crate) part: Part,
    pub(crate) reply: oneshot::Sender<Result<AppendReport, StoreError>>,
    /// Memory that the call may take; given back when it is answered.
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// What the writer is asked.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make durable, apply, answer.
    Commit(Call),
    /// Write what the log holds to a segment, then merge segments.
    Checkpoint { full: bool, reply: oneshot::Sender<Result<(), StoreError>> },
}

/// A shard's writer thread, and the way to do without it.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) log: SharedWriter,
    pub(crate) thread: JoinHandle<()>,
}

/// Who locks the writer has the log; it is gone when the shard is given up.
pub(crate) type SharedWriter = Arc<Mutex<Option<Writer>>>;

/// Writes the log.
#[derive(Debug)]
pub(crate) struct Writer {
    shard: Arc<Shard>,
    log: LogWriter,
    jobs: SyncSender<Task>,
    clock: Arc<dyn Clock>,
    min_free: u64,
    /// When to ask again what is free.
    next_look: Duration,
    checkpoint_bytes: u64,
    next_checkpoint: Duration,
    last_write: Duration,
    /// Whether the last group was refused or could not be written: told when it begins and when it ends.
    troubled: bool,
    /// Calls of the last group, and how long its write took.
    last_group: usize,
    last_took: Duration,
    /// How long appends wait for checkpoints that can't keep up.
    patience: Duration,
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
        next_look: Duration::ZERO,
        checkpoint_bytes: options.checkpoint_bytes,
        next_checkpoint: Duration::ZERO,
        last_write: Duration::ZERO,
        troubled: false,
        last_group: 0,
        last_took: Duration::ZERO,
        patience: PATIENCE,
        shard,
    };
    let place = writer.shard.disk.describe("");
    let name = format!("log-{:04}", writer.shard.number);
    let log = Arc::new(Mutex::new(Some(writer)));
    let shared = Arc::clone(&log);
    let thread = std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            run(&shared, queue);
            // The log's file is closed with it.
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
        })
        .map_err(io_error("start the log's thread of", Path::new(&place)))?;
    Ok(Committer { commands, log, thread })
}

fn run(log: &Mutex<Option<Writer>>, mut queue: mpsc::Receiver<Command>) {
    let mut next = None;
    while let Some(command) = next.take().or_else(|| queue.blocking_recv()) {
        // After a panic it is unknown what was applied: whoever opens the shard again reads the log.
        let Ok(mut writer) = log.lock() else { return };
        let Some(writer) = writer.as_mut() else { return };
        match command {
            Command::Checkpoint { full, reply } => writer.checkpoint(full, Some(reply)),
            Command::Commit(call) => {
                writer.checkpoint_if_due();
                writer.gather();
                let mut size = call.part.bytes().len();
                let mut group = vec![call];
                while size < COMMIT_BYTES {
                    match queue.try_recv() {
                        Ok(Command::Commit(call)) => {
                            size += call.part.bytes().len();
                            group.push(call);
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                writer.commit(group);
                writer.checkpoint_if_due();
            }
        }
    }
}

/// Does a call right here, in its caller's thread, if the disk is quick and nobody else wants it; otherwise gives it back:
/// it is one for the writer's thread.
pub(crate) fn commit_here(log: &Mutex<Option<Writer>>, call: Call) -> Option<Call> {
    if call.part.bytes().len() > ALONE_BYTES {
        return Some(call);
    }
    let Ok(mut writer) = log.try_lock() else { return Some(call) };
    match writer.as_mut() {
        Some(writer) if writer.is_quick() => {
            writer.commit(vec![call]);
            None
        }
        _ => Some(call),
    }
}

impl Writer {
    /// Whether a call takes no longer than a thread may be kept waiting that has other things to do: calls did not come in
    /// groups, the last write was quick, and there is nothing to do besides.
    fn is_quick(&self) -> bool {
        !self.shard.disk.needs_runtime()
            && self.last_group == 1
            && self.last_took < QUICK
            && self.log.len() < LOG_FILE_BYTES
            && !self.is_log_long()
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
    fn commit(&mut self, group: Vec<Call>) {
        self.last_group = group.len();
        let mut group = match self.refusal() {
            Some(refusal) => self.refuse(group, &refusal),
            None => group,
        };
        if group.is_empty() {
            return;
        }
        let number = self.shard.head().commit + 1;
        let (start, before) = (self.clock.monotonic(), self.log.len());
        let written = self.log.append(number, group.iter_mut().map(|call| &mut call.part));
        self.last_took = self.clock.monotonic().saturating_sub(start);
        if let Err(error) = written {
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
        instrument::committed(group.len(), written, self.last_took);
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
        group: Vec<Call>,
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
    fn refusal(&mut self) -> Option<StoreError> {
        if self.shard.is_lost() {
            return Some(StoreError::NoOwner { retry_after: RETRY_AFTER });
        }
        let now = self.clock.monotonic();
        if now >= self.next_look {
            match self.shard.disk.free_bytes() {
                Ok(Some(free)) if free < self.min_free => return Some(self.disk_full(free)),
                Ok(_) => self.next_look = now + LOOK,
                Err(error) => return Some(error),
            }
        }
        self.behind()
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
    fn refuse(&mut self, group: Vec<Call>, refusal: &StoreError) -> Vec<Call> {
        self.trouble(refusal);
        let (refused, taken): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|call| matches!(call.change, Change::Append(_)));
        for call in refused {
            answer(call.reply, Err(refusal.same()));
        }
        taken
    }

    /// Pending bytes that make a checkpoint worth while.
    fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes.max(self.shard.checkpoint_bytes.load(Ordering::Relaxed))
    }

    /// Checkpoints that can't keep up slow appends down; if they fail, memory must not grow for ever.
    fn behind(&self) -> Option<StoreError> {
        let own = self.checkpoint_bytes.saturating_mul(MOST_BEHIND);
        let most = own.max(self.checkpoint_bytes().saturating_mul(MOST_BEHIND_MANY));
        let bytes = self.shard.wait_for_checkpoint(most, self.patience);
        let source = || std::io::Error::other(format!("{bytes} bytes wait for a segment to be written"));
        (bytes >= most).then(|| StoreError::Io {
            action: "checkpoint",
            path: self.shard.disk.describe(""),
            source: source(),
        })
    }

    /// Whether the log is so long, or so much in memory, that segments should hold it.
    fn is_log_long(&self) -> bool {
        self.shard.pending() >= self.checkpoint_bytes() || self.log.frames() >= self.shard.disk.most_appends()
    }

    fn checkpoint_if_due(&mut self) {
        let now = self.clock.monotonic();
        let due = self.is_log_long()
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
        let covered = self.shard.extent();
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

#[cfg(test)]
mod tests;

//! A shard: a folder with a log and segments, its head in memory, and one thread that writes the log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::time::Duration;

use nephos_model::MetricId;

use crate::bytes::{Malformed, Reader};
use crate::contract::{Adoption, AppendReport, Erase, StoreError};
use crate::damage::DamageLog;
use crate::disk::Disk;
use crate::head::{Head, MetricState};
use crate::instrument;
use crate::log::{FILE_HEADER, LogKey, LogWriter, list_logs, replay};
use crate::manifest::{Live, Manifest};
use crate::pack::{read_state, salvage};
use crate::protocol::Message;
use crate::runs::read_batch;
use crate::segment::{Block, Entry, Segment};

pub(crate) mod commit;

use commit::Change;

/// Kinds of call in a frame of the log.
const APPEND: u8 = 0;
const DELETE: u8 = 1;
const ERASE: u8 = 2;
const ADOPT: u8 = 3;

/// Segments in the order of their data, oldest first.
pub(crate) type Segments = Arc<Vec<Arc<Segment>>>;

/// What the log's writer, readers and maintenance share.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) disk: Arc<dyn Disk>,
    head: RwLock<Head>,
    segments: RwLock<Segments>,
    /// Only maintenance changes it; held while files are written, never by readers or appends.
    live: Mutex<Live>,
    pub(crate) damage: DamageLog,
    /// Bytes of log since the last one that segments hold at the start.
    pub(crate) logged: AtomicU64,
    /// How many of them segments hold by now.
    sealed: AtomicU64,
    /// How many of the measures accepted since it was opened segments hold by now.
    sealed_measures: AtomicU64,
    /// Bytes of log that make the next checkpoint worth while, as the last one left it.
    pub(crate) checkpoint_bytes: AtomicU64,
    /// Whether a checkpoint is asked for and not done yet.
    pub(crate) checkpointing: AtomicBool,
    /// Whether the last checkpoint failed.
    pub(crate) checkpoint_failed: AtomicBool,
    checkpoint_done: (Mutex<()>, Condvar),
    /// Maintenance in progress stops early.
    pub(crate) closing: AtomicBool,
    /// Another process took the shard over.
    lost: AtomicBool,
    /// Measures that the log held when the shard was opened.
    replayed: u64,
    pub(crate) accepted: AtomicU64,
    pub(crate) late: AtomicU64,
}

/// How much was appended up to some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Of the log, as [`Shard::logged`] counts them.
    bytes: u64,
    /// Replayed, and accepted since.
    measures: u64,
}

/// A measure that comes alone takes a little more in the log. Many of a metric take less than half of it there, but as
/// much memory.
pub(crate) const BYTES_OF_MEASURE: u64 = 24;

impl Shard {
    /// Takes a shard over, whoever has it: reads its segments' states and replays its log.
    pub(crate) fn open(disk: Arc<dyn Disk>, number: u32) -> Result<(Arc<Self>, LogWriter), StoreError> {
        let Taken { live, segments, loaded, damage } = Taken::over(Arc::clone(&disk), number)?;
        for key in &loaded.empty {
            // Restarts without writes do not pile up files.
            disk.remove(&key.name())?;
        }
        let Loaded { head, checkpoint_bytes, unsealed, .. } = loaded;
        let Extent { bytes, measures } = unsealed;
        let key = LogKey { epoch: live.now().epoch, seq: 1 };
        let log = LogWriter::create(Arc::clone(&disk), live.succession(), number, key)?;
        let shard = Self {
            number,
            disk,
            head: RwLock::new(head),
            segments: RwLock::new(Arc::new(segments)),
            live: Mutex::new(live),
            damage,
            logged: AtomicU64::new(bytes),
            sealed: AtomicU64::new(0),
            sealed_measures: AtomicU64::new(0),
            checkpoint_bytes: AtomicU64::new(checkpoint_bytes),
            checkpointing: AtomicBool::new(false),
            checkpoint_failed: AtomicBool::new(false),
            checkpoint_done: (Mutex::new(()), Condvar::new()),
            closing: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            replayed: measures,
            accepted: AtomicU64::new(0),
            late: AtomicU64::new(0),
        };
        shard.show();
        Ok((Arc::new(shard), log))
    }

    /// Whether another process took the shard over: what is in memory here is of the past.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Notes an error that says that another process took the shard over.
    pub(crate) fn note_loss(&self, error: &StoreError) {
        if matches!(error, StoreError::NoOwner { .. }) && !self.lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(shard = self.number, "another process took the shard over; it is given up here");
        }
    }

    pub(crate) fn head(&self) -> RwLockReadGuard<'_, Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head, if nobody changes it just now.
    pub(crate) fn try_head(&self) -> Option<RwLockReadGuard<'_, Head>> {
        match self.head.try_read() {
            Ok(head) => Some(head),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn head_mut(&self) -> RwLockWriteGuard<'_, Head> {
        self.head.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(segments);
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Bytes of log that no segment holds yet.
    pub(crate) fn unsealed(&self) -> u64 {
        let logged = self.logged.load(Ordering::Relaxed);
        logged.saturating_sub(self.sealed.load(Ordering::Relaxed))
    }

    /// Measures that no segment holds yet.
    pub(crate) fn unsealed_measures(&self) -> u64 {
        self.extent().measures.saturating_sub(self.sealed_measures.load(Ordering::Relaxed))
    }

    /// What no segment holds yet: bytes of log, or of memory where the measures take more.
    pub(crate) fn pending(&self) -> u64 {
        self.unsealed().max(self.unsealed_measures() * BYTES_OF_MEASURE)
    }

    /// What there is by now.
    pub(crate) fn extent(&self) -> Extent {
        let [bytes, accepted] = [&self.logged, &self.accepted].map(|counter| counter.load(Ordering::Relaxed));
        Extent { bytes, measures: self.replayed + accepted }
    }

    /// A checkpoint ended that covers so much.
    pub(crate) fn end_checkpoint(&self, covered: Extent, failed: bool) {
        let _waiting = self.checkpoint_done.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            self.sealed.fetch_max(covered.bytes, Ordering::Relaxed);
            self.sealed_measures.fetch_max(covered.measures, Ordering::Relaxed);
        }
        self.checkpoint_failed.store(failed, Ordering::Relaxed);
        self.checkpointing.store(false, Ordering::Release);
        self.checkpoint_done.1.notify_all();
    }

    /// Waits while `most` bytes or more are [pending](Self::pending), and a checkpoint is under way. Returns how many
    /// are then.
    pub(crate) fn wait_for_checkpoint(&self, most: u64, patience: Duration) -> u64 {
        if self.pending() >= most {
            let (lock, done) = &self.checkpoint_done;
            let waiting = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let hopeful = |(): &mut ()| self.pending() >= most && self.checkpointing.load(Ordering::Acquire);
            drop(done.wait_timeout_while(waiting, patience, hopeful).unwrap_or_else(PoisonError::into_inner));
        }
        self.pending()
    }

    /// Shows the shard's gauges.
    pub(crate) fn show(&self) {
        instrument::shard(self.number, self.unsealed(), self.segments().len());
    }

    /// Metrics deleted since it was opened.
    pub(crate) fn deletions(&self) -> u64 {
        self.head().deletions
    }

    /// Bytes of its segments, and of the log that they do not hold yet.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let segments: u64 = self.segments().iter().map(|segment| segment.size()).sum();
        segments + self.unsealed()
    }
}

/// A shard that is this process's now, and what it holds.
pub(crate) struct Taken {
    pub(crate) live: Live,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) loaded: Loaded,
    pub(crate) damage: DamageLog,
}

impl Taken {
    /// Takes a shard over, whoever has it.
    pub(crate) fn over(disk: Arc<dyn Disk>, number: u32) -> Result<Self, StoreError> {
        let live = Live::take_over(Arc::clone(&disk))?;
        for key in list_logs(disk.as_ref())?.iter().filter(|key| **key >= live.now().log_from()) {
            disk.fence(&key.name())?;
        }
        live.remove_leftovers()?;
        let damage = DamageLog::default();
        let segments = open_segments(&disk, number, live.now(), &damage)?;
        let loaded = Loaded::read(disk.as_ref(), number, live.now(), &segments, &damage)?;
        Ok(Self { live, segments, loaded, damage })
    }
}

/// What the states in segments and the log after them say together.
pub(crate) struct Loaded {
    pub(crate) head: Head,
    /// [`Head::checkpoint_bytes`] of what segments hold.
    checkpoint_bytes: u64,
    /// What the log holds and no segment does.
    unsealed: Extent,
    /// Log files of ended owners that hold nothing.
    empty: Vec<LogKey>,
}

impl Loaded {
    /// Reads the states of open segments and replays the log. Changes nothing.
    pub(crate) fn read(
        disk: &dyn Disk,
        number: u32,
        manifest: &Manifest,
        segments: &[Arc<Segment>],
        damage: &DamageLog,
    ) -> Result<Self, StoreError> {
        let mut head = Head::default();
        head.commit = manifest.commit;
        load_states(&mut head, segments, damage);
        let checkpoint_bytes = head.checkpoint_bytes();
        let (unsealed, empty) = replay_logs(&mut head, disk, number, manifest, damage)?;
        head.buried.clear();
        Ok(Self { head, checkpoint_bytes, unsealed, empty })
    }
}

fn open_segments(
    disk: &Arc<dyn Disk>,
    shard: u32,
    manifest: &Manifest,
    damage: &DamageLog,
) -> Result<Vec<Arc<Segment>>, StoreError> {
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for name in &manifest.segments {
        match Segment::open(Arc::clone(disk), shard, name, &segments, damage) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(StoreError::Damaged { path, reason }) => drop(damage.report(&path, reason)),
            Err(StoreError::Io { path, source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                drop(damage.report(&path, "it is missing"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(segments)
}

/// Takes each metric's newest state.
fn load_states(head: &mut Head, segments: &[Arc<Segment>], damage: &DamageLog) {
    for segment in segments.iter().rev() {
        let known = |head: &Head, metric| head.metrics.contains(metric) || head.buried.contains_key(&metric);
        let wanted: Vec<Entry> = segment.states(damage, |metric| !known(head, metric)).collect();
        for Entry { metric, commit, data } in wanted {
            let Some(block) = data else {
                head.buried.insert(metric, commit);
                continue;
            };
            let mut state = read_or_salvage(segment, metric, commit, &block, damage);
            state.policy = head.intern(&state.policy);
            head.metrics.insert(metric, state);
        }
    }
}

/// A metric's state; if it is damaged, one without raw measures that keeps the metric's chunks in reach.
fn read_or_salvage(
    segment: &Segment,
    metric: MetricId,
    commit: u64,
    block: &Block,
    damage: &DamageLog,
) -> MetricState {
    let read = segment.state(block).map_err(|error| error.to_string());
    let state = read
        .and_then(|bytes| read_state(&bytes, commit, block.born_after).map_err(|error| error.to_string()));
    state.unwrap_or_else(|error| {
        let reason = format!("metric {metric}, block at byte {}: {error}", block.offset);
        drop(damage.report(&segment.path(), reason));
        salvage(segment, commit, block)
    })
}

/// Applies the log to the head. Returns how much no segment holds, and files that can go.
fn replay_logs(
    head: &mut Head,
    disk: &dyn Disk,
    shard: u32,
    manifest: &Manifest,
    damage: &DamageLog,
) -> Result<(Extent, Vec<LogKey>), StoreError> {
    let mut logs = list_logs(disk)?;
    logs.retain(|key| *key >= manifest.log_from());
    let mut unsealed = Extent { bytes: 0, measures: 0 };
    let mut empty_files = Vec::new();
    for (at, key) in logs.iter().enumerate() {
        let Some(content) = disk.read(&key.name())? else { continue };
        let found = replay(&content, shard, *key, |number, payload| {
            unsealed.measures += apply(head, number, payload)?.accepted;
            Ok(())
        });
        unsealed.bytes += found.sound;
        let path = disk.describe(&key.name());
        let empty = found.sound <= FILE_HEADER as u64 && found.damage.is_empty();
        for reason in found.damage {
            drop(damage.report(&path, reason));
        }
        let last_of_its_owner = logs.get(at + 1).is_none_or(|next| next.epoch > key.epoch);
        if empty && last_of_its_owner {
            empty_files.push(*key);
        } else if found.torn + found.room > 0 && !last_of_its_owner {
            drop(damage.report(&path, format!("its last {} bytes", found.torn + found.room)));
        } else if found.torn > 0 {
            tracing::info!(path, bytes = found.torn, "a write was cut by a crash; it was never answered");
        }
    }
    Ok((unsealed, empty_files))
}

/// The calls of a frame of the log, in their order.
pub(crate) fn read_changes(payload: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut reader = Reader::new(payload);
    let mut changes = Vec::new();
    while reader.remaining() > 0 {
        let kind = reader.u8()?;
        let mut body = Reader::new(reader.bytes()?);
        changes.push(match kind {
            APPEND => Change::Append(Arc::new(read_batch(&mut body)?)),
            DELETE => Change::Delete(read_metrics(&mut body)?),
            ADOPT => Change::Adopt(Adoption::read(&mut body)?),
            ERASE => Change::Erase(Erase::read(&mut body)?),
            _ => return Err(Malformed("unknown kind of call")),
        });
        body.finish()?;
    }
    Ok(changes)
}

/// Applies a frame of the log: what its calls did.
pub(crate) fn apply(head: &mut Head, commit: u64, payload: &[u8]) -> Result<AppendReport, Malformed> {
    let mut report = AppendReport::default();
    for change in read_changes(payload)? {
        let one = change.apply(head, commit);
        report.accepted += one.accepted;
        report.late += one.late;
    }
    head.commit = head.commit.max(commit);
    Ok(report)
}

/// Appends a list of metrics.
pub(crate) fn put_metrics(buf: &mut Vec<u8>, metrics: &[MetricId]) {
    crate::bytes::put_unsigned(buf, metrics.len() as u64);
    for metric in metrics {
        buf.extend_from_slice(metric.as_bytes());
    }
}

/// Reads a list of metrics.
pub(crate) fn read_metrics(reader: &mut Reader<'_>) -> Result<Vec<MetricId>, Malformed> {
    (0..reader.count(16)?).map(|_| reader.metric()).collect()
}

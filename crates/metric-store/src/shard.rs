//! A shard: a folder with a log and segments, its head in memory, and one thread that writes the log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use nephos_model::MetricId;

use crate::bytes::{Malformed, Reader};
use crate::contract::{AppendReport, StoreError};
use crate::damage::DamageLog;
use crate::files::{create_folder, io_error, remove, sync_folder};
use crate::head::{Head, MetricState};
use crate::instrument;
use crate::log::{FILE_HEADER, LogWriter, list_logs, log_path, replay};
use crate::manifest::Manifest;
use crate::options::StoreOptions;
use crate::pack::{read_state, salvage};
use crate::runs::read_batch;
use crate::segment::{Entry, EntryData, Segment};

pub(crate) mod commit;

/// Kinds of call in a frame of the log.
const APPEND: u8 = 0;
const DELETE: u8 = 1;

/// Segments in the order of their data, oldest first.
pub(crate) type Segments = Arc<Vec<Arc<Segment>>>;

/// What the log's writer, readers and maintenance share.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) folder: PathBuf,
    head: RwLock<Head>,
    segments: RwLock<Segments>,
    /// Only maintenance changes it; held while files are written, never by readers or appends.
    manifest: Mutex<Manifest>,
    pub(crate) damage: DamageLog,
    /// Bytes of log that no segment holds yet.
    pub(crate) unsealed: AtomicU64,
    /// Bytes of the raw measures that the last checkpoint left in memory: the next one packs them again.
    pub(crate) retained: AtomicU64,
    /// Whether a checkpoint is asked for and not done yet.
    pub(crate) checkpointing: AtomicBool,
    /// Whether the last checkpoint failed.
    pub(crate) checkpoint_failed: AtomicBool,
    checkpoint_done: (Mutex<()>, Condvar),
    /// Maintenance in progress stops early.
    pub(crate) closing: AtomicBool,
    pub(crate) accepted: AtomicU64,
    pub(crate) late: AtomicU64,
}

impl Shard {
    /// Opens a shard: reads its segments' states and replays its log.
    pub(crate) fn open(options: &StoreOptions, number: u32) -> Result<(Arc<Self>, LogWriter), StoreError> {
        let folder = options.folder.join(format!("shard-{number:04}"));
        create_folder(&folder)?;
        let manifest = Manifest::load(&folder)?;
        manifest.remove_leftovers(&folder)?;
        let damage = DamageLog::default();
        let segments = open_segments(&folder, number, &manifest, &damage)?;
        let mut head = Head::default();
        head.commit = manifest.commit;
        load_states(&mut head, &segments, &damage);
        let retained = head.raw_bytes();
        let (log, unsealed) = replay_logs(&mut head, &folder, number, &manifest, &damage)?;
        head.buried.clear();
        let shard = Self {
            number,
            folder,
            head: RwLock::new(head),
            segments: RwLock::new(Arc::new(segments)),
            manifest: Mutex::new(manifest),
            damage,
            unsealed: AtomicU64::new(unsealed),
            retained: AtomicU64::new(retained),
            checkpointing: AtomicBool::new(false),
            checkpoint_failed: AtomicBool::new(false),
            checkpoint_done: (Mutex::new(()), Condvar::new()),
            closing: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            late: AtomicU64::new(0),
        };
        shard.show();
        Ok((Arc::new(shard), log))
    }

    pub(crate) fn head(&self) -> RwLockReadGuard<'_, Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner)
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

    pub(crate) fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// A checkpoint ended.
    pub(crate) fn end_checkpoint(&self, covered: u64, failed: bool) {
        let _waiting = self.checkpoint_done.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            self.unsealed.fetch_sub(covered, Ordering::Relaxed);
        }
        self.checkpoint_failed.store(failed, Ordering::Relaxed);
        self.checkpointing.store(false, Ordering::Release);
        self.checkpoint_done.1.notify_all();
    }

    /// Waits while the log has `most` bytes or more that no segment holds, and a checkpoint is under way. Returns
    /// how many it has then.
    pub(crate) fn wait_for_checkpoint(&self, most: u64, patience: Duration) -> u64 {
        let unsealed = || self.unsealed.load(Ordering::Relaxed);
        if unsealed() >= most {
            let (lock, done) = &self.checkpoint_done;
            let waiting = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let hopeful = |(): &mut ()| unsealed() >= most && self.checkpointing.load(Ordering::Acquire);
            drop(done.wait_timeout_while(waiting, patience, hopeful).unwrap_or_else(PoisonError::into_inner));
        }
        unsealed()
    }

    /// Shows the shard's gauges.
    pub(crate) fn show(&self) {
        instrument::shard(self.number, self.unsealed.load(Ordering::Relaxed), self.segments().len());
    }

    /// Bytes of all its files.
    pub(crate) fn disk_bytes(&self) -> Result<u64, StoreError> {
        let list = || std::fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum();
        let bytes: Result<u64, std::io::Error> = list();
        match bytes {
            // A file that maintenance removes meanwhile: count again.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                list().map_err(io_error("list", &self.folder))
            }
            other => other.map_err(io_error("list", &self.folder)),
        }
    }
}

fn open_segments(
    folder: &Path,
    shard: u32,
    manifest: &Manifest,
    damage: &DamageLog,
) -> Result<Vec<Arc<Segment>>, StoreError> {
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for number in &manifest.segments {
        match Segment::open(folder, shard, *number) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(StoreError::Damaged { path, reason }) => drop(damage.report(Path::new(&path), reason)),
            Err(StoreError::Io { path, source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                drop(damage.report(Path::new(&path), "it is missing"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(segments)
}

/// Takes each metric's newest state.
fn load_states(head: &mut Head, segments: &[Arc<Segment>], damage: &DamageLog) {
    for segment in segments.iter().rev() {
        for Entry { metric, commit, data } in segment.entries(damage) {
            if head.metrics.contains_key(&metric) || head.buried.contains_key(&metric) {
                continue;
            }
            let Some(data) = data else {
                head.buried.insert(metric, commit);
                continue;
            };
            let mut state = read_or_salvage(segment, metric, commit, &data, damage);
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
    data: &EntryData,
    damage: &DamageLog,
) -> MetricState {
    let read = segment.read(data.state_offset, data.state_len as usize).map_err(|error| error.to_string());
    let state =
        read.and_then(|bytes| read_state(&bytes, commit, data.born_after).map_err(|error| error.to_string()));
    state.unwrap_or_else(|error| {
        let reason = format!("metric {metric} at byte {}: {error}", data.state_offset);
        drop(damage.report(&segment.path, reason));
        salvage(segment, commit, data)
    })
}

/// Applies the log to the head. Returns the writer of a new file, and how many bytes of log no segment holds.
fn replay_logs(
    head: &mut Head,
    folder: &Path,
    shard: u32,
    manifest: &Manifest,
    damage: &DamageLog,
) -> Result<(LogWriter, u64), StoreError> {
    let mut logs = list_logs(folder)?;
    let old: Vec<u64> = logs.extract_if(.., |seq| *seq < manifest.log_from).collect();
    for seq in old {
        remove(&log_path(folder, seq))?;
    }
    let mut unsealed = 0;
    let newest = logs.last().copied();
    let mut next = newest.map_or(manifest.log_from, |seq| seq + 1);
    for seq in &logs {
        let path = log_path(folder, *seq);
        let found = replay(&path, shard, *seq, |number, payload| apply(head, number, payload).map(drop))?;
        unsealed += found.sound;
        let empty = found.sound <= FILE_HEADER as u64 && found.damage.is_empty();
        for reason in found.damage {
            drop(damage.report(&path, reason));
        }
        if empty && Some(*seq) == newest {
            // Restarts without writes do not pile up files.
            remove(&path)?;
            next = *seq;
        } else if found.torn > 0 && Some(*seq) == newest {
            tracing::warn!(path = %path.display(), bytes = found.torn, "a write cut by a crash was removed from the log");
            cut(&path, found.sound)?;
        } else if found.torn > 0 {
            drop(damage.report(&path, format!("its last {} bytes", found.torn)));
        }
    }
    Ok((LogWriter::create(folder, shard, next)?, unsealed))
}

/// Removes the torn end of a file, so that later starts don't take it for damage.
fn cut(path: &Path, len: u64) -> Result<(), StoreError> {
    let file = std::fs::OpenOptions::new().write(true).open(path).map_err(io_error("open", path))?;
    file.set_len(len).and_then(|()| file.sync_all()).map_err(io_error("cut", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Applies a frame of the log: what its calls did, in their order.
pub(crate) fn apply(head: &mut Head, commit: u64, payload: &[u8]) -> Result<AppendReport, Malformed> {
    let mut reader = Reader::new(payload);
    let mut report = AppendReport::default();
    while reader.remaining() > 0 {
        let kind = reader.u8()?;
        let mut body = Reader::new(reader.bytes()?);
        match kind {
            APPEND => {
                for run in read_batch(&mut body)?.runs() {
                    let one = head.append(commit, run.to_run());
                    report.accepted += one.accepted;
                    report.late += one.late;
                }
            }
            DELETE => {
                for metric in read_metrics(&mut body)? {
                    head.delete(commit, metric);
                }
            }
            _ => return Err(Malformed("unknown kind of call")),
        }
        body.finish()?;
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

//! The store in this process: its shards, and who takes which call.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use nephos_model::MetricId;
use nephos_timeseries::ArchivePolicy;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::bytes::shard_of;
use crate::compute::{Computation, Computed, Refusal};
use crate::contract::{
    Adoption, AppendReport, Batch, Erase, MetricStore, Progress, Series, SeriesRequest, StoreError,
    StoreStatistics,
};
use crate::format;
use crate::instrument;
use crate::maintenance::{self, Task};
use crate::options::{Limits, RETRY_AFTER, StoreOptions};
use crate::shard::Shard;
use crate::shard::commit::{self, Call, Change, Command, Committer, SharedWriter, commit_here};

mod reading;

use reading::PART_POINTS;

/// Log bytes of calls that wait for the disk, in permits of [`PERMIT_BYTES`]; more calls wait at the door.
const WAITING_BYTES: usize = 128 << 20;
const PERMIT_BYTES: usize = 1 << 10;
/// Erased ranges of a metric that are kept apart; merging all segments of a shard frees them.
const ERASED_RANGES: u64 = 1_000;
/// Policies that a metric had before and that something still shows of.
const FORMER_POLICIES: u64 = 32;

/// The engine in this process. Dropping it stops its threads; nothing that was answered is lost either way.
pub struct LocalStore {
    options: StoreOptions,
    shards: RwLock<BTreeMap<u32, Owned>>,
    /// Held while a shard is opened: by its number.
    opening: Vec<Mutex<()>>,
    count: u32,
    waiting: Arc<Semaphore>,
    maintenance: Mutex<Option<(SyncSender<Task>, JoinHandle<()>)>>,
}

/// A shard that this process owns.
struct Owned {
    shard: Arc<Shard>,
    commands: mpsc::Sender<Command>,
    log: SharedWriter,
    thread: JoinHandle<()>,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("place", &self.options.place).field("shards", &self.count).finish()
    }
}

impl LocalStore {
    /// Opens a store, or creates it. Reads files and replays the log: call it where blocking is fine.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if `FORMAT` or a manifest can't be used, [`StoreError::Io`] if the disk refuses.
    /// Other damage does not keep the store from opening: it is told, counted, and met by queries that touch it.
    pub fn open(options: StoreOptions) -> Result<Arc<Self>, StoreError> {
        let count = format::open(options.place.root()?.as_ref(), options.shards)?;
        let maintenance = maintenance::start(&options)?;
        let own = options.own.clone().unwrap_or_else(|| (0..count).collect());
        let waiting = Arc::new(Semaphore::new(WAITING_BYTES / PERMIT_BYTES));
        let shards = RwLock::default();
        let opening = (0..count).map(|_| Mutex::default()).collect();
        let store =
            Self { options, shards, opening, count, waiting, maintenance: Mutex::new(Some(maintenance)) };
        for number in own {
            store.open_shard(number)?;
        }
        Ok(Arc::new(store))
    }

    /// Number of shards the store was created with.
    pub fn shard_count(&self) -> u32 {
        self.count
    }

    /// Shards that this process serves now.
    pub fn owned(&self) -> Vec<u32> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Starts to serve a shard: after its lease was won. Opening an open one changes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn acquire(self: &Arc<Self>, number: u32) -> Result<(), StoreError> {
        let store = Arc::clone(self);
        blocking(move || store.open_shard(number)).await
    }

    /// Stops to serve a shard: calls under way are answered, later ones get [`StoreError::NoOwner`].
    pub async fn release(self: &Arc<Self>, number: u32) -> Result<(), StoreError> {
        let store = Arc::clone(self);
        blocking(move || {
            let owned = store.shards.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
            owned.into_iter().for_each(Owned::stop);
            Ok(())
        })
        .await
    }

    /// Writes everything the logs hold to segments; with `full`, also merges each shard's segments into one.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the disk refuses; nothing is lost then.
    pub async fn compact(&self, full: bool) -> Result<(), StoreError> {
        for number in self.owned() {
            let commands = self.of(number, |owned| owned.commands.clone())?;
            let (reply, answer) = oneshot::channel();
            let sent = commands.send(Command::Checkpoint { full, reply }).await;
            sent.map_err(|_| StoreError::Closed)?;
            answer.await.map_err(|_| StoreError::Closed)??;
        }
        Ok(())
    }

    /// Whether no checkpoint is under way.
    pub(crate) fn is_at_rest(&self) -> bool {
        let busy = |number| self.shard(number).is_ok_and(|shard| shard.checkpointing.load(Ordering::Acquire));
        !self.owned().into_iter().any(busy)
    }

    /// Answers what is under way and stops. Later calls get [`StoreError::Closed`].
    pub async fn close(self: &Arc<Self>) {
        let store = Arc::clone(self);
        let stopped = blocking(move || {
            store.stop();
            Ok(())
        });
        if let Err(error) = stopped.await {
            tracing::warn!(error = %error, "the metric store did not stop in order");
        }
    }

    fn stop(&self) {
        let shards = std::mem::take(&mut *self.shards.write().unwrap_or_else(PoisonError::into_inner));
        shards.into_values().for_each(Owned::stop);
        let maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((jobs, thread)) = maintenance {
            drop(jobs);
            join(thread);
        }
    }

    fn open_shard(&self, number: u32) -> Result<(), StoreError> {
        let Some(opening) = self.opening.get(number as usize) else { return Ok(()) };
        // A shard must not be opened twice. Calls to other shards go on meanwhile.
        let _alone = opening.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = || self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let lost = match shards().entry(number) {
            Entry::Occupied(owned) if !owned.get().shard.is_lost() => return Ok(()),
            Entry::Occupied(owned) => Some(owned.remove()),
            Entry::Vacant(_) => None,
        };
        lost.into_iter().for_each(Owned::stop);
        let jobs = self.jobs()?;
        let (shard, log) = Shard::open(self.options.place.shard(number)?, number)?;
        // Should its queue be full, the thread has much to do; the janitor can do without this shard until it is opened
        // again.
        drop(jobs.try_send(Task::Watch(Arc::downgrade(&shard))));
        let committer = commit::start(Arc::clone(&shard), log, jobs, &self.options)?;
        let Committer { commands, log, thread } = committer;
        let owned = Owned { shard, commands, log, thread };
        shards().insert(number, owned);
        // Whoever closed the store meanwhile did not see it.
        if let Err(closed) = self.jobs() {
            let late = shards().remove(&number);
            late.into_iter().for_each(Owned::stop);
            return Err(closed);
        }
        Ok(())
    }

    fn jobs(&self) -> Result<SyncSender<Task>, StoreError> {
        let maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        maintenance.as_ref().map(|(jobs, _)| jobs.clone()).ok_or(StoreError::Closed)
    }

    fn shard(&self, number: u32) -> Result<Arc<Shard>, StoreError> {
        self.of(number, |owned| Arc::clone(&owned.shard))
    }

    /// Something of a shard that this process serves.
    fn of<T>(&self, number: u32, take: impl FnOnce(&Owned) -> T) -> Result<T, StoreError> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        match shards.get(&number) {
            Some(owned) if !owned.shard.is_lost() => Ok(take(owned)),
            _ if self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).is_none() => {
                Err(StoreError::Closed)
            }
            _ => Err(StoreError::NoOwner { retry_after: RETRY_AFTER }),
        }
    }

    /// Sends one change to each shard it touches, and waits for all of them.
    async fn commit(&self, changes: Vec<(u32, Change)>) -> Result<AppendReport, StoreError> {
        // All shards must be ours before any of them takes something.
        let target = |owned: &Owned| (owned.commands.clone(), Arc::clone(&owned.log));
        let targets: Result<Vec<_>, _> =
            changes.into_iter().map(|(number, change)| Ok((self.of(number, target)?, change))).collect();
        let targets = targets?;
        let is_one = targets.len() == 1;
        let mut answers = Vec::with_capacity(targets.len());
        for ((commands, log), change) in targets {
            let part = change.encode();
            let size = part.bytes().len();
            let permits = u32::try_from((size / PERMIT_BYTES).clamp(1, WAITING_BYTES / PERMIT_BYTES));
            let permit = Arc::clone(&self.waiting).acquire_many_owned(permits.unwrap_or(1)).await;
            let permit = permit.map_err(|_| StoreError::Closed)?;
            let (reply, answer) = oneshot::channel();
            let call = Call { change, part, reply, _permit: permit };
            // Several shards write at the same time.
            let call = if is_one { commit_here(&log, call) } else { Some(call) };
            if let Some(call) = call {
                commands.send(Command::Commit(call)).await.map_err(|_| StoreError::Closed)?;
            }
            answers.push(answer);
        }
        let mut report = AppendReport::default();
        let mut failure = None;
        for answer in answers {
            match answer.await.unwrap_or(Err(StoreError::Closed)) {
                Ok(one) => {
                    report.accepted += one.accepted;
                    report.late += one.late;
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(report), Err)
    }

    /// Splits by shard, keeping the order in each.
    fn by_shard<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        metric: impl Fn(&T) -> MetricId,
    ) -> Vec<(u32, Vec<T>)> {
        let mut parts: BTreeMap<u32, Vec<T>> = BTreeMap::new();
        for item in items {
            parts.entry(shard_of(metric(&item), self.count)).or_default().push(item);
        }
        parts.into_iter().collect()
    }
}

impl Owned {
    fn stop(self) {
        self.shard.closing.store(true, Ordering::Relaxed);
        drop(self.commands);
        join(self.thread);
        // A checkpoint under way gives up soon; the files are nobody's before it has.
        drop(self.shard.live());
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the metric store panicked");
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(crate::files::io_error("run in the background for", Path::new("metric store"))(source))
    })
}

fn within(
    limits: &Limits,
    what: &'static str,
    size: usize,
    limit: fn(&Limits) -> u64,
) -> Result<(), StoreError> {
    let (size, limit) = (size as u64, limit(limits));
    if size > limit { Err(StoreError::TooLarge { what, size, limit }) } else { Ok(()) }
}

#[async_trait]
impl MetricStore for LocalStore {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        let start = self.options.clock.monotonic();
        let appended = async {
            within(&self.options.limits, "an append's measures", batch.len(), |limits| limits.measures)?;
            let parts = batch.split(self.count, |metric| shard_of(metric, self.count));
            let changes = parts.into_iter().map(|(number, part)| (number, Change::Append(part)));
            self.commit(changes.collect()).await
        };
        let done = appended.await;
        match &done {
            Ok(report) => {
                instrument::appended(*report, self.options.clock.monotonic().saturating_sub(start));
            }
            Err(error) => instrument::failed("append", error),
        }
        done
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        self.read(&Arc::new(requests), &mut Progress::default(), usize::MAX).await
    }

    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        self.read(requests, so_far, PART_POINTS).await
    }

    async fn compute(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.read(&Arc::new(computations), &mut Progress::default(), usize::MAX).await
    }

    async fn compute_next(
        &self,
        computations: &Arc<Vec<Computation>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        self.read(computations, so_far, PART_POINTS).await
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        let parts = self.by_shard(metrics.iter().copied(), |metric| *metric);
        let changes = parts.into_iter().map(|(number, metrics)| (number, Change::Delete(metrics))).collect();
        let done = self.commit(changes).await.map(drop);
        done.inspect_err(|error| instrument::failed("delete", error))
    }

    async fn erase(&self, erase: &Erase) -> Result<(), StoreError> {
        let work = async {
            let parts = self.by_shard(erase.metrics.iter().copied(), |metric| *metric);
            let mut changes = Vec::with_capacity(parts.len());
            for (number, metrics) in parts {
                let most = self.shard(number)?.head().most_erased(&metrics);
                within(&self.options.limits, "a metric's erased ranges", most + 1, |_| ERASED_RANGES)?;
                changes.push((number, Change::Erase(Erase { metrics, ..erase.clone() })));
            }
            self.commit(changes).await.map(drop)
        };
        work.await.inspect_err(|error| instrument::failed("erase", error))
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        let work = async {
            let number = shard_of(adoption.metric, self.count);
            let formers = self.shard(number)?.head().former_policies(adoption.metric).len();
            within(&self.options.limits, "a metric's former policies", formers + 1, |_| FORMER_POLICIES)?;
            self.commit(vec![(number, Change::Adopt(adoption.clone()))]).await?;
            Ok(self.shard(number)?.head().former_policies(adoption.metric).pop())
        };
        work.await.inspect_err(|error| instrument::failed("adopt", error))
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        let shards: Result<Vec<_>, _> = self.owned().into_iter().map(|number| self.shard(number)).collect();
        let shards = shards?;
        blocking(move || {
            let mut sum = StoreStatistics::default();
            for shard in shards {
                sum.metrics += shard.head().metrics.len() as u64;
                sum.accepted += shard.accepted.load(Ordering::Relaxed);
                sum.late += shard.late.load(Ordering::Relaxed);
                sum.disk_bytes += shard.disk_bytes();
            }
            Ok(sum)
        })
        .await
    }
}

#[cfg(test)]
mod tests;

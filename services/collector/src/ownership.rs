//! Owning shards of the metric store: each is opened after its lease was won and served while the lease is surely ours.
//!
//! All living collectors that share a store agree on whose a shard is by rendezvous hashing, as many for each. When one
//! joins, the others give up what is its; when one dies, its leases run out and the others take over. A store that
//! cannot be shared belongs to one collector whole. The store itself keeps an owner that was paused from doing harm; the
//! guard here keeps it from answering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use nephos_coordination::{CoordinationError, Lease, Leases, Membership, even_share};
use nephos_metric_store::{LocalStore, MetricStore, StoreError};
use nephos_model::Clock;
use nephos_observe::Shutdown;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

mod guard;

use guard::{Guarded, Routed};

/// Group of all collectors.
const GROUP: &str = "collector";

/// Name of the lease of a shard.
pub fn lease_name(shard: u32) -> String {
    format!("shard-{shard:04}")
}

/// Another collector has the store, which cannot be shared.
#[derive(Debug, thiserror::Error)]
#[error(
    "{holder} has the metric store: several collectors need store = \"s3://…\", or [store] shared = true for a folder \
     that all of them see"
)]
pub struct NotShared {
    /// Its name among collectors.
    pub holder: String,
}

/// How fast ownership moves.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a lease lasts without renewal.
    pub ttl: Duration,
    /// How often leases are renewed.
    pub renew: Duration,
    /// How often collectors look for each other.
    pub look: Duration,
    /// How long another may hold a store that cannot be shared: one that ends gives it up by then.
    pub patience: Duration,
}

impl Default for Pace {
    /// Ten seconds, renewed every three; a look each second; half a minute of patience.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { ttl: seconds(10), renew: seconds(3), look: seconds(1), patience: seconds(30) }
    }
}

/// What ownership works with.
#[derive(Clone, Debug)]
pub struct OwnershipParts {
    /// The leases.
    pub leases: Arc<dyn Leases>,
    /// The collectors.
    pub membership: Arc<dyn Membership>,
    /// The store; no shard of it is open yet.
    pub store: Arc<LocalStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where this process serves its shards to others.
    pub url: String,
    /// Whether other collectors may own shards of the same store.
    pub shared: bool,
    /// How fast it moves.
    pub pace: Pace,
}

/// The shards of this process.
#[derive(Debug)]
pub struct Ownership {
    parts: OwnershipParts,
    shares: Arc<Shares>,
    held: Mutex<BTreeMap<u32, Held>>,
    state: Mutex<State>,
}

/// How far it is, for others to see.
#[derive(Debug, Default)]
struct State {
    /// Everything that was ours was open once.
    settled: bool,
    /// Shards that are ours and could not be opened.
    failed: Vec<u32>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    phase: Phase,
    /// Until when the lease is surely ours, in the clock's monotonic time.
    until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Serving,
    Closing,
}

/// Which shards are surely ours, as calls see it.
#[derive(Debug)]
struct Shares {
    clock: Arc<dyn Clock>,
    /// By shard: monotonic nanoseconds until when it is served; zero if it is not.
    until: Vec<AtomicU64>,
    /// Until when every shard that is open is surely ours; zero while one is being given up.
    all_open: AtomicU64,
    /// The same, zero also unless all shards of the store are open.
    whole: AtomicU64,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Shares {
    fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    fn is_ours(&self, shard: u32) -> bool {
        let until = usize::try_from(shard).ok().and_then(|shard| self.until.get(shard));
        until.is_some_and(|until| self.now() < until.load(Ordering::Acquire))
    }

    fn publish(&self, held: &BTreeMap<u32, Held>) {
        let mut all_open = u64::MAX;
        let mut serving = 0;
        for (shard, until) in (0..).zip(&self.until) {
            let found = held.get(&shard);
            let value = match found.map(|held| held.phase) {
                Some(Phase::Serving) => found.map_or(0, |held| nanos(held.until)),
                _ => 0,
            };
            until.store(value, Ordering::Release);
            match found.map(|held| held.phase) {
                Some(Phase::Serving) => {
                    serving += 1;
                    all_open = all_open.min(value);
                }
                Some(Phase::Closing) => all_open = 0,
                Some(Phase::Opening) | None => {}
            }
        }
        self.all_open.store(all_open, Ordering::Release);
        self.whole.store(if serving == self.until.len() { all_open } else { 0 }, Ordering::Release);
    }
}

/// Work on a shard that ended.
#[derive(Debug)]
enum Ended {
    Opened(u32, Result<(), StoreError>),
    Closed(u32),
}

/// What one process remembers from look to look.
#[derive(Debug, Default)]
struct Memory {
    renewed: Option<Duration>,
    wanted: Option<BTreeSet<u32>>,
    /// Shards that could not be opened, and when to try again.
    failed: BTreeMap<u32, Duration>,
    /// Since when another holds what we want.
    blocked: Option<Duration>,
    told: bool,
}

/// How long after a failure a shard is opened again.
const AGAIN: Duration = Duration::from_secs(5);

impl Ownership {
    /// Owns nothing until [`keep`](Self::keep) runs.
    pub fn new(parts: OwnershipParts) -> Self {
        let until = (0..parts.store.shard_count()).map(|_| AtomicU64::new(0)).collect();
        let clock = Arc::clone(&parts.clock);
        let shares = Arc::new(Shares { clock, until, all_open: AtomicU64::new(0), whole: AtomicU64::new(0) });
        Self { parts, shares, held: Mutex::default(), state: Mutex::default() }
    }

    /// The shards of this process as others call them: refused whenever their lease is not sure.
    pub fn guard(&self) -> Arc<dyn MetricStore> {
        Arc::new(self.guarded())
    }

    /// The whole store: what is not ours is asked of `others`.
    pub fn routed(&self, others: Arc<dyn MetricStore>) -> Arc<dyn MetricStore> {
        Arc::new(Routed { ours: self.guarded(), others })
    }

    fn guarded(&self) -> Guarded {
        Guarded { store: Arc::clone(&self.parts.store), shares: Arc::clone(&self.shares) }
    }

    /// Whether all shards that fell to this process first are open.
    pub fn is_settled(&self) -> bool {
        self.state().settled
    }

    /// For `/readyz`.
    ///
    /// # Errors
    /// Which shards are missing.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.state();
        match state.failed.as_slice() {
            [] if state.settled => Ok(()),
            [] => Err("shards are being opened".to_owned()),
            failed => Err(format!("shards that could not be opened: {failed:?}")),
        }
    }

    /// Shards that are served.
    pub fn serving(&self) -> Vec<u32> {
        let held = self.held();
        let serving = held.iter().filter(|(_, held)| held.phase == Phase::Serving);
        serving.map(|(shard, _)| *shard).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, memory: &Memory) {
        let open = memory.wanted.as_ref().is_some_and(|wanted| {
            let held = self.held();
            let is_open = |shard| held.get(shard).is_some_and(|held| held.phase == Phase::Serving);
            wanted.iter().all(is_open)
        });
        let mut state = self.state();
        state.settled |= open;
        state.failed = memory.failed.keys().copied().collect();
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u32, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<u32, Held>) -> T) -> T {
        let mut held = self.held();
        let outcome = change(&mut held);
        self.shares.publish(&held);
        outcome
    }

    /// Takes, renews and gives up shards until shutdown is asked for.
    ///
    /// # Errors
    /// [`NotShared`] if the store cannot be shared and another collector does not give it up.
    pub async fn keep(&self, shutdown: &Shutdown) -> Result<(), NotShared> {
        let mut work = JoinSet::new();
        let mut memory = Memory::default();
        let mut looks = tokio::time::interval(self.parts.pace.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let kept = loop {
            tokio::select! {
                () = shutdown.requested() => break Ok(()),
                _ = looks.tick() => {
                    if let Err(error) = self.look(&mut memory, &mut work).await {
                        break Err(error);
                    }
                }
                Some(ended) = work.join_next() => self.ended(ended.ok(), &mut memory, &mut work),
            }
            self.note(&memory);
        };
        while let Some(ended) = work.join_next().await {
            self.ended(ended.ok(), &mut memory, &mut work);
        }
        kept
    }

    /// Gives everything up, so that others take over at once. Call after the store is closed.
    pub async fn release(&self) {
        if let Err(error) = self.parts.membership.leave(GROUP).await {
            tracing::debug!(%error, "the group of collectors could not be left; it notices by itself");
        }
        let held = self.change(std::mem::take);
        join_all(held.values().map(|held| give_back(self.parts.leases.as_ref(), &held.lease))).await;
    }

    async fn look(&self, memory: &mut Memory, work: &mut JoinSet<Ended>) -> Result<(), NotShared> {
        let now = self.parts.clock.monotonic();
        if memory.renewed.is_none_or(|renewed| now.saturating_sub(renewed) >= self.parts.pace.renew) {
            memory.renewed = Some(now);
            self.renew(work).await;
        }
        let wanted = match self.wanted().await {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::debug!(%error, "the collectors are not known just now; everybody keeps what it has");
                return Ok(());
            }
        };
        memory.failed.retain(|shard, _| wanted.contains(shard));
        let others: Vec<u32> = {
            let held = self.held();
            let open = held.iter().filter(|(_, held)| held.phase == Phase::Serving);
            open.map(|(shard, _)| *shard).filter(|shard| !wanted.contains(shard)).collect()
        };
        for shard in others {
            tracing::info!(shard, "giving the shard to another collector");
            self.close(shard, true, work);
        }
        let holder = self.take(&wanted, memory, work).await;
        memory.wanted = Some(wanted);
        self.blocked(holder, memory)
    }

    /// The shards that are this process's.
    async fn wanted(&self) -> Result<BTreeSet<u32>, CoordinationError> {
        let shards = 0..self.parts.store.shard_count();
        if !self.parts.shared {
            return Ok(shards.collect());
        }
        let membership = &self.parts.membership;
        membership.beat(GROUP).await?;
        let members = membership.members(GROUP).await?;
        let names: Vec<String> = shards.clone().map(lease_name).collect();
        let own = even_share(membership.me(), &members, &names);
        Ok(shards.zip(0..).filter(|(_, number)| own.contains(number)).map(|(shard, _)| shard).collect())
    }

    /// Takes what is wanted and free; the holder of what is not.
    async fn take(
        &self,
        wanted: &BTreeSet<u32>,
        memory: &mut Memory,
        work: &mut JoinSet<Ended>,
    ) -> Option<String> {
        let now = self.parts.clock.monotonic();
        let missing: Vec<u32> = {
            let held = self.held();
            let missing = wanted.iter().filter(|shard| !held.contains_key(shard));
            let again = |shard: &&u32| memory.failed.get(shard).is_none_or(|again| *again <= now);
            missing.filter(again).copied().collect()
        };
        let (leases, me) = (&self.parts.leases, self.parts.membership.me());
        let attempts = missing.iter().map(|shard| async {
            let name = lease_name(*shard);
            (*shard, leases.acquire(&name, me, &self.parts.url, self.parts.pace.ttl).await)
        });
        let mut holder = None;
        for (shard, outcome) in join_all(attempts).await {
            match outcome {
                Ok(lease) => {
                    // Counted from before the question: the answer may have been long on its way.
                    let until = now + self.parts.pace.ttl;
                    self.change(|held| held.insert(shard, Held { lease, phase: Phase::Opening, until }));
                    let store = Arc::clone(&self.parts.store);
                    work.spawn(async move { Ended::Opened(shard, store.acquire(shard).await) });
                }
                Err(CoordinationError::Held { holder: other, .. }) => holder = Some(other),
                Err(error) => tracing::debug!(shard, %error, "a lease could not be taken yet"),
            }
        }
        holder
    }

    /// Gives up where a store that cannot be shared stays another's.
    fn blocked(&self, holder: Option<String>, memory: &mut Memory) -> Result<(), NotShared> {
        let Some(holder) = holder else {
            memory.blocked = None;
            memory.told = false;
            return Ok(());
        };
        let now = self.parts.clock.monotonic();
        if !std::mem::replace(&mut memory.told, true) {
            tracing::info!(holder, "waiting for shards of the metric store");
        }
        let since = *memory.blocked.get_or_insert(now);
        if self.parts.shared || now.saturating_sub(since) < self.parts.pace.patience {
            Ok(())
        } else {
            Err(NotShared { holder })
        }
    }

    async fn renew(&self, work: &mut JoinSet<Ended>) {
        let asked = self.parts.clock.monotonic();
        let held: Vec<(u32, Lease)> =
            self.held().iter().map(|(shard, held)| (*shard, held.lease.clone())).collect();
        let renewals = held.iter().map(|(shard, lease)| async {
            (*shard, self.parts.leases.renew(lease, self.parts.pace.ttl).await)
        });
        let outcomes = join_all(renewals).await;
        let mut lost = Vec::new();
        self.change(|held| {
            for (shard, outcome) in outcomes {
                match outcome {
                    Ok(()) => {
                        if let Some(held) = held.get_mut(&shard) {
                            held.until = asked + self.parts.pace.ttl;
                        }
                    }
                    Err(CoordinationError::Lost { .. } | CoordinationError::Held { .. }) => lost.push(shard),
                    Err(error) => tracing::debug!(shard, %error, "a lease could not be renewed yet"),
                }
            }
        });
        for shard in lost {
            tracing::warn!(shard, "the shard has another owner; it is given up here");
            self.close(shard, false, work);
        }
    }

    /// Stops to serve a shard, and gives its lease back unless it is lost. One that is being opened or closed already
    /// is looked at again when that has ended.
    fn close(&self, shard: u32, ours: bool, work: &mut JoinSet<Ended>) {
        let lease = self.change(|held| {
            let held = held.get_mut(&shard).filter(|held| held.phase == Phase::Serving)?;
            held.phase = Phase::Closing;
            Some(held.lease.clone())
        });
        let Some(lease) = lease else { return };
        let (store, leases) = (Arc::clone(&self.parts.store), Arc::clone(&self.parts.leases));
        work.spawn(async move {
            if let Err(error) = store.release(shard).await {
                tracing::warn!(shard, %error, "the shard was not closed in order");
            }
            if ours {
                give_back(leases.as_ref(), &lease).await;
            }
            Ended::Closed(shard)
        });
    }

    fn ended(&self, ended: Option<Ended>, memory: &mut Memory, work: &mut JoinSet<Ended>) {
        match ended {
            Some(Ended::Opened(shard, outcome)) => {
                self.change(|held| {
                    if let Some(held) = held.get_mut(&shard) {
                        held.phase = Phase::Serving;
                    }
                });
                match outcome {
                    Ok(()) => {
                        memory.failed.remove(&shard);
                        tracing::debug!(shard, "the shard is open");
                    }
                    Err(error) => {
                        tracing::error!(shard, error = %crate::store::Chain(&error), "the shard could not be opened");
                        memory.failed.insert(shard, self.parts.clock.monotonic() + AGAIN);
                        self.close(shard, true, work);
                    }
                }
            }
            Some(Ended::Closed(shard)) => {
                self.change(|held| held.remove(&shard));
            }
            None => tracing::error!("work on a shard panicked"),
        }
    }
}

async fn give_back(leases: &dyn Leases, lease: &Lease) {
    if let Err(error) = leases.release(lease).await {
        tracing::debug!(lease = lease.name, %error, "a lease could not be released; it runs out by itself");
    }
}

#[cfg(test)]
mod tests;

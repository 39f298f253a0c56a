//! The map from metrics to what is known of them. It is the same for many metrics, so one pointer each is enough.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use nephos_model::MetricId;

const SHARDS: usize = 16;
/// Metrics a shard holds at most; a full one starts anew.
const SHARD_CAPACITY: usize = 4_000_000 / SHARDS;
/// Kinds that are kept for being shared, at most; those in use live on.
const KINDS: usize = 100_000;

/// What is known of a metric.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// Name of the archive policy.
    pub(super) policy: String,
    /// Creator string.
    pub(super) creator: Option<Arc<str>>,
    /// Project of the resource.
    pub(super) project_id: Option<Arc<str>>,
}

/// In the order in which they came: see [`after`].
type Shard = IndexMap<MetricId, Entry, RandomState>;

/// A metric in memory.
#[derive(Debug)]
struct Entry {
    kind: Arc<Kind>,
    /// Another one each time the metric is read.
    stamp: u32,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    /// Counts what was forgotten: what was read before must not be kept after.
    version: AtomicU64,
    stamps: AtomicU32,
    kinds: Mutex<HashSet<Arc<Kind>, RandomState>>,
}

/// The answer for some metrics.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Into `kinds`; `None` for the unknown.
    pub(super) metrics: Vec<Option<usize>>,
    /// Each once.
    pub(super) kinds: Vec<Arc<Kind>>,
    /// By address.
    places: HashMap<usize, usize, RandomState>,
}

impl Found {
    /// The place of a kind; most of the time it is the one used last.
    #[inline]
    fn place(&mut self, kind: &Arc<Kind>, last: Option<usize>) -> usize {
        match last {
            Some(last) if self.kinds.get(last).is_some_and(|known| Arc::ptr_eq(known, kind)) => last,
            _ => *self.places.entry(Arc::as_ptr(kind).addr()).or_insert_with(|| {
                self.kinds.push(Arc::clone(kind));
                self.kinds.len() - 1
            }),
        }
    }

    /// Fills what is still unknown.
    pub(super) fn fill(&mut self, ids: &[MetricId], loaded: &HashMap<MetricId, Arc<Kind>>) {
        for (at, id) in ids.iter().enumerate() {
            if let (Some(None), Some(kind)) = (self.metrics.get(at), loaded.get(id)) {
                let place = self.place(kind, None);
                self.metrics[at] = Some(place);
            }
        }
    }
}

/// A shard by bits that are random in a UUID of any version; who crafts ids gains nothing but company on one lock.
fn shard_of(id: MetricId) -> usize {
    usize::from(id.as_bytes()[15]) % SHARDS
}

/// What is known of a metric, which is at `next` as a rule: clients name their metrics in the same order each time, and
/// memory that is read in order is there before it is asked for, while a look-up by hash waits for it twice.
#[inline]
fn after<'a>(shard: &'a Shard, next: &mut usize, id: &MetricId) -> Option<&'a Entry> {
    let at = match shard.get_index(*next) {
        Some((held, _)) if held == id => *next,
        _ => shard.get_index_of(id)?,
    };
    *next = at + 1;
    shard.get_index(at).map(|(_, entry)| entry)
}

impl Cache {
    /// What is known of each. Locks are taken in order and once each.
    pub(super) fn look_up(&self, ids: &[MetricId]) -> Found {
        let mut found = Found { metrics: Vec::with_capacity(ids.len()), ..Found::default() };
        if let [id] = ids {
            if let Some(entry) = read(&self.shards[shard_of(*id)]).get(id) {
                found.kinds.push(Arc::clone(&entry.kind));
            }
            found.metrics.push((!found.kinds.is_empty()).then_some(0));
            return found;
        }
        let mut shards: [(RwLockReadGuard<'_, Shard>, usize); SHARDS] =
            std::array::from_fn(|number| (read(&self.shards[number]), 0));
        let mut last = None;
        for id in ids {
            let (shard, next) = &mut shards[shard_of(*id)];
            let entry = after(shard, next, id);
            let place = entry.map(|entry| found.place(&entry.kind, last));
            last = place.or(last);
            found.metrics.push(place);
        }
        found
    }

    /// To be asked before reading what is to be kept.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Keeps what was read, unless something was forgotten since `version`; its stamp.
    pub(super) fn keep(&self, version: u64, id: MetricId, kind: &Arc<Kind>) -> Option<u32> {
        let stamp = self.stamps.fetch_add(1, Ordering::Relaxed);
        let mut shard = write(&self.shards[shard_of(id)]);
        // Whoever forgets raises the version first and waits for this lock then.
        if self.version() != version {
            return None;
        }
        if shard.len() >= SHARD_CAPACITY {
            shard.clear();
        }
        shard.insert(id, Entry { kind: Arc::clone(kind), stamp });
        Some(stamp)
    }

    /// Whether the metric is in memory as it was read with this stamp.
    pub(super) fn has(&self, id: MetricId, stamp: u32) -> bool {
        read(&self.shards[shard_of(id)]).get(&id).is_some_and(|entry| entry.stamp == stamp)
    }

    pub(super) fn forget(&self, metrics: &[MetricId]) {
        self.version.fetch_add(1, Ordering::SeqCst);
        for id in metrics {
            write(&self.shards[shard_of(*id)]).swap_remove(id);
        }
    }

    pub(super) fn clear(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            write(shard).clear();
        }
    }

    /// The one that equal kinds share.
    pub(super) fn shared(&self, kind: Kind) -> Arc<Kind> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds.get(&kind) {
            return Arc::clone(known);
        }
        if kinds.len() >= KINDS {
            kinds.clear();
        }
        let kind = Arc::new(kind);
        kinds.insert(Arc::clone(&kind));
        kind
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(creator: &str) -> Kind {
        Kind { policy: "low".to_owned(), creator: Some(creator.into()), project_id: None }
    }

    #[test]
    fn what_was_read_before_something_was_forgotten_is_not_kept() {
        let cache = Cache::default();
        let (id, other) = (MetricId::random(), MetricId::random());
        let read = cache.shared(kind("a"));
        let version = cache.version();
        cache.forget(&[other]);
        assert_eq!(cache.keep(version, id, &read), None);
        assert_eq!(cache.look_up(&[id]).metrics, [None]);
        let stamp = cache.keep(cache.version(), id, &read).unwrap();
        assert_eq!(cache.look_up(&[id, other]).metrics, [Some(0), None]);
        assert!(cache.has(id, stamp) && !cache.has(other, stamp));
        assert_ne!(cache.keep(cache.version(), id, &read), Some(stamp));
        assert!(!cache.has(id, stamp));
        cache.clear();
        assert_eq!(cache.look_up(&[id]).metrics, [None]);
    }

    #[test]
    fn equal_kinds_are_one_and_answers_name_each_once() {
        let cache = Cache::default();
        let ids: Vec<MetricId> = (0..9).map(|_| MetricId::random()).collect();
        let creators = ["a", "b", "a", "a", "c", "b", "b", "a", "c"];
        for (id, creator) in ids.iter().zip(creators) {
            cache.keep(0, *id, &cache.shared(kind(creator))).unwrap();
        }
        let found = cache.look_up(&ids);
        let names: Vec<_> =
            found.metrics.iter().map(|at| found.kinds[at.unwrap()].creator.clone().unwrap()).collect();
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), creators);
        assert_eq!(found.kinds.len(), 3);
    }
}

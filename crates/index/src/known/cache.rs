//! The map from metrics to what is known of them. It is the same for many metrics, so one pointer each is enough.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use nephos_model::{Metric, MetricId};

use super::order::{MANY, Order};
use super::shard::{Cursor, Shard};
use crate::contract::KindPlace;

pub(super) const SHARDS: usize = 16;
/// Metrics a shard holds at most; a full one starts anew.
const SHARD_CAPACITY: usize = 4_000_000 / SHARDS;
/// Kinds that are kept for being shared, at most; those in use live on.
const KINDS: usize = 100_000;
/// So many metrics are looked up one by one, so many kinds gone through.
const FEW: usize = 8;

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

impl Kind {
    /// Whether it is that of a metric whose resource has this project.
    pub(super) fn is_of(&self, metric: &Metric, project: Option<&str>) -> bool {
        self.policy == metric.archive_policy_name
            && self.creator.as_deref() == metric.creator.as_deref()
            && self.project_id.as_deref() == project
    }
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    /// Where the last look-up of many metrics has ended in each.
    ends: [AtomicUsize; SHARDS],
    order: Order,
    /// Counts what was forgotten: what was read before must not be kept after.
    version: AtomicU64,
    /// Every metric that is kept gets another stamp.
    stamps: AtomicU32,
    kinds: Mutex<HashSet<Arc<Kind>, RandomState>>,
}

/// The answer for some metrics.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Into `kinds`; `None` for the unknown.
    pub(super) metrics: Vec<Option<KindPlace>>,
    /// Each once.
    pub(super) kinds: Vec<Arc<Kind>>,
    /// By address; empty while they are few.
    places: HashMap<usize, KindPlace, RandomState>,
    /// Metrics that were not where they were guessed to be.
    pub(super) searches: usize,
    /// Whether the order of the metrics in memory is this one now, with those that came before it.
    pub(super) is_followed: bool,
}

impl Found {
    fn place(&mut self, kind: &Arc<Kind>) -> Option<KindPlace> {
        let known = match self.places.is_empty() {
            true => self.kinds.iter().position(|known| Arc::ptr_eq(known, kind)).and_then(KindPlace::new),
            false => self.places.get(&address(kind)).copied(),
        };
        if known.is_some() {
            return known;
        }
        let place = KindPlace::new(self.kinds.len());
        self.kinds.push(Arc::clone(kind));
        if self.kinds.len() > FEW {
            let lacking = self.kinds.iter().enumerate().skip(self.places.len());
            self.places.extend(lacking.filter_map(|(at, kind)| Some((address(kind), KindPlace::new(at)?))));
        }
        place
    }

    /// Fills what is still unknown.
    pub(super) fn fill(&mut self, ids: &[MetricId], loaded: &HashMap<MetricId, Arc<Kind>>) {
        for (at, id) in ids.iter().enumerate() {
            if let (Some(None), Some(kind)) = (self.metrics.get(at), loaded.get(id)) {
                let place = self.place(kind);
                self.metrics[at] = place;
            }
        }
    }
}

fn address(kind: &Arc<Kind>) -> usize {
    Arc::as_ptr(kind).addr()
}

/// A shard by bits that are random in a UUID of any version; who crafts ids gains nothing but company on one lock.
fn shard_of(id: MetricId) -> usize {
    usize::from(id.as_bytes()[15]) % SHARDS
}

impl Cache {
    /// What is known of each.
    pub(super) fn look_up(&self, ids: &[MetricId]) -> Found {
        let mut found = Found { metrics: Vec::with_capacity(ids.len()), ..Found::default() };
        if ids.len() <= FEW {
            for id in ids {
                let shard = read(&self.shards[shard_of(*id)]);
                let place = shard.get(*id).and_then(|kind| found.place(kind));
                found.metrics.push(place);
            }
            return found;
        }
        let held = self.look_up_many(ids, &mut found);
        if let Some(order) = self.order.to_follow(ids, found.searches, held) {
            found.is_followed = true;
            let mut parts: [Vec<MetricId>; SHARDS] = Default::default();
            for id in order {
                parts[shard_of(id)].push(id);
            }
            for (shard, part) in self.shards.iter().zip(&parts) {
                write(shard).arrange(part);
            }
        }
        found
    }

    /// Locks are taken in order and once each. Returns how many metrics are in memory.
    fn look_up_many(&self, ids: &[MetricId], found: &mut Found) -> usize {
        let shards: [RwLockReadGuard<'_, Shard>; SHARDS] =
            std::array::from_fn(|number| read(&self.shards[number]));
        let mut cursors: [Cursor<'_>; SHARDS] =
            std::array::from_fn(|number| shards[number].cursor(self.ends[number].load(Ordering::Relaxed)));
        // Most of the time a kind is the one before.
        let mut last = None;
        for id in ids {
            let place = match (cursors[shard_of(*id)].find(*id), last) {
                (None, _) => None,
                (Some(kind), Some((same, place))) if Arc::ptr_eq(kind, same) => place,
                (Some(kind), _) => {
                    let place = found.place(kind);
                    last = Some((kind, place));
                    place
                }
            };
            found.metrics.push(place);
        }
        found.searches = cursors.iter().map(Cursor::searches).sum();
        if ids.len() >= MANY {
            for (end, cursor) in self.ends.iter().zip(&cursors) {
                end.store(cursor.end(), Ordering::Relaxed);
            }
        }
        shards.iter().map(|shard| shard.len()).sum()
    }

    /// To be asked before reading what is to be kept.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Keeps what was read, unless something was forgotten since `version`. The stamp of the first; the others have those
    /// that follow.
    pub(super) fn keep(&self, version: u64, metrics: &[(MetricId, Arc<Kind>)]) -> u32 {
        let number = u32::try_from(metrics.len()).unwrap_or(u32::MAX);
        let first = self.stamps.fetch_add(number, Ordering::Relaxed);
        for (number, shard) in self.shards.iter().enumerate() {
            let stamped = (0..).map(|at| first.wrapping_add(at)).zip(metrics);
            let mut here = stamped.filter(|(_, (id, _))| shard_of(*id) == number).peekable();
            if here.peek().is_none() {
                continue;
            }
            let mut shard = write(shard);
            // Whoever forgets raises the version first and waits for this lock then.
            if self.version() != version {
                break;
            }
            for (stamp, (id, kind)) in here {
                if shard.len() >= SHARD_CAPACITY {
                    shard.clear();
                }
                shard.insert(*id, Arc::clone(kind), stamp);
            }
        }
        first
    }

    /// Whether the metric is in memory as it was kept with this stamp.
    pub(super) fn has(&self, id: MetricId, stamp: u32) -> bool {
        read(&self.shards[shard_of(id)]).stamp(id) == Some(stamp)
    }

    pub(super) fn forget(&self, metrics: &[MetricId]) {
        self.version.fetch_add(1, Ordering::SeqCst);
        for id in metrics {
            write(&self.shards[shard_of(*id)]).remove(*id);
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
    use proptest::prelude::*;

    use super::*;

    fn kind(creator: &str) -> Kind {
        Kind { policy: "low".to_owned(), creator: Some(creator.into()), project_id: None }
    }

    /// The creator of each metric, as it is told.
    fn creators(found: &Found) -> Vec<Option<String>> {
        let told =
            |place: &Option<KindPlace>| found.kinds[(*place)?.index()].creator.as_deref().map(str::to_owned);
        found.metrics.iter().map(told).collect()
    }

    fn ids(number: usize) -> Vec<MetricId> {
        (0..number).map(|_| MetricId::random()).collect()
    }

    /// A cache that was told of metrics in this order.
    fn filled(ids: &[MetricId]) -> Cache {
        let cache = Cache::default();
        let kind = cache.shared(kind("a"));
        cache.keep(0, &ids.iter().map(|id| (*id, Arc::clone(&kind))).collect::<Vec<_>>());
        cache
    }

    /// The same ids, always in the same wrong order.
    fn shuffled(ids: &[MetricId]) -> Vec<MetricId> {
        let mut ids = ids.to_vec();
        ids.sort_unstable_by_key(|id| {
            let mut bytes = *id.as_bytes();
            bytes.reverse();
            bytes.rotate_left(3);
            bytes
        });
        ids
    }

    #[test]
    fn what_was_read_before_something_was_forgotten_is_not_kept() {
        let cache = Cache::default();
        let (id, other) = (MetricId::random(), MetricId::random());
        let read = cache.shared(kind("a"));
        let version = cache.version();
        cache.forget(&[other]);
        let keep = |version| cache.keep(version, &[(id, Arc::clone(&read)), (other, Arc::clone(&read))]);
        keep(version);
        assert_eq!(creators(&cache.look_up(&[id, other])), [None, None]);
        let stamp = keep(cache.version());
        assert!(cache.has(id, stamp) && cache.has(other, stamp + 1) && !cache.has(other, stamp));
        cache.forget(&[other]);
        assert_eq!(creators(&cache.look_up(&[id, other])), [Some("a".to_owned()), None]);
        assert!(cache.has(id, stamp) && !cache.has(other, stamp + 1));
        assert_ne!(keep(cache.version()), stamp);
        assert!(!cache.has(id, stamp));
        cache.clear();
        assert_eq!(creators(&cache.look_up(&[id])), [None]);
    }

    #[test]
    fn equal_kinds_are_one_and_answers_name_each_once() {
        let cache = Cache::default();
        for kinds in [3, FEW, 3 * FEW] {
            let metrics = (0..60).map(|number| {
                (MetricId::random(), cache.shared(kind(&(number * number % kinds).to_string())))
            });
            let metrics: Vec<_> = metrics.collect();
            cache.keep(0, &metrics);
            let expected: Vec<_> =
                metrics.iter().map(|(_, kind)| kind.creator.as_deref().map(str::to_owned)).collect();
            for part in [2, FEW, metrics.len()] {
                let ids: Vec<MetricId> = metrics[..part].iter().map(|(id, _)| *id).collect();
                let mut found = cache.look_up(&ids);
                assert_eq!(creators(&found), expected[..part]);
                let others: HashMap<_, _> = metrics.iter().cloned().collect();
                found.metrics.fill(None);
                found.fill(&ids, &others);
                assert_eq!(creators(&found), expected[..part]);
                let different: HashSet<_> = expected[..part].iter().collect();
                assert_eq!(found.kinds.len(), different.len());
            }
        }
    }

    #[test]
    fn metrics_are_guessed_in_the_order_in_which_they_came() {
        let ids = ids(2_000);
        let cache = filled(&ids);
        assert_eq!(cache.look_up(&ids).searches, 0);
        assert_eq!(cache.look_up(&ids).searches, 0);
        // In several requests, each of which goes on where another has ended.
        for part in ids.chunks(100) {
            assert_eq!(cache.look_up(part).searches, 0);
        }
        // Some are left out, at one place and another, and some are asked for in between that are elsewhere.
        let without: Vec<_> = ids.iter().copied().filter(|id| id.as_bytes()[0] > 7).collect();
        assert!(cache.look_up(&without).searches <= 2 * (ids.len() - without.len()));
        let mut with = ids.clone();
        for at in 1..10 {
            with.insert(at * 100, ids[1_999 - at * 20]);
            with.insert(at * 100, ids[1_998 - at * 20]);
        }
        assert!(cache.look_up(&with).searches <= 18);
        // Two orders that alternate.
        let two: Vec<_> = ids[..1_000].iter().zip(&ids[1_000..]).flat_map(|(a, b)| [*a, *b]).collect();
        assert!(cache.look_up(&two).searches <= 2 * SHARDS);
    }

    #[test]
    fn the_order_follows_all_who_ask_in_their_own_again_and_again() {
        let ids = ids(4_000);
        let cache = filled(&ids);
        // Others ask for some of everybody's, and for as long as they were the only ones.
        let others: Vec<_> = ids.iter().copied().step_by(20).collect();
        let parts: Vec<_> = ids.chunks(1_000).map(shuffled).collect();
        let rounds = |asked: &[Vec<MetricId>], number: usize| {
            (0..number).flat_map(|_| asked).filter(|ids| cache.look_up(ids).is_followed).count()
        };
        rounds(&[others], 100);
        let followed = rounds(&parts, 4);
        assert!((1..3).contains(&followed), "all at once: {followed}");
        for part in &parts {
            assert!(cache.look_up(part).searches <= SHARDS, "one in each where another order begins");
        }
        assert_eq!(rounds(&parts, 40), 0);
    }

    #[test]
    fn what_nobody_asks_for_stays_in_its_order() {
        let ids = ids(3_000);
        let cache = filled(&ids);
        let asked = shuffled(&ids[500..1_500]);
        while !cache.look_up(&asked).is_followed {}
        assert!(cache.look_up(&asked).searches <= SHARDS);
        assert!(cache.look_up(&ids[..500]).searches <= SHARDS);
        assert!(cache.look_up(&ids[1_500..]).searches <= SHARDS);
    }

    #[test]
    fn moving_metrics_for_those_who_contradict_each_other_costs_less_than_searching() {
        let ids = ids(500);
        let cache = filled(&ids);
        let other = shuffled(&ids);
        let (mut searches, mut moved) = (0, 0);
        for at in 0..2_000 {
            let found = cache.look_up(if at % 2 == 0 { &ids } else { &other });
            assert!(found.metrics.iter().all(Option::is_some));
            searches += found.searches;
            moved += if found.is_followed { ids.len() } else { 0 };
        }
        assert!(moved > 0 && moved <= searches / 2, "{moved} {searches}");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Keep(Vec<usize>, usize),
        Forget(Vec<usize>),
        LookUp(Vec<usize>, usize),
        Clear,
    }

    const METRICS: usize = 300;

    fn step() -> impl Strategy<Value = Step> {
        let some = |most| prop::collection::vec(0..METRICS + 20, 0..most);
        prop_oneof![
            5 => (some(METRICS), 0..12_usize).prop_map(|(metrics, kind)| Step::Keep(metrics, kind)),
            5 => some(40).prop_map(Step::Forget),
            20 => (some(METRICS), 1..4_usize).prop_map(|(metrics, times)| Step::LookUp(metrics, times)),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn answers_are_those_of_a_map(steps in prop::collection::vec(step(), 1..40)) {
            let (ids, cache) = (ids(METRICS + 20), Cache::default());
            let named = |numbers: Vec<usize>| numbers.into_iter().map(|at| ids[at]).collect::<Vec<_>>();
            let mut map: HashMap<MetricId, (String, u32)> = HashMap::new();
            for step in steps {
                match step {
                    Step::Keep(metrics, number) => {
                        let name = number.to_string();
                        let kind = cache.shared(kind(&name));
                        // Only those are ever kept that are no strangers.
                        let kept = named(metrics.into_iter().filter(|at| *at < METRICS).collect());
                        let kept: Vec<_> = kept.into_iter().map(|id| (id, Arc::clone(&kind))).collect();
                        let first = cache.keep(cache.version(), &kept);
                        map.extend((first..).zip(kept).map(|(stamp, (id, _))| (id, (name.clone(), stamp))));
                    }
                    Step::Forget(metrics) => {
                        let forgotten = named(metrics);
                        cache.forget(&forgotten);
                        map.retain(|id, _| !forgotten.contains(id));
                    }
                    Step::LookUp(metrics, times) => {
                        let asked = named(metrics);
                        let expected: Vec<_> =
                            asked.iter().map(|id| map.get(id).map(|(name, _)| name.clone())).collect();
                        for _ in 0..times {
                            prop_assert_eq!(creators(&cache.look_up(&asked)), expected.clone());
                        }
                    }
                    Step::Clear => {
                        cache.clear();
                        map.clear();
                    }
                }
                for id in &ids {
                    let stamp = map.get(id).map(|(_, stamp)| *stamp);
                    prop_assert_eq!(cache.has(*id, stamp.unwrap_or(0)), stamp.is_some());
                }
            }
        }
    }
}

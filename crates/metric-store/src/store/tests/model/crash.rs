//! The engine on a file system that loses its power at any operation, and with it whatever was not synced: writes are
//! lost, torn and reordered. Afterwards it answers like the naive model of all that was answered with success; of what
//! was under way either all or nothing is there.

use std::io::ErrorKind;

use super::super::{FORMER_POLICIES, adoption};
use super::*;
use crate::bench::workload::Random;
use crate::compaction::compact;
use crate::disk::sim::{Op, SimFs};
use crate::janitor::tidy;
use crate::log::LogWriter;
use crate::query::{Budget, Memory, query};

/// What a store answers after changes, told by other means than those of the store.
trait Model: Clone + Default {
    /// Policies that metrics get.
    fn policy(kind: u8) -> Arc<ArchivePolicy>;
    /// How much later than now a measure is: at least, and so much more at most. If none is earlier, it is now then.
    const TIMES: (i64, u64);
    fn change(&mut self, change: &Change);
    /// Whether a store answers so to one with this policy.
    fn is_shown_by(&self, shard: &Shard, policy: &Arc<ArchivePolicy>) -> bool;
}

struct Life<M> {
    fs: SimFs,
    random: Random,
    engine: Option<(Arc<Shard>, LogWriter)>,
    /// What the store may hold: of changes that failed nobody knows which.
    candidates: Vec<M>,
    policy: Arc<ArchivePolicy>,
    now: i64,
}

impl<M: Model> Life<M> {
    fn new(seed: u64) -> Self {
        let (fs, random) = (SimFs::new(seed), Random::new(seed));
        Self { fs, random, engine: None, candidates: vec![M::default()], policy: M::policy(0), now: 100_000 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let disk = LocalDisk::on(Arc::new(self.fs.clone()), "/store/shard-0000".into())?;
        self.engine = Some(Shard::open(Arc::new(disk), 0)?);
        Ok(())
    }

    /// One step; an error is what the caller of the store would have got.
    fn step(&mut self) -> Result<(), StoreError> {
        match self.below(24) {
            0..=10 => self.append(),
            11 | 12 => {
                self.now += self.random.below(200).cast_signed();
                Ok(())
            }
            13 => {
                self.policy = self.any_policy();
                Ok(())
            }
            14 => self.delete(),
            20 => self.erase(),
            15..=17 => self.checkpoint(false),
            18 => self.checkpoint(true),
            19 => self.tidy(),
            21 | 22 => self.adopt(),
            _ => {
                self.engine = None;
                self.open()
            }
        }
    }

    fn any_metric(&mut self) -> MetricId {
        metric(u8::try_from(self.below(u64::from(METRICS))).unwrap())
    }

    fn any_policy(&mut self) -> Arc<ArchivePolicy> {
        M::policy(u8::try_from(self.below(9)).unwrap())
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let mut runs = Vec::new();
        for _ in 0..=self.below(3) {
            let metric = self.any_metric();
            // Now and then more than a disk writes at once.
            let most = if self.below(6) == 0 { 300 } else { 6 };
            let count = self.below(most) + 1;
            let run = run(metric, (0..count).map(|_| self.measure()).collect::<Vec<_>>());
            runs.push(Run { policy: Arc::clone(&self.policy), ..run });
        }
        self.change(&Change::Append(Arc::new(runs.into())))
    }

    /// Late ones now and then, or each after the one before.
    fn measure(&mut self) -> (i64, f64) {
        let (first, most) = M::TIMES;
        let at = self.now + first + self.below(most).cast_signed();
        if first > 0 {
            self.now = at;
        }
        (at, self.below(100) as f64 * if first > 0 { 1.0 } else { 0.3 })
    }

    fn delete(&mut self) -> Result<(), StoreError> {
        let metric = self.any_metric();
        self.change(&Change::Delete(vec![metric]))
    }

    fn erase(&mut self) -> Result<(), StoreError> {
        let metrics = vec![self.any_metric()];
        let start = self.now - self.below(400).cast_signed();
        let stop = start + 1 + self.below(300).cast_signed();
        let (start, stop) = (Timestamp::from_secs(start), Timestamp::from_secs(stop));
        self.change(&Change::Erase(Erase { metrics, start, stop }))
    }

    fn adopt(&mut self) -> Result<(), StoreError> {
        let (metric, policy) = (self.any_metric(), self.any_policy());
        let (shard, _) = self.engine.as_ref().unwrap();
        // More are refused before they get here.
        let is_refused = shard.head().former_policies(metric).len() as u64 >= FORMER_POLICIES;
        if is_refused { Ok(()) } else { self.change(&Change::Adopt(Adoption { metric, policy })) }
    }

    /// As the writer of the log does it: durable, then applied, then answered.
    fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        let (shard, log) = self.engine.as_mut().unwrap();
        let mut part = change.encode();
        let commit = shard.head().commit + 1;
        let written = log.append(commit, [&mut part]);
        match written {
            Ok(()) => drop(apply(&mut shard.head_mut(), commit, part.bytes()).unwrap()),
            Err(_) => self.candidates.extend_from_within(..),
        }
        let taken = if written.is_ok() { self.candidates.len() } else { self.candidates.len() / 2 };
        self.candidates.iter_mut().take(taken).for_each(|candidate| candidate.change(change));
        written
    }

    fn checkpoint(&mut self, full: bool) -> Result<(), StoreError> {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let (shard, log) = self.engine.as_mut().unwrap();
        log.rotate()?;
        checkpoint(shard, log.key(), &clock)?;
        compact(shard, full, &clock)
    }

    /// As the janitor does it, and more readily: one segment, whatever became of the others.
    fn tidy(&mut self) -> Result<(), StoreError> {
        let (clock, chosen) = (ManualClock::new(Timestamp::EPOCH), self.below(8));
        let (shard, _) = self.engine.as_ref().unwrap();
        let segments = shard.segments();
        let at = usize::try_from(chosen).unwrap() % segments.len().max(1);
        segments.get(at).map_or(Ok(()), |segment| tidy(shard, segment, 1_000, &clock).map(drop))
    }

    /// Whether the store answers as one of the candidates; the others are forgotten.
    fn check(&mut self, seed: u64) {
        let (shard, _) = self.engine.as_ref().unwrap();
        let possible = self.candidates.len();
        let mut kept = std::mem::take(&mut self.candidates);
        kept.retain(|candidate| candidate.is_shown_by(shard, &self.policy));
        assert!(
            !kept.is_empty(),
            "seed {seed}: none of {possible} possible states is what the store answers"
        );
        self.candidates = kept;
    }
}

/// Several lives of one store, each ended by a power loss at some operation, some with a disk that fails before.
fn lives<M: Model>(seed: u64) -> u64 {
    let mut life = Life::<M>::new(seed);
    let mut losses = 0;
    for _ in 0..4 {
        let last = life.fs.operations() + 1 + life.below(120);
        life.fs.crash_after(last - life.fs.operations());
        if life.below(3) == 0 {
            let op = [Op::Write, Op::Sync, Op::Create, Op::Name, Op::SyncFolder]
                [usize::try_from(life.below(5)).unwrap()];
            let kind = if life.below(2) == 0 { ErrorKind::StorageFull } else { ErrorKind::Other };
            let after = life.below(20);
            life.fs.fail(op, after, kind);
        }
        let mut steps = 0;
        while life.engine.is_none() && steps < 3 {
            steps += 1;
            drop(life.open());
        }
        // Whatever fails is tried no more than a client would; the engine goes on as long as there is power.
        while life.engine.is_some() && life.fs.operations() < last {
            drop(life.step());
        }
        life.engine = None;
        life.fs = life.fs.recover();
        losses += 1;
        life.open().unwrap_or_else(|error| panic!("seed {seed}: does not open after a power loss: {error}"));
        life.check(seed);
    }
    losses
}

/// The contract, as plainly as it can be written, of metrics whose policies all keep the same aggregates.
impl Model for BTreeMap<u8, Naive> {
    const TIMES: (i64, u64) = (-150, 180);

    fn policy(kind: u8) -> Arc<ArchivePolicy> {
        policy(kind)
    }

    fn change(&mut self, change: &Change) {
        let number = |id: MetricId| (0..METRICS).find(|number| metric(*number) == id).unwrap();
        match change {
            Change::Append(batch) => batch.runs().for_each(|run| {
                let times = run.timestamps.iter().map(|at| at.as_secs());
                let measures: Vec<(i64, f64)> = times.zip(run.values.iter().copied()).collect();
                let naive = self.entry(number(run.metric)).or_insert_with(|| Naive::new(run.policy));
                naive.append(run.policy, &measures);
            }),
            Change::Delete(metrics) => metrics.iter().for_each(|metric| drop(self.remove(&number(*metric)))),
            Change::Erase(Erase { metrics, start, stop }) => metrics.iter().for_each(|metric| {
                let naive = self.get_mut(&number(*metric));
                naive.into_iter().for_each(|naive| naive.erase(start.as_secs(), stop.as_secs()));
            }),
            Change::Adopt(Adoption { metric, policy }) => {
                if let Some(naive) = self.get_mut(&number(*metric)) {
                    naive.append(policy, &[]);
                }
            }
        }
    }

    fn is_shown_by(&self, shard: &Shard, policy: &Arc<ArchivePolicy>) -> bool {
        (0..METRICS).all(|number| {
            METHODS.into_iter().all(|method| {
                shown(shard, metric(number), policy, method).granularities.iter().all(|points| {
                    let expected = self.get(&number);
                    let expected =
                        expected.map(|naive| naive.points(policy, method, seconds(points.granularity)));
                    let starts = points.timestamps.iter().map(|start| start.as_secs());
                    let values = points.values.iter().map(|value| value.to_bits());
                    starts.zip(values).eq(expected.unwrap_or_default())
                })
            })
        })
    }
}

/// The same changes at a store that was never restarted and writes no segments, of metrics whose policies keep different
/// aggregates, some of them derived from those of former ones.
#[derive(Clone, Default)]
struct Unbroken(Vec<Arc<[u8]>>);

impl Model for Unbroken {
    const TIMES: (i64, u64) = (1, 60);

    fn policy(kind: u8) -> Arc<ArchivePolicy> {
        adoption::policy(kind.into())
    }

    fn change(&mut self, change: &Change) {
        self.0.push(change.encode().bytes().into());
    }

    fn is_shown_by(&self, shard: &Shard, _policy: &Arc<ArchivePolicy>) -> bool {
        let disk = LocalDisk::on(Arc::new(SimFs::new(0)), "/store/shard-0000".into()).unwrap();
        let (unbroken, _log) = Shard::open(Arc::new(disk), 0).unwrap();
        for (commit, bytes) in (1..).zip(&self.0) {
            apply(&mut unbroken.head_mut(), commit, bytes).unwrap();
        }
        (0..METRICS).map(metric).all(|metric| {
            let policy_in = |shard: &Shard| Some(Arc::clone(&shard.head().metrics.get(metric)?.policy));
            let policy = policy_in(&unbroken);
            policy_in(shard) == policy
                && policy.is_none_or(|policy| {
                    policy.methods.iter().all(|method| {
                        let of = |shard| shown(shard, metric, &policy, *method);
                        of(shard) == of(&unbroken)
                    })
                })
        })
    }
}

fn shown(shard: &Shard, metric: MetricId, policy: &Arc<ArchivePolicy>, method: AggregationMethod) -> Series {
    let asked = SeriesRequest { method, policy: Arc::clone(policy), ..request(metric) };
    query(shard, &asked, &Budget::new(u64::MAX), &mut Memory::default()).unwrap()
}

#[test]
fn a_power_loss_at_any_operation_loses_nothing_that_was_answered() {
    let losses: u64 = (0..400).map(lives::<BTreeMap<u8, Naive>>).sum();
    assert!(losses >= 1_000, "{losses}");
}

#[test]
fn a_power_loss_at_any_operation_loses_no_change_of_policy_and_nothing_that_is_derived() {
    let losses: u64 = (0..300).map(lives::<Unbroken>).sum();
    assert!(losses >= 1_000, "{losses}");
}

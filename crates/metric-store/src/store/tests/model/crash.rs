//! The engine on a file system that loses its power at any operation, and with it whatever was not synced: writes are
//! lost, torn and reordered. Afterwards it answers like the naive model of all that was answered with success; of what
//! was under way either all or nothing is there.

use std::io::ErrorKind;

use super::*;
use crate::bench::workload::Random;
use crate::compaction::compact;
use crate::disk::sim::{Op, SimFs};
use crate::janitor::tidy;
use crate::log::LogWriter;
use crate::query::{Budget, Memory, query};

/// What the store may hold: of changes that failed nobody knows which.
type Candidates = Vec<BTreeMap<u8, Naive>>;

struct Life {
    fs: SimFs,
    random: Random,
    engine: Option<(Arc<Shard>, LogWriter)>,
    candidates: Candidates,
    policy: Arc<ArchivePolicy>,
    now: i64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let (fs, random) = (SimFs::new(seed), Random::new(seed));
        Self { fs, random, engine: None, candidates: vec![BTreeMap::new()], policy: policy(0), now: 100_000 }
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
        match self.below(22) {
            0..=10 => self.append(),
            11 | 12 => {
                self.now += self.random.below(200).cast_signed();
                Ok(())
            }
            13 => {
                self.policy = policy(u8::try_from(self.below(9)).unwrap());
                Ok(())
            }
            14 => self.delete(),
            20 => self.erase(),
            15..=17 => self.checkpoint(false),
            18 => self.checkpoint(true),
            19 => self.tidy(),
            _ => {
                self.engine = None;
                self.open()
            }
        }
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let mut runs = Vec::new();
        for _ in 0..=self.below(3) {
            let number = u8::try_from(self.below(u64::from(METRICS))).unwrap();
            // Now and then more than a disk writes at once.
            let most = if self.below(6) == 0 { 300 } else { 6 };
            let measures: Vec<(i64, f64)> = (0..=self.below(most))
                .map(|_| {
                    (
                        self.now + self.random.below(180).cast_signed() - 150,
                        self.random.below(100) as f64 * 0.3,
                    )
                })
                .collect();
            runs.push((number, measures));
        }
        let policy = Arc::clone(&self.policy);
        let calls = runs.iter().map(|(number, measures)| {
            let run = run(metric(*number), measures.clone());
            Run { policy: Arc::clone(&policy), ..run }
        });
        let change = Change::Append(Arc::new(calls.collect::<Vec<_>>().into()));
        self.change(&change, |naives| {
            for (number, measures) in &runs {
                let naive = naives.entry(*number).or_insert_with(|| Naive::new(&policy));
                naive.append(&policy, measures);
            }
        })
    }

    fn delete(&mut self) -> Result<(), StoreError> {
        let number = u8::try_from(self.below(u64::from(METRICS))).unwrap();
        self.change(&Change::Delete(vec![metric(number)]), |naives| {
            naives.remove(&number);
        })
    }

    fn erase(&mut self) -> Result<(), StoreError> {
        let number = u8::try_from(self.below(u64::from(METRICS))).unwrap();
        let start = self.now - self.below(400).cast_signed();
        let stop = start + 1 + self.below(300).cast_signed();
        self.change(&Change::Erase(erasure(number, start, stop)), |naives| {
            if let Some(naive) = naives.get_mut(&number) {
                naive.erase(start, stop);
            }
        })
    }

    /// As the writer of the log does it: durable, then applied, then answered.
    fn change(
        &mut self,
        change: &Change,
        naively: impl Fn(&mut BTreeMap<u8, Naive>),
    ) -> Result<(), StoreError> {
        let (shard, log) = self.engine.as_mut().unwrap();
        let bytes = change.encode();
        let commit = shard.head().commit + 1;
        let changed = |naives: &BTreeMap<u8, Naive>| {
            let mut naives = naives.clone();
            naively(&mut naives);
            naives
        };
        match log.append(commit, [bytes.as_slice()]) {
            Ok(()) => {
                apply(&mut shard.head_mut(), commit, &bytes).unwrap();
                self.candidates = self.candidates.iter().map(changed).collect();
                Ok(())
            }
            Err(error) => {
                let taken: Candidates = self.candidates.iter().map(changed).collect();
                self.candidates.extend(taken);
                Err(error)
            }
        }
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
        let answers = |naives: &BTreeMap<u8, Naive>| {
            (0..METRICS).all(|number| {
                METHODS.into_iter().all(|method| {
                    let asked =
                        SeriesRequest { method, policy: Arc::clone(&self.policy), ..request(metric(number)) };
                    let series =
                        query(shard, &asked, &Budget::new(u64::MAX), &mut Memory::default()).unwrap();
                    series.granularities.iter().all(|points| {
                        let expected = naives.get(&number);
                        let expected = expected
                            .map(|naive| naive.points(&self.policy, method, seconds(points.granularity)));
                        let starts = points.timestamps.iter().map(|start| start.as_secs());
                        starts
                            .zip(points.values.iter().map(|value| value.to_bits()))
                            .eq(expected.unwrap_or_default())
                    })
                })
            })
        };
        let possible = self.candidates.len();
        let kept: Candidates = self.candidates.iter().filter(|naives| answers(naives)).cloned().collect();
        assert!(
            !kept.is_empty(),
            "seed {seed}: none of {possible} possible states is what the store answers"
        );
        self.candidates = kept;
    }
}

/// Several lives of one store, each ended by a power loss at some operation, some with a disk that fails before.
fn lives(seed: u64) -> u64 {
    let mut life = Life::new(seed);
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

#[test]
fn a_power_loss_at_any_operation_loses_nothing_that_was_answered() {
    let losses: u64 = (0..400).map(lives).sum();
    assert!(losses >= 1_000, "{losses}");
}

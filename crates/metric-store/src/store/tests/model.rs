//! Random histories of the engine against a naive model: every accepted measure in a sorted map, aggregated from
//! scratch at each look.

use std::collections::BTreeMap;
use std::io::Write;

use nephos_timeseries::{BucketColumns, aggregate};
use proptest::prelude::*;

use super::*;
use crate::checkpoint::checkpoint;
use crate::contract::Run;
use crate::disk::LocalDisk;
use crate::shard::apply;

mod crash;

const METHODS: [AggregationMethod; 4] = [
    AggregationMethod::plain(Stat::Sum),
    AggregationMethod::plain(Stat::Std),
    AggregationMethod::plain(Stat::Percentile(75)),
    AggregationMethod::rate(Stat::Mean),
];
/// One that divides the coarsest and one that does not.
const WIDTHS: [i64; 3] = [10, 7, 60];
const METRICS: u8 = 3;

fn policy(kind: u8) -> Arc<ArchivePolicy> {
    let points = [[None; 3], [Some(6), Some(40), Some(3)], [Some(20), None, Some(2)]];
    let points = points[usize::from(kind) % 3];
    Arc::new(ArchivePolicy {
        name: format!("kind {kind}"),
        back_window: u32::from(kind / 3) % 3,
        definition: WIDTHS
            .into_iter()
            .zip(points)
            .map(|(seconds, points)| PolicyItem {
                granularity: Granularity::from_secs(seconds).unwrap(),
                points,
            })
            .collect(),
        methods: METHODS.to_vec(),
    })
}

fn seconds(granularity: Granularity) -> i64 {
    granularity.as_nanos() / 1_000_000_000
}

fn metric(number: u8) -> MetricId {
    MetricId(uuid::Uuid::from_u128(u128::from(number) * 77))
}

fn erasure(number: u8, start: i64, stop: i64) -> Erase {
    let (start, stop) = (Timestamp::from_secs(start), Timestamp::from_secs(stop));
    Erase { metrics: vec![metric(number)], start, stop }
}

/// Measures as (seconds behind or before now, value).
type Offsets = Vec<(i64, i8)>;

#[derive(Clone, Debug)]
enum Action {
    /// Runs of one call.
    Append(Vec<(u8, Offsets)>),
    /// Time goes on.
    Advance(i64),
    Policy(u8),
    Delete(u8),
    /// A range of a metric: seconds behind or before now, and how long.
    Erase(u8, i64, i64),
    Restart,
    Checkpoint {
        full: bool,
    },
    /// Runs that are committed while a checkpoint is under way, after it took a new log file and before it copied:
    /// metric, policy and measures.
    Overtaken(Vec<(u8, u8, Offsets)>),
    /// A write that was cut: so many bytes of a frame, or of noise, at the end of the log.
    TornTail {
        noise: bool,
        bytes: usize,
    },
    /// The machine stopped after a segment was written and before the manifest named it.
    CrashBeforeManifest {
        full: bool,
    },
    /// The machine stopped after the manifest was replaced and before old files were removed.
    CrashBeforeCleanup {
        full: bool,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let measures = prop::collection::vec((-150i64..30, any::<i8>()), 0..8);
    prop_oneof![
        12 => prop::collection::vec((0..METRICS, measures.clone()), 1..4).prop_map(Action::Append),
        2 => prop::collection::vec((0..METRICS, 0u8..9, measures), 1..6).prop_map(Action::Overtaken),
        4 => (1i64..200).prop_map(Action::Advance),
        1 => (0u8..9).prop_map(Action::Policy),
        1 => (0..METRICS).prop_map(Action::Delete),
        2 => (0..METRICS, -400i64..30, 1i64..400).prop_map(|(number, start, long)| Action::Erase(number, start, long)),
        1 => Just(Action::Restart),
        2 => any::<bool>().prop_map(|full| Action::Checkpoint { full }),
        1 => (any::<bool>(), 1usize..200).prop_map(|(noise, bytes)| Action::TornTail { noise, bytes }),
        1 => any::<bool>().prop_map(|full| Action::CrashBeforeManifest { full }),
        1 => any::<bool>().prop_map(|full| Action::CrashBeforeCleanup { full }),
    ]
}

/// The contract, as plainly as it can be written.
#[derive(Clone, Debug)]
struct Naive {
    measures: BTreeMap<i64, f64>,
    policy: Arc<ArchivePolicy>,
    window: i64,
    low_water: BTreeMap<i64, i64>,
    /// The newest measure that ever was.
    newest: i64,
    /// Ranges that were erased, with the window at that time.
    erased: Vec<[i64; 3]>,
}

impl Naive {
    fn new(policy: &Arc<ArchivePolicy>) -> Self {
        Self {
            measures: BTreeMap::new(),
            policy: Arc::clone(policy),
            window: i64::MIN,
            low_water: BTreeMap::new(),
            newest: i64::MIN,
            erased: Vec::new(),
        }
    }

    fn block(&self, policy: &ArchivePolicy) -> i64 {
        // The coarsest granularity is a minute, and there is a rate.
        (self.newest.div_euclid(60) - i64::from(policy.back_window) - 1) * 60
    }

    fn append(&mut self, policy: &Arc<ArchivePolicy>, run: &[(i64, f64)]) -> AppendReport {
        if self.newest > i64::MIN {
            self.window = self.window.max(self.block(policy));
            let newest = self.newest;
            for item in &self.policy.definition {
                let width = seconds(item.granularity);
                if let (true, Some(points)) = (self.policy != *policy, item.points) {
                    let first = (newest.div_euclid(width) - points.cast_signed() + 1) * width;
                    let mark = self.low_water.entry(width).or_insert(i64::MIN);
                    *mark = first.max(*mark);
                }
            }
        }
        self.policy = Arc::clone(policy);
        let taken: Vec<_> = run.iter().filter(|(at, _)| *at >= self.window).collect();
        let mut smallest: BTreeMap<i64, f64> = BTreeMap::new();
        for (at, value) in &taken {
            let entry = smallest.entry(*at).or_insert(*value);
            *entry = entry.min(*value);
        }
        self.measures.extend(smallest);
        self.newest = self.newest.max(self.measures.keys().next_back().copied().unwrap_or(i64::MIN));
        if self.newest > i64::MIN {
            self.window = self.window.max(self.block(policy));
        }
        AppendReport { accepted: taken.len() as u64, late: (run.len() - taken.len()) as u64 }
    }

    fn erase(&mut self, start: i64, stop: i64) {
        self.measures.retain(|at, _| *at < self.window || *at < start || *at >= stop);
        self.erased.push([start, stop, self.window]);
    }

    /// The value of one bucket, judged by the erasures it has seen.
    fn point(&self, method: AggregationMethod, width: i64, bucket: i64) -> Option<f64> {
        let floor = |time: i64| time.div_euclid(width) * width;
        let closed = |window: i64| bucket < floor(window);
        let hides =
            |[start, stop, window]: &[i64; 3]| closed(*window) && *start <= bucket && bucket + width <= *stop;
        if self.erased.iter().any(hides) {
            return None;
        }
        let seen: Vec<_> = self.erased.iter().filter(|[.., window]| !closed(*window)).collect();
        let stays =
            |at: i64| !seen.iter().any(|[start, stop, window]| *start <= at && at < *stop.min(window));
        let mut times = Vec::new();
        let mut values = Vec::new();
        let before = self.measures.range(..bucket).next_back();
        if let Some((at, value)) = before.filter(|(at, _)| stays(**at)) {
            times.push(Timestamp::from_secs(*at));
            values.push(*value);
        }
        for (at, value) in self.measures.range(bucket..bucket + width).filter(|(at, _)| stays(**at)) {
            times.push(Timestamp::from_secs(*at));
            values.push(*value);
        }
        let mut buckets = BucketColumns::new(&[method]);
        let granularity = Granularity::from_secs(width).unwrap();
        aggregate(&times, &values, None, granularity, Timestamp::from_secs(bucket), &mut buckets);
        buckets.points(method).next().map(|(_, value)| value)
    }

    fn points(&self, policy: &ArchivePolicy, method: AggregationMethod, width: i64) -> Vec<(i64, u64)> {
        let granularity = Granularity::from_secs(width).unwrap();
        let newest = self.newest.div_euclid(width);
        let kept = |policy: &ArchivePolicy| {
            policy.item(granularity).unwrap().points.map(|points| (newest - points.cast_signed() + 1) * width)
        };
        let low_water = self.low_water.get(&width).copied();
        let first = kept(policy).max(kept(&self.policy)).max(low_water).unwrap_or(i64::MIN);
        let mut buckets: Vec<i64> = self.measures.keys().map(|at| at.div_euclid(width) * width).collect();
        buckets.dedup();
        let shown = buckets.into_iter().filter(|bucket| *bucket >= first);
        shown.filter_map(|bucket| Some((bucket, self.point(method, width, bucket)?.to_bits()))).collect()
    }
}

struct World {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    store: Option<Arc<LocalStore>>,
    naive: BTreeMap<u8, Naive>,
    policy: Arc<ArchivePolicy>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let folder = folder();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = Some(LocalStore::open(options(folder.path())).unwrap());
        Self { folder, runtime, store, naive: BTreeMap::new(), policy: policy(0), now: 100_000 }
    }

    fn shard_folder(&self) -> PathBuf {
        self.folder.path().join("store/shard-0000")
    }

    fn store(&self) -> Arc<LocalStore> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    fn open(&mut self) {
        self.store = Some(LocalStore::open(options(self.folder.path())).unwrap());
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(runs) => self.append(runs),
            Action::Advance(seconds) => self.now += seconds,
            Action::Policy(kind) => self.policy = policy(*kind),
            Action::Delete(number) => {
                self.naive.remove(number);
                self.runtime.block_on(self.store().delete(&[metric(*number)])).unwrap();
            }
            Action::Erase(number, start, long) => self.erase(*number, *start, *long),
            Action::Restart => {
                self.store = None;
                self.open();
            }
            Action::Checkpoint { full } => self.runtime.block_on(self.store().compact(*full)).unwrap(),
            Action::Overtaken(runs) => self.overtake(runs),
            Action::TornTail { noise, bytes } => self.tear(*noise, *bytes),
            Action::CrashBeforeManifest { full } => self.crash(*full, true),
            Action::CrashBeforeCleanup { full } => self.crash(*full, false),
        }
    }

    /// What the naive model makes of a run, and the run.
    fn naively(&mut self, number: u8, measures: &[(i64, i8)]) -> (AppendReport, Run) {
        let measures: Vec<(i64, f64)> =
            measures.iter().map(|(offset, value)| (self.now + offset, f64::from(*value) * 0.3)).collect();
        let naive = self.naive.entry(number).or_insert_with(|| Naive::new(&self.policy));
        let report = naive.append(&self.policy, &measures);
        (report, Run { policy: Arc::clone(&self.policy), ..run(metric(number), measures) })
    }

    fn erase(&mut self, number: u8, start: i64, long: i64) {
        let (start, stop) = (self.now + start, self.now + start + long);
        if let Some(naive) = self.naive.get_mut(&number) {
            naive.erase(start, stop);
        }
        self.runtime.block_on(self.store().erase(&erasure(number, start, stop))).unwrap();
    }

    /// Time goes on between the runs, and some metrics are deleted in the commit of their run.
    fn overtake(&mut self, runs: &[(u8, u8, Offsets)]) {
        self.store = None;
        let options = options(self.folder.path());
        let disk = Arc::new(LocalDisk::open(self.shard_folder()).unwrap());
        let (shard, mut log) = Shard::open(disk, 0).unwrap();
        log.rotate().unwrap();
        for (number, kind, measures) in runs.iter().filter(|(_, _, measures)| !measures.is_empty()) {
            self.now += i64::from(*kind) * 20;
            self.policy = policy(*kind);
            let mut parts = Vec::new();
            if *kind == 7 {
                self.naive.remove(number);
                parts.push(Change::Delete(vec![metric(*number)]).encode());
            }
            if *kind == 5 {
                let (start, stop) = (self.now - 150, self.now - 10);
                if let Some(naive) = self.naive.get_mut(number) {
                    naive.erase(start, stop);
                }
                parts.push(Change::Erase(erasure(*number, start, stop)).encode());
            }
            let (report, run) = self.naively(*number, measures);
            parts.push(Change::Append(Arc::new(vec![run].into())).encode());
            let mut head = shard.head_mut();
            let commit = head.commit + 1;
            log.append(commit, &mut parts).unwrap();
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes()).copied().collect();
            assert_eq!(apply(&mut head, commit, &bytes), Ok(report));
        }
        checkpoint(&shard, log.key(), options.clock.as_ref()).unwrap();
        drop(log);
        self.open();
    }

    fn append(&mut self, runs: &[(u8, Offsets)]) {
        let mut calls = Vec::new();
        let mut expected = AppendReport::default();
        for (number, measures) in runs.iter().filter(|(_, measures)| !measures.is_empty()) {
            let (report, run) = self.naively(*number, measures);
            expected.accepted += report.accepted;
            expected.late += report.late;
            calls.push(run);
        }
        let report = self.runtime.block_on(self.store().append_runs(calls)).unwrap();
        assert_eq!(report, expected);
    }

    fn tear(&mut self, noise: bool, bytes: usize) {
        self.store = None;
        let log = files(self.folder.path(), "nlog").pop().unwrap();
        let content = fs::read(&log).unwrap();
        let tail: Vec<u8> = match content.get(24..).filter(|frames| !noise && !frames.is_empty()) {
            // A frame of another place: its numbers are right for that place only once it is cut.
            Some(frames) => frames[..bytes.min(frames.len() - 1).min(20)].to_vec(),
            None => (0..bytes).map(|at| (at * 37 % 251).to_le_bytes()[0]).collect(),
        };
        fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(&tail).unwrap();
        self.open();
    }

    /// Writes segments, then puts back the files that were removed; before the manifest, it goes too.
    fn crash(&mut self, full: bool, before_manifest: bool) {
        let folder = self.shard_folder();
        let content = |folder: &Path| -> BTreeMap<String, Vec<u8>> {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            entries
                .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
                .collect()
        };
        let before = content(&folder);
        self.runtime.block_on(self.store().compact(full)).unwrap();
        self.store = None;
        for name in content(&folder).keys().filter(|name| name.starts_with("MANIFEST") && before_manifest) {
            fs::remove_file(folder.join(name)).unwrap();
        }
        for (name, content) in before {
            fs::write(folder.join(name), content).unwrap();
        }
        self.open();
    }

    fn check(&self) {
        for (number, kind) in (0..METRICS).flat_map(|number| [(number, 0), (number, 1)]) {
            let asked = if kind == 0 { Arc::clone(&self.policy) } else { policy(kind) };
            let requests = METHODS.map(|method| SeriesRequest {
                method,
                policy: Arc::clone(&asked),
                ..request(metric(number))
            });
            let answers = self.runtime.block_on(self.store().query(requests.to_vec())).unwrap();
            for (method, series) in METHODS.into_iter().zip(answers) {
                for points in series.granularities {
                    let width = seconds(points.granularity);
                    let starts = points.timestamps.iter().map(|start| start.as_secs());
                    let shown: Vec<_> =
                        starts.zip(points.values.iter().map(|value| value.to_bits())).collect();
                    let expected = self.naive.get(&number).map(|naive| naive.points(&asked, method, width));
                    assert_eq!(shown, expected.unwrap_or_default(), "metric {number}, {method} at {width} s");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn any_history_gives_the_answers_of_the_naive_model(actions in prop::collection::vec(action(), 1..40)) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.act(&Action::Restart);
        world.check();
    }
}

//! The engine under the load of a cloud, measured: what `nephos store bench` prints.
//!
//! CPU is that of the whole process, sealing and compaction included, less what making the load took. Figures of one
//! run are meant to be compared with each other and with those of other stores under the same load on one machine.

use std::path::PathBuf;
use std::sync::Arc;

use nephos_model::{Clock, Granularity, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};
use rustix::time::{ClockId, clock_gettime};

use crate::batch::Batch;
use crate::contract::{MetricStore, StoreError};
use crate::options::StoreOptions;
use crate::store::LocalStore;

mod reads;
mod scale;
pub mod workload;

use reads::request;
use workload::{Instance, METERS, START};

/// Points of a request: what a polling agent sends at once.
const REQUEST: usize = 5_000;
/// Points of a metric in one request when much is sent at once.
const BULK: usize = 240;
/// Requests under way at a time.
const IN_FLIGHT: usize = 2;

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Points as polling sends them, and reads of them.
    Live,
    /// Reads of buckets of five minutes.
    Coarse,
    /// Many points of a metric at a time, and reads of long series.
    Bulk,
    /// One point a second under one method and under eight.
    Seconds,
    /// Points as polling sends them under the policy medium: what a point and a metric cost where there are many.
    Scale,
}

impl Part {
    /// All parts and their names.
    pub const ALL: [(&str, Self); 5] = [
        ("live", Self::Live),
        ("coarse", Self::Coarse),
        ("bulk", Self::Bulk),
        ("seconds", Self::Seconds),
        ("scale", Self::Scale),
    ];
    /// Those that belong to the table.
    pub const TABLE: [Self; 4] = [Self::Live, Self::Coarse, Self::Bulk, Self::Seconds];
}

/// What to run.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Which parts, in this order.
    pub parts: Vec<Part>,
    /// Where the store is made; must not hold one. Left for the caller to remove.
    pub folder: PathBuf,
    /// Instances of 20 meters each.
    pub instances: u64,
    /// Readings of each instance, a minute apart.
    pub readings: usize,
    /// Seed of the load.
    pub seed: u64,
    /// Runs of each query.
    pub runs: usize,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it should not exceed, if anything.
    pub goal: Option<f64>,
}

fn figure(name: &str, value: f64, unit: &'static str, goal: Option<f64>) -> Figure {
    Figure { name: name.to_owned(), value, unit, goal }
}

/// Seconds of CPU of this process, or of this thread.
#[allow(clippy::cast_precision_loss)]
fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A line of a file of the kernel's about this process.
fn own(file: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// CPU and bytes since it was made; what made the load does not count.
struct Meter {
    cpu: f64,
    made: f64,
    written: f64,
}

impl Meter {
    fn start() -> Self {
        Self { cpu: cpu(ClockId::ProcessCPUTime), made: 0.0, written: own("io", "write_bytes:") }
    }

    fn make<T>(&mut self, make: impl FnOnce() -> T) -> T {
        let before = cpu(ClockId::ThreadCPUTime);
        let made = make();
        self.made += cpu(ClockId::ThreadCPUTime) - before;
        made
    }

    fn cpu(&self) -> f64 {
        cpu(ClockId::ProcessCPUTime) - self.cpu - self.made
    }

    fn written(&self) -> f64 {
        own("io", "write_bytes:") - self.written
    }
}

fn seconds(seconds: i64) -> Granularity {
    Granularity::from_secs(seconds).unwrap_or_else(|| unreachable!("widths are positive"))
}

/// A policy by widths in seconds.
fn policy(widths: &[i64], methods: &[AggregationMethod]) -> Arc<ArchivePolicy> {
    let item = |width: &i64| PolicyItem { granularity: seconds(*width), points: None };
    Arc::new(ArchivePolicy {
        name: "bench".to_owned(),
        back_window: 0,
        definition: widths.iter().map(item).collect(),
        methods: methods.to_vec(),
    })
}

const MEAN: AggregationMethod = AggregationMethod::plain(Stat::Mean);

struct Bench<'a> {
    options: &'a BenchOptions,
    tell: &'a mut dyn FnMut(&Figure),
}

/// Runs everything; `tell` hears each figure as it comes.
///
/// # Errors
/// What the store answered.
pub async fn run(options: &BenchOptions, tell: &mut dyn FnMut(&Figure)) -> Result<(), StoreError> {
    let mut bench = Bench { options, tell };
    for part in &options.parts {
        match part {
            Part::Live => bench.live().await?,
            Part::Coarse => bench.five_minutes().await?,
            Part::Bulk => bench.bulk().await?,
            Part::Seconds => bench.one_second().await?,
            Part::Scale => scale::scale(&mut bench).await?,
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn tell(&mut self, figure: Figure) {
        (self.tell)(&figure);
    }

    fn open(&self, name: &str) -> Result<Arc<LocalStore>, StoreError> {
        let options = StoreOptions::new(self.options.folder.join(name), Arc::clone(&self.options.clock));
        LocalStore::open(StoreOptions { min_free: 0, ..options })
    }

    /// One reading of every instance after the other, as polling sends them; then reads.
    #[allow(clippy::cast_precision_loss)]
    async fn live(&mut self) -> Result<(), StoreError> {
        let store = self.open("live")?;
        let policy = policy(&[60], &[MEAN]);
        let mut instances = self.instances();
        let points = (instances.len() * METERS.len() * self.options.readings) as f64;
        let mut meter = Meter::start();
        for _ in 0..self.options.readings {
            let requests = meter.make(|| reading(&mut instances, &policy));
            send(&store, requests).await?;
        }
        let resident = own("status", "VmRSS:") / 1_024.0;
        store.compact(false).await?;
        self.tell(figure("live ingest, engine", meter.cpu() / points * 1e6, "CPU s / Mpoint", Some(0.3)));
        store.compact(true).await?;
        self.tell(figure("live ingest, all merged", meter.cpu() / points * 1e6, "CPU s / Mpoint", None));
        self.tell(figure("bytes written", meter.written() / points, "B / point", Some(64.0)));
        self.tell(figure("resident after ingest, load included", resident, "MiB", None));
        let bytes = store.statistics().await?.disk_bytes as f64;
        self.tell(figure("space", bytes / points, "B / point", Some(1.35)));
        store.close().await;
        drop(store);
        let start = self.options.clock.monotonic();
        let store = self.open("live")?;
        let took = self.options.clock.monotonic().saturating_sub(start);
        self.tell(figure("restart", took.as_secs_f64(), "s", Some(1.0)));
        self.reads(&store, &instances, &policy).await
    }

    /// Many points of a metric at once: a backfill.
    #[allow(clippy::cast_precision_loss)]
    async fn bulk(&mut self) -> Result<(), StoreError> {
        let store = self.open("bulk")?;
        let policy = policy(&[60], &[MEAN]);
        let mut points = 0;
        let mut meter = Meter::start();
        for mut instance in self.instances() {
            for _ in 0..self.options.readings.div_ceil(BULK) {
                let batch = meter.make(|| backfill(&mut instance, BULK, &policy));
                points += batch.len();
                send(&store, vec![batch]).await?;
            }
        }
        store.compact(false).await?;
        let cost = meter.cpu() / points as f64 * 1e6;
        self.tell(figure("bulk ingest, engine", cost, "CPU s / Mpoint", Some(0.2)));
        let mut instance = Instance::new(self.options.seed, u64::MAX);
        let days = (self.options.readings / 48).clamp(1, 30);
        for _ in 0..days * 1_440 / BULK {
            send(&store, vec![backfill(&mut instance, BULK, &policy)]).await?;
        }
        store.compact(true).await?;
        for meter in [3, 0, 19] {
            let request = request(instance.metrics[meter], &policy, 60, None);
            let name = format!("one metric, {days} days, {}", METERS[meter]);
            self.query(&store, &name, vec![request], Some(1.0)).await?;
        }
        Ok(())
    }

    /// One point a second, kept as one method and as eight.
    #[allow(clippy::cast_precision_loss)]
    async fn one_second(&mut self) -> Result<(), StoreError> {
        let eight: Vec<AggregationMethod> = ["mean", "min", "max", "sum", "std", "count", "last", "first"]
            .iter()
            .flat_map(|name| name.parse())
            .collect();
        let mut sizes = Vec::new();
        for (name, methods) in [("one", vec![MEAN]), ("eight", eight)] {
            let store = self.open(name)?;
            let policy = policy(&[1, 60, 3_600], &methods);
            let mut instance = Instance::new(self.options.seed, 1);
            let mut points = 0;
            for _ in 0..(self.options.readings / 36).clamp(2, 40) {
                let mut batch = Batch::default();
                let readings: Vec<_> = (0..1_800).map(|_| instance.read()).collect();
                for (meter, metric) in instance.metrics.iter().enumerate() {
                    // The readings of a minute each, as if they were of a second each.
                    let times: Vec<_> = readings.iter().map(|(time, _)| squeezed(*time)).collect();
                    let values: Vec<_> = readings.iter().map(|(_, values)| values[meter]).collect();
                    batch.push_columns(*metric, &policy, &times, &values);
                }
                points += batch.len();
                send(&store, vec![batch]).await?;
            }
            store.compact(true).await?;
            let bytes = store.statistics().await?.disk_bytes as f64;
            self.tell(figure(
                &format!("space at 1 s / 1 min / 1 h, {name} method(s)"),
                bytes / points as f64,
                "B / point",
                None,
            ));
            sizes.push(bytes);
        }
        if let [one, eight] = sizes.as_slice() {
            self.tell(figure("eight methods to one", eight / one, "times", Some(1.5)));
        }
        Ok(())
    }

    fn instances(&self) -> Vec<Instance> {
        (0..self.options.instances).map(|number| Instance::new(self.options.seed, number)).collect()
    }
}

fn squeezed(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(START + (time.as_nanos() - START) / 60)
}

/// Requests of one reading of every instance.
fn reading(instances: &mut [Instance], policy: &Arc<ArchivePolicy>) -> Vec<Batch> {
    let mut batches = Vec::new();
    for group in instances.chunks_mut(REQUEST / METERS.len()) {
        let mut batch = Batch::with_capacity(REQUEST, REQUEST);
        for instance in group {
            let (time, values) = instance.read();
            for (metric, value) in instance.metrics.iter().zip(values) {
                batch.push_columns(*metric, policy, &[time], &[value]);
            }
        }
        batches.push(batch);
    }
    batches
}

/// One request of so many readings of an instance.
fn backfill(instance: &mut Instance, readings: usize, policy: &Arc<ArchivePolicy>) -> Batch {
    let readings: Vec<_> = (0..readings).map(|_| instance.read()).collect();
    let times: Vec<_> = readings.iter().map(|(time, _)| *time).collect();
    let mut batch = Batch::with_capacity(METERS.len(), METERS.len() * readings.len());
    let mut column = Vec::with_capacity(readings.len());
    for (meter, metric) in instance.metrics.iter().enumerate() {
        column.clear();
        column.extend(readings.iter().map(|(_, values)| values[meter]));
        batch.push_columns(*metric, policy, &times, &column);
    }
    batch
}

async fn send(store: &Arc<LocalStore>, batches: Vec<Batch>) -> Result<(), StoreError> {
    let mut batches = batches.into_iter().peekable();
    while batches.peek().is_some() {
        let calls = batches.by_ref().take(IN_FLIGHT).map(|batch| store.append(Arc::new(batch)));
        for done in futures_util::future::join_all(calls).await {
            done?;
        }
    }
    Ok(())
}

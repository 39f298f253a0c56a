//! What reading costs: series handed out, and what is computed from them where they lie.

use std::future::Future;
use std::sync::Arc;

use nephos_lang::operations::{Operation, Reference};
use nephos_model::{MetricId, Timestamp};
use nephos_timeseries::{ArchivePolicy, Fill};
use rustix::time::ClockId;

use super::workload::{INTERVAL, Instance, METERS, START};
use super::{Bench, MEAN, cpu, figure, policy, seconds, send};
use crate::batch::Batch;
use crate::compute::{Computation, Filling, Work};
use crate::contract::{MetricStore, SeriesRequest, StoreError};
use crate::store::LocalStore;

/// Means of a metric from some time on.
pub(super) fn request(
    metric: MetricId,
    policy: &Arc<ArchivePolicy>,
    width: i64,
    start: Option<Timestamp>,
) -> SeriesRequest {
    let (policy, granularities) = (Arc::clone(policy), vec![seconds(width)]);
    SeriesRequest { metric, policy, method: MEAN, granularities, start, stop: None, resample: None }
}

/// The mean across series, by five minutes.
fn mean(requests: Vec<SeriesRequest>) -> Computation {
    let reference =
        |request: &SeriesRequest| Reference { name: request.metric.to_string(), method: "mean".to_owned() };
    let references = requests.iter().map(reference).collect();
    let (method, operand) = ("mean".to_owned(), Box::new(Operation::Metric(references)));
    let mut operations = Operation::Aggregate { method: method.clone(), operand };
    let five_minutes = seconds(300);
    if requests.first().is_some_and(|request| request.granularities != [five_minutes]) {
        let (step, operand) = (five_minutes.as_nanos(), Box::new(operations));
        operations = Operation::Resample { method, step, operand };
    }
    let selection = (0..).take(requests.len()).map(|place| vec![place]).collect();
    let filling = Filling::Fill { fill: Fill::Null, dropping: false };
    Computation { requests, work: Work::Operations { operations: Arc::new(operations), selection, filling } }
}

impl Bench<'_> {
    /// Reads of what polling left.
    pub(super) async fn reads(
        &mut self,
        store: &Arc<LocalStore>,
        instances: &[Instance],
        policy: &Arc<ArchivePolicy>,
    ) -> Result<(), StoreError> {
        let last = START + i64::try_from(self.options.readings).unwrap_or(i64::MAX) * INTERVAL;
        let window = |hours: i64| Some(Timestamp::from_nanos(last - hours * 3_600_000_000_000));
        let request = |metric: MetricId, hours: i64| request(metric, policy, 60, window(hours));
        let of = |meter: usize, count: usize| instances.iter().take(count).map(move |one| one.metrics[meter]);
        let many: Vec<_> = of(3, 1_000).map(|metric| request(metric, 24)).collect();
        self.mean(store, "mean of 1,000 metrics by 5 min, 1 day of minutes", many.clone(), 15.0).await?;
        self.query(store, "1,000 metrics, 1 day of minutes, to values", many, None).await?;
        let rates: Vec<_> = of(0, 100).map(|metric| request(metric, 6)).collect();
        self.query(store, "100 counters, 6 h, to values", rates, Some(1.5)).await?;
        let panel = instances.first().map(|one| one.metrics.to_vec()).unwrap_or_default();
        let panel: Vec<_> = panel.into_iter().map(|metric| request(metric, 6)).collect();
        self.query(store, "20 metrics, 6 h, to values", panel, Some(0.8)).await
    }

    /// A thousand gauges of a day, read by the five minutes that their policy keeps.
    pub(super) async fn five_minutes(&mut self) -> Result<(), StoreError> {
        let store = self.open("five")?;
        let policy = policy(&[60, 300], &[MEAN]);
        let mut requests = Vec::new();
        for number in 0..self.options.instances.min(1_000) {
            let mut instance = Instance::new(self.options.seed, number);
            let (times, values): (Vec<_>, Vec<_>) =
                (0..1_440).map(|_| instance.read()).map(|(time, values)| (time, values[3])).unzip();
            let mut batch = Batch::default();
            batch.push_columns(instance.metrics[3], &policy, &times, &values);
            send(&store, vec![batch]).await?;
            requests.push(request(instance.metrics[3], &policy, 300, None));
        }
        store.compact(true).await?;
        let bytes = store.statistics().await?.disk_bytes;
        #[allow(clippy::cast_precision_loss)]
        let each = bytes as f64 / (requests.len() * 1_440) as f64;
        self.tell(figure("space of a day of minutes and 5 min", each, "B / measure", None));
        self.mean(&store, "mean of 1,000 metrics, 1 day of 5 min", requests.clone(), 4.0).await?;
        self.query(&store, "1,000 metrics, 1 day of 5 min, to values", requests, None).await
    }

    /// The same query again and again.
    pub(super) async fn query(
        &mut self,
        store: &Arc<LocalStore>,
        name: &str,
        requests: Vec<SeriesRequest>,
        goal: Option<f64>,
    ) -> Result<(), StoreError> {
        let series = requests.len();
        let read = || async {
            let answers = store.query(requests.clone()).await?;
            Ok(answers.iter().flat_map(|one| &one.granularities).map(|one| one.values.len()).sum())
        };
        self.again(name, series, goal, read).await
    }

    /// The same mean across series again and again.
    async fn mean(
        &mut self,
        store: &Arc<LocalStore>,
        name: &str,
        requests: Vec<SeriesRequest>,
        goal: f64,
    ) -> Result<(), StoreError> {
        let series = requests.len();
        let computation = mean(requests);
        let compute = || async {
            let outcomes = store.compute(vec![computation.clone()]).await?;
            let grids = outcomes.iter().flatten().flat_map(|computed| &computed.grids);
            Ok(grids.map(|grid| grid.timestamps().len()).sum())
        };
        self.again(name, series, Some(goal), compute).await
    }

    /// The mean of many runs, since one is too short to be measured.
    #[allow(clippy::cast_precision_loss)]
    async fn again<F: Future<Output = Result<usize, StoreError>>>(
        &mut self,
        name: &str,
        series: usize,
        goal: Option<f64>,
        run: impl Fn() -> F,
    ) -> Result<(), StoreError> {
        let mut points = 0;
        // Small ones oftener.
        let runs = (self.options.runs * METERS.len() / series.max(METERS.len())).max(20);
        let before = cpu(ClockId::ProcessCPUTime);
        for _ in 0..runs {
            points = run().await?;
        }
        let took = (cpu(ClockId::ProcessCPUTime) - before) / runs as f64;
        self.tell(figure(&format!("{name} ({points} points)"), took * 1e3, "CPU ms", goal));
        Ok(())
    }
}

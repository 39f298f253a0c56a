//! From samples to runs: names become metrics through the index, with a bounded cache of those that exist.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nephos_config::resources::{ResourcesFile, shipped_resource_types};
use nephos_index::{EnsureMetric, EnsureResource, EnsuredMetric, Index, IndexError};
use nephos_metric_store::Batch;
use nephos_model::{Clock, Measure, MetricId, ResourceId, Sample};
use nephos_timeseries::ArchivePolicy;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use tokio::sync::watch;

use crate::describe::{Description, Descriptions};
use crate::instrument;
use crate::place::{Place, Places, metric_name};

/// Metrics and resources remembered. About 200 bytes each.
const CACHE: usize = 200_000;
/// How long a remembered metric is believed: a deleted one takes measures no longer than this.
const BELIEVED: Duration = Duration::from_secs(60);

/// A metric that existed when it was last looked up.
#[derive(Clone, Debug)]
struct Known {
    metric: MetricId,
    policy_name: Arc<str>,
    until: Duration,
}

/// Turns batches into runs.
#[derive(Debug)]
pub(crate) struct Resolver {
    index: Arc<dyn Index>,
    creator: String,
    clock: Arc<dyn Clock>,
    resources: watch::Receiver<Arc<ResourcesFile>>,
    metrics: Cache<(ResourceId, String), Known>,
    /// Fingerprint of what the index was last told of a resource.
    told: Cache<ResourceId, u64>,
    /// Policies and types of the definitions that are known to exist.
    prepared: HashSet<String>,
    /// Meters without a place that were logged already.
    warned: HashSet<String>,
}

/// A sample that has a place.
struct Placed<'a> {
    sample: &'a Sample,
    /// Number of its metric among those of the batch.
    metric: usize,
}

/// A metric of the batch.
struct Wanted<'a> {
    /// Its first sample, and where that belongs.
    sample: &'a Sample,
    place: Place<'a>,
    /// Present once it exists.
    known: Option<Known>,
}

/// Resources to tell the index of, with the fingerprint of what is told if that is new.
type Tell = BTreeMap<ResourceId, (EnsureResource, Option<u64>)>;
/// How many samples were dropped, by reason.
type Dropped = BTreeMap<&'static str, usize>;

/// Samples with their places, the metrics they need, and what they tell that the index may not know.
#[derive(Default)]
struct Sorted<'a> {
    placed: Vec<Placed<'a>>,
    wanted: Vec<Wanted<'a>>,
    tell: Tell,
    dropped: Dropped,
}

/// The key of a metric, borrowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name<'a>(ResourceId, Cow<'a, str>);

impl Equivalent<(ResourceId, String)> for Name<'_> {
    fn equivalent(&self, (resource, name): &(ResourceId, String)) -> bool {
        self.0 == *resource && self.1 == *name
    }
}

impl Resolver {
    pub(crate) fn new(
        index: Arc<dyn Index>,
        creator: String,
        clock: Arc<dyn Clock>,
        resources: watch::Receiver<Arc<ResourcesFile>>,
    ) -> Self {
        Self {
            index,
            creator,
            clock,
            resources,
            metrics: Cache::new(CACHE),
            told: Cache::new(CACHE),
            prepared: HashSet::new(),
            warned: HashSet::new(),
        }
    }

    /// The runs of some messages' samples. Samples that have no place, or no policy, are dropped and counted; an error means that the
    /// index is away, and nothing was decided.
    pub(crate) async fn batch(&mut self, messages: &[Vec<Sample>]) -> Result<Batch, IndexError> {
        if self.resources.has_changed().unwrap_or(false) {
            self.resources.mark_unchanged();
            self.prepared.clear();
            self.warned.clear();
        }
        let file = Arc::clone(&self.resources.borrow());
        let creator = self.creator.clone();
        let now = self.clock.monotonic();
        let mut sorted = self.sort(Places::new(&file, &creator), messages, now);
        self.look_up(&file, &mut sorted, now).await?;
        let policies = self.policies(&sorted.wanted).await?;
        let batch = batch_of(&sorted.placed, &sorted.wanted, &policies, &mut sorted.dropped);
        for (reason, samples) in sorted.dropped {
            instrument::dropped(reason, samples);
        }
        Ok(batch)
    }

    fn sort<'a>(&mut self, mut places: Places<'a>, messages: &'a [Vec<Sample>], now: Duration) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        sorted.placed.reserve(messages.iter().map(Vec::len).sum());
        let mut descriptions = Descriptions::default();
        let mut numbers: HashMap<Name<'a>, usize> = HashMap::new();
        for sample in messages.iter().flatten() {
            let place = match places.of(sample) {
                Ok(place) => place,
                Err(reason) => {
                    *sorted.dropped.entry(reason.reason()).or_default() += 1;
                    self.warn_once(sample, reason.reason());
                    continue;
                }
            };
            self.note_resource(&place, sample, &descriptions.of(&place, sample), &mut sorted.tell);
            let metric = match numbers.entry(Name(place.resource_id, metric_name(sample))) {
                Entry::Occupied(number) => *number.get(),
                Entry::Vacant(vacant) => {
                    let known = self.metrics.get(vacant.key()).filter(|known| known.until > now);
                    sorted.wanted.push(Wanted { sample, place, known });
                    *vacant.insert(sorted.wanted.len() - 1)
                }
            };
            sorted.placed.push(Placed { sample, metric });
        }
        sorted
    }

    /// Notes the resource of a sample unless the index was told the same of it before.
    fn note_resource(&self, place: &Place<'_>, sample: &Sample, description: &Description, tell: &mut Tell) {
        let id = place.resource_id;
        let fingerprint = description.fingerprint(place, sample);
        if self.told.get(&id) == Some(fingerprint) {
            // A resource that swings back within one batch ends as it was: nothing to tell.
            tell.remove(&id);
        } else if tell.get(&id).is_none_or(|(_, noted)| *noted != Some(fingerprint)) {
            tell.insert(id, (place.resource(sample, description), Some(fingerprint)));
        }
    }

    /// Finds every metric of the batch that exists or could be made to.
    async fn look_up(
        &mut self,
        file: &ResourcesFile,
        sorted: &mut Sorted<'_>,
        now: Duration,
    ) -> Result<(), IndexError> {
        let Sorted { placed, wanted, tell, dropped } = sorted;
        let mut missing = Vec::new();
        let mut numbers = Vec::new();
        let mut descriptions = Descriptions::default();
        for (number, Wanted { sample, place, .. }) in
            wanted.iter().enumerate().filter(|(_, wanted)| wanted.known.is_none())
        {
            // A metric to create needs its resource, even one that was told of before.
            tell.entry(place.resource_id)
                .or_insert_with(|| (place.resource(sample, &descriptions.of(place, sample)), None));
            missing.push(place.metric(sample));
            numbers.push(number);
        }
        if tell.is_empty() {
            return Ok(());
        }
        self.prepare(file, tell.values().map(|(resource, _)| resource), &missing).await?;
        let told: Vec<EnsureResource> = tell.values().map(|(resource, _)| resource.clone()).collect();
        let answers = self.index.ensure(Some(&self.creator), &told, &missing, self.clock.now()).await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if error.is_retryable() => return Err(error),
            // One bad resource must not lose the others: ask for each alone.
            Err(error) => self.ensure_one_by_one(&told, &missing, &error).await?,
        };
        for ((number, metric), answer) in numbers.into_iter().zip(missing).zip(answers) {
            match answer {
                Ok(EnsuredMetric { metric: found, policy }) => {
                    let policy_name = Arc::from(policy.name.as_str());
                    let known = Known { metric: found.id, policy_name, until: now + BELIEVED };
                    self.metrics.insert((metric.resource_id, metric.name), known.clone());
                    wanted[number].known = Some(known);
                }
                Err(error) => {
                    let samples = placed.iter().filter(|placed| placed.metric == number).count();
                    *dropped.entry("no_metric").or_default() += samples;
                    if self.warned.len() < CACHE && self.warned.insert(metric.name.clone()) {
                        tracing::warn!(meter = metric.name, %error, "samples without a metric are dropped");
                    }
                }
            }
        }
        for (id, (_, fingerprint)) in std::mem::take(tell) {
            if let Some(fingerprint) = fingerprint {
                self.told.insert(id, fingerprint);
            }
        }
        Ok(())
    }

    async fn ensure_one_by_one(
        &self,
        resources: &[EnsureResource],
        metrics: &[EnsureMetric],
        whole: &IndexError,
    ) -> Result<Vec<Result<EnsuredMetric, IndexError>>, IndexError> {
        tracing::warn!(error = %whole, "a batch of resources was refused; trying each alone");
        let mut failed: HashMap<ResourceId, String> = HashMap::new();
        for resource in resources {
            match self
                .index
                .ensure(Some(&self.creator), std::slice::from_ref(resource), &[], self.clock.now())
                .await
            {
                Ok(_) => {}
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(resource = resource.original_resource_id, %error, "resource refused");
                    failed.insert(resource.id, error.to_string());
                }
            }
        }
        let mut answers = Vec::with_capacity(metrics.len());
        for metric in metrics {
            if let Some(reason) = failed.get(&metric.resource_id) {
                answers.push(Err(IndexError::Database { reason: reason.clone() }));
                continue;
            }
            let one = self
                .index
                .ensure(Some(&self.creator), &[], std::slice::from_ref(metric), self.clock.now())
                .await;
            match one {
                Ok(mut one) => answers.extend(one.pop()),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => answers.push(Err(error)),
            }
        }
        Ok(answers)
    }

    /// Creates policies and resource types of the definitions at their first use.
    async fn prepare(
        &mut self,
        file: &ResourcesFile,
        resources: impl Iterator<Item = &EnsureResource>,
        metrics: &[EnsureMetric],
    ) -> Result<(), IndexError> {
        let policies: BTreeSet<&str> =
            metrics.iter().filter_map(|metric| metric.archive_policy_name.as_deref()).collect();
        for name in policies {
            let key = format!("policy {name}");
            if self.prepared.contains(&key) {
                continue;
            }
            if let Some(policy) = file.archive_policy(name) {
                exists(self.index.create_archive_policy(policy).await)?;
            }
            self.prepared.insert(key);
        }
        let types: BTreeSet<String> = resources.map(|resource| resource.resource_type.clone()).collect();
        for name in types {
            let key = format!("type {name}");
            if self.prepared.contains(&key) {
                continue;
            }
            if let Some(shipped) = shipped_resource_types().into_iter().find(|shipped| shipped.name == name) {
                exists(self.index.create_resource_type(&shipped).await)?;
            }
            self.prepared.insert(key);
        }
        Ok(())
    }

    async fn policies(
        &self,
        wanted: &[Wanted<'_>],
    ) -> Result<HashMap<Arc<str>, Arc<ArchivePolicy>>, IndexError> {
        let known = wanted.iter().filter_map(|wanted| wanted.known.as_ref());
        let names: HashSet<&Arc<str>> = known.map(|known| &known.policy_name).collect();
        let mut policies = HashMap::with_capacity(names.len());
        for name in names {
            if let Some(policy) = self.index.archive_policy(name).await? {
                policies.insert(Arc::clone(name), policy);
            }
        }
        Ok(policies)
    }

    fn warn_once(&mut self, sample: &Sample, reason: &'static str) {
        if self.warned.len() < CACHE && self.warned.insert(sample.name.clone()) {
            tracing::warn!(meter = sample.name, resource = sample.resource_id, reason, "samples are dropped");
        }
    }
}

/// That something exists already is what was wanted.
fn exists(result: Result<(), IndexError>) -> Result<(), IndexError> {
    match result {
        Err(IndexError::AlreadyExists { .. }) => Ok(()),
        other => other,
    }
}

/// One run a metric: of equal timestamps the last arrival stays (nephos.md §3).
fn batch_of(
    placed: &[Placed<'_>],
    wanted: &[Wanted<'_>],
    policies: &HashMap<Arc<str>, Arc<ArchivePolicy>>,
    dropped: &mut Dropped,
) -> Batch {
    let mut order: Vec<&Placed<'_>> = placed.iter().collect();
    // Stable: equal timestamps of a metric stay in the order of their arrival.
    order.sort_by_key(|placed| (placed.metric, placed.sample.timestamp));
    let mut batch = Batch::with_capacity(wanted.len(), placed.len());
    for run in order.chunk_by(|one, next| one.metric == next.metric) {
        let known = run.first().and_then(|first| wanted[first.metric].known.as_ref());
        // Those without a metric were counted when that was found out.
        let Some(known) = known else { continue };
        let Some(policy) = policies.get(&known.policy_name) else {
            *dropped.entry("no_policy").or_default() += run.len();
            continue;
        };
        let last_arrivals = run
            .chunk_by(|one, next| one.sample.timestamp == next.sample.timestamp)
            .filter_map(<[_]>::last)
            .map(|placed| Measure::new(placed.sample.timestamp, placed.sample.volume.as_f64()));
        batch.push(known.metric, policy, last_arrivals);
    }
    batch
}

#[cfg(test)]
mod tests;

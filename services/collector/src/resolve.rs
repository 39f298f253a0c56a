//! From samples to runs: names become metrics through the index, with a bounded cache of those that exist.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nephos_config::resources::{ResourcesFile, shipped_resource_types};
use nephos_index::{EnsureMetric, EnsureResource, EnsuredMetric, Index, IndexError};
use nephos_metric_store::Run;
use nephos_model::{Clock, Measure, MetricId, ResourceId, Sample, Timestamp};
use nephos_timeseries::ArchivePolicy;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use crate::instrument;
use crate::place::{Place, place};

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
    /// Hash of what was last told of a resource.
    attributes: Cache<ResourceId, u64>,
    /// Policies and types of the definitions that are known to exist.
    prepared: HashSet<String>,
    /// Meters without a place that were logged already.
    warned: HashSet<String>,
}

/// A sample that has a place, waiting for its metric.
struct Placed<'a> {
    sample: &'a Sample,
    metric: EnsureMetric,
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
            attributes: Cache::new(CACHE),
            prepared: HashSet::new(),
            warned: HashSet::new(),
        }
    }

    /// The runs of some messages' samples. Samples that have no place, or no policy, are dropped and counted; an error means that the
    /// index is away, and nothing was decided.
    pub(crate) async fn runs(&mut self, messages: &[Vec<Sample>]) -> Result<Vec<Run>, IndexError> {
        if self.resources.has_changed().unwrap_or(false) {
            self.resources.mark_unchanged();
            self.prepared.clear();
            self.warned.clear();
        }
        let file = Arc::clone(&self.resources.borrow());
        let now = self.clock.monotonic();
        let mut placed = Vec::with_capacity(messages.iter().map(Vec::len).sum());
        let mut resources: BTreeMap<ResourceId, (EnsureResource, u64)> = BTreeMap::new();
        let mut dropped: BTreeMap<&'static str, usize> = BTreeMap::new();
        for sample in messages.iter().flatten() {
            match place(&file, sample, &self.creator) {
                Ok(found) => {
                    self.note_resource(&found, sample, &mut resources);
                    placed.push(Placed { sample, metric: found.metric(sample) });
                }
                Err(reason) => {
                    *dropped.entry(reason.reason()).or_default() += 1;
                    self.warn_once(sample, reason.reason());
                }
            }
        }
        let known = self.known(&file, &placed, resources, now, &mut dropped).await?;
        let policies = self.policies(&known).await?;
        let runs = runs_of(&placed, &known, &policies, &mut dropped);
        for (reason, samples) in dropped {
            instrument::dropped(reason, samples);
        }
        Ok(runs)
    }

    /// Notes the resource of a sample unless the index was told the same of it before.
    fn note_resource(
        &self,
        found: &Place<'_>,
        sample: &Sample,
        resources: &mut BTreeMap<ResourceId, (EnsureResource, u64)>,
    ) {
        let hash = xxh3_64(
            serde_json::to_string(&(
                found.resource_type,
                &sample.user_id,
                &sample.project_id,
                &*sample.metadata,
            ))
            .unwrap_or_default()
            .as_bytes(),
        );
        if self.attributes.get(&found.resource_id) == Some(hash) {
            // A resource that swings back within one batch ends as it was: nothing to tell.
            resources.remove(&found.resource_id);
            return;
        }
        if resources.get(&found.resource_id).is_some_and(|(_, noted)| *noted == hash) {
            return;
        }
        resources.insert(found.resource_id, (found.resource(sample), hash));
    }

    /// Every metric of the batch that exists or could be made to.
    async fn known(
        &mut self,
        file: &ResourcesFile,
        placed: &[Placed<'_>],
        resources: BTreeMap<ResourceId, (EnsureResource, u64)>,
        now: Duration,
        dropped: &mut BTreeMap<&'static str, usize>,
    ) -> Result<HashMap<EnsureMetric, Known>, IndexError> {
        let mut known = HashMap::with_capacity(placed.len());
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        for Placed { metric, .. } in placed {
            if !seen.insert(metric) {
                continue;
            }
            match self.metrics.get(&(metric.resource_id, metric.name.clone())) {
                Some(found) if found.until > now => {
                    known.insert(metric.clone(), found);
                }
                _ => missing.push(metric.clone()),
            }
        }
        if missing.is_empty() && resources.is_empty() {
            return Ok(known);
        }
        // A metric to create needs its resource, even one that was told of before.
        let wanted: BTreeSet<ResourceId> = missing.iter().map(|metric| metric.resource_id).collect();
        let mut ensure: BTreeMap<ResourceId, (EnsureResource, u64)> = resources;
        for Placed { sample, metric } in placed {
            if wanted.contains(&metric.resource_id)
                && !ensure.contains_key(&metric.resource_id)
                && let Ok(found) = place(file, sample, &self.creator)
            {
                ensure.insert(metric.resource_id, (found.resource(sample), 0));
            }
        }
        self.prepare(file, ensure.values().map(|(resource, _)| resource), &missing).await?;
        let told: Vec<EnsureResource> = ensure.values().map(|(resource, _)| resource.clone()).collect();
        let answers = self.index.ensure(Some(&self.creator), &told, &missing, self.clock.now()).await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if error.is_retryable() => return Err(error),
            // One bad resource must not lose the others: ask for each alone.
            Err(error) => self.ensure_one_by_one(&told, &missing, &error).await?,
        };
        for (metric, answer) in missing.into_iter().zip(answers) {
            match answer {
                Ok(EnsuredMetric { metric: found, policy }) => {
                    let entry = Known {
                        metric: found.id,
                        policy_name: Arc::from(policy.name.as_str()),
                        until: now + BELIEVED,
                    };
                    self.metrics.insert((metric.resource_id, metric.name.clone()), entry.clone());
                    known.insert(metric, entry);
                }
                Err(error) => {
                    let samples = placed.iter().filter(|placed| placed.metric == metric).count();
                    *dropped.entry("no_metric").or_default() += samples;
                    if self.warned.len() < CACHE && self.warned.insert(metric.name.clone()) {
                        tracing::warn!(meter = metric.name, %error, "samples without a metric are dropped");
                    }
                }
            }
        }
        for (id, (_, hash)) in ensure {
            if hash != 0 {
                self.attributes.insert(id, hash);
            }
        }
        Ok(known)
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
        known: &HashMap<EnsureMetric, Known>,
    ) -> Result<HashMap<Arc<str>, Arc<ArchivePolicy>>, IndexError> {
        let names: HashSet<&Arc<str>> = known.values().map(|known| &known.policy_name).collect();
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
fn runs_of(
    placed: &[Placed<'_>],
    known: &HashMap<EnsureMetric, Known>,
    policies: &HashMap<Arc<str>, Arc<ArchivePolicy>>,
    dropped: &mut BTreeMap<&'static str, usize>,
) -> Vec<Run> {
    let mut by_metric: HashMap<MetricId, (Arc<ArchivePolicy>, BTreeMap<Timestamp, f64>)> = HashMap::new();
    for Placed { sample, metric } in placed {
        let Some(known) = known.get(metric) else { continue };
        let Some(policy) = policies.get(&known.policy_name) else {
            *dropped.entry("no_policy").or_default() += 1;
            continue;
        };
        by_metric
            .entry(known.metric)
            .or_insert_with(|| (Arc::clone(policy), BTreeMap::new()))
            .1
            .insert(sample.timestamp, sample.volume.as_f64());
    }
    by_metric
        .into_iter()
        .map(|(metric, (policy, values))| Run {
            metric,
            policy,
            measures: values.into_iter().map(|(timestamp, value)| Measure::new(timestamp, value)).collect(),
        })
        .collect()
}

//! Measures of many metrics in one request.

use std::collections::{BTreeMap, BTreeSet};

use nephos_identity::Caller;
use nephos_identity::policy::metrics as rules;
use nephos_index::{IndexError, MetricFilter, NewMetric, Page};
use nephos_metric_store::Run;
use nephos_model::{Measure, Metric, MetricId, ResourceId};
use serde_json::{Value, json};

use super::problem::demand;
use super::{Problem, measures, metrics, resources};
use crate::state::ApiState;

/// Measures of one metric that is named by its resource; what creates it if it is not there.
#[derive(Clone, Debug)]
pub struct NamedRun {
    /// Metric name.
    pub name: String,
    /// Policy at creation.
    pub archive_policy_name: Option<String>,
    /// Unit at creation.
    pub unit: Option<String>,
    /// The measures.
    pub measures: Vec<Measure>,
}

/// Measures of the metrics of one resource.
#[derive(Clone, Debug)]
pub struct ResourceRuns {
    /// The resource.
    pub id: ResourceId,
    /// Its id as sent.
    pub original_id: String,
    /// Per metric.
    pub runs: Vec<NamedRun>,
}

/// Takes measures by metric id: all or nothing.
pub async fn by_metric(
    state: &ApiState,
    caller: &Caller,
    batch: BTreeMap<MetricId, Vec<Measure>>,
) -> Result<(), Problem> {
    if batch.is_empty() {
        return Ok(());
    }
    let filter = MetricFilter { ids: Some(batch.keys().copied().collect()), ..Default::default() };
    let found = state.index.metrics(&filter, &Page::default()).await?;
    let known: BTreeSet<MetricId> = found.iter().map(|metric| metric.id).collect();
    let unknown: Vec<String> =
        batch.keys().filter(|id| !known.contains(id)).map(ToString::to_string).collect();
    if !unknown.is_empty() {
        return Err(Problem::Bad(format!("Unknown metrics: {}", unknown.join(", "))));
    }
    let mut batch = batch;
    let pairs = found.into_iter().map(|metric| {
        let measures = batch.remove(&metric.id).unwrap_or_default();
        (metric, measures)
    });
    append(state, caller, pairs.collect()).await
}

/// Takes measures by resource and metric name: all or nothing. With `create`, metrics that are not there are created.
pub async fn by_resource(
    state: &ApiState,
    caller: &Caller,
    batch: Vec<ResourceRuns>,
    create: bool,
) -> Result<(), Problem> {
    let mut pairs = Vec::new();
    let mut absent = Vec::new();
    for mut resource in batch {
        if resource.runs.is_empty() {
            continue;
        }
        let present = resources::metrics_of(state, resource.id).await?;
        let mut present: BTreeMap<_, _> =
            present.into_iter().map(|metric| (metric.name.clone(), metric)).collect();
        let mut left = Vec::new();
        for run in resource.runs {
            match present.remove(&Some(run.name.clone())) {
                Some(metric) => pairs.push((metric, run.measures)),
                None => left.push(run),
            }
        }
        resource.runs = left;
        if !resource.runs.is_empty() {
            absent.push(resource);
        }
    }
    if !create && !absent.is_empty() {
        return Err(unknown_metrics(&absent));
    }
    demand_posts(state, caller, &pairs).await?;
    pairs.extend(create_absent(state, caller, absent).await?);
    append(state, caller, pairs).await
}

fn unknown_metrics(absent: &[ResourceRuns]) -> Problem {
    let names = absent.iter().flat_map(|resource| resource.runs.iter().map(move |run| (resource, run)));
    let mut names: Vec<String> =
        names.map(|(resource, run)| format!("{}/{}", resource.id, run.name)).collect();
    names.sort_unstable();
    Problem::Bad(format!("Unknown metrics: {}", names.join(", ")))
}

/// Creates the metrics; every resource must exist and be the caller's to change.
async fn create_absent(
    state: &ApiState,
    caller: &Caller,
    absent: Vec<ResourceRuns>,
) -> Result<Vec<(Metric, Vec<Measure>)>, Problem> {
    let mut unknown: Vec<Value> = Vec::new();
    for resource in &absent {
        match state.index.resource("generic", resource.id).await? {
            Some(found) => demand(rules::UPDATE_RESOURCE, caller, &resources::target_of(&found))?,
            None => unknown.push(json!({
                "resource_id": resource.id.to_string(),
                "original_resource_id": resource.original_id,
            })),
        }
    }
    if !unknown.is_empty() {
        return Err(Problem::Detailed {
            missing: false,
            cause: "Unknown resources",
            reason: None,
            detail: Value::Array(unknown),
        });
    }
    let mut created = Vec::new();
    for resource in absent {
        for run in resource.runs {
            let metric = NewMetric {
                id: MetricId::random(),
                creator: caller.creator.clone(),
                name: Some(run.name),
                unit: run.unit,
                resource_id: Some(resource.id),
                archive_policy_name: run.archive_policy_name,
            };
            created.push((create_or_find(state, &metric, resource.id).await?, run.measures));
        }
    }
    Ok(created)
}

/// Creates a metric, or finds the one that somebody else created meanwhile.
async fn create_or_find(
    state: &ApiState,
    metric: &NewMetric,
    resource: ResourceId,
) -> Result<Metric, Problem> {
    match state.index.create_metric(metric).await {
        Err(IndexError::AlreadyExists { .. }) => {
            let name = metric.name.as_deref().unwrap_or_default();
            let found = state.index.resource_metric(resource, name).await?;
            found.ok_or_else(|| Problem::missing("Metric", name))
        }
        other => other.map_err(Problem::in_body),
    }
}

async fn demand_posts(
    state: &ApiState,
    caller: &Caller,
    pairs: &[(Metric, Vec<Measure>)],
) -> Result<(), Problem> {
    for (metric, _) in pairs {
        measures::demand_post(state, caller, metric).await?;
    }
    Ok(())
}

async fn append(
    state: &ApiState,
    caller: &Caller,
    pairs: Vec<(Metric, Vec<Measure>)>,
) -> Result<(), Problem> {
    demand_posts(state, caller, &pairs).await?;
    let mut runs = Vec::with_capacity(pairs.len());
    for (metric, measures) in pairs {
        if !measures.is_empty() {
            let policy = metrics::policy_of(state, &metric).await?;
            runs.push(Run { metric: metric.id, policy, measures });
        }
    }
    measures::append(state, runs).await
}

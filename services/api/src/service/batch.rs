//! Measures of many metrics in one request.

use std::ops::Range;

use nephos_identity::policy::metrics as rules;
use nephos_identity::{Caller, Rule, Target};
use nephos_index::{EnsureMetric, KnownMetrics};
use nephos_metric_store::Batch;
use nephos_model::{MetricId, ResourceId};
use nephos_wire::gnocchi::scan::{ByMetric, Columns};
use serde_json::{Value, json};

use super::problem::demand;
use super::{Problem, measures, resources, search};
use crate::limits;
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
    /// Where its measures are in the batch's columns.
    pub measures: Range<usize>,
}

/// Measures of the metrics of one resource.
#[derive(Clone, Debug)]
pub struct ResourceRuns {
    /// The resource.
    pub id: ResourceId,
    /// Its id as sent.
    pub original_id: String,
    /// Per metric; no name stands twice.
    pub runs: Vec<NamedRun>,
}

/// Measures by resource and metric name.
#[derive(Clone, Debug)]
pub struct NamedBatch {
    /// Resources; none stands twice.
    pub resources: Vec<ResourceRuns>,
    /// All measures.
    pub columns: Columns,
}

/// Takes measures by metric id: all or nothing. No id may stand twice.
pub async fn by_metric(state: &ApiState, caller: &Caller, batch: ByMetric) -> Result<(), Problem> {
    let ByMetric { ids, ends, columns } = batch;
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<MetricId> = ids.into_iter().map(MetricId).collect();
    let known = state.index.known_metrics(&ids).await?;
    demand_known(&ids, &known)?;
    measures::demand_posts(caller, &known)?;
    limits::demand_points(state, caller, columns.values.len())?;
    // Nothing is left out here: all are known.
    let policies = known.kinds.iter().map(|kind| &kind.policy);
    let runs = ids.iter().zip(known.metrics.iter().flatten()).zip(ends);
    let runs = runs.map(|((id, kind), end)| (*id, kind.index(), end));
    let batch = Batch::from_columns(columns.timestamps, columns.values, policies, runs);
    measures::append(state, batch).await
}

fn demand_known(ids: &[MetricId], known: &KnownMetrics) -> Result<(), Problem> {
    if known.metrics.iter().all(Option::is_some) {
        return Ok(());
    }
    let unknown = ids.iter().zip(&known.metrics).filter(|(_, kind)| kind.is_none());
    let mut unknown: Vec<String> = unknown.map(|(id, _)| id.to_string()).collect();
    unknown.sort_unstable();
    Err(Problem::Bad(format!("Unknown metrics: {}", unknown.join(", "))))
}

/// Takes measures by resource and metric name: all or nothing. With `create`, metrics that are not there are created.
pub async fn by_resource(
    state: &ApiState,
    caller: &Caller,
    batch: NamedBatch,
    create: bool,
) -> Result<(), Problem> {
    let mut found = Found::default();
    let mut absent = Vec::new();
    let runs =
        batch.resources.iter().flat_map(|resource| resource.runs.iter().map(move |run| (resource, run)));
    let places: Vec<_> = runs.map(|(resource, run)| (resource.id, run.name.as_str())).collect();
    let mut ids = state.index.known_by_name(&places).await?.into_iter();
    drop(places);
    for mut resource in batch.resources {
        let mut left = Vec::new();
        for run in resource.runs {
            match ids.next().flatten() {
                Some(id) => found.push(id, run.measures),
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
    measures::demand_posts(caller, &state.index.known_metrics(&found.ids).await?)?;
    limits::demand_points(state, caller, batch.columns.values.len())?;
    create_absent(state, caller, absent, &mut found).await?;
    let known = state.index.known_metrics(&found.ids).await?;
    measures::demand_posts(caller, &known)?;
    let mut runs = Batch::with_capacity(found.ids.len(), batch.columns.values.len());
    for ((id, kind), range) in found.ids.iter().zip(known.each()).zip(found.ranges) {
        // One that was deleted meanwhile takes no measures.
        let Some(kind) = kind else { continue };
        let timestamps = batch.columns.timestamps.get(range.clone()).unwrap_or_default();
        runs.push_columns(*id, &kind.policy, timestamps, batch.columns.values.get(range).unwrap_or_default());
    }
    measures::append(state, runs).await
}

/// Metrics that are there, and where their measures are.
#[derive(Debug, Default)]
struct Found {
    ids: Vec<MetricId>,
    ranges: Vec<Range<usize>>,
}

impl Found {
    fn push(&mut self, id: MetricId, measures: Range<usize>) {
        self.ids.push(id);
        self.ranges.push(measures);
    }
}

fn unknown_metrics(absent: &[ResourceRuns]) -> Problem {
    let names = absent.iter().flat_map(|resource| resource.runs.iter().map(move |run| (resource, run)));
    let mut names: Vec<String> =
        names.map(|(resource, run)| format!("{}/{}", resource.id, run.name)).collect();
    names.sort_unstable();
    Problem::Bad(format!("Unknown metrics: {}", names.join(", ")))
}

/// Creates the metrics, or finds those that somebody else creates meanwhile; every resource must exist and be the
/// caller's to change.
async fn create_absent(
    state: &ApiState,
    caller: &Caller,
    absent: Vec<ResourceRuns>,
    found: &mut Found,
) -> Result<(), Problem> {
    if absent.is_empty() {
        return Ok(());
    }
    let there = search::resources_by_id(state, absent.iter().map(|resource| resource.id)).await?;
    let mut unknown: Vec<Value> = Vec::new();
    for resource in &absent {
        match there.get(&resource.id) {
            Some(found) => demand(rules::UPDATE_RESOURCE, caller, &resources::target_of(found))?,
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
    let (mut wanted, mut ranges) = (Vec::new(), Vec::new());
    for ResourceRuns { id, runs, .. } in absent {
        for NamedRun { name, archive_policy_name, unit, measures } in runs {
            wanted.push(EnsureMetric { resource_id: id, name, unit, archive_policy_name });
            ranges.push(measures);
        }
    }
    demand(Rule::CreateMetric, caller, &Target::default())?;
    // If one has no policy, none is created.
    for EnsureMetric { archive_policy_name, name, .. } in &wanted {
        let policy = state.index.policy_for(archive_policy_name.as_deref(), name).await;
        policy.map_err(Problem::in_body)?;
    }
    let room = limits::reserve(state, caller, wanted.len() as u64, 0).await?;
    let now = state.clock.now();
    let ensured = state.index.ensure(caller.creator.as_deref(), &[], &wanted, now).await?;
    for (ensured, range) in ensured.into_iter().zip(ranges) {
        found.push(ensured.map_err(Problem::in_body)?.metric.id, range);
    }
    room.keep();
    Ok(())
}

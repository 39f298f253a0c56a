//! Measures that other systems send in their own words: what they name is made where it is not there, and everything of
//! a request goes to the store at once.
//!
//! Unlike the batches of Gnocchi's API, nothing good is refused for what stands beside it: senders of these protocols do
//! not come back with what was refused.

mod types;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use nephos_identity::{Caller, Rule, Target};
use nephos_index::{EnsureMetric, EnsureResource, IndexError};
use nephos_metric_store::Batch;
use nephos_model::{MetricId, ResourceId};
use nephos_timeseries::ArchivePolicy;
use nephos_wire::gather::{Gathered, GatheredMetric, GatheredResource};
use nephos_wire::gnocchi::resource_id;
use nephos_wire::gnocchi::scan::Columns;

use super::problem::demand;
use super::{Problem, measures, resources, search};
use crate::instrument;
use crate::limits;
use crate::state::ApiState;

pub use types::create_type;

/// Metrics that are made in one transaction, at most.
const AT_ONCE: usize = 2_000;

/// Where measures go.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// Type of resources that are made. Resources that are there must have it, unless it is `generic`.
    pub resource_type: &'a str,
    /// Whether the type is that of Prometheus' targets, made where it is not there.
    pub is_prometheus: bool,
    /// Policy of metrics that are made; otherwise by rule.
    pub archive_policy_name: Option<&'a str>,
    /// User and project of resources that are made.
    pub owner: (Option<&'a str>, Option<&'a str>),
}

impl<'a> Destination<'a> {
    /// A type of resources, nothing else being said.
    pub fn of_type(resource_type: &'a str) -> Self {
        Self { resource_type, is_prometheus: false, archive_policy_name: None, owner: (None, None) }
    }

    /// Prometheus' targets.
    pub fn prometheus() -> Self {
        Self { is_prometheus: true, ..Self::of_type(types::PROMETHEUS) }
    }
}

/// What became of measures.
#[derive(Debug, Default)]
pub struct Taken {
    /// Measures that are durable now.
    pub accepted: u64,
    /// Measures that came later than their policies allow.
    pub late: u64,
    /// Measures of metrics that the caller may not write to, or that could not be made.
    pub refused: u64,
    /// Why the first of these was refused.
    pub problem: Option<Problem>,
}

impl Taken {
    /// Adds what became of further measures of the same request.
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.late += other.late;
        self.refused += other.refused;
        self.problem = self.problem.take().or(other.problem);
    }
}

/// A metric of the request, on its way to the store.
struct Run<'a> {
    resource: ResourceId,
    of: &'a GatheredResource,
    metric: &'a GatheredMetric,
    /// Where it goes, once that is known.
    to: Option<(MetricId, Arc<ArchivePolicy>)>,
    is_refused: bool,
}

impl Run<'_> {
    fn refuse(&mut self, taken: &mut Taken, problem: Problem) {
        self.is_refused = true;
        taken.refused += self.metric.points.len() as u64;
        taken.problem.get_or_insert(problem);
    }
}

/// Takes measures; what was accepted is durable when it returns.
pub async fn take(
    state: &ApiState,
    caller: &Caller,
    destination: &Destination<'_>,
    gathered: Gathered,
) -> Result<Taken, Problem> {
    let Gathered { resources, columns } = gathered;
    let mut taken = Taken::default();
    let mut runs = runs(&resources, caller)?;
    if runs.is_empty() {
        return Ok(taken);
    }
    limits::demand_points(state, caller, columns.values.len())?;
    find(state, caller, &mut runs, &mut taken).await?;
    if runs.iter().any(|run| run.to.is_none() && !run.is_refused) {
        make(state, caller, destination, &mut runs, &mut taken).await?;
    }
    let batch = batch(runs, columns);
    if !batch.is_empty() {
        let report = state.store.append(Arc::new(batch)).await?;
        (taken.accepted, taken.late) = (report.accepted, report.late);
        instrument::measures(report.accepted, report.late);
    }
    Ok(taken)
}

/// The metrics that have points.
fn runs<'a>(resources: &'a [GatheredResource], caller: &Caller) -> Result<Vec<Run<'a>>, Problem> {
    let mut runs = Vec::with_capacity(resources.iter().map(|resource| resource.metrics.len()).sum());
    for of in resources {
        let resource = resource_id(&of.id, caller.creator.as_deref());
        let resource = resource.map_err(|error| Problem::Bad(error.to_string()))?;
        let metrics = of.metrics.iter().filter(|metric| !metric.points.is_empty());
        runs.extend(metrics.map(|metric| Run { resource, of, metric, to: None, is_refused: false }));
    }
    Ok(runs)
}

/// Finds the metrics that are there, without a statement of SQL where they were asked for before.
async fn find(
    state: &ApiState,
    caller: &Caller,
    runs: &mut [Run<'_>],
    taken: &mut Taken,
) -> Result<(), Problem> {
    let places: Vec<_> = runs.iter().map(|run| (run.resource, run.metric.name.as_str())).collect();
    let there = state.index.known_by_name(&places).await?;
    drop(places);
    let ids: Vec<MetricId> = there.iter().copied().flatten().collect();
    let known = state.index.known_metrics(&ids).await?;
    let may: Vec<bool> = known
        .kinds
        .iter()
        .map(|kind| measures::demand_on(Rule::PostMeasures, caller, kind).is_ok())
        .collect();
    let found = runs.iter_mut().zip(there).filter_map(|(run, id)| Some((run, id?)));
    for ((run, id), kind) in found.zip(&known.metrics) {
        // One that was deleted meanwhile is made anew.
        let Some(kind) = kind.map(|kind| kind.index()) else { continue };
        match (known.kinds.get(kind), may.get(kind)) {
            (Some(kind), Some(true)) => run.to = Some((id, Arc::clone(&kind.policy))),
            _ => run.refuse(taken, Problem::Forbidden),
        }
    }
    Ok(())
}

/// Makes what is not there: the metrics that were not found, and their resources.
async fn make(
    state: &ApiState,
    caller: &Caller,
    destination: &Destination<'_>,
    runs: &mut [Run<'_>],
    taken: &mut Taken,
) -> Result<(), Problem> {
    let mut absent: Vec<&mut Run<'_>> =
        runs.iter_mut().filter(|run| run.to.is_none() && !run.is_refused).collect();
    let there = search::resources_by_id(state, absent.iter().map(|run| run.resource)).await?;
    let mut new: BTreeSet<ResourceId> = BTreeSet::new();
    for run in &mut absent {
        match there.get(&run.resource) {
            None => drop(new.insert(run.resource)),
            Some(found)
                if destination.resource_type != "generic"
                    && found.resource_type != destination.resource_type =>
            {
                run.refuse(taken, Problem::ResourceExists(found.id));
            }
            Some(found) => {
                if let Err(problem) = demand(Rule::UpdateResource, caller, &resources::target_of(found)) {
                    run.refuse(taken, problem);
                }
            }
        }
    }
    absent.retain(|run| !run.is_refused);
    let resource_type = if new.is_empty() {
        None
    } else {
        let labels = absent.iter().filter(|run| new.contains(&run.resource));
        let labels = labels.flat_map(|run| run.of.attributes.iter().map(|(name, _)| name.as_str()));
        let attributes = types::attribute_names(labels);
        Some(types::ready(state, caller, destination, attributes).await?)
    };
    for some in absent.chunks_mut(AT_ONCE) {
        let mut resources: Vec<EnsureResource> = Vec::new();
        for run in some.iter().filter(|run| new.contains(&run.resource)) {
            if resources.last().is_none_or(|last| last.id != run.resource) {
                resources.push(EnsureResource {
                    resource_type: destination.resource_type.to_owned(),
                    id: run.resource,
                    original_resource_id: run.of.id.clone(),
                    user_id: destination.owner.0.map(str::to_owned),
                    project_id: destination.owner.1.map(str::to_owned),
                    attributes: types::fitting(resource_type.as_deref(), &run.of.attributes),
                    ended_at: None,
                });
            }
        }
        make_some(state, caller, destination, &resources, some, taken).await?;
    }
    Ok(())
}

async fn make_some(
    state: &ApiState,
    caller: &Caller,
    destination: &Destination<'_>,
    resources: &[EnsureResource],
    runs: &mut [&mut Run<'_>],
    taken: &mut Taken,
) -> Result<(), Problem> {
    let wanted = runs.iter().map(|run| EnsureMetric {
        resource_id: run.resource,
        name: run.metric.name.clone(),
        unit: run.metric.unit.clone(),
        archive_policy_name: destination.archive_policy_name.map(str::to_owned),
    });
    let wanted: Vec<EnsureMetric> = wanted.collect();
    let room = match room(state, caller, wanted.len() as u64, resources.len() as u64).await {
        Ok(room) => room,
        Err(error @ Problem::Index(_)) => return Err(error),
        Err(problem) => {
            refuse_all(runs, taken, problem);
            return Ok(());
        }
    };
    let now = state.clock.now().to_micros_precision();
    let ensured = state.index.ensure(caller.creator.as_deref(), resources, &wanted, now).await?;
    room.keep();
    for (run, ensured) in runs.iter_mut().zip(ensured) {
        match ensured {
            Ok(ensured) => run.to = Some((ensured.metric.id, ensured.policy)),
            Err(error @ IndexError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => run.refuse(taken, Problem::in_body(error)),
        }
    }
    Ok(())
}

/// Room for what is made, if the caller may make it.
async fn room(
    state: &ApiState,
    caller: &Caller,
    metrics: u64,
    resources: u64,
) -> Result<limits::Reserved, Problem> {
    demand(Rule::CreateMetric, caller, &Target::default())?;
    if resources > 0 {
        demand(Rule::CreateResource, caller, &Target::default())?;
    }
    limits::reserve(state, caller, metrics, resources).await
}

/// Refuses all of these, the first of them with the reason.
fn refuse_all(runs: &mut [&mut Run<'_>], taken: &mut Taken, problem: Problem) {
    let mut problem = Some(problem);
    for run in runs {
        run.is_refused = true;
        taken.refused += run.metric.points.len() as u64;
        taken.problem = taken.problem.take().or_else(|| problem.take());
    }
}

/// One batch of everything that goes somewhere. Nearly always that is everything, which is not copied then.
fn batch(runs: Vec<Run<'_>>, columns: Columns) -> Batch {
    let to: Vec<(MetricId, Arc<ArchivePolicy>, Range<usize>)> = runs
        .into_iter()
        .filter(|run| !run.is_refused)
        .filter_map(|run| run.to.map(|(id, policy)| (id, policy, run.metric.points.clone())))
        .collect();
    let points: usize = to.iter().map(|(.., points)| points.len()).sum();
    if points == columns.values.len() {
        let policies = to.iter().map(|(_, policy, _)| policy);
        let runs = to.iter().enumerate().map(|(place, (id, _, points))| (*id, place, points.end));
        return Batch::from_columns(columns.timestamps, columns.values, policies, runs);
    }
    let mut batch = Batch::with_capacity(to.len(), points);
    for (id, policy, points) in to {
        let timestamps = columns.timestamps.get(points.clone()).unwrap_or_default();
        batch.push_columns(id, &policy, timestamps, columns.values.get(points).unwrap_or_default());
    }
    batch
}

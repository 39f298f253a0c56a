//! Metrics: finding, permission, creation, listing, deletion.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_identity::policy::{created_by, metrics as rules};
use nephos_identity::{Caller, Rule, Sight, Target, allows};
use nephos_index::{Index, IndexError, MetricFilter, NewMetric, Page};
use nephos_metric_store::{Adoption, MetricStore, StoreError};
use nephos_model::{Metric, MetricId, Resource, ResourceId};
use nephos_timeseries::ArchivePolicy;
use nephos_wire::gnocchi::parse_uuid;

use super::Problem;
use super::problem::demand;
use crate::gnocchi::bodies::{MetricSpec, check_metric_name};
use crate::state::ApiState;
use crate::{instrument, limits};

/// The metric that a path names by its UUID.
pub async fn by_id(state: &ApiState, text: &str) -> Result<Metric, Problem> {
    let missing = || Problem::missing("Metric", text);
    let id = parse_uuid(text).map(MetricId).ok_or_else(missing)?;
    state.index.metric(id).await?.ok_or_else(missing)
}

/// The metric that a path names by a resource and its name there.
pub async fn by_name(
    state: &ApiState,
    resource_type: &str,
    id: ResourceId,
    name: &str,
) -> Result<Metric, Problem> {
    match state.index.resource_metric(id, name).await? {
        // The metric alone does not tell of what type its resource is.
        Some(metric) if resource_type == "generic" => Ok(metric),
        found => {
            let resource = state.index.resource(resource_type, id).await?;
            resource.ok_or_else(|| Problem::missing("Resource", id))?;
            found.ok_or_else(|| Problem::missing("Metric", name))
        }
    }
}

/// `Forbidden` unless the caller may do to the metric what `rule` is about. Its resource is looked up only where
/// everything else refuses.
pub async fn demand_on(
    state: &ApiState,
    rule: Rule,
    caller: &Caller,
    metric: &Metric,
) -> Result<(), Problem> {
    let target = Target { creator: metric.creator.as_deref(), ..Target::default() };
    if allows(rule, caller, &target) {
        return Ok(());
    }
    let resource = resource_of(state, metric).await?;
    let project_id = resource.as_ref().and_then(|resource| resource.project_id.as_deref());
    demand(rule, caller, &Target { project_id, ..target })
}

/// The resource a metric belongs to.
pub async fn resource_of(state: &ApiState, metric: &Metric) -> Result<Option<Resource>, Problem> {
    match metric.resource_id {
        Some(id) => Ok(state.index.resource("generic", id).await?),
        None => Ok(None),
    }
}

/// The policy of a metric.
pub async fn policy_of(state: &ApiState, metric: &Metric) -> Result<Arc<ArchivePolicy>, Problem> {
    let policy = state.index.archive_policy(&metric.archive_policy_name).await?;
    policy.ok_or_else(|| Problem::missing("Archive policy", &metric.archive_policy_name))
}

/// Creates a metric. One on a resource needs the permission to change that resource.
pub async fn create(state: &ApiState, caller: &Caller, spec: &MetricSpec) -> Result<Metric, Problem> {
    demand(Rule::CreateMetric, caller, &Target::default())?;
    if let Some(name) = &spec.name {
        check_metric_name(name).map_err(|text| Problem::Bad(text.to_owned()))?;
    }
    if let Some(resource_id) = spec.resource_id {
        if spec.name.is_none() {
            return Err(Problem::Detailed {
                missing: false,
                cause: "Attribute value error",
                reason: Some("Name cannot be null if resource_id is not null".to_owned()),
                detail: "name".into(),
            });
        }
        let resource = state.index.resource("generic", resource_id).await?;
        let resource = resource.ok_or_else(|| Problem::missing("Resource", resource_id))?;
        demand(rules::UPDATE_RESOURCE, caller, &super::resources::target_of(&resource))?;
    }
    let room = limits::reserve(state, caller, 1, 0).await?;
    let metric = NewMetric {
        id: MetricId::made_at(state.clock.now()),
        creator: caller.creator.clone(),
        name: spec.name.clone(),
        unit: spec.unit.clone(),
        resource_id: spec.resource_id,
        archive_policy_name: spec.archive_policy_name.clone(),
    };
    match state.index.create_metric(&metric).await {
        Ok(metric) => {
            room.keep();
            Ok(metric)
        }
        Err(IndexError::AlreadyExists { .. }) => Err(Problem::Detailed {
            missing: false,
            cause: "Named metric already exists",
            reason: None,
            detail: spec.name.clone().into(),
        }),
        Err(error) => Err(Problem::in_body(error)),
    }
}

/// A page of metrics that the caller may see.
pub async fn list(
    state: &ApiState,
    caller: &Caller,
    filter: MetricFilter,
    page: &Page,
) -> Result<Vec<Metric>, Problem> {
    let sight = super::resources::sight(state, Rule::ListMetric, caller)?;
    if sight.all {
        return Ok(state.index.metrics(&filter, page).await?);
    }
    let project = caller.project_id.as_deref().filter(|project| !project.is_empty());
    let is_of_project =
        caller.creator.as_deref().is_none_or(|creator| Some(created_by(creator).1) == project);
    if sight.of_project && sight.created_in_project && is_of_project {
        let visible_to = project.map(str::to_owned);
        return Ok(state.index.metrics(&MetricFilter { visible_to, ..filter }, page).await?);
    }
    list_few(state, caller, sight, &filter, page.clone()).await
}

/// The same for rules and callers that the index knows nothing of: whatever there is, without what may not be seen.
async fn list_few(
    state: &ApiState,
    caller: &Caller,
    sight: Sight,
    filter: &MetricFilter,
    mut page: Page,
) -> Result<Vec<Metric>, Problem> {
    let limit = page.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut seen: Vec<Metric> = Vec::new();
    loop {
        let some = state.index.metrics(filter, &page).await?;
        let last = some.len() < limit;
        page.marker = some.last().map(|metric| metric.id.to_string());
        seen.extend(visible(state, caller, sight, some).await?);
        if last || seen.len() >= limit {
            seen.truncate(limit);
            return Ok(seen);
        }
    }
}

/// Those of some metrics that the caller may see. Their resources are looked up at once, and only where nothing else lets
/// the caller see a metric.
async fn visible(
    state: &ApiState,
    caller: &Caller,
    sight: Sight,
    some: Vec<Metric>,
) -> Result<Vec<Metric>, Problem> {
    let own = |metric: &Metric| super::resources::is_own(sight, caller, metric.creator.as_deref());
    let asked = some.iter().filter(|metric| sight.of_project && !own(metric));
    let resources =
        super::search::resources_by_id(state, asked.filter_map(|metric| metric.resource_id)).await?;
    let of_project = |metric: &Metric| {
        let resource = metric.resource_id.and_then(|id| resources.get(&id));
        resource.is_some_and(|resource| {
            caller.project_id.is_some() && resource.project_id == caller.project_id
                || super::resources::is_own(sight, caller, resource.creator.as_deref())
        })
    };
    Ok(some.into_iter().filter(|metric| own(metric) || of_project(metric)).collect())
}

/// The policies of some metrics, by name. A policy cannot go while a metric has it: one that is not there was deleted with
/// its metrics just now.
pub async fn policies_of(
    state: &ApiState,
    metrics: &[Metric],
) -> Result<BTreeMap<String, Arc<ArchivePolicy>>, Problem> {
    let mut policies = BTreeMap::new();
    for metric in metrics {
        let name = &metric.archive_policy_name;
        if !policies.contains_key(name) {
            policies.insert(name.clone(), state.index.archive_policy(name).await?);
        }
    }
    Ok(policies.into_iter().filter_map(|(name, policy)| Some((name, policy?))).collect())
}

/// Deletes a metric: hidden at once. If the store cannot forget its data now, housekeeping will.
pub async fn delete(state: &ApiState, metric: &Metric) -> Result<(), Problem> {
    state.index.delete_metric(metric.id).await?;
    forget(state, &[metric.id]).await;
    Ok(())
}

/// A metric, and the policies it had and has.
#[derive(Debug)]
pub struct PolicyChanged {
    /// The metric as it is now.
    pub metric: Metric,
    /// The policy of which what is stored is, apart from the present one; that one if there is no other.
    pub before: Arc<ArchivePolicy>,
    /// The policy it has.
    pub after: Arc<ArchivePolicy>,
}

/// Gives a metric another policy. The index comes first: should the store not hear of it now, then by the next measures
/// or when the same is asked again. What there was before only the store knows, so that who asks again learns the same.
pub async fn change_policy(state: &ApiState, metric: &Metric, name: &str) -> Result<PolicyChanged, Problem> {
    let missing = || Problem::Bad(format!("Archive policy {name} does not exist"));
    let after = state.index.archive_policy(name).await?.ok_or_else(missing)?;
    state.index.change_metric_policy(metric.id, name).await.map_err(|error| match error {
        IndexError::NotFound { what: "archive policy", .. } => missing(),
        other => other.into(),
    })?;
    let before = state.store.adopt(&Adoption { metric: metric.id, policy: Arc::clone(&after) }).await?;
    let before = before.unwrap_or_else(|| Arc::clone(&after));
    let metric = Metric { archive_policy_name: name.to_owned(), ..metric.clone() };
    Ok(PolicyChanged { metric, before, after })
}

/// Has the store forget metrics that the index has let go.
pub async fn forget(state: &ApiState, metrics: &[MetricId]) {
    if metrics.is_empty() {
        return;
    }
    if let Err(error) = state.store.delete(metrics).await {
        tracing::warn!(error = %error, metrics = metrics.len(), "data of deleted metrics stay until housekeeping");
    }
}

/// Why housekeeping stopped; it goes on where it was at its next run.
#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    /// The index did not answer.
    #[error("deleted metrics could not be listed or expunged")]
    Index(#[from] IndexError),
    /// The metric store did not forget.
    #[error("data of deleted metrics could not be removed")]
    Store(#[from] StoreError),
}

/// Removes data and rows of deleted metrics for good; answers how many.
pub async fn housekeeping(index: &dyn Index, store: &dyn MetricStore) -> Result<u64, HousekeepingError> {
    const BATCH: u64 = 1_000;
    let mut removed = 0;
    loop {
        let metrics = index.deleted_metrics(BATCH).await?;
        if metrics.is_empty() {
            return Ok(removed);
        }
        store.delete(&metrics).await?;
        index.expunge_metrics(&metrics).await?;
        removed += metrics.len() as u64;
        instrument::expunged(metrics.len() as u64);
    }
}

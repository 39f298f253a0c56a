//! Resources: permission, creation, change, listing, deletion.

use std::collections::BTreeMap;

use nephos_identity::policy::created_by;
use nephos_identity::{Caller, Rule, Sight, Target};
use nephos_index::{IndexError, NewResource, Page, ResourceMetrics, ResourceSearch, ResourceUpdate};
use nephos_model::{Metric, Resource, ResourceId};
use nephos_wire::gnocchi::{resource_id, time};
use serde_json::Value;

use super::problem::demand;
use super::{Problem, metrics, search, types};
use crate::gnocchi::resource_bodies::{self, ResourceSpec};
use crate::limits;
use crate::state::ApiState;

/// A resource as permissions see it.
pub fn target_of(resource: &Resource) -> Target<'_> {
    Target {
        creator: resource.creator.as_deref(),
        project_id: resource.project_id.as_deref(),
        user_id: resource.user_id.as_deref(),
    }
}

/// The id of the resource that `caller` calls `text` in a path.
pub fn id_of(caller: &Caller, text: &str) -> Result<ResourceId, Problem> {
    resource_id(text, caller.creator.as_deref()).map_err(|_| Problem::missing("Resource", text))
}

/// What of a list the caller may see; `NothingToSee` if that is nothing.
pub fn sight(state: &ApiState, rule: Rule, caller: &Caller) -> Result<Sight, Problem> {
    let sight = Sight::of(rule, caller);
    if sight.is_nothing() {
        return Err(Problem::NothingToSee);
    }
    Ok(if state.identity.filters_lists() { sight } else { Sight::ALL })
}

/// Whether the caller may see what has this creator string, for that alone.
pub fn is_own(sight: Sight, caller: &Caller, creator: Option<&str>) -> bool {
    let Some(creator) = creator else { return false };
    let project = caller.project_id.as_deref().filter(|project| !project.is_empty());
    sight.all
        || sight.created_in_project && project.is_some_and(|project| created_by(creator).1 == project)
        || sight.created && caller.creator.as_deref() == Some(creator)
}

/// A resource that the caller may do to what `rule` is about.
pub async fn get(
    state: &ApiState,
    caller: &Caller,
    rule: Rule,
    resource_type: &str,
    id: ResourceId,
) -> Result<Resource, Problem> {
    types::get(state, resource_type).await?;
    let resource = state.index.resource(resource_type, id).await?;
    let resource = resource.ok_or_else(|| Problem::missing("Resource", id))?;
    demand(rule, caller, &target_of(&resource))?;
    Ok(resource)
}

/// Creates a resource from a body.
pub async fn create(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    body: &Value,
) -> Result<Resource, Problem> {
    let resource_type = types::active(state, type_name).await?;
    demand(Rule::CreateResource, caller, &Target::default())?;
    let now = state.clock.now().to_micros_precision();
    let creator = caller.creator.as_deref();
    let (id, original_resource_id, spec) = resource_bodies::new_resource(body, &resource_type, creator, now)?;
    let resource = NewResource {
        resource_type: resource_type.name.clone(),
        id,
        original_resource_id,
        creator: caller.creator.clone(),
        user_id: spec.user_id.flatten(),
        project_id: spec.project_id.flatten(),
        started_at: spec.started_at.unwrap_or(now),
        ended_at: spec.ended_at,
        attributes: spec.attributes,
        metrics: spec.metrics.unwrap_or_default(),
        now,
    };
    let room = limits::reserve(state, caller, limits::new_metrics(&resource.metrics), 1).await?;
    let created = state.index.create_resource(&resource).await.map_err(Problem::in_body)?;
    room.keep();
    Ok(created)
}

/// Changes a resource as a body says; `{}` changes nothing.
pub async fn update(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    resource: Resource,
    body: &Value,
) -> Result<Resource, Problem> {
    let resource_type = types::active(state, type_name).await?;
    let now = state.clock.now().to_micros_precision();
    let ResourceSpec { user_id, project_id, started_at, ended_at, attributes, metrics } =
        resource_bodies::resource_change(body, &resource_type, now)?;
    let update = ResourceUpdate {
        user_id,
        project_id,
        started_at,
        ended_at: ended_at.map(Some),
        attributes,
        metrics,
        append_metrics: false,
        creator: caller.creator.clone(),
        now,
    };
    let ends = update.ended_at.flatten().or(resource.ended_at);
    let new = update.metrics.as_ref().map_or(0, limits::new_metrics);
    let room = limits::reserve(state, caller, new, 0).await?;
    let updated = state.index.update_resource(type_name, resource.id, &update).await;
    if updated.is_ok() {
        room.keep();
    }
    updated.map_err(|error| match error {
        IndexError::StartAfterEnd => Problem::Bad(format!(
            "Value {} for attribute ended_at on resource type {type_name} is invalid",
            ends.map(time::format).unwrap_or_default()
        )),
        IndexError::NotFound { what: "resource", id } => Problem::missing("Resource", id),
        other => Problem::in_body(other),
    })
}

/// Adds metrics to a resource; answers all it has then.
pub async fn add_metrics(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    id: ResourceId,
    new: BTreeMap<String, ResourceMetrics>,
) -> Result<Vec<Metric>, Problem> {
    let room = limits::reserve(state, caller, limits::new_metrics(&new), 0).await?;
    let update = ResourceUpdate {
        metrics: Some(new),
        append_metrics: true,
        creator: caller.creator.clone(),
        now: state.clock.now().to_micros_precision(),
        ..ResourceUpdate::default()
    };
    state.index.update_resource(type_name, id, &update).await.map_err(|error| match error {
        IndexError::NotFound { what: "resource", id } => Problem::missing("Resource", id),
        other => Problem::in_body(other),
    })?;
    room.keep();
    metrics_of(state, id).await
}

/// The live metrics of a resource.
pub async fn metrics_of(state: &ApiState, id: ResourceId) -> Result<Vec<Metric>, Problem> {
    let filter = nephos_index::MetricFilter { resource_id: Some(id), ..Default::default() };
    Ok(state.index.metrics(&filter, &Page::default()).await?)
}

/// A page of resources that the caller may see.
pub async fn list(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    history: bool,
    page: &Page,
) -> Result<Vec<Resource>, Problem> {
    types::get(state, type_name).await?;
    let sight = sight(state, Rule::ListResource, caller)?;
    if sight.all {
        return Ok(state.index.resources(type_name, history, page).await?);
    }
    let filter = Some(search::seen(sight, caller));
    let now = state.clock.now();
    let search = ResourceSearch { resource_type: type_name.to_owned(), history, filter, now };
    Ok(state.index.search_resources(&search, page).await?)
}

/// The marker of a resource in a listing.
pub fn marker(resource: &Resource, history: bool) -> String {
    if history { format!("{}@{}", resource.id, resource.revision) } else { resource.id.to_string() }
}

/// Deletes a resource with its metrics and history.
pub async fn delete(state: &ApiState, type_name: &str, id: ResourceId) -> Result<(), Problem> {
    let removed = state.index.delete_resource(type_name, id).await?;
    metrics::forget(state, &removed).await;
    Ok(())
}

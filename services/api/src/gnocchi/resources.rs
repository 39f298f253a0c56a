//! `/v1/resource`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::response::Response;
use http::{HeaderMap, Method};
use nephos_identity::policy::metrics as policy;
use nephos_index::Page;
use nephos_model::Resource;
use nephos_wire::gnocchi::Field;
use serde_json::Value;
use utoipa::ToSchema;

use super::views::{MetricView, ResourceView};
use super::{GnocchiRoutes, PAGING, bodies};
use crate::failure::Failure;
use crate::http::conditional::{Outcome, Version};
use crate::http::reply::NextPage;
use crate::http::{Args, BaseUrl, Payload, Segments, reply};
use crate::routes::Doc;
use crate::service::resources;
use crate::state::{ApiState, Who};

pub(super) const TAG: &str = "resources";
pub(super) const DEFAULT_SORT: &[&str] = &["revision_start:asc", "started_at:asc"];

/// A metric to create on a resource; the id of an existing metric may stand in its place.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewNamedMetric {
    /// Policy; otherwise the first rule that matches the name gives one.
    archive_policy_name: Option<String>,
    /// Unit, at most 31 characters.
    unit: Option<String>,
}

/// A change of a resource; the attributes of its type come beside these.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct ResourceChange {
    /// Start of its life.
    started_at: Option<String>,
    /// End of its life.
    ended_at: Option<String>,
    /// Owner's user.
    user_id: Option<String>,
    /// Owner's project.
    project_id: Option<String>,
    /// Metrics by name; replaces them all.
    metrics: Option<HashMap<String, NewNamedMetric>>,
}

/// A resource to create; the attributes of its type come beside these.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewResource {
    /// A UUID, or any text without slashes.
    id: String,
    /// Start of its life; now by default.
    started_at: Option<String>,
    /// End of its life.
    ended_at: Option<String>,
    /// Owner's user.
    user_id: Option<String>,
    /// Owner's project.
    project_id: Option<String>,
    /// Metrics by name.
    metrics: Option<HashMap<String, NewNamedMetric>>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id, summary| Doc::new(id, TAG, summary);
    let routes = routes
        .get(
            "/v1/resource",
            index,
            doc("listResourceUrls", "URL of the resources of every type")
                .gives::<HashMap<String, String>>(200)
                .fails(&[401]),
        )
        .get(
            "/v1/resource/{type}",
            list,
            doc("listResources", "Resources of a type; generic lists all")
                .query(&[
                    ("details", "Whether attributes are shown in a generic list"),
                    ("history", "Whether every revision is listed"),
                    ("attrs", "Only these keys, repeatable"),
                ])
                .query(PAGING)
                .gives::<Vec<ResourceView<'static>>>(200)
                .fails(&[400, 401, 404]),
        )
        .post(
            "/v1/resource/{type}",
            create,
            doc("createResource", "Creates a resource")
                .body::<NewResource>()
                .gives::<ResourceView<'static>>(201)
                .fails(&[400, 401, 404, 409, 415]),
        );
    let one = &[400, 401, 403, 404, 412, 415];
    routes
        .get(
            "/v1/resource/{type}/{id}",
            get,
            doc("getResource", "One resource")
                .gives::<ResourceView<'static>>(200)
                .fails(&[304, 401, 403, 404, 412]),
        )
        .patch(
            "/v1/resource/{type}/{id}",
            update,
            doc("updateResource", "Changes a resource")
                .body::<ResourceChange>()
                .gives::<ResourceView<'static>>(200)
                .fails(one),
        )
        .delete(
            "/v1/resource/{type}/{id}",
            delete,
            doc("deleteResource", "Deletes a resource with its metrics and history")
                .gives_nothing(204)
                .fails(&[401, 403, 404, 412]),
        )
        .get(
            "/v1/resource/{type}/{id}/history",
            history,
            doc("getResourceHistory", "Every revision of a resource")
                .query(PAGING)
                .gives::<Vec<ResourceView<'static>>>(200)
                .fails(&[400, 401, 403, 404]),
        )
        .get(
            "/v1/resource/{type}/{id}/metric",
            list_metrics,
            doc("listResourceMetrics", "Metrics of a resource")
                .gives::<Vec<MetricView<'static>>>(200)
                .fails(&[401, 403, 404]),
        )
        .post(
            "/v1/resource/{type}/{id}/metric",
            add_metrics,
            doc("addResourceMetrics", "Adds metrics to a resource")
                .body::<HashMap<String, NewNamedMetric>>()
                .gives::<Vec<MetricView<'static>>>(200)
                .fails(&[400, 401, 403, 404, 409, 415]),
        )
}

async fn index(State(state): State<Arc<ApiState>>, _: Who, base: BaseUrl) -> Result<Response, Failure> {
    let types = state.index.resource_types().await?;
    let url = |name: &str| base.location(&["v1", "resource", name]);
    reply::ok(&types.iter().map(|found| (found.name.as_str(), url(&found.name))).collect::<BTreeMap<_, _>>())
}

/// Keeps only the keys that were asked for, if any were.
fn only_keys(view: ResourceView<'_>, keys: &[&str]) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(view).map_err(|_| Failure::Internal)?;
    if let Value::Object(map) = &mut value {
        map.retain(|key, _| keys.contains(&key.as_str()));
    }
    Ok(value)
}

pub(super) fn listed(
    found: &[Resource],
    resource_type: &str,
    details: bool,
    keys: &[&str],
) -> Result<Response, Failure> {
    let view = |resource| {
        if details { ResourceView::full(resource) } else { ResourceView::under(resource_type, resource) }
    };
    if keys.is_empty() {
        return reply::ok(&found.iter().map(view).collect::<Vec<_>>());
    }
    let views = found.iter().map(|resource| only_keys(view(resource), keys));
    reply::ok(&views.collect::<Result<Vec<_>, _>>()?)
}

async fn list(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    Segments(resource_type): Segments<String>,
    args: Args,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let details = args.flag("details")?;
    let history = args.flag("history")?;
    let limit = args.limit(state.options.max_limit)?;
    let (sort, keys) = args.sort(DEFAULT_SORT)?;
    let page = Page { limit: Some(limit), marker: args.get("marker").map(str::to_owned), sort: keys };
    let found = resources::list(&state, &caller, &resource_type, history, &page).await?;
    let response = listed(&found, &resource_type, details, &args.all("attrs"))?;
    match found.last() {
        Some(last) if found.len() as u64 >= limit => {
            let next = NextPage { limit, marker: &resources::marker(last, history), sort: &sort };
            Ok(reply::with_next(response, &base, uri.path(), &args, &next))
        }
        _ => Ok(response),
    }
}

async fn create(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    Segments(resource_type): Segments<String>,
    payload: Payload,
) -> Result<Response, Failure> {
    crate::service::types::get(&state, &resource_type).await?;
    let body = payload.json().await?;
    let resource = resources::create(&state, &caller, &resource_type, &body).await?;
    let location = base.location(&["v1", "resource", &resource_type, &resource.id.to_string()]);
    let response = reply::created(&location, &ResourceView::under(&resource_type, &resource))?;
    Ok(Version::of(&resource).label(response))
}

async fn get(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments((resource_type, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = resources::id_of(&caller, &id)?;
    let resource = resources::get(&state, &caller, policy::GET_RESOURCE, &resource_type, id).await?;
    let version = Version::of(&resource);
    if version.check(&Method::GET, &headers)? == Outcome::NotModified {
        return Ok(version.not_modified());
    }
    Ok(version.label(reply::ok(&ResourceView::under(&resource_type, &resource))?))
}

async fn update(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments((resource_type, id)): Segments<(String, String)>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Failure> {
    let id = resources::id_of(&caller, &id)?;
    let resource = resources::get(&state, &caller, policy::UPDATE_RESOURCE, &resource_type, id).await?;
    Version::of(&resource).check(&Method::PATCH, &headers)?;
    let body = payload.json().await?;
    let resource = resources::update(&state, &caller, &resource_type, resource, &body).await?;
    Ok(Version::of(&resource).label(reply::ok(&ResourceView::under(&resource_type, &resource))?))
}

async fn delete(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments((resource_type, id)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = resources::id_of(&caller, &id)?;
    let resource = resources::get(&state, &caller, policy::DELETE_RESOURCE, &resource_type, id).await?;
    Version::of(&resource).check(&Method::DELETE, &headers)?;
    resources::delete(&state, &resource_type, id).await?;
    Ok(reply::no_content())
}

async fn history(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    Segments((resource_type, id)): Segments<(String, String)>,
    args: Args,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let limit = args.limit(state.options.max_limit)?;
    let (sort, keys) = args.sort(DEFAULT_SORT)?;
    let id = resources::id_of(&caller, &id)?;
    resources::get(&state, &caller, policy::GET_RESOURCE, &resource_type, id).await?;
    let page = Page { limit: Some(limit), marker: args.get("marker").map(str::to_owned), sort: keys };
    let found = state.index.resource_history(&resource_type, id, &page).await?;
    let response = listed(&found, &resource_type, false, &args.all("attrs"))?;
    match found.last() {
        Some(last) if found.len() as u64 >= limit => {
            let next = NextPage { limit, marker: &resources::marker(last, true), sort: &sort };
            Ok(reply::with_next(response, &base, uri.path(), &args, &next))
        }
        _ => Ok(response),
    }
}

async fn list_metrics(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments((resource_type, id)): Segments<(String, String)>,
) -> Result<Response, Failure> {
    let id = resources::id_of(&caller, &id)?;
    resources::get(&state, &caller, policy::GET_RESOURCE, &resource_type, id).await?;
    let metrics = resources::metrics_of(&state, id).await?;
    reply::ok(&metrics.iter().map(MetricView::from).collect::<Vec<_>>())
}

async fn add_metrics(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments((resource_type, id)): Segments<(String, String)>,
    payload: Payload,
) -> Result<Response, Failure> {
    let id = resources::id_of(&caller, &id)?;
    resources::get(&state, &caller, policy::UPDATE_RESOURCE, &resource_type, id).await?;
    let body = payload.json().await?;
    let new = bodies::named_metrics(&Field::root(&body))?;
    let metrics = resources::add_metrics(&state, &caller, &resource_type, id, new).await?;
    reply::ok(&metrics.iter().map(MetricView::from).collect::<Vec<_>>())
}

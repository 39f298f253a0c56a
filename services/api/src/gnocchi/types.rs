//! `/v1/resource_type`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::{Rule, Target};
use utoipa::ToSchema;

use super::views::{AttributeView, TypeView};
use super::{GnocchiRoutes, resource_bodies};
use crate::failure::Failure;
use crate::http::{BaseUrl, Payload, Segments, reply};
use crate::routes::Doc;
use crate::service::problem::demand;
use crate::service::types;
use crate::state::{ApiState, Who};

const TAG: &str = "resource types";
const JSON_PATCH: &str = "application/json-patch+json";

/// A resource type to create.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewResourceType {
    /// Its name.
    name: String,
    /// Attributes by name.
    attributes: Option<HashMap<String, AttributeView>>,
}

/// One operation of a JSON patch.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct ResourceTypePatch {
    /// `add` or `remove`.
    op: String,
    /// `/attributes/<name>`.
    path: String,
    /// The attribute; `options.fill` is the value for resources without one.
    value: Option<AttributeView>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id, summary| Doc::new(id, TAG, summary);
    routes
        .get(
            "/v1/resource_type",
            list,
            doc("listResourceTypes", "Every resource type")
                .gives::<Vec<TypeView<'static>>>(200)
                .fails(&[401]),
        )
        .post(
            "/v1/resource_type",
            create,
            doc("createResourceType", "Creates a resource type")
                .body::<NewResourceType>()
                .gives::<TypeView<'static>>(201)
                .fails(&[400, 401, 403, 409, 415]),
        )
        .get(
            "/v1/resource_type/{name}",
            get,
            doc("getResourceType", "One resource type").gives::<TypeView<'static>>(200).fails(&[401, 404]),
        )
        .patch(
            "/v1/resource_type/{name}",
            patch,
            doc("patchResourceType", "Adds, changes and removes attributes")
                .body_of::<Vec<ResourceTypePatch>>(JSON_PATCH)
                .gives::<TypeView<'static>>(200)
                .fails(&[400, 401, 403, 404, 415]),
        )
        .delete(
            "/v1/resource_type/{name}",
            delete,
            doc("deleteResourceType", "Deletes an unused resource type")
                .gives_nothing(204)
                .fails(&[400, 401, 403, 404]),
        )
}

async fn list(State(state): State<Arc<ApiState>>, Who(caller): Who) -> Result<Response, Failure> {
    demand(Rule::ListResourceType, &caller, &Target::default())?;
    let types = state.index.resource_types().await?;
    reply::ok(&types.iter().map(|resource_type| TypeView::from(resource_type.as_ref())).collect::<Vec<_>>())
}

async fn create(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    payload: Payload,
) -> Result<Response, Failure> {
    demand(Rule::CreateResourceType, &caller, &Target::default())?;
    let resource_type = resource_bodies::new_type(&payload.json().await?)?;
    state.index.create_resource_type(&resource_type).await?;
    reply::created(
        &base.location(&["v1", "resource_type", &resource_type.name]),
        &TypeView::from(&resource_type),
    )
}

async fn get(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
) -> Result<Response, Failure> {
    demand(Rule::GetResourceType, &caller, &Target::default())?;
    let resource_type = types::get(&state, &name).await?;
    reply::ok(&TypeView::from(resource_type.as_ref()))
}

async fn patch(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
    payload: Payload,
) -> Result<Response, Failure> {
    types::get(&state, &name).await?;
    demand(Rule::UpdateResourceType, &caller, &Target::default())?;
    let changes = payload.json_of(JSON_PATCH).await?;
    let resource_type = types::patch(&state, &name, &changes).await?;
    reply::ok(&TypeView::from(resource_type.as_ref()))
}

async fn delete(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
) -> Result<Response, Failure> {
    types::get(&state, &name).await?;
    demand(Rule::DeleteResourceType, &caller, &Target::default())?;
    state.index.delete_resource_type(&name).await?;
    Ok(reply::no_content())
}

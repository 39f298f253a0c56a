//! `/v1/archive_policy`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::{Rule, Target};
use utoipa::ToSchema;

use super::views::PolicyView;
use super::{GnocchiRoutes, bodies};
use crate::failure::Failure;
use crate::http::{BaseUrl, Payload, Segments, reply};
use crate::routes::Doc;
use crate::service::policies;
use crate::service::problem::demand;
use crate::state::{ApiState, Who};

const TAG: &str = "archive policies";

/// A granularity to keep: any two of the three, or the granularity alone.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewArchivePolicyItem {
    /// Width of the buckets: seconds or text.
    granularity: Option<String>,
    /// Buckets kept.
    points: Option<u64>,
    /// Time they cover: seconds or text.
    timespan: Option<String>,
}

/// An archive policy to create.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewArchivePolicy {
    /// Its name.
    name: String,
    /// How many of the coarsest buckets still take late measures; 0 by default.
    back_window: Option<u32>,
    /// At least one granularity.
    definition: Vec<NewArchivePolicyItem>,
    /// Names, `*`, `-name`, `+name`.
    aggregation_methods: Option<Vec<String>>,
}

/// A change of an archive policy.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct ArchivePolicyChange {
    /// The same granularities, with other points or timespans.
    definition: Vec<NewArchivePolicyItem>,
    /// How many of the coarsest buckets still take late measures.
    back_window: Option<u32>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id, summary| Doc::new(id, TAG, summary);
    routes
        .get(
            "/v1/archive_policy",
            list,
            doc("listArchivePolicies", "Every archive policy").gives::<Vec<PolicyView>>(200).fails(&[401]),
        )
        .post(
            "/v1/archive_policy",
            create,
            doc("createArchivePolicy", "Creates an archive policy")
                .body::<NewArchivePolicy>()
                .gives::<PolicyView>(201)
                .fails(&[400, 401, 403, 409, 415]),
        )
        .get(
            "/v1/archive_policy/{name}",
            get,
            doc("getArchivePolicy", "One archive policy").gives::<PolicyView>(200).fails(&[401, 404]),
        )
        .patch(
            "/v1/archive_policy/{name}",
            update,
            doc("updateArchivePolicy", "Changes points, timespans and back window")
                .body::<ArchivePolicyChange>()
                .gives::<PolicyView>(200)
                .fails(&[400, 401, 403, 404, 415]),
        )
        .delete(
            "/v1/archive_policy/{name}",
            delete,
            doc("deleteArchivePolicy", "Deletes an unused archive policy")
                .gives_nothing(204)
                .fails(&[400, 401, 403, 404]),
        )
}

async fn list(State(state): State<Arc<ApiState>>, Who(caller): Who) -> Result<Response, Failure> {
    demand(Rule::ListArchivePolicy, &caller, &Target::default())?;
    let policies = state.index.archive_policies().await?;
    reply::ok(&policies.iter().map(|policy| PolicyView::from(policy.as_ref())).collect::<Vec<_>>())
}

async fn create(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    payload: Payload,
) -> Result<Response, Failure> {
    demand(Rule::CreateArchivePolicy, &caller, &Target::default())?;
    let spec = bodies::policy(&payload.json().await?)?;
    let policy = policies::create(&state, &spec).await?;
    reply::created(&base.location(&["v1", "archive_policy", &policy.name]), &PolicyView::from(&policy))
}

async fn get(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
) -> Result<Response, Failure> {
    demand(Rule::GetArchivePolicy, &caller, &Target::default())?;
    let policy = policies::get(&state, &name).await?;
    reply::ok(&PolicyView::from(policy.as_ref()))
}

async fn update(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
    payload: Payload,
) -> Result<Response, Failure> {
    policies::get(&state, &name).await?;
    demand(Rule::UpdateArchivePolicy, &caller, &Target::default())?;
    let change = bodies::policy_change(&payload.json().await?)?;
    let policy = policies::update(&state, &name, &change).await?;
    reply::ok(&PolicyView::from(policy.as_ref()))
}

async fn delete(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
) -> Result<Response, Failure> {
    demand(Rule::DeleteArchivePolicy, &caller, &Target::default())?;
    state.index.delete_archive_policy(&name).await?;
    Ok(reply::no_content())
}

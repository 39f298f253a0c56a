//! `/v1/archive_policy_rule`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::{Rule, Target};
use utoipa::ToSchema;

use super::views::RuleView;
use super::{GnocchiRoutes, bodies};
use crate::failure::Failure;
use crate::http::{BaseUrl, Payload, Segments, reply};
use crate::routes::Doc;
use crate::service::policies;
use crate::service::problem::demand;
use crate::state::{ApiState, Who};

const TAG: &str = "archive policy rules";

/// A new name.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewName {
    /// The name.
    name: String,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id, summary| Doc::new(id, TAG, summary);
    routes
        .get(
            "/v1/archive_policy_rule",
            list,
            doc("listArchivePolicyRules", "Every rule, in the order of matching")
                .gives::<Vec<RuleView<'static>>>(200)
                .fails(&[401]),
        )
        .post(
            "/v1/archive_policy_rule",
            create,
            doc("createArchivePolicyRule", "Creates a rule")
                .body::<RuleView<'static>>()
                .gives::<RuleView<'static>>(201)
                .fails(&[400, 401, 403, 409, 415]),
        )
        .get(
            "/v1/archive_policy_rule/{name}",
            get,
            doc("getArchivePolicyRule", "One rule").gives::<RuleView<'static>>(200).fails(&[401, 404]),
        )
        .patch(
            "/v1/archive_policy_rule/{name}",
            rename,
            doc("renameArchivePolicyRule", "Renames a rule")
                .body::<NewName>()
                .gives::<RuleView<'static>>(200)
                .fails(&[400, 401, 403, 404, 415]),
        )
        .delete(
            "/v1/archive_policy_rule/{name}",
            delete,
            doc("deleteArchivePolicyRule", "Deletes a rule").gives_nothing(204).fails(&[401, 403, 404]),
        )
}

async fn list(State(state): State<Arc<ApiState>>, Who(caller): Who) -> Result<Response, Failure> {
    demand(Rule::ListArchivePolicyRule, &caller, &Target::default())?;
    let rules = state.index.rules().await?;
    reply::ok(&rules.iter().map(RuleView::from).collect::<Vec<_>>())
}

async fn create(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    payload: Payload,
) -> Result<Response, Failure> {
    demand(Rule::CreateArchivePolicyRule, &caller, &Target::default())?;
    let rule = bodies::rule(&payload.json().await?)?;
    policies::create_rule(&state, &rule).await?;
    reply::created(&base.location(&["v1", "archive_policy_rule", &rule.name]), &RuleView::from(&rule))
}

async fn get(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
) -> Result<Response, Failure> {
    demand(Rule::GetArchivePolicyRule, &caller, &Target::default())?;
    reply::ok(&RuleView::from(&policies::rule(&state, &name).await?))
}

async fn rename(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
    payload: Payload,
) -> Result<Response, Failure> {
    policies::rule(&state, &name).await?;
    demand(Rule::UpdateArchivePolicyRule, &caller, &Target::default())?;
    let new_name = bodies::rule_name(&payload.json().await?)?;
    reply::ok(&RuleView::from(&policies::rename_rule(&state, &name, &new_name).await?))
}

async fn delete(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(name): Segments<String>,
) -> Result<Response, Failure> {
    demand(Rule::DeleteArchivePolicyRule, &caller, &Target::default())?;
    state.index.delete_rule(&name).await?;
    Ok(reply::no_content())
}

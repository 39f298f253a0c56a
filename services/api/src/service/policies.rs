//! Archive policies and their rules.

use std::sync::Arc;

use nephos_index::{IndexError, PolicyRule};
use nephos_timeseries::{ArchivePolicy, PolicyError};

use super::Problem;
use crate::gnocchi::bodies::{PolicyChange, PolicySpec};
use crate::state::ApiState;

fn refused(error: PolicyError) -> Problem {
    Problem::Bad(error.to_string())
}

/// Creates a policy.
pub async fn create(state: &ApiState, spec: &PolicySpec) -> Result<ArchivePolicy, Problem> {
    let defaults = &state.options.default_aggregation_methods;
    let policy =
        ArchivePolicy::new(spec.name.as_str(), spec.back_window, &spec.definition, &spec.methods, defaults)
            .map_err(refused)?;
    state.index.create_archive_policy(&policy).await?;
    Ok(policy)
}

/// One policy.
pub async fn get(state: &ApiState, name: &str) -> Result<Arc<ArchivePolicy>, Problem> {
    state.index.archive_policy(name).await?.ok_or_else(|| Problem::missing("Archive policy", name))
}

/// Changes points, timespans and back window of a policy.
pub async fn update(
    state: &ApiState,
    name: &str,
    change: &PolicyChange,
) -> Result<Arc<ArchivePolicy>, Problem> {
    let definition = nephos_timeseries::policy::resolve_definition(&change.definition).map_err(refused)?;
    Ok(state.index.update_archive_policy(name, &definition, change.back_window).await?)
}

/// Creates a rule; its policy must exist.
pub async fn create_rule(state: &ApiState, rule: &PolicyRule) -> Result<(), Problem> {
    match state.index.create_rule(rule).await {
        Err(IndexError::NotFound { id, .. }) => Err(Problem::Detailed {
            missing: false,
            cause: "Archive policy does not exist",
            reason: None,
            detail: id.into(),
        }),
        other => Ok(other?),
    }
}

/// One rule.
pub async fn rule(state: &ApiState, name: &str) -> Result<PolicyRule, Problem> {
    state.index.rule(name).await?.ok_or_else(|| Problem::missing("Archive policy rule", name))
}

/// Renames a rule.
pub async fn rename_rule(state: &ApiState, name: &str, new_name: &str) -> Result<PolicyRule, Problem> {
    match state.index.rename_rule(name, new_name).await {
        Err(IndexError::AlreadyExists { .. }) => {
            Err(Problem::Bad(format!("Archive policy rule {new_name} already exists.")))
        }
        other => Ok(other?),
    }
}

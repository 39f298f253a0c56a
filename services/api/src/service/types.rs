//! Resource types.

use std::sync::Arc;

use nephos_model::{ResourceType, ResourceTypeState};
use serde_json::Value;

use super::Problem;
use crate::gnocchi::type_patch;
use crate::state::ApiState;

/// One type.
pub async fn get(state: &ApiState, name: &str) -> Result<Arc<ResourceType>, Problem> {
    state.index.resource_type(name).await?.ok_or_else(|| Problem::missing("Resource type", name))
}

/// One type that resources can be put under.
pub async fn active(state: &ApiState, name: &str) -> Result<Arc<ResourceType>, Problem> {
    let resource_type = get(state, name).await?;
    if resource_type.state == ResourceTypeState::Active {
        return Ok(resource_type);
    }
    let found = resource_type.state.as_str();
    Err(Problem::Bad(format!("Resource type {name} state is {found} (expected: active)")))
}

/// Applies a JSON patch; one that changes nothing leaves the type as it is.
pub async fn patch(state: &ApiState, name: &str, patch: &Value) -> Result<Arc<ResourceType>, Problem> {
    let resource_type = get(state, name).await?;
    let changes = type_patch::changes(patch, &resource_type, state.clock.now())?;
    if changes.is_empty() {
        return Ok(resource_type);
    }
    Ok(state.index.update_resource_type(name, &changes).await?)
}

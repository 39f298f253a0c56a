//! Types of the resources that measures come with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nephos_identity::{Caller, Rule, Target};
use nephos_index::{IndexError, TypeChange};
use nephos_model::{AttributeKind, AttributeType, ResourceType, ResourceTypeState};
use serde_json::Value;

use super::Destination;
use crate::gnocchi::resource_bodies::check_attribute;
use crate::service::problem::demand;
use crate::service::{Problem, types};
use crate::state::ApiState;

/// The type of Prometheus' targets.
pub(super) const PROMETHEUS: &str = "prometheus";

/// Longest value of an attribute, in characters; longer ones are cut.
const MAX_LENGTH: u32 = 512;

/// Attributes that a type gets for labels, at most: every resource of the type shows them all.
const MAX_LABELS: usize = 256;

/// Longest name of a type that is made on the way, in characters.
const MAX_NAME: usize = 255;

/// Makes a type without attributes, if it is not there.
pub async fn create_type(state: &ApiState, caller: &Caller, name: &str) -> Result<(), Problem> {
    demand(Rule::CreateResourceType, caller, &Target::default())?;
    if name.contains(['/', '\0']) || name.chars().count() > MAX_NAME {
        return Err(Problem::Bad(format!("Invalid input: Resource type name {name} is invalid")));
    }
    create(state, name, BTreeMap::new()).await
}

async fn create(
    state: &ApiState,
    name: &str,
    attributes: BTreeMap<String, AttributeType>,
) -> Result<(), Problem> {
    let new = ResourceType { name: name.to_owned(), attributes, state: ResourceTypeState::Active };
    match state.index.create_resource_type(&new).await {
        Ok(()) | Err(IndexError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn text(required: bool) -> AttributeType {
    let kind = AttributeKind::String { min_length: u32::from(required), max_length: MAX_LENGTH };
    AttributeType { kind, required }
}

/// The type that resources with these attributes are put under. That of Prometheus' targets is made where it is not there,
/// and gets the attributes that it lacks; a caller who may not change types does without the latter.
pub(super) async fn ready(
    state: &ApiState,
    caller: &Caller,
    destination: &Destination<'_>,
    attributes: BTreeSet<String>,
) -> Result<Arc<ResourceType>, Problem> {
    if !destination.is_prometheus {
        return types::active(state, destination.resource_type).await;
    }
    let found = match state.index.resource_type(PROMETHEUS).await? {
        Some(found) => found,
        None => {
            demand(Rule::CreateResourceType, caller, &Target::default())?;
            let required = ["instance", "job"].map(|name| (name.to_owned(), text(true)));
            create(state, PROMETHEUS, required.into()).await?;
            types::active(state, PROMETHEUS).await?
        }
    };
    let free = MAX_LABELS.saturating_sub(found.attributes.len());
    let names = attributes.into_iter().filter(|name| !found.attributes.contains_key(name)).take(free);
    let put = |name| TypeChange::Put { name, attribute: text(false), fill: None };
    let changes: Vec<TypeChange> = names.map(put).collect();
    let may_change = demand(Rule::UpdateResourceType, caller, &Target::default()).is_ok();
    if changes.is_empty() || !may_change {
        return Ok(found);
    }
    Ok(state.index.update_resource_type(PROMETHEUS, &changes).await?)
}

/// The attributes that labels are kept as.
pub(super) fn attribute_names<'a>(labels: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    labels.filter_map(attribute_name).collect()
}

/// The attribute that a label is kept as, if a type can have it. Names that mean something else, or begin as no
/// attribute may, are put behind `label_`.
fn attribute_name(label: &str) -> Option<String> {
    let candidates = [label.to_owned(), format!("label_{label}")];
    candidates.into_iter().find(|name| check_attribute(name, &text(false)).is_ok())
}

/// The attributes of a resource that its type has, cut where they are too long.
pub(super) fn fitting(
    resource_type: Option<&ResourceType>,
    labels: &[(String, String)],
) -> BTreeMap<String, Value> {
    let Some(resource_type) = resource_type else { return BTreeMap::new() };
    let fit = |(label, value): &(String, String)| {
        let name = attribute_name(label)?;
        let AttributeKind::String { max_length, .. } = resource_type.attributes.get(&name)?.kind else {
            return None;
        };
        let value: String = value.chars().take(max_length as usize).collect();
        Some((name, Value::String(value)))
    };
    labels.iter().filter_map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_attributes_where_their_names_allow_it() {
        for (label, expected) in [
            ("zone", Some("zone")),
            ("id", Some("label_id")),
            ("__meta", Some("label___meta")),
            ("type", Some("label_type")),
            ("a.b", None),
            ("ünicode", None),
        ] {
            assert_eq!(attribute_name(label).as_deref(), expected, "{label}");
        }
        assert_eq!(attribute_name(&"x".repeat(64)), None);
    }

    #[test]
    fn values_are_cut_to_what_the_type_allows() {
        let mut attributes = BTreeMap::from([("zone".to_owned(), text(false))]);
        attributes.insert("count".to_owned(), AttributeType { kind: AttributeKind::Bool, required: false });
        let resource_type =
            ResourceType { name: "prometheus".to_owned(), attributes, state: ResourceTypeState::Active };
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = [label("zone", &"é".repeat(600)), label("count", "1"), label("other", "x")];
        let fitting = fitting(Some(&resource_type), &labels);
        assert_eq!(fitting, BTreeMap::from([("zone".to_owned(), Value::String("é".repeat(512)))]));
    }
}

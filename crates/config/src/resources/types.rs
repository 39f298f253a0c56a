//! The resource types that the shipped definitions fill.

use std::collections::BTreeMap;

use nephos_model::{AttributeKind, AttributeType, ResourceType, ResourceTypeState};

use crate::ledger::Ledger;
use crate::shipped;
use crate::tree::{Map, Value};
use crate::yaml;

/// Every resource type of the shipped `gnocchi_resources.yaml`, for whoever creates them before their first resource.
pub fn shipped_resource_types() -> Vec<ResourceType> {
    let mut ledger = Ledger::default();
    let file = ledger.sources.add("built-in resource_types.yaml", None, shipped::RESOURCE_TYPES);
    let root = yaml::parse(&mut ledger, file, shipped::RESOURCE_TYPES);
    let types = root.as_ref().and_then(|root| root.as_map()).map(|map| &map.entries);
    types
        .into_iter()
        .flatten()
        .map(|entry| ResourceType {
            name: entry.key.clone(),
            attributes: entry.node.as_map().map(attributes).unwrap_or_default(),
            state: ResourceTypeState::Active,
        })
        .collect()
}

fn attributes(map: &Map) -> BTreeMap<String, AttributeType> {
    let attribute = |entry: &crate::tree::Entry| {
        let Value::String(word) = &entry.node.value else { return None };
        Some((entry.key.clone(), attribute(word)?))
    };
    map.entries.iter().filter_map(attribute).collect()
}

/// A kind's name, `!` behind it if every resource must have the attribute.
fn attribute(word: &str) -> Option<AttributeType> {
    let (word, required) = match word.strip_suffix('!') {
        Some(word) => (word, true),
        None => (word, false),
    };
    let kind = match word {
        "string" => AttributeKind::String { min_length: 0, max_length: 255 },
        "text" => AttributeKind::String { min_length: 0, max_length: 4096 },
        "number" => AttributeKind::Number { min: None, max: None },
        "uuid" => AttributeKind::Uuid,
        "bool" => AttributeKind::Bool,
        "datetime" => AttributeKind::Datetime,
        _ => return None,
    };
    Some(AttributeType { kind, required })
}

//! From the tree of a `gnocchi_resources.yaml` to [`ResourcesFile`].

use nephos_timeseries::AggregationMethod;

use super::{
    AttributeDefinition, Glob, MetricDefinition, ResourceDefinition, ResourcesFile, definition, policies,
};
use crate::ledger::Ledger;
use crate::section::{Section, items, text, texts};
use crate::tree::{Node, Value};

/// The policy of metrics that name none, if the file names none either.
const DEFAULT_POLICY: &str = "ceilometer-low";

/// Every definition that is sound; faults go to the ledger.
pub(crate) fn read(ledger: &mut Ledger, root: &Node, default_methods: &[AggregationMethod]) -> ResourcesFile {
    let mut section = Section::of(ledger, root, "");
    let archive_policy_default = section
        .take("archive_policy_default")
        .and_then(|node| text(ledger, node, "archive_policy_default"))
        .unwrap_or(DEFAULT_POLICY)
        .to_owned();
    let mut file =
        ResourcesFile { archive_policy_default, archive_policies: Vec::new(), resources: Vec::new() };
    let policy_nodes =
        section.take("archive_policies").and_then(|node| items(ledger, node, "archive_policies"));
    for (index, node) in policy_nodes.into_iter().flatten().enumerate() {
        let path = format!("archive_policies[{index}]");
        let Some(policy) = policies::read(ledger, node, &path, default_methods) else { continue };
        if file.archive_policy(&policy.name).is_some() {
            ledger.problem(&node.origin, path, format!("archive policy {} stands twice", policy.name));
        }
        file.archive_policies.push(policy);
    }
    let resource_nodes = match section.take("resources") {
        Some(node) => items(ledger, node, "resources"),
        None => {
            if matches!(root.value, Value::Map(_) | Value::Null) {
                ledger.problem(&root.origin, "", "Required field resources not specified");
            }
            None
        }
    };
    for (index, node) in resource_nodes.into_iter().flatten().enumerate() {
        file.resources.extend(resource(ledger, node, &format!("resources[{index}]")));
    }
    section.finish(ledger);
    file
}

fn resource(ledger: &mut Ledger, node: &Node, path: &str) -> Option<ResourceDefinition> {
    let mut section = Section::of(ledger, node, path);
    let resource_type = required(ledger, &mut section, node, "resource_type").and_then(|node| {
        let path = section.path_of("resource_type");
        should_be(ledger, node, &path, "resource_type", "a string");
        match &node.value {
            Value::String(name) => Some(name.clone()),
            _ => None,
        }
    });
    let metrics = required(ledger, &mut section, node, "metrics")
        .and_then(|node| metrics(ledger, node, &section.path_of("metrics")));
    let archive_policy = section
        .take("archive_policy")
        .and_then(|node| text(ledger, node, &section.path_of("archive_policy")))
        .map(str::to_owned);
    let attributes = match section.take("attributes") {
        Some(node) => attributes(ledger, node, &section.path_of("attributes")),
        None => Vec::new(),
    };
    section.later(
        ledger,
        &["event_create", "event_update", "event_delete", "event_attributes", "event_associated_resources"],
    );
    section.finish(ledger);
    Some(ResourceDefinition { resource_type: resource_type?, archive_policy, metrics: metrics?, attributes })
}

fn required<'a>(
    ledger: &mut Ledger,
    section: &mut Section<'a>,
    node: &Node,
    key: &'static str,
) -> Option<&'a Node> {
    let found = section.take(key);
    if found.is_none() && matches!(node.value, Value::Map(_)) {
        ledger.problem(&node.origin, section.path_of(key), format!("Required field {key} not specified"));
    }
    found
}

fn should_be(ledger: &mut Ledger, node: &Node, path: &str, key: &str, what: &str) {
    if !matches!(node.value, Value::String(_) | Value::Invalid) {
        let message = format!("{key} should be {what}, found {}", node.value.kind());
        ledger.problem(&node.origin, path, message);
    }
}

/// A table of names with their policies, or a list of names.
fn metrics(ledger: &mut Ledger, node: &Node, path: &str) -> Option<Vec<MetricDefinition>> {
    match &node.value {
        Value::Map(map) => {
            let mut metrics = Vec::with_capacity(map.entries.len());
            for entry in &map.entries {
                let path = format!("{path}.{}", entry.key);
                let mut section = Section::of(ledger, &entry.node, path.as_str());
                let archive_policy = section
                    .take("archive_policy_name")
                    .and_then(|node| text(ledger, node, &section.path_of("archive_policy_name")))
                    .map(str::to_owned);
                section.finish(ledger);
                metrics.push(MetricDefinition { pattern: Glob::new(entry.key.as_str()), archive_policy });
            }
            Some(metrics)
        }
        Value::List(_) => {
            let names = texts(ledger, node, path)?;
            let metric =
                |(name, _): (&str, _)| MetricDefinition { pattern: Glob::new(name), archive_policy: None };
            Some(names.into_iter().map(metric).collect())
        }
        Value::Invalid => None,
        other => {
            let message = format!("metrics should be a table or a list, found {}", other.kind());
            ledger.problem(&node.origin, path, message);
            None
        }
    }
}

fn attributes(ledger: &mut Ledger, node: &Node, path: &str) -> Vec<AttributeDefinition> {
    let Some(map) = node.as_map() else {
        if node.value != Value::Invalid {
            let message = format!("attributes should be a table, found {}", node.value.kind());
            ledger.problem(&node.origin, path, message);
        }
        return Vec::new();
    };
    let mut attributes = Vec::with_capacity(map.entries.len());
    for entry in &map.entries {
        let path = format!("{path}.{}", entry.key);
        if let Some(definition) = definition::read(ledger, &entry.node, &path, &entry.key) {
            attributes.push(AttributeDefinition {
                name: entry.key.clone(),
                definition,
                position: ledger.sources.describe(&entry.node.origin).to_string(),
            });
        }
    }
    attributes
}

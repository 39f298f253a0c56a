//! Finding one's way in rendered objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::render::Rendering;

/// The kinds that make pods.
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

impl Rendering {
    /// The objects of a kind.
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The names of the objects of a kind.
    pub(crate) fn names(&self, kind: &str) -> BTreeSet<String> {
        self.of_kind(kind).map(|object| text(&object["metadata"]["name"]).to_owned()).collect()
    }

    /// Everything that makes pods.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| WORKLOADS.iter().any(|kind| object["kind"] == *kind))
    }

    /// The workload of a component.
    pub(crate) fn workload(&self, component: &str) -> &Value {
        self.workloads()
            .find(|workload| component_of(workload) == component)
            .unwrap_or_else(|| panic!("{} has no {component}", self.name))
    }

    /// Whose rendering it is, for messages.
    pub(crate) fn at(&self, object: &Value) -> String {
        format!(
            "{} ({:?}): {} {}",
            self.name,
            self.helm,
            text(&object["kind"]),
            text(&object["metadata"]["name"])
        )
    }
}

/// A text that must be there.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected a text, found {value}"))
}

/// A list, empty if absent.
pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        value => value.as_array().unwrap_or_else(|| panic!("expected a list, found {value}")),
    }
}

/// The component an object belongs to.
pub(crate) fn component_of(object: &Value) -> &str {
    text(&object["metadata"]["labels"]["app.kubernetes.io/component"])
}

/// A map of labels, empty if absent.
pub(crate) fn labels(value: &Value) -> Labels {
    let map = value.as_object().cloned().unwrap_or_default();
    map.into_iter().map(|(key, value)| (key, text(&value).to_owned())).collect()
}

/// The pod specification of a workload.
pub(crate) fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

/// The labels of a workload's pods.
pub(crate) fn pod_labels(workload: &Value) -> Labels {
    labels(&workload["spec"]["template"]["metadata"]["labels"])
}

/// The containers of a workload's pods.
pub(crate) fn containers(workload: &Value) -> impl Iterator<Item = &Value> {
    let pod = pod(workload);
    list(&pod["initContainers"]).iter().chain(list(&pod["containers"]))
}

/// Ports of a workload's containers by name.
pub(crate) fn ports(workload: &Value) -> BTreeMap<String, u64> {
    containers(workload)
        .flat_map(|container| list(&container["ports"]))
        .map(|port| (text(&port["name"]).to_owned(), port["containerPort"].as_u64().expect("port")))
        .collect()
}

/// Whether a selector, which must say something, takes these labels.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    assert!(!selector.is_empty(), "an empty selector");
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Least number of pods a workload has; for an autoscaled one that of its autoscaler.
pub(crate) fn replicas(rendering: &Rendering, workload: &Value) -> u64 {
    if let Some(replicas) = workload["spec"]["replicas"].as_u64() {
        return replicas;
    }
    let name = &workload["metadata"]["name"];
    rendering
        .of_kind("HorizontalPodAutoscaler")
        .find(|autoscaler| &autoscaler["spec"]["scaleTargetRef"]["name"] == name)
        .map_or(1, |autoscaler| autoscaler["spec"]["minReplicas"].as_u64().expect("minReplicas"))
}

/// Every text anywhere in a value, keys left out.
pub(crate) fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

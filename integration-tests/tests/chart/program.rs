//! Hands the configuration a container would see to the program itself.

use std::collections::BTreeMap;
use std::path::Path;

use nephos_integration_tests::process;
use serde_json::Value;

use super::objects::{containers, list, pod, text};
use super::render::Rendering;

/// What stands in the files of credentials.
fn credential(name: &str) -> &'static str {
    match name {
        "index" | "state" => "postgres://nephos:secret@postgresql.example/nephos",
        "bus" => "amqp://nephos:secret@rabbitmq.example:5672/nephos",
        _ => "0123456789abcdef",
    }
}

/// The variables of a workload's container, expanded as Kubernetes would.
pub(crate) fn variables(workload: &Value) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for entry in containers(workload).flat_map(|container| list(&container["env"])) {
        let name = text(&entry["name"]).to_owned();
        let value = match entry["value"].as_str() {
            Some(value) => {
                variables.iter().fold(value.to_owned(), |value, (name, text): (&String, &String)| {
                    value.replace(&format!("$({name})"), text)
                })
            }
            None => outside(&entry["valueFrom"]).to_owned(),
        };
        assert!(!value.contains("$("), "{name} = {value} names a variable that is not before it");
        variables.insert(name, value);
    }
    variables
}

/// What the cluster would fill in.
fn outside(source: &Value) -> &'static str {
    match source["fieldRef"]["fieldPath"].as_str() {
        Some("spec.nodeName") => "node-1.example",
        Some("metadata.name") => "rel-nephos-collector-0",
        Some(other) => panic!("unexpected field {other}"),
        None => "4",
    }
}

/// Lays out below `root` what the volumes of a workload show its container.
fn lay_out(rendering: &Rendering, workload: &Value, root: &Path) {
    let volumes = list(&pod(workload)["volumes"]);
    for mount in containers(workload).flat_map(|container| list(&container["volumeMounts"])) {
        let folder = root.join(text(&mount["mountPath"]).trim_start_matches('/'));
        std::fs::create_dir_all(&folder).expect("folder");
        let Some(volume) = volumes.iter().find(|volume| volume["name"] == mount["name"]) else { continue };
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let map = rendering.of_kind("ConfigMap").find(|map| map["metadata"]["name"] == name);
            let data = map.and_then(|map| map["data"].as_object()).expect("data of the ConfigMap");
            for (name, file) in data {
                std::fs::write(folder.join(name), text(file)).expect("write");
            }
        }
        for item in
            list(&volume["projected"]["sources"]).iter().flat_map(|source| list(&source["secret"]["items"]))
        {
            let name = text(&item["path"]);
            std::fs::write(folder.join(name), credential(name)).expect("write");
        }
        for item in list(&volume["secret"]["items"]) {
            std::fs::write(folder.join(text(&item["path"])), "").expect("write");
        }
    }
}

/// Runs `check-config` on what the container of `workload` sees. A scaled-out deployment is checked as a whole, so
/// that it needs what other workloads are given as well. `appended` is added to `nephos.toml`. Says whether the
/// program accepted it, and what it said.
pub(crate) fn check_config(rendering: &Rendering, workload: &Value, appended: &str) -> (bool, String) {
    let root = tempfile::tempdir().expect("temporary folder");
    let mut environment = BTreeMap::new();
    for other in rendering.workloads() {
        lay_out(rendering, other, root.path());
        for (name, value) in variables(other) {
            environment.entry(name).or_insert(value);
        }
    }
    lay_out(rendering, workload, root.path());
    environment.extend(variables(workload));
    for value in environment.values_mut() {
        if value.starts_with("/run/") {
            *value = format!("{}{value}", root.path().display());
        }
    }
    let config = root.path().join("etc/nephos/nephos.toml");
    let text = std::fs::read_to_string(&config).expect("nephos.toml");
    std::fs::write(&config, text + appended).expect("nephos.toml");
    let mut command = process::command(&["check-config", "--config"]);
    command.arg(config).envs(environment);
    if rendering.workloads().count() > 1 {
        command.arg("--distributed");
    }
    let output = command.output().expect("start nephos");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

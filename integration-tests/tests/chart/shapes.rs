//! Which objects there are in which shape.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::objects::{
    component_of, containers, labels, list, pod, pod_labels, ports, replicas, selects, text,
};
use super::program;
use super::render::{Helm, Rendering, rendering, renderings, root};

#[test]
fn both_helms_render_the_same_objects() {
    let (three, four): (Vec<_>, Vec<_>) =
        renderings().iter().partition(|rendering| rendering.helm == Helm::Three);
    let sorted = |rendering: &Rendering| {
        let mut objects = rendering.objects.clone();
        objects
            .sort_by_key(|object| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])));
        objects
    };
    for (three, four) in three.into_iter().zip(four) {
        assert_eq!(three.name, four.name);
        assert_eq!(sorted(three), sorted(four), "{}", three.name);
    }
}

#[test]
fn labels_are_the_recommended_ones_and_selectors_outlive_versions() {
    const RECOMMENDED: [&str; 6] = ["name", "instance", "version", "component", "part-of", "managed-by"];
    for rendering in renderings() {
        for object in &rendering.objects {
            let labels = labels(&object["metadata"]["labels"]);
            for name in RECOMMENDED {
                let label = format!("app.kubernetes.io/{name}");
                assert!(labels.contains_key(&label), "{} lacks {label}", rendering.at(object));
            }
            assert_eq!(labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"));
            assert_eq!(object["metadata"]["namespace"], "telemetry", "{}", rendering.at(object));
        }
        for workload in rendering.workloads() {
            let at = rendering.at(workload);
            let selector = labels(&workload["spec"]["selector"]["matchLabels"]);
            assert!(selects(&selector, &pod_labels(workload)), "{at}");
            let names: Vec<&str> = selector.keys().map(String::as_str).collect();
            let stable = ["component", "instance", "name"].map(|name| format!("app.kubernetes.io/{name}"));
            assert_eq!(names, stable, "{at}");
        }
    }
}

#[test]
fn several_pods_have_a_budget_and_are_spread() {
    for rendering in renderings() {
        for workload in rendering.workloads().filter(|workload| workload["kind"] != "DaemonSet") {
            let at = rendering.at(workload);
            let labels = pod_labels(workload);
            let budgets = rendering
                .of_kind("PodDisruptionBudget")
                .filter(|budget| selects(&self::labels(&budget["spec"]["selector"]["matchLabels"]), &labels))
                .count();
            let spread = list(&pod(workload)["topologySpreadConstraints"]);
            let several = replicas(rendering, workload) > 1;
            assert_eq!(budgets, usize::from(several), "{at}: budgets");
            assert_eq!(spread.len(), usize::from(several), "{at}: spread");
            for constraint in spread {
                let selector = self::labels(&constraint["labelSelector"]["matchLabels"]);
                assert!(selects(&selector, &labels), "{at}: spread of other pods");
            }
        }
    }
}

#[test]
fn an_autoscaled_workload_leaves_replicas_to_its_autoscaler() {
    let rendering = rendering("everything-on");
    for autoscaler in rendering.of_kind("HorizontalPodAutoscaler") {
        let target = &autoscaler["spec"]["scaleTargetRef"];
        let workload = rendering
            .workloads()
            .find(|workload| {
                workload["kind"] == target["kind"] && workload["metadata"]["name"] == target["name"]
            })
            .unwrap_or_else(|| panic!("{} scales nothing", rendering.at(autoscaler)));
        assert_eq!(workload["spec"]["replicas"], Value::Null, "{}", rendering.at(workload));
        let requests = containers(workload).next().map(|container| &container["resources"]["requests"]);
        assert!(requests.expect("container")["cpu"].is_string(), "load in percent needs a request");
    }
    assert_eq!(rendering.of_kind("HorizontalPodAutoscaler").count(), 2);
}

#[test]
fn embedded_is_one_pod_with_one_claim_and_needs_no_server() {
    for name in ["default", "embedded"] {
        let rendering = rendering(name);
        let workloads: Vec<&Value> = rendering.workloads().collect();
        let [workload] = workloads.as_slice() else { panic!("{name}: {} workloads", workloads.len()) };
        assert_eq!(workload["kind"], "StatefulSet");
        assert_eq!(workload["spec"]["replicas"], 1);
        assert_eq!(list(&workload["spec"]["volumeClaimTemplates"]).len(), 1);
        assert_eq!(rendering.of_kind("Service").count(), 1);
        let servers = program::variables(workload)
            .into_keys()
            .filter(|name| ["INDEX", "BUS", "STATE"].iter().any(|server| name.contains(server)));
        assert_eq!(servers.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn distributed_is_a_workload_for_each_service_and_only_the_collector_keeps_data() {
    let rendering = rendering("distributed");
    let found: BTreeMap<&str, (&str, usize)> = rendering
        .workloads()
        .map(|workload| {
            let claims = list(&workload["spec"]["volumeClaimTemplates"]).len();
            (component_of(workload), (text(&workload["kind"]), claims))
        })
        .collect();
    let expected = [
        ("alarm-evaluator", ("Deployment", 0)),
        ("alarm-notifier", ("Deployment", 0)),
        ("api", ("Deployment", 0)),
        ("collector", ("StatefulSet", 1)),
        ("notification-agent", ("Deployment", 0)),
        ("polling-agent", ("DaemonSet", 0)),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    for workload in rendering.workloads() {
        let arguments = list(&containers(workload).next().expect("container")["args"]);
        assert_eq!(arguments.first(), Some(&json!(component_of(workload))));
    }
}

#[test]
fn collectors_that_share_a_store_share_its_volume_only() {
    let rendering = rendering("everything-on");
    let collector = rendering.workload("collector");
    assert_eq!(replicas(rendering, collector), 3);
    let volumes = list(&pod(collector)["volumes"]);
    let of = |name: &str| volumes.iter().find(|volume| volume["name"] == name).expect("volume");
    assert_eq!(of("store")["persistentVolumeClaim"]["claimName"], "nephos-store");
    assert!(of("data")["emptyDir"].is_object(), "each has a data directory of its own");
    let mounts = list(&containers(collector).next().expect("container")["volumeMounts"]);
    let mount = mounts.iter().find(|mount| mount["name"] == "store").expect("mount");
    assert_eq!(mount["mountPath"], "/var/lib/nephos/shared");
}

#[test]
fn collectors_on_a_bucket_need_no_volume_but_its_keys() {
    let rendering = rendering("s3");
    let collector = rendering.workload("collector");
    assert_eq!(replicas(rendering, collector), 3);
    assert!(collector["spec"]["volumeClaimTemplates"].is_null());
    let volumes = list(&pod(collector)["volumes"]);
    let of = |name: &str| volumes.iter().find(|volume| volume["name"] == name).expect("volume");
    assert!(of("data")["emptyDir"].is_object());
    let sources = list(&of("credentials")["projected"]["sources"]);
    let keys: Vec<(&str, &str)> = sources
        .iter()
        .filter(|source| source["secret"]["name"] == "nephos-bucket")
        .flat_map(|source| list(&source["secret"]["items"]))
        .map(|item| (text(&item["key"]), text(&item["path"])))
        .collect();
    let expected =
        [("AWS_ACCESS_KEY_ID", "s3-access-key-id"), ("AWS_SECRET_ACCESS_KEY", "s3-secret-access-key")];
    assert_eq!(keys, expected);
    // Nobody else gets them.
    for workload in rendering.workloads().filter(|workload| component_of(workload) != "collector") {
        assert!(!workload.to_string().contains("nephos-bucket"), "{}", component_of(workload));
    }
}

/// One line an object: kind, name, and what tells most about it.
fn summary() -> String {
    let mut lines = Vec::new();
    for rendering in renderings().iter().filter(|rendering| rendering.helm == Helm::Four) {
        let mut objects: Vec<String> = rendering.objects.iter().map(summary_of).collect();
        objects.sort();
        lines.push(format!("# {}", rendering.name));
        lines.extend(objects);
    }
    lines.join("\n") + "\n"
}

fn summary_of(object: &Value) -> String {
    let mut words = vec![text(&object["kind"]).to_owned(), text(&object["metadata"]["name"]).to_owned()];
    if object["kind"] == "Service" {
        words.extend(list(&object["spec"]["ports"]).iter().map(|port| port["port"].to_string()));
    }
    for container in containers(object) {
        words.push(text(&container["image"]).to_owned());
    }
    if containers(object).next().is_some() {
        words.extend(ports(object).into_iter().map(|(name, port)| format!("{name}={port}")));
    }
    words.join(" ")
}

#[test]
fn the_objects_are_those_that_were_reviewed() {
    let path = root().join("integration-tests/tests/chart/summary.txt");
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    let rendered = summary();
    assert!(
        rendered == reviewed,
        "{} differs from what is rendered; if that is meant, replace it by:\n{rendered}",
        path.display()
    );
}

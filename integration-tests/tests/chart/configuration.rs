//! What pods are configured by: references, secrets, and the program's own opinion.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::objects::{Labels, component_of, containers, labels, list, pod, text, texts};
use super::program;
use super::render::{Helm, chart_file, each_workload, json_documents, render, rendering, renderings};

/// Names of ConfigMaps, Secrets and claims a pod refers to, with the kind.
fn references(workload: &Value) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    let mut note = |kind, name: &Value| {
        if !name.is_null() {
            found.insert((kind, text(name).to_owned()));
        }
    };
    for volume in list(&pod(workload)["volumes"]) {
        note("ConfigMap", &volume["configMap"]["name"]);
        note("Secret", &volume["secret"]["secretName"]);
        note("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]);
        for source in list(&volume["projected"]["sources"]) {
            note("Secret", &source["secret"]["name"]);
        }
    }
    for variable in containers(workload).flat_map(|container| list(&container["env"])) {
        note("ConfigMap", &variable["valueFrom"]["configMapKeyRef"]["name"]);
        note("Secret", &variable["valueFrom"]["secretKeyRef"]["name"]);
    }
    found
}

#[test]
fn what_pods_refer_to_is_rendered_or_named_in_the_values() {
    each_workload(|rendering, workload, at| {
        let mut named = BTreeSet::new();
        json_documents(&chart_file(&format!("ci/{}-values.yaml", rendering.name)))
            .iter()
            .for_each(|values| texts(values, &mut named));
        for (kind, name) in references(workload) {
            assert!(rendering.names(kind).contains(&name) || named.contains(&name), "{at}: {kind} {name}");
        }
    });
}

#[test]
fn every_mount_has_its_volume_and_every_volume_its_mount() {
    each_workload(|_, workload, at| {
        let names = |values: &[Value]| -> BTreeSet<String> {
            values.iter().map(|value| text(&value["name"]).to_owned()).collect()
        };
        let mounts: Vec<Value> =
            containers(workload).flat_map(|container| list(&container["volumeMounts"]).to_vec()).collect();
        let claims = list(&workload["spec"]["volumeClaimTemplates"]);
        let mut volumes = names(list(&pod(workload)["volumes"]));
        volumes.extend(claims.iter().map(|claim| text(&claim["metadata"]["name"]).to_owned()));
        assert_eq!(names(&mounts), volumes, "{at}");
    });
}

#[test]
fn secrets_are_in_secrets_only() {
    let rendering = rendering("minimal");
    let mut values = BTreeSet::new();
    for secret in rendering.of_kind("Secret") {
        texts(&secret["stringData"], &mut values);
    }
    assert_eq!(values.len(), 4, "{values:?}");
    for object in rendering.objects.iter().filter(|object| object["kind"] != "Secret") {
        let written = object.to_string();
        for secret in &values {
            assert!(!written.contains(secret.as_str()), "{} holds {secret}", rendering.at(object));
        }
    }
    for rendering in renderings().iter().filter(|rendering| rendering.name != "minimal") {
        assert_eq!(rendering.of_kind("Secret").count(), 0, "{}", rendering.name);
    }
}

#[test]
fn a_service_is_given_the_credentials_it_reads_and_no_others() {
    let given: BTreeMap<String, Vec<String>> = rendering("everything-on")
        .workloads()
        .map(|workload| {
            let sources = list(&pod(workload)["volumes"]).iter().flat_map(|volume| {
                list(&volume["projected"]["sources"])
                    .iter()
                    .flat_map(|source| list(&source["secret"]["items"]))
            });
            (component_of(workload).to_owned(), sources.map(|item| text(&item["path"]).to_owned()).collect())
        })
        .collect();
    let expected = [
        ("alarm-evaluator", vec!["index", "store"]),
        ("alarm-notifier", vec!["index"]),
        ("api", vec!["index", "store"]),
        ("collector", vec!["index", "bus", "store", "telemetry"]),
        ("notification-agent", vec!["bus", "state", "telemetry"]),
        ("polling-agent", vec!["bus", "telemetry"]),
    ];
    let expected = expected.map(|(component, names)| {
        (component.to_owned(), names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    });
    assert_eq!(given, expected.into());
}

#[test]
fn pods_restart_when_their_configuration_changes() {
    let annotations = |arguments: &[&str]| -> BTreeMap<String, Labels> {
        let rendering = render(Helm::Four, "minimal", arguments);
        let annotated = rendering.workloads().map(|workload| {
            let annotations = &workload["spec"]["template"]["metadata"]["annotations"];
            (component_of(workload).to_owned(), labels(annotations))
        });
        annotated.collect()
    };
    let before = annotations(&[]);
    assert_eq!(before, annotations(&["--set", "api.replicas=4"]), "replicas are no configuration");
    for (argument, changed) in
        [("log.level=debug", "checksum/config"), ("store.token=another", "checksum/credentials")]
    {
        let after = annotations(&["--set", argument]);
        for (component, before) in &before {
            for (annotation, value) in before {
                let same = &after[component][annotation] == value;
                assert_eq!(same, annotation != changed, "{component}: {annotation} after {argument}");
            }
        }
    }
}

#[test]
fn the_program_accepts_the_configuration_of_every_workload() {
    for rendering in renderings().iter().filter(|rendering| rendering.helm == Helm::Four) {
        for workload in rendering.workloads() {
            let (accepted, said) = program::check_config(rendering, workload, "");
            assert!(accepted, "{}:\n{said}", rendering.at(workload));
        }
    }
}

#[test]
fn the_program_would_refuse_an_unknown_key_there() {
    for name in ["embedded", "distributed"] {
        let rendering = rendering(name);
        let workload = rendering.workloads().next().expect("a workload");
        let (accepted, said) = program::check_config(rendering, workload, "\n[nephos]\nbogus = 1\n");
        assert!(!accepted && said.contains("unknown key \"nephos\""), "{said}");
    }
}

#[test]
fn the_collector_tells_others_the_name_its_service_gives_it() {
    let rendering = rendering("distributed");
    let collector = rendering.workload("collector");
    let advertised = &program::variables(collector)["NEPHOS__STORE__ADVERTISE"];
    let service = text(&collector["spec"]["serviceName"]);
    assert_eq!(advertised, &format!("http://rel-nephos-collector-0.{service}.telemetry.svc:8051"));
    let found = rendering.of_kind("Service").find(|found| found["metadata"]["name"] == service);
    assert_eq!(found.expect("its service")["spec"]["clusterIP"], "None");
}

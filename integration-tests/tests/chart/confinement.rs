//! What containers may and what they cost.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::objects::{component_of, containers, list, pod, ports, text};
use super::render::{each_workload, renderings};

#[test]
fn images_have_a_tag_that_stays() {
    each_workload(|_, workload, at| {
        for container in containers(workload) {
            let image = text(&container["image"]);
            let (name, digest) =
                image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
            let (_, tag) = name.rsplit_once(':').unwrap_or_else(|| panic!("{at}: {image} has no tag"));
            assert!(tag != "latest" && !tag.contains('/'), "{at}: {image}");
            assert!(digest.is_none_or(|digest| digest.starts_with("sha256:")), "{at}: {image}");
        }
    });
}

#[test]
fn memory_is_requested_and_limited() {
    each_workload(|_, workload, at| {
        for container in containers(workload) {
            for kind in ["requests", "limits"] {
                assert!(container["resources"][kind]["memory"].is_string(), "{at}: memory {kind}");
            }
        }
    });
}

#[test]
fn every_container_is_probed_on_a_port_it_has() {
    each_workload(|_, workload, at| {
        let ports = ports(workload);
        for container in containers(workload) {
            for (probe, path) in
                [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
            {
                let get = &container[probe]["httpGet"];
                assert_eq!(get["path"], path, "{at}: {probe}");
                assert!(ports.contains_key(text(&get["port"])), "{at}: {probe} looks at {}", get["port"]);
            }
        }
    });
}

#[test]
fn containers_have_no_rights() {
    each_workload(|_, workload, at| {
        let pod = pod(workload);
        assert_eq!(pod["automountServiceAccountToken"], false, "{at}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{at}");
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{at}");
        assert_eq!(pod["hostNetwork"], Value::Null, "{at}");
        for container in containers(workload) {
            let context = &container["securityContext"];
            for (key, wanted) in [
                ("runAsNonRoot", json!(true)),
                ("readOnlyRootFilesystem", json!(true)),
                ("allowPrivilegeEscalation", json!(false)),
                ("privileged", json!(false)),
                ("capabilities", json!({"drop": ["ALL"]})),
                ("seccompProfile", json!({"type": "RuntimeDefault"})),
            ] {
                assert_eq!(context[key], wanted, "{at}: {key}");
            }
        }
    });
}

#[test]
fn only_what_measures_a_node_sees_it_and_read_only() {
    let mut seen = BTreeSet::new();
    each_workload(|_, workload, at| {
        let paths: BTreeSet<&str> = list(&pod(workload)["volumes"])
            .iter()
            .filter_map(|volume| volume["hostPath"]["path"].as_str())
            .collect();
        let sees = pod(workload)["hostPID"] == true;
        let expected = if sees { BTreeSet::from(["/proc", "/sys"]) } else { BTreeSet::new() };
        assert_eq!(paths, expected, "{at}");
        for mount in containers(workload).flat_map(|container| list(&container["volumeMounts"])) {
            if text(&mount["mountPath"]).starts_with("/host/") {
                assert_eq!(mount["readOnly"], true, "{at}: {mount}");
            }
        }
    });
    for rendering in renderings() {
        for workload in rendering.workloads().filter(|workload| pod(workload)["hostPID"] == true) {
            seen.insert((rendering.name.as_str(), component_of(workload)));
        }
    }
    let expected =
        [("distributed", "polling-agent"), ("embedded", "embedded"), ("everything-on", "polling-agent")];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn service_accounts_lend_no_token() {
    for rendering in renderings() {
        for account in rendering.of_kind("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false, "{}", rendering.at(account));
        }
        for workload in rendering.workloads() {
            let name = text(&pod(workload)["serviceAccountName"]);
            let known = rendering.names("ServiceAccount").contains(name) || name == "default";
            assert!(known, "{}: account {name}", rendering.at(workload));
        }
    }
}

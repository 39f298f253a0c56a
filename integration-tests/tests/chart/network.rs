//! Who reaches whom.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::objects::{component_of, labels, list, pod_labels, ports, selects, text};
use super::render::{each_workload, rendering, renderings};

#[test]
fn services_reach_the_pods_they_mean() {
    for rendering in renderings() {
        let mut reached = BTreeSet::new();
        for service in rendering.of_kind("Service") {
            let at = rendering.at(service);
            let selector = labels(&service["spec"]["selector"]);
            let targets: Vec<&Value> =
                rendering.workloads().filter(|workload| selects(&selector, &pod_labels(workload))).collect();
            let [workload] = targets.as_slice() else { panic!("{at} selects {} workloads", targets.len()) };
            let open = ports(workload);
            let mut exposed = BTreeSet::new();
            for port in list(&service["spec"]["ports"]) {
                let target = text(&port["targetPort"]);
                let number =
                    open.get(target).unwrap_or_else(|| panic!("{at}: {target} is no port of its pods"));
                assert_eq!(port["port"].as_u64(), Some(*number), "{at}: {target}");
                exposed.insert(target.to_owned());
            }
            assert_eq!(exposed, open.keys().cloned().collect(), "{at}: ports of its pods");
            assert!(reached.insert(component_of(workload)), "{at}: a second service of its pods");
        }
        assert_eq!(reached.len(), rendering.workloads().count(), "{}", rendering.name);
    }
}

#[test]
fn ports_are_valid_and_differ() {
    each_workload(|_, workload, at| {
        let numbers: Vec<u64> = ports(workload).into_values().collect();
        assert!(numbers.iter().all(|port| (1..=65535).contains(port)), "{at}: {numbers:?}");
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "{at}: {numbers:?}");
    });
}

#[test]
fn network_policies_open_what_services_expose_to_those_who_are_named() {
    for rendering in renderings() {
        for workload in rendering.workloads() {
            let at = rendering.at(workload);
            let labels = pod_labels(workload);
            let policies: Vec<&Value> = rendering
                .of_kind("NetworkPolicy")
                .filter(|policy| {
                    selects(&self::labels(&policy["spec"]["podSelector"]["matchLabels"]), &labels)
                })
                .collect();
            let [policy] = policies.as_slice() else { panic!("{at}: {} policies", policies.len()) };
            assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]), "{at}");
            let mut allowed = BTreeSet::new();
            for rule in list(&policy["spec"]["ingress"]) {
                assert!(!list(&rule["from"]).is_empty(), "{at}: open to everybody");
                assert!(!list(&rule["ports"]).is_empty(), "{at}: every port");
                allowed.extend(list(&rule["ports"]).iter().filter_map(|port| port["port"].as_u64()));
            }
            // Health and metrics are closed until somebody is named who may read them.
            let metrics_peers = rendering.name == "everything-on";
            let open: BTreeSet<u64> = ports(workload)
                .into_iter()
                .filter(|(name, _)| name != "observe" || metrics_peers)
                .map(|(_, port)| port)
                .collect();
            assert_eq!(allowed, open, "{at}");
        }
    }
}

#[test]
fn the_store_is_open_to_those_who_call_it_only() {
    let rendering = rendering("distributed");
    let policy = rendering
        .of_kind("NetworkPolicy")
        .find(|policy| component_of(policy) == "collector")
        .expect("policy of the collector");
    let callers: BTreeSet<&str> = list(&policy["spec"]["ingress"])
        .iter()
        .flat_map(|rule| list(&rule["from"]))
        .flat_map(|peer| {
            let selector = labels(&peer["podSelector"]["matchLabels"]);
            rendering.workloads().filter(move |workload| selects(&selector, &pod_labels(workload)))
        })
        .map(component_of)
        .collect();
    assert_eq!(callers, BTreeSet::from(["alarm-evaluator", "api", "collector"]));
}

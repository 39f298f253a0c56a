//! The policy file.

use std::time::Duration;

use nephos_integration_tests::wait_for;
use serde_json::json;

use super::support::{PATIENCE, World, command};

#[tokio::test]
async fn rules_of_a_policy_file_hold_and_are_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "get status: \"role:operator\"\ncreate metric: \"role:writer\"\n").unwrap();
    let file = path.display().to_string();
    let settings = [("NEPHOS__API__POLICY_FILE", file.as_str()), ("NEPHOS__API__AUTH_MODE", "noauth")];
    let world = World::start_in(folder, &settings).await;
    let caller = |roles: &str| {
        world.api().with_headers(&[("x-user-id", "u"), ("x-project-id", "p"), ("x-roles", roles)])
    };
    caller("operator").get("/v1/status").await.expect(200);
    caller("admin").get("/v1/status").await.expect(403);
    let metric = json!({"archive_policy_name": "low"});
    caller("member").post("/v1/metric", &metric).await.expect(403);
    caller("writer").post("/v1/metric", &metric).await.expect(201);

    std::fs::write(&path, "create metric: \"@\"\n").unwrap();
    world.nephos.signal("HUP");
    wait_for("the new rules hold", PATIENCE, || async {
        let answer = caller("member").try_send("POST", "/v1/metric", Some(&metric)).await?;
        if answer.status == 201 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    caller("admin").get("/v1/status").await.expect(200);

    // A broken file changes nothing.
    std::fs::write(&path, "create metric: \"role:\"\n").unwrap();
    world.nephos.signal("HUP");
    wait_for("the fault is told", PATIENCE, || async {
        let log = world.nephos.log();
        if log.contains("policy.yaml:1:16") { Ok(()) } else { Err(log) }
    })
    .await;
    caller("member").post("/v1/metric", &metric).await.expect(201);
}

#[tokio::test]
async fn alarms_read_what_the_rules_of_the_operator_let_their_owners_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "get measures: \"rule:admin_or_creator\"\n").unwrap();
    let file = path.display().to_string();
    let settings = [("NEPHOS__API__POLICY_FILE", file.as_str()), ("NEPHOS__EVALUATOR__INTERVAL", "1s")];
    let world = World::start_in(folder, &settings).await;
    let metrics = json!({"load": {"archive_policy_name": "low"}});
    let resource = json!({"id": "web", "project_id": "other", "metrics": metrics});
    let resource = world.api().post("/v1/resource/generic", &resource).await.expect(201).json();
    let rule = json!({"metric": "load", "resource_id": resource["id"], "resource_type": "generic", "threshold": 1,
        "aggregation_method": "mean", "granularity": 300});
    let alarm =
        json!({"name": "a", "type": "gnocchi_resources_threshold", "gnocchi_resources_threshold_rule": rule});
    let owner = world.api().as_user("other");
    let alarm = owner.post("/v2/alarms", &alarm).await.expect(201).json()["alarm_id"].clone();
    let alarm = format!("/v2/alarms/{}", alarm.as_str().unwrap());
    // The metric has no points. Whether its resource is said not to be there, or its points, tells the rules.
    let told = async |expected: &str| {
        wait_for("the alarm is evaluated", PATIENCE, || async {
            let set = owner.send("PUT", &format!("{alarm}/state"), Some(&json!("ok"))).await;
            set.expect(200);
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let reason = owner.get(&alarm).await.expect(200).json()["state_reason"].to_string();
            if reason.contains(expected) { Ok(()) } else { Err(reason) }
        })
        .await;
    };
    told("does not exists").await;
    std::fs::write(&path, "get measures: \"role:reader and rule:metric_owner\"\n").unwrap();
    world.nephos.signal("HUP");
    told("No datapoint for granularity 300").await;
}

#[test]
fn rules_can_be_shown_and_tried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    std::fs::write(&path, r#"{"ops": "role:ops", "get status": [["rule:ops"], ["role:admin"]]}"#).unwrap();
    let set = format!("api.policy_file={}", path.display());
    let run = |arguments: &[&str]| command(folder.path(), &[arguments, &["--set", &set]].concat(), "");
    let list = run(&["policy", "list"]).unwrap();
    assert!(list.contains("get status") && list.contains("policy file  rule:ops or role:admin"), "{list}");
    assert!(list.contains("delete metric") && list.contains("rule:admin_or_creator"), "{list}");
    let rules: serde_json::Value =
        serde_json::from_str(&run(&["policy", "list", "--json"]).unwrap()).unwrap();
    let changed = rules.as_array().unwrap().iter().filter(|rule| rule["changed"] == true).count();
    assert_eq!(changed, 2);
    let status = ["policy", "check", "--rule", "get status", "--role"];
    assert!(run(&[&status[..], &["ops"]].concat()).unwrap().contains("allowed"));
    assert!(run(&[&status[..], &["member"]].concat()).unwrap_err().contains("refused"));
    let own = [
        "policy",
        "check",
        "--user",
        "u",
        "--project",
        "p",
        "--target-creator",
        "v:p",
        "--rule",
        "delete metric",
    ];
    assert!(run(&own).unwrap().contains("allowed"));
    let unknown = run(&["policy", "check", "--rule", "fly"]).unwrap_err();
    assert!(unknown.contains("no rule is called \"fly\""), "{unknown}");
    std::fs::write(&path, r#"{"get status": "rule:nobody"}"#).unwrap();
    let broken = run(&["policy", "list"]).unwrap_err();
    assert!(broken.contains("policy.json:1:2") && broken.contains("\"nobody\""), "{broken}");
}

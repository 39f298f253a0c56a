//! The `aodh` client.

use nephos_integration_tests::{Http, wait_for};
use serde_json::{Value, json};

use super::support::{Client, PATIENCE, column, start};

#[tokio::test]
async fn an_alarm_from_its_creation_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    // Judged once after each change of its definition, so that only this test changes its state afterwards.
    let settings = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__EVALUATOR__INTERVAL", "3600")];
    let (_nephos, url) = start(folder.path(), &settings).await;
    let aodh = Client::aodh(&url);
    assert_eq!(aodh.json(&["alarm", "list"]), json!([]));
    let rule = [
        "--type",
        "gnocchi_resources_threshold",
        "--metric",
        "cpu_util",
        "--resource-id",
        "testhost",
        "--resource-type",
        "host",
        "--aggregation-method",
        "mean",
        "--granularity",
        "10",
        "--comparison-operator",
        "gt",
        "--threshold",
        "90",
        "--alarm-action",
        "http://127.0.0.1:9/hook",
    ];
    let created = aodh.json(&[&["alarm", "create", "--name", "busy"], &rule[..]].concat());
    for (key, value) in [
        ("name", json!("busy")),
        ("type", json!("gnocchi_resources_threshold")),
        ("state", json!("insufficient data")),
        ("severity", json!("low")),
        ("enabled", json!(true)),
        ("user_id", json!("admin")),
        ("project_id", json!("admin")),
        ("threshold", json!(90.0)),
        ("granularity", json!(10)),
        ("evaluation_periods", json!(1)),
        ("alarm_actions", json!(["http://127.0.0.1:9/hook"])),
    ] {
        assert_eq!(created[key], value, "{key}");
    }
    let id = created["alarm_id"].as_str().unwrap();
    let list = aodh.json(&["alarm", "list"]);
    assert_eq!((column(&list, "alarm_id"), column(&list, "name")), (vec![&json!(id)], vec![&json!("busy")]));
    let shown = aodh.json(&["alarm", "show", id]);
    assert_eq!((&shown["name"], &shown["threshold"]), (&json!("busy"), &json!(90.0)));

    let updated = aodh.json(&["alarm", "update", id, "--threshold", "50", "--severity", "critical"]);
    assert_eq!((&updated["threshold"], &updated["severity"]), (&json!(50.0), &json!("critical")));
    judged(&url, id).await;
    assert_eq!(aodh.json(&["alarm", "state", "get", id]), json!({"state": "insufficient data"}));
    assert_eq!(aodh.json(&["alarm", "state", "set", id, "--state", "ok"]), json!({"state": "ok"}));
    assert_eq!(aodh.json(&["alarm", "state", "get", id]), json!({"state": "ok"}));
    assert_eq!(column(&aodh.json(&["alarm", "list", "--filter", "state=ok"]), "alarm_id"), [id]);
    assert_eq!(aodh.json(&["alarm", "list", "--filter", "state=alarm"]), json!([]));

    let history = aodh.json(&["alarm-history", "show", id]);
    assert_eq!(column(&history, "type"), ["state transition", "rule change", "creation"]);
    let detail: Value = serde_json::from_str(history[0]["detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail, json!({"state": "ok", "state_reason": "Manually set via API"}));

    let bad = aodh.refused(&["alarm", "update", id, "--comparison-operator", "near"]);
    assert!(bad.contains("comparison-operator") || bad.contains("HTTP 400"), "{bad}");
    aodh.done(&["alarm", "delete", id]);
    let gone = Http::new(&url).get(&format!("/v2/alarms/{id}")).await.expect(404).json();
    assert_eq!(gone["error_message"]["faultstring"], format!("Alarm {id} not found"));
    assert_eq!(aodh.json(&["alarm", "list"]), json!([]));
    let history = aodh.refused(&["alarm-history", "show", id]);
    assert!(history.contains(&format!("Alarm {id} not found (HTTP 404)")), "{history}");
}

/// Waits until the alarm was evaluated with its present definition.
async fn judged(url: &str, id: &str) {
    let api = Http::new(url);
    wait_for("the alarm is evaluated", PATIENCE, || async {
        let alarm = api.get(&format!("/v2/alarms/{id}")).await.expect(200).json();
        let time = |key: &str| alarm[key].as_str().unwrap().to_owned();
        if time("evaluate_timestamp") > time("timestamp") { Ok(()) } else { Err(alarm.to_string()) }
    })
    .await;
}

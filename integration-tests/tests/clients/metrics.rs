//! The `gnocchi` client.

use serde_json::{Value, json};

use super::support::{Client, column, start};

const QUIET: &[(&str, &str)] = &[("NEPHOS__POLLING__ENABLED", "false")];

#[tokio::test]
async fn archive_policies_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (_nephos, url) = start(folder.path(), QUIET).await;
    let gnocchi = Client::gnocchi(&url);
    let names = gnocchi.json(&["archive-policy", "list"]);
    assert_eq!(column(&names, "name"), ["bool", "high", "low", "medium", "nephos"]);
    let definition = ["-d", "granularity:1s,points:100", "-m", "mean", "-m", "count"];
    let created = gnocchi.json(&[&["archive-policy", "create", "fine"], &definition[..]].concat());
    let points = json!([{"granularity": "0:00:01", "points": 100, "timespan": "0:01:40"}]);
    assert_eq!(created["definition"], points);
    assert_eq!(created["aggregation_methods"], json!(["mean", "count"]));
    assert_eq!(gnocchi.json(&["archive-policy", "show", "fine"]), created);
    let updated = gnocchi.json(&["archive-policy", "update", "fine", "-d", "granularity:1s,points:200"]);
    assert_eq!(updated["definition"][0]["points"], 200);
    let again = gnocchi.refused(&[&["archive-policy", "create", "fine"], &definition[..]].concat());
    assert!(again.contains("Archive policy fine already exists (HTTP 409)"), "{again}");

    let rule = gnocchi.json(&["archive-policy-rule", "create", "quick", "-a", "fine", "-m", "fast.*"]);
    let expected = json!({"name": "quick", "metric_pattern": "fast.*", "archive_policy_name": "fine"});
    assert_eq!(rule, expected);
    assert_eq!(gnocchi.json(&["archive-policy-rule", "show", "quick"]), expected);
    let rules = gnocchi.json(&["archive-policy-rule", "list"]);
    assert_eq!(column(&rules, "name"), ["quick", "default"], "the longest pattern comes first");
    assert_eq!(gnocchi.json(&["metric", "create", "fast.one"])["archive_policy_name"], "fine");
    assert_eq!(gnocchi.json(&["metric", "create", "slow.one"])["archive_policy_name"], "low");

    let used = gnocchi.refused(&["archive-policy", "delete", "fine"]);
    assert!(used.contains("Archive policy fine is still in use (HTTP 400)"), "{used}");
    gnocchi.done(&["archive-policy-rule", "delete", "quick"]);
    gnocchi.done(&["archive-policy", "delete", "high"]);
    let gone = gnocchi.refused(&["archive-policy", "show", "high"]);
    assert!(gone.contains("Archive policy high does not exist (HTTP 404)"), "{gone}");
}

#[tokio::test]
async fn metrics_and_measures() {
    let folder = tempfile::tempdir().unwrap();
    let (_nephos, url) = start(folder.path(), QUIET).await;
    let gnocchi = Client::gnocchi(&url);
    let created = gnocchi.json(&["metric", "create", "power", "-u", "W", "-a", "high"]);
    assert_eq!((&created["name"], &created["unit"]), (&json!("power"), &json!("W")));
    assert_eq!((&created["creator"], &created["archive_policy_name"]), (&json!("admin"), &json!("high")));
    let id = created["id"].as_str().unwrap();
    let shown = gnocchi.json(&["metric", "show", id]);
    assert_eq!((&shown["id"], &shown["archive_policy/name"]), (&json!(id), &json!("high")));
    assert_eq!(column(&gnocchi.json(&["metric", "list"]), "id"), [id]);

    gnocchi.done(&["measures", "add", "-m", "2026-11-21T00:00:00@4", "-m", "2026-11-21T00:00:30@8", id]);
    let show = ["measures", "show", id, "--granularity", "60", "--aggregation"];
    let point =
        |value: f64| json!([{"timestamp": "2026-11-21T00:00:00+00:00", "granularity": 60.0, "value": value}]);
    for (method, value) in [("mean", 6.0), ("count", 2.0), ("max", 8.0), ("sum", 12.0)] {
        assert_eq!(gnocchi.json(&[&show[..], &[method]].concat()), point(value), "{method}");
    }
    let seconds = gnocchi.json(&["measures", "show", id, "--granularity", "1"]);
    assert_eq!(column(&seconds, "value"), [4.0, 8.0]);
    let later =
        gnocchi.json(&["measures", "show", id, "--granularity", "1", "--start", "2026-11-21T00:00:10"]);
    assert_eq!(column(&later, "value"), [8.0]);

    let batch = folder.path().join("batch.json");
    let measures = json!({id: [{"timestamp": "2026-11-21T00:01:00", "value": 5}]});
    std::fs::write(&batch, measures.to_string()).unwrap();
    gnocchi.done(&["measures", "batch-metrics", batch.to_str().unwrap()]);
    assert_eq!(
        column(&gnocchi.json(&["measures", "show", id, "--granularity", "1"]), "value"),
        [4.0, 8.0, 5.0]
    );

    gnocchi.done(&["metric", "delete", id]);
    let gone = gnocchi.refused(&["metric", "show", id]);
    assert!(gone.contains(&format!("Metric {id} does not exist (HTTP 404)")), "{gone}");
}

#[tokio::test]
async fn resource_types_and_resources() {
    let folder = tempfile::tempdir().unwrap();
    let (_nephos, url) = start(folder.path(), QUIET).await;
    let gnocchi = Client::gnocchi(&url);
    let attributes = ["-a", "height:number:true:min=0", "-a", "colour:string:false:max_length=20"];
    let door = gnocchi.json(&[&["resource-type", "create", "door"], &attributes[..]].concat());
    assert_eq!(door["state"], "active");
    assert_eq!(door["attributes/height"], "max=None, min=0, required=True, type=number");
    assert_eq!(door["attributes/colour"], "max_length=20, min_length=0, required=False, type=string");
    assert_eq!(gnocchi.json(&["resource-type", "show", "door"]), door);
    let types = gnocchi.json(&["resource-type", "list"]);
    assert!(column(&types, "name").contains(&&json!("door")), "{types}");
    gnocchi.json(&["resource-type", "update", "door", "-a", "lock:bool:false"]);

    let low = gnocchi.refused(&["resource", "create", "cellar", "--type", "door", "-a", "height:-1"]);
    assert!(low.contains("HTTP 400"), "{low}");
    let front = gnocchi.json(&["resource", "create", "front", "--type", "door", "-a", "height:2.1"]);
    let fields = |resource: &Value| json!([resource["type"], resource["height"], resource["colour"]]);
    assert_eq!(fields(&front), json!(["door", 2.1, null]));
    assert_eq!(front["original_resource_id"], "front");
    let red = gnocchi.json(&["resource", "update", "front", "--type", "door", "-a", "colour:red"]);
    assert_eq!(fields(&red), json!(["door", 2.1, "red"]));
    assert_eq!(gnocchi.json(&["resource", "show", "front", "--type", "door"]), red);
    let doors = gnocchi.json(&["resource", "list", "--type", "door"]);
    assert_eq!(column(&doors, "original_resource_id"), ["front"]);
    let history = gnocchi.json(&["resource", "history", "front", "--type", "door"]);
    assert_eq!(column(&history, "colour"), [&Value::Null, &json!("red")]);

    let metric = gnocchi.json(&["metric", "create", "-r", "front", "opened", "-a", "low"]);
    assert_eq!(metric["resource_id"], front["id"]);
    gnocchi.done(&["measures", "add", "-m", "2026-11-21T00:00:00@4", "-r", "front", "opened"]);
    let measures = gnocchi.json(&["measures", "show", "-r", "front", "opened"]);
    assert_eq!(
        (column(&measures, "granularity"), column(&measures, "value")),
        (vec![&json!(300.0)], vec![&json!(4.0)])
    );

    let used = gnocchi.refused(&["resource-type", "delete", "door"]);
    assert!(used.contains("HTTP 400"), "{used}");
    gnocchi.done(&["resource", "delete", "front"]);
    gnocchi.done(&["resource-type", "delete", "door"]);
    let gone = gnocchi.refused(&["resource", "show", "front"]);
    let expected = format!("Resource {} does not exist (HTTP 404)", front["id"].as_str().unwrap());
    assert!(gone.contains(&expected), "{gone}");
}

#[tokio::test]
async fn capabilities_and_status() {
    let folder = tempfile::tempdir().unwrap();
    let (_nephos, url) = start(folder.path(), QUIET).await;
    let gnocchi = Client::gnocchi(&url);
    let capabilities = gnocchi.json(&["capabilities", "list"]);
    let methods = capabilities["aggregation_methods"].as_array().unwrap();
    for method in ["mean", "count", "last", "95pct", "rate:mean"] {
        assert!(methods.contains(&json!(method)), "{method}: {capabilities}");
    }
    let status = gnocchi.json(&["status"]);
    assert_eq!(status["storage/total number of measures to process"], 0);
}

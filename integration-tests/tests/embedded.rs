//! The main job in one process: this host is polled, its rates are computed, stored and served, an alarm on them
//! reaches a webhook, and everything is still there after a restart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use nephos_integration_tests::{Hook, Http, Nephos, wait_for};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn start(folder: &std::path::Path) -> Nephos {
    Nephos::start("run", folder, "nephos", &[("NEPHOS__POLLING__HOST", "testhost")])
}

async fn cpu_util(api: &Http, at_least: usize) -> Vec<Value> {
    let path = "/v1/resource/generic/testhost/metric/cpu_util/measures?granularity=10";
    wait_for("cpu_util has measures", MINUTE, || async {
        let answer = api.try_send("GET", path, None).await?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text));
        }
        let points = answer.json().as_array().cloned().unwrap_or_default();
        if points.len() >= at_least { Ok(points) } else { Err(format!("{} points", points.len())) }
    })
    .await
}

fn alarm(hook: &Hook, threshold: f64) -> Value {
    json!({
        "name": "busy", "type": "gnocchi_resources_threshold", "severity": "critical",
        "gnocchi_resources_threshold_rule": {
            "metric": "cpu_util", "resource_id": "testhost", "resource_type": "host", "aggregation_method": "mean",
            "granularity": 10, "comparison_operator": "ge", "threshold": threshold,
        },
        "alarm_actions": [hook.url(), "log://"],
    })
}

#[tokio::test]
async fn this_host_is_measured_stored_served_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let mut nephos = start(folder.path());
    let api = Http::new(&nephos.url("api").await);
    for point in cpu_util(&api, 1).await {
        let percent = point[2].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{point}");
    }

    // What was created on the way is as the definitions say.
    let host = api.get("/v1/resource/host/testhost").await.expect(200).json();
    assert_eq!(host["type"], "host");
    assert_eq!(host["creator"], "admin");
    let metric = host["metrics"]["cpu_util"].as_str().unwrap();
    let metric = api.get(&format!("/v1/metric/{metric}")).await.expect(200).json();
    assert_eq!(metric["archive_policy"]["name"], "nephos");
    assert_eq!(metric["unit"], "%");

    // An alarm that always holds reaches the receiver, which at first is out of order.
    let hook = Hook::start().await;
    hook.answer_with(&[503]);
    let created = api.post("/v2/alarms", &alarm(&hook, 0.0)).await.expect(201).json();
    let id = created["alarm_id"].as_str().unwrap();
    assert_eq!(created["state"], "insufficient data");
    let received = wait_for("the webhook is called and called again", MINUTE, || async {
        let received = hook.received();
        if received.len() >= 2 { Ok(received) } else { Err(format!("{} calls", received.len())) }
    })
    .await;
    let [first, second, ..] = received.as_slice() else { unreachable!() };
    let id_header = |received: &nephos_integration_tests::hook::Received| {
        received.headers["x-openstack-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id_header(first), id_header(second), "a retry keeps its id");
    assert!(id_header(first).starts_with("req-"));
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.json["alarm_id"], id);
    assert_eq!(first.json["previous"], "insufficient data");
    assert_eq!(first.json["current"], "alarm");
    assert_eq!(first.json["severity"], "critical");
    let reason = first.json["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("Transition to alarm due to 1 samples outside threshold, most recent: "),
        "{reason}"
    );

    let history = api.get(&format!("/v2/alarms/{id}/history")).await.expect(200).json();
    let kinds: Vec<&str> =
        history.as_array().unwrap().iter().map(|change| change["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["state transition", "creation"]);
    let detail: Value = serde_json::from_str(history[0]["detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["transition_reason"], reason);

    // An orderly end loses nothing, and a second start goes on where the first ended.
    let before = cpu_util(&api, 1).await;
    assert_eq!(nephos.stop(MINUTE).await, Some(0), "{}", nephos.log());
    nephos.start_again();
    let api = Http::new(&nephos.url("api").await);
    let after = cpu_util(&api, before.len() + 1).await;
    assert_eq!(after[..before.len() - 1], before[..before.len() - 1]);
    let alarm = api.get(&format!("/v2/alarms/{id}")).await.expect(200).json();
    assert_eq!(alarm["state"], "alarm");
}

#[tokio::test]
async fn what_was_answered_survives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NEPHOS__POLLING__ENABLED", "false")];
    let mut nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    let api = Http::new(&nephos.url("api").await);
    let metric = api.post("/v1/metric", &json!({"archive_policy_name": "high"})).await.expect(201).json();
    let path = format!("/v1/metric/{}/measures", metric["id"].as_str().unwrap());
    for value in 0..20 {
        let measure = json!([{"timestamp": format!("2026-11-21T00:00:{value:02}"), "value": value}]);
        api.post(&path, &measure).await.expect(202);
        let seen = api.get(&format!("{path}?granularity=1")).await.expect(200).json();
        assert_eq!(
            seen.as_array().unwrap().len(),
            value + 1,
            "an accepted measure is visible to the next read"
        );
    }
    nephos.kill();
    nephos.start_again();
    let api = Http::new(&nephos.url("api").await);
    let seen = api.get(&format!("{path}?granularity=1")).await.expect(200).json();
    let values: Vec<f64> = seen.as_array().unwrap().iter().map(|point| point[2].as_f64().unwrap()).collect();
    assert_eq!(values, (0..20).map(f64::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn writes_stop_when_the_disk_is_full_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NEPHOS__POLLING__ENABLED", "false")];
    let mut nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    let api = Http::new(&nephos.url("api").await);
    let metric = api.post("/v1/metric", &json!({"archive_policy_name": "low"})).await.expect(201).json();
    let path = format!("/v1/metric/{}/measures", metric["id"].as_str().unwrap());
    let measure = json!([{"timestamp": "2026-11-21T00:00:00", "value": 1}]);
    api.post(&path, &measure).await.expect(202);
    nephos.stop(MINUTE).await;

    let full = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__STORE__MIN_FREE", "1000000GiB")];
    let nephos = Nephos::start("run", folder.path(), "nephos", &full);
    // The port file of the first start is still there: wait for this one's.
    let api = wait_for("the second start listens", MINUTE, || async {
        let api = Http::new(&nephos.url("api").await);
        api.try_send("GET", "/healthz", None).await.map(|_| api)
    })
    .await;
    let refused = api.post(&path, &measure).await.expect(503);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(api.get(&path).await.expect(200).json().as_array().unwrap().len(), 1);
}

//! A Nephos that measures nothing of its own.

use std::path::Path;
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, wait_for};
use serde_json::Value;

pub(crate) fn start(folder: &Path, settings: &[(&str, &str)]) -> Nephos {
    let settings: Vec<_> =
        std::iter::once(("NEPHOS__POLLING__ENABLED", "false")).chain(settings.iter().copied()).collect();
    Nephos::start("run", folder, "nephos", &settings)
}

/// A client that sees finer buckets than the shipped rule gives: a second, for all metrics that come.
pub(crate) async fn client(nephos: &Nephos) -> Http {
    let api = Http::new(&nephos.url("api").await);
    let policy = serde_json::json!({"name": "second", "definition": [{"granularity": 1, "points": 100_000}]});
    api.post("/v1/archive_policy", &policy).await.expect(201);
    // Patterns are tried from the greatest text down, so this one comes before the shipped `*`.
    for (name, pattern) in [("letters", "[a-z]*"), ("more", "[_A-Z]*")] {
        let rule =
            serde_json::json!({"name": name, "metric_pattern": pattern, "archive_policy_name": "second"});
        api.post("/v1/archive_policy_rule", &rule).await.expect(201);
    }
    api
}

/// `kill -9`, and a client of what was started again.
pub(crate) async fn killed_and_back(nephos: &mut Nephos) -> Http {
    nephos.kill();
    nephos.start_again();
    Http::new(&nephos.url("api").await)
}

/// Values of a metric by the second, in time's order.
pub(crate) async fn values(api: &Http, resource: &str, metric: &str) -> Vec<f64> {
    let path =
        format!("/v1/resource/generic/{resource}/metric/{metric}/measures?granularity=1&aggregation=sum");
    let points = api.get(&path).await.expect(200).json();
    points.as_array().unwrap().iter().map(|point| point[2].as_f64().unwrap()).collect()
}

/// Waits until a resource has a metric; the resource.
pub(crate) async fn with_metric(api: &Http, resource: &str, metric: &str) -> Value {
    wait_for(&format!("{resource} has {metric}"), Duration::from_secs(30), || async {
        let found = api.try_send("GET", &format!("/v1/resource/generic/{resource}"), None).await?;
        let json = if found.status == 200 { found.json() } else { Value::Null };
        if json["metrics"][metric].is_string() { Ok(json) } else { Err(found.text) }
    })
    .await
}

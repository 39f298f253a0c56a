//! Quotas and rates of projects.

use nephos_integration_tests::http::Answer;
use nephos_integration_tests::{Http, wait_for};
use serde_json::{Value, json};

use super::support::{PATIENCE, World};

fn points(number: usize) -> Value {
    (0..number).map(|n| json!({"timestamp": 1_700_000_000 + n, "value": 1})).collect()
}

#[tokio::test]
async fn a_project_has_no_more_than_its_quotas() {
    let settings = [
        ("NEPHOS__API__AUTH_MODE", "noauth"),
        ("NEPHOS__LIMITS__METRICS_PER_PROJECT", "4"),
        ("NEPHOS__LIMITS__RESOURCES_PER_PROJECT", "2"),
    ];
    let world = World::start(&settings).await;
    let caller = |user: &str, project: &str, roles: &str| {
        world.api().with_headers(&[("x-user-id", user), ("x-project-id", project), ("x-roles", roles)])
    };
    let (ann, bob, eve) =
        (caller("ann", "p", "member"), caller("bob", "p", "member"), caller("eve", "q", "member"));
    let metric = json!({"archive_policy_name": "low"});
    let loose = ann.post("/v1/metric", &metric).await.expect(201).json();
    let resource = |id: &str, names: &[&str]| {
        let metrics: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), metric.clone())).collect();
        json!({"id": id, "metrics": metrics})
    };
    bob.post("/v1/resource/generic", &resource("a", &["x", "y"])).await.expect(201);
    // A request that goes over is refused whole.
    let refused = ann.post("/v1/resource/generic", &resource("b", &["x", "y"])).await.expect(429);
    assert!(refused.text.contains("Quota of 4 metrics for project p exceeded"), "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    ann.get("/v1/resource/generic/b").await.expect(404);
    let batch = json!({"a": {"z1": points(1), "z2": points(1)}});
    bob.post("/v1/batch/resources/metrics/measures?create_metrics=true", &batch).await.expect(429);
    bob.post("/v1/resource/generic/a/metric", &json!({"z1": metric, "z2": metric})).await.expect(429);
    // What fits is taken, by whichever way.
    bob.post("/v1/resource/generic/a/metric", &json!({"z1": metric})).await.expect(200);
    ann.post("/v1/metric", &metric).await.expect(429);
    ann.post("/v1/resource/generic", &resource("b", &[])).await.expect(201);
    let refused = ann.post("/v1/resource/generic", &resource("c", &[])).await.expect(429);
    assert!(refused.text.contains("Quota of 2 resources"), "{}", refused.text);
    // A failed creation takes nothing; other projects and administrators are not concerned.
    for _ in 0..5 {
        eve.post("/v1/metric", &json!({"archive_policy_name": "none"})).await.expect(400);
    }
    for _ in 0..4 {
        eve.post("/v1/metric", &metric).await.expect(201);
    }
    eve.post("/v1/metric", &metric).await.expect(429);
    let admin = caller("root", "q", "admin");
    admin.post("/v1/metric", &metric).await.expect(201);
    // What is deleted makes room.
    ann.send("DELETE", &format!("/v1/metric/{}", loose["id"].as_str().unwrap()), None).await.expect(204);
    wait_for("there is room again", PATIENCE, || async {
        let answer = ann.try_send("POST", "/v1/metric", Some(&metric)).await?;
        if answer.status == 201 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    let text = world.api().get("/metrics").await.expect(200).text;
    assert!(text.contains("nephos_api_limited_requests_total{limit=\"metrics\"}"), "{text}");
}

/// Asks until it was too often.
async fn until_limited(api: &Http, path: &str) -> Answer {
    for _ in 0..200 {
        let answer = api.get(path).await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("{path} is never refused");
}

#[tokio::test]
async fn a_project_sends_no_faster_than_its_rates() {
    let settings = [
        ("NEPHOS__API__AUTH_MODE", "noauth"),
        ("NEPHOS__LIMITS__REQUESTS_PER_SECOND", "1"),
        ("NEPHOS__LIMITS__REQUESTS_BURST", "30"),
        ("NEPHOS__LIMITS__POINTS_PER_SECOND", "1"),
        ("NEPHOS__LIMITS__POINTS_BURST", "100"),
    ];
    let world = World::start(&settings).await;
    let caller = |user: &str, project: &str| {
        world.api().with_headers(&[
            ("x-user-id", user),
            ("x-project-id", project),
            ("x-roles", "member,reader"),
        ])
    };
    let ann = caller("ann", "p");
    let metric = ann.post("/v1/metric", &json!({"archive_policy_name": "low"})).await.expect(201).json();
    let id = metric["id"].as_str().unwrap();
    let path = format!("/v1/metric/{id}/measures");
    ann.post(&path, &points(90)).await.expect(202);
    let refused = ann.post(&path, &points(90)).await.expect(429);
    assert!(refused.text.contains("more points a second"), "{}", refused.text);
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=90).contains(&wait), "{wait}");
    caller("bob", "p").post("/v1/batch/metrics/measures", &json!({id: points(90)})).await.expect(429);
    // Requests: of the same project from another user, of both APIs; others have their own.
    let bob = caller("bob", "p");
    let refused = until_limited(&bob, "/v1/metric").await;
    assert!(refused.text.contains("Project p sends more requests a second"), "{}", refused.text);
    let alarms = until_limited(&bob, "/v2/alarms").await;
    let fault = &alarms.json()["error_message"]["faultstring"];
    assert!(fault.as_str().unwrap().contains("requests"), "{}", alarms.text);
    assert!(alarms.headers.contains_key("retry-after"));
    caller("eve", "q").get("/v1/metric").await.expect(200);
    world.api().get("/healthcheck").await.expect(200);
}

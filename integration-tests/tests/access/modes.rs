//! What callers of two projects and an administrator see of each other, in every mode.

use nephos_integration_tests::Http;
use serde_json::{Value, json};

use super::support::World;

/// Ann of project p, Eve of project q, and an administrator.
struct Callers {
    ann: Http,
    eve: Http,
    root: Http,
}

fn by_headers(api: &Http, user_header: Option<&'static str>) -> Callers {
    let caller = |user: &str, project: &str, roles: &str| {
        let name = user_header.unwrap_or("x-user-id");
        api.with_headers(&[(name, user), ("x-project-id", project), ("x-roles", roles)])
    };
    Callers {
        ann: caller("ann", "p", "member,reader"),
        eve: caller("eve", "q", "member,reader"),
        root: caller("root", "ops", "admin"),
    }
}

async fn ids(api: &Http, method: &str, path: &str, body: Option<&Value>) -> Vec<String> {
    let list = api.send(method, path, body).await.expect(200).json();
    let mut ids: Vec<String> =
        list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

/// Each project has a resource with a metric, a loose metric, measures and an alarm.
struct Things {
    resource: String,
    cpu: String,
    loose: String,
    alarm: String,
}

async fn create(api: &Http, name: &str) -> Things {
    let body = json!({"id": name, "project_id": null, "metrics": {"cpu": {"archive_policy_name": "low"}}});
    let resource = api.post("/v1/resource/generic", &body).await.expect(201).json();
    let body = json!({"name": format!("{name}-loose"), "archive_policy_name": "low"});
    let loose = api.post("/v1/metric", &body).await.expect(201).json();
    let cpu = resource["metrics"]["cpu"].as_str().unwrap().to_owned();
    let measures = json!([{"timestamp": "2026-01-01T00:00:00", "value": 1}]);
    api.post(&format!("/v1/metric/{cpu}/measures"), &measures).await.expect(202);
    let alarm = json!({"name": name, "type": "gnocchi_resources_threshold", "gnocchi_resources_threshold_rule": {
        "metric": "cpu", "resource_id": name, "resource_type": "generic", "aggregation_method": "mean", "threshold": 1}});
    let alarm = api.post("/v2/alarms", &alarm).await.expect(201).json();
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    Things { resource: id(&resource["id"]), cpu, loose: id(&loose["id"]), alarm: id(&alarm["alarm_id"]) }
}

async fn check(callers: &Callers, filters: bool) {
    let Callers { ann, eve, root } = callers;
    let (anns, eves) = (create(ann, "ann-thing").await, create(eve, "eve-thing").await);
    let sorted = |list: &[&String]| {
        let mut list: Vec<String> = list.iter().map(|id| (*id).clone()).collect();
        list.sort_unstable();
        list
    };
    // Lists and searches.
    let everything = json!({});
    for (api, own, all) in [(ann, &anns, !filters), (eve, &eves, !filters), (root, &anns, true)] {
        let resources =
            if all { sorted(&[&anns.resource, &eves.resource]) } else { vec![own.resource.clone()] };
        assert_eq!(ids(api, "GET", "/v1/resource/generic", None).await, resources);
        assert_eq!(ids(api, "GET", "/v1/resource/generic?history=true", None).await, resources);
        assert_eq!(ids(api, "POST", "/v1/search/resource/generic", Some(&everything)).await, resources);
        let metrics = if all {
            sorted(&[&anns.cpu, &anns.loose, &eves.cpu, &eves.loose])
        } else {
            sorted(&[&own.cpu, &own.loose])
        };
        assert_eq!(ids(api, "GET", "/v1/metric", None).await, metrics);
        // Computing over what a search finds, grouped or not.
        let question = json!({"resource_type": "generic", "search": {}, "operations": "(metric cpu mean)"});
        let found = api.post("/v1/aggregates", &question).await.expect(200).json();
        assert_eq!(found["measures"].as_object().unwrap().len(), resources.len(), "{found}");
        let groups = api.post("/v1/aggregates?groupby=id", &question).await.expect(200).json();
        assert_eq!(groups.as_array().unwrap().len(), resources.len(), "{groups}");
        let path = "/v1/aggregation/resource/generic/metric/cpu?groupby=id";
        let groups = api.post(path, &everything).await;
        if filters || own.cpu == anns.cpu && std::ptr::eq(api, root) {
            let groups = groups.expect(200).json();
            assert_eq!(groups.as_array().unwrap().len(), resources.len(), "{groups}");
        }
    }
    // One at a time.
    for (method, path, body) in [
        ("GET", format!("/v1/resource/generic/{}", anns.resource), None),
        ("GET", format!("/v1/resource/generic/{}/history", anns.resource), None),
        ("GET", format!("/v1/resource/generic/{}/metric", anns.resource), None),
        ("PATCH", format!("/v1/resource/generic/{}", anns.resource), Some(json!({}))),
        ("DELETE", format!("/v1/resource/generic/{}", anns.resource), None),
        ("GET", format!("/v1/metric/{}", anns.loose), None),
        ("GET", format!("/v1/metric/{}/measures", anns.cpu), None),
        ("POST", format!("/v1/metric/{}/measures", anns.cpu), Some(json!([]))),
        ("DELETE", format!("/v1/metric/{}", anns.loose), None),
        ("GET", format!("/v1/aggregation/metric?metric={}", anns.cpu), None),
        ("POST", format!("/v1/search/metric?metric_id={}", anns.cpu), Some(json!({">": 0}))),
        (
            "POST",
            "/v1/aggregates".to_owned(),
            Some(json!({"operations": format!("(metric {} mean)", anns.cpu)})),
        ),
        ("POST", "/v1/batch/metrics/measures".to_owned(), Some(json!({(anns.cpu.as_str()): []}))),
        (
            "POST",
            "/v1/metric".to_owned(),
            Some(json!({"name": "x", "resource_id": anns.resource, "archive_policy_name": "low"})),
        ),
        ("GET", "/v1/status".to_owned(), None),
        ("POST", "/v1/archive_policy".to_owned(), Some(json!({}))),
    ] {
        let answer = eve.send(method, &path, body.as_ref()).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
    let batch = json!({(anns.resource.as_str()): {"cpu": []}});
    eve.post("/v1/batch/resources/metrics/measures", &batch).await.expect(403);
    // Alarms of other projects do not exist, lists are of one's own project.
    eve.get(&format!("/v2/alarms/{}", anns.alarm)).await.expect(404);
    eve.get(&format!("/v2/alarms/{}/history", anns.alarm)).await.expect(404);
    eve.send("DELETE", &format!("/v2/alarms/{}", anns.alarm), None).await.expect(404);
    let alarms = eve.get("/v2/alarms").await.expect(200).json();
    assert_eq!(alarms.as_array().unwrap().len(), 1, "{alarms}");
    assert_eq!(alarms[0]["alarm_id"], eves.alarm.as_str());
    eve.get("/v2/alarms?q.field=all_projects&q.value=true").await.expect(403);
    root.get(&format!("/v2/alarms/{}", anns.alarm)).await.expect(200);
    let all = root.get("/v2/alarms?q.field=all_projects&q.value=true").await.expect(200).json();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    // Deleting by a filter takes one's own.
    let nearly_all = json!({"!=": {"type": "nothing"}});
    let deleted = eve.send("DELETE", "/v1/resource/generic", Some(&nearly_all)).await.expect(200).json();
    assert_eq!(deleted, json!({"deleted": 1}));
    assert_eq!(ids(root, "GET", "/v1/resource/generic", None).await, std::slice::from_ref(&anns.resource));
    let deleted = root.send("DELETE", "/v1/resource/generic", Some(&nearly_all)).await.expect(200).json();
    assert_eq!(deleted, json!({"deleted": 1}));
}

#[tokio::test]
async fn with_basic_names_lists_show_all_and_everything_else_is_ones_own() {
    let world = World::start(&[]).await;
    let api = world.api();
    let callers = Callers { ann: api.as_user("ann"), eve: api.as_user("eve"), root: api.as_user("admin") };
    check(&callers, false).await;
    api.with_headers(&[]).get("/v1/metric").await.expect(401);
}

#[tokio::test]
async fn with_headers_of_a_proxy_everybody_sees_their_project() {
    let world = World::start(&[("NEPHOS__API__AUTH_MODE", "noauth")]).await;
    check(&by_headers(&world.api(), None), true).await;
    world.api().get("/v1/metric").await.expect(401);
}

#[tokio::test]
async fn with_a_users_name_of_a_proxy_everybody_sees_their_project_or_their_own() {
    let world = World::start(&[("NEPHOS__API__AUTH_MODE", "remoteuser")]).await;
    check(&by_headers(&world.api(), Some("x-remote-user")), true).await;
    world.api().get("/v1/metric").await.expect(401);
    let world = World::start(&[("NEPHOS__API__AUTH_MODE", "remoteuser")]).await;
    let named = |user: &str| world.api().with_headers(&[("x-remote-user", user)]);
    check(&Callers { ann: named("ann"), eve: named("eve"), root: named("admin") }, true).await;
}

#[tokio::test]
async fn with_passwords_everybody_sees_their_project() {
    let world = World::start(&[("NEPHOS__API__AUTH_MODE", "local")]).await;
    for (name, project, role) in [("ann", "p", "member"), ("eve", "q", "member"), ("root", "ops", "admin")] {
        world.add(name, &format!("{name}'s secret"), project, role);
    }
    let api = world.api();
    let as_user = |name: &str| api.with_password(name, &format!("{name}'s secret"));
    check(&Callers { ann: as_user("ann"), eve: as_user("eve"), root: as_user("root") }, true).await;
    let challenge = as_user("nobody").get("/v1/metric").await.expect(401).headers["www-authenticate"].clone();
    assert!(challenge.to_str().unwrap().starts_with("Basic realm="));
    // What a proxy would say is not believed here.
    let headers = [("x-user-id", "root"), ("x-roles", "admin"), ("x-remote-user", "root")];
    api.with_headers(&headers).get("/v1/metric").await.expect(401);
}

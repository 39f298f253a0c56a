//! Scenarios of requests and what must come back, each against a server of its own on SQLite and local files.
//!
//! A scenario is a file below `testdata`: a list of steps. A step sends `method path` as `user` (none: without
//! credentials) with `headers_sent` and `body` (JSON, or text sent as it is), where `alone` is set to the alarm API's
//! own listener, and checks `status`, `headers`, `json` (pointer to value; the empty pointer is the whole), `count`
//! (items by pointer), `ascending` (a pointer into the items of a list, which are in its order), `text` (parts of the
//! body), `present` and `absent` (headers). `save` keeps values by pointer, or by `header:name`, for `{name}` in later
//! steps. `at_once` asks for an answer within a second.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "scenarios/interrupted.rs"]
mod interrupted;
#[path = "scenarios/pieces.rs"]
mod pieces;
#[path = "scenarios/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nephos_api::housekeeping;
use nephos_identity::{Basic, Identity, NoAuth};
use nephos_metric_store::MetricStore;
use serde_json::{Map, Value};

use server::{Answer, Server, send};

/// What is refused, or cheap, is answered within this.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn timed(address: SocketAddr, head: &str, body: &[u8]) -> (Answer, Duration) {
    let start = std::time::Instant::now();
    let answer = send(address, head, body).await;
    (answer, start.elapsed())
}

fn filled(value: &Value, saved: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            for (name, value) in saved {
                text = text.replace(&format!("{{{name}}}"), value);
            }
            Value::String(text)
        }
        Value::Array(items) => items.iter().map(|item| filled(item, saved)).collect(),
        Value::Object(map) => {
            let key = |key: &String| filled(&Value::String(key.clone()), saved).as_str().unwrap().to_owned();
            Value::Object(map.iter().map(|(name, value)| (key(name), filled(value, saved))).collect())
        }
        other => other.clone(),
    }
}

/// First line, headers and body of a step.
fn request(step: &Map<String, Value>, address: SocketAddr) -> (String, Vec<u8>) {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    let mut headers: BTreeMap<String, String> = BTreeMap::from([("host".to_owned(), address.to_string())]);
    if let Some(user) = text("user") {
        use base64::Engine as _;
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:"));
        headers.insert("authorization".to_owned(), format!("basic {credentials}"));
    }
    let body = match step.get("body") {
        None => Vec::new(),
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(body) => serde_json::to_vec(body).unwrap(),
    };
    if step.contains_key("body") || text("method").is_some_and(|method| method != "GET") {
        headers.insert("content-type".to_owned(), "application/json".to_owned());
    }
    for (name, value) in step.get("headers_sent").and_then(Value::as_object).into_iter().flatten() {
        headers.insert(name.clone(), value.as_str().unwrap().to_owned());
    }
    let mut head = format!("{} {} HTTP/1.1\r\n", text("method").unwrap_or("GET"), text("path").unwrap());
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    (head, body)
}

fn check(label: &str, step: &Map<String, Value>, answer: &Answer, json: &Value) {
    let Answer { status, headers, body } = answer;
    let expected = step.get("status").and_then(Value::as_u64).unwrap_or(200);
    assert_eq!(u64::from(*status), expected, "{label}: {body}");
    for (name, value) in step.get("headers").and_then(Value::as_object).into_iter().flatten() {
        assert_eq!(
            headers.get(name).map(String::as_str),
            value.as_str(),
            "{label}: header {name} in {headers:?}"
        );
    }
    for name in step.get("present").and_then(Value::as_array).into_iter().flatten() {
        assert!(headers.contains_key(name.as_str().unwrap()), "{label}: no header {name} in {headers:?}");
    }
    for name in step.get("absent").and_then(Value::as_array).into_iter().flatten() {
        assert!(!headers.contains_key(name.as_str().unwrap()), "{label}: header {name} in {headers:?}");
    }
    for (pointer, value) in step.get("json").and_then(Value::as_object).into_iter().flatten() {
        assert_eq!(json.pointer(pointer), Some(value), "{label}: {pointer} of {body}");
    }
    for (pointer, count) in step.get("count").and_then(Value::as_object).into_iter().flatten() {
        let found = json.pointer(pointer).and_then(|value| match value {
            Value::Array(items) => Some(items.len()),
            Value::Object(map) => Some(map.len()),
            _ => None,
        });
        assert_eq!(
            found,
            count.as_u64().and_then(|count| usize::try_from(count).ok()),
            "{label}: {pointer} of {body}"
        );
    }
    if let Some(pointer) = step.get("ascending").and_then(Value::as_str) {
        let keys =
            json.as_array().expect(label).iter().map(|item| item.pointer(pointer).and_then(Value::as_str));
        assert!(keys.is_sorted(), "{label}: {pointer} of {body}");
    }
    for part in step.get("text").and_then(Value::as_array).into_iter().flatten() {
        assert!(body.contains(part.as_str().unwrap()), "{label}: {part} in {body}");
    }
}

async fn play(server: &Server, file: &Path) {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let steps: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let url = |address: SocketAddr| format!("http://{address}");
    let mut saved =
        BTreeMap::from([("base".to_owned(), url(server.address)), ("alone".to_owned(), url(server.aodh))]);
    for (number, step) in steps.iter().enumerate() {
        let step = filled(step, &saved);
        let step = step.as_object().unwrap();
        let label =
            format!("{name} #{number} {}", step.get("is").and_then(Value::as_str).unwrap_or_default());
        if step.contains_key("housekeeping") {
            housekeeping(server.index.as_ref(), server.store.as_ref()).await.unwrap();
            continue;
        }
        // Revisions start at different times.
        server.clock.advance(Duration::from_secs(1));
        let address = if step.contains_key("alone") { server.aodh } else { server.address };
        let (head, body) = request(step, address);
        let mut answer = timed(address, &head, &body).await;
        for _ in 0..2 {
            // Others may have had the machine just then: asked again it must not take as long.
            if step.contains_key("at_once") && answer.1 >= AT_ONCE {
                answer = timed(address, &head, &body).await;
            }
        }
        let (answer, took) = answer;
        assert!(!step.contains_key("at_once") || took < AT_ONCE, "{label}: took {took:?}");
        let json = serde_json::from_str(&answer.body).unwrap_or_default();
        check(&label, step, &answer, &json);
        for (name, pointer) in step.get("save").and_then(Value::as_object).into_iter().flatten() {
            let value = match pointer.as_str().unwrap().strip_prefix("header:") {
                Some(header) => Value::String(answer.headers[header].clone()),
                None => json.pointer(pointer.as_str().unwrap()).expect(&label).clone(),
            };
            saved.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
}

async fn play_file(name: &str, identity: Arc<dyn Identity>) {
    let server = Server::start(identity).await;
    play(&server, &testdata().join(name)).await;
    server.stop().await;
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

macro_rules! scenarios {
    ($($folder:ident as $identity:ident: $($name:ident),*;)*) => {
        $(mod $folder {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                let file = concat!(stringify!($folder), "/", stringify!($name), ".json");
                play_file(file, Arc::new(<$identity as Default>::default())).await;
            })*
        })*

        const PLAYED: &[&str] = &[$($(concat!(stringify!($folder), "/", stringify!($name), ".json")),*),*];
    };
}

scenarios! {
    gnocchi as Basic: aggregates, batch, erase, ingest, measures, metric_policy, metrics, nul, pagination, panels, policies, protocol, ranking, refusals, resources, search, types;
    gnocchi_headers as NoAuth: visibility;
    aodh as NoAuth: alarms, alone, history, lists, projects, refusals;
}

#[test]
fn every_file_is_played() {
    let folders = std::fs::read_dir(testdata()).unwrap().map(|folder| folder.unwrap().path());
    let files =
        folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.map(|file| file.strip_prefix(testdata()).unwrap().to_owned()).collect();
    found.sort_unstable();
    let mut played: Vec<_> = PLAYED.iter().map(PathBuf::from).collect();
    played.sort_unstable();
    assert_eq!(found, played);
}

#[tokio::test]
async fn status_tells_what_the_store_tells() {
    let server = Server::start(Arc::new(Basic)).await;
    let head =
        format!("GET /v1/status HTTP/1.1\r\nhost: {}\r\nauthorization: basic YWRtaW46\r\n", server.address);
    let answer = send(server.address, &head, b"").await;
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let statistics = server.store.statistics().await.unwrap();
    assert_eq!(json.pointer("/storage/summary/measures").and_then(Value::as_u64), Some(statistics.backlog));
    assert_eq!(
        json.pointer("/metricd/statistics/store/bytes on disk").and_then(Value::as_u64),
        Some(statistics.disk_bytes)
    );
    server.stop().await;
}

//! Kills, floods and late points, against one embedded Nephos.

use std::path::Path;

use nephos_integration_tests::lives::Lives;
use nephos_integration_tests::{Http, Nephos, process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const QUIET: [(&str, &str); 2] = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__STORE__MIN_FREE", "0")];

async fn start(folder: &Path) -> (Nephos, Http) {
    let nephos = Nephos::start("run", folder, "nephos", &QUIET);
    let api = Http::new(&nephos.url("api").await);
    (nephos, api)
}

#[tokio::test]
async fn fifty_kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut lives = Lives::begin(folder.path(), 20_261_122).await;
    for _ in 0..48 {
        lives.die(500).await;
    }
    lives.live_on_a_full_disk().await;
    assert_eq!(lives.killed, 50);
    let ledger = lives.end().await;
    assert!(ledger.acknowledged() > 1_000, "only {} samples", ledger.acknowledged());
}

/// Highest resident memory of a process so far, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// Posts so many measures in one request, its length not told beforehand; the status line of the answer.
async fn flood(api: &Http, path: &str, points: u32) -> String {
    let address = api.base().strip_prefix("http://").unwrap();
    let (mut from, mut to) = tokio::net::TcpStream::connect(address).await.unwrap().into_split();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic YWRtaW46\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    let sending = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await?;
        let mut body = String::from("[");
        for point in 0..points {
            let end = if point + 1 == points { ']' } else { ',' };
            body.push_str(&format!("{{\"timestamp\":{},\"value\":1}}{end}", 1_700_000_000 + point));
            if body.len() > 1 << 20 || end == ']' {
                let chunk = format!("{:x}\r\n{body}\r\n", body.len());
                to.write_all(chunk.as_bytes()).await?;
                body.clear();
            }
        }
        to.write_all(b"0\r\n\r\n").await?;
        // Closed only after the answer: a client that hangs up wants none.
        Ok::<_, std::io::Error>(to)
    });
    let (mut answer, mut part) = (Vec::new(), [0; 4_096]);
    // A server that has answered may close without reading the rest.
    while let Ok(read @ 1..) = from.read(&mut part).await {
        answer.extend_from_slice(&part[..read]);
    }
    sending.abort();
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn ten_million_points_of_one_metric_in_one_request_are_refused_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (nephos, api) = start(folder.path()).await;
    let metric = api.post("/v1/metric", &json!({"archive_policy_name": "low"})).await.expect(201).json();
    let path = format!("/v1/metric/{}/measures", metric["id"].as_str().unwrap());
    let status = flood(&api, &path, 10_000_000).await;
    assert!(status.starts_with("HTTP/1.1 413"), "{status}");
    // The largest body that is read at all is 64 MiB, and it is not even parsed here.
    let most = peak(nephos.pid());
    assert!(most < 512 << 20, "{most} bytes of memory");
    assert_eq!(api.get(&path).await.expect(200).json(), json!([]), "nothing of it was taken");

    // As many as fit are taken, every one of them.
    let status = flood(&api, &path, 1_000_000).await;
    assert!(status.starts_with("HTTP/1.1 202"), "{status}");
    let points = api.get(&format!("{path}?aggregation=count")).await.expect(200).json();
    let points = points.as_array().unwrap();
    // The policy low shows 8,640 buckets of five minutes: all of the 3,334 or so.
    assert!((3_333..=3_335).contains(&points.len()), "{} buckets", points.len());
    let count: f64 = points.iter().map(|point| point[2].as_f64().unwrap()).sum();
    assert_eq!(count, 1_000_000.0);
    let most = peak(nephos.pid());
    assert!(most < 768 << 20, "{most} bytes of memory");
}

#[tokio::test]
async fn ten_thousand_metrics_born_in_a_burst_are_all_there() {
    const RESOURCES: usize = 100;
    const EACH: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let (mut nephos, api) = start(folder.path()).await;
    let mut clients = vec![Vec::new(); 4];
    for resource in 0..RESOURCES {
        let id = uuid::Uuid::from_u128(resource as u128 + 1).to_string();
        api.post("/v1/resource/generic", &json!({"id": id})).await.expect(201);
        let metrics = (0..EACH).map(|metric| {
            let measure = json!([{"timestamp": "2026-11-21T00:00:00", "value": resource * EACH + metric}]);
            (format!("burst.{metric}"), measure)
        });
        clients[resource % 4].push(json!({id: Value::Object(metrics.collect())}));
    }
    let clients = clients.into_iter().map(|bodies| {
        let api = api.clone();
        tokio::spawn(async move {
            for body in &bodies {
                let path = "/v1/batch/resources/metrics/measures?create_metrics=true";
                api.post(path, body).await.expect(202);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    for resource in 0..RESOURCES {
        let id = uuid::Uuid::from_u128(resource as u128 + 1);
        let found = api.get(&format!("/v1/resource/generic/{id}")).await.expect(200).json();
        assert_eq!(found["metrics"].as_object().unwrap().len(), EACH, "{id}");
        let metric = resource * 37 % EACH;
        let path = format!("/v1/resource/generic/{id}/metric/burst.{metric}/measures?aggregation=mean");
        let points = api.get(&path).await.expect(200).json();
        assert_eq!(points[0][2].as_f64(), Some((resource * EACH + metric) as f64), "{path}");
    }
    nephos.kill();
    let data = folder.path().join("nephos-data");
    let output = process::command(&["store", "export"]).env("NEPHOS__DATA_DIR", &data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    let count = |kind: &str| rows.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!((count("metric,"), count("raw,")), (RESOURCES * EACH, RESOURCES * EACH), "after a kill, too");
}

/// Counts and last values of the minutes of a metric, as (minute, count, last).
async fn minutes(api: &Http, path: &str) -> Vec<(i64, f64, f64)> {
    let mut columns = Vec::new();
    for method in ["count", "last"] {
        columns.push(api.get(&format!("{path}?aggregation={method}")).await.expect(200).json());
    }
    let rows = columns[0].as_array().unwrap().iter().zip(columns[1].as_array().unwrap());
    rows.map(|(count, last)| {
        let at: jiff::Timestamp = count[0].as_str().unwrap().parse().unwrap();
        (at.as_second() / 60, count[2].as_f64().unwrap(), last[2].as_f64().unwrap())
    })
    .collect()
}

#[tokio::test]
async fn late_points_count_inside_the_back_window_only_and_duplicates_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nephos, api) = start(folder.path()).await;
    let policy = json!({
        "name": "window", "back_window": 2, "aggregation_methods": ["count", "last"],
        "definition": [{"granularity": "1m", "points": 1_000}],
    });
    api.post("/v1/archive_policy", &policy).await.expect(201);
    let metric = api.post("/v1/metric", &json!({"archive_policy_name": "window"})).await.expect(201).json();
    let path = format!("/v1/metric/{}/measures", metric["id"].as_str().unwrap());
    let post = async |api: &Http, points: &[(f64, i64)]| {
        let points = points.iter().map(|(at, value)| json!({"timestamp": at, "value": value}));
        api.post(&path, &points.collect()).await.expect(202);
    };
    // Minute 10 is the newest, so that the window begins with minute 8.
    post(&api, &[(61.0, 1), (630.0, 2)]).await;
    // Just outside, just inside, and far outside where there is a bucket already.
    post(&api, &[(479.999_999, 3), (480.0, 4), (62.0, 5)]).await;
    // Of equal times the later request counts, and inside one request the smaller value.
    post(&api, &[(630.0, 6), (480.0, 8), (480.0, 7), (630.0, 9)]).await;
    post(&api, &[(480.0, 7)]).await;
    let expected = [(1, 1.0, 1.0), (8, 1.0, 7.0), (10, 1.0, 6.0)];
    assert_eq!(minutes(&api, &path).await, expected);

    nephos.kill();
    nephos.start_again();
    let api = Http::new(&nephos.url("api").await);
    assert_eq!(minutes(&api, &path).await, expected, "the log says the same");
    // A point of minute 12 moves the window on.
    post(&api, &[(720.0, 1), (540.0, 1), (599.0, 2), (600.0, 3)]).await;
    post(&api, &[(599.5, 1), (481.0, 1)]).await;
    let expected = [(1, 1.0, 1.0), (8, 1.0, 7.0), (9, 2.0, 2.0), (10, 2.0, 6.0), (12, 1.0, 1.0)];
    assert_eq!(minutes(&api, &path).await, expected);
}

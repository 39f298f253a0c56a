//! Remote write: what a real Prometheus sent, and messages of both versions made here.

use serde_json::json;

use super::support::{client, killed_and_back, start, values};

const ONE: [(&str, &str); 2] = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
const TWO: [(&str, &str); 2] = [
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("content-encoding", "snappy"),
];

fn packed(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

fn number(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    message.push(u8::try_from(number).unwrap());
}

fn field(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    number(message, field << 3 | 2);
    number(message, value.len() as u64);
    message.extend_from_slice(value);
}

fn sample(value: f64, millis: u64) -> Vec<u8> {
    let mut sample = vec![9];
    sample.extend(value.to_le_bytes());
    sample.push(16);
    number(&mut sample, millis);
    sample
}

/// A message of version 2.0: series as their symbols' numbers and one sample each.
fn two(symbols: &[&str], series: &[(&[u8], f64, u64)]) -> Vec<u8> {
    let mut message = Vec::new();
    for symbol in symbols {
        field(&mut message, 4, symbol.as_bytes());
    }
    for (labels, value, millis) in series {
        let mut one = Vec::new();
        field(&mut one, 1, labels);
        field(&mut one, 2, &sample(*value, *millis));
        field(&mut message, 5, &one);
    }
    packed(&message)
}

#[tokio::test]
async fn what_prometheus_sends_is_durable_when_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut nephos = start(folder.path(), &[]);
    let api = client(&nephos).await;
    let sent = include_bytes!("../../testdata/remote-write/one.bin").to_vec();
    assert_eq!(api.post_bytes("/v1/prometheus/write", &ONE, sent.clone()).await.expect(202).text, "");
    let api = killed_and_back(&mut nephos).await;
    let targets = api.get("/v1/resource/prometheus").await.expect(200).json();
    assert_eq!(targets.as_array().unwrap().len(), 1);
    assert_eq!(
        (&targets[0]["job"], &targets[0]["instance"]),
        (&json!("prometheus"), &json!("localhost:9090"))
    );
    assert_eq!(targets[0]["metrics"].as_object().unwrap().len(), 56);
    let path = "/v1/resource/prometheus/prometheus@localhost:9090/metric/scrape_samples_scraped/measures";
    let points = api.get(path).await.expect(200).json();
    assert_eq!(points, json!([["2017-09-23T06:02:58+00:00", 1.0, 558.0]]));
    // The same once more changes nothing, and who may not make types may still write what is there to them.
    api.post_bytes("/v1/prometheus/write", &ONE, sent.clone()).await.expect(202);
    assert_eq!(api.get(path).await.expect(200).json(), points);
    api.as_user("foo").post_bytes("/v1/prometheus/write", &ONE, sent).await.expect(202);
    assert_eq!(api.get("/v1/resource/prometheus").await.expect(200).json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn labels_are_attributes_by_which_series_are_found_and_grouped() {
    let folder = tempfile::tempdir().unwrap();
    let nephos = start(folder.path(), &[]);
    let api = client(&nephos).await;
    let symbols =
        ["", "__name__", "hits", "job", "web", "instance", "h:9", "code", "200", "500", "id", "x/y"];
    let series: [(&[u8], f64, u64); 3] = [
        (&[1, 2, 3, 4, 5, 6, 7, 8], 5.0, 1_500_000_000_000),
        (&[1, 2, 3, 4, 5, 6, 7, 9, 10, 11], 7.0, 1_500_000_000_000),
        (&[1, 2, 3, 4, 5, 6, 7, 8], 6.0, 1_500_000_001_000),
    ];
    let answer = api.post_bytes("/api/v1/write", &TWO, two(&symbols, &series)).await.expect(204);
    assert_eq!(answer.headers["x-prometheus-remote-write-samples-written"], "3");
    assert_eq!(answer.headers["x-prometheus-remote-write-histograms-written"], "0");
    let search = json!({"=": {"code": "500"}});
    let found = api.post("/v1/search/resource/prometheus", &search).await.expect(200).json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["original_resource_id"], "web@h:9{code=\"500\",id=\"x_y\"}");
    assert_eq!((&found[0]["label_id"], &found[0]["job"]), (&json!("x/y"), &json!("web")));
    let body = json!({"operations": "(aggregate sum (metric hits mean))", "resource_type": "prometheus",
        "search": "job = 'web'"});
    let grouped = api.post("/v1/aggregates?groupby=code", &body).await.expect(200).json();
    let groups: Vec<_> = grouped
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let points = group["measures"]["measures"]["aggregated"].as_array().unwrap();
            (
                group["group"]["code"].clone(),
                points.iter().map(|point| point[2].as_f64().unwrap()).sum::<f64>(),
            )
        })
        .collect();
    assert_eq!(groups, [(json!("200"), 11.0), (json!("500"), 7.0)]);
}

#[tokio::test]
async fn what_cannot_be_taken_is_told_and_the_rest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let nephos = start(folder.path(), &[("NEPHOS__API__MAX_BODY", "1MiB")]);
    let api = client(&nephos).await;
    let symbols = ["", "__name__", "up", "job", "web"];
    let series: [(&[u8], f64, u64); 3] = [
        (&[1, 2, 3, 4], 1.0, 1_500_000_000_000),
        (&[3, 4], 1.0, 1_500_000_000_000),
        // The end of a series: understood, and nothing to keep.
        (&[1, 2, 3, 4], f64::from_bits(0x7ff0_0000_0000_0002), 1_500_000_001_000),
    ];
    let answer = api.post_bytes("/api/v1/write", &TWO, two(&symbols, &series)).await.expect(400);
    let first_line = answer.text.lines().next().unwrap();
    assert!(first_line.contains("series 2: the label __name__ is missing"), "{}", answer.text);
    assert_eq!(answer.headers["x-prometheus-remote-write-samples-written"], "2");
    assert_eq!(values(&api, "web@none", "up").await, [1.0]);
    let bomb = packed(&vec![0; 16 << 20]);
    assert!(bomb.len() < 1 << 20);
    api.post_bytes("/v1/prometheus/write", &ONE, bomb).await.expect(413);
    api.post_bytes("/v1/prometheus/write", &ONE, packed(b"\x0a\xff")).await.expect(400);
}

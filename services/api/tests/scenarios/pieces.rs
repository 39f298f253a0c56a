//! Batches by metric mean the same whether they come at once or in pieces.

use std::sync::Arc;

use nephos_identity::Basic;
use serde_json::{Value, json};

use super::server::{Answer, Server, send, send_in_pieces};
use crate::request;

const FIRST: &str = r#""{a}": [{"timestamp": "2017-07-14T02:40:01", "value": 1.5}]"#;

async fn ask(server: &Server, method: &str, path: &str, body: Value, piece: Option<usize>) -> Answer {
    let step = json!({"user": "admin", "method": method, "path": path, "body": body});
    let (head, body) = request(step.as_object().unwrap(), server.address);
    match piece {
        None => send(server.address, &head, &body).await,
        Some(piece) => send_in_pieces(server.address, &head, &body, piece).await,
    }
}

/// Posts a body about two new metrics: status, what the answer says, and what each metric then has.
async fn post(server: &Server, body: &str, piece: Option<usize>) -> (u16, String, [String; 2]) {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let metric = ask(server, "POST", "/v1/metric", json!({"archive_policy_name": "means"}), None).await;
        let metric: Value = serde_json::from_str(&metric.body).unwrap();
        ids.push(metric["id"].as_str().unwrap().to_owned());
    }
    let body = body.replace("{a}", &ids[0]).replace("{A}", &ids[0].to_uppercase()).replace("{b}", &ids[1]);
    let answer = ask(server, "POST", "/v1/batch/metrics/measures", Value::String(body), piece).await;
    let text = answer.body.replace(&ids[0], "{a}").replace(&ids[1], "{b}");
    let mut measures = [String::new(), String::new()];
    for (id, measures) in ids.iter().zip(&mut measures) {
        let path = format!("/v1/metric/{id}/measures?granularity=300");
        *measures = ask(server, "GET", &path, Value::Null, None).await.body;
    }
    (answer.status, text, measures)
}

#[tokio::test]
async fn a_batch_that_comes_in_pieces_means_what_it_means_at_once() {
    let server = Server::start(Arc::new(Basic)).await;
    let policy = json!({"name": "means", "definition": [{"granularity": 300}], "back_window": 9});
    assert_eq!(ask(&server, "POST", "/v1/archive_policy", policy, None).await.status, 201);
    let long = vec![r#"{"timestamp": 1500000002, "value": 1}"#; 90].join(",");
    for (others, expected) in [
        (String::new(), 202),
        (r#", "{b}": [{"timestamp": 1500000000, "value": "3]"}]"#.to_owned(), 400),
        (
            r#", "{b}": [{"timestamp": 1500000000, "value": NaN}, {"timestamp": 1500000001, "value": 2}]"#
                .to_owned(),
            202,
        ),
        (format!(r#", "{{b}}": [{long}]"#), 202),
        (r#", "{A}": [{"timestamp": "-5 minutes", "value": 7}]"#.to_owned(), 202),
        (r#", "{a}": [{"timestamp": "2017-07-14T02:40:02", "value": 2.5}], "{b}": []"#.to_owned(), 202),
        (r#", "{b}": [{"value": "4", "timestamp": "2017-07-14", "unit": "B"}]"#.to_owned(), 202),
        (r#" "{b}": [{"timestamp": 1500000000, "value": 2}]"#.to_owned(), 400),
        (r#", "{b}": {"timestamp": 1500000000, "value": 2}"#.to_owned(), 400),
        (r#", "{b}": [{"timestamp": "soon", "value": 2}]"#.to_owned(), 400),
        (r#", "b": [{"timestamp": 1500000000, "value": 2}]"#.to_owned(), 400),
        (r#", "00000000-0000-4000-8000-000000000000": [{"timestamp": 1, "value": 2}]"#.to_owned(), 400),
        (",".to_owned(), 400),
        ("} ,".to_owned(), 400),
    ] {
        let body = format!("{{{FIRST}{others}}}");
        let whole = post(&server, &body, None).await;
        assert_eq!(whole.0, expected, "{body}: {}", whole.1);
        for piece in [37, 64, 101] {
            assert_eq!(post(&server, &body, Some(piece)).await, whole, "{body} by {piece} bytes");
        }
    }
    let too_long = format!("{{{FIRST}{}}}", " ".repeat(5_000));
    assert_eq!(post(&server, &too_long, Some(900)).await.0, 413);
    let cut = format!("{{{FIRST}");
    assert_eq!(post(&server, &cut, Some(20)).await.0, 400);
    server.stop().await;
}

//! StatsD over UDP.

use std::time::Duration;

use nephos_integration_tests::Http;
use tokio::net::UdpSocket;

use super::support::{client, start, values, with_metric};

const SETTINGS: [(&str, &str); 6] = [
    ("NEPHOS__STATSD__RESOURCE_ID", "statsd"),
    ("NEPHOS__STATSD__LISTEN", "127.0.0.1:0"),
    ("NEPHOS__STATSD__FLUSH_DELAY", "200ms"),
    ("NEPHOS__STATSD__PROJECT_ID", "shop"),
    ("NEPHOS__STATSD__MAX_METRICS", "5"),
    ("NEPHOS__STATSD__ARCHIVE_POLICY_NAME", "high"),
];

#[tokio::test]
async fn datagrams_are_summed_up_and_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut nephos = start(folder.path(), &SETTINGS);
    let api = client(&nephos).await;
    let url = nephos.url("statsd").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = url.strip_prefix("udp://").unwrap();
    socket.send_to(b"hits:1|c\nhits:2|c|@0.5\nload:5|g\nload:-1|g\nwhat", address).await.unwrap();
    let resource = with_metric(&api, "statsd", "load|g").await;
    assert_eq!((&resource["project_id"], &resource["creator"]), (&"shop".into(), &"admin".into()));
    let sum = |values: Vec<f64>| values.iter().sum::<f64>();
    assert_eq!(sum(values(&api, "statsd", "hits%7Cc").await), 5.0);
    assert_eq!(sum(values(&api, "statsd", "load%7Cg").await), 4.0);
    let metric = resource["metrics"]["hits|c"].as_str().unwrap();
    let metric = api.get(&format!("/v1/metric/{metric}")).await.expect(200).json();
    assert_eq!(metric["archive_policy"]["name"], "high");

    // More names than are kept at once are dropped, and what came last is written at an orderly end.
    let many: String = (0..20).map(|number| format!("many{number}:1|s\n")).collect();
    socket.send_to(many.as_bytes(), address).await.unwrap();
    with_metric(&api, "statsd", "many0|s").await;
    socket.send_to(b"last:7|ms", address).await.unwrap();
    assert_eq!(nephos.stop(Duration::from_secs(30)).await, Some(0), "{}", nephos.log());
    nephos.start_again();
    let api = Http::new(&nephos.url("api").await);
    let resource = with_metric(&api, "statsd", "last|ms").await;
    assert_eq!(values(&api, "statsd", "last%7Cms").await, [7.0]);
    assert!(resource["metrics"].as_object().unwrap().len() < 10, "{resource}");
}

//! Exact counting under load: senders that note what was acknowledged, and the check that every acknowledged sample is
//! stored once and only once.
//!
//! Each second of a metric takes four samples. With a policy of one-second `count`, the stored count of a second must be
//! at least what was acknowledged in it, and at most what was sent: a lost sample makes it smaller, one that counts
//! twice makes it larger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::http::Http;
use crate::wait::wait_for;

/// Samples of one second.
const PER_SECOND: i64 = 4;

/// Metrics to count in, and their policy, which somebody may have created already; their ids.
pub async fn metrics(api: &Http, number: usize) -> Vec<String> {
    let created = api.post("/v1/archive_policy", &policy()).await;
    assert!([201, 409].contains(&created.status), "{}", created.text);
    let mut metrics = Vec::with_capacity(number);
    for _ in 0..number {
        let metric = api.post("/v1/metric", &json!({"archive_policy_name": "counting"})).await;
        metrics.push(metric.expect(201).json()["id"].as_str().expect("an id").to_owned());
    }
    metrics
}

/// The archive policy of counted metrics.
fn policy() -> Value {
    json!({
        "name": "counting",
        "back_window": 3600,
        "aggregation_methods": ["count", "last"],
        "definition": [{"granularity": "1s", "points": 1_000_000}],
    })
}

/// `gnocchi_resources.yaml` that keeps the meters `load.*` by that policy.
pub const RESOURCES: &str = "\
archive_policy_default: counting
archive_policies:
  - name: counting
    back_window: 3600
    aggregation_methods: [count, last]
    definition: [{granularity: 1s, points: 1000000}]
resources:
  - resource_type: generic
    metrics:
      'load.*': {archive_policy_name: counting}
";

/// What was sent and acknowledged, by path of the metric's measures and second.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, BTreeMap<i64, Cell>>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    sent: u32,
    acknowledged: u32,
}

impl Ledger {
    fn note(&self, metric: &str, second: i64, change: impl Fn(&mut Cell)) {
        let mut cells = self.0.lock().unwrap();
        change(cells.entry(metric.to_owned()).or_default().entry(second).or_default());
    }

    /// How many samples were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        let cells = self.0.lock().unwrap();
        cells.values().flat_map(BTreeMap::values).map(|cell| u64::from(cell.acknowledged)).sum()
    }

    /// The same as it is now, for good.
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.cells())))
    }

    /// Waits until everything acknowledged is stored, then checks that nothing counts twice.
    pub async fn settle(&self, api: &Http, patience: Duration) {
        self.arrived(api, patience).await;
        for path in self.cells().keys() {
            let stored = stored(api, path).await.expect("measures");
            // Senders may go on, and note what they send before they do: so what is stored was noted by now.
            let cells = self.cells().remove(path).unwrap_or_default();
            for (second, count) in stored {
                let sent = cells.get(&second).map_or(0, |cell| cell.sent);
                assert!(
                    count <= sent,
                    "{path}: second {second} counts {count} samples, but {sent} were sent"
                );
            }
        }
    }

    /// Waits until everything acknowledged is stored, whatever else is.
    pub async fn arrived(&self, api: &Http, patience: Duration) {
        for (path, cells) in &self.cells() {
            wait_for(&format!("all acknowledged samples at {path}"), patience, || async {
                let stored = stored(api, path).await?;
                let missing: Vec<_> = cells
                    .iter()
                    .filter(|(second, cell)| stored.get(second).copied().unwrap_or(0) < cell.acknowledged)
                    .map(|(second, cell)| (*second, *cell, stored.get(second).copied()))
                    .collect();
                if missing.is_empty() {
                    return Ok(());
                }
                Err(format!(
                    "{} of {} seconds lack samples, first {:?}",
                    missing.len(),
                    cells.len(),
                    missing.first()
                ))
            })
            .await;
        }
    }

    fn cells(&self) -> BTreeMap<String, BTreeMap<i64, Cell>> {
        self.0.lock().unwrap().clone()
    }
}

async fn stored(api: &Http, path: &str) -> Result<BTreeMap<i64, u32>, String> {
    let answer = api.try_send("GET", &format!("{path}?aggregation=count&granularity=1"), None).await?;
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text));
    }
    let points = answer.json();
    let points = points.as_array().ok_or("no list")?;
    points
        .iter()
        .map(|point| {
            let at: jiff::Timestamp = point[0].as_str().ok_or("no time")?.parse().map_err(|_| "bad time")?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let count = point[2].as_f64().ok_or("no count")? as u32;
            Ok((at.as_second(), count))
        })
        .collect()
}

/// Senders that run until they are stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// What they sent.
    pub ledger: Ledger,
}

impl Default for Load {
    fn default() -> Self {
        Self { stop: Arc::new(AtomicBool::new(false)), tasks: Vec::new(), ledger: Ledger::default() }
    }
}

/// Seconds since the epoch, in the past so that no clock matters.
const START: i64 = 1_790_000_000;

impl Load {
    /// Posts measures to `metrics` (ids) over REST, each request one metric and a few measures.
    pub fn over_rest(&mut self, api: &Http, metrics: &[String]) {
        for metric in metrics {
            let (api, ledger, stop) = (api.clone(), self.ledger.clone(), Arc::clone(&self.stop));
            let path = format!("/v1/metric/{metric}/measures");
            self.tasks.push(tokio::spawn(async move {
                let mut second = START;
                while !stop.load(Ordering::Relaxed) {
                    let measures: Vec<Value> = (0..PER_SECOND)
                        .map(|part| json!({"timestamp": timestamp(second, part), "value": 1}))
                        .collect();
                    ledger.note(&path, second, |cell| cell.sent += 4);
                    let answer = api.try_send("POST", &path, Some(&Value::Array(measures))).await;
                    if answer.is_ok_and(|answer| answer.status == 202) {
                        ledger.note(&path, second, |cell| cell.acknowledged += 4);
                    } else {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    second += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
    }

    /// Publishes samples of meters `load.0` … of resource `resource` as a polling agent would, with publisher confirms.
    pub fn over_amqp(&mut self, url: &str, resource: &str, meters: usize) {
        let (url, resource) = (url.to_owned(), resource.to_owned());
        let (ledger, stop) = (self.ledger.clone(), Arc::clone(&self.stop));
        self.tasks.push(tokio::spawn(async move {
            let mut second = START;
            let mut channel = None;
            while !stop.load(Ordering::Relaxed) {
                let Some(open) = &channel else {
                    channel = connect(&url).await;
                    if channel.is_none() {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    continue;
                };
                let paths: Vec<String> = (0..meters)
                    .map(|meter| format!("/v1/resource/generic/{resource}/metric/load.{meter}/measures"))
                    .collect();
                for path in &paths {
                    ledger.note(path, second, |cell| cell.sent += 4);
                }
                if publish(open, &message(&resource, meters, second)).await {
                    for path in &paths {
                        ledger.note(path, second, |cell| cell.acknowledged += 4);
                    }
                } else {
                    channel = None;
                }
                second += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }

    /// Waits until so many samples more were acknowledged.
    pub async fn acknowledge_more(&self, samples: u64, patience: Duration) {
        let goal = self.ledger.acknowledged() + samples;
        wait_for(&format!("{samples} more samples acknowledged"), patience, || async {
            let now = self.ledger.acknowledged();
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}")) }
        })
        .await;
    }

    /// Stops the senders and waits for their last answers.
    pub async fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("sender");
        }
        self.ledger
    }
}

fn timestamp(second: i64, part: i64) -> String {
    let at = jiff::Timestamp::new(second, i32::try_from(part * 250_000_000).unwrap()).unwrap();
    format!("{at:.6}").trim_end_matches('Z').to_owned()
}

async fn connect(url: &str) -> Option<Channel> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = tokio::time::timeout(Duration::from_secs(5), connecting).await.ok()?.ok()?;
    let channel = connection.create_channel().await.ok()?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.ok()?;
    Some(channel)
}

/// Publishes and waits for the broker's word; true only for a confirm of a message that reached a queue.
async fn publish(channel: &Channel, body: &str) -> bool {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let publishing = async {
        let confirm = channel
            .basic_publish(
                "ceilometer".into(),
                "notifications.sample".into(),
                options,
                body.as_bytes(),
                properties,
            )
            .await?;
        confirm.await
    };
    match tokio::time::timeout(Duration::from_secs(10), publishing).await {
        Ok(Ok(confirmation)) => confirmation.is_ack() && confirmation.take_message().is_none(),
        _ => false,
    }
}

/// Publishes any text where polling agents publish; panics if the broker does not take it.
pub async fn publish_raw(url: &str, body: &str) {
    let channel = connect(url).await.expect("a channel");
    assert!(publish(&channel, body).await, "not confirmed");
}

/// A `telemetry.polling` message as the original agent writes it.
fn message(resource: &str, meters: usize, second: i64) -> String {
    let samples: Vec<Value> = (0..meters)
        .flat_map(|meter| (0..PER_SECOND).map(move |part| (meter, part)))
        .map(|(meter, part)| {
            json!({
                "source": "openstack", "counter_name": format!("load.{meter}"), "counter_type": "gauge",
                "counter_unit": "sample", "counter_volume": 1, "user_id": null, "user_name": null,
                "project_id": "load", "project_name": null, "resource_id": resource,
                "timestamp": timestamp(second, part), "resource_metadata": {},
                "message_id": uuid::Uuid::new_v4().to_string(), "monotonic_time": null, "message_signature": "",
            })
        })
        .collect();
    let inner = json!({
        "message_id": uuid::Uuid::new_v4().to_string(), "publisher_id": "ceilometer.polling",
        "event_type": "telemetry.polling", "priority": "SAMPLE", "payload": {"samples": samples},
        "timestamp": timestamp(second, 0).replace('T', " "), "_unique_id": uuid::Uuid::new_v4().simple().to_string(),
    });
    json!({"oslo.version": "2.0", "oslo.message": inner.to_string()}).to_string()
}

//! The main job as six processes on RabbitMQ and PostgreSQL, and what happens when any of them is killed under load:
//! of all acknowledged samples none is missing and none counts twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use nephos_integration_tests::cluster::SERVICES;
use nephos_integration_tests::counting;
use nephos_integration_tests::{Cluster, Hook, Http, servers, wait_for};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// The servers are shared, and some tests restart them.
static ALONE: Mutex<()> = Mutex::const_new(());

const PATIENCE: Duration = Duration::from_secs(120);

/// Points of a metric of the polled host, as (second, value).
async fn host_points(api: &Http, metric: &str, method: &str) -> Result<Vec<(i64, f64)>, String> {
    let path =
        format!("/v1/resource/generic/testhost/metric/{metric}/measures?aggregation={method}&granularity=1");
    let answer = api.try_send("GET", &path, None).await?;
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text));
    }
    let points = answer.json();
    let points = points.as_array().ok_or("no list")?;
    Ok(points
        .iter()
        .map(|point| {
            let at: jiff::Timestamp = point[0].as_str().unwrap().parse().unwrap();
            (at.as_second(), point[2].as_f64().unwrap())
        })
        .collect())
}

async fn wait_for_points(api: &Http, metric: &str, at_least: usize) -> Vec<(i64, f64)> {
    wait_for(&format!("{at_least} points of {metric}"), PATIENCE, || async {
        let points = host_points(api, metric, "count").await?;
        if points.len() >= at_least { Ok(points) } else { Err(format!("{} points", points.len())) }
    })
    .await
}

#[tokio::test]
async fn six_processes_do_the_main_job() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::start().await;
    let api = cluster.api();
    wait_for_points(&api, "cpu_util", 2).await;
    let rates = host_points(&api, "cpu_util", "last").await.unwrap();
    assert!(rates.len() >= 2, "{rates:?}");
    for (_, percent) in rates {
        assert!((0.0..=100.0).contains(&percent), "{percent}");
    }
    let hook = Hook::start().await;
    let rule = json!({
        "metric": "host.uptime", "resource_id": "testhost", "resource_type": "host", "aggregation_method": "count",
        "granularity": 1, "comparison_operator": "ge", "threshold": 1,
    });
    let alarm = json!({
        "name": "up", "type": "gnocchi_resources_threshold", "gnocchi_resources_threshold_rule": rule,
        "alarm_actions": [hook.url()],
    });
    let alarm = api.post("/v2/alarms", &alarm).await.expect(201).json();
    wait_for("the webhook is called", PATIENCE, || async {
        match hook.received().first() {
            Some(received) => {
                assert_eq!(received.json["current"], "alarm");
                Ok(())
            }
            None => {
                let path = format!("/v2/alarms/{}", alarm["alarm_id"].as_str().unwrap());
                Err(api.get(&path).await.text)
            }
        }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn any_service_may_be_killed_under_load() {
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::start().await;
    let api = cluster.api();
    let load = cluster.load(3, PATIENCE).await;
    for name in SERVICES {
        cluster.service(name).kill();
        // Some time without it: the broker goes on taking samples.
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.service(name).start_again();
        load.acknowledge_more(300, PATIENCE).await;
    }
    cluster.ready().await;
    load.acknowledge_more(300, PATIENCE).await;
    let ledger = load.stop().await;
    ledger.settle(&api, PATIENCE).await;
    assert!(ledger.acknowledged() > 2_000, "only {} samples", ledger.acknowledged());
    cluster.stop().await;
}

#[tokio::test]
async fn a_killed_polling_agent_leaves_a_gap_that_its_first_rate_spans() {
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::start().await;
    let api = cluster.api();
    wait_for_points(&api, "cpu_util", 3).await;
    cluster.service("polling-agent").kill();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let before = host_points(&api, "cpu", "count").await.unwrap();
    cluster.service("polling-agent").start_again();
    wait_for_points(&api, "cpu", before.len() + 3).await;
    cluster.service("polling-agent").kill();
    // Until what is under way has arrived: each reading but the first ever has a rate.
    let (readings, rates) = wait_for("each reading but the first has a rate", PATIENCE, || async {
        let readings = host_points(&api, "cpu", "count").await?;
        let rates = host_points(&api, "cpu_util", "count").await?;
        if rates.len() + 1 == readings.len() {
            Ok((readings, rates))
        } else {
            Err(format!("{readings:?} {rates:?}"))
        }
    })
    .await;
    assert!(readings.iter().all(|(_, count)| *count == 1.0), "duplicates: {readings:?}");
    let gap = readings.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    assert!(gap >= 5, "no gap in {readings:?}");
    let first_after = readings.windows(2).find(|pair| pair[1].0 - pair[0].0 == gap).unwrap()[1].0;
    assert!(rates.iter().any(|(at, _)| *at == first_after), "no rate spans the gap: {rates:?}");
    cluster.service("polling-agent").start_again();
    // A signal before a process listens to signals ends it at once.
    cluster.service("polling-agent").url("observe").await;
    cluster.stop().await;
}

#[tokio::test]
async fn servers_may_restart_under_load() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::start().await;
    let api = cluster.api();
    let load = cluster.load(3, PATIENCE).await;
    // RabbitMQ 3.10 can lose a quorum queue that it is still creating when it is killed.
    load.acknowledge_more(1_500, PATIENCE).await;
    for server in ["rabbitmq", "postgres"] {
        tokio::task::spawn_blocking(move || servers::script(&["restart", server])).await.unwrap();
        load.acknowledge_more(300, PATIENCE).await;
        cluster.ready().await;
    }
    let ledger = load.stop().await;
    ledger.settle(&api, PATIENCE).await;
    cluster.stop().await;
}

#[tokio::test]
async fn broken_messages_end_in_the_dead_letter_queue() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::start().await;
    let load = cluster.load(3, PATIENCE).await;
    let bad = [
        "no JSON at all".to_owned(),
        json!({"oslo.version": "3.0", "oslo.message": "{}"}).to_string(),
        json!({"oslo.version": "2.0", "oslo.message": Value::from("{broken")}).to_string(),
    ];
    for body in &bad {
        counting::publish_raw(&cluster.servers.amqp, body).await;
    }
    wait_for("broken messages are set aside", PATIENCE, || async {
        match cluster.servers.waiting("nephos.dead").await {
            Some(count) if count >= 3 => Ok(()),
            other => Err(format!("{other:?} messages")),
        }
    })
    .await;
    let ledger = load.stop().await;
    ledger.settle(&cluster.api(), PATIENCE).await;
    cluster.stop().await;
}

//! Two collectors on one bucket: each owns a share of the shards, and whatever happens to either, of all acknowledged
//! samples none is missing and none counts twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use nephos_integration_tests::{Cluster, servers, wait_for};
use tokio::sync::Mutex;

/// Many processes at once are enough.
static ALONE: Mutex<()> = Mutex::const_new(());

const PATIENCE: Duration = Duration::from_secs(180);

/// How many shards each collector holds, by the leases that have not run out.
fn shares(cluster: &Cluster) -> BTreeMap<String, usize> {
    let rows = servers::sql(
        &cluster.servers.postgres,
        "SELECT holder FROM lease WHERE name LIKE 'shard-%' AND holder <> '' \
         AND expires_at > extract(epoch FROM clock_timestamp()) * 1000000000",
    );
    let mut shares = BTreeMap::new();
    for holder in rows.lines() {
        *shares.entry(holder.to_owned()).or_default() += 1;
    }
    shares
}

async fn shared_by(cluster: &Cluster, collectors: usize) {
    owned(cluster, 4, collectors).await;
}

async fn owned(cluster: &Cluster, shards: usize, collectors: usize) {
    wait_for(&format!("all shards have an owner among {collectors}"), PATIENCE, || async {
        let shares = shares(cluster);
        let all: usize = shares.values().sum();
        if all == shards && shares.len() == collectors { Ok(()) } else { Err(format!("{shares:?}")) }
    })
    .await;
}

#[tokio::test]
async fn collectors_that_share_a_bucket_may_be_killed_one_after_the_other() {
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::start_on_a_bucket().await;
    let api = cluster.api();
    let load = cluster.load(6, PATIENCE).await;
    shared_by(&cluster, 2).await;
    load.acknowledge_more(300, PATIENCE).await;
    for round in 0..2 {
        cluster.second_collector.as_mut().unwrap().kill();
        // The other takes its shards when their leases have run out.
        shared_by(&cluster, 1).await;
        load.acknowledge_more(300, PATIENCE).await;
        cluster.second_collector.as_mut().unwrap().start_again();
        shared_by(&cluster, 2).await;
        cluster.service("collector").kill();
        if round == 0 {
            shared_by(&cluster, 1).await;
        }
        cluster.service("collector").start_again();
        load.acknowledge_more(300, PATIENCE).await;
        shared_by(&cluster, 2).await;
    }
    let ledger = load.stop().await;
    ledger.settle(&api, PATIENCE).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_collector_paused_past_its_leases_steps_down_by_itself() {
    let _alone = ALONE.lock().await;
    let mut cluster = Cluster::start_on_a_bucket().await;
    let api = cluster.api();
    let load = cluster.load(6, PATIENCE).await;
    shared_by(&cluster, 2).await;
    load.acknowledge_more(300, PATIENCE).await;
    let pid = cluster.service("collector").pid();
    cluster.service("collector").signal("STOP");
    shared_by(&cluster, 1).await;
    load.acknowledge_more(300, PATIENCE).await;
    // In the middle of whatever it did when it was stopped, it goes on under load.
    cluster.service("collector").signal("CONT");
    let paused = cluster.service("collector");
    wait_for("it gives its shards up", PATIENCE, || async {
        let log = paused.log();
        let told = ["has another owner", "took the shard over"].iter().any(|words| log.contains(words));
        if told { Ok(()) } else { Err(log.lines().last().unwrap_or_default().to_owned()) }
    })
    .await;
    shared_by(&cluster, 2).await;
    load.acknowledge_more(300, PATIENCE).await;
    let paused = cluster.service("collector");
    assert!(paused.is_running() && paused.pid() == pid, "it ended instead");
    let ledger = load.stop().await;
    ledger.settle(&api, PATIENCE).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_second_collector_is_refused_where_the_store_is_not_shared() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::start().await;
    owned(&cluster, 16, 1).await;
    let mut second = cluster.process("collector", "second-collector");
    let end = tokio::time::Instant::now() + PATIENCE;
    while second.is_running() {
        assert!(tokio::time::Instant::now() < end, "it goes on: {}", second.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(second.log().contains("[store] shared = true"), "{}", second.log());
    cluster.stop().await;
}

//! The agent between two ends of an in-process bus.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nephos_bus::{Bus, BusError, Consumer, Destination, InProcessBus, Subscription};
use nephos_config::{Inputs, MapEnv, Mode, PipelineFile, load};
use nephos_coordination::{
    CoordinationError, MemoryStateStore, StateKey, StateStore, StateWrite, VersionedState,
};
use nephos_model::{ManualClock, Sample, SampleKind, Timestamp};
use nephos_notification_agent::{NotificationParts, run};
use nephos_observe::{Health, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// State that may be away, and that cannot bear one resource.
#[derive(Debug)]
struct FragileStore {
    inner: MemoryStateStore,
    away: AtomicBool,
}

#[async_trait]
impl StateStore for FragileStore {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<VersionedState>, CoordinationError> {
        self.ready().await?;
        assert!(keys.iter().all(|key| !key.group.ends_with("poison")), "cannot bear it");
        self.inner.read(keys).await
    }

    async fn write(&self, writes: &[StateWrite]) -> Result<bool, CoordinationError> {
        self.ready().await?;
        self.inner.write(writes).await
    }

    async fn expire(&self, older_than: Duration) -> Result<u64, CoordinationError> {
        self.inner.expire(older_than).await
    }

    async fn ready(&self) -> Result<(), CoordinationError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(CoordinationError::Unavailable { reason: "gone fishing".to_owned() });
        }
        Ok(())
    }
}

struct House {
    bus: Arc<InProcessBus>,
    store: Arc<FragileStore>,
    health: Health,
    files: watch::Sender<Arc<PipelineFile>>,
    shutdown: Shutdown,
    agent: JoinHandle<()>,
    collected: Arc<Mutex<Vec<Sample>>>,
}

fn pipeline_file(text: &str) -> Arc<PipelineFile> {
    let path = std::env::temp_dir().join(format!("nephos-agent-test-{}.yaml", uuid_of(text)));
    std::fs::write(&path, text).unwrap();
    let flags = [
        ("pipeline.config".to_owned(), path.display().to_string()),
        ("data_dir".to_owned(), std::env::temp_dir().display().to_string()),
    ];
    let env = MapEnv::new([]);
    let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &flags, env: &env };
    let loaded = load(&inputs);
    std::fs::remove_file(path).unwrap();
    Arc::new(loaded.unwrap_or_else(|error| panic!("{}", error.render(false))).pipeline)
}

fn uuid_of(text: &str) -> String {
    format!("{}-{:p}", std::process::id(), text)
}

fn rates(name: &str) -> Arc<PipelineFile> {
    pipeline_file(&format!(
        "sources: [{{name: all, meters: ['*'], sinks: [rates]}}]
sinks:
  - name: rates
    transformers: [{{name: rate_of_change, parameters: {{target: {{name: {name}}}}}}}]
    publishers: ['nephos://']"
    ))
}

/// A house with an agent and a collector that acknowledges everything.
async fn house(workers: u16) -> House {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let bus = Arc::new(InProcessBus::default());
    let inner = MemoryStateStore::new(Arc::clone(&clock) as _);
    let store = Arc::new(FragileStore { inner, away: AtomicBool::new(false) });
    let (files, watched) = watch::channel(rates("rate"));
    let (health, shutdown) = (Health::default(), Shutdown::default());
    let parts = NotificationParts {
        bus: Arc::clone(&bus) as _,
        state: Arc::clone(&store) as _,
        pipelines: watched,
        clock,
        health: health.clone(),
        prefetch: 16,
        workers,
    };
    let stop = shutdown.clone();
    let agent = tokio::spawn(async move { run(parts, stop).await.unwrap() });
    let collected = Arc::new(Mutex::new(Vec::new()));
    let consumer = bus.subscribe(Subscription::Metering, 16).await.unwrap();
    tokio::spawn(collect(consumer, Arc::clone(&collected)));
    House { bus, store, health, files, shutdown, agent, collected }
}

async fn collect(mut consumer: Box<dyn Consumer>, collected: Arc<Mutex<Vec<Sample>>>) {
    while let Some(mut delivery) = consumer.next().await {
        collected.lock().unwrap().extend(delivery.take_samples());
        delivery.ack().await.unwrap();
    }
}

fn sample(resource: &str, second: i64, volume: i64) -> Sample {
    Sample::new("m", SampleKind::Cumulative, "B", volume, resource, Timestamp::from_secs(second))
}

impl House {
    async fn send(&self, samples: Vec<Sample>) -> Result<(), BusError> {
        self.bus.publish(Destination::Polling, samples).await
    }

    fn series(&self) -> BTreeMap<(String, String, i64), f64> {
        let collected = self.collected.lock().unwrap();
        let key = |s: &Sample| (s.name.clone(), s.resource_id.clone(), s.timestamp.as_secs());
        collected.iter().map(|sample| (key(sample), sample.volume.as_f64())).collect()
    }
}

fn point(name: &str, resource: &str, second: i64, value: f64) -> ((String, String, i64), f64) {
    ((name.to_owned(), resource.to_owned(), second), value)
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_has_reached_the_collector() {
    let house = house(1).await;
    house.send(vec![sample("a", 0, 0), sample("b", 0, 0)]).await.unwrap();
    house.send(vec![sample("a", 10, 100)]).await.unwrap();
    assert_eq!(house.series(), [point("rate", "a", 10, 10.0)].into());
    house.send(vec![sample("b", 10, 50), sample("a", 20, 400)]).await.unwrap();
    let expected = [point("rate", "a", 10, 10.0), point("rate", "a", 20, 30.0), point("rate", "b", 10, 5.0)];
    assert_eq!(house.series(), expected.into());
}

#[tokio::test(start_paused = true)]
async fn many_messages_at_once_through_many_workers_give_the_same_series() {
    let house = house(4).await;
    let sent = (0..200_i64).map(|n| house.send(vec![sample("a", n, n * n), sample("b", n, 3 * n)]));
    for result in join_all(sent).await {
        result.unwrap();
    }
    // Workers may be further apart than histories reach; what is told must be right all the same.
    let series = house.series();
    assert!(series.len() > 300, "{}", series.len());
    for ((_, resource, second), value) in &series {
        if resource == "b" {
            assert_eq!(*value, 3.0, "{second}");
        }
    }
}

async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (slot, result) in pending.iter_mut().zip(&mut done) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *result = Some(output);
                *slot = None;
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn while_state_is_away_messages_wait_and_nothing_is_lost() {
    let house = house(1).await;
    house.send(vec![sample("a", 0, 0)]).await.unwrap();
    house.store.away.store(true, Ordering::Relaxed);
    let waiting = house.send(vec![sample("a", 10, 100)]);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut waiting).await.is_err());
    assert_eq!(house.series().len(), 0);
    let state = house.health.report().remove("state").unwrap();
    assert_eq!(state, Err("coordination back end is not reachable: gone fishing".to_owned()));
    house.store.away.store(false, Ordering::Relaxed);
    waiting.await.unwrap();
    assert_eq!(house.series(), [point("rate", "a", 10, 10.0)].into());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(house.health.report().values().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_breaks_the_agent_goes_alone() {
    let house = house(1).await;
    house.send(vec![sample("a", 0, 0), sample("b", 0, 0)]).await.unwrap();
    let sent = [
        house.send(vec![sample("a", 10, 10)]),
        house.send(vec![sample("b", 10, 20), sample("poison", 10, 1), sample("a", 20, 40)]),
        house.send(vec![sample("b", 20, 60)]),
    ];
    // In one process a dead letter is settled, not queued: its publisher need not keep it.
    for result in join_all(sent.into_iter()).await {
        result.unwrap();
    }
    let expected = [
        point("rate", "a", 10, 1.0),
        point("rate", "a", 20, 3.0),
        point("rate", "b", 10, 2.0),
        point("rate", "b", 20, 4.0),
    ];
    assert_eq!(house.series(), expected.into());
    house.send(vec![sample("a", 30, 50)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_pipelines_are_in_force_at_once_and_go_on_with_the_old_state() {
    let house = house(1).await;
    house.send(vec![sample("a", 0, 0)]).await.unwrap();
    house.files.send(rates("speed")).unwrap();
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    house.send(vec![sample("a", 10, 100)]).await.unwrap();
    assert_eq!(house.series(), [point("speed", "a", 10, 10.0)].into());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_agent_and_what_it_could_not_do_stays_on_the_bus() {
    let House { bus, store, shutdown, agent, .. } = house(1).await;
    bus.publish(Destination::Polling, vec![sample("a", 0, 0)]).await.unwrap();
    store.away.store(true, Ordering::Relaxed);
    let other_end = Arc::clone(&bus);
    let waiting =
        tokio::spawn(
            async move { other_end.publish(Destination::Polling, vec![sample("a", 10, 100)]).await },
        );
    tokio::time::sleep(Duration::from_secs(1)).await;
    shutdown.trigger();
    tokio::time::timeout(Duration::from_secs(20), agent).await.expect("the agent ends").unwrap();
    assert!(!waiting.is_finished());
    let mut next = bus.subscribe(Subscription::Polling, 1).await.unwrap();
    let mut delivery = tokio::time::timeout(Duration::from_secs(30), next.next()).await.unwrap().unwrap();
    assert_eq!(delivery.take_samples().len(), 1);
    delivery.ack().await.unwrap();
    waiting.await.unwrap().unwrap();
}

//! The whole agent on the machine it runs on, with a bus that only takes note.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nephos_bus::{Bus, BusError, Consumer, Destination, Subscription};
use nephos_config::{Inputs, MapEnv, Mode, PollingFile, Settings, load};
use nephos_coordination::{CoordinationError, Membership};
use nephos_model::Sample;
use nephos_observe::{Health, Shutdown, SystemClock};
use nephos_polling_agent::{AgentSettings, FirstRun, PollingParts, catalogue, poll_once, run};
use tokio::sync::watch;

#[derive(Debug, Default)]
struct Notes {
    samples: Mutex<Vec<Sample>>,
    beats: Mutex<Vec<String>>,
}

#[async_trait]
impl Bus for Notes {
    async fn publish(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError> {
        assert_eq!(destination, Destination::Polling);
        assert!(samples.len() <= 100, "{}", samples.len());
        self.samples.lock().unwrap().extend(samples);
        Ok(())
    }

    async fn subscribe(&self, _: Subscription, _: u16) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Closed)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn close(&self) {}
}

#[async_trait]
impl Membership for Notes {
    fn me(&self) -> &str {
        "me"
    }

    async fn beat(&self, group: &str) -> Result<(), CoordinationError> {
        self.beats.lock().unwrap().push(format!("+{group}"));
        Ok(())
    }

    async fn members(&self, _: &str) -> Result<Vec<String>, CoordinationError> {
        Ok(vec!["me".to_owned()])
    }

    async fn leave(&self, group: &str) -> Result<(), CoordinationError> {
        self.beats.lock().unwrap().push(format!("-{group}"));
        Ok(())
    }
}

fn configured(yaml: &str) -> (Settings, PollingFile) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("polling.yaml");
    std::fs::write(&path, yaml).unwrap();
    let env = MapEnv::new([("HOME", "/nowhere")]);
    let flags = [
        ("polling.config".to_owned(), path.to_string_lossy().into_owned()),
        ("polling.host".to_owned(), "node1".to_owned()),
    ];
    let loaded = load(&Inputs { mode: Mode::Embedded, config: None, flags: &flags, env: &env }).unwrap();
    (loaded.settings, loaded.polling)
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("nothing came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reads_this_machine_sends_what_it_read_and_ends_in_order() {
    let (settings, file) = configured("sources: [{name: fast, interval: 1, meters: [cpu, 'host.*']}]");
    let notes = Arc::new(Notes::default());
    let shutdown = Shutdown::default();
    let (reload, sources) = watch::channel(Arc::new(file));
    let health = Health::default();
    let agent = tokio::spawn(run(
        PollingParts {
            bus: Arc::<Notes>::clone(&notes),
            membership: Arc::<Notes>::clone(&notes),
            clock: Arc::new(SystemClock::default()),
            health: health.clone(),
            sources,
            settings: AgentSettings::new(&settings, FirstRun::AtOnce),
        },
        shutdown.clone(),
    ));
    let count =
        |name: &str| notes.samples.lock().unwrap().iter().filter(|sample| sample.name == name).count();
    until(|| count("cpu") >= 3 && count("host.network.incoming.bytes") >= 1).await;
    assert_eq!(health.report().get("bus"), Some(&Ok(())));
    let (_, other) = configured("sources: [{name: slow, interval: 600, meters: [host.uptime]}]");
    let before = count("host.uptime");
    reload.send_replace(Arc::new(other));
    until(|| count("host.uptime") > before).await;
    shutdown.trigger();
    tokio::time::timeout(Duration::from_secs(20), agent).await.unwrap().unwrap().unwrap();
    assert_eq!(notes.beats.lock().unwrap().first().map(String::as_str), Some("+polling-agent"));
    assert_eq!(notes.beats.lock().unwrap().last().map(String::as_str), Some("-polling-agent"));

    let samples = notes.samples.lock().unwrap();
    let ids: HashSet<_> = samples.iter().map(|sample| sample.id).collect();
    assert_eq!(ids.len(), samples.len(), "each sample once");
    let cpu: Vec<&Sample> = samples.iter().filter(|sample| sample.name == "cpu").collect();
    for pair in cpu.windows(2) {
        assert!(pair[1].volume.as_f64() >= pair[0].volume.as_f64());
        assert!(pair[1].monotonic_time > pair[0].monotonic_time);
        assert_eq!(
            pair[0].metadata_str(Sample::MONOTONIC_ORIGIN),
            pair[1].metadata_str(Sample::MONOTONIC_ORIGIN)
        );
    }
}

#[tokio::test]
async fn one_poll_gives_what_the_filter_lets_through() {
    let (settings, _) = configured("sources: [{name: a, interval: 1, meters: ['*']}]");
    let settings = AgentSettings::new(&settings, FirstRun::AtOnce);
    let clock = Arc::new(SystemClock::default());
    let all = poll_once(&settings, Arc::<SystemClock>::clone(&clock), |_| true).await;
    let known: HashSet<&str> = catalogue().iter().map(|meter| meter.name).collect();
    for sample in &all {
        println!("{} {:?} {} {}", sample.resource_id, sample.volume, sample.unit, sample.name);
        assert!(known.contains(sample.name.as_str()), "{}", sample.name);
    }
    assert!(all.iter().any(|sample| sample.resource_id == "node1" && sample.name == "host.memory.total"));
    let some = poll_once(&settings, clock, |name| name == "host.uptime").await;
    assert_eq!(some.len(), 1);
}

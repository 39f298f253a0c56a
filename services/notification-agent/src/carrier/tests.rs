use std::sync::Mutex;

use async_trait::async_trait;
use nephos_bus::InProcessBus;
use nephos_config::{Inputs, MapEnv, Mode, load};
use nephos_coordination::{CoordinationError, StateKey, StateStore, StateWrite, VersionedState};
use nephos_model::{ManualClock, SampleKind, Timestamp};

use super::*;

/// Cannot bear the resource `poison`, and does not know `unknown`.
#[derive(Debug)]
struct Store;

#[async_trait]
impl StateStore for Store {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<VersionedState>, CoordinationError> {
        assert!(keys.iter().all(|key| !key.group.ends_with("poison")), "cannot bear it");
        if keys.iter().any(|key| key.group.ends_with("unknown")) {
            return Err(CoordinationError::Unavailable { reason: "asleep".to_owned() });
        }
        Ok(keys.iter().map(|_| VersionedState::default()).collect())
    }

    async fn write(&self, _: &[StateWrite]) -> Result<bool, CoordinationError> {
        Ok(true)
    }

    async fn expire(&self, _: Duration) -> Result<u64, CoordinationError> {
        Ok(0)
    }

    async fn ready(&self) -> Result<(), CoordinationError> {
        Ok(())
    }
}

#[derive(Debug)]
struct Letter {
    name: &'static str,
    samples: Vec<Sample>,
    settled: Arc<Mutex<Vec<String>>>,
}

impl Letter {
    fn note(&self, what: &str) {
        self.settled.lock().unwrap().push(format!("{}: {what}", self.name));
    }
}

#[async_trait]
impl Delivery for Letter {
    fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    fn partition(&self) -> u32 {
        0
    }

    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.note("ack");
        Ok(())
    }

    async fn retry(self: Box<Self>) -> Result<(), BusError> {
        self.note("retry");
        Ok(())
    }

    async fn dead_letter(self: Box<Self>, reason: &str) -> Result<(), BusError> {
        self.note(reason);
        Ok(())
    }
}

/// Carries one batch of letters with samples of these resources; how each was settled.
async fn carry(letters: &[(&'static str, &[&str])]) -> Vec<String> {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    // The shipped file makes rates of `cpu`; nobody reads what it publishes, so only firsts are sent here.
    let flags = [("data_dir".to_owned(), "/nonexistent".to_owned())];
    let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &flags, env: &MapEnv::new([]) };
    let mut file = load(&inputs).unwrap().pipeline;
    file.sources.retain(|source| source.name == "cpu_source");
    let bus = Arc::new(InProcessBus::default());
    let pipelines = Arc::new(Pipelines::new(bus, Arc::new(Store), Arc::clone(&clock) as _));
    pipelines.apply(&file);
    let settled = Arc::new(Mutex::new(Vec::new()));
    let mut deliveries = letters.iter().map(|(name, resources)| {
        let sample = |r: &&str| Sample::new("cpu", SampleKind::Cumulative, "ns", 1_i64, *r, Timestamp::EPOCH);
        let samples = resources.iter().map(sample).collect();
        Box::new(Letter { name, samples, settled: Arc::clone(&settled) }) as Box<dyn Delivery>
    });
    let mut batch = Batch::new(deliveries.next().unwrap());
    deliveries.for_each(|delivery| batch.add(delivery));
    let carrier =
        Carrier::new(pipelines, Arc::clone(&clock) as _, Shutdown::default(), Duration::from_secs(1));
    let time = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.advance(Duration::from_secs(1));
        }
    });
    carrier.carry(batch).await;
    time.abort();
    let settled = settled.lock().unwrap();
    settled.clone()
}

#[tokio::test(start_paused = true)]
async fn a_good_batch_is_acknowledged() {
    assert_eq!(carry(&[("one", &["a", "b"]), ("two", &["a"])]).await, ["one: ack", "two: ack"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_poisonous_message_goes_to_the_dead_letters_with_its_reason() {
    let reason = "sample cpu of poison: cannot bear it";
    assert_eq!(
        carry(&[("one", &["a"]), ("two", &["b", "poison", "c"]), ("three", &["d"])]).await,
        ["one: ack".to_owned(), format!("two: {reason}"), "three: ack".to_owned()]
    );
    assert_eq!(carry(&[("alone", &["a", "poison"])]).await, [format!("alone: {reason}")]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_get_through_for_minutes_goes_back_to_the_bus() {
    let started = tokio::time::Instant::now();
    assert_eq!(carry(&[("one", &["a"]), ("two", &["unknown"])]).await, ["one: retry", "two: retry"]);
    assert!(started.elapsed() >= PATIENCE);
}

//! Files from texts, and doubles of what is outside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nephos_bus::{Bus, BusError, Consumer, Destination, Subscription};
use nephos_config::{Inputs, MapEnv, Mode, PipelineFile, load};
use nephos_coordination::{CoordinationError, StateKey, StateStore, StateWrite, VersionedState};
use nephos_model::Sample;
use serde_json::Value as Json;

/// The pipelines of a YAML text.
pub(crate) fn pipeline_file(text: &str) -> PipelineFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipeline.yaml");
    std::fs::write(&path, text).unwrap();
    let data = directory.path().join("data");
    let flags = [("pipeline.config", &path), ("data_dir", &data)]
        .map(|(key, path)| (key.to_owned(), path.display().to_string()));
    let env = MapEnv::new([("HOME", "/nonexistent")]);
    let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &flags, env: &env };
    load(&inputs).unwrap_or_else(|error| panic!("{}", error.render(false))).pipeline
}

/// One source of everything and one sink with this chain, which publishes to `publishers`.
pub(crate) fn chain(transformers: &Json, publishers: &[&str]) -> PipelineFile {
    let file = serde_json::json!({
        "sources": [{"name": "all", "meters": ["*"], "sinks": ["sink"]}],
        "sinks": [{"name": "sink", "transformers": transformers, "publishers": publishers}],
    });
    pipeline_file(&file.to_string())
}

/// A repeatable source of disorder.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed | 1))
    }

    /// A number below `sides`.
    pub(crate) fn roll(&self, sides: u64) -> u64 {
        let state = self.0.load(Ordering::Relaxed);
        let mixed = (state ^ (state >> 12)).wrapping_mul(0x2545_f491_4f6c_dd1d);
        self.0.store(mixed ^ (mixed << 25) ^ 0x9e37_79b9, Ordering::Relaxed);
        (mixed >> 33) % sides
    }

    /// Lets others run a few times.
    pub(crate) async fn dawdle(&self) {
        for _ in 0..self.roll(4) {
            tokio::task::yield_now().await;
        }
    }
}

/// Last value of each series and timestamp.
pub(crate) type Series = BTreeMap<(String, String, i64), u64>;

/// A bus that keeps what is published; it may dawdle before and after, and fail a number of times.
#[derive(Debug)]
pub(crate) struct KeepingBus {
    pub(crate) dice: Option<Arc<Dice>>,
    pub(crate) failures: AtomicU64,
    pub(crate) samples: Mutex<Vec<Sample>>,
}

impl KeepingBus {
    pub(crate) fn new(dice: Option<Arc<Dice>>) -> Arc<Self> {
        Arc::new(Self { dice, failures: AtomicU64::new(0), samples: Mutex::default() })
    }

    pub(crate) fn series(&self) -> Series {
        let samples = self.samples.lock().unwrap();
        let key = |s: &Sample| (s.name.clone(), s.resource_id.clone(), s.timestamp.as_nanos());
        samples.iter().map(|sample| (key(sample), sample.volume.as_f64().to_bits())).collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.samples.lock().unwrap().iter().map(|sample| sample.name.clone()).collect()
    }
}

#[async_trait]
impl Bus for KeepingBus {
    async fn publish(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError> {
        assert_eq!(destination, Destination::Metering);
        if let Some(dice) = &self.dice {
            dice.dawdle().await;
        }
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Err(BusError::NotAccepted { reason: "not today".to_owned() });
        }
        self.samples.lock().unwrap().extend(samples);
        if let Some(dice) = &self.dice {
            dice.dawdle().await;
        }
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

/// A state store that dawdles around everything another one does.
#[derive(Debug)]
pub(crate) struct DawdlingStore {
    pub(crate) inner: Arc<dyn StateStore>,
    pub(crate) dice: Arc<Dice>,
}

#[async_trait]
impl StateStore for DawdlingStore {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<VersionedState>, CoordinationError> {
        self.dice.dawdle().await;
        let found = self.inner.read(keys).await;
        self.dice.dawdle().await;
        found
    }

    async fn write(&self, writes: &[StateWrite]) -> Result<bool, CoordinationError> {
        self.dice.dawdle().await;
        let written = self.inner.write(writes).await;
        self.dice.dawdle().await;
        written
    }

    async fn expire(&self, older_than: Duration) -> Result<u64, CoordinationError> {
        self.inner.expire(older_than).await
    }

    async fn ready(&self) -> Result<(), CoordinationError> {
        self.inner.ready().await
    }
}

//! Transformer state in memory: gone with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nephos_model::Clock;

use crate::contract::{CoordinationError, StateKey, StateStore, StateWrite, VersionedState};

/// State that lives in this process.
#[derive(Debug)]
pub struct MemoryStateStore {
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<StateKey, Entry>>,
}

#[derive(Debug)]
struct Entry {
    state: VersionedState,
    /// In the clock's monotonic time.
    written: Duration,
}

impl MemoryStateStore {
    /// Knows nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StateKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateStore for MemoryStateStore {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<VersionedState>, CoordinationError> {
        let entries = self.lock();
        Ok(keys.iter().map(|key| entries.get(key).map(|e| e.state.clone()).unwrap_or_default()).collect())
    }

    async fn write(&self, writes: &[StateWrite]) -> Result<bool, CoordinationError> {
        let written = self.clock.monotonic();
        let mut entries = self.lock();
        let version = |key| entries.get(key).map_or(0, |entry: &Entry| entry.state.version);
        if writes.iter().any(|write| version(&write.key) != write.read_version) {
            return Ok(false);
        }
        for write in writes {
            let state = VersionedState { version: write.read_version + 1, bytes: write.bytes.clone() };
            entries.insert(write.key.clone(), Entry { state, written });
        }
        Ok(true)
    }

    async fn expire(&self, older_than: Duration) -> Result<u64, CoordinationError> {
        let now = self.clock.monotonic();
        let mut entries = self.lock();
        let before = entries.len();
        entries.retain(|_, entry| now.saturating_sub(entry.written) < older_than);
        Ok((before - entries.len()) as u64)
    }

    async fn ready(&self) -> Result<(), CoordinationError> {
        Ok(())
    }
}

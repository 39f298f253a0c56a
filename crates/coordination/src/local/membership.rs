//! Members of one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nephos_model::Clock;

use crate::contract::{CoordinationError, Membership};

/// Last beat of each member of each group, in the clock's monotonic time.
type Beats = BTreeMap<String, BTreeMap<String, Duration>>;

/// The groups of this process; hands out members of them.
#[derive(Clone, Debug)]
pub struct LocalGroups {
    clock: Arc<dyn Clock>,
    timeout: Duration,
    beats: Arc<Mutex<Beats>>,
}

impl LocalGroups {
    /// Groups without members; one silent for `timeout` is gone.
    pub fn new(clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self { clock, timeout, beats: Arc::default() }
    }

    /// A member called `name`, not yet in any group.
    pub fn member(&self, name: impl Into<String>) -> LocalMembership {
        LocalMembership { me: name.into(), groups: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A member of groups that live in this process.
#[derive(Clone, Debug)]
pub struct LocalMembership {
    me: String,
    groups: LocalGroups,
}

impl LocalMembership {
    /// A member alone in its process.
    pub fn new(me: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        LocalGroups::new(clock, crate::MEMBER_TIMEOUT).member(me)
    }
}

#[async_trait]
impl Membership for LocalMembership {
    fn me(&self) -> &str {
        &self.me
    }

    async fn beat(&self, group: &str) -> Result<(), CoordinationError> {
        let now = self.groups.clock.monotonic();
        self.groups.lock().entry(group.to_owned()).or_default().insert(self.me.clone(), now);
        Ok(())
    }

    async fn members(&self, group: &str) -> Result<Vec<String>, CoordinationError> {
        let now = self.groups.clock.monotonic();
        let mut beats = self.groups.lock();
        let Some(group) = beats.get_mut(group) else { return Ok(Vec::new()) };
        group.retain(|_, beat| now.saturating_sub(*beat) < self.groups.timeout);
        Ok(group.keys().cloned().collect())
    }

    async fn leave(&self, group: &str) -> Result<(), CoordinationError> {
        if let Some(group) = self.groups.lock().get_mut(group) {
            group.remove(&self.me);
        }
        Ok(())
    }
}

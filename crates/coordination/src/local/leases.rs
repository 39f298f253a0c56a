//! Leases of one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nephos_model::Clock;

use crate::contract::{CoordinationError, Lease, LeaseHolder, Leases};

/// Leases that live in this process. Clones share them.
#[derive(Clone, Debug)]
pub struct LocalLeases {
    clock: Arc<dyn Clock>,
    rows: Arc<Mutex<BTreeMap<String, Row>>>,
}

#[derive(Debug, Default)]
struct Row {
    /// Absent once given up.
    holder: Option<(String, String)>,
    epoch: u64,
    /// In the clock's monotonic time.
    expires: Duration,
}

impl LocalLeases {
    /// No leases held.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rows: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held<T>(&self, lease: &Lease, then: impl FnOnce(&mut Row) -> T) -> Result<T, CoordinationError> {
        let mut rows = self.lock();
        let row = rows.get_mut(&lease.name).filter(|row| row.holder.is_some() && row.epoch == lease.epoch);
        row.map(then).ok_or_else(|| CoordinationError::Lost { name: lease.name.clone() })
    }
}

#[async_trait]
impl Leases for LocalLeases {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        url: &str,
        ttl: Duration,
    ) -> Result<Lease, CoordinationError> {
        let now = self.clock.monotonic();
        let mut rows = self.lock();
        let row = rows.entry(name.to_owned()).or_default();
        match &row.holder {
            Some((other, _)) if other != holder && now < row.expires => {
                return Err(CoordinationError::Held { name: name.to_owned(), holder: other.clone() });
            }
            _ => {}
        }
        row.holder = Some((holder.to_owned(), url.to_owned()));
        row.epoch += 1;
        row.expires = now.saturating_add(ttl);
        Ok(Lease { name: name.to_owned(), epoch: row.epoch })
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CoordinationError> {
        let expires = self.clock.monotonic().saturating_add(ttl);
        self.held(lease, |row| row.expires = expires)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CoordinationError> {
        self.held(lease, |row| row.holder = None)
    }

    async fn holder(&self, name: &str) -> Result<Option<LeaseHolder>, CoordinationError> {
        let now = self.clock.monotonic();
        let rows = self.lock();
        let row = rows.get(name).filter(|row| now < row.expires);
        Ok(row.and_then(|row| {
            let (holder, url) = row.holder.clone()?;
            Some(LeaseHolder { holder, url, epoch: row.epoch })
        }))
    }
}

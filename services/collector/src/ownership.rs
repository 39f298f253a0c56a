//! Owning the shards of the metric store: leases that are taken before the store is opened, renewed while it is open,
//! and checked before every append (nephos.md §1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nephos_coordination::{CoordinationError, Lease, Leases};
use nephos_metric_store::{
    AppendReport, Batch, MetricStore, Series, SeriesRequest, StoreError, StoreStatistics,
};
use nephos_model::{Clock, MetricId};
use nephos_observe::{Backoff, Shutdown};

use crate::pause;

/// How long a lease lasts without renewal.
pub const TTL: Duration = Duration::from_secs(10);
/// How often leases are renewed.
const RENEW: Duration = Duration::from_secs(3);

/// Name of the lease of a shard.
pub fn lease_name(shard: u32) -> String {
    format!("shard-{shard:04}")
}

/// The shards are no longer ours.
#[derive(Debug, thiserror::Error)]
#[error("ownership of {lease} was lost: {reason}")]
pub struct Lost {
    /// Which lease.
    pub lease: String,
    /// Why.
    pub reason: String,
}

/// Leases of all shards, held by this process.
#[derive(Debug)]
pub struct Ownership {
    backend: Arc<dyn Leases>,
    clock: Arc<dyn Clock>,
    held: Vec<Lease>,
    /// Monotonic nanoseconds until which every lease is surely ours.
    valid_until: Arc<AtomicU64>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Ownership {
    /// Takes the leases of all `shards`, waiting (as a standby) while another process holds one; `None` when shutdown was
    /// asked for meanwhile.
    pub async fn acquire(
        backend: Arc<dyn Leases>,
        clock: Arc<dyn Clock>,
        shards: u32,
        holder: &str,
        url: &str,
        shutdown: &Shutdown,
    ) -> Option<Self> {
        let mut held = Vec::new();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut told = false;
        let mut valid_until = clock.monotonic() + TTL;
        let mut shard = 0;
        while shard < shards {
            // Counted from before the question: the answer may have been long on its way.
            let asked = clock.monotonic();
            match backend.acquire(&lease_name(shard), holder, url, TTL).await {
                Ok(lease) => {
                    valid_until = valid_until.min(asked + TTL);
                    held.push(lease);
                    shard += 1;
                    continue;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(%error, "waiting for ownership of the metric store");
                    }
                }
            }
            // What is held already must not run out while the rest is waited for.
            let asked = clock.monotonic();
            for lease in &held {
                if let Err(error) = backend.renew(lease, TTL).await {
                    tracing::info!(lease = lease.name, %error, "ownership was lost while the rest was waited for");
                    // Whoever took it waits for the others perhaps: all or none.
                    release(backend.as_ref(), &std::mem::take(&mut held)).await;
                    shard = 0;
                    break;
                }
            }
            valid_until = asked + TTL;
            if pause(backoff.next_delay(), shutdown).await {
                release(backend.as_ref(), &held).await;
                return None;
            }
        }
        Some(Self { backend, clock, held, valid_until: Arc::new(AtomicU64::new(nanos(valid_until))) })
    }

    /// `store`, with appends refused whenever ownership is not sure.
    pub fn guard(&self, store: Arc<dyn MetricStore>) -> Arc<dyn MetricStore> {
        Arc::new(Guarded {
            store,
            clock: Arc::clone(&self.clock),
            valid_until: Arc::clone(&self.valid_until),
        })
    }

    /// Renews the leases until shutdown is asked for. On `Err` the process must stop using the store.
    pub async fn keep(&self, shutdown: &Shutdown) -> Result<(), Lost> {
        loop {
            if pause(RENEW, shutdown).await {
                return Ok(());
            }
            let asked = self.clock.monotonic();
            match self.renew().await {
                Ok(()) => self.valid_until.store(nanos(asked + TTL), Ordering::Release),
                Err((lease, error)) => {
                    let expired = nanos(self.clock.monotonic()) >= self.valid_until.load(Ordering::Acquire);
                    if expired
                        || matches!(error, CoordinationError::Lost { .. } | CoordinationError::Held { .. })
                    {
                        self.valid_until.store(0, Ordering::Release);
                        return Err(Lost { lease, reason: error.to_string() });
                    }
                    tracing::debug!(lease, %error, "a lease could not be renewed yet");
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), (String, CoordinationError)> {
        for lease in &self.held {
            self.backend.renew(lease, TTL).await.map_err(|error| (lease.name.clone(), error))?;
        }
        Ok(())
    }

    /// Gives everything up, so that another process takes over at once. Call after the store is closed.
    pub async fn release(&self) {
        self.valid_until.store(0, Ordering::Release);
        release(self.backend.as_ref(), &self.held).await;
    }
}

async fn release(backend: &dyn Leases, held: &[Lease]) {
    for lease in held {
        if let Err(error) = backend.release(lease).await {
            tracing::debug!(lease = lease.name, %error, "a lease could not be released; it runs out by itself");
        }
    }
}

/// A store whose appends are refused when the leases may have run out.
#[derive(Debug)]
struct Guarded {
    store: Arc<dyn MetricStore>,
    clock: Arc<dyn Clock>,
    valid_until: Arc<AtomicU64>,
}

impl Guarded {
    fn check(&self) -> Result<(), StoreError> {
        if nanos(self.clock.monotonic()) < self.valid_until.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(StoreError::NoOwner { retry_after: Duration::from_secs(1) })
        }
    }
}

#[async_trait::async_trait]
impl MetricStore for Guarded {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        self.check()?;
        self.store.append(batch).await
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        self.check()?;
        self.store.query(requests).await
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        self.check()?;
        self.store.delete(metrics).await
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.store.statistics().await
    }
}

#[cfg(test)]
mod tests;

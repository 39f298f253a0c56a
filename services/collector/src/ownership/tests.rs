//! Waiting for leases, with a clock that is moved by hand.

use std::sync::Mutex;

use async_trait::async_trait;
use nephos_coordination::{LeaseHolder, LocalLeases};
use nephos_model::{ManualClock, Timestamp};

use super::*;

/// Leases of this process that note what was asked of them.
#[derive(Debug)]
struct Noted {
    leases: LocalLeases,
    clock: Arc<ManualClock>,
    renewed: Mutex<Vec<String>>,
    released: Mutex<Vec<String>>,
}

#[async_trait]
impl Leases for Noted {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        url: &str,
        ttl: Duration,
    ) -> Result<Lease, CoordinationError> {
        self.leases.acquire(name, holder, url, ttl).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CoordinationError> {
        let renewed = self.leases.renew(lease, ttl).await;
        self.renewed.lock().unwrap().push(lease.name.clone());
        renewed
    }

    async fn release(&self, lease: &Lease) -> Result<(), CoordinationError> {
        self.released.lock().unwrap().push(lease.name.clone());
        self.leases.release(lease).await
    }

    async fn holder(&self, name: &str) -> Result<Option<LeaseHolder>, CoordinationError> {
        self.leases.holder(name).await
    }
}

impl Noted {
    fn new() -> Arc<Self> {
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let leases = LocalLeases::new(Arc::<ManualClock>::clone(&clock));
        Arc::new(Self { leases, clock, renewed: Mutex::default(), released: Mutex::default() })
    }

    /// Takes a lease for somebody else, for long.
    async fn taken(&self, shard: u32) -> Lease {
        let long = Duration::from_secs(3_600);
        self.leases.acquire(&lease_name(shard), "other", "http://other", long).await.unwrap()
    }

    /// Tries to own three shards.
    fn acquire(self: &Arc<Self>, shutdown: &Shutdown) -> tokio::task::JoinHandle<Option<Ownership>> {
        let (backend, clock): (Arc<Self>, Arc<dyn Clock>) =
            (Arc::clone(self), Arc::<ManualClock>::clone(&self.clock));
        let shutdown = shutdown.clone();
        tokio::spawn(async move { Ownership::acquire(backend, clock, 3, "us", "http://us", &shutdown).await })
    }

    async fn holders(&self) -> Vec<String> {
        let mut holders = Vec::new();
        for shard in 0..3 {
            let holder = self.leases.holder(&lease_name(shard)).await.unwrap();
            holders.push(holder.map(|holder| holder.holder).unwrap_or_default());
        }
        holders
    }

    /// Waits until a lease was renewed once more from now on.
    async fn renewed_again(&self, shard: u32) {
        let name = lease_name(shard);
        let count = || self.renewed.lock().unwrap().iter().filter(|renewed| **renewed == name).count();
        let before = count();
        soon("renewal", async {
            while count() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(20), future).await;
    done.unwrap_or_else(|_| panic!("{what}: waited in vain"))
}

#[tokio::test]
async fn what_is_held_is_renewed_while_the_rest_is_waited_for() {
    let leases = Noted::new();
    let others = leases.taken(2).await;
    let waiting = leases.acquire(&Shutdown::default());
    // Long beyond what they were taken for.
    for _ in 0..4 {
        leases.renewed_again(1).await;
        assert_eq!(leases.holders().await, ["us", "us", "other"]);
        leases.clock.advance(TTL / 2);
    }
    assert!(!waiting.is_finished());
    leases.release(&others).await.unwrap();
    let ownership = soon("ownership", waiting).await.unwrap().unwrap();
    assert_eq!(leases.holders().await, ["us", "us", "us"]);
    // Nothing may be believed for longer than since the oldest renewal.
    let valid_until = ownership.valid_until.load(Ordering::Acquire);
    assert!(valid_until <= nanos(leases.clock.monotonic() + TTL));
    assert!(valid_until > nanos(leases.clock.monotonic()));
}

#[tokio::test]
async fn who_loses_one_lease_while_waiting_gives_up_all_and_starts_again() {
    let leases = Noted::new();
    let last = leases.taken(2).await;
    let waiting = leases.acquire(&Shutdown::default());
    leases.renewed_again(1).await;
    // A pause as of a machine that slept: everything has run out, and somebody was quicker.
    leases.clock.advance(TTL + TTL);
    let middle = leases.taken(1).await;
    soon("release", async {
        while leases.released.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let released = leases.released.lock().unwrap().clone();
    assert_eq!(released[0], lease_name(0), "{released:?}");
    assert_eq!(leases.holders().await[1..], ["other", "other"]);
    assert!(!waiting.is_finished());
    leases.release(&last).await.unwrap();
    leases.release(&middle).await.unwrap();
    let ownership = soon("ownership", waiting).await.unwrap().unwrap();
    assert_eq!(leases.holders().await, ["us", "us", "us"]);
    assert_eq!(ownership.held.len(), 3);
    ownership.renew().await.unwrap();
}

#[tokio::test]
async fn a_standby_that_is_told_to_stop_gives_back_what_it_holds() {
    let leases = Noted::new();
    let _others = leases.taken(2).await;
    let shutdown = Shutdown::default();
    let waiting = leases.acquire(&shutdown);
    leases.renewed_again(1).await;
    shutdown.trigger();
    assert!(soon("the end", waiting).await.unwrap().is_none());
    assert_eq!(leases.holders().await, ["", "", "other"]);
}

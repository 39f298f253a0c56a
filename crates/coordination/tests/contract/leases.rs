//! Leases.

use std::sync::Arc;
use std::time::Duration;

use nephos_coordination::{CoordinationError, LeaseHolder, Leases, LocalLeases, SqlLeases};

use super::{clock, suite, until};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

type Subject = Arc<dyn Leases>;

async fn local() -> (Subject, ()) {
    (Arc::new(LocalLeases::new(clock())), ())
}

fn of_db<G>((db, guard): (nephos_sql::Db, G)) -> (Subject, G) {
    (Arc::new(SqlLeases::new(db)), guard)
}

macro_rules! leases {
    ($name:ident, $make:expr) => {
        suite!($name, $make;
            a_lease_is_one_holders,
            an_expired_lease_is_taken_over_and_the_old_holder_has_lost_it,
            a_renewed_lease_does_not_expire,
            a_lease_that_expired_unnoticed_can_still_be_renewed,
            a_restarted_holder_takes_over_at_once_and_fences_its_former_self,
            a_lease_given_up_is_free_at_once_and_its_epoch_goes_on_rising,
            of_many_that_want_a_lease_exactly_one_gets_it,
            leases_know_nothing_of_each_other);
    };
}
leases!(in_this_process, super::local());
leases!(in_sqlite, async { super::of_db(crate::sqlite().await) });
leases!(in_postgres, async { super::of_db(crate::postgres().await) });

fn held_by(holder: &str, url: &str, epoch: u64) -> Option<LeaseHolder> {
    Some(LeaseHolder { holder: holder.to_owned(), url: url.to_owned(), epoch })
}

fn is_lost(result: &Result<(), CoordinationError>) -> bool {
    matches!(result, Err(CoordinationError::Lost { name }) if name == "shard")
}

async fn a_lease_is_one_holders(leases: Subject) {
    assert_eq!(leases.holder("shard").await.unwrap(), None);
    let lease = leases.acquire("shard", "a", "http://a", LONG).await.unwrap();
    assert_eq!((lease.name.as_str(), lease.epoch), ("shard", 1));
    let error = leases.acquire("shard", "b", "http://b", LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "lease shard is held by a");
    assert_eq!(leases.holder("shard").await.unwrap(), held_by("a", "http://a", 1));
    leases.renew(&lease, LONG).await.unwrap();
}

async fn an_expired_lease_is_taken_over_and_the_old_holder_has_lost_it(leases: Subject) {
    let old = leases.acquire("shard", "a", "http://a", SHORT).await.unwrap();
    until("expiry", async || leases.holder("shard").await.unwrap().is_none()).await;
    let new = leases.acquire("shard", "b", "http://b", LONG).await.unwrap();
    assert!(new.epoch > old.epoch, "{} > {}", new.epoch, old.epoch);
    assert!(is_lost(&leases.renew(&old, LONG).await));
    assert!(is_lost(&leases.release(&old).await));
    assert_eq!(leases.holder("shard").await.unwrap(), held_by("b", "http://b", new.epoch));
    leases.renew(&new, LONG).await.unwrap();
}

async fn a_renewed_lease_does_not_expire(leases: Subject) {
    let lease = leases.acquire("shard", "a", "http://a", SHORT).await.unwrap();
    leases.renew(&lease, LONG).await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert!(matches!(
        leases.acquire("shard", "b", "http://b", LONG).await,
        Err(CoordinationError::Held { .. })
    ));
    assert_eq!(leases.holder("shard").await.unwrap(), held_by("a", "http://a", lease.epoch));
}

async fn a_lease_that_expired_unnoticed_can_still_be_renewed(leases: Subject) {
    let lease = leases.acquire("shard", "a", "http://a", SHORT).await.unwrap();
    until("expiry", async || leases.holder("shard").await.unwrap().is_none()).await;
    leases.renew(&lease, LONG).await.unwrap();
    assert_eq!(leases.holder("shard").await.unwrap(), held_by("a", "http://a", lease.epoch));
}

async fn a_restarted_holder_takes_over_at_once_and_fences_its_former_self(leases: Subject) {
    let former = leases.acquire("shard", "a", "http://a:1", LONG).await.unwrap();
    let lease = leases.acquire("shard", "a", "http://a:2", LONG).await.unwrap();
    assert!(lease.epoch > former.epoch);
    assert!(is_lost(&leases.renew(&former, LONG).await));
    assert_eq!(leases.holder("shard").await.unwrap(), held_by("a", "http://a:2", lease.epoch));
}

async fn a_lease_given_up_is_free_at_once_and_its_epoch_goes_on_rising(leases: Subject) {
    let old = leases.acquire("shard", "a", "http://a", LONG).await.unwrap();
    leases.release(&old).await.unwrap();
    assert_eq!(leases.holder("shard").await.unwrap(), None);
    assert!(is_lost(&leases.release(&old).await));
    assert!(is_lost(&leases.renew(&old, LONG).await), "given up is given up");
    let new = leases.acquire("shard", "b", "http://b", LONG).await.unwrap();
    assert!(new.epoch > old.epoch);
}

async fn of_many_that_want_a_lease_exactly_one_gets_it(leases: Subject) {
    for round in 0..5 {
        let name = format!("shard-{round}");
        let attempts: Vec<_> = (0..8)
            .map(|n| {
                let (leases, name) = (Arc::clone(&leases), name.clone());
                tokio::spawn(async move { leases.acquire(&name, &format!("m{n}"), "http://m", LONG).await })
            })
            .collect();
        let mut won = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(lease) => {
                    won += 1;
                    assert_eq!(lease.epoch, 1);
                }
                Err(CoordinationError::Held { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(won, 1);
    }
}

async fn leases_know_nothing_of_each_other(leases: Subject) {
    let one = leases.acquire("shard", "a", "http://a", LONG).await.unwrap();
    let two = leases.acquire("shard-2", "b", "http://b", LONG).await.unwrap();
    leases.release(&two).await.unwrap();
    leases.renew(&one, LONG).await.unwrap();
    assert_eq!(leases.holder("shard").await.unwrap(), held_by("a", "http://a", one.epoch));
}

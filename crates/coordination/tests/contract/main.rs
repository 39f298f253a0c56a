//! What every implementation of coordination must do, checked on each.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod leases;
mod membership;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nephos_model::{Clock, Timestamp};
use nephos_sql::Db;
use nephos_sql::migrations::{COORDINATION, migrate};
use nephos_sql::testing::Scratch;

/// A clock that runs by itself, as the databases' do.
#[derive(Debug)]
struct RunningClock(Instant);

impl Clock for RunningClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.plus(self.0.elapsed())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(RunningClock(Instant::now()))
}

async fn sqlite() -> (Db, Scratch) {
    migrated(Scratch::sqlite()).await
}

async fn postgres() -> (Db, Scratch) {
    migrated(Scratch::postgres().await).await
}

async fn migrated(scratch: Scratch) -> (Db, Scratch) {
    let db = scratch.db().await;
    migrate(&db, &[&COORDINATION]).await.unwrap();
    (db, scratch)
}

/// Makes a test of each function for one implementation; `$make` gives it and what must outlive it.
macro_rules! suite {
    ($name:ident, $make:expr; $($test:ident),* $(,)?) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let (subject, _guard) = $make.await;
                super::$test(subject).await;
            })*
        }
    };
}
pub(crate) use suite;

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}: waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

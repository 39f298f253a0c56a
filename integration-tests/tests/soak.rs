//! Hours of kills at random moments and of full disks, under load: of all acknowledged samples none is missing and none
//! counts twice. `SOAK_MINUTES` says how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use nephos_integration_tests::lives::Lives;

/// Between two counts of everything.
const ROUND: u32 = 20;

#[tokio::test]
async fn nothing_acknowledged_is_ever_lost() {
    let minutes: u64 = std::env::var("SOAK_MINUTES").map_or(60, |text| text.parse().expect("SOAK_MINUTES"));
    let seed = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    println!("{minutes} minutes, seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut lives = Lives::begin(folder.path(), seed).await;
    while Instant::now() < end {
        for _ in 0..ROUND {
            lives.die(3_000).await;
        }
        lives.live_on_a_full_disk().await;
        lives.check().await;
        println!("{} lives, everything acknowledged is there", lives.killed);
    }
    let ledger = lives.end().await;
    println!("{} samples acknowledged, none lost, none counted twice", ledger.acknowledged());
}

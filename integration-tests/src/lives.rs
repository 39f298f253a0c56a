//! One embedded Nephos under load that is killed again and again, each time at a random moment of its life.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::free_port;
use crate::counting::{self, Ledger, Load};
use crate::http::Http;
use crate::process::{Nephos, command};
use crate::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(60);
const METRICS: usize = 6;

/// A Nephos that lives many times on one folder, and the load on it.
#[derive(Debug)]
pub struct Lives {
    folder: PathBuf,
    listen: String,
    nephos: Nephos,
    api: Http,
    load: Load,
    random: u64,
    /// How often it was killed.
    pub killed: u32,
}

fn start(folder: &Path, listen: &str, min_free: &str) -> Nephos {
    let settings = [
        ("NEPHOS__POLLING__ENABLED", "false"),
        ("NEPHOS__API__LISTEN", listen),
        ("NEPHOS__STORE__MIN_FREE", min_free),
    ];
    Nephos::start("run", folder, "nephos", &settings)
}

impl Lives {
    /// The first life: creates metrics and starts the load. Moments of death follow from `seed`.
    pub async fn begin(folder: &Path, seed: u64) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let nephos = start(folder, &listen, "0");
        let api = Http::new(&format!("http://{listen}"));
        let load = Load::default();
        let mut lives =
            Self { folder: folder.to_owned(), listen, nephos, api, load, random: seed, killed: 0 };
        lives.ready().await;
        let metrics = counting::metrics(&lives.api, METRICS).await;
        lives.load.over_rest(&lives.api, &metrics);
        lives
    }

    async fn ready(&self) {
        wait_for("Nephos is ready", PATIENCE, || async {
            let answer = self.api.try_send("GET", "/readyz", None).await?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text) }
        })
        .await;
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        // The constants of Knuth's MMIX.
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    /// Lives until the load got through, up to `longest` milliseconds more, is killed, and starts again.
    pub async fn die(&mut self, longest: u64) {
        self.load.acknowledge_more(1, PATIENCE).await;
        let more = self.below(longest);
        tokio::time::sleep(Duration::from_millis(more)).await;
        self.nephos.kill();
        self.killed += 1;
        self.nephos = start(&self.folder, &self.listen, "0");
    }

    /// A life on a full disk: reads are answered, nothing is taken; then it is killed and there is room again.
    pub async fn live_on_a_full_disk(&mut self) {
        self.nephos.kill();
        self.killed += 1;
        self.nephos = start(&self.folder, &self.listen, "1000000GiB");
        self.ready().await;
        // What was answered before the kill is noted by now.
        let before = self.load.ledger.acknowledged();
        let more = 200 + self.below(800);
        tokio::time::sleep(Duration::from_millis(more)).await;
        self.load.ledger.settle(&self.api, PATIENCE).await;
        assert_eq!(self.load.ledger.acknowledged(), before, "a full disk takes nothing");
        self.nephos.kill();
        self.killed += 1;
        self.nephos = start(&self.folder, &self.listen, "0");
    }

    /// Everything that was acknowledged so far is there, and nothing twice.
    pub async fn check(&self) {
        self.ready().await;
        self.load.ledger.settle(&self.api, PATIENCE).await;
    }

    /// Stops the load, counts, stops Nephos in order, and has the operator's command check the store.
    pub async fn end(mut self) -> Ledger {
        self.ready().await;
        let ledger = self.load.stop().await;
        ledger.settle(&self.api, PATIENCE).await;
        assert_eq!(self.nephos.stop(PATIENCE).await, Some(0));
        let data = self.folder.join("nephos-data");
        let verified = command(&["store", "verify"]).env("NEPHOS__DATA_DIR", data).output().expect("nephos");
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!((verified.status.code(), said.trim()), (Some(0), "no problems"));
        ledger
    }
}

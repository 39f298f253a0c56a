//! Writes the files that are kept in `testdata` for a new version of the store's format: `write_format FOLDER`, once for
//! each version, into a folder that is not there yet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

use nephos_metric_store::{Batch, LocalStore, MetricStore, StoreOptions};

#[allow(dead_code)]
#[path = "../src/store/tests/golden/filling.rs"]
mod filling;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map(std::path::PathBuf::from).expect("a folder");
    assert!(!folder.exists(), "what was written stays for ever");
    filling::fill(folder).await.close().await;
}

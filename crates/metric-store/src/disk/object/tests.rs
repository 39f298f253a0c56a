//! Object stores that answer late, wrongly or not at all.

use std::sync::OnceLock;

use tokio::runtime::{Handle, Runtime};

use super::S3Options;

mod faults;
mod proxy;

/// A runtime that serves all tests of this program.
pub(in crate::disk) fn runtime() -> Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).handle().clone()
}

/// The S3-compatible server of the tests.
#[allow(clippy::disallowed_methods)]
fn server() -> String {
    std::env::var("NEPHOS_TEST_S3_URL").unwrap_or_else(|_| "http://127.0.0.1:45675".to_owned())
}

/// A bucket of its own on that server; fails where the server is not there.
pub(in crate::disk) fn bucket() -> S3Options {
    // Another test may have done it.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let url = format!("{}/{name}", server());
    let (done, answer) = std::sync::mpsc::channel();
    runtime().spawn(async move {
        done.send(reqwest::Client::new().put(url).send().await).unwrap();
    });
    let answer = answer.recv().unwrap().expect("the S3 server answers; start it with scripts/servers start");
    assert!(answer.status().is_success(), "{answer:?}");
    let mut options = S3Options::new(name, "tests", "a secret".to_owned().into());
    options.prefix = "some/prefix".to_owned();
    options.endpoint = Some(server());
    options.allow_http = true;
    options
}

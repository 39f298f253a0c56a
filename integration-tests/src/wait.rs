//! Waiting for a condition, with the last status in the message when it never comes.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Asks `check` until it gives a value; panics with what it last said when `patience` runs out.
pub async fn wait_for<T, F, Fut>(what: &str, patience: Duration, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + patience;
    loop {
        let last = match check().await {
            Ok(value) => return value,
            Err(last) => last,
        };
        assert!(Instant::now() < end, "{what} did not happen within {patience:?}; last: {last}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

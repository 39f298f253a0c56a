//! What every bus must do, checked on each; and what each does besides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod amqp;
mod amqp_faults;
mod broker;
mod in_process;
mod suite;

use std::time::Duration;

use nephos_bus::RetryPolicy;
use nephos_model::{Sample, SampleKind, Timestamp};

/// Redelivery that tests need not wait for.
const RETRY: RetryPolicy = RetryPolicy {
    deliveries: 4,
    first_delay: Duration::from_millis(10),
    longest_delay: Duration::from_millis(40),
};

/// Sample `n` of resource `n % resources`.
fn sample(n: i64, resources: i64) -> Sample {
    let at = Timestamp::from_nanos(1_795_302_500_000_000_000 + n * 1_000);
    Sample::new("cpu", SampleKind::Cumulative, "ns", n, format!("r{}", n % resources), at)
}

fn samples(count: i64) -> Vec<Sample> {
    (0..count).map(|n| sample(n, 10)).collect()
}

/// Fails the test when `future` takes too long: a hang would say nothing.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("{what}: waited in vain"))
}

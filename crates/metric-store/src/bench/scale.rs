//! What a point and a metric cost where there are many: CPU, memory, restart, and doing nothing.

use std::sync::Arc;
use std::time::Duration;

use nephos_timeseries::ArchivePolicy;

use super::workload::METERS;
use super::{Bench, Meter, REQUEST, figure, own, reading, send};
use crate::contract::StoreError;

/// How long to watch the store do nothing.
const IDLE: Duration = Duration::from_secs(10);
/// After so long the allocator gives back what was freed.
const GIVEN_BACK: Duration = Duration::from_millis(1_100);

/// One reading of every instance after the other under the policy medium, as polling sends them.
#[allow(clippy::cast_precision_loss)]
pub(super) async fn scale(bench: &mut Bench<'_>) -> Result<(), StoreError> {
    let policies = ArchivePolicy::well_known(&ArchivePolicy::DEFAULT_METHODS);
    let Some(policy) = policies.into_iter().find(|policy| policy.name == "medium").map(Arc::new) else {
        return Ok(());
    };
    let mut instances = bench.instances();
    let readings = bench.options.readings;
    let points = (instances.len() * METERS.len() * readings) as f64;
    // What the load itself takes: it was there before the store.
    let load = own("status", "VmRSS:");
    let store = bench.open("scale")?;
    let mut meter = Meter::start();
    let mut most = 0.0_f64;
    let mut look = || most = most.max(own("status", "VmRSS:") - load);
    for _ in 0..readings {
        for group in instances.chunks_mut(2 * REQUEST / METERS.len()) {
            let requests = meter.make(|| reading(group, &policy));
            send(&store, requests).await?;
        }
        look();
        // What a reading sets off is over long before the next one comes a minute later, and what it freed given back.
        if !store.is_at_rest() {
            while !store.is_at_rest() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                look();
            }
            tokio::time::sleep(GIVEN_BACK).await;
        }
    }
    store.compact(false).await?;
    let metrics = format!("{} metrics", instances.len() * METERS.len());
    bench.tell(figure(&format!("{metrics}, live"), meter.cpu() / points * 1e6, "CPU s / Mpoint", None));
    bench.tell(figure("bytes written", meter.written() / points, "B / point", None));
    bench.tell(figure("resident at most, load excluded", most / 1_024.0, "MiB", None));
    let idle = Meter::start();
    tokio::time::sleep(IDLE).await;
    bench.tell(figure("idle", idle.cpu() / IDLE.as_secs_f64() * 100.0, "% of a core", None));
    store.close().await;
    drop(store);
    let start = bench.options.clock.monotonic();
    let store = bench.open("scale")?;
    let took = bench.options.clock.monotonic().saturating_sub(start);
    bench.tell(figure("restart", took.as_secs_f64(), "s", None));
    store.close().await;
    Ok(())
}

//! Beside the samples: new pipeline files, old state, health.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nephos_config::PipelineFile;
use nephos_coordination::StateStore;
use nephos_observe::Health;
use nephos_pipeline::Pipelines;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::instrument;

/// How often the state store is asked whether it works.
const CHECK: Duration = Duration::from_secs(5);
/// After how many checks old state is deleted: an hour's.
const CHECKS_PER_EXPIRY: u32 = 720;

/// Puts the current file in force.
pub(crate) fn put_in_force(pipelines: &Pipelines, files: &mut watch::Receiver<Arc<PipelineFile>>) {
    let file = Arc::clone(&files.borrow_and_update());
    let applied = pipelines.apply(&file);
    tracing::info!(
        sources = file.sources.len(),
        sinks = file.sinks.len(),
        opened = ?applied.opened,
        closed = ?applied.closed,
        kept = applied.kept,
        "pipelines are in force"
    );
}

/// Puts every new file in force.
pub(crate) async fn follow(pipelines: Arc<Pipelines>, mut files: watch::Receiver<Arc<PipelineFile>>) {
    while files.changed().await.is_ok() {
        put_in_force(&pipelines, &mut files);
    }
}

/// Watches the state store and deletes state that nobody uses.
pub(crate) async fn keep(pipelines: Arc<Pipelines>, state: Arc<dyn StateStore>, health: Health) {
    let known = Arc::new(RwLock::new(Ok(())));
    let shown = Arc::clone(&known);
    let check = move || shown.read().unwrap_or_else(PoisonError::into_inner).clone();
    health.register("state", Arc::new(check));
    let mut ticks = tokio::time::interval(CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_expiry = CHECKS_PER_EXPIRY;
    loop {
        ticks.tick().await;
        let found = state.ready().await.map_err(|error| error.to_string());
        *known.write().unwrap_or_else(PoisonError::into_inner) = found;
        until_expiry -= 1;
        if until_expiry == 0 {
            until_expiry = CHECKS_PER_EXPIRY;
            if let Err(error) = pipelines.expire().await {
                instrument::failed("expire");
                tracing::warn!(error = %error, "old transformer state could not be deleted");
            }
        }
    }
}

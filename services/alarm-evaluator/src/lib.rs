//! The alarm evaluator: each interval, each due alarm of this process's share is judged by a pure state machine, and
//! its new state, history and notifications are committed in one transaction.

mod evaluate;
mod instrument;
pub mod schedule;
pub mod threshold;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use nephos_coordination::Membership;
use nephos_identity::Rules;
use nephos_index::Index;
use nephos_metric_store::MetricStore;
use nephos_model::Clock;
use nephos_observe::{Backoff, Health, Shutdown};
use tokio::sync::watch;

/// Name of the evaluators' membership group.
pub const GROUP: &str = "alarm-evaluator";

/// How often due alarms are looked for.
const TICK: Duration = Duration::from_secs(1);
/// Alarms judged at the same time: they mostly wait for the store.
const CONCURRENCY: usize = 16;
/// Alarms taken from the index at once.
const BATCH: u64 = 1_000;

/// What an operator can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatorOptions {
    /// From one evaluation of an alarm to the next.
    pub interval: Duration,
    /// Widens the window for measures that arrive late.
    pub additional_ingestion_lag: Duration,
    /// Whether transitions are written to the history.
    pub record_history: bool,
    /// Creator of what the collector stores.
    pub collector_creator: String,
}

/// What the evaluator works with.
#[derive(Debug)]
pub struct EvaluatorParts {
    /// Alarms, resources, metrics.
    pub index: Arc<dyn Index>,
    /// Measures.
    pub store: Arc<dyn MetricStore>,
    /// Who else evaluates.
    pub membership: Arc<dyn Membership>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where readiness is reported.
    pub health: Health,
    /// Options, which may change while running.
    pub options: watch::Receiver<Arc<EvaluatorOptions>>,
    /// Who may do what: an alarm reads what its owner may read. May change while running.
    pub rules: watch::Receiver<Arc<Rules>>,
}

/// Evaluates alarms until shutdown is asked for; an evaluation under way is finished.
pub async fn run(parts: EvaluatorParts, shutdown: Shutdown) {
    let selection = Arc::new(std::sync::Mutex::new(Err("no selection of alarms yet".to_owned())));
    let seen = Arc::clone(&selection);
    parts.health.register(
        "alarm-evaluator",
        Arc::new(move || seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()),
    );
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        let result = cycle(&parts, &shutdown).await;
        *selection.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = result.clone();
        let pause = match result {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("alarms are evaluated again");
                }
                backoff.reset();
                TICK
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error, "alarms cannot be evaluated; trying again");
                }
                backoff.next_delay()
            }
        };
        tokio::select! {
            () = shutdown.requested() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Err(error) = parts.membership.leave(GROUP).await {
        tracing::debug!(%error, "could not leave the group of evaluators; the others will notice");
    }
}

/// One look for due alarms, and their evaluation.
async fn cycle(parts: &EvaluatorParts, shutdown: &Shutdown) -> Result<(), String> {
    parts.membership.beat(GROUP).await.map_err(|error| error.to_string())?;
    let members = parts.membership.members(GROUP).await.map_err(|error| error.to_string())?;
    let options = Arc::clone(&parts.options.borrow());
    let now = parts.clock.now();
    let due = parts
        .index
        .due_alarms(now.minus(options.interval), BATCH)
        .await
        .map_err(|error| error.to_string())?;
    let mine = due
        .into_iter()
        .filter(|alarm| nephos_coordination::owns(parts.membership.me(), &members, &alarm.id.to_string()));
    futures_util::stream::iter(mine)
        .take_while(|_| std::future::ready(!shutdown.is_requested()))
        .for_each_concurrent(CONCURRENCY, |alarm| {
            let options = Arc::clone(&options);
            async move { evaluate::evaluate(parts, &options, alarm).await }
        })
        .await;
    Ok(())
}

//! Metrics of this crate; latency of statements is counted by `nephos-sql`.

use metrics::counter;
use nephos_sql::SqlError;

/// A call failed for a reason of the database.
pub(crate) fn failed(error: &SqlError) {
    let kind = if error.is_retryable() { "unavailable" } else { "database" };
    counter!("nephos_index_errors_total", "kind" => kind).increment(1);
}

/// The catalogue was read anew.
pub(crate) fn catalogue_loaded() {
    counter!("nephos_index_catalogue_loads_total").increment(1);
}

/// Metrics were taken into memory.
pub(crate) fn known_loaded(number: usize) {
    counter!("nephos_index_known_metrics_loads_total").increment(number as u64);
}

/// Metrics in memory have changed.
pub(crate) fn known_forgotten(number: usize) {
    counter!("nephos_index_known_metrics_changes_total").increment(number as u64);
}

/// Metrics were looked for in memory: how many had to be searched, because they were not where they were guessed to be,
/// and whether all were put into the order asked for.
pub(crate) fn known_looked_up(searches: usize, is_followed: bool) {
    if searches > 0 {
        counter!("nephos_index_known_metrics_searches_total").increment(searches as u64);
    }
    if is_followed {
        counter!("nephos_index_known_metrics_arrangements_total").increment(1);
    }
}

/// Objects were created.
pub(crate) fn created(what: &'static str, number: usize) {
    counter!("nephos_index_created_total", "what" => what).increment(number as u64);
}

/// A transaction for several creations has ended.
pub(crate) fn created_together(creations: usize, is_ok: bool) {
    let result = if is_ok { "committed" } else { "refused" };
    counter!("nephos_index_shared_transactions_total", "result" => result).increment(1);
    counter!("nephos_index_shared_creations_total", "result" => result).increment(creations as u64);
}

/// Past revisions were forgotten.
pub(crate) fn history_expired(revisions: u64) {
    counter!("nephos_index_expired_revisions_total").increment(revisions);
}

/// The collector asked for metrics.
pub(crate) fn ensured(received: usize, refused: usize) {
    counter!("nephos_index_ensured_metrics_total").increment(received as u64);
    counter!("nephos_index_refused_metrics_total").increment(refused as u64);
}

/// An evaluation lost against a change that was made meanwhile.
pub(crate) fn evaluation_outdated() {
    counter!("nephos_index_outdated_evaluations_total").increment(1);
}

/// Notifications were handed to a notifier.
pub(crate) fn outbox_claimed(number: usize) {
    counter!("nephos_index_outbox_claims_total").increment(number as u64);
}

/// A notification was given up.
pub(crate) fn outbox_dead() {
    counter!("nephos_index_outbox_dead_total").increment(1);
}

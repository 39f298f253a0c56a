//! Metrics and slow-statement log of this crate.

use std::time::{Duration, Instant};

use metrics::{counter, histogram};

use crate::connection::Reply;
use crate::error::Failure;

/// Statements slower than this are counted and logged.
const SLOW: Duration = Duration::from_millis(500);

/// One statement has run.
pub(crate) fn statement(sql: &str, started: Instant, result: &Result<Reply, (Failure, crate::SqlError)>) {
    let took = started.elapsed();
    histogram!("nephos_sql_statement_seconds").record(took.as_secs_f64());
    match result {
        Ok(reply) => {
            counter!("nephos_sql_statements_total").increment(1);
            counter!("nephos_sql_rows_received_total").increment(reply.rows.len() as u64);
        }
        Err((failure, _)) => counter!("nephos_sql_errors_total", "kind" => failure.as_str()).increment(1),
    }
    if took >= SLOW {
        counter!("nephos_sql_slow_statements_total").increment(1);
        tracing::warn!(sql, seconds = took.as_secs_f64(), "slow statement");
    }
}

/// A connection was opened.
pub(crate) fn connected() {
    counter!("nephos_sql_connections_opened_total").increment(1);
}

/// A transaction or statement runs again.
pub(crate) fn retried(failure: Failure) {
    counter!("nephos_sql_retries_total", "reason" => failure.as_str()).increment(1);
}

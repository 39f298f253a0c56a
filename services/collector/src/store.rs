//! Appends batches to the metric store until they are durable.

use std::sync::Arc;

use nephos_metric_store::{Batch, MetricStore, StoreError};
use nephos_observe::{Backoff, Shutdown};

use crate::{instrument, pause};

/// Appends `batch`, waiting out passing faults; false when shutdown was asked for before they were durable. Batches that the
/// store will never take are given up, counted and logged, so that they do not hold up the others for ever.
pub(crate) async fn append_until_durable(
    store: &dyn MetricStore,
    batch: Arc<Batch>,
    shutdown: &Shutdown,
) -> bool {
    if batch.is_empty() {
        return true;
    }
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        match store.append(Arc::clone(&batch)).await {
            Ok(report) => {
                if told {
                    tracing::info!("the metric store takes measures again");
                }
                instrument::emitted(report.accepted, report.late);
                return true;
            }
            Err(error) if error.is_retryable() => {
                instrument::failed(stage(&error));
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %Chain(&error), "samples wait for the metric store");
                }
            }
            Err(error) => {
                let measures = batch.len();
                tracing::error!(error = %Chain(&error), measures, "the metric store refuses measures; they are lost");
                instrument::dropped("refused_by_store", measures);
                return true;
            }
        }
        if pause(backoff.next_delay(), shutdown).await {
            return false;
        }
    }
}

const fn stage(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull { .. } => "store_disk_full",
        StoreError::NoOwner { .. } => "store_no_owner",
        _ => "store",
    }
}

/// An error with its causes.
pub(crate) struct Chain<'a>(pub(crate) &'a StoreError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

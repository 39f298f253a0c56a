//! Damage found in files: counted every time, told once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::contract::StoreError;
use crate::instrument;

const MOST_REMEMBERED: usize = 1_024;

/// What was told already.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    told: Mutex<HashSet<String>>,
}

impl DamageLog {
    /// Counts damage and tells it in the log if it is new; gives the error for whoever needed the data.
    pub(crate) fn report(&self, path: &str, reason: impl Into<String>) -> StoreError {
        let error = StoreError::Damaged { path: path.to_owned(), reason: reason.into() };
        instrument::damage();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_REMEMBERED && told.insert(error.to_string()) {
            tracing::error!(error = %error, "a file of the metric store is damaged; the rest stays readable");
        }
        error
    }

    /// What was told so far, in the order of its words.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told: Vec<String> = told.iter().cloned().collect();
        told.sort_unstable();
        told
    }
}

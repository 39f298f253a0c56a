//! Errors of the operating system that say what was tried on which path.

use std::path::Path;

use crate::contract::StoreError;

/// Turns an error of the operating system into one that names the action and the path.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.display().to_string(), source }
}

//! Reading files without holding up the runtime.

use nephos_hypervisor::HypervisorError;

use crate::pollster::Polled;

/// Runs `poll` on a thread that may block. A poll that died gives a fault and no samples.
pub(crate) async fn run(poll: impl FnOnce() -> Polled + Send + 'static) -> Polled {
    match tokio::task::spawn_blocking(poll).await {
        Ok(polled) => polled,
        Err(error) => Polled { faults: vec![("died", error.to_string())], ..Polled::default() },
    }
}

/// A fault with its cause, in one line.
pub(crate) fn fault(error: HypervisorError) -> (&'static str, String) {
    let kind = error.kind();
    match std::error::Error::source(&error) {
        Some(source) => (kind, format!("{error}: {source}")),
        None => (kind, error.to_string()),
    }
}

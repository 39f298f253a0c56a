//! Orderly shutdown: one signal to stop intake, one count of those still draining.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells services to stop and waits for their tasks. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Shutdown {
    /// A shutdown that is triggered with this one, but can also be triggered alone; its tasks are counted alone.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), tracker: TaskTracker::new() }
    }

    /// Runs a task that must end soon after [`requested`](Self::requested).
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// Asks everybody to stop.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether stopping was asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until stopping is asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Waits until every spawned task has ended. Call after [`trigger`](Self::trigger).
    pub async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

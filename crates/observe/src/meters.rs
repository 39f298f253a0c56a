//! Our own counters, gauges and histograms, rendered for `/metrics`.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// The process's metrics. Clones share one recorder.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Upper bounds of latency buckets, in seconds: from half a millisecond to half a minute.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

impl Metrics {
    /// Installs the process-wide recorder, or a recorder of its own if there is one already (tests in one process).
    pub fn install() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .map(PrometheusBuilder::build_recorder)
            .unwrap_or_else(|_| PrometheusBuilder::new().build_recorder());
        let handle = recorder.handle();
        // A second recorder in one process only happens in tests: it then renders nothing.
        let _already_installed = metrics::set_global_recorder(recorder).is_err();
        Self { handle }
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds recent histogram samples in: call every few seconds, so that memory stays bounded without scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

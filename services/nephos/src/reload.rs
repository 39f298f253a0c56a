//! Reloading on SIGHUP: the configuration is read again whole, and only what is without faults takes effect, through
//! the same channels that start used.

use std::sync::Arc;

use nephos_alarm_evaluator::EvaluatorOptions;
use nephos_config::{Loaded, PipelineFile, PollingFile, ResourcesFile};
use nephos_identity::Rules;
use nephos_observe::LogControl;
use tokio::sync::watch;

/// What can change while running, by whoever listens.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) polling: watch::Sender<Arc<PollingFile>>,
    pub(crate) pipeline: watch::Sender<Arc<PipelineFile>>,
    pub(crate) resources: watch::Sender<Arc<ResourcesFile>>,
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    pub(crate) evaluator: watch::Sender<Arc<EvaluatorOptions>>,
    pub(crate) log: LogControl,
}

/// The evaluator's options of a configuration.
pub(crate) fn evaluator_options(loaded: &Loaded) -> EvaluatorOptions {
    let settings = &loaded.settings;
    EvaluatorOptions {
        interval: settings.evaluator.interval,
        additional_ingestion_lag: settings.evaluator.additional_ingestion_lag,
        record_history: settings.evaluator.record_history,
        collector_creator: settings.collector.creator.clone(),
    }
}

impl Live {
    /// The first configuration.
    pub(crate) fn new(loaded: &Loaded, log: LogControl) -> Self {
        Self {
            polling: watch::Sender::new(Arc::new(loaded.polling.clone())),
            pipeline: watch::Sender::new(Arc::new(loaded.pipeline.clone())),
            resources: watch::Sender::new(Arc::new(loaded.resources.clone())),
            rules: watch::Sender::new(Arc::clone(&loaded.rules)),
            evaluator: watch::Sender::new(Arc::new(evaluator_options(loaded))),
            log,
        }
    }

    /// A later one. Listeners compare and apply what differs.
    pub(crate) fn apply(&self, loaded: &Loaded) {
        self.polling.send_replace(Arc::new(loaded.polling.clone()));
        self.pipeline.send_replace(Arc::new(loaded.pipeline.clone()));
        self.resources.send_replace(Arc::new(loaded.resources.clone()));
        self.rules.send_replace(Arc::clone(&loaded.rules));
        self.evaluator.send_replace(Arc::new(evaluator_options(loaded)));
        if let Err(error) = self.log.set_level(&loaded.settings.log.level) {
            tracing::warn!(%error, "the log level stays as it was");
        }
        tracing::info!(
            "configuration reloaded: polling, pipelines, resource definitions, rules of access, evaluator and log level"
        );
    }
}

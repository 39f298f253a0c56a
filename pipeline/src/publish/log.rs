//! `log://`: one structured line a sample in our own log.

use async_trait::async_trait;
use nephos_config::pipeline::LogLevel;
use nephos_model::{Sample, Volume};
use nephos_wire::python;
use nephos_wire::time::naive_utc;

use super::{PublishError, Publisher};

/// Writes samples to the log at one level.
#[derive(Clone, Copy, Debug)]
pub struct ToLog {
    level: LogLevel,
}

impl ToLog {
    /// At `level`.
    pub fn new(level: LogLevel) -> Self {
        Self { level }
    }
}

macro_rules! line {
    ($level:ident, $sample:expr) => {{
        let sample = $sample;
        tracing::$level!(
            name = sample.name,
            r#type = sample.kind.as_str(),
            unit = sample.unit,
            volume = volume(sample.volume),
            resource_id = sample.resource_id,
            project_id = sample.project_id,
            user_id = sample.user_id,
            timestamp = naive_utc(sample.timestamp, 'T'),
            id = %sample.id,
            "sample"
        );
    }};
}

#[async_trait]
impl Publisher for ToLog {
    async fn publish(&self, samples: &[Sample]) -> Result<(), PublishError> {
        for sample in samples {
            match self.level {
                LogLevel::Error => line!(error, sample),
                LogLevel::Warn => line!(warn, sample),
                LogLevel::Info => line!(info, sample),
                LogLevel::Debug => line!(debug, sample),
                LogLevel::Trace => line!(trace, sample),
            }
        }
        Ok(())
    }
}

fn volume(volume: Volume) -> String {
    match volume {
        Volume::Int(value) => value.to_string(),
        Volume::Uint(value) => value.to_string(),
        Volume::Float(value) => python::float(value),
    }
}

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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use nephos_model::{SampleKind, Timestamp};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_sample_is_one_structured_line() {
        let written = Shared::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let mut sample = Sample::new("cpu", SampleKind::Gauge, "%", 5.0, "r1", Timestamp::from_secs(60));
        sample.project_id = Some("p".to_owned());
        ToLog::new(LogLevel::Warn).publish(&[sample.clone(), sample]).await.unwrap();
        ToLog::new(LogLevel::Trace).publish(&[]).await.unwrap();
        drop(guard);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["level"], "WARN");
        for (field, value) in [
            ("name", "cpu"),
            ("type", "gauge"),
            ("unit", "%"),
            ("volume", "5.0"),
            ("resource_id", "r1"),
            ("project_id", "p"),
            ("timestamp", "1970-01-01T00:01:00"),
            ("message", "sample"),
        ] {
            assert_eq!(line["fields"][field], value, "{field} in {text}");
        }
    }
}

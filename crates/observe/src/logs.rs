//! Structured logs on standard error, with a level that can be changed while running.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no filter expression.
    #[error("log level {level:?} is not understood: {reason}")]
    BadLevel {
        /// The text given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody installed a logger before.
    #[error("a logger is installed already")]
    AlreadyInstalled,
}

/// Changes the level of the running process.
#[derive(Clone, Debug)]
pub struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogControl {
    /// Installs the process-wide logger. `level` is a level (`info`) or a list of `target=level`.
    pub fn install(level: &str, format: LogFormat) -> Result<Self, LogError> {
        let (filter, handle) = reload::Layer::new(parse(level)?);
        let registry = tracing_subscriber::registry().with(filter);
        let installed = match format {
            LogFormat::Text => registry
                .with(fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()))
                .try_init(),
            LogFormat::Json => {
                registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
            }
        };
        installed.map_err(|_| LogError::AlreadyInstalled)?;
        Ok(Self { handle })
    }

    /// Changes the level.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = parse(level)?;
        self.handle.reload(filter).map_err(|_| LogError::AlreadyInstalled)
    }
}

/// Whether `level` would be accepted.
pub fn check_level(level: &str) -> Result<(), LogError> {
    parse(level).map(|_| ())
}

fn parse(level: &str) -> Result<EnvFilter, LogError> {
    // A bare level is for Nephos itself; libraries stay at warnings unless they are named or things get verbose.
    let text = match level {
        "info" => "warn,nephos=info".to_owned(),
        "debug" | "trace" => format!("info,nephos={level}"),
        other => other.to_owned(),
    };
    EnvFilter::builder()
        .parse(&text)
        .map_err(|error| LogError::BadLevel { level: level.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_checked() {
        for level in ["error", "info", "trace", "info,nephos_bus=debug"] {
            assert!(check_level(level).is_ok(), "{level}");
        }
        let error = check_level("nephos=loud").unwrap_err().to_string();
        assert!(error.starts_with("log level \"nephos=loud\" is not understood"), "{error}");
    }
}

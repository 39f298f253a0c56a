//! `nephos poll --once`: what the pollsters read right now.

use std::process::ExitCode;
use std::sync::Arc;

use nephos_config::Loaded;
use nephos_observe::SystemClock;
use nephos_polling_agent::{AgentSettings, FirstRun, poll_once};
use serde_json::Value;

use super::plain;
use super::table::table;
use crate::cli::Format;
use crate::setup::say;

/// Reads once and prints the samples.
pub(super) async fn run(loaded: &Loaded, pattern: &str, format: Format) -> anyhow::Result<ExitCode> {
    let settings = AgentSettings::new(&loaded.settings, FirstRun::AtOnce);
    let wanted = |name: &str| nephos_lang::glob::matches(pattern, name);
    let samples = poll_once(&settings, Arc::new(SystemClock::default()), wanted).await;
    match format {
        Format::Table => {
            let rows: Vec<Vec<String>> = samples
                .iter()
                .map(|sample| {
                    vec![
                        sample.resource_id.clone(),
                        sample.name.clone(),
                        sample.volume.as_f64().to_string(),
                        sample.unit.clone(),
                        sample.kind.as_str().to_owned(),
                    ]
                })
                .collect();
            say(&table(&["RESOURCE", "METER", "VOLUME", "UNIT", "TYPE"], &rows));
        }
        Format::Json => {
            let samples: Vec<Value> = samples.iter().map(plain::write).collect();
            say(&serde_json::to_string_pretty(&samples)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

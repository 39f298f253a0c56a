//! `nephos pipeline test`: samples through the pipelines, in memory.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use nephos_config::Loaded;
use nephos_model::{Clock, Sample};
use nephos_observe::SystemClock;
use serde_json::{Value, json};

use super::plain;
use super::table::table;
use crate::cli::Format;
use crate::setup::{say, tell};

/// Runs the samples of `file` through the configured pipelines and prints what each sink would publish.
pub(super) fn run(loaded: &Loaded, file: &Path, format: Format) -> anyhow::Result<ExitCode> {
    let samples = read(file)?;
    let now = SystemClock::default().now();
    let nephos_pipeline::Rehearsal { sinks, dropped, faults } =
        nephos_pipeline::rehearse(&loaded.pipeline, &samples, now);
    for (sink, fault) in &faults {
        tell(&format!("sink {sink}: {fault}\n"));
    }
    for (reason, count) in dropped.iter().filter(|(_, count)| *count > 0) {
        tell(&format!("{count} samples ended on the way: {}\n", reason.as_str()));
    }
    match format {
        Format::Table => {
            let rows: Vec<Vec<String>> = sinks
                .iter()
                .flat_map(|sink| {
                    sink.samples.iter().map(|sample| {
                        vec![
                            sink.sink.clone(),
                            sample.resource_id.clone(),
                            sample.name.clone(),
                            sample.volume.as_f64().to_string(),
                            sample.unit.clone(),
                        ]
                    })
                })
                .collect();
            say(&table(&["SINK", "RESOURCE", "METER", "VOLUME", "UNIT"], &rows));
        }
        Format::Json => {
            let sinks: Vec<Value> = sinks
                .iter()
                .map(|sink| {
                    let samples: Vec<Value> = sink.samples.iter().map(plain::write).collect();
                    json!({"sink": sink.sink, "samples": samples})
                })
                .collect();
            say(&serde_json::to_string_pretty(&sinks)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<Sample>> {
    let (name, text) = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
        ("standard input".to_owned(), text)
    } else {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        (file.display().to_string(), text)
    };
    let values: Vec<Value> =
        serde_json::from_str(&text).with_context(|| format!("{name} is no JSON list of samples"))?;
    values
        .iter()
        .enumerate()
        .map(|(at, value)| plain::read(value).with_context(|| format!("sample {at} of {name}")))
        .collect()
}

//! `nephos store …`: look at the metric store, check it, merge it, take data out and put data in, measure the engine.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use nephos_config::Mode;
use nephos_metric_store::bench::{BenchOptions, Figure, Part};
use nephos_metric_store::tools::{Inspection, Selection, inspect, verify};
use nephos_metric_store::{LocalStore, MetricStore, StoreOptions};
use nephos_observe::SystemClock;
use serde_json::{Value, json};

use super::exchange;
use super::table::table;
use crate::adapters::place;
use crate::cli::{Common, Format, StoreCommand};
use crate::lock::DataDir;
use crate::setup::{configuration, say};

/// Runs a command about the store.
pub(super) async fn run(common: &Common, command: StoreCommand) -> anyhow::Result<ExitCode> {
    if let StoreCommand::Bench { folder, instances, readings, seed, runs, mut parts, output } = command {
        if parts.is_empty() {
            parts = Part::TABLE.to_vec();
        }
        let clock = Arc::new(SystemClock::default());
        let options = BenchOptions { parts, folder: PathBuf::new(), instances, readings, seed, runs, clock };
        return bench(folder, options, output.format).await;
    }
    let Some(loaded) = configuration(common, Mode::Embedded)? else {
        return Ok(ExitCode::from(crate::BAD_CONFIGURATION));
    };
    let settings = &loaded.settings;
    let place = place(settings)?;
    match command {
        StoreCommand::Inspect { output } => {
            show(&blocking(move || inspect(&place, &mut progress("read"))).await?, output.format)?;
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::Verify { output } => {
            let problems = blocking(move || verify(&place, &mut progress("checked"))).await?;
            let sound = problems.is_empty();
            match output.format {
                Format::Json => {
                    let list: Vec<Value> = problems
                        .iter()
                        .map(|problem| json!({"path": problem.path, "reason": problem.reason}))
                        .collect();
                    say(&serde_json::to_string_pretty(&list)?);
                }
                Format::Table if sound => say("no problems"),
                Format::Table => {
                    for problem in &problems {
                        say(&format!("{}: {}", problem.path, problem.reason));
                    }
                }
            }
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        StoreCommand::Compact => {
            // Merging is the owner's work: nobody else may serve the store meanwhile.
            let _held = DataDir::lock(&settings.data_dir)?;
            let options = StoreOptions::new(place, Arc::new(SystemClock::default()));
            let store = blocking(move || LocalStore::open(StoreOptions { min_free: 0, ..options })).await?;
            let before = store.statistics().await?.disk_bytes;
            store.compact(true).await.context("merge the segments")?;
            let after = store.statistics().await?.disk_bytes;
            store.close().await;
            say(&format!("{before} bytes before, {after} bytes now"));
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::Export { metric, start, stop, output } => {
            let selection = Selection { metrics: metric, start, stop };
            tokio::task::spawn_blocking(move || exchange::write(&place, &selection, &output)).await?
        }
        StoreCommand::Import { file, replace } => {
            let _held = DataDir::lock(&settings.data_dir)?;
            let shards = u32::from(settings.store.shards);
            tokio::task::spawn_blocking(move || exchange::read(&place, shards, replace, &file)).await?
        }
        StoreCommand::Bench { .. } => bail!("handled above"),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, nephos_metric_store::StoreError> + Send + 'static,
) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.context("work on the metric store")??)
}

/// Tells how far it is on a terminal, and nothing elsewhere.
pub(super) fn progress(did: &'static str) -> impl FnMut(u64, u64) {
    let mut told = 0;
    move |done, total| {
        let percent = done.saturating_mul(100) / total.max(1);
        if percent > told && std::io::stderr().is_terminal() {
            told = percent;
            let end = if percent == 100 { '\n' } else { '\r' };
            drop(write!(std::io::stderr(), "{did} {percent} %{end}"));
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn per(bytes: u64, count: u64) -> String {
    if count == 0 { String::new() } else { format!("{:.3}", bytes as f64 / count as f64) }
}

fn show(found: &Inspection, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        say(&serde_json::to_string_pretty(&as_json(found))?);
        return Ok(());
    }
    let mut rows = Vec::new();
    for shard in &found.shards {
        for segment in &shard.segments {
            rows.push(vec![
                shard.number.to_string(),
                segment.name.clone(),
                segment.bytes.to_string(),
                segment.metrics.to_string(),
                segment.deleted.to_string(),
                segment.chunks.to_string(),
                segment.buckets.to_string(),
                segment.raw.to_string(),
                per(segment.bytes, segment.buckets),
            ]);
        }
        let log = format!("log, {} file(s)", shard.logs);
        rows.push(vec![shard.number.to_string(), log, shard.log_bytes.to_string()]);
    }
    let heading = ["SHARD", "SEGMENT", "BYTES", "METRICS", "DELETED", "CHUNKS", "BUCKETS", "RAW", "B/BUCKET"];
    say(&table(&heading, &rows));
    let encodings = found.encodings.iter().map(|(name, size)| {
        vec![
            name.clone(),
            size.columns.to_string(),
            size.rows.to_string(),
            size.bytes.to_string(),
            per(size.bytes, size.rows),
        ]
    });
    say("");
    say(&table(&["ENCODING", "COLUMNS", "ROWS", "BYTES", "B/ROW"], &encodings.collect::<Vec<_>>()));
    Ok(())
}

fn as_json(found: &Inspection) -> Value {
    let shards = found.shards.iter().map(|shard| {
        let segments = shard.segments.iter().map(|segment| {
            json!({
                "name": segment.name,
                "bytes": segment.bytes,
                "metrics": segment.metrics,
                "deleted": segment.deleted,
                "chunks": segment.chunks,
                "buckets": segment.buckets,
                "raw": segment.raw,
            })
        });
        json!({
            "number": shard.number,
            "epoch": shard.epoch,
            "segments": segments.collect::<Vec<_>>(),
            "logs": shard.logs,
            "log_bytes": shard.log_bytes,
        })
    });
    let encodings = found.encodings.iter().map(
        |(name, size)| json!({"name": name, "columns": size.columns, "rows": size.rows, "bytes": size.bytes}),
    );
    json!({"shards": shards.collect::<Vec<_>>(), "encodings": encodings.collect::<Vec<_>>()})
}

/// Measures in a folder of its own below the one that is given.
async fn bench(folder: Option<PathBuf>, options: BenchOptions, format: Format) -> anyhow::Result<ExitCode> {
    let parent = folder.unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("nephos-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let options = BenchOptions { folder: folder.clone(), ..options };
    let mut figures = Vec::new();
    let done = nephos_metric_store::bench::run(&options, &mut |figure| {
        if format == Format::Table {
            say(&line(figure));
        }
        figures.push(figure.clone());
    })
    .await;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    done.context("the benchmark's store")?;
    if format == Format::Json {
        let list: Vec<Value> = figures
            .iter()
            .map(|figure| json!({"name": figure.name, "value": figure.value, "unit": figure.unit, "goal": figure.goal}))
            .collect();
        say(&serde_json::to_string_pretty(&list)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn line(figure: &Figure) -> String {
    let goal = figure.goal.map(|goal| format!("  (goal: at most {goal})")).unwrap_or_default();
    format!("{:<58} {:>9.3} {}{goal}", figure.name, figure.value, figure.unit)
}

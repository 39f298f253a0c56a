//! `nephos store export` and `import`: data as CSV, out of the metric store and into it.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use nephos_metric_store::tools::{Exported, ImportError, Selection, export, import};
use nephos_metric_store::{Place, StoreError};

use super::store::progress;
use crate::setup::{say, tell};

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// Writes an export to a file, which appears when it is complete, or to standard output.
pub(super) fn write(place: &Place, selection: &Selection, output: &Path) -> anyhow::Result<ExitCode> {
    let done = if is_standard(output) {
        let mut out = BufWriter::new(std::io::stdout().lock());
        match export(place, selection, &mut out, &mut progress("wrote")) {
            // Whoever stops reading, such as `head`, has seen enough.
            Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => {
                Exported::default()
            }
            done => done?,
        }
    } else {
        let partial = partial(output);
        let done = write_file(place, selection, &partial);
        if done.is_err() {
            drop(std::fs::remove_file(&partial));
        }
        let done = done?;
        std::fs::rename(&partial, output).with_context(|| format!("write {}", output.display()))?;
        say(&format!("{} metrics, {} values, {} raw measures", done.metrics, done.values, done.raw));
        done
    };
    for problem in &done.problems {
        tell(&format!("nephos: left out: {problem}\n"));
    }
    Ok(if done.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn partial(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn write_file(place: &Place, selection: &Selection, path: &Path) -> anyhow::Result<Exported> {
    let naming = || format!("write {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(naming)?);
    let done = export(place, selection, &mut out, &mut progress("wrote"))?;
    out.flush().with_context(naming)?;
    out.get_ref().sync_all().with_context(naming)?;
    Ok(done)
}

/// Reads an export from a file or standard input.
pub(super) fn read(place: &Place, shards: u32, replace: bool, file: &Path) -> anyhow::Result<ExitCode> {
    let done = if is_standard(file) {
        import(place, shards, replace, &mut BufReader::new(std::io::stdin().lock()), &mut |_| {})
    } else {
        let opened = File::open(file).with_context(|| format!("read {}", file.display()))?;
        import(place, shards, replace, &mut BufReader::with_capacity(1 << 18, opened), &mut |_| {})
    };
    match done {
        Ok(done) => {
            say(&format!("{} metrics, {} values, {} raw measures", done.metrics, done.values, done.raw));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let name = if is_standard(file) { "standard input".into() } else { file.display().to_string() };
            let again = if error.to_string().ends_with("holds data already") {
                "; --replace puts what is in the file in its place"
            } else {
                ""
            };
            let left = match &error {
                ImportError::Store(_) => "importing the file again ends what was begun",
                _ => "nothing was imported",
            };
            let error = anyhow::Error::new(error);
            bail!("{name}: {error:#}{again}; {left}")
        }
    }
}

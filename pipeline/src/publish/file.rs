//! `file://`: a line a sample, in JSON or in Python's notation, with rotation by size (telemetry-pipeline §14.4).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use nephos_config::pipeline::{FilePublisher, Rotation};
use nephos_model::Sample;

use super::{PublishError, Publisher};
use crate::plain;

/// Appends samples to a file. What `publish` returned for is on disk.
#[derive(Debug)]
pub struct ToFile {
    json: bool,
    writer: Arc<Mutex<Writer>>,
}

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    rotation: Option<Rotation>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl ToFile {
    /// With these parameters; the file is opened, or made, when there is something to write.
    pub fn new(spec: FilePublisher) -> Self {
        let writer = Writer { path: spec.path, rotation: spec.rotation, open: None };
        Self { json: spec.json, writer: Arc::new(Mutex::new(writer)) }
    }

    fn line(&self, sample: &Sample) -> Result<String, PublishError> {
        let text = if self.json {
            plain::json(sample).map_err(|source| PublishError::Json { id: sample.id, source })
        } else {
            Ok(plain::python_dict(sample))
        };
        text.map(|text| text + "\n")
    }
}

#[async_trait]
impl Publisher for ToFile {
    async fn publish(&self, samples: &[Sample]) -> Result<(), PublishError> {
        let lines = samples.iter().map(|sample| self.line(sample)).collect::<Result<Vec<_>, _>>()?;
        let writer = Arc::clone(&self.writer);
        let write = move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let result = writer.append(&lines);
            (result, writer.path.clone())
        };
        match tokio::task::spawn_blocking(write).await {
            Ok((result, path)) => {
                result.map_err(|(action, source)| PublishError::File { action, path, source })
            }
            Err(_) => {
                let path = self.writer.lock().unwrap_or_else(PoisonError::into_inner).path.clone();
                Err(PublishError::BrokenOff { path })
            }
        }
    }
}

/// What was tried, and what the system said.
type Failure = (&'static str, io::Error);

impl Writer {
    /// Writes all lines and waits until they are on disk.
    fn append(&mut self, lines: &[String]) -> Result<(), Failure> {
        let mut pending = String::new();
        let mut open = self.opened()?;
        for line in lines {
            let length = open.length + pending.len() as u64;
            if let Some(rotation) = self.rotation
                && length > 0
                && length + line.len() as u64 >= rotation.max_bytes
            {
                open.write(&pending)?;
                pending.clear();
                rotate(&self.path, rotation.backup_count)?;
                open = Open::create(&self.path)?;
            }
            pending.push_str(line);
        }
        open.write(&pending)?;
        self.open = Some(open);
        Ok(())
    }

    /// The file as it was left, unless somebody moved it away or cut it; opened again after a failure.
    fn opened(&mut self) -> Result<Open, Failure> {
        match self.open.take() {
            Some(open) if open.is_at(&self.path) => Ok(open),
            _ => Open::create(&self.path),
        }
    }
}

impl Open {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(|e| ("open", e))?;
        let length = file.metadata().map_err(|e| ("look at", e))?.len();
        Ok(Self { file, length })
    }

    fn is_at(&self, path: &Path) -> bool {
        let (Ok(ours), Ok(there)) = (self.file.metadata(), fs::metadata(path)) else { return false };
        (ours.dev(), ours.ino()) == (there.dev(), there.ino()) && there.len() == self.length
    }

    /// All of `text` or nothing: what was written of it before a failure is cut off again.
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(text.as_bytes()).map_err(|e| ("write to", e));
        let written = written.and_then(|()| self.file.sync_data().map_err(|e| ("flush", e)));
        match &written {
            Ok(()) => self.length += text.len() as u64,
            Err(_) if self.file.set_len(self.length).is_err() => {
                tracing::warn!("a line was left unfinished in a file that can no longer be written");
            }
            Err(_) => {}
        }
        written
    }
}

/// Moves the file to `.1`, `.1` to `.2` and so on; the last one goes.
fn rotate(path: &Path, backups: u32) -> Result<(), Failure> {
    let backup = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..backups).rev() {
        match fs::rename(backup(number), backup(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(("rotate a backup of", error));
            }
            _ => {}
        }
    }
    fs::rename(path, backup(1)).map_err(|e| ("rotate", e))
}

#[cfg(test)]
mod tests;

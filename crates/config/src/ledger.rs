//! What loading gathers besides values: texts, faults, and the effective settings with their origins.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::source::{FileId, Origin, Sources};
use crate::tree::MAX_BYTES;

/// One effective setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effective {
    pub(crate) section: String,
    pub(crate) key: String,
    /// As TOML, secrets as asterisks.
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// What one load gathers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sources: Sources,
    pub(crate) problems: Vec<Problem>,
    pub(crate) effective: Vec<Effective>,
}

impl Ledger {
    pub(crate) fn problem(&mut self, origin: &Origin, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { origin: origin.clone(), path: path.into(), message: message.into() });
    }

    pub(crate) fn effective(&mut self, section: &str, key: &str, value: String, origin: &Origin) {
        self.effective.push(Effective {
            section: section.to_owned(),
            key: key.to_owned(),
            value,
            origin: origin.clone(),
        });
    }

    /// A path as written at `origin`, made absolute: relative ones start from the folder of their file, those of
    /// variables and flags from the current folder.
    pub(crate) fn absolute(&self, path: &Path, origin: &Origin) -> PathBuf {
        let path = match self.sources.folder(origin) {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        };
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Reads a configuration file and takes it among the sources. `None` after a problem at `origin`.
    pub(crate) fn open(&mut self, path: &Path, origin: &Origin, key: &str) -> Option<(FileId, String)> {
        match read_text(path) {
            Ok(text) => {
                let folder = path.parent().map(Path::to_owned);
                let file = self.sources.add(path.display().to_string(), folder, &text);
                Some((file, text))
            }
            Err(reason) => {
                self.problem(origin, key, format!("cannot read {}: {reason}", path.display()));
                None
            }
        }
    }
}

/// A whole file of bounded size as text.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let reason = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    let file = std::fs::File::open(path).map_err(reason)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(reason)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_BYTES / 1024));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count()
                + 1;
        format!("line {line} is not UTF-8")
    })?;
    Ok(text)
}

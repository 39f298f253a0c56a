//! `MANIFEST`: the segments of a shard that count, oldest first, and the first log file that is still needed.
//!
//! It is replaced as a whole, so a crash leaves the old set or the new one; files that it does not name are
//! leftovers and are removed.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::contract::StoreError;
use crate::files::{damaged, io_error, remove, replace_file};

const NAME: &str = "MANIFEST";
const VERSION: u32 = 1;

/// The live set of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u32,
    /// Segments by number, oldest data first.
    pub(crate) segments: Vec<u64>,
    /// Log files before this one are in segments.
    pub(crate) log_from: u64,
    /// The number the next segment gets.
    pub(crate) next_segment: u64,
    /// The last commit of any segment.
    pub(crate) commit: u64,
}

impl Default for Manifest {
    fn default() -> Self {
        Self { version: VERSION, segments: Vec::new(), log_from: 1, next_segment: 1, commit: 0 }
    }
}

/// Name of a segment file.
pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number:012}.nseg"))
}

impl Manifest {
    /// Reads the manifest of a shard; a new shard has an empty one.
    pub(crate) fn load(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let (body, crc) = text.trim_end().rsplit_once('\n').unwrap_or_default();
        if crc != checksum(body) {
            return Err(damaged(&path, "checksum"));
        }
        let manifest: Self = serde_json::from_str(body).map_err(|error| damaged(&path, error.to_string()))?;
        if manifest.version != VERSION {
            return Err(damaged(&path, format!("version {}, expected {VERSION}", manifest.version)));
        }
        Ok(manifest)
    }

    /// Puts this manifest in force, durably.
    pub(crate) fn store(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(NAME);
        let body = serde_json::to_string(self).map_err(|error| damaged(&path, error.to_string()))?;
        replace_file(&path, format!("{body}\n{}\n", checksum(&body)).as_bytes())
    }

    /// Removes what a crash left: unfinished and superseded segments.
    pub(crate) fn remove_leftovers(&self, folder: &Path) -> Result<(), StoreError> {
        let live: HashSet<PathBuf> =
            self.segments.iter().map(|number| segment_path(folder, *number)).collect();
        for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
            let path = entry.map_err(io_error("list", folder))?.path();
            let leftover =
                path.extension().is_some_and(|extension| extension == "tmp" || extension == "nseg");
            if leftover && !live.contains(&path) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn checksum(body: &str) -> String {
    format!("crc32 {:08x}", crc32fast::hash(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_as_it_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::load(folder.path()).unwrap(), Manifest::default());
        let manifest =
            Manifest { segments: vec![3, 1, 7], log_from: 5, next_segment: 8, ..Manifest::default() };
        manifest.store(folder.path()).unwrap();
        assert_eq!(Manifest::load(folder.path()).unwrap(), manifest);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        Manifest::default().store(folder.path()).unwrap();
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() - 1 {
            let mut content = whole.clone();
            content[at] ^= 1;
            fs::write(&path, content).unwrap();
            assert!(Manifest::load(folder.path()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn files_the_manifest_does_not_name_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["segment-000000000001.nseg", "segment-000000000002.nseg", "segment-000000000003.tmp"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::write(folder.path().join("log-000000000001.nlog"), b"x").unwrap();
        let manifest = Manifest { segments: vec![2], ..Manifest::default() };
        manifest.remove_leftovers(folder.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["log-000000000001.nlog", "segment-000000000002.nseg"]);
    }
}

//! `FORMAT`: the file that says what a store's folder holds, and how many shards it was created with.
//!
//! The format is stable: every later version reads it. `testdata` has files of it that must be read for ever.
//! Parts carry versions of their own, so that a later version can write what it reads better beside what is there.

use crate::contract::StoreError;
use crate::disk::Disk;

const NAME: &str = "FORMAT";
const EXPECTED: &str = "nephos-store 3";
const MOST_SHARDS: u32 = 4_096;

/// Reads the number of shards of the store on this disk, or creates the store with `shards` of them.
pub(crate) fn open(root: &dyn Disk, shards: u32) -> Result<u32, StoreError> {
    let shards = shards.clamp(1, MOST_SHARDS);
    let text = format!("{EXPECTED}\n# A stable format: every later Nephos reads it.\nshards {shards}\n");
    loop {
        if let Some(found) = root.read(NAME)? {
            return parse(&root.describe(NAME), &String::from_utf8_lossy(&found));
        }
        // Of several processes that start at once one decides.
        if root.create(NAME, text.as_bytes())? {
            return Ok(shards);
        }
    }
}

/// Reads the number of shards of the store on this disk.
pub(crate) fn read(root: &dyn Disk) -> Result<u32, StoreError> {
    let path = root.describe(NAME);
    match root.read(NAME)? {
        Some(found) => parse(&path, &String::from_utf8_lossy(&found)),
        None => Err(StoreError::Io { action: "open", path, source: std::io::ErrorKind::NotFound.into() }),
    }
}

fn parse(path: &str, text: &str) -> Result<u32, StoreError> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let found = lines.next().unwrap_or_default();
    if found != EXPECTED {
        return Err(StoreError::Format {
            path: path.to_owned(),
            found: found.chars().take(100).collect(),
            expected: EXPECTED,
        });
    }
    lines
        .find_map(|line| line.strip_prefix("shards ")?.parse().ok())
        .filter(|shards| (1..=MOST_SHARDS).contains(shards))
        .ok_or_else(|| StoreError::Damaged {
            path: path.to_owned(),
            reason: "it does not say how many shards there are".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::disk::LocalDisk;

    fn open_in(folder: &Path, shards: u32) -> Result<u32, StoreError> {
        open(&LocalDisk::open(folder.to_owned())?, shards)
    }

    #[test]
    fn the_number_of_shards_is_fixed_when_the_store_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        assert_eq!(open_in(&store, 4).unwrap(), 4);
        assert_eq!(open_in(&store, 16).unwrap(), 4);
    }

    #[test]
    fn another_format_is_refused_by_file_found_and_expected_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, "nephos-store 9\nshards 1\n").unwrap();
        let text = open_in(folder.path(), 1).unwrap_err().to_string();
        assert!(!text.contains("damaged"), "{text}");
        for part in [path.to_str().unwrap(), "nephos-store 9", "nephos-store 3"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_format_without_shards_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for content in ["nephos-store 3\n", "nephos-store 3\nshards 0\n", "nephos-store 3\nshards many\n"] {
            fs::write(folder.path().join(NAME), content).unwrap();
            assert!(matches!(open_in(folder.path(), 1), Err(StoreError::Damaged { .. })), "{content:?}");
        }
    }
}

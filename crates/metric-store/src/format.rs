//! `FORMAT`: the file that says what a store's folder holds, and how many shards it was created with.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::contract::StoreError;
use crate::files::{create_folder, damaged, io_error, replace_file};

const NAME: &str = "FORMAT";
const EXPECTED: &str = "nephos-store 2";
const MOST_SHARDS: u32 = 4_096;

/// Reads the number of shards of the store in `folder`, or creates the store with `shards` of them.
pub(crate) fn open(folder: &Path, shards: u32) -> Result<u32, StoreError> {
    let path = folder.join(NAME);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let shards = shards.clamp(1, MOST_SHARDS);
            create_folder(folder)?;
            let text = format!(
                "{EXPECTED}\n# Not yet a stable format: a later Nephos may refuse it.\nshards {shards}\n"
            );
            replace_file(&path, text.as_bytes())?;
            Ok(shards)
        }
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<u32, StoreError> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let found = lines.next().unwrap_or_default();
    if found != EXPECTED {
        return Err(StoreError::Format {
            path: path.display().to_string(),
            found: found.chars().take(100).collect(),
            expected: EXPECTED,
        });
    }
    lines
        .find_map(|line| line.strip_prefix("shards ")?.parse().ok())
        .filter(|shards| (1..=MOST_SHARDS).contains(shards))
        .ok_or_else(|| damaged(path, "it does not say how many shards there are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_shards_is_fixed_when_the_store_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        assert_eq!(open(&store, 4).unwrap(), 4);
        assert_eq!(open(&store, 16).unwrap(), 4);
    }

    #[test]
    fn another_format_is_refused_by_file_found_and_expected_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, "nephos-store 9\nshards 1\n").unwrap();
        let text = open(folder.path(), 1).unwrap_err().to_string();
        assert!(!text.contains("damaged"), "{text}");
        for part in [path.to_str().unwrap(), "nephos-store 9", "nephos-store 2"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_format_without_shards_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for content in ["nephos-store 2\n", "nephos-store 2\nshards 0\n", "nephos-store 2\nshards many\n"] {
            fs::write(folder.path().join(NAME), content).unwrap();
            assert!(matches!(open(folder.path(), 1), Err(StoreError::Damaged { .. })), "{content:?}");
        }
    }
}

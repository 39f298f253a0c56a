//! What an import was about to make count, so that one that was killed in the middle of its shards is taken up by
//! importing the same file again.
//!
//! Before the first segment counts, a mark names the file by its hash and the segment of each shard. A shard has its
//! part of the file when its manifest lists that segment. The mark goes when all have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::contract::StoreError;
use crate::disk::Disk;

const PREFIX: &str = "import-";

/// Imports that did not end, in the folder of the store.
#[derive(Debug)]
pub(super) struct Marks {
    root: Arc<dyn Disk>,
    /// Names of all marks.
    names: Vec<String>,
    /// Segments by shard and by the hash of the file.
    imports: BTreeMap<u64, BTreeMap<u32, BTreeSet<String>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    file: u64,
    segments: Vec<(u32, String)>,
}

impl Marks {
    /// Reads the marks. One that is not understood says nothing: its file is refused where its metrics are there.
    pub(super) fn read(root: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let mut marks = Self { root, names: Vec::new(), imports: BTreeMap::new() };
        for name in marks.root.list()?.into_iter().filter(|name| name.starts_with(PREFIX)) {
            let content = marks.root.read(&name)?.unwrap_or_default();
            if let Ok(Mark { file, segments }) = serde_json::from_slice(&content) {
                let of_file = marks.imports.entry(file).or_default();
                segments.into_iter().for_each(|(shard, segment)| {
                    of_file.entry(shard).or_default().insert(segment);
                });
            }
            marks.names.push(name);
        }
        Ok(marks)
    }

    /// Hashes of the files whose part a shard has, for its manifest lists a segment of theirs.
    pub(super) fn files_in(&self, shard: u32, live: &[String]) -> BTreeSet<u64> {
        let has = |segments: &BTreeMap<u32, BTreeSet<String>>| {
            segments.get(&shard).is_some_and(|names| live.iter().any(|name| names.contains(name)))
        };
        self.imports.iter().filter(|(_, segments)| has(segments)).map(|(file, _)| *file).collect()
    }

    /// Marks that these segments are about to count.
    pub(super) fn set(&mut self, file: u64, segments: Vec<(u32, String)>) -> Result<(), StoreError> {
        let content = serde_json::to_vec(&Mark { file, segments }).unwrap_or_default();
        for number in 0u64.. {
            let name = format!("{PREFIX}{number}");
            // Others stay: the shards that have their part already are told by them.
            if !self.names.contains(&name) && self.root.create(&name, &content)? {
                self.names.push(name);
                break;
            }
        }
        Ok(())
    }

    /// Everything counts: forgets the marks.
    pub(super) fn clear(self) -> Result<(), StoreError> {
        self.names.iter().try_for_each(|name| self.root.remove(name))
    }
}

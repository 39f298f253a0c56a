//! What operators do with a store that no process serves: look at it, check it, take data out and put data in.
//!
//! Looking and checking change nothing, not even the owner; they may run beside a process that serves the store, and
//! then see some moment of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_timeseries::Chunk;

use crate::contract::StoreError;
use crate::damage::DamageLog;
use crate::disk::{Disk, Place};
use crate::format;
use crate::log::{LogKey, list_logs, replay};
use crate::manifest::{Manifest, newest};
use crate::pack::read_state;
use crate::segment::{Entry, Segment};

mod export;
mod import;
mod rows;
mod verify;

pub use export::{Exported, Selection, export};
pub use import::{ImportError, Imported, import};
pub use verify::{Problem, verify};

/// A store at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its shards.
    pub shards: Vec<ShardInspection>,
    /// Per encoding of a column: values and bytes, largest first.
    pub encodings: Vec<(String, EncodingSize)>,
}

/// What one encoding holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodingSize {
    /// Columns.
    pub columns: u64,
    /// Rows of them.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardInspection {
    /// Its number.
    pub number: u32,
    /// How many owners it has had.
    pub epoch: u64,
    /// Segments, oldest data first.
    pub segments: Vec<SegmentInspection>,
    /// Files of the log that no segment holds yet.
    pub logs: u64,
    /// Their bytes.
    pub log_bytes: u64,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentInspection {
    /// File name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Metrics with data.
    pub metrics: u64,
    /// Metrics it says were deleted.
    pub deleted: u64,
    /// Chunks.
    pub chunks: u64,
    /// Buckets in them.
    pub buckets: u64,
    /// Raw measures that late ones may still join.
    pub raw: u64,
}

/// Segments of a shard with their place in the manifest, and what could not be opened.
pub(crate) struct Look {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) number: u32,
    pub(crate) manifest: Manifest,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) unreadable: Vec<StoreError>,
}

/// Tries to see a moment of a shard whose owner keeps changing it.
const TRIES: usize = 20;

impl Look {
    /// A moment of a shard.
    pub(crate) fn at(place: &Place, number: u32, damage: &DamageLog) -> Result<Self, StoreError> {
        let disk = place.shard(number)?;
        let mut tries = 0;
        loop {
            let (_, manifest) = newest(disk.as_ref())?;
            let mut look = Self {
                disk: Arc::clone(&disk),
                number,
                manifest,
                segments: Vec::new(),
                unreadable: Vec::new(),
            };
            for name in &look.manifest.segments {
                match Segment::open(Arc::clone(&disk), number, name, &look.segments, damage) {
                    Ok(segment) => look.segments.push(Arc::new(segment)),
                    Err(error) => look.unreadable.push(error),
                }
            }
            tries += 1;
            // Merged away between the two: a newer manifest says so.
            let moved = !look.unreadable.is_empty() && newest(disk.as_ref())?.1 != look.manifest;
            if !moved || tries >= TRIES {
                return Ok(look);
            }
        }
    }

    /// Files of the log that are needed, oldest first.
    pub(crate) fn logs(&self) -> Result<Vec<LogKey>, StoreError> {
        let mut logs = list_logs(self.disk.as_ref())?;
        logs.retain(|key| *key >= self.manifest.log_from());
        Ok(logs)
    }
}

/// Looks at a store. Reads all of it; `progress` hears how many bytes of how many were read.
///
/// # Errors
/// If there is no store, or it can't be read at all; damage inside it is left out.
pub fn inspect(place: &Place, progress: &mut dyn FnMut(u64, u64)) -> Result<Inspection, StoreError> {
    let damage = DamageLog::default();
    let count = format::read(place.root()?.as_ref())?;
    let looks: Result<Vec<_>, _> = (0..count).map(|number| Look::at(place, number, &damage)).collect();
    let looks = looks?;
    let total = looks.iter().flat_map(|look| &look.segments).map(|segment| segment.size()).sum();
    let mut done = 0;
    let mut inspection = Inspection::default();
    let mut encodings = BTreeMap::new();
    for look in looks {
        let mut shard =
            ShardInspection { number: look.number, epoch: look.manifest.epoch, ..ShardInspection::default() };
        for segment in &look.segments {
            shard.segments.push(inspect_segment(segment, &damage, &mut encodings));
            done += segment.size();
            progress(done, total);
        }
        for key in look.logs()? {
            shard.logs += 1;
            shard.log_bytes += look.disk.read(&key.name())?.map_or(0, |content| content.len() as u64);
        }
        inspection.shards.push(shard);
    }
    inspection.encodings = encodings.into_iter().collect();
    inspection.encodings.sort_by_key(|(_, size)| std::cmp::Reverse(size.bytes));
    Ok(inspection)
}

fn inspect_segment(
    segment: &Segment,
    damage: &DamageLog,
    encodings: &mut BTreeMap<String, EncodingSize>,
) -> SegmentInspection {
    let mut found =
        SegmentInspection { name: segment.name.clone(), bytes: segment.size(), ..Default::default() };
    for Entry { commit, data, .. } in segment.entries(damage) {
        let Some(block) = data else {
            found.deleted += 1;
            continue;
        };
        found.metrics += 1;
        let state = segment.state(&block).ok();
        let state = state.and_then(|bytes| read_state(&bytes, commit, block.born_after).ok());
        found.raw += state.map_or(0, |state| state.raw.len() as u64);
        for chunk in block.granularities.iter().flat_map(|(_, chunks)| chunks) {
            found.chunks += 1;
            found.buckets += u64::from(chunk.rows);
            let Ok(bytes) = segment.chunk(&block, *chunk) else { continue };
            let Ok(parsed) = Chunk::parse(&bytes) else { continue };
            for column in parsed.encoding_summary() {
                let kind = if column.method.is_some() { "values" } else { "times" };
                let size = encodings.entry(format!("{kind}: {}", column.encoding)).or_default();
                size.columns += 1;
                size.rows += column.rows as u64;
                size.bytes += column.bytes as u64;
            }
        }
    }
    found
}

/// Reads a log file: bytes behind its last sound frame, and what is damaged before.
pub(crate) fn read_log(look: &Look, key: LogKey) -> Result<(u64, Vec<String>), StoreError> {
    let Some(content) = look.disk.read(&key.name())? else { return Ok((0, Vec::new())) };
    let visit = |_, payload: &[u8]| crate::shard::read_changes(payload).map(drop);
    let found = replay(&content, look.number, key, visit);
    Ok((found.torn + found.room, found.damage))
}

#[cfg(test)]
mod tests;

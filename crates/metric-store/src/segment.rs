//! Segments: immutable files, each holding packed aggregates and the raw measures of many metrics.
//!
//! ```text
//! file   = "NSEG" version:u32 number:u64 shard:u32 crc:u32, groups, sparse index, footer
//! group  = the data of up to 32 metrics in the order of their ids, then their index block
//! data   = for each granularity its chunks in the order of time, then the metric's state
//! sparse = for each group: first id, where its index block is
//! footer = where the sparse index is, its crc, number of metrics, crc, "GESN"
//! ```
//! Every block, chunk and state has its own checksum, so damage costs what it touches and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nephos_model::{Granularity, MetricId, Timestamp};

use crate::bytes::{Malformed, Reader};
use crate::contract::StoreError;
use crate::damage::DamageLog;
use crate::files::{damaged, io_error};
use crate::manifest::segment_path;
use crate::runs::read_granularity;

mod writer;

pub(crate) use writer::{Content, PackedChunk, SegmentWriter};

const MAGIC: [u8; 4] = *b"NSEG";
const END_MAGIC: [u8; 4] = *b"GESN";
const VERSION: u32 = 1;
const HEADER: usize = 24;
const FOOTER: usize = 36;
const METRICS_PER_GROUP: usize = 32;

/// Where a chunk lies and what time it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    /// First and last bucket start.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) rows: u32,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// What a segment holds of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) metric: MetricId,
    /// The last commit it includes.
    pub(crate) commit: u64,
    /// `None`: the metric was deleted in that commit.
    pub(crate) data: Option<EntryData>,
}

/// Data of a metric that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryData {
    /// Older segments' data from commits up to this one are of a deleted metric of the same name.
    pub(crate) born_after: u64,
    pub(crate) granularities: Vec<(Granularity, Vec<ChunkRef>)>,
    pub(crate) state_offset: u64,
    pub(crate) state_len: u32,
}

/// One group's place.
#[derive(Clone, Copy, Debug)]
struct GroupRef {
    first: MetricId,
    offset: u64,
    len: u32,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    file: File,
    groups: Vec<GroupRef>,
    /// Whether an index block was found damaged: the file is left as it is then.
    broken: AtomicBool,
}

impl Segment {
    /// Opens a segment and checks its index.
    pub(crate) fn open(folder: &Path, shard: u32, number: u64) -> Result<Self, StoreError> {
        let path = segment_path(folder, number);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let size = file.metadata().map_err(io_error("open", &path))?.len();
        let mut segment =
            Self { number, path, size, file, groups: Vec::new(), broken: AtomicBool::new(false) };
        segment.groups = segment.read_groups(shard)?;
        Ok(segment)
    }

    fn read_groups(&self, shard: u32) -> Result<Vec<GroupRef>, StoreError> {
        let malformed = |error: Malformed| damaged(&self.path, error.to_string());
        if self.size < (HEADER + FOOTER) as u64 {
            return Err(damaged(&self.path, "cut short"));
        }
        check_header(&self.read(0, HEADER)?, shard, self.number).map_err(malformed)?;
        let footer = self.read(self.size - FOOTER as u64, FOOTER)?;
        let (offset, len, crc) = read_footer(&footer).map_err(malformed)?;
        let sparse = self.read(offset, usize::try_from(len).unwrap_or(usize::MAX))?;
        if crc32fast::hash(&sparse) != crc {
            return Err(damaged(&self.path, "checksum of its index"));
        }
        read_sparse(&sparse).map_err(malformed)
    }

    /// Reads bytes at a place the index named.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.size) {
            return Err(damaged(&self.path, format!("bytes {offset} to {len} more are beyond its end")));
        }
        let mut buf = vec![0; len];
        self.file.read_exact_at(&mut buf, offset).map_err(io_error("read", &self.path))?;
        Ok(buf)
    }

    /// Whether its index was found damaged since it was opened.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The entries of a group, ascending by id.
    pub(crate) fn group(&self, number: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(group) = self.groups.get(number) else { return Ok(Vec::new()) };
        let block = self.read(group.offset, group.len as usize)?;
        read_group(&block)
            .map_err(|error| damaged(&self.path, format!("index block at byte {}: {error}", group.offset)))
    }

    /// What it holds of a metric.
    pub(crate) fn find(&self, metric: MetricId) -> Result<Option<Entry>, StoreError> {
        let after = self.groups.partition_point(|group| group.first <= metric);
        let Some(number) = after.checked_sub(1) else { return Ok(None) };
        let mut entries = self.group(number)?;
        Ok(entries
            .binary_search_by_key(&metric, |entry| entry.metric)
            .ok()
            .map(|position| entries.swap_remove(position)))
    }

    /// All entries; damaged blocks are reported and left out.
    pub(crate) fn entries<'a>(&'a self, damage: &'a DamageLog) -> impl Iterator<Item = Entry> + 'a {
        (0..self.groups()).flat_map(move |number| {
            self.group(number).unwrap_or_else(|error| {
                let reason = match error {
                    StoreError::Damaged { reason, .. } => reason,
                    other => other.to_string(),
                };
                drop(damage.report(&self.path, reason));
                self.broken.store(true, Ordering::Relaxed);
                Vec::new()
            })
        })
    }
}

fn check_header(header: &[u8], shard: u32, number: u64) -> Result<(), Malformed> {
    let mut reader = Reader::new(header);
    let (magic, version, its_number) = (reader.array::<4>()?, reader.u32()?, reader.u64()?);
    let (its_shard, crc) = (reader.u32()?, reader.u32()?);
    if magic != MAGIC || crc != crc32fast::hash(header.get(..HEADER - 4).unwrap_or_default()) {
        return Err(Malformed("checksum of its header"));
    }
    if version != VERSION {
        return Err(Malformed("unknown version"));
    }
    if its_number != number || its_shard != shard {
        return Err(Malformed("it belongs elsewhere"));
    }
    Ok(())
}

fn read_footer(footer: &[u8]) -> Result<(u64, u64, u32), Malformed> {
    let mut reader = Reader::new(footer);
    let (offset, len) = (reader.u64()?, reader.u64()?);
    let (_metrics, sparse_crc, crc) = (reader.u64()?, reader.u32()?, reader.u32()?);
    if reader.array::<4>()? != END_MAGIC
        || crc != crc32fast::hash(footer.get(..FOOTER - 8).unwrap_or_default())
    {
        return Err(Malformed("checksum of its footer"));
    }
    Ok((offset, len, sparse_crc))
}

fn read_sparse(sparse: &[u8]) -> Result<Vec<GroupRef>, Malformed> {
    let mut reader = Reader::new(sparse);
    let count = reader.count(18)?;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        groups.push(GroupRef { first: reader.metric()?, offset: reader.unsigned()?, len: reader.small()? });
    }
    reader.finish()?;
    Ok(groups)
}

/// Reads an index block: its entries and a checksum behind them.
fn read_group(block: &[u8]) -> Result<Vec<Entry>, Malformed> {
    let (body, crc) = block.split_last_chunk::<4>().ok_or(Malformed("cut short"))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(Malformed("checksum"));
    }
    let mut reader = Reader::new(body);
    let count = reader.count(18)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(read_entry(&mut reader)?);
    }
    reader.finish()?;
    Ok(entries)
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let metric = reader.metric()?;
    let commit = reader.unsigned()?;
    let data = match reader.u8()? {
        0 => None,
        1 => Some(read_entry_data(reader)?),
        _ => return Err(Malformed("unknown kind of entry")),
    };
    Ok(Entry { metric, commit, data })
}

fn read_entry_data(reader: &mut Reader<'_>) -> Result<EntryData, Malformed> {
    let born_after = reader.unsigned()?;
    let mut offset = reader.unsigned()?;
    let mut advance = |len: u32| {
        let at = offset;
        offset = offset.checked_add(u64::from(len)).ok_or(Malformed("offset out of range"))?;
        Ok(at)
    };
    let count = reader.count(2)?;
    let mut granularities = Vec::with_capacity(count);
    for _ in 0..count {
        let granularity = read_granularity(reader)?;
        let count = reader.count(4)?;
        let mut chunks = Vec::with_capacity(count);
        let mut last = 0i64;
        for _ in 0..count {
            let first = last.wrapping_add(reader.signed()?);
            last = first.wrapping_add(reader.signed()?);
            let (rows, len) = (reader.small()?, reader.small()?);
            chunks.push(ChunkRef {
                first: Timestamp::from_nanos(first),
                last: Timestamp::from_nanos(last),
                rows,
                offset: advance(len)?,
                len,
            });
        }
        granularities.push((granularity, chunks));
    }
    let state_len = reader.small()?;
    Ok(EntryData { born_after, granularities, state_offset: advance(state_len)?, state_len })
}

#[cfg(test)]
mod tests;

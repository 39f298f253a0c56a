//! Segments: immutable files, each holding packed aggregates and the raw measures of many metrics.
//!
//! ```text
//! file   = "NSEG" version:u32 shard:u32 hash-of-name:u64 crc:u32, blocks, index, footer
//! block  = header-length:u32 header crc:u32, state, chunks: all of one metric, in the order of ids
//! index  = pages of metrics that live: where the first block is, up to 32 of (id, the block's length), crc;
//!          pages of metrics that were deleted: up to 32 of (id, commit), crc
//! footer = where the index is, number of metrics that live and of deleted ones, crc, "GESN"
//! ```
//! Every header, chunk, state and page has its own checksum, so damage costs what it touches and nothing else. The
//! index is in memory while the segment is open: a metric is found without a read, and read with one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nephos_model::{Granularity, MetricId, Timestamp};

use crate::bytes::{Malformed, Reader};
use crate::contract::StoreError;
use crate::damage::DamageLog;
use crate::disk::{Blob, Disk};

mod block;
mod index;
mod writer;

pub(crate) use index::Index;
pub(crate) use writer::{Content, PackedChunk, SegmentWriter};

const MAGIC: [u8; 4] = *b"NSEG";
const END_MAGIC: [u8; 4] = *b"GESN";
const HEADER: usize = 24;
const FOOTER: usize = 24;
/// What is read of a block at first: most blocks as a whole.
const PREFIX: usize = 4 << 10;
/// What is read at once when all blocks are wanted in order.
const READ_AHEAD: usize = 1 << 20;

/// Where a chunk lies and what time it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    /// First and last bucket start.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) rows: u32,
    /// From the start of the block.
    offset: usize,
    len: usize,
}

/// What a segment holds of one metric.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) metric: MetricId,
    /// The last commit it includes.
    pub(crate) commit: u64,
    /// `None`: the metric was deleted in that commit.
    pub(crate) data: Option<Block>,
}

/// Data of a metric that lives.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Older segments' data from commits up to this one are of a deleted metric of the same name.
    pub(crate) born_after: u64,
    pub(crate) granularities: Vec<(Granularity, Vec<ChunkRef>)>,
    /// Where the block lies in the file.
    pub(crate) offset: u64,
    state: (usize, usize),
    /// The first bytes of the block, perhaps all.
    bytes: Vec<u8>,
}

impl ChunkRef {
    /// Bytes it takes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl Block {
    /// Bytes of its chunks, and of its state.
    pub(crate) fn len(&self) -> usize {
        let chunks = self.granularities.iter().flat_map(|(_, chunks)| chunks);
        chunks.map(ChunkRef::len).sum::<usize>() + self.state.1
    }

    /// The memory that it lies in.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Chunks of one granularity, in the order of time.
    pub(crate) fn chunks(&self, granularity: Granularity) -> &[ChunkRef] {
        let of_it = self.granularities.iter().find(|(its, _)| *its == granularity);
        of_it.map(|(_, chunks)| chunks.as_slice()).unwrap_or_default()
    }
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    disk: Arc<dyn Disk>,
    blob: Arc<dyn Blob>,
    version: u32,
    index: Index,
    /// Whether a part of the index is damaged: the file is left as it is then.
    broken: AtomicBool,
    /// Whether the file goes when the last reader is done with it.
    doomed: AtomicBool,
}

impl Segment {
    /// Opens a segment beside others and reads its index. Damaged pages of it are told, and their metrics out of reach.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        shard: u32,
        name: &str,
        others: &[Arc<Self>],
        damage: &DamageLog,
    ) -> Result<Self, StoreError> {
        let blob = disk.open(name)?;
        let damaged = |reason: String| StoreError::Damaged { path: disk.describe(name), reason };
        let malformed = |error: Malformed| damaged(error.to_string());
        let size = blob.len();
        if size < (HEADER + FOOTER) as u64 {
            return Err(damaged("cut short".to_owned()));
        }
        let version = check_header(&blob.read(0, HEADER)?, shard, name).map_err(malformed)?;
        let footer = blob.read(size - FOOTER as u64, FOOTER)?;
        let (offset, counts) = read_footer(&footer).map_err(malformed)?;
        let end = size - FOOTER as u64;
        let len = end.checked_sub(offset).and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or_else(|| damaged("its index is beyond its end".to_owned()))?;
        let (mut index, broken) = Index::read(&blob.read(offset, len)?, counts, offset);
        others.iter().rev().find(|other| index.share(&other.index));
        for reason in &broken {
            drop(damage.report(&disk.describe(name), reason.clone()));
        }
        Ok(Self {
            name: name.to_owned(),
            blob,
            version,
            index,
            broken: AtomicBool::new(!broken.is_empty()),
            doomed: AtomicBool::new(false),
            disk,
        })
    }

    /// Its full name, for people.
    pub(crate) fn path(&self) -> String {
        self.disk.describe(&self.name)
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.blob.len()
    }

    /// Number of metrics it speaks of.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether its index was found damaged.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Nobody needs the file any more, but for those who still read it.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }

    fn damaged(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path(), reason: reason.into() }
    }

    /// Whether it speaks of a metric.
    pub(crate) fn knows(&self, metric: MetricId) -> bool {
        self.index.find(metric).is_some()
    }

    /// What it holds of a metric.
    pub(crate) fn find(&self, metric: MetricId) -> Result<Option<Entry>, StoreError> {
        self.find_in(metric, &mut Vec::new())
    }

    /// [`find`](Self::find), in memory that somebody can spare.
    pub(crate) fn find_in(
        &self,
        metric: MetricId,
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<Option<Entry>, StoreError> {
        let read = |offset, len| {
            let mut bytes = spare.pop().unwrap_or_default();
            self.blob.read_into(offset, len, &mut bytes).map(|()| bytes)
        };
        self.index.find(metric).map(|place| self.entry(place, read)).transpose()
    }

    fn entry(
        &self,
        place: index::Place,
        read: impl FnOnce(u64, usize) -> Result<Vec<u8>, StoreError>,
    ) -> Result<Entry, StoreError> {
        let index::Place { metric, offset, len } = place;
        if len == 0 {
            return Ok(Entry { metric, commit: offset, data: None });
        }
        let bytes = read(offset, len.min(PREFIX))?;
        let malformed =
            |error: Malformed| self.damaged(format!("metric {metric}, block at byte {offset}: {error}"));
        let header = block::header_len(&bytes).map_err(malformed)?;
        let bytes =
            if header > bytes.len() && header <= len { self.blob.read(offset, header)? } else { bytes };
        let (commit, data) = block::read(self.version, bytes, offset, len).map_err(malformed)?;
        Ok(Entry { metric, commit, data: Some(data) })
    }

    /// Bytes of a metric's state.
    pub(crate) fn state<'a>(&self, block: &'a Block) -> Result<Cow<'a, [u8]>, StoreError> {
        let (offset, len) = block.state;
        self.part(block, offset, len)
    }

    /// Bytes of a chunk.
    pub(crate) fn chunk<'a>(&self, block: &'a Block, chunk: ChunkRef) -> Result<Cow<'a, [u8]>, StoreError> {
        self.part(block, chunk.offset, chunk.len)
    }

    fn part<'a>(&self, block: &'a Block, offset: usize, len: usize) -> Result<Cow<'a, [u8]>, StoreError> {
        match block.bytes.get(offset..offset + len) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => self.blob.read(block.offset + offset as u64, len).map(Cow::Owned),
        }
    }

    /// All entries in the order of ids, each with its whole block in memory. Blocks whose header is damaged are told,
    /// left out, and make the segment broken.
    pub(crate) fn entries<'a>(&'a self, damage: &'a DamageLog) -> impl Iterator<Item = Entry> + 'a {
        let mut window = Window { start: 0, bytes: Vec::new() };
        self.index.places().filter_map(move |place| {
            let len = place.len;
            let entry = self.entry(place, |offset, _| window.read(self.blob.as_ref(), offset, len));
            entry.map_err(|error| self.tell(error, damage)).ok()
        })
    }

    /// Entries of the metrics that are wanted, in the order of ids.
    pub(crate) fn states<'a>(
        &'a self,
        damage: &'a DamageLog,
        mut wanted: impl FnMut(MetricId) -> bool + 'a,
    ) -> impl Iterator<Item = Entry> + 'a {
        self.index.places().filter(move |place| wanted(place.metric)).filter_map(|place| {
            let entry = self.entry(place, |offset, len| self.blob.read(offset, len));
            entry.map_err(|error| self.tell(error, damage)).ok()
        })
    }

    fn tell(&self, error: StoreError, damage: &DamageLog) {
        self.broken.store(true, Ordering::Relaxed);
        match error {
            StoreError::Damaged { path, reason } => drop(damage.report(&path, reason)),
            other => tracing::error!(error = %other, "a segment could not be read"),
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if *self.doomed.get_mut()
            && let Err(error) = self.disk.remove(&self.name)
        {
            tracing::warn!(error = %error, "a superseded segment stays until the next start");
        }
    }
}

/// The part of a file that was read ahead.
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn read(&mut self, blob: &dyn Blob, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let inside = |window: &Self| {
            let from = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            window.bytes.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
        };
        if let Some(bytes) = inside(self) {
            return Ok(bytes);
        }
        let most = usize::try_from(blob.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let read = blob.read_into(offset, len.max(READ_AHEAD).min(most.max(len)), &mut self.bytes);
        // What is left of a read that failed is no part of the file.
        read.inspect_err(|_| self.bytes.clear())?;
        self.start = offset;
        Ok(inside(self).unwrap_or_default())
    }
}

/// The version of a segment that is what its name says.
fn check_header(header: &[u8], shard: u32, name: &str) -> Result<u32, Malformed> {
    let mut reader = Reader::new(header);
    let (magic, version, its_shard) = (reader.array::<4>()?, reader.u32()?, reader.u32()?);
    let (hash, crc) = (reader.u64()?, reader.u32()?);
    if magic != MAGIC || crc != crc32fast::hash(header.get(..HEADER - 4).unwrap_or_default()) {
        return Err(Malformed("checksum of its header"));
    }
    if !(block::NANOS..=block::VERSION).contains(&version) {
        return Err(Malformed("unknown version"));
    }
    if its_shard != shard || hash != xxhash_rust::xxh3::xxh3_64(name.as_bytes()) {
        return Err(Malformed("it belongs elsewhere"));
    }
    Ok(version)
}

fn read_footer(footer: &[u8]) -> Result<(u64, (u32, u32)), Malformed> {
    let mut reader = Reader::new(footer);
    let (offset, counts, crc) = (reader.u64()?, (reader.u32()?, reader.u32()?), reader.u32()?);
    if reader.array::<4>()? != END_MAGIC
        || crc != crc32fast::hash(footer.get(..FOOTER - 8).unwrap_or_default())
    {
        return Err(Malformed("checksum of its footer"));
    }
    Ok((offset, counts))
}

#[cfg(test)]
mod tests;

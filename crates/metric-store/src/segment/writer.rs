//! Writing a segment, metric by metric in the order of their ids.

use std::sync::Arc;

use nephos_model::{Granularity, MetricId, Timestamp};

use super::block::{VERSION, put_header};
use super::{END_MAGIC, HEADER, Index, MAGIC};
use crate::contract::StoreError;
use crate::disk::{BlobWriter, Disk};

/// A chunk of packed bytes.
#[derive(Clone, Debug)]
pub(crate) struct PackedChunk {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) rows: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What to write of a metric that lives.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) born_after: u64,
    pub(crate) granularities: Vec<(Granularity, Vec<PackedChunk>)>,
    pub(crate) state: Vec<u8>,
}

/// A segment on its way; dropped before [`finish`](Self::finish) it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    path: String,
    file: Box<dyn BlobWriter>,
    at: u64,
    index: Index,
    block: Vec<u8>,
    header: Vec<u8>,
}

impl SegmentWriter {
    /// Starts a segment.
    pub(crate) fn create(disk: &Arc<dyn Disk>, shard: u32, name: &str) -> Result<Self, StoreError> {
        let file = disk.writer(name)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&shard.to_le_bytes());
        header.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(name.as_bytes()).to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        let (index, block) = (Index::default(), Vec::new());
        let mut writer = Self { path: disk.describe(name), file, at: 0, index, block, header: Vec::new() };
        writer.write(&header)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds a metric, its id greater than all before; without content it says that the metric was deleted.
    pub(crate) fn push(
        &mut self,
        metric: MetricId,
        commit: u64,
        content: Option<&Content>,
    ) -> Result<(), StoreError> {
        let Some(content) = content else {
            self.index.push(metric, commit, 0);
            return Ok(());
        };
        self.fill_block(commit, content);
        let len = u32::try_from(self.block.len()).map_err(|_| StoreError::TooLarge {
            what: "a metric's bytes in one segment",
            size: self.block.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        self.index.push(metric, self.at, len);
        self.file.write(&self.block)?;
        self.at += u64::from(len);
        Ok(())
    }

    fn fill_block(&mut self, commit: u64, content: &Content) {
        let Self { block, header, .. } = self;
        put_header(header, commit, content);
        block.clear();
        block.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
        block.extend_from_slice(header);
        block.extend_from_slice(&crc32fast::hash(header).to_le_bytes());
        block.extend_from_slice(&content.state);
        for chunk in content.granularities.iter().flat_map(|(_, chunks)| chunks) {
            block.extend_from_slice(&chunk.bytes);
        }
    }

    /// Number of metrics so far.
    pub(crate) fn metrics(&self) -> usize {
        self.index.len()
    }

    /// Puts the segment in its place, durably. Returns its size.
    pub(crate) fn finish(mut self) -> Result<u64, StoreError> {
        let index = self.index.to_bytes();
        let mut footer = Vec::new();
        footer.extend_from_slice(&self.at.to_le_bytes());
        let (live, deleted) = self.index.counts();
        for count in [live, deleted] {
            footer.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        footer.extend_from_slice(&END_MAGIC);
        self.write(&index)?;
        self.write(&footer)?;
        let Self { path, file, at, .. } = self;
        tracing::debug!(path, bytes = at, "segment written");
        file.finish()?;
        Ok(at)
    }
}

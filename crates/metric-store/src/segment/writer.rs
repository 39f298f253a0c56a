//! Writing a segment, metric by metric in the order of their ids.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use nephos_model::{Granularity, MetricId, Timestamp};

use super::{END_MAGIC, HEADER, MAGIC, METRICS_PER_GROUP, VERSION};
use crate::bytes::{put_signed, put_unsigned};
use crate::contract::StoreError;
use crate::files::{io_error, remove, rename};
use crate::manifest::segment_path;

/// A chunk as bytes.
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
    folder: PathBuf,
    number: u64,
    temporary: PathBuf,
    file: BufWriter<File>,
    at: u64,
    /// Entries of the group being written.
    entries: Vec<u8>,
    in_group: usize,
    group_first: Option<MetricId>,
    sparse: Vec<u8>,
    groups: u64,
    metrics: u64,
    finished: bool,
}

impl SegmentWriter {
    /// Starts segment `number`.
    pub(crate) fn create(folder: &Path, shard: u32, number: u64) -> Result<Self, StoreError> {
        let temporary = segment_path(folder, number).with_extension("tmp");
        let file = File::create(&temporary).map_err(io_error("create", &temporary))?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(&shard.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        let mut writer = Self {
            folder: folder.to_owned(),
            number,
            temporary,
            file: BufWriter::with_capacity(1 << 18, file),
            at: 0,
            entries: Vec::new(),
            in_group: 0,
            group_first: None,
            sparse: Vec::new(),
            groups: 0,
            metrics: 0,
            finished: false,
        };
        writer.write(&header)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.temporary))?;
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
        self.group_first.get_or_insert(metric);
        self.entries.extend_from_slice(metric.as_bytes());
        put_unsigned(&mut self.entries, commit);
        match content {
            None => self.entries.push(0),
            Some(content) => {
                self.entries.push(1);
                self.push_content(content)?;
            }
        }
        self.in_group += 1;
        self.metrics += 1;
        if self.in_group == METRICS_PER_GROUP { self.end_group() } else { Ok(()) }
    }

    fn push_content(&mut self, content: &Content) -> Result<(), StoreError> {
        put_unsigned(&mut self.entries, content.born_after);
        put_unsigned(&mut self.entries, self.at);
        put_unsigned(&mut self.entries, content.granularities.len() as u64);
        for (granularity, chunks) in &content.granularities {
            put_signed(&mut self.entries, granularity.as_nanos());
            put_unsigned(&mut self.entries, chunks.len() as u64);
            let mut previous = 0i64;
            for chunk in chunks {
                let (first, last) = (chunk.first.as_nanos(), chunk.last.as_nanos());
                put_signed(&mut self.entries, first.wrapping_sub(previous));
                put_signed(&mut self.entries, last.wrapping_sub(first));
                previous = last;
                put_unsigned(&mut self.entries, u64::from(chunk.rows));
                put_unsigned(&mut self.entries, chunk.bytes.len() as u64);
                self.write(&chunk.bytes)?;
            }
        }
        put_unsigned(&mut self.entries, content.state.len() as u64);
        self.write(&content.state)
    }

    fn end_group(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.group_first.take() else { return Ok(()) };
        let mut block = Vec::with_capacity(self.entries.len() + 8);
        put_unsigned(&mut block, self.in_group as u64);
        block.append(&mut self.entries);
        block.extend_from_slice(&crc32fast::hash(&block).to_le_bytes());
        self.sparse.extend_from_slice(first.as_bytes());
        put_unsigned(&mut self.sparse, self.at);
        put_unsigned(&mut self.sparse, block.len() as u64);
        self.groups += 1;
        self.in_group = 0;
        self.write(&block)
    }

    /// Puts the segment in its place, durably. Returns its size.
    pub(crate) fn finish(mut self) -> Result<u64, StoreError> {
        self.end_group()?;
        let mut sparse = Vec::with_capacity(self.sparse.len() + 10);
        put_unsigned(&mut sparse, self.groups);
        sparse.append(&mut self.sparse);
        let mut footer = Vec::new();
        footer.extend_from_slice(&self.at.to_le_bytes());
        footer.extend_from_slice(&(sparse.len() as u64).to_le_bytes());
        footer.extend_from_slice(&self.metrics.to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&sparse).to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        footer.extend_from_slice(&END_MAGIC);
        self.write(&sparse)?;
        self.write(&footer)?;
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(io_error("write", &self.temporary))?;
        rename(&self.temporary, &segment_path(&self.folder, self.number))?;
        self.finished = true;
        Ok(self.at)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        let removed = if self.finished { Ok(()) } else { remove(&self.temporary) };
        if let Err(error) = removed {
            tracing::warn!(error = %error, "an unfinished segment stays until the next start");
        }
    }
}

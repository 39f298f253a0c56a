//! Compaction: neighbouring segments become one. Chunks of a metric are joined into larger ones, deleted metrics
//! and expired buckets are left behind.
//!
//! A metric's chunks never overlap between segments (each checkpoint takes what the one before left), so joining
//! them needs no decision about which is newer.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use nephos_model::{Clock, Granularity, MetricId, Timestamp};
use nephos_timeseries::{BucketColumns, decode_columns};

use crate::contract::StoreError;
use crate::head::{Erased, hidden};
use crate::instrument;
use crate::manifest::Live;
use crate::pack::{CHUNK_ROWS, Packer, unpackable};
use crate::segment::{Block, ChunkRef, Content, Entry, PackedChunk, Segment, SegmentWriter};
use crate::shard::Shard;

/// So many neighbours of about one size are merged.
const FAN_IN: usize = 4;
/// So many chunks of a metric stay apart until they have so many rows together: joining costs more than reading them.
const FEW_CHUNKS: usize = 8;
const WORTH_JOINING: u64 = 1_024;
/// Segments up to this size count as equally small.
const SMALLEST: u64 = 1 << 20;

/// Merges neighbouring segments as long as there are enough of one size, or all into one.
pub(crate) fn compact(shard: &Shard, full: bool, clock: &dyn Clock) -> Result<(), StoreError> {
    loop {
        let segments = shard.segments();
        let Some(range) = next_range(&segments, full) else { return Ok(()) };
        merge(shard, &segments, range, full, clock)?;
        if full {
            return Ok(());
        }
    }
}

/// What to merge next. A segment with a damaged index is left alone: what could not be read would be lost with it.
fn next_range(segments: &[Arc<Segment>], full: bool) -> Option<Range<usize>> {
    let mut start = 0;
    segments.chunk_by(|left, right| left.is_broken() == right.is_broken()).find_map(|part| {
        let range = start..start + part.len();
        start = range.end;
        let sizes: Vec<u64> = part.iter().map(|segment| segment.size()).collect();
        match (part.first()?.is_broken(), full) {
            (true, _) => None,
            (false, true) => Some(range),
            (false, false) => {
                choose(&sizes).map(|chosen| range.start + chosen.start..range.start + chosen.end)
            }
        }
    })
}

/// Neighbours that are worth merging: [`FAN_IN`] of one size class, with smaller ones between and beside them. So a
/// byte is written once for each class, and no class has many segments.
fn choose(sizes: &[u64]) -> Option<Range<usize>> {
    let class = |size: &u64| (size / SMALLEST).checked_ilog(FAN_IN as u64).map_or(0, |log| log + 1);
    let classes: Vec<u32> = sizes.iter().map(class).collect();
    let highest = classes.iter().copied().max()?;
    (0..=highest).find_map(|limit| {
        let runs = classes.chunk_by(|left, right| (*left <= limit) == (*right <= limit));
        let mut start = 0;
        runs.map(|run| {
            start += run.len();
            (run, start - run.len()..start)
        })
        .find(|(run, _)| run.iter().filter(|class| **class == limit).count() >= FAN_IN)
        .map(|(_, range)| range)
    })
}

fn merge(
    shard: &Shard,
    segments: &[Arc<Segment>],
    range: Range<usize>,
    full: bool,
    clock: &dyn Clock,
) -> Result<u64, StoreError> {
    let start = clock.monotonic();
    let sources = segments.get(range.clone()).unwrap_or_default();
    let mut live = shard.live();
    if shard.is_closing() {
        return Err(StoreError::Closed);
    }
    let name = live.next_segment();
    let mut writer = SegmentWriter::create(&shard.disk, shard.number, &name)?;
    let (oldest, cursors) = (range.start == 0, Vec::with_capacity(sources.len()));
    let newer = segments.get(range.end..).unwrap_or_default();
    let erased = Vec::new();
    let mut merger = Merger { shard, oldest, newer, full, packer: Packer::default(), erased, cursors };
    for segment in sources {
        merger.cursors.push((segment, segment.entries(&shard.damage).peekable()));
    }
    while let Some(entries) = merger.next_metric() {
        if shard.is_closing() {
            return Err(StoreError::Closed);
        }
        merger.write(&mut writer, &entries)?;
    }
    let erased = std::mem::take(&mut merger.erased);
    drop(merger);
    if sources.iter().any(|segment| segment.is_broken()) {
        // Found just now: the next round goes around it.
        return Ok(0);
    }
    let all = sources.len() == segments.len() && live.now().segments.len() == segments.len();
    if writer.metrics() == 0 {
        replace(shard, &mut live, segments, range, None)?;
        return Ok(0);
    }
    let size = writer.finish()?;
    instrument::segment_written("compaction", size, clock.monotonic().saturating_sub(start));
    let merged = Segment::open(Arc::clone(&shard.disk), shard.number, &name, segments, &shard.damage)?;
    replace(shard, &mut live, segments, range, Some(Arc::new(merged)))?;
    if all {
        shard.head_mut().left_behind(&erased);
    }
    Ok(size)
}

/// What of a metric that lives is still kept. `None` if it was deleted since this was written: a newer segment or the
/// log says so.
pub(crate) fn kept_from(shard: &Shard, newest: &Entry) -> Option<Vec<Kept>> {
    let head = shard.head();
    let state = head.metrics.get(newest.metric)?;
    // Born again since: this is the former life.
    if newest.commit <= state.aside.born_after {
        return None;
    }
    let kept = state.kept().into_iter().map(|(granularity, first_kept)| Kept {
        granularity,
        first_kept,
        hidden: hidden(state.erased(), granularity),
    });
    Some(kept.collect())
}

/// Writes one segment again without what is dead in it. Returns its new size.
pub(crate) fn rewrite(
    shard: &Shard,
    segments: &[Arc<Segment>],
    at: usize,
    clock: &dyn Clock,
) -> Result<u64, StoreError> {
    merge(shard, segments, at..at + 1, false, clock)
}

/// Takes a segment out in which nothing is alive.
pub(crate) fn drop_whole(shard: &Shard, segments: &[Arc<Segment>], at: usize) -> Result<(), StoreError> {
    let mut live = shard.live();
    if shard.is_closing() {
        return Err(StoreError::Closed);
    }
    replace(shard, &mut live, segments, at..at + 1, None)
}

/// Puts what was made of some segments in their place.
fn replace(
    shard: &Shard,
    live: &mut Live,
    segments: &[Arc<Segment>],
    range: Range<usize>,
    made: Option<Arc<Segment>>,
) -> Result<(), StoreError> {
    let sources = segments.get(range.clone()).unwrap_or_default();
    let mut next = live.now().clone();
    // A segment that could not be opened keeps its place in the manifest.
    let gone = |name: &String| sources.iter().any(|segment| segment.name == *name);
    let at = next.segments.iter().position(gone).unwrap_or(0);
    next.segments.retain(|name| !gone(name));
    if let Some(made) = &made {
        next.segments.insert(at.min(next.segments.len()), made.name.clone());
    }
    live.replace(next)?;
    let mut current = segments.to_vec();
    current.splice(range, made);
    shard.set_segments(current);
    sources.iter().for_each(|segment| segment.doom());
    Ok(())
}

/// Of one granularity of a metric.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) granularity: Granularity,
    /// The oldest bucket that is still kept.
    pub(crate) first_kept: Timestamp,
    /// Starts of buckets that were erased.
    pub(crate) hidden: Vec<Range<Timestamp>>,
}

/// Walks several segments together, metric by metric.
struct Merger<'a, I: Iterator<Item = Entry>> {
    shard: &'a Shard,
    /// Whether no older segment is left out.
    oldest: bool,
    /// Segments behind those that are merged.
    newer: &'a [Arc<Segment>],
    /// Whether everything is to become as small as it can.
    full: bool,
    packer: Packer,
    /// Ranges whose buckets were left behind.
    erased: Vec<(MetricId, Vec<Erased>)>,
    cursors: Vec<(&'a Arc<Segment>, Peekable<I>)>,
}

impl<'a, I: Iterator<Item = Entry>> Merger<'a, I> {
    /// All entries of the least metric not yet seen, oldest first.
    fn next_metric(&mut self) -> Option<Vec<(&'a Arc<Segment>, Entry)>> {
        let least = self
            .cursors
            .iter_mut()
            .filter_map(|(_, entries)| entries.peek().map(|entry| entry.metric))
            .min()?;
        let take = |(segment, entries): &mut (&'a Arc<Segment>, Peekable<I>)| {
            entries.next_if(|entry| entry.metric == least).map(|entry| (*segment, entry))
        };
        Some(self.cursors.iter_mut().filter_map(take).collect())
    }

    fn write(
        &mut self,
        writer: &mut SegmentWriter,
        entries: &[(&Arc<Segment>, Entry)],
    ) -> Result<(), StoreError> {
        let Some((newest_segment, newest)) = entries.last() else { return Ok(()) };
        let Some(block) = &newest.data else {
            // Older segments may still hold the metric.
            return if self.oldest { Ok(()) } else { writer.push(newest.metric, newest.commit, None) };
        };
        // Before it is asked what is kept: a range that comes now is not one of those that are left behind.
        if let Some(state) = self.shard.head().metrics.get(newest.metric).filter(|s| !s.erased().is_empty()) {
            self.erased.push((newest.metric, state.erased().to_vec()));
        }
        // What is not in the head was deleted, and a newer segment or the log says so.
        let Some(kept_from) = kept_from(self.shard, newest) else { return Ok(()) };
        let state = newest_segment.state(block)?.into_owned();
        let mut granularities = Vec::with_capacity(kept_from.len());
        for Kept { granularity, first_kept, hidden } in kept_from {
            let alive = entries.iter().filter(|(_, entry)| entry.commit > block.born_after);
            let blocks = alive.filter_map(|(segment, entry)| Some((*segment, entry.data.as_ref()?)));
            let chunks = blocks.flat_map(|(segment, block)| {
                let segment: &Segment = segment;
                block.chunks(granularity).iter().map(move |chunk| (segment, block, *chunk))
            });
            let chunks = chunks.filter(|(_, _, chunk)| chunk.last >= first_kept).collect();
            let joined = self.join(chunks, &hidden)?;
            if !joined.is_empty() {
                granularities.push((granularity, joined));
            }
        }
        // A newer segment has its state.
        if granularities.is_empty() && self.newer.iter().any(|segment| segment.knows(newest.metric)) {
            return Ok(());
        }
        let content = Content { born_after: block.born_after, granularities, state };
        writer.push(newest.metric, newest.commit, Some(&content))
    }

    /// Copies large chunks, joins small ones, unless they are too few to make a large one, and leaves hidden buckets
    /// behind. A damaged chunk is copied as it is: reading it names the damage.
    fn join(
        &mut self,
        chunks: Vec<(&Segment, &Block, ChunkRef)>,
        hidden: &[Range<Timestamp>],
    ) -> Result<Vec<PackedChunk>, StoreError> {
        let mut joined = Vec::new();
        let mut open = BucketColumns::default();
        let rows: u64 = chunks.iter().map(|(_, _, chunk)| u64::from(chunk.rows)).sum();
        let few = chunks.len() == 1 || chunks.len() <= FEW_CHUNKS && rows < WORTH_JOINING;
        let alone = few && !self.full;
        for (segment, block, chunk) in chunks {
            let bytes = segment.chunk(block, chunk)?;
            let large = open.is_empty() && chunk.rows as usize * 2 > CHUNK_ROWS;
            let touched = hidden.iter().any(|hidden| chunk.first < hidden.end && chunk.last >= hidden.start);
            let whole = (alone || large) && !touched;
            let mut small = if whole { None } else { decode_columns(&bytes).ok() };
            if let Some(part) = &mut small {
                hidden.iter().for_each(|hidden| part.remove(hidden.clone()));
            }
            match small {
                Some(part) if open.is_empty() => open = part,
                Some(part) => open.overwrite(&part),
                None => {
                    joined.append(&mut self.close(&mut open)?);
                    let bytes = bytes.into_owned();
                    joined.push(PackedChunk {
                        first: chunk.first,
                        last: chunk.last,
                        rows: chunk.rows,
                        bytes,
                    });
                }
            }
            if open.len() >= CHUNK_ROWS {
                joined.append(&mut self.close(&mut open)?);
            }
        }
        joined.append(&mut self.close(&mut open)?);
        Ok(joined)
    }

    fn close(&mut self, open: &mut BucketColumns) -> Result<Vec<PackedChunk>, StoreError> {
        let packed = self.packer.chunks(std::mem::take(open), self.full);
        packed.map_err(|error| unpackable(&self.shard.disk.describe(""), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_neighbours_of_one_size_class_are_merged() {
        let mib = SMALLEST;
        for (sizes, expected) in [
            (vec![], None),
            (vec![1, 1, 1], None),
            (vec![1, 1, 1, 1], Some(0..4)),
            (vec![50 * mib, 1, 1, 1], None),
            (vec![50 * mib, 1, 1, 1, 1], Some(1..5)),
            (vec![2 * mib, 2 * mib, 2 * mib, 1], None),
            (vec![50 * mib, 2 * mib, 2 * mib, 1, 2 * mib, 3 * mib, 1], Some(1..7)),
            (vec![1, 1, 1, 1, 50 * mib, 1], Some(0..4)),
            (vec![50 * mib, 2 * mib, 2 * mib, 2 * mib, 1, 1, 1], None),
        ] {
            assert_eq!(choose(&sizes), expected, "{sizes:?}");
        }
    }
}

//! The head of a metric's block: where in the block its state and chunks lie, and what time they cover.
//!
//! Since version 4 of segments a width and a time is a number of seconds or of buckets where it is a whole one, and
//! rows are told by how many are lacking: a third of what it takes in nanoseconds, once for each metric and segment.

use nephos_model::{Granularity, Timestamp};

use super::{Block, ChunkRef, Content};
use crate::bytes::{Malformed, Reader, put_multiple, put_signed, put_unsigned};
use crate::runs::{put_seconds, read_granularity, read_seconds};

/// The version whose times and widths are nanoseconds.
pub(super) const NANOS: u32 = 3;
/// The version that is written.
pub(super) const VERSION: u32 = 4;

/// Rows of a chunk without gaps.
fn full(first: i64, last: i64, width: i64) -> i64 {
    last.wrapping_sub(first).checked_div(width).unwrap_or(0).wrapping_add(1)
}

/// Makes the head of a block.
pub(super) fn put_header(header: &mut Vec<u8>, commit: u64, content: &Content) {
    header.clear();
    put_unsigned(header, commit);
    put_unsigned(header, content.born_after);
    put_unsigned(header, content.state.len() as u64);
    put_unsigned(header, content.granularities.len() as u64);
    for (granularity, chunks) in &content.granularities {
        let width = granularity.as_nanos();
        put_seconds(header, *granularity);
        put_unsigned(header, chunks.len() as u64);
        let mut previous = 0i64;
        for chunk in chunks {
            let (first, last) = (chunk.first.as_nanos(), chunk.last.as_nanos());
            put_multiple(header, first.wrapping_sub(previous), width);
            put_multiple(header, last.wrapping_sub(first), width);
            previous = last;
            put_signed(header, full(first, last, width).wrapping_sub(i64::from(chunk.rows)));
            put_unsigned(header, chunk.bytes.len() as u64);
        }
    }
}

/// Bytes of a block up to the end of its head's checksum.
pub(super) fn header_len(bytes: &[u8]) -> Result<usize, Malformed> {
    let len = Reader::new(bytes).u32()? as usize;
    len.checked_add(8).ok_or(Malformed("header out of range"))
}

/// Reads a block of a segment of this version that lies at `offset` and takes `len` bytes, of which these are the first:
/// the last commit it includes, and what there is.
pub(super) fn read(version: u32, bytes: Vec<u8>, offset: u64, len: usize) -> Result<(u64, Block), Malformed> {
    let mut reader = Reader::new(&bytes);
    let header_len = reader.u32()? as usize;
    let header = reader.take(header_len)?;
    if reader.u32()? != crc32fast::hash(header) {
        return Err(Malformed("checksum"));
    }
    let mut reader = Reader::new(header);
    let (commit, born_after) = (reader.unsigned()?, reader.unsigned()?);
    let state_len: usize = reader.small()?;
    let state_at = header_len + 8;
    let mut at = state_at.checked_add(state_len).ok_or(Malformed("length out of range"))?;
    let count = reader.count(2)?;
    let mut granularities = Vec::with_capacity(count);
    for _ in 0..count {
        let granularity =
            if version == NANOS { read_granularity(&mut reader)? } else { read_seconds(&mut reader)? };
        let count = reader.count(4)?;
        let mut chunks = Vec::with_capacity(count);
        let mut previous = 0i64;
        for _ in 0..count {
            let (first, last, rows) = read_span(version, &mut reader, previous, granularity)?;
            previous = last;
            let len = reader.small()?;
            let (first, last) = (Timestamp::from_nanos(first), Timestamp::from_nanos(last));
            chunks.push(ChunkRef { first, last, rows, offset: at, len });
            at = at.checked_add(len).ok_or(Malformed("length out of range"))?;
        }
        granularities.push((granularity, chunks));
    }
    reader.finish()?;
    if at != len {
        return Err(Malformed("its parts don't fill it"));
    }
    Ok((commit, Block { born_after, granularities, offset, state: (state_at, state_len), bytes }))
}

/// First and last bucket of a chunk, and its rows, behind a chunk that ends with `previous`.
fn read_span(
    version: u32,
    reader: &mut Reader<'_>,
    previous: i64,
    granularity: Granularity,
) -> Result<(i64, i64, u32), Malformed> {
    if version == NANOS {
        let first = previous.wrapping_add(reader.signed()?);
        let last = first.wrapping_add(reader.signed()?);
        return Ok((first, last, reader.small()?));
    }
    let width = granularity.as_nanos();
    let first = previous.wrapping_add(reader.multiple(width)?);
    let last = first.wrapping_add(reader.multiple(width)?);
    let rows = full(first, last, width).wrapping_sub(reader.signed()?);
    let rows = u32::try_from(rows).map_err(|_| Malformed("rows out of range"))?;
    Ok((first, last, rows))
}

//! Chunks: buckets or raw measures packed for disk.
//!
//! A chunk describes itself: version, kind, number of rows, timestamps, then what each column is and the bytes of
//! those that need any, and a CRC-32 of everything before it. Every value comes back bit for bit, whatever NaN, zero or
//! infinity it was.
//!
//! ```text
//! u8: version 2 or 3 (4 bits) · columns (4 bits): 0 raw measures, 1 to 14 that many columns of buckets, 15 see below
//! varint rows · timestamps · if 15: varint columns
//! a column: u8 method, unless raw · u8 what it is · by that: index, constant, or varint bytes (unless it is the last)
//! bytes of the columns, in the same order
//! u32 crc, little-endian
//! ```
//!
//! A column is stored as what it is, whichever is smallest: nothing, a constant, the same as another column, the
//! quotient of two others (mean = sum ÷ count), integers, decimals as scaled integers, or floats, these bit-packed,
//! entropy-coded, XORed or given to `pco`. Readers refuse what they do not know, check every claimed length against
//! [limits](MAX_ROWS) before they allocate, and never panic. Reading a range of time unpacks what the range needs.

use nephos_model::Timestamp;

use crate::buffer::RawBuffer;
use crate::columns::{BucketColumns, Column, Presence};

mod ans;
mod bits;
mod bytes;
mod chunk;
mod classes;
mod floats;
mod frames;
mod ints;
mod packed;
mod presence;
mod shared;
mod times;
mod trend;
mod xor;

pub use chunk::{Chunk, ColumnSummary};

use bytes::{low_byte, put_varint, zigzag};
use shared::Source;

/// Most rows of a chunk; larger ones are to be split by their writer.
pub const MAX_ROWS: usize = 1 << 20;
/// Most rows × columns of a chunk of buckets.
pub const MAX_CELLS: usize = 1 << 24;

/// Version 3 may have integers in parts.
const VERSION: u8 = 3;
const OLDEST_VERSION: u8 = 2;
const COLUMNS_SHIFT: u32 = 4;
const RAW: u8 = 0;
const MANY: u8 = 15;
const CRC_BYTES: usize = 4;
/// Bytes behind packed bits that make reading whole words safe.
const PADDING: usize = 16;

/// Set in the tag of a column with bytes that begin with which rows have a value.
const PARTIAL: u8 = 0x40;
/// From here to below [`SAME_FAR`]: the same as the column of the index in the lowest bits.
const SAME: u8 = 0x80;
/// The same as the column of the index that follows.
const SAME_FAR: u8 = 0xbf;
/// The sum of the chunk divided by its count.
const QUOTIENT: u8 = 0xc0;
/// One integer in every row.
const CONSTANT_INTEGER: u8 = 0xc1;
/// One float in every row.
const CONSTANT: u8 = 0xc2;
/// No row has a value.
const ABSENT: u8 = 0xc3;

/// How hard the encoder tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For chunks that are soon read and packed again: a few nanoseconds a value.
    Quick,
    /// For chunks that stay: everything that makes them smaller without making them slow to read.
    Small,
}

/// Why a chunk could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by another release, or no chunk at all.
    #[error("chunk version {0} is unknown")]
    UnknownVersion(u8),
    /// The checksum does not match: bytes changed since they were written.
    #[error("chunk checksum is {found:08x} instead of {expected:08x}")]
    Checksum {
        /// What the chunk says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// It ends too early.
    #[error("chunk is truncated")]
    Truncated,
    /// The bytes contradict the format.
    #[error("chunk is malformed: {0}")]
    Malformed(&'static str),
    /// More than a chunk may hold.
    #[error("chunk of {size} {what} is over the limit of {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        size: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// Asked for buckets of a chunk of raw measures or the other way round.
    #[error("chunk holds {0}")]
    OtherKind(&'static str),
}

/// Memory that packing and unpacking reuse from chunk to chunk.
#[derive(Debug, Default)]
pub struct Scratch {
    integers: Vec<i64>,
    residuals: Vec<i64>,
    classes: classes::Memory,
    dense: Vec<f64>,
    other: Vec<f64>,
    times: Vec<Timestamp>,
    bodies: Vec<u8>,
}

/// Packs buckets. Fails only above [`MAX_ROWS`] or [`MAX_CELLS`].
pub fn encode_columns(buckets: &BucketColumns, effort: Effort) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_columns_into(buckets, effort, &mut Scratch::default(), &mut out)?;
    Ok(out)
}

/// [`encode_columns`] at the end of `out`, which is as it was after an error.
pub fn encode_columns_into(
    buckets: &BucketColumns,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    check_size(buckets.len(), buckets.columns().len())?;
    let columns = low_byte(buckets.columns().len().min(usize::from(MANY)) as u64);
    // No columns at all is rare enough to be spelt out, as the raw kind has that number.
    let columns = if columns == RAW { MANY } else { columns };
    sealed(out, |out| {
        out.push(VERSION | columns << COLUMNS_SHIFT);
        put_varint(out, buckets.len() as u64);
        times::encode(buckets.starts(), effort, scratch, out)?;
        if columns == MANY {
            put_varint(out, buckets.columns().len() as u64);
        }
        let mut bodies = std::mem::take(&mut scratch.bodies);
        bodies.clear();
        let outcome = put_columns(buckets.columns(), effort, scratch, &mut bodies, out);
        out.extend_from_slice(&bodies);
        scratch.bodies = bodies;
        outcome
    })
}

/// Packs raw measures, strictly ascending in time. Fails only above [`MAX_ROWS`].
pub fn encode_raw(timestamps: &[Timestamp], values: &[f64], effort: Effort) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_raw_into(timestamps, values, effort, &mut Scratch::default(), &mut out)?;
    Ok(out)
}

/// [`encode_raw`] at the end of `out`, which is as it was after an error.
pub fn encode_raw_into(
    timestamps: &[Timestamp],
    values: &[f64],
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let rows = timestamps.len().min(values.len());
    check_size(rows, 1)?;
    let (timestamps, values) = (timestamps.split_at(rows).0, values.split_at(rows).0);
    sealed(out, |out| {
        out.push(VERSION | RAW << COLUMNS_SHIFT);
        put_varint(out, rows as u64);
        times::encode(timestamps, effort, scratch, out)?;
        let tag = out.len();
        out.push(0);
        let chosen = floats::encode(values, effort, scratch, out)?;
        out.iter_mut().skip(tag).take(1).for_each(|byte| *byte = chosen);
        Ok(())
    })
}

/// Unpacks all columns of buckets.
pub fn decode_columns(bytes: &[u8]) -> Result<BucketColumns, CodecError> {
    let chunk = Chunk::parse(bytes)?;
    if chunk.is_raw() {
        return Err(CodecError::OtherKind("raw measures"));
    }
    let mut scratch = Scratch::default();
    let methods = chunk.methods();
    let columns = methods.filter_map(|method| chunk.column(method, &mut scratch).transpose());
    let columns = columns.collect::<Result<Vec<Column>, _>>()?;
    let starts = chunk.starts(&mut Scratch::default())?;
    BucketColumns::from_parts(starts, columns).ok_or(CodecError::Malformed("uneven columns"))
}

/// Unpacks raw measures.
pub fn decode_raw(bytes: &[u8]) -> Result<RawBuffer, CodecError> {
    let chunk = Chunk::parse(bytes)?;
    let mut buffer = RawBuffer::default();
    let all = Timestamp::MIN..Timestamp::MAX;
    chunk.read_raw(all, &mut Scratch::default(), &mut buffer.timestamps, &mut buffer.values)?;
    Ok(buffer)
}

/// Appends what each column is to `out`, and its bytes, if it has any, to `bodies`.
fn put_columns(
    columns: &[Column],
    effort: Effort,
    scratch: &mut Scratch,
    bodies: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    for (index, (column, source)) in columns.iter().zip(shared::sources(columns)).enumerate() {
        out.push(column.method().code());
        match source {
            Source::Same(other) if other < usize::from(SAME_FAR - SAME) => {
                out.push(SAME | low_byte(other as u64))
            }
            Source::Same(other) => {
                out.push(SAME_FAR);
                put_varint(out, other as u64);
            }
            Source::Quotient => out.push(QUOTIENT),
            Source::Own if column.presence().count() == 0 => out.push(ABSENT),
            Source::Own => {
                if column.presence().all()
                    && let Some(value) = floats::constant(column.values())
                {
                    put_constant(value, out);
                    continue;
                }
                let start = bodies.len();
                let tag = put_body(column, effort, scratch, bodies)?;
                out.push(tag);
                if index + 1 < columns.len() {
                    put_varint(out, (bodies.len() - start) as u64);
                }
            }
        }
    }
    Ok(())
}

fn put_constant(value: f64, out: &mut Vec<u8>) {
    match floats::scaled(value, 0) {
        Some(integer) => {
            out.push(CONSTANT_INTEGER);
            put_varint(out, zigzag(integer));
        }
        None => {
            out.push(CONSTANT);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

fn put_body(
    column: &Column,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8, CodecError> {
    if column.presence().all() {
        return floats::encode(column.values(), effort, scratch, out);
    }
    presence::encode(column.presence(), out);
    let mut present = std::mem::take(&mut scratch.dense);
    present.clear();
    let mut rest = column.values();
    for (has, length) in column.presence().runs() {
        let (run, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        if has {
            present.extend_from_slice(run);
        }
    }
    let outcome = floats::encode(&present, effort, scratch, out);
    scratch.dense = present;
    Ok(outcome? | PARTIAL)
}

/// Appends what `write` does, and its checksum; nothing if it fails.
fn sealed(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let start = out.len();
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn check_size(rows: usize, columns: usize) -> Result<(), CodecError> {
    let over = |what, size: usize, limit: usize| CodecError::TooLarge {
        what,
        size: size as u64,
        limit: limit as u64,
    };
    if rows > MAX_ROWS {
        return Err(over("rows", rows, MAX_ROWS));
    }
    let cells = rows.saturating_mul(columns);
    if cells > MAX_CELLS { Err(over("cells", cells, MAX_CELLS)) } else { Ok(()) }
}

/// A column from values without gaps and where they belong.
fn spread(dense: &[f64], presence: &Presence, out: &mut Vec<f64>) {
    let mut rest = dense;
    for (has, length) in presence.runs() {
        if has {
            let (run, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            out.extend_from_slice(run);
        } else {
            out.resize(out.len() + length, 0.0);
        }
    }
}

#[cfg(test)]
mod tests;

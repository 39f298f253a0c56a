//! Chunks: buckets or raw measures packed for disk.
//!
//! A chunk describes itself: version, kind, number of rows, timestamps, then for buckets a directory of columns
//! (method, length) and the columns, and a CRC-32 of everything before it. Every value comes back bit for bit,
//! whatever NaN, zero or infinity it was.
//!
//! ```text
//! u8 version = 1 · u8 kind (0 buckets, 1 raw) · varint rows
//! buckets: varint columns · per column (u8 method code · varint bytes)
//! varint bytes · timestamps            regular: first and step alone; else multiples of a unit as integers
//! buckets: the columns in the order of the directory — raw: one column to the end
//! u32 crc, little-endian
//! ```
//!
//! A column is stored as what it is, whichever is smallest: nothing, a constant, the same as another column, the
//! quotient of two others (mean = sum ÷ count), integers, decimals as scaled integers, XORed floats, or `pco`.
//! Readers refuse what they do not know, check every claimed length against [limits](MAX_ROWS) before they allocate,
//! and never panic.

use std::borrow::Cow;

use nephos_model::Timestamp;

use crate::buffer::RawBuffer;
use crate::columns::{BucketColumns, Column};
use crate::method::AggregationMethod;

mod bits;
mod bytes;
mod floats;
mod ints;
mod packed;
mod presence;
mod times;

use bytes::{Reader, put_varint};
use floats::Encoding;

/// Most rows of a chunk; larger ones are to be split by their writer.
pub const MAX_ROWS: usize = 1 << 20;
/// Most rows × columns of a chunk of buckets.
pub const MAX_CELLS: usize = 1 << 24;

const VERSION: u8 = 1;
const KIND_BUCKETS: u8 = 0;
const KIND_RAW: u8 = 1;
const CRC_BYTES: usize = 4;

/// Why a chunk could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer release, or no chunk at all.
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

/// Packs buckets. Fails only above [`MAX_ROWS`] or [`MAX_CELLS`].
pub fn encode_columns(buckets: &BucketColumns) -> Result<Vec<u8>, CodecError> {
    check_size(buckets.len(), buckets.columns().len())?;
    let times = times::encode(buckets.starts());
    let columns = floats::encode_columns(buckets.columns());
    let mut out = header(KIND_BUCKETS, buckets.len());
    put_varint(&mut out, columns.len() as u64);
    for (column, bytes) in buckets.columns().iter().zip(&columns) {
        out.push(column.method().code());
        put_varint(&mut out, bytes.len() as u64);
    }
    put_varint(&mut out, times.len() as u64);
    out.extend_from_slice(&times);
    columns.iter().for_each(|bytes| out.extend_from_slice(bytes));
    Ok(seal(out))
}

/// Packs raw measures, strictly ascending in time. Fails only above [`MAX_ROWS`].
pub fn encode_raw(timestamps: &[Timestamp], values: &[f64]) -> Result<Vec<u8>, CodecError> {
    let rows = timestamps.len().min(values.len());
    check_size(rows, 1)?;
    let times = times::encode(&timestamps[..rows]);
    let mut out = header(KIND_RAW, rows);
    put_varint(&mut out, times.len() as u64);
    out.extend_from_slice(&times);
    floats::encode_values(&values[..rows], &mut out);
    Ok(seal(out))
}

/// Unpacks buckets: the columns of the methods asked for, in that order and as far as the chunk has them, or all.
pub fn decode_columns(
    bytes: &[u8],
    methods: Option<&[AggregationMethod]>,
) -> Result<BucketColumns, CodecError> {
    let chunk = Chunk::parse(bytes)?;
    let methods = methods.map_or_else(|| Cow::Owned(chunk.methods().collect()), Cow::Borrowed);
    let mut columns = Vec::with_capacity(methods.len().min(chunk.directory.len()));
    for method in methods.iter() {
        if columns.iter().all(|column: &Column| column.method() != *method) {
            columns.extend(chunk.column(*method)?);
        }
    }
    BucketColumns::from_parts(chunk.starts()?, columns).ok_or(CodecError::Malformed("uneven columns"))
}

/// Unpacks raw measures.
pub fn decode_raw(bytes: &[u8]) -> Result<RawBuffer, CodecError> {
    let chunk = Chunk::open(bytes)?;
    let Body::Raw(values) = chunk.body else { return Err(CodecError::OtherKind("buckets")) };
    let values = floats::decode_values(&mut Reader::new(values), chunk.rows)?;
    Ok(RawBuffer { timestamps: chunk.starts()?, values })
}

/// A chunk of buckets whose checksum and directory were checked and whose columns are not unpacked yet.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    rows: usize,
    times: &'a [u8],
    directory: Vec<(AggregationMethod, &'a [u8])>,
    body: Body<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Body<'a> {
    Buckets,
    Raw(&'a [u8]),
}

impl<'a> Chunk<'a> {
    /// Checks a chunk of buckets and reads its directory.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let chunk = Self::open(bytes)?;
        match chunk.body {
            Body::Buckets => Ok(chunk),
            Body::Raw(_) => Err(CodecError::OtherKind("raw measures")),
        }
    }

    /// Number of buckets.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The methods it has columns for.
    pub fn methods(&self) -> impl Iterator<Item = AggregationMethod> + '_ {
        self.directory.iter().map(|(method, _)| *method)
    }

    /// Starts of the buckets.
    pub fn starts(&self) -> Result<Vec<Timestamp>, CodecError> {
        times::decode(self.times, self.rows)
    }

    /// The column of a method; `None` if the chunk has none.
    pub fn column(&self, method: AggregationMethod) -> Result<Option<Column>, CodecError> {
        let Some((_, bytes)) = self.directory.iter().find(|(known, _)| *known == method) else {
            return Ok(None);
        };
        let column = match floats::encoding(bytes)? {
            Encoding::Direct => floats::decode_column(bytes, self.rows, method)?,
            Encoding::Same(index) => floats::decode_column(self.direct(index)?, self.rows, method)?,
            Encoding::Quotient(dividend, divisor) => {
                let dividend = floats::decode_column(self.direct(dividend)?, self.rows, method)?;
                let divisor = floats::decode_column(self.direct(divisor)?, self.rows, method)?;
                floats::quotient(&dividend, &divisor, method)
            }
        };
        Ok(Some(column))
    }

    /// The bytes of a column that others refer to: it may not refer further, so that reading ends.
    fn direct(&self, index: u64) -> Result<&'a [u8], CodecError> {
        let entry = usize::try_from(index).ok().and_then(|index| self.directory.get(index));
        let (_, bytes) = entry.ok_or(CodecError::Malformed("reference to no column"))?;
        match floats::encoding(bytes)? {
            Encoding::Direct => Ok(bytes),
            Encoding::Same(_) | Encoding::Quotient(..) => {
                Err(CodecError::Malformed("reference to a reference"))
            }
        }
    }

    fn open(bytes: &'a [u8]) -> Result<Self, CodecError> {
        match bytes.first() {
            None => return Err(CodecError::Truncated),
            Some(&VERSION) => {}
            Some(version) => return Err(CodecError::UnknownVersion(*version)),
        }
        let split = bytes.len().checked_sub(CRC_BYTES).ok_or(CodecError::Truncated)?;
        let (content, crc) = bytes.split_at_checked(split).ok_or(CodecError::Truncated)?;
        let expected = u32::from_le_bytes(crc.try_into().map_err(|_| CodecError::Truncated)?);
        let found = crc32fast::hash(content);
        if expected != found {
            return Err(CodecError::Checksum { expected, found });
        }
        let mut reader = Reader::new(content);
        let (_version, kind) = (reader.byte()?, reader.byte()?);
        let rows = reader.length(MAX_ROWS, "rows")?;
        let (directory, times, body) = match kind {
            KIND_BUCKETS => {
                let lengths = read_lengths(&mut reader)?;
                check_size(rows, lengths.len())?;
                let times = reader.prefixed()?;
                let mut directory = Vec::with_capacity(lengths.len());
                for (method, length) in lengths {
                    directory.push((method, reader.take(length)?));
                }
                if !reader.is_empty() {
                    return Err(CodecError::Malformed("bytes behind the last column"));
                }
                (directory, times, Body::Buckets)
            }
            KIND_RAW => (Vec::new(), reader.prefixed()?, Body::Raw(reader.rest())),
            _ => return Err(CodecError::Malformed("unknown kind")),
        };
        Ok(Self { rows, times, directory, body })
    }
}

fn read_lengths(reader: &mut Reader<'_>) -> Result<Vec<(AggregationMethod, usize)>, CodecError> {
    let mut lengths: Vec<(AggregationMethod, usize)> = Vec::new();
    for _ in 0..reader.length(usize::from(u8::MAX), "columns")? {
        let code = reader.byte()?;
        let method = AggregationMethod::from_code(code).ok_or(CodecError::Malformed("unknown method"))?;
        if lengths.iter().any(|(known, _)| *known == method) {
            return Err(CodecError::Malformed("two columns of one method"));
        }
        lengths.push((method, reader.length(usize::MAX, "bytes")?));
    }
    Ok(lengths)
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

fn header(kind: u8, rows: usize) -> Vec<u8> {
    let mut out = vec![VERSION, kind];
    put_varint(&mut out, rows as u64);
    out
}

fn seal(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

#[cfg(test)]
mod tests;

//! Reading chunks: all checks first, then only the columns that are asked for.

use std::ops::Range;

use nephos_model::Timestamp;

use crate::columns::{Column, Presence};
use crate::method::{AggregationMethod, Stat};

use super::bytes::{Reader, unzigzag};
use super::times::Times;
use super::{
    ABSENT, COLUMNS_SHIFT, CONSTANT, CONSTANT_INTEGER, CRC_BYTES, CodecError, MANY, MAX_ROWS, OLDEST_VERSION,
    PARTIAL, QUOTIENT, RAW, SAME, SAME_FAR, Scratch, VERSION, check_size, floats, presence, spread,
};

/// A chunk whose checksum and directory were checked and whose columns are not unpacked yet.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    rows: usize,
    times: Times<'a>,
    /// Bytes that say when the rows are.
    times_bytes: usize,
    raw: bool,
    columns: usize,
    directory: &'a [u8],
    bodies: &'a [u8],
}

/// What a part of a chunk takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSummary {
    /// The method, or `None` for timestamps and raw values.
    pub method: Option<AggregationMethod>,
    /// What it is stored as, in words.
    pub encoding: String,
    /// Number of rows.
    pub rows: usize,
    /// Bytes that it takes, its entry in the directory included.
    pub bytes: usize,
}

/// An entry of the directory with its bytes.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    method: AggregationMethod,
    stored: Stored<'a>,
    /// Bytes of the entry itself.
    size: usize,
}

#[derive(Clone, Copy, Debug)]
enum Stored<'a> {
    Same(usize),
    Quotient,
    Constant(f64),
    Absent,
    Body(u8, &'a [u8]),
}

impl<'a> Chunk<'a> {
    /// Checks a chunk and reads its directory.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let first = *bytes.first().ok_or(CodecError::Truncated)?;
        let version = first & ((1 << COLUMNS_SHIFT) - 1);
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(CodecError::UnknownVersion(version));
        }
        let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(CodecError::Truncated)?;
        let (expected, found) = (u32::from_le_bytes(*crc), crc32fast::hash(content));
        if expected != found {
            return Err(CodecError::Checksum { expected, found });
        }
        let mut reader = Reader::new(content);
        let columns = reader.byte()? >> COLUMNS_SHIFT;
        let rows = reader.length(MAX_ROWS, "rows")?;
        let before = reader.len();
        let times = Times::read(&mut reader, rows)?;
        let times_bytes = before - reader.len();
        if columns == RAW {
            let bodies = reader.rest();
            return Ok(Self { rows, times, times_bytes, raw: true, columns: 0, directory: &[], bodies });
        }
        let columns = match columns {
            MANY => reader.length(usize::from(u8::MAX), "columns")?,
            few => usize::from(few),
        };
        check_size(rows, columns)?;
        let all = reader.clone();
        let claimed = check_directory(&mut reader, columns)?;
        let mut directory = all;
        let directory = directory.take(directory.len() - reader.len())?;
        let bodies = reader.rest();
        match claimed {
            Claimed::AtLeast(bytes) if bytes <= bodies.len() => {}
            Claimed::Exactly(bytes) if bytes == bodies.len() => {}
            Claimed::Exactly(bytes) if bytes < bodies.len() => {
                return Err(CodecError::Malformed("bytes behind the last column"));
            }
            _ => return Err(CodecError::Truncated),
        }
        Ok(Self { rows, times, times_bytes, raw: false, columns, directory, bodies })
    }

    /// Number of buckets or measures.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether it holds raw measures instead of buckets.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// The methods it has columns for.
    pub fn methods(&self) -> impl Iterator<Item = AggregationMethod> + '_ {
        self.entries().map(|entry| entry.method)
    }

    /// The first timestamp and the nanoseconds from row to row, if all rows are evenly spaced.
    pub fn grid(&self) -> Option<(Timestamp, i64)> {
        match self.times {
            Times::Grid { first, step } => Some((Timestamp::from_nanos(first), step)),
            Times::Gaps { .. } | Times::Other(_) => None,
        }
    }

    /// Starts of the buckets, or timestamps of the measures.
    pub fn starts(&self, scratch: &mut Scratch) -> Result<Vec<Timestamp>, CodecError> {
        let mut starts = Vec::with_capacity(self.rows);
        self.times.decode(self.rows, scratch, &mut starts)?;
        Ok(starts)
    }

    /// The column of a method; `None` if the chunk has none.
    pub fn column(
        &self,
        method: AggregationMethod,
        scratch: &mut Scratch,
    ) -> Result<Option<Column>, CodecError> {
        let Some(entry) = self.find(method) else { return Ok(None) };
        let presence = self.unpack(entry, 0..self.rows, scratch)?;
        if presence.all() {
            return Ok(Some(Column::from_parts(method, scratch.dense.clone(), presence)));
        }
        let mut values = Vec::with_capacity(self.rows);
        spread(&scratch.dense, &presence, &mut values);
        Ok(Some(Column::from_parts(method, values, presence)))
    }

    /// Appends the points of a method that lie in a half-open range of time, and returns their number: 0 also if the
    /// chunk does not have the method. After an error, `timestamps` and `values` are as they were.
    pub fn read(
        &self,
        method: AggregationMethod,
        range: Range<Timestamp>,
        scratch: &mut Scratch,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<usize, CodecError> {
        match self.find(method) {
            Some(entry) => {
                let unpack = |rows, scratch: &mut Scratch| self.unpack(entry, rows, scratch);
                self.read_rows(&range, scratch, timestamps, values, unpack)
            }
            None => Ok(0),
        }
    }

    /// Appends the raw measures that lie in a half-open range of time (one that ends with [`Timestamp::MAX`] includes
    /// that), and returns their number.
    pub fn read_raw(
        &self,
        range: Range<Timestamp>,
        scratch: &mut Scratch,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<usize, CodecError> {
        if !self.raw {
            return Err(CodecError::OtherKind("buckets"));
        }
        let unpack = |rows, scratch: &mut Scratch| {
            let (tag, bytes) = self.bodies.split_first().ok_or(CodecError::Truncated)?;
            decode_dense(*tag, bytes, self.rows, rows, scratch)?;
            Ok(Presence::full(self.rows))
        };
        self.read_rows(&range, scratch, timestamps, values, unpack)
    }

    /// What each part is stored as, and what that takes; timestamps first.
    pub fn encoding_summary(&self) -> Vec<ColumnSummary> {
        let rows = self.rows;
        let part = |method, encoding, bytes| ColumnSummary { method, encoding, rows, bytes };
        let mut parts = vec![part(None, self.times.name(), self.times_bytes)];
        if let (true, Some((tag, bytes))) = (self.raw, self.bodies.split_first()) {
            parts.push(part(None, floats::name(*tag, bytes), self.bodies.len()));
        }
        parts.extend(self.entries().map(|entry| match entry.stored {
            Stored::Same(_) => part(Some(entry.method), "same as another".to_owned(), entry.size),
            Stored::Quotient => part(Some(entry.method), "sum ÷ count".to_owned(), entry.size),
            Stored::Constant(_) => part(Some(entry.method), "constant".to_owned(), entry.size),
            Stored::Absent => part(Some(entry.method), "absent".to_owned(), entry.size),
            Stored::Body(tag, bytes) => {
                let values = if tag & PARTIAL == 0 { bytes } else { behind_presence(bytes, rows) };
                part(Some(entry.method), floats::name(tag & !PARTIAL, values), entry.size + bytes.len())
            }
        }));
        parts
    }

    fn read_rows(
        &self,
        range: &Range<Timestamp>,
        scratch: &mut Scratch,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
        unpack: impl FnOnce(Range<usize>, &mut Scratch) -> Result<Presence, CodecError>,
    ) -> Result<usize, CodecError> {
        let grid = self.times.grid_range(self.rows, range);
        let rows = match &grid {
            Some(rows) => rows.clone(),
            None => {
                let mut times = std::mem::take(&mut scratch.times);
                times.clear();
                let outcome = self.times.decode(self.rows, scratch, &mut times);
                scratch.times = times;
                outcome?;
                let before = |at: Timestamp| scratch.times.partition_point(|time| *time < at);
                let start = before(range.start);
                let end = if range.end == Timestamp::MAX { self.rows } else { before(range.end) };
                start..end.max(start)
            }
        };
        if rows.is_empty() {
            return Ok(0);
        }
        let presence = unpack(rows.clone(), scratch)?;
        let mut push_times = |rows: Range<usize>| match grid {
            Some(_) => self.times.grid_rows(rows, timestamps),
            None => timestamps.extend_from_slice(scratch.times.get(rows).unwrap_or_default()),
        };
        if presence.all() {
            push_times(rows);
        } else {
            present_runs(&presence, &rows).for_each(push_times);
        }
        values.extend_from_slice(&scratch.dense);
        Ok(scratch.dense.len())
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut directory = Reader::new(self.directory);
        let mut bodies = Reader::new(self.bodies);
        // Both were checked; should they not be right, the columns end here.
        (0..self.columns).rev().map_while(move |left| read_entry(&mut directory, &mut bodies, left == 0).ok())
    }

    fn find(&self, method: AggregationMethod) -> Option<Entry<'a>> {
        self.entries().find(|entry| entry.method == method)
    }

    /// Puts the values that a column has in some rows into `scratch.dense`, without gaps, and returns where those of all
    /// rows belong.
    fn unpack(
        &self,
        entry: Entry<'a>,
        rows: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<Presence, CodecError> {
        match entry.stored {
            Stored::Same(index) => {
                let other =
                    self.entries().nth(index).ok_or(CodecError::Malformed("reference to no column"))?;
                self.unpack_own(other.stored, rows, scratch)
            }
            Stored::Quotient => {
                let rate = entry.method.rate;
                let part = |stat, scratch: &mut Scratch| {
                    self.unpack_part(AggregationMethod { rate, stat }, rows.clone(), scratch)
                };
                let presence = part(Stat::Sum, scratch)?;
                std::mem::swap(&mut scratch.dense, &mut scratch.other);
                let counted = part(Stat::Count, scratch)?;
                if counted != presence {
                    return Err(CodecError::Malformed("sum without count"));
                }
                let quotients = scratch.dense.iter_mut().zip(&scratch.other);
                quotients.for_each(|(count, sum)| *count = sum / *count);
                Ok(presence)
            }
            own => self.unpack_own(own, rows, scratch),
        }
    }

    /// The dividend or divisor of a quotient.
    fn unpack_part(
        &self,
        method: AggregationMethod,
        rows: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<Presence, CodecError> {
        let entry = self.find(method).ok_or(CodecError::Malformed("quotient of no column"))?;
        match entry.stored {
            Stored::Quotient => Err(CodecError::Malformed("reference to a reference")),
            _ => self.unpack(entry, rows, scratch),
        }
    }

    /// A column that refers to no other, so that reading ends.
    fn unpack_own(
        &self,
        stored: Stored<'_>,
        rows: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<Presence, CodecError> {
        match stored {
            Stored::Same(_) | Stored::Quotient => Err(CodecError::Malformed("reference to a reference")),
            Stored::Constant(value) => {
                scratch.dense.clear();
                scratch.dense.resize(rows.len(), value);
                Ok(Presence::full(self.rows))
            }
            Stored::Absent => {
                scratch.dense.clear();
                let mut none = Presence::default();
                none.push_run(false, self.rows);
                Ok(none)
            }
            Stored::Body(tag, bytes) if tag & PARTIAL == 0 => {
                decode_dense(tag, bytes, self.rows, rows, scratch)?;
                Ok(Presence::full(self.rows))
            }
            Stored::Body(tag, bytes) => {
                let mut reader = Reader::new(bytes);
                let presence = presence::decode(&mut reader, self.rows)?;
                let before = |row| present_runs(&presence, &(0..row)).map(|run| run.len()).sum();
                let dense = before(rows.start)..before(rows.end);
                decode_dense(tag & !PARTIAL, reader.rest(), presence.count(), dense, scratch)?;
                Ok(presence)
            }
        }
    }
}

/// Which of some rows have a value.
fn present_runs(presence: &Presence, rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut row = 0;
    let runs = presence.runs().map(move |(has, length)| {
        let start = row;
        row += length;
        (has, start.max(rows.start)..row.min(rows.end))
    });
    runs.filter(|(has, run)| *has && !run.is_empty()).map(|(_, run)| run)
}

/// Replaces `scratch.dense` with some rows of so many values.
fn decode_dense(
    tag: u8,
    bytes: &[u8],
    count: usize,
    rows: Range<usize>,
    scratch: &mut Scratch,
) -> Result<(), CodecError> {
    let mut dense = std::mem::take(&mut scratch.dense);
    dense.clear();
    let outcome = floats::decode(tag, bytes, count, rows, scratch, &mut dense);
    scratch.dense = dense;
    outcome
}

fn behind_presence(bytes: &[u8], rows: usize) -> &[u8] {
    let mut reader = Reader::new(bytes);
    presence::decode(&mut reader, rows).map_or(&[], |_| reader.rest())
}

/// Bytes of columns that a directory speaks of.
enum Claimed {
    Exactly(usize),
    /// The last column takes what is left.
    AtLeast(usize),
}

/// Reads a whole directory: methods and kinds are known, no method comes twice.
fn check_directory(reader: &mut Reader<'_>, columns: usize) -> Result<Claimed, CodecError> {
    let mut known = [false; 256];
    let mut bytes = 0_usize;
    for left in (0..columns).rev() {
        let mut ahead = reader.clone();
        let code = ahead.byte()?;
        if let Some(known) = known.get_mut(usize::from(code))
            && std::mem::replace(known, true)
        {
            return Err(CodecError::Malformed("two columns of one method"));
        }
        let (_, _, length) = read_kind(reader)?;
        match length {
            None => {}
            Some(_) if left == 0 => return Ok(Claimed::AtLeast(bytes)),
            Some(()) => bytes = bytes.saturating_add(reader.length(usize::MAX, "bytes")?),
        }
    }
    Ok(Claimed::Exactly(bytes))
}

/// Reads an entry up to the number of its bytes, of which `Some` says that it has any.
fn read_kind<'a>(reader: &mut Reader<'_>) -> Result<(AggregationMethod, Stored<'a>, Option<()>), CodecError> {
    let method =
        AggregationMethod::from_code(reader.byte()?).ok_or(CodecError::Malformed("unknown method"))?;
    let tag = reader.byte()?;
    #[allow(clippy::cast_precision_loss)]
    let stored = match tag {
        0..SAME => return Ok((method, Stored::Body(tag, &[]), Some(()))),
        SAME..SAME_FAR => Stored::Same(usize::from(tag - SAME)),
        SAME_FAR => Stored::Same(reader.length(usize::from(u8::MAX), "columns")?),
        QUOTIENT => Stored::Quotient,
        CONSTANT_INTEGER => Stored::Constant(unzigzag(reader.varint()?) as f64),
        CONSTANT => Stored::Constant(f64::from_bits(reader.u64()?)),
        ABSENT => Stored::Absent,
        _ => return Err(CodecError::Malformed("unknown column")),
    };
    Ok((method, stored, None))
}

fn read_entry<'a>(
    directory: &mut Reader<'a>,
    bodies: &mut Reader<'a>,
    last: bool,
) -> Result<Entry<'a>, CodecError> {
    let before = directory.len();
    let (method, stored, has_bytes) = read_kind(directory)?;
    let stored = match (stored, has_bytes) {
        (Stored::Body(tag, _), Some(())) if last => Stored::Body(tag, bodies.rest()),
        (Stored::Body(tag, _), Some(())) => {
            let length = directory.length(usize::MAX, "bytes")?;
            Stored::Body(tag, bodies.take(length)?)
        }
        (stored, _) => stored,
    };
    Ok(Entry { method, stored, size: before - directory.len() })
}

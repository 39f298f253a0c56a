//! Value columns: choosing what a column is, and writing it as that.

use crate::columns::Column;
use crate::method::{AggregationMethod, Stat};

use super::bits::{BitReader, BitWriter};
use super::bytes::{Reader, put_varint, unzigzag, zigzag};
use super::{CodecError, ints, packed, presence};

const SAME: u8 = 0;
const QUOTIENT: u8 = 1;
const CONSTANT_INTEGER: u8 = 2;
const CONSTANT: u8 = 3;
const PLAIN: u8 = 4;
const XOR: u8 = 5;
const PCO: u8 = 6;
/// This plus the number of decimal places.
const SCALED: u8 = 16;
const MAX_PLACES: u8 = 15;
/// Integers up to here are exact in a float.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// How a column of a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// By itself.
    Direct,
    /// As the column of that index.
    Same(u64),
    /// As the column of the first index divided by that of the second.
    Quotient(u64, u64),
}

/// Encodes columns of equal length, each into its own bytes, in their order. References lead to columns that are
/// stored by themselves.
pub(super) fn encode_columns(columns: &[Column]) -> Vec<Vec<u8>> {
    let mut out = vec![Vec::new(); columns.len()];
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|index| columns.get(*index).map(|column| precedence(column.method().stat)));
    // For each column that was placed, the one that is stored in its stead.
    let mut roots: Vec<Option<usize>> = vec![None; columns.len()];
    let mut direct: Vec<usize> = Vec::new();
    for index in order {
        let column = &columns[index];
        let bytes = &mut out[index];
        if let Some(same) = direct.iter().copied().find(|other| same_values(&columns[*other], column)) {
            roots[index] = Some(same);
            bytes.push(SAME);
            put_varint(bytes, same as u64);
        } else if let Some((dividend, divisor)) = quotient_of(columns, &roots, column) {
            bytes.push(QUOTIENT);
            put_varint(bytes, dividend as u64);
            put_varint(bytes, divisor as u64);
        } else {
            roots[index] = Some(index);
            direct.push(index);
            encode_direct(column, bytes);
        }
    }
    out
}

/// What others may refer to comes first.
fn precedence(stat: Stat) -> u8 {
    match stat {
        Stat::Count => 0,
        Stat::Sum => 1,
        Stat::Mean => 3,
        _ => 2,
    }
}

fn same_values(a: &Column, b: &Column) -> bool {
    a.values().iter().zip(b.values()).all(|(a, b)| a.to_bits() == b.to_bits()) && a.presence() == b.presence()
}

/// The columns of which a mean is the quotient, if it is, exactly, everywhere.
fn quotient_of(columns: &[Column], roots: &[Option<usize>], column: &Column) -> Option<(usize, usize)> {
    let method = column.method();
    if method.stat != Stat::Mean {
        return None;
    }
    let root = |stat| {
        let wanted = AggregationMethod { rate: method.rate, stat };
        let index = columns.iter().position(|column| column.method() == wanted)?;
        *roots.get(index)?
    };
    let (dividend, divisor) = (root(Stat::Sum)?, root(Stat::Count)?);
    let (sum, count) = (columns.get(dividend)?, columns.get(divisor)?);
    if sum.presence() != column.presence() || count.presence() != column.presence() {
        return None;
    }
    let exact = (0..column.values().len()).all(|row| match (column.get(row), sum.get(row), count.get(row)) {
        // The bits of a NaN that is computed are not the same everywhere.
        (Some(mean), Some(sum), Some(count)) => !mean.is_nan() && (sum / count).to_bits() == mean.to_bits(),
        (None, None, None) => true,
        _ => false,
    });
    exact.then_some((dividend, divisor))
}

fn encode_direct(column: &Column, out: &mut Vec<u8>) {
    if column.presence().all() {
        return encode_with_presence(column, column.values(), out);
    }
    let present: Vec<f64> = (0..column.values().len()).filter_map(|row| column.get(row)).collect();
    encode_with_presence(column, &present, out);
}

fn encode_with_presence(column: &Column, present: &[f64], out: &mut Vec<u8>) {
    let mut values = Vec::new();
    encode_values(present, &mut values);
    // The tag stays in front, so that references need not carry rows.
    let (tag, payload) = values.split_first().unwrap_or((&PLAIN, &[]));
    out.push(*tag);
    presence::encode(column.presence(), out);
    out.extend_from_slice(payload);
}

/// Appends a tag and values in the smallest form found; the reader must know how many there are.
pub(super) fn encode_values(values: &[f64], out: &mut Vec<u8>) {
    let Some(first) = values.first() else { return out.push(PLAIN) };
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        return match scaled(*first, 0) {
            Some(integer) => {
                out.push(CONSTANT_INTEGER);
                put_varint(out, zigzag(integer));
            }
            None => {
                out.push(CONSTANT);
                out.extend_from_slice(&first.to_bits().to_le_bytes());
            }
        };
    }
    if let Some((places, integers)) = as_scaled(values) {
        out.push(SCALED + places);
        return ints::encode(&integers, out);
    }
    let mut best = (XOR, Vec::with_capacity(values.len() * 8));
    encode_xor(values, &mut best.1);
    if best.1.len() >= values.len() * 8 {
        best = (PLAIN, values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect());
    }
    if let Some(bytes) = packed::compress(values).filter(|bytes| bytes.len() < best.1.len()) {
        best = (PCO, bytes);
    }
    out.push(best.0);
    out.extend_from_slice(&best.1);
}

/// How a column's bytes say it is stored.
pub(super) fn encoding(bytes: &[u8]) -> Result<Encoding, CodecError> {
    let mut reader = Reader::new(bytes);
    Ok(match reader.byte()? {
        SAME => Encoding::Same(reader.varint()?),
        QUOTIENT => Encoding::Quotient(reader.varint()?, reader.varint()?),
        _ => Encoding::Direct,
    })
}

/// Decodes a column that is stored by itself.
pub(super) fn decode_column(
    bytes: &[u8],
    rows: usize,
    method: AggregationMethod,
) -> Result<Column, CodecError> {
    let mut reader = Reader::new(bytes);
    let tag = reader.byte()?;
    let presence = presence::decode(&mut reader, rows)?;
    let present = decode_tagged(tag, &mut reader, presence.count())?;
    if presence.all() {
        return Ok(Column::from_parts(method, present, presence));
    }
    let mut present = present.into_iter();
    let values = presence.iter().map(|has| if has { present.next().unwrap_or(0.0) } else { 0.0 }).collect();
    Ok(Column::from_parts(method, values, presence))
}

/// A column whose values are those of `dividend` divided by those of `divisor`.
pub(super) fn quotient(dividend: &Column, divisor: &Column, method: AggregationMethod) -> Column {
    let mut column = Column::new(method);
    for row in 0..dividend.values().len() {
        column.push(dividend.get(row).zip(divisor.get(row)).map(|(dividend, divisor)| dividend / divisor));
    }
    column
}

/// Decodes `count` values from the whole of what [`encode_values`] wrote.
pub(super) fn decode_values(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, CodecError> {
    let tag = reader.byte()?;
    decode_tagged(tag, reader, count)
}

#[allow(clippy::cast_precision_loss)]
fn decode_tagged(tag: u8, reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, CodecError> {
    let values = match tag {
        CONSTANT_INTEGER => vec![unzigzag(reader.varint()?) as f64; count],
        CONSTANT => vec![f64::from_bits(reader.u64()?); count],
        PLAIN => {
            let bytes = reader.take(count.saturating_mul(8))?;
            let (words, _) = bytes.as_chunks::<8>();
            words.iter().map(|word| f64::from_bits(u64::from_le_bytes(*word))).collect()
        }
        XOR => decode_xor(reader.rest(), count)?,
        PCO => packed::decompress(reader.rest(), count)?,
        _ => {
            let places = tag.checked_sub(SCALED).filter(|places| *places <= MAX_PLACES);
            let power = power_of_ten(places.ok_or(CodecError::Malformed("unknown values"))?);
            ints::decode(reader, count)?.into_iter().map(|integer| integer as f64 / power).collect()
        }
    };
    if reader.is_empty() { Ok(values) } else { Err(CodecError::Malformed("bytes behind the last value")) }
}

/// All values as integers of one power of ten, if that gives every bit back.
fn as_scaled(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut places = 0;
    for value in values {
        while scaled(*value, places).is_none() {
            places += 1;
            if places > MAX_PLACES {
                return None;
            }
        }
    }
    let integers = values.iter().map(|value| scaled(*value, places)).collect::<Option<Vec<_>>>()?;
    Some((places, integers))
}

/// The value times 10 to the power of `places`, if that is an integer that leads back to every bit of it.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn scaled(value: f64, places: u8) -> Option<i64> {
    let power = power_of_ten(places);
    let product = (value * power).round();
    // Also false for NaN.
    if product.abs() <= MAX_EXACT {
        let integer = product as i64;
        ((integer as f64 / power).to_bits() == value.to_bits()).then_some(integer)
    } else {
        None
    }
}

/// Exact: ten to the 22nd is the last that is.
fn power_of_ten(places: u8) -> f64 {
    (0..places).fold(1.0, |power, _| power * 10.0)
}

/// Each value XORed with the one before: nothing for equal ones, else the bits between leading and trailing zeros,
/// in the previous window where they fit it.
fn encode_xor(values: &[f64], out: &mut Vec<u8>) {
    let mut bits = BitWriter::new(out);
    let mut previous = 0_u64;
    let mut window: Option<(u32, u32)> = None;
    for value in values {
        let value = value.to_bits();
        let xor = value ^ previous;
        previous = value;
        if xor == 0 {
            bits.put(0, 1);
            continue;
        }
        let (leading, trailing) = (xor.leading_zeros(), xor.trailing_zeros());
        match window {
            Some((before, behind)) if leading >= before && trailing >= behind => {
                bits.put(0b01, 2);
                bits.put(xor >> behind, 64 - before - behind);
            }
            _ => {
                let length = 64 - leading - trailing;
                bits.put(0b11, 2);
                bits.put(u64::from(leading), 6);
                bits.put(u64::from(length - 1), 6);
                bits.put(xor >> trailing, length);
                window = Some((leading, trailing));
            }
        }
    }
    bits.finish();
}

fn decode_xor(bytes: &[u8], count: usize) -> Result<Vec<f64>, CodecError> {
    let malformed = CodecError::Malformed("window over 64 bits");
    let mut bits = BitReader::new(bytes);
    let mut values = Vec::with_capacity(count);
    let mut previous = 0_u64;
    // Length and shift; nothing fits it before it is set.
    let mut window: Option<(u32, u32)> = None;
    for _ in 0..count {
        if bits.get(1)? == 1 {
            if bits.get(1)? == 1 {
                let (leading, length) = (bits.get_small(6)?, bits.get_small(6)? + 1);
                let trailing = 64_u32.checked_sub(leading + length).ok_or(malformed.clone())?;
                window = Some((length, trailing));
            }
            let (length, trailing) = window.ok_or(malformed.clone())?;
            previous ^= bits.get(length)? << trailing;
        }
        values.push(f64::from_bits(previous));
    }
    Ok(values)
}

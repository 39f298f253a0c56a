//! Values of a column, one after another: choosing what they are, and writing them as that.

use std::ops::Range;

use super::bytes::{Reader, put_varint, unzigzag, zigzag};
use super::trend::Kind;
use super::{CodecError, Effort, Scratch, ints, packed, xor};

/// Eight bytes each.
const PLAIN: u8 = 1;
const XOR: u8 = 2;
const PCO: u8 = 3;
/// Bits of floats, arranged so that integers are in the order of the values.
const ORDERED: u8 = 4;
const CONSTANT: u8 = 5;
const CONSTANT_INTEGER: u8 = 6;
/// This plus the number of decimal places.
const SCALED: u8 = 16;
const MAX_PLACES: u8 = 15;
/// Integers up to here are exact in a float.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// Fewer values are not worth the time of `pco`, which starts with large tables.
const PCO_MIN_VALUES: usize = 128;

/// The only value there is, if there is but one.
pub(super) fn constant(values: &[f64]) -> Option<f64> {
    let first = values.first()?;
    values.iter().all(|value| value.to_bits() == first.to_bits()).then_some(*first)
}

/// Appends values in the smallest form found and returns its tag, which is below 64. The reader must know how many
/// there are.
pub(super) fn encode(
    values: &[f64],
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8, CodecError> {
    if values.is_empty() {
        return Ok(PLAIN);
    }
    if let Some(value) = constant(values) {
        if let Some(integer) = scaled(value, 0) {
            put_varint(out, zigzag(integer));
            return Ok(CONSTANT_INTEGER);
        }
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        return Ok(CONSTANT);
    }
    let mut integers = std::mem::take(&mut scratch.integers);
    let (tag, outcome) = match to_integers(values, &mut integers) {
        Some(places) => (SCALED + places, ints::encode(&integers, Kind::Values, effort, scratch, out)),
        None => {
            let start = out.len();
            integers.clear();
            integers.extend(values.iter().map(|value| ordered(value.to_bits().cast_signed())));
            let outcome = ints::encode(&integers, Kind::Floats, effort, scratch, out);
            (improve(values, effort, start, out), outcome)
        }
    };
    scratch.integers = integers;
    outcome.map(|()| tag)
}

/// Replaces the ordered bits that `out` has from `start` on by what is smaller.
fn improve(values: &[f64], effort: Effort, start: usize, out: &mut Vec<u8>) -> u8 {
    let mut best = (ORDERED, out.len() - start);
    // Returns the size to stay below.
    let mut replace = |tag, bytes: Option<Vec<u8>>| {
        // Slower reading must pay.
        let limit = best.1 - best.1 * 3 / 100;
        if let Some(bytes) = bytes.filter(|bytes| bytes.len() < limit) {
            best = (tag, bytes.len());
            out.truncate(start);
            out.extend_from_slice(&bytes);
        }
        limit
    };
    if effort == Effort::Small {
        if xor::least_size(values) < replace(XOR, None) {
            let mut xored = Vec::with_capacity(values.len() * 8);
            xor::encode(values, &mut xored);
            replace(XOR, Some(xored));
        }
        if values.len() >= PCO_MIN_VALUES {
            replace(PCO, packed::compress(values));
        }
    }
    if values.len() * 8 <= best.1 {
        best.0 = PLAIN;
        out.truncate(start);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
    }
    best.0
}

/// Appends some rows of `count` values from the whole of what [`encode`] wrote under this tag; `count` was checked against
/// the limits before.
#[allow(clippy::cast_precision_loss)]
pub(super) fn decode(
    tag: u8,
    bytes: &[u8],
    count: usize,
    rows: Range<usize>,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    let mut reader = Reader::new(bytes);
    match tag {
        CONSTANT_INTEGER => out.resize(out.len() + rows.len(), unzigzag(reader.varint()?) as f64),
        CONSTANT => out.resize(out.len() + rows.len(), f64::from_bits(reader.u64()?)),
        PLAIN => {
            let (words, _) = reader.take(count.saturating_mul(8))?.as_chunks::<8>();
            let words = words.get(rows).ok_or(CodecError::Truncated)?;
            out.extend(words.iter().map(|word| f64::from_bits(u64::from_le_bytes(*word))));
        }
        XOR => {
            let start = out.len();
            xor::decode(reader.rest(), rows.end, out)?;
            out.drain(start..start + rows.start);
        }
        PCO => {
            let start = out.len();
            out.resize(start + rows.end.next_multiple_of(packed::BATCH).min(count), 0.0);
            packed::decompress_into(reader.rest(), count, out.split_at_mut(start).1)?;
            out.truncate(start + rows.end);
            out.drain(start..start + rows.start);
        }
        ORDERED => {
            let bits = ints::decode(reader.rest(), count, rows, scratch)?;
            out.extend(bits.iter().map(|bits| f64::from_bits(ordered(*bits).cast_unsigned())));
        }
        SCALED => out
            .extend(ints::decode(reader.rest(), count, rows, scratch)?.iter().map(|integer| *integer as f64)),
        _ => {
            let places = tag.checked_sub(SCALED).filter(|places| *places <= MAX_PLACES);
            let power = power_of_ten(places.ok_or(CodecError::Malformed("unknown values"))?);
            let integers = ints::decode(reader.rest(), count, rows, scratch)?;
            out.extend(integers.iter().map(|integer| *integer as f64 / power));
        }
    }
    if reader.is_empty() { Ok(()) } else { Err(CodecError::Malformed("bytes behind the last value")) }
}

/// What the encoding of a tag and its bytes is called.
pub(super) fn name(tag: u8, bytes: &[u8]) -> String {
    let coding = || ints::coding(bytes.first().copied().unwrap_or(0));
    match tag {
        PLAIN => "plain".to_owned(),
        XOR => "xor".to_owned(),
        PCO => "floats, pco".to_owned(),
        ORDERED => format!("floats, {}", coding()),
        CONSTANT | CONSTANT_INTEGER => "constant".to_owned(),
        SCALED => format!("integers, {}", coding()),
        _ => format!("decimals, {}", coding()),
    }
}

/// Bits of floats to integers in the order of the values; its own inverse.
fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// All values as integers of one power of ten, whose exponent is returned, if that gives every bit back.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn to_integers(values: &[f64], out: &mut Vec<i64>) -> Option<u8> {
    out.clear();
    out.extend(values.iter().map(|value| *value as i64));
    let exact = |(value, integer): (&f64, &i64)| (*integer as f64).to_bits() == value.to_bits();
    if values.iter().zip(out.iter()).all(exact) {
        return Some(0);
    }
    let mut places = 0;
    for value in values {
        while scaled(*value, places).is_none() {
            places += 1;
            if places > MAX_PLACES {
                return None;
            }
        }
    }
    out.clear();
    for value in values {
        out.push(scaled(*value, places)?);
    }
    Some(places)
}

/// The value times 10 to the power of `places`, if that is an integer that leads back to every bit of it.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
pub(super) fn scaled(value: f64, places: u8) -> Option<i64> {
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

fn power_of_ten(places: u8) -> f64 {
    const POWERS: [f64; MAX_PLACES as usize + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    POWERS.get(usize::from(places)).copied().unwrap_or(1.0)
}

//! Timestamps: a regular series is two numbers; others are multiples of the largest unit they share.

use nephos_model::Timestamp;

use super::CodecError;
use super::bytes::{Reader, put_scaled};
use super::ints;

const REGULAR: u8 = 0;
const MULTIPLES: u8 = 1;

/// Encodes strictly ascending timestamps; the reader must know how many there are.
pub(super) fn encode(timestamps: &[Timestamp]) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(first) = timestamps.first() else { return out };
    let offsets: Vec<u64> = timestamps.iter().map(|timestamp| offset(*first, *timestamp)).collect();
    let unit = offsets.iter().fold(0, |unit, offset| greatest_common_divisor(*offset, unit)).max(1);
    let regular = offsets.iter().zip(0_u64..).all(|(offset, row)| offset / unit == row);
    out.push(if regular { REGULAR } else { MULTIPLES });
    put_scaled(&mut out, first.as_nanos());
    put_scaled(&mut out, unit.cast_signed());
    if !regular {
        let multiples: Vec<i64> = offsets.iter().map(|offset| (offset / unit).cast_signed()).collect();
        ints::encode(&multiples, &mut out);
    }
    out
}

/// Decodes `count` timestamps and checks that they ascend.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<Timestamp>, CodecError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let tag = reader.byte()?;
    let first = reader.scaled()?;
    let unit = reader.scaled()?.cast_unsigned();
    let at =
        |multiple: u64| Timestamp::from_nanos(first.wrapping_add(multiple.wrapping_mul(unit).cast_signed()));
    let timestamps: Vec<_> = match tag {
        REGULAR => (0_u64..).take(count).map(at).collect(),
        MULTIPLES => ints::decode(&mut reader, count)?.into_iter().map(|i| at(i.cast_unsigned())).collect(),
        _ => return Err(CodecError::Malformed("unknown timestamps")),
    };
    let ascending = timestamps.is_sorted_by(|a, b| a < b);
    if ascending { Ok(timestamps) } else { Err(CodecError::Malformed("timestamps out of order")) }
}

/// Distance of ascending timestamps, which may be more than a signed integer holds.
fn offset(first: Timestamp, timestamp: Timestamp) -> u64 {
    timestamp.as_nanos().wrapping_sub(first.as_nanos()).cast_unsigned()
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

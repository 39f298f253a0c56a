//! Integers: as they are, as differences or as differences of differences, packed in blocks of the width they
//! need above their minimum, or by `pco` where that is smaller.

use super::CodecError;
use super::bits::{BitReader, BitWriter};
use super::bytes::{Reader, low_byte, put_varint, unzigzag, varint_len, zigzag};
use super::packed;

const BLOCK: usize = 128;
const MAX_ORDER: u8 = 2;
const PCO: u8 = 3;
/// Below this size there is nothing worth the time of `pco`.
const PCO_WORTH_BYTES: usize = 64;

/// Encodes `values`; the reader must know how many there are.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let mut best = (packed_size(values, 0), 0, values.to_vec());
    let mut residuals = values.to_vec();
    for order in 1..=MAX_ORDER {
        difference(&mut residuals, usize::from(order));
        let size = packed_size(&residuals, order);
        if size < best.0 {
            best = (size, order, residuals.clone());
        }
    }
    let (size, order, residuals) = best;
    if size > PCO_WORTH_BYTES
        && let Some(bytes) = packed::compress(values).filter(|bytes| bytes.len() < size)
    {
        out.push(PCO);
        return out.extend_from_slice(&bytes);
    }
    out.push(order);
    let (heads, rest) = residuals.split_at(usize::from(order).min(residuals.len()));
    heads.iter().for_each(|head| put_varint(out, zigzag(*head)));
    rest.chunks(BLOCK).for_each(|block| pack(block, out));
}

/// `count` integers from what [`encode`] wrote; `count` was checked against the limits before.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, CodecError> {
    let order = reader.byte()?;
    if order == PCO {
        return packed::decompress(reader.rest(), count);
    }
    if order > MAX_ORDER {
        return Err(CodecError::Malformed("unknown integers"));
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..usize::from(order).min(count) {
        values.push(unzigzag(reader.varint()?));
    }
    while values.len() < count {
        unpack(reader, BLOCK.min(count - values.len()), &mut values)?;
    }
    for start in (1..=usize::from(order)).rev() {
        accumulate(&mut values, start);
    }
    Ok(values)
}

/// Replaces the elements from `start` on by their difference to the one before. Wraps: it only has to be undone.
fn difference(values: &mut [i64], start: usize) {
    for index in (start..values.len()).rev() {
        values[index] = values[index].wrapping_sub(values[index - 1]);
    }
}

/// Undoes [`difference`].
fn accumulate(values: &mut [i64], start: usize) {
    let Some(mut sum) = start.checked_sub(1).and_then(|before| values.get(before).copied()) else { return };
    for value in values.iter_mut().skip(start) {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
}

/// Minimum of a block, and the bits its values need above that.
fn frame(block: &[i64]) -> (i64, u32) {
    let (least, most) =
        block.iter().fold((i64::MAX, i64::MIN), |(least, most), v| (least.min(*v), most.max(*v)));
    let range = most.wrapping_sub(least).cast_unsigned();
    (least, 64 - range.leading_zeros())
}

fn packed_size(residuals: &[i64], order: u8) -> usize {
    let (heads, rest) = residuals.split_at(usize::from(order).min(residuals.len()));
    let heads: usize = heads.iter().map(|head| varint_len(zigzag(*head))).sum();
    let blocks = rest.chunks(BLOCK).map(|block| {
        let (least, width) = frame(block);
        1 + varint_len(zigzag(least)) + (block.len() * width as usize).div_ceil(8)
    });
    1 + heads + blocks.sum::<usize>()
}

fn pack(block: &[i64], out: &mut Vec<u8>) {
    let (least, width) = frame(block);
    out.push(low_byte(u64::from(width)));
    put_varint(out, zigzag(least));
    let mut bits = BitWriter::new(out);
    block.iter().for_each(|value| bits.put(value.wrapping_sub(least).cast_unsigned(), width));
    bits.finish();
}

fn unpack(reader: &mut Reader<'_>, count: usize, values: &mut Vec<i64>) -> Result<(), CodecError> {
    let width = u32::from(reader.byte()?);
    if width > 64 {
        return Err(CodecError::Malformed("integer over 64 bits"));
    }
    let least = unzigzag(reader.varint()?);
    let mut bits = BitReader::new(reader.take((count * width as usize).div_ceil(8))?);
    for _ in 0..count {
        values.push(least.wrapping_add(bits.get(width)?.cast_signed()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[i64]) -> usize {
        let mut out = Vec::new();
        encode(values, &mut out);
        let mut reader = Reader::new(&out);
        assert_eq!(decode(&mut reader, values.len()).as_deref(), Ok(values));
        assert!(reader.is_empty());
        out.len()
    }

    #[test]
    fn shapes_of_telemetry_come_back_small() {
        assert!(check(&[]) <= 1);
        check(&[i64::MIN, i64::MAX, 0, i64::MIN, -1]);
        check(&[i64::MAX; 300]);
        let counter: Vec<i64> = (0..1000).map(|i| 1_700_000_000 + i * 4096).collect();
        assert!(check(&counter) < 60);
        let parabola: Vec<i64> = (0..1000).map(|i| i * i * 77 - 5).collect();
        assert!(check(&parabola) < 60);
        let small: Vec<i64> = (0..1000).map(|i| (i * i * 31) % 7).collect();
        assert!(check(&small) < 480);
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in proptest::collection::vec(any::<i64>(), 0..400)) {
            check(&values);
        }

        #[test]
        fn near_integers_come_back(values in proptest::collection::vec(-3000_i64..3000, 0..700)) {
            check(&values);
        }
    }
}

//! Integers bit-packed in blocks: each value takes the bits that most of its block need above a common base, and the
//! few that need more are patched in.
//!
//! ```text
//! a block of 128: u8 width (+ 128 if patched) · varint base
//!                 patched: u8 patches − 1 · u8 positions
//!                 values − base, the low `width` bits of each
//!                 patched: varint of the bits above, one a patch
//! ```

use super::CodecError;
use super::bits::{BitWriter, PEEKED, peek};
use super::bytes::{Reader, low_byte, put_varint, unzigzag, varint_len, zigzag};

/// Values of a block, but for the last.
pub(super) const BLOCK: usize = 128;
const PATCHED: u8 = 0x80;
/// More patches than that never win.
const MAX_PATCHES: u32 = 24;

/// Values of more bits than that have outliers.
const WIDE: u32 = 36;

/// How a block is packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    base: i64,
    width: u32,
    patches: u32,
    size: usize,
}

impl Frame {
    /// Bytes that the block takes.
    pub(super) const fn size(self) -> usize {
        self.size
    }
}

/// Bytes that [`encode`] takes.
pub(super) fn size(values: &[i64]) -> usize {
    values.chunks(BLOCK).map(|block| frame(block).size).sum()
}

/// Appends values; the reader must know how many there are.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    values.chunks(BLOCK).for_each(|block| pack(block, frame(block), out));
}

/// Fills `values` with the first that [`encode`] wrote: all of them, or whole [blocks](BLOCK).
pub(super) fn decode(reader: &mut Reader<'_>, values: &mut [i64]) -> Result<(), CodecError> {
    values.chunks_mut(BLOCK).try_for_each(|block| unpack(reader, block))
}

fn above(value: i64, base: i64) -> u64 {
    value.wrapping_sub(base).cast_unsigned()
}

/// [`frame`] in less time: without patches, unless values lie so far apart that they are sure to need some.
pub(super) fn quick_frame(block: &[i64]) -> Frame {
    let (least, most) =
        block.iter().fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
    let width = 64 - above(most, least).leading_zeros();
    if width > WIDE || block.is_empty() {
        return frame(block);
    }
    let size = 1 + varint_len(zigzag(least)) + (block.len() * width as usize).div_ceil(8);
    Frame { base: least, width, patches: 0, size }
}

/// How to pack one block, of at most 128 values, best.
pub(super) fn frame(block: &[i64]) -> Frame {
    let (mut least, mut second, mut most) = (i64::MAX, i64::MAX, i64::MIN);
    for value in block {
        second = second.min((*value).max(least));
        least = least.min(*value);
        most = most.max(*value);
    }
    // One value far below the others, as a counter's reset, is a patch rather than the base.
    let outlier = block.len() > 2 && above(second, least) > above(most, second);
    let base = if outlier { second } else { least };
    let mut lengths = [0_u32; 65];
    for value in block {
        let length = 64 - above(*value, base).leading_zeros();
        if let Some(count) = lengths.get_mut(length as usize) {
            *count += 1;
        }
    }
    let head = 1 + varint_len(zigzag(base));
    let mut best = Frame { base, width: 64, patches: 0, size: usize::MAX };
    // Lengths above the width, and how many values have them.
    let mut longer = [(0_u32, 0_u32); MAX_PATCHES as usize + 1];
    let (mut kinds, mut patches) = (0, 0);
    for (width, count) in (0..65_u32).zip(lengths).rev().filter(|(_, count)| *count > 0) {
        let patched: u32 =
            longer.iter().take(kinds).map(|(length, count)| count * (1 + (length - width).div_ceil(7))).sum();
        let packed = (block.len() * width as usize).div_ceil(8);
        let size = head + packed + patched as usize + usize::from(patches > 0);
        if size < best.size {
            best = Frame { base, width, patches, size };
        }
        patches += count;
        if patches > MAX_PATCHES {
            break;
        }
        longer[kinds] = (width, count);
        kinds += 1;
    }
    best
}

fn low_bits(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

/// Appends one block.
pub(super) fn pack(block: &[i64], how: Frame, out: &mut Vec<u8>) {
    let Frame { base, width, patches, .. } = how;
    let mask = low_bits(width);
    out.push(low_byte(u64::from(width)) | if patches > 0 { PATCHED } else { 0 });
    put_varint(out, zigzag(base));
    let longer = || block.iter().map(|value| above(*value, base)).zip(0_u64..).filter(|(v, _)| *v > mask);
    if patches > 0 {
        out.push(low_byte(u64::from(patches - 1)));
        out.extend(longer().map(|(_, at)| low_byte(at)));
    }
    let mut bits = BitWriter::new(out);
    block.iter().for_each(|value| bits.put(above(*value, base) & mask, width));
    bits.finish();
    longer().for_each(|(value, _)| put_varint(out, value >> width));
}

fn unpack(reader: &mut Reader<'_>, block: &mut [i64]) -> Result<(), CodecError> {
    let head = reader.byte()?;
    let width = u32::from(head & !PATCHED);
    if width > 64 {
        return Err(CodecError::Malformed("integer over 64 bits"));
    }
    let base = unzigzag(reader.varint()?);
    let positions = if head & PATCHED == 0 {
        &[]
    } else {
        let patches = usize::from(reader.byte()?) + 1;
        reader.take(patches)?
    };
    let length = (block.len() * width as usize).div_ceil(8);
    // What follows is read with the last values and masked away again.
    let bytes = reader.clone().rest();
    reader.take(length)?;
    let mask = low_bits(width);
    let mut at = 0;
    if width == 0 {
        block.fill(base);
    } else if width <= PEEKED {
        for value in block.iter_mut() {
            *value = base.wrapping_add((peek(bytes, at) & mask).cast_signed());
            at += width as usize;
        }
    } else {
        for value in block.iter_mut() {
            let word = peek(bytes, at) & u64::from(u32::MAX) | peek(bytes, at + 32) << 32;
            *value = base.wrapping_add((word & mask).cast_signed());
            at += width as usize;
        }
    }
    for position in positions {
        let patch = reader.varint()?.checked_shl(width).unwrap_or(0);
        let value =
            block.get_mut(usize::from(*position)).ok_or(CodecError::Malformed("patch of no value"))?;
        *value = value.wrapping_add(patch.cast_signed());
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
        assert_eq!(out.len(), size(values));
        let mut reader = Reader::new(&out);
        let mut decoded = vec![7; values.len()];
        decode(&mut reader, &mut decoded).unwrap();
        assert_eq!(decoded, values);
        assert!(reader.is_empty());
        out.len()
    }

    #[test]
    fn outliers_on_either_side_cost_themselves_alone() {
        let quiet: Vec<i64> = (0..128).map(|i| i % 8).collect();
        let plain = check(&quiet);
        assert_eq!(plain, 2 + 48);
        for outlier in [1 << 40, -(1 << 40), i64::MIN] {
            let mut spiky = quiet.clone();
            spiky[77] = outlier;
            assert!(check(&spiky) <= plain + 13, "{outlier}");
        }
        check(&[]);
        check(&[i64::MIN, i64::MAX, 0, -1]);
        assert_eq!(check(&[5; 128]), 2);
    }

    proptest! {
        #[test]
        fn any_integers_come_back(
            values in prop::collection::vec(
                prop_oneof![3 => -50_i64..50, 1 => any::<i64>(), 1 => any::<i32>().prop_map(i64::from)],
                0..300,
            )
        ) {
            check(&values);
        }
    }
}

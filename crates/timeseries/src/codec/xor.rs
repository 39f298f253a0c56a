//! Floats XORed with the one before: nothing for equal ones, else the bits between leading and trailing zeros, in the
//! previous window where they fit it.

use super::CodecError;
use super::bits::{BitReader, BitWriter};

/// Appends values; the reader must know how many there are.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) {
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

/// Bytes that [`encode`] takes at least.
pub(super) fn least_size(values: &[f64]) -> usize {
    let bits = values.windows(2).map(|pair| match pair {
        [before, value] => match before.to_bits() ^ value.to_bits() {
            0 => 1,
            xor => 66 - (xor.leading_zeros() + xor.trailing_zeros()) as usize,
        },
        _ => 0,
    });
    bits.sum::<usize>().div_ceil(8)
}

/// Appends the first `count` values.
pub(super) fn decode(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let malformed = CodecError::Malformed("window over 64 bits");
    let mut bits = BitReader::new(bytes);
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
        out.push(f64::from_bits(previous));
    }
    Ok(())
}

//! Bytes, variable-length integers and a reader that checks every step.

use super::CodecError;

/// Seven bits a byte, low ones first, the high bit set on all but the last.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Bytes that [`put_varint`] takes for a value.
pub(super) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Maps integers near zero, of either sign, to small ones without sign.
pub(super) fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

/// [`zigzag`] backwards.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// An integer with its trailing decimal zeros apart: `60_000_000_000` takes two bytes.
pub(super) fn put_scaled(out: &mut Vec<u8>, mut value: i64) {
    let mut zeros = 0;
    while value != 0 && value % 10 == 0 {
        value /= 10;
        zeros += 1;
    }
    out.push(zeros);
    put_varint(out, zigzag(value));
}

/// Whatever is in the lowest eight bits.
pub(super) fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are left.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (byte, rest) = self.bytes.split_first().ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        Ok(*byte)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, CodecError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| CodecError::Truncated)?))
    }

    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Malformed("integer over 64 bits"))
    }

    pub(super) fn scaled(&mut self) -> Result<i64, CodecError> {
        let zeros = u32::from(self.byte()?);
        let mantissa = unzigzag(self.varint()?);
        let value = 10_i64.checked_pow(zeros).and_then(|power| mantissa.checked_mul(power));
        value.ok_or(CodecError::Malformed("integer over 64 bits"))
    }

    /// A number of things, at most `limit`.
    pub(super) fn length(&mut self, limit: usize, what: &'static str) -> Result<usize, CodecError> {
        let size = self.varint()?;
        match usize::try_from(size) {
            Ok(length) if length <= limit => Ok(length),
            _ => Err(CodecError::TooLarge { what, size, limit: limit as u64 }),
        }
    }

    /// A slice behind its length.
    pub(super) fn prefixed(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.length(usize::MAX, "bytes")?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_size_come_back() {
        let values = (0..64).flat_map(|bit| [1_u64 << bit, (1_u64 << bit) - 1, u64::MAX >> bit]);
        for value in values {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            assert_eq!(Reader::new(&out).varint(), Ok(value));
            assert_eq!(zigzag(unzigzag(value)), value);
            let mut out = Vec::new();
            put_scaled(&mut out, value.cast_signed());
            assert_eq!(Reader::new(&out).scaled(), Ok(value.cast_signed()));
        }
    }

    #[test]
    fn overlong_integers_are_refused() {
        assert_eq!(Reader::new(&[0x80; 12]).varint(), Err(CodecError::Malformed("integer over 64 bits")));
        assert_eq!(Reader::new(&[0x80; 3]).varint(), Err(CodecError::Truncated));
        let mut two_to_the_64 = vec![0x80; 9];
        two_to_the_64.push(2);
        assert!(Reader::new(&two_to_the_64).varint().is_err());
        assert!(Reader::new(&[19, 2]).scaled().is_err());
        assert!(Reader::new(&[255, 0]).scaled().is_err());
    }
}

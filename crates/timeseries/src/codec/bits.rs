//! Streams of bits, low ones first.

use super::CodecError;

/// Bits that one [`peek`] is sure to give.
pub(super) const PEEKED: u32 = 57;

/// Writes numbers of up to 64 bits.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    bits: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`; [`finish`](Self::finish) must be called.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, bits: 0 }
    }

    /// Writes the lowest `width` bits of a value that has no others set.
    #[inline]
    pub(super) fn put(&mut self, value: u64, width: u32) {
        self.pending |= value << self.bits;
        let bits = self.bits + width;
        if bits >= 64 {
            self.out.extend_from_slice(&self.pending.to_le_bytes());
            // What did not fit; nothing at all if the word was empty before.
            self.pending = value.checked_shr(64 - self.bits).unwrap_or(0);
            self.bits = bits - 64;
        } else {
            self.bits = bits;
        }
    }

    /// Writes a number from 1 on in about twice its length (Elias gamma).
    pub(super) fn put_gamma(&mut self, value: u64) {
        let length = value.max(1).ilog2();
        self.put(1 << length, length + 1);
        self.put(value & ((1 << length) - 1), length);
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        let bytes = self.bits.div_ceil(8) as usize;
        self.out.extend(self.pending.to_le_bytes().iter().take(bytes));
    }
}

/// The [`PEEKED`] bits from bit `at` on, low ones first; zeros behind the end. Higher bits are anything.
#[inline]
pub(super) fn peek(bytes: &[u8], at: usize) -> u64 {
    let word = match bytes.get(at / 8..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(word) => u64::from_le_bytes(*word),
        None => last_word(bytes, at / 8),
    };
    word >> (at % 8)
}

#[cold]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.iter_mut().zip(bytes.get(at..).unwrap_or_default()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(word)
}

/// Reads numbers of up to 64 bits.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bits were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// [`get`](Self::get) of at most 32 bits.
    pub(super) fn get_small(&mut self, width: u32) -> Result<u32, CodecError> {
        u32::try_from(self.get(width)?).map_err(|_| CodecError::Malformed("number over 32 bits"))
    }

    /// The next `width` bits, at most 64.
    pub(super) fn get(&mut self, width: u32) -> Result<u64, CodecError> {
        let end = self.at + width as usize;
        if end > self.bytes.len() * 8 {
            return Err(CodecError::Truncated);
        }
        let value = if width <= PEEKED {
            peek(self.bytes, self.at) & ((1 << width) - 1)
        } else {
            let low = peek(self.bytes, self.at) & u64::from(u32::MAX);
            let high = peek(self.bytes, self.at + 32) & ((1 << (width - 32)) - 1);
            low | high << 32
        };
        self.at = end;
        Ok(value)
    }

    /// A number from 1 on that [`BitWriter::put_gamma`] wrote.
    pub(super) fn get_gamma(&mut self) -> Result<u64, CodecError> {
        let length = peek(self.bytes, self.at).trailing_zeros();
        if length > PEEKED - 1 {
            return Err(CodecError::Malformed("number over 56 bits"));
        }
        self.get(length + 1)?;
        Ok(1 << length | self.get(length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back_from_every_position() {
        for shift in 0..8 {
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            writer.put(0, shift);
            for width in 0..=64 {
                writer.put(u64::MAX.checked_shr(64 - width).unwrap_or(0), width);
                writer.put_gamma(u64::from(width) + 1);
            }
            writer.finish();
            let mut reader = BitReader::new(&out);
            reader.get(shift).unwrap();
            for width in 0..=64 {
                assert_eq!(reader.get(width).unwrap(), u64::MAX.checked_shr(64 - width).unwrap_or(0));
                assert_eq!(reader.get_gamma().unwrap(), u64::from(width) + 1);
            }
            assert_eq!(reader.position().div_ceil(8), out.len());
            assert_eq!(reader.get(8), Err(CodecError::Truncated));
            assert!(BitReader::new(&[0; 16]).get_gamma().is_err());
        }
    }
}

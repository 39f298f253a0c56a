//! Streams of bits, low ones first.

use super::CodecError;

/// Writes numbers of up to 64 bits.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u128,
    bits: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`; [`finish`](Self::finish) must be called.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, bits: 0 }
    }

    /// Writes the lowest `width` bits of a value that has no others set.
    pub(super) fn put(&mut self, value: u64, width: u32) {
        self.pending |= u128::from(value) << self.bits;
        self.bits += width;
        if self.bits >= 64 {
            self.out.extend_from_slice(&self.pending.to_le_bytes()[..8]);
            self.pending >>= 64;
            self.bits -= 64;
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        let bytes = self.bits.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// Reads numbers of up to 64 bits.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u128,
    bits: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pending: 0, bits: 0 }
    }

    /// [`get`](Self::get) of at most 32 bits.
    pub(super) fn get_small(&mut self, width: u32) -> Result<u32, CodecError> {
        u32::try_from(self.get(width)?).map_err(|_| CodecError::Malformed("number over 32 bits"))
    }

    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn get(&mut self, width: u32) -> Result<u64, CodecError> {
        if self.bits < width {
            self.refill();
            if self.bits < width {
                return Err(CodecError::Truncated);
            }
        }
        let value = (self.pending & ((1_u128 << width) - 1)) as u64;
        self.pending >>= width;
        self.bits -= width;
        Ok(value)
    }

    fn refill(&mut self) {
        if let Some((word, rest)) = self.bytes.split_first_chunk::<8>() {
            self.pending |= u128::from(u64::from_le_bytes(*word)) << self.bits;
            self.bits += 64;
            self.bytes = rest;
        } else {
            for byte in std::mem::take(&mut self.bytes) {
                self.pending |= u128::from(*byte) << self.bits;
                self.bits += 8;
            }
        }
    }
}

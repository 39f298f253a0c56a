//! Little pieces of every binary shape of this crate: variable-length integers, floats, strings and identifiers.
//!
//! Reading never panics and never allocates more than the input could fill.

use nephos_model::MetricId;
use xxhash_rust::xxh3::xxh3_64;

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Appends an unsigned integer, seven bits a byte.
pub(crate) fn put_unsigned(buf: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buf.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    buf.push(value.to_le_bytes()[0]);
}

/// Appends a signed integer; small magnitudes are short.
pub(crate) fn put_signed(buf: &mut Vec<u8>, value: i64) {
    put_unsigned(buf, zigzag(value));
}

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// Says that nanoseconds follow.
const NO_MULTIPLE: u64 = 1;

/// Appends nanoseconds as a multiple of `unit`, which they mostly are; small multiples are short.
pub(crate) fn put_multiple(buf: &mut Vec<u8>, nanos: i64, unit: i64) {
    let multiple = match nanos.checked_rem(unit) {
        Some(0) => nanos.checked_div(unit).map(zigzag).filter(|multiple| multiple.leading_zeros() > 0),
        _ => None,
    };
    match multiple {
        Some(multiple) => put_unsigned(buf, multiple << 1),
        None => {
            put_unsigned(buf, NO_MULTIPLE);
            put_signed(buf, nanos);
        }
    }
}

/// A signed integer as an unsigned one; small magnitudes are small.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(buf: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

/// Leaves room for the length of what is appended next; [`end_bytes`] fills it in. Together they give what
/// [`put_bytes`] would of the same bytes, but for the width of the length.
pub(crate) fn begin_bytes(buf: &mut Vec<u8>) -> usize {
    buf.extend_from_slice(&[0x80; LENGTH - 1]);
    buf.push(0);
    buf.len()
}

/// Bytes of a length that is filled in later.
const LENGTH: usize = 5;

/// Fills in the length of what was appended since [`begin_bytes`] gave this place.
pub(crate) fn end_bytes(buf: &mut [u8], start: usize) {
    let mut len = buf.len() - start;
    for slot in buf.iter_mut().take(start).skip(start - LENGTH) {
        *slot |= u8::try_from(len & 0x7f).unwrap_or(0);
        len >>= 7;
    }
    debug_assert_eq!(len, 0, "calls are smaller than 32 GiB");
}

/// Which shard of `shards` holds a metric. Fixed for ever: data lie where this put them.
pub fn shard_of(metric: MetricId, shards: u32) -> u32 {
    let hash = xxh3_64(metric.as_bytes());
    u32::try_from(hash % u64::from(shards.max(1))).unwrap_or(0)
}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet read.
    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("bytes after the end")) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Malformed> {
        self.array().map(f64::from_le_bytes)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("integer out of range"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("integer out of range"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        self.unsigned().map(unzigzag)
    }

    /// What [`put_multiple`] appended.
    pub(crate) fn multiple(&mut self, unit: i64) -> Result<i64, Malformed> {
        match self.unsigned()? {
            NO_MULTIPLE => self.signed(),
            value if value & 1 == 0 => {
                unzigzag(value >> 1).checked_mul(unit).ok_or(Malformed("time out of range"))
            }
            _ => Err(Malformed("unknown kind of time")),
        }
    }

    /// An unsigned integer that fits `T`.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.unsigned()?).map_err(|_| Malformed("integer out of range"))
    }

    /// How many items follow, each of at least `least` bytes: never more than the input can hold.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count: usize = self.small()?;
        if count > self.rest.len() / least.max(1) {
            return Err(Malformed("more items than bytes"));
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count(1)?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Malformed("text is not UTF-8"))
    }

    pub(crate) fn metric(&mut self) -> Result<MetricId, Malformed> {
        self.array::<16>().map(metric_from)
    }
}

/// The identifier of sixteen bytes.
pub(crate) const fn metric_from(bytes: [u8; 16]) -> MetricId {
    MetricId(uuid::Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_at_the_ends_of_their_range() {
        for value in [0, 1, 127, 128, u64::MAX >> 1, u64::MAX] {
            let mut buf = Vec::new();
            put_unsigned(&mut buf, value);
            assert_eq!(Reader::new(&buf).unsigned(), Ok(value));
        }
        for value in [0, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut buf = Vec::new();
            put_signed(&mut buf, value);
            assert_eq!(Reader::new(&buf).signed(), Ok(value));
        }
    }

    #[test]
    fn times_survive_whether_they_are_whole_multiples_or_not() {
        let ends = [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, i64::MAX / SECOND * SECOND];
        for nanos in ends.into_iter().chain([0, 1, -1, 60 * SECOND, -60 * SECOND, 90 * SECOND + 5]) {
            for unit in [1, 2, SECOND, 60 * SECOND, i64::MAX] {
                let mut buf = Vec::new();
                put_multiple(&mut buf, nanos, unit);
                let mut reader = Reader::new(&buf);
                assert_eq!(reader.multiple(unit), Ok(nanos), "{nanos} in {unit}");
                assert_eq!(reader.remaining(), 0);
            }
        }
        let mut minute = Vec::new();
        put_multiple(&mut minute, 1_700_000_040 * SECOND, 60 * SECOND);
        assert_eq!(minute.len(), 4);
        assert!(Reader::new(&[3]).multiple(1).is_err());
        let mut much = Vec::new();
        put_unsigned(&mut much, u64::MAX - 1);
        assert!(Reader::new(&much).multiple(SECOND).is_err());
    }

    #[test]
    fn a_length_filled_in_later_reads_as_one_written_before() {
        for len in [0usize, 1, 127, 128, 70_000] {
            let mut buf = vec![7];
            let start = begin_bytes(&mut buf);
            buf.resize(buf.len() + len, 0xab);
            end_bytes(&mut buf, start);
            let mut reader = Reader::new(&buf[1..]);
            assert_eq!(reader.bytes().unwrap(), vec![0xab; len]);
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn an_integer_of_too_many_bits_is_refused() {
        assert!(Reader::new(&[0xff; 11]).unsigned().is_err());
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).unsigned().is_err()
        );
    }

    #[test]
    fn a_count_beyond_the_input_is_refused_before_anything_is_allocated() {
        let mut buf = Vec::new();
        put_unsigned(&mut buf, 1 << 40);
        assert!(Reader::new(&buf).count(1).is_err());
    }

    #[test]
    fn every_metric_has_one_shard_and_shards_are_evenly_used() {
        let mut used = [0u32; 16];
        for number in 0..4_096u128 {
            let shard = shard_of(MetricId(uuid::Uuid::from_u128(number)), 16);
            used[shard as usize] += 1;
        }
        assert!(used.iter().all(|count| (150..400).contains(count)), "{used:?}");
    }
}

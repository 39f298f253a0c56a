//! Reading what was encoded by classes.

use super::super::ans::{self, MAX_LOG, MIN_LOG, STATES, State};
use super::super::bits::{BitReader, PEEKED, peek};
use super::super::bytes::Reader;
use super::super::{CodecError, PADDING};
use super::{Bin, Division, MAX_CLASSES, PART, WEIGHT_BITS, lanes, parts, weight};

/// Memory that [`decode`] uses again.
#[derive(Debug, Default)]
pub(in super::super) struct Memory {
    padded: Vec<u8>,
    table: Vec<State>,
    bins: Vec<Bin>,
    weights: Vec<u32>,
    frequencies: Vec<u32>,
}

/// Fills `values` with the first of `count` from what [`encode`](super::encode) wrote, and with all of them from the whole of it.
pub(in super::super) fn decode(
    bytes: &[u8],
    count: usize,
    values: &mut [i64],
    memory: &mut Memory,
) -> Result<(), CodecError> {
    let mut bits = BitReader::new(bytes);
    let coded = Coded::read(&mut bits, memory)?;
    coded.values(bytes, bits, count, values, memory)
}

/// Fills `values` with some of `count` from what [`encode_parts`](super::encode_parts) wrote: from the first of a part on.
pub(in super::super) fn decode_parts(
    bytes: &[u8],
    count: usize,
    part: usize,
    values: &mut [i64],
    memory: &mut Memory,
) -> Result<(), CodecError> {
    let mut bits = BitReader::new(bytes);
    let coded = Coded::read(&mut bits, memory)?;
    let mut reader = Reader::new(bytes);
    reader.take(bits.position().div_ceil(8))?;
    let last = parts(count) - 1;
    let mut lengths = reader.clone();
    for _ in 0..last {
        reader.varint()?;
    }
    let mut rest = values;
    for at in 0..=last {
        let is_last = at == last;
        let bytes = if is_last {
            reader.rest()
        } else {
            let length = lengths.length(usize::MAX, "bytes")?;
            reader.take(length)?
        };
        if at < part {
            continue;
        }
        let own = if is_last { count - at * PART } else { PART };
        let (wanted, behind) = rest.split_at_mut(own.min(rest.len()));
        coded.values(bytes, BitReader::new(bytes), own, wanted, memory)?;
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    Ok(())
}

/// How values are coded whose table is in memory.
#[derive(Clone, Copy)]
struct Coded {
    log: u32,
    /// A value's extra bits and those of its state come from one word.
    narrow: bool,
}

impl Coded {
    /// Reads the table.
    fn read(bits: &mut BitReader<'_>, memory: &mut Memory) -> Result<Self, CodecError> {
        let Memory { table, bins, weights, frequencies, .. } = memory;
        let division = if bits.get(1)? == 1 {
            Division::Linear { shift: bits.get_small(6)? }
        } else {
            Division::Log { steps: bits.get_small(2)?, signed: bits.get(1)? == 1 }
        };
        let log = MIN_LOG + bits.get_small(3)?;
        let classes = bits.get_gamma()? + 1;
        if log > MAX_LOG || classes > MAX_CLASSES as u64 {
            return Err(CodecError::Malformed("table of classes"));
        }
        bins.clear();
        weights.clear();
        let mut next = 0_u64;
        let mut widest = 0;
        for _ in 0..classes {
            let class = next + bits.get_gamma()? - 1;
            let bin = division.bin(class).ok_or(CodecError::Malformed("unknown class"))?;
            widest = widest.max(bin.extra);
            bins.push(bin);
            weights.push(weight(bits.get(WEIGHT_BITS)?));
            next = class + 1;
        }
        ans::normalise(weights, log, frequencies)?;
        ans::decoder(frequencies, bins, log, table);
        Ok(Self { log, narrow: u32::from(widest) + log <= PEEKED })
    }

    /// Fills `values` with the first of `count`: from where `bits` stand, and up to the end of `bytes` if it is all of
    /// them.
    fn values(
        self,
        bytes: &[u8],
        mut bits: BitReader<'_>,
        count: usize,
        values: &mut [i64],
        memory: &mut Memory,
    ) -> Result<(), CodecError> {
        let Memory { padded, table, .. } = memory;
        let table = <&[State; STATES]>::try_from(table.as_slice()).map_err(|_| CodecError::Truncated)?;
        let lanes = lanes(count);
        let mut states = [0_usize; 4];
        for state in states.iter_mut().take(lanes) {
            *state = bits.get_small(self.log)? as usize;
        }
        let at = bits.position();
        // Few bytes may hold many values: words that reach beyond them must not be the slow case.
        padded.clear();
        padded.extend_from_slice(bytes);
        padded.extend_from_slice(&[0; PADDING]);
        let whole = values.len() == count;
        // The last value of a lane leads to no other.
        let (led, ends) = values.split_at_mut(values.len().min(count.saturating_sub(lanes)));
        let at = match (lanes, self.narrow) {
            (1, true) => run::<1, true>(padded, at, table, states, led, ends),
            (2, true) => run::<2, true>(padded, at, table, states, led, ends),
            (_, true) => run::<4, true>(padded, at, table, states, led, ends),
            (1, false) => run::<1, false>(padded, at, table, states, led, ends),
            (2, false) => run::<2, false>(padded, at, table, states, led, ends),
            (_, false) => run::<4, false>(padded, at, table, states, led, ends),
        };
        if !whole || at.div_ceil(8) == bytes.len() { Ok(()) } else { Err(CodecError::Truncated) }
    }
}

/// The inner loop; returns the bit behind the last. Reading past the end gives zeros, which the caller notices.
/// `NARROW`: a value's extra bits and those of its state come from one word.
fn run<const LANES: usize, const NARROW: bool>(
    bytes: &[u8],
    mut at: usize,
    table: &[State; STATES],
    states: [usize; 4],
    led: &mut [i64],
    ends: &mut [i64],
) -> usize {
    let mut states: [usize; LANES] = std::array::from_fn(|lane| states[lane]);
    let mut lane = led.len() % LANES;
    let mut rounds = led.chunks_exact_mut(LANES);
    let step = |at: &mut usize, state: &mut usize, value: &mut i64| {
        let State { base, extra, bits, next } = table[*state % STATES];
        let word = peek(bytes, *at);
        *value = base.wrapping_add(low(word, extra).cast_signed());
        let word = if NARROW { word >> (extra % 64) } else { peek(bytes, *at + usize::from(extra)) };
        *state = usize::from(next) + index(low(word, bits));
        *at += usize::from(extra) + usize::from(bits);
    };
    for round in &mut rounds {
        let met: [State; LANES] = std::array::from_fn(|lane| table[states[lane] % STATES]);
        let width: usize = met.iter().map(|state| usize::from(state.extra) + usize::from(state.bits)).sum();
        if LANES == 1 || width > PEEKED as usize {
            for (value, state) in round.iter_mut().zip(&mut states) {
                step(&mut at, state, value);
            }
            continue;
        }
        // Mostly, all of a round comes from one word.
        let word = peek(bytes, at);
        let mut taken = 0;
        for ((value, state), State { base, extra, bits, next }) in round.iter_mut().zip(&mut states).zip(met)
        {
            *value = base.wrapping_add(low(word >> (taken % 64), extra).cast_signed());
            taken += extra;
            *state = usize::from(next) + index(low(word >> (taken % 64), bits));
            taken += bits;
        }
        at += width;
    }
    for (value, state) in rounds.into_remainder().iter_mut().zip(&mut states) {
        step(&mut at, state, value);
    }
    for value in ends {
        let State { base, extra, .. } = table[states[lane] % STATES];
        *value = base.wrapping_add(low(peek(bytes, at), extra).cast_signed());
        at += usize::from(extra);
        lane = (lane + 1) % LANES;
    }
    at
}

/// Words of so many ones.
const ONES: [u64; 64] = {
    let mut ones = [0; 64];
    let mut bits = 1;
    while bits < 64 {
        ones[bits] = ones[bits - 1] << 1 | 1;
        bits += 1;
    }
    ones
};

/// The lowest bits of a word. A look-up takes less than a shift by any number does.
#[inline]
fn low(word: u64, bits: u8) -> u64 {
    word & ONES[usize::from(bits) % 64]
}

#[inline]
#[allow(clippy::cast_possible_truncation)]
fn index(small: u64) -> usize {
    small as usize
}

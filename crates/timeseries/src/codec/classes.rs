//! Integers by classes: what class a value is in is entropy-coded, where it is within the class follows as plain bits.
//!
//! Classes are fine near zero and coarse far from it (so many to each power of two, for either sign), or all of one
//! power of two in width, for the bits of floats. A chunk's table costs about six bits a class.
//!
//! ```text
//! bits: 1 linear · linear: 6 shift, else 2 steps, 1 signed · 3 L − 5 · gamma classes − 1
//!       a class: gamma distance from the one before · 5 weight
//!       lanes × L first states
//!       a value: extra bits of its class · bits to its lane's next state
//! ```

use super::ans::{self, MAX_LOG, MIN_LOG, STATES, State};
use super::bits::{BitReader, BitWriter, PEEKED, peek};
use super::ints::FEW;
use super::{CodecError, Effort, PADDING};

/// Most classes of a table.
const MAX_CLASSES: usize = 255;
/// Bits of a class that are stored plainly; more would not fit one [`peek`].
const MAX_EXTRA: u32 = 56;
/// Finest division of a power of two: by 2 to the power of this.
const MAX_STEPS: u32 = 3;
const QUICK_STEPS: u32 = 1;
/// Room to count classes in.
const COUNTED: usize = 1024;
/// Finest of the linear classes that are tried, and how many times they may be twice as wide.
const FLOAT_SHIFT: u32 = 48;
const FLOAT_SHIFTS: u32 = 5;
const WEIGHT_BITS: u32 = 5;

/// A range of values: `base` and the `2 ^ extra − 1` behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) base: i64,
    pub(super) extra: u8,
}

/// How values are divided into classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Division {
    /// So many steps (a power of two) to each power of two; classes of negative values only if there are any.
    Log { steps: u32, signed: bool },
    /// Values without sign, shifted.
    Linear { shift: u32 },
}

impl Division {
    #[inline]
    #[allow(clippy::cast_possible_truncation)]
    fn class(self, value: i64) -> u32 {
        match self {
            Self::Log { steps, signed } => {
                let class = log_class(value.unsigned_abs(), steps);
                if signed { class << 1 | u32::from(value < 0) } else { class }
            }
            Self::Linear { shift } => (value.cast_unsigned() >> shift) as u32,
        }
    }

    /// The values of a class; `None` if there is no such class.
    #[allow(clippy::cast_possible_truncation)]
    fn bin(self, class: u64) -> Option<Bin> {
        match self {
            Self::Log { steps, signed } => {
                let (class, negative) = if signed { (class >> 1, class & 1 == 1) } else { (class, false) };
                let extra =
                    u32::try_from((class >> steps).saturating_sub(1)).ok().filter(|e| *e <= MAX_EXTRA)?;
                let base = (class - (u64::from(extra) << steps)) << extra;
                let last = base | ((1 << extra) - 1);
                let base = if negative { last.cast_signed().wrapping_neg() } else { base.cast_signed() };
                Some(Bin { base, extra: extra as u8 })
            }
            Self::Linear { shift } => {
                let base = Some(class).filter(|class| *class <= u64::MAX >> shift)? << shift;
                (shift <= MAX_EXTRA).then_some(Bin { base: base.cast_signed(), extra: shift as u8 })
            }
        }
    }
}

#[inline]
fn log_class(magnitude: u64, steps: u32) -> u32 {
    let extra = (63 - steps).saturating_sub((magnitude | 1).leading_zeros());
    // At most 2 to the power of `steps + 1`.
    (extra << steps) + u32::try_from(magnitude >> extra).unwrap_or(0)
}

/// A way to encode certain values, and what it is expected to take.
#[derive(Debug)]
pub(super) struct Plan {
    division: Division,
    /// Classes that occur, ascending, and how often.
    counts: Vec<(u32, u32)>,
    pub(super) size: usize,
}

/// The best division of values, `None` if classes do not suit them. `floats` says that they are bits of floats.
pub(super) fn plan(values: &[i64], floats: bool, effort: Effort) -> Option<Plan> {
    let log = plan_log(values, effort);
    let linear = if floats { plan_linear(values) } else { None };
    log.into_iter().chain(linear).min_by_key(|plan| plan.size)
}

fn plan_log(values: &[i64], effort: Effort) -> Option<Plan> {
    let signed = values.iter().fold(0, |any, value| any | value) < 0;
    let steps = match effort {
        Effort::Quick => QUICK_STEPS,
        Effort::Small => MAX_STEPS,
    };
    let finest = Division::Log { steps, signed };
    let mut dense = [0_u32; COUNTED];
    for value in values {
        dense[finest.class(*value) as usize % COUNTED] += 1;
    }
    let counts: Vec<(u32, u32)> = (0..).zip(dense).filter(|(_, count)| *count > 0).collect();
    let mut finer = plan_of(finest, counts, values.len())?;
    let mut best: Option<Plan> = None;
    for steps in (0..steps).rev() {
        let coarser = coarser(&finer, Division::Log { steps, signed }, values.len());
        if finer.size < best.as_ref().map_or(usize::MAX, |best| best.size) {
            best = Some(finer);
        }
        match coarser {
            Some(coarser) => finer = coarser,
            None => return best,
        }
    }
    best.into_iter().chain([finer]).min_by_key(|plan| plan.size)
}

/// The same values in a coarser division.
fn coarser(finer: &Plan, division: Division, values: usize) -> Option<Plan> {
    let mut counts: Vec<(u32, u32)> = Vec::with_capacity(finer.counts.len());
    for (class, count) in &finer.counts {
        let bin = finer.division.bin(u64::from(*class))?;
        // Both ends of a bin lie in the same coarser bin, so any value of it tells the class.
        let class = division.class(bin.base);
        // Classes of either sign alternate.
        match counts.iter_mut().rev().take(2).find(|(known, _)| *known == class) {
            Some((_, sum)) => *sum += count,
            None => counts.push((class, *count)),
        }
    }
    counts.sort_unstable();
    plan_of(division, counts, values)
}

fn plan_linear(values: &[i64]) -> Option<Plan> {
    let finest = Division::Linear { shift: FLOAT_SHIFT };
    let least = values.iter().map(|value| finest.class(*value)).min()?;
    let mut dense = vec![0_u32; COUNTED * 4];
    for value in values {
        *dense.get_mut((finest.class(*value) - least) as usize)? += 1;
    }
    let mut counts: Vec<(u32, u32)> = (least..).zip(dense).filter(|(_, count)| *count > 0).collect();
    let mut best: Option<Plan> = None;
    for shift in FLOAT_SHIFT..FLOAT_SHIFT + FLOAT_SHIFTS {
        let plan = plan_of(Division::Linear { shift }, counts.clone(), values.len());
        best = best.into_iter().chain(plan).min_by_key(|plan| plan.size);
        counts.dedup_by(|(class, count), (before, sum)| {
            let same = *class >> 1 == *before >> 1;
            *sum += if same { *count } else { 0 };
            same
        });
        counts.iter_mut().for_each(|(class, _)| *class >>= 1);
    }
    best
}

/// What values take whose classes were counted; the size is beyond everything if there are too few or too many
/// classes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn plan_of(division: Division, counts: Vec<(u32, u32)>, values: usize) -> Option<Plan> {
    let (mut plain, mut entropy) = (0_u64, values as f32 * log2(values as u32));
    for (class, count) in &counts {
        let bin = division.bin(u64::from(*class))?;
        plain += u64::from(*count) * u64::from(bin.extra);
        entropy -= *count as f32 * log2(*count);
    }
    if !(2..=MAX_CLASSES).contains(&counts.len()) {
        return Some(Plan { division, counts, size: usize::MAX });
    }
    let log = log_for(values, counts.len());
    let table = 14 + counts.len() * (WEIGHT_BITS as usize + 2) + lanes(values) * log as usize;
    // Rounded weights, and states that are not quite random.
    let size = (table + plain as usize + (entropy * 1.01) as usize).div_ceil(8);
    Some(Plan { division, counts, size })
}

/// Within a hundredth, which is all that a comparison needs.
#[allow(clippy::cast_precision_loss)]
pub(super) fn log2(value: u32) -> f32 {
    let bits = (value as f32).to_bits();
    let exponent = (bits >> 23) as f32 - 127.0;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    exponent + (2.0 - mantissa / 3.0) * mantissa - 5.0 / 3.0
}

fn log_for(values: usize, classes: usize) -> u32 {
    // Few values get half as many states, since the reader makes them before the first value.
    let log = (values | 2).ilog2() - u32::from(values < FEW);
    let for_values = log.clamp(MIN_LOG + 1, if values > 8192 { MAX_LOG } else { 9 });
    for_values.max((classes | 1).ilog2() + 2)
}

/// Independent states in turn: more of them decode faster, and each costs a first state.
fn lanes(values: usize) -> usize {
    match values {
        0..96 => 1,
        96..384 => 2,
        _ => 4,
    }
}

/// A class's share as it is stored: `2 ^ (n / 2)`, or half as much again for odd `n`.
fn weight(level: u64) -> u32 {
    (2 + u32::from(level & 1 == 1)) << (level >> 1)
}

#[allow(clippy::cast_possible_truncation)]
fn level(count: u32) -> u64 {
    let exponent = count.max(1).ilog2();
    // The geometric means of neighbouring weights are where one turns into the next.
    let fraction = (u64::from(count.max(1)) << 10) >> exponent;
    u64::from(exponent * 2)
        + if fraction < 1254 {
            0
        } else if fraction < 1774 {
            1
        } else {
            2
        }
}

/// Appends `values`, of which `plan` was made.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn encode(values: &[i64], plan: &Plan, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let Plan { division, counts, .. } = plan;
    let least = counts.first().map_or(0, |(class, _)| *class);
    let span = counts.last().map_or(0, |(class, _)| class - least + 1);
    let mut symbols = vec![0_u8; span as usize];
    let (mut bins, mut weights, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let excess = (most.ilog2() + 1).saturating_sub(15);
    for (class, count) in counts {
        symbols[(class - least) as usize] = bins.len() as u8;
        let class = u64::from(*class);
        bins.push(division.bin(class).ok_or(CodecError::Malformed("unknown class"))?);
        let level = level(count >> excess);
        weights.push(weight(level));
        levels.push((class, level));
    }
    let log = log_for(values.len(), bins.len());
    let mut frequencies = Vec::new();
    ans::normalise(&weights, log, &mut frequencies)?;

    let mut bits = BitWriter::new(out);
    match division {
        Division::Log { steps, signed } => {
            bits.put(u64::from(*steps) << 1, 3);
            bits.put(u64::from(*signed), 1);
        }
        Division::Linear { shift } => bits.put(1 | u64::from(*shift) << 1, 7),
    }
    bits.put(u64::from(log - MIN_LOG), 3);
    bits.put_gamma(bins.len() as u64 - 1);
    let mut before = 0;
    for (class, level) in levels {
        bits.put_gamma(class + 1 - before);
        bits.put(level, WEIGHT_BITS);
        before = class + 1;
    }

    let mut encoder = ans::Encoder::default();
    encoder.prepare(&frequencies, log);
    let lanes = lanes(values.len());
    let mut states = [0_u32; 4];
    let mut steps = vec![(0_u32, 0_u32, 0_u8); values.len()];
    for (row, (value, step)) in values.iter().zip(&mut steps).enumerate().rev() {
        let symbol = symbols[(division.class(*value) - least) as usize];
        let state = &mut states[row % lanes];
        *step = if row + lanes >= values.len() {
            *state = encoder.last(usize::from(symbol), &frequencies);
            (0, 0, symbol)
        } else {
            let (before, low, width) = encoder.back(*state, usize::from(symbol));
            *state = before;
            (low, width, symbol)
        };
    }
    let mask = (1 << log) - 1;
    states.iter().take(lanes).for_each(|state| bits.put(u64::from(state & mask), log));
    for (value, (low, width, symbol)) in values.iter().zip(steps) {
        let bin = bins[usize::from(symbol)];
        let within = value.wrapping_sub(bin.base).cast_unsigned();
        if u32::from(bin.extra) + width <= 64 {
            bits.put(
                within | u64::from(low).checked_shl(bin.extra.into()).unwrap_or(0),
                u32::from(bin.extra) + width,
            );
        } else {
            bits.put(within, bin.extra.into());
            bits.put(low.into(), width);
        }
    }
    bits.finish();
    Ok(())
}

/// Memory that [`decode`] uses again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    padded: Vec<u8>,
    table: Vec<State>,
    bins: Vec<Bin>,
    weights: Vec<u32>,
    frequencies: Vec<u32>,
}

/// Fills `values` from the whole of what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8], values: &mut [i64], memory: &mut Memory) -> Result<(), CodecError> {
    let Memory { padded, table, bins, weights, frequencies } = memory;
    let mut bits = BitReader::new(bytes);
    let division = if bits.get(1)? == 1 {
        Division::Linear { shift: bits.get_small(6)? }
    } else {
        Division::Log { steps: bits.get_small(2)?, signed: bits.get(1)? == 1 }
    };
    let log = MIN_LOG + bits.get_small(3)?;
    let classes = bits.get_gamma()? + 1;
    if log > MAX_LOG || classes > MAX_CLASSES as u64 || values.is_empty() {
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
    let table = <&[State; STATES]>::try_from(table.as_slice()).map_err(|_| CodecError::Truncated)?;

    let lanes = lanes(values.len());
    let mut states = [0_usize; 4];
    for state in states.iter_mut().take(lanes) {
        *state = bits.get_small(log)? as usize;
    }
    let at = bits.position();
    // Few bytes may hold many values: words that reach beyond them must not be the slow case.
    padded.clear();
    padded.extend_from_slice(bytes);
    padded.extend_from_slice(&[0; PADDING]);
    let narrow = u32::from(widest) + log <= PEEKED;
    let at = match (lanes, narrow) {
        (1, true) => run::<1, true>(padded, at, table, states, values),
        (2, true) => run::<2, true>(padded, at, table, states, values),
        (_, true) => run::<4, true>(padded, at, table, states, values),
        (1, false) => run::<1, false>(padded, at, table, states, values),
        (2, false) => run::<2, false>(padded, at, table, states, values),
        (_, false) => run::<4, false>(padded, at, table, states, values),
    };
    if at.div_ceil(8) == bytes.len() { Ok(()) } else { Err(CodecError::Truncated) }
}

/// The inner loop; returns the bit behind the last. Reading past the end gives zeros, which the caller notices.
/// `NARROW`: a value's extra bits and those of its state come from one word.
#[allow(clippy::cast_possible_truncation)]
fn run<const LANES: usize, const NARROW: bool>(
    bytes: &[u8],
    mut at: usize,
    table: &[State; STATES],
    states: [usize; 4],
    values: &mut [i64],
) -> usize {
    let mut states: [usize; LANES] = std::array::from_fn(|lane| states[lane]);
    let (rounds, last) = values.split_at_mut(values.len().saturating_sub(LANES));
    let mut lane_of_last = rounds.len() % LANES;
    let mut rounds = rounds.chunks_exact_mut(LANES);
    let step = |at: &mut usize, state: &mut usize, value: &mut i64| {
        let State { base, extra, bits, next } = table[*state % STATES];
        let (extra, bits) = (u32::from(extra), u32::from(bits));
        let word = peek(bytes, *at);
        *value = base.wrapping_add((word & !(u64::MAX << extra)).cast_signed());
        let word = if NARROW { word >> extra } else { peek(bytes, *at + extra as usize) };
        *state = usize::from(next) + (word & !(u64::MAX << bits)) as usize;
        *at += (extra + bits) as usize;
    };
    for round in &mut rounds {
        for (value, state) in round.iter_mut().zip(&mut states) {
            step(&mut at, state, value);
        }
    }
    for (value, state) in rounds.into_remainder().iter_mut().zip(&mut states) {
        step(&mut at, state, value);
    }
    for value in last {
        let State { base, extra, .. } = table[states[lane_of_last] % STATES];
        *value = base.wrapping_add((peek(bytes, at) & !(u64::MAX << extra)).cast_signed());
        at += usize::from(extra);
        lane_of_last = (lane_of_last + 1) % LANES;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[i64], floats: bool) -> Option<usize> {
        check_with(values, floats, Effort::Quick);
        check_with(values, floats, Effort::Small)
    }

    fn check_with(values: &[i64], floats: bool, effort: Effort) -> Option<usize> {
        let plan = plan(values, floats, effort).filter(|plan| plan.size < usize::MAX)?;
        let mut out = Vec::new();
        encode(values, &plan, &mut out).unwrap();
        assert!(out.len() <= plan.size + plan.size / 8 + 12, "{} planned {}", out.len(), plan.size);
        let mut decoded = vec![7; values.len()];
        decode(&out, &mut decoded, &mut Memory::default()).unwrap();
        assert_eq!(decoded, values);
        Some(out.len())
    }

    #[test]
    fn each_value_lies_in_the_bin_of_its_class() {
        let near = |value: i64| (-3..=3).map(move |by| value.wrapping_add(by));
        let values = (0..57).flat_map(|bit| near(1 << bit).chain(near(-1 << bit))).chain(near(0));
        for value in values.filter(|value| value.unsigned_abs() < 1 << 57) {
            for steps in 0..=MAX_STEPS {
                for signed in [value < 0, true] {
                    let division = Division::Log { steps, signed };
                    let bin = division.bin(division.class(value).into()).unwrap();
                    let within = value.wrapping_sub(bin.base).cast_unsigned();
                    assert!(within < 1 << bin.extra, "{value} {division:?} {bin:?}");
                }
            }
        }
    }

    #[test]
    fn rare_symbols_make_frequent_ones_cheap() {
        let rare: Vec<i64> = (0..1440).map(|i| if i % 97 == 0 { 1_000_000 + i } else { 0 }).collect();
        assert!(check(&rare, false).unwrap() < 80);
        let few: Vec<i64> = (0..240).map(|i| (i * i % 11) - 5).collect();
        assert!(check(&few, false).unwrap() < 110);
        assert_eq!(check(&[3; 50], false), None);
        assert_eq!(check(&[], false), None);
    }

    #[test]
    fn weights_are_near_the_counts_they_stand_for() {
        for count in 1..32_768_u32 {
            let stored = f64::from(weight(level(count))) / 2.0;
            let ratio = stored / f64::from(count);
            assert!((0.8..=1.25).contains(&ratio), "{count} as {stored}");
            assert!(level(count) < 32);
        }
    }

    proptest! {
        #[test]
        fn any_integers_come_back(
            values in prop::collection::vec(
                prop_oneof![
                    3 => -50_i64..50,
                    1 => any::<i64>().prop_map(|value| value >> 8),
                    2 => any::<i32>().prop_map(i64::from),
                ],
                0..500,
            ),
            floats in any::<bool>(),
        ) {
            check(&values, floats);
        }

        #[test]
        fn bits_of_floats_come_back(values in prop::collection::vec(0.01_f64..100.0, 2..500)) {
            let bits: Vec<i64> = values.iter().map(|value| value.to_bits().cast_signed()).collect();
            check(&bits, true);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), rows in 0_usize..600) {
            // Whatever comes of it.
            let mut values = vec![0; rows];
            prop_assert!(decode(&bytes, &mut values, &mut Memory::default()).is_ok() || rows < 600);
        }
    }
}

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
//! in parts: bits of the table · varint bytes of each part but the last · parts: bits of states and values
//! ```
//!
//! Values before others can only be skipped by reading them. Where there are many, they come in parts of one table that
//! are read apart.

use super::ans::{self, MAX_LOG, MIN_LOG};
use super::bits::BitWriter;
use super::bytes::put_varint;
use super::ints::FEW;
use super::{CodecError, Effort};

mod decode;

pub(super) use decode::{Memory, decode, decode_parts};

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
    /// Whether halving the classes pays even where they are finest, or no division fits: values crowd at places that
    /// none into steps knows of.
    pub(super) is_too_coarse: bool,
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
        finer.is_too_coarse |=
            best.is_none() && coarser.as_ref().is_some_and(|coarser| pays(&finer, coarser));
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

/// Whether a division takes less than one twice as coarse by more than chance.
fn pays(finer: &Plan, coarser: &Plan) -> bool {
    finer.size < coarser.size - coarser.size / 64
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
        if let (Some(finest), Some(plan)) = (&mut best, &plan)
            && shift == FLOAT_SHIFT + 1
        {
            finest.is_too_coarse = pays(finest, plan);
        }
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
        return Some(Plan { division, counts, size: usize::MAX, is_too_coarse: true });
    }
    let log = log_for(values, counts.len());
    let table = 14 + counts.len() * (WEIGHT_BITS as usize + 2) + lanes(values) * log as usize;
    // Rounded weights, and states that are not quite random.
    let size = (table + plain as usize + (entropy * 1.01) as usize).div_ceil(8);
    Some(Plan { division, counts, size, is_too_coarse: false })
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

/// Values of a part; the last one has what is over as well.
pub(super) const PART: usize = 1_024;

/// How many parts so many values have.
pub(super) const fn parts(values: usize) -> usize {
    if values < 2 * PART { 1 } else { values / PART }
}

/// The part that a value lies in, of so many values.
pub(super) fn part_of(value: usize, values: usize) -> usize {
    (value / PART).min(parts(values) - 1)
}

/// Appends `values`, of which `plan` was made.
pub(super) fn encode(values: &[i64], plan: &Plan, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let coder = Coder::new(values.len(), plan)?;
    let mut bits = BitWriter::new(out);
    coder.write_table(&mut bits);
    coder.write(values, &mut bits);
    bits.finish();
    Ok(())
}

/// [`encode`] in parts that can be read apart.
pub(super) fn encode_parts(values: &[i64], plan: &Plan, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let coder = Coder::new(values.len(), plan)?;
    let mut bits = BitWriter::new(out);
    coder.write_table(&mut bits);
    bits.finish();
    let (mut bodies, mut rest) = (Vec::new(), values);
    for left in (0..parts(values.len())).rev() {
        let (part, behind) = rest.split_at(if left == 0 { rest.len() } else { PART });
        rest = behind;
        let start = bodies.len();
        let mut bits = BitWriter::new(&mut bodies);
        coder.write(part, &mut bits);
        bits.finish();
        if left > 0 {
            put_varint(out, (bodies.len() - start) as u64);
        }
    }
    out.extend_from_slice(&bodies);
    Ok(())
}

/// Writes values of one division and table.
struct Coder {
    division: Division,
    log: u32,
    least: u32,
    /// The symbol of each class from the least on.
    symbols: Vec<u8>,
    bins: Vec<Bin>,
    /// Class and stored weight of each symbol.
    levels: Vec<(u64, u64)>,
    frequencies: Vec<u32>,
    encoder: ans::Encoder,
}

impl Coder {
    #[allow(clippy::cast_possible_truncation)]
    fn new(values: usize, Plan { division, counts, .. }: &Plan) -> Result<Self, CodecError> {
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
        let log = log_for(values, bins.len());
        let mut frequencies = Vec::new();
        ans::normalise(&weights, log, &mut frequencies)?;
        let mut encoder = ans::Encoder::default();
        encoder.prepare(&frequencies, log);
        Ok(Self { division: *division, log, least, symbols, bins, levels, frequencies, encoder })
    }

    fn write_table(&self, bits: &mut BitWriter<'_>) {
        match self.division {
            Division::Log { steps, signed } => {
                bits.put(u64::from(steps) << 1, 3);
                bits.put(u64::from(signed), 1);
            }
            Division::Linear { shift } => bits.put(1 | u64::from(shift) << 1, 7),
        }
        bits.put(u64::from(self.log - MIN_LOG), 3);
        bits.put_gamma(self.bins.len() as u64 - 1);
        let mut before = 0;
        for (class, level) in &self.levels {
            bits.put_gamma(class + 1 - before);
            bits.put(*level, WEIGHT_BITS);
            before = class + 1;
        }
    }

    /// Writes first states and values.
    fn write(&self, values: &[i64], bits: &mut BitWriter<'_>) {
        let Self { division, log, least, symbols, bins, frequencies, encoder, .. } = self;
        let lanes = lanes(values.len());
        let mut states = [0_u32; 4];
        let mut steps = vec![(0_u32, 0_u32, 0_u8); values.len()];
        for (row, (value, step)) in values.iter().zip(&mut steps).enumerate().rev() {
            let symbol = symbols[(division.class(*value) - least) as usize];
            let state = &mut states[row % lanes];
            *step = if row + lanes >= values.len() {
                *state = encoder.last(usize::from(symbol), frequencies);
                (0, 0, symbol)
            } else {
                let (before, low, width) = encoder.back(*state, usize::from(symbol));
                *state = before;
                (low, width, symbol)
            };
        }
        let mask = (1 << log) - 1;
        states.iter().take(lanes).for_each(|state| bits.put(u64::from(state & mask), *log));
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
    }
}

#[cfg(test)]
mod tests;

//! What is predictable of a run of integers: their level, slope and common factor. What is left is coded by others.
//!
//! ```text
//! u8: order (2 bits) · 4 centre follows · 8 factor follows · 16 and 32: how the rest is coded
//! varint first value (orders above 0) · varint first difference (order 2) or slope (order 3)
//! varint centre · scaled factor
//! ```
//!
//! Where residuals are coded in parts, what the values stand at before each part but the first follows.

use super::bytes::{Reader, put_scaled, put_varint, unzigzag, varint_len, zigzag};
use super::classes::log2;
use super::{CodecError, Effort};

const ORDER_BITS: u8 = 0b11;
const CENTRE: u8 = 0b100;
const FACTOR: u8 = 0b1000;
/// The bits of the first byte that are the caller's, and the highest number it puts there.
pub(super) const CODING_SHIFT: u32 = 4;
const MAX_CODING: u8 = 4;

/// Rows that are looked at together to guess what suits all, and how many times that is done.
const WINDOW: usize = 64;
const QUICK_WINDOWS: usize = 1;
const SMALL_WINDOWS: usize = 16;

/// What integers stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values of a metric, decimal places shifted away.
    Values,
    /// Bits of floats, in the order of the values.
    Floats,
    /// Nanoseconds.
    Times,
}

/// What is subtracted from values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    Values,
    /// The value before.
    Differences,
    /// The value before and the difference before.
    Second,
    /// A line through the first value.
    Line(i64),
}

/// Residuals of values: `(value − prediction − centre) ÷ factor`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trend {
    order: Order,
    first: i64,
    /// First difference; of [`Order::Second`] alone.
    second: i64,
    centre: i64,
    factor: i64,
}

/// What the next value is reckoned from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    at: i64,
    step: i64,
}

impl Order {
    /// Values at the front that have no residual.
    fn heads(self) -> usize {
        match self {
            Self::Values => 0,
            Self::Differences | Self::Line(_) => 1,
            Self::Second => 2,
        }
    }

    fn residuals(self, values: &[i64], out: &mut Vec<i64>) {
        let differences = |(a, b): (&i64, &i64)| b.wrapping_sub(*a);
        let later = values.get(1..).unwrap_or_default();
        match self {
            Self::Values => out.extend_from_slice(values),
            Self::Differences => out.extend(values.iter().zip(later).map(differences)),
            Self::Second => out.extend(values.windows(3).map(|window| match window {
                [a, b, c] => c.wrapping_sub(*b).wrapping_sub(b.wrapping_sub(*a)),
                _ => 0,
            })),
            Self::Line(slope) => {
                let mut at = values.first().copied().unwrap_or(0);
                out.extend(later.iter().map(|value| {
                    at = at.wrapping_add(slope);
                    value.wrapping_sub(at)
                }));
            }
        }
    }
}

/// Finds what predicts `values` well, and puts what is left into `residuals`.
pub(super) fn find(values: &[i64], kind: Kind, effort: Effort, residuals: &mut Vec<i64>) -> Trend {
    let (order, centre) = guess(values, kind, effort, residuals);
    residuals.clear();
    order.residuals(values, residuals);
    let mut any = 0;
    for value in residuals.iter_mut() {
        *value = value.wrapping_sub(centre);
        any |= *value;
    }
    let factor = common_factor(residuals, any);
    if factor > 1 {
        if factor & (factor - 1) == 0 {
            let shift = factor.trailing_zeros();
            residuals.iter_mut().for_each(|value| *value >>= shift);
        } else {
            residuals.iter_mut().for_each(|value| *value /= factor);
        }
    }
    let first = values.first().copied().unwrap_or(0);
    let second = values.get(1).map_or(0, |second| second.wrapping_sub(first));
    Trend { order, first, second, centre, factor }
}

/// Order and centre that promise the fewest bits, by a look at some windows.
fn guess(values: &[i64], kind: Kind, effort: Effort, scratch: &mut Vec<i64>) -> (Order, i64) {
    let quick = effort == Effort::Quick;
    let windows = if quick { QUICK_WINDOWS } else { SMALL_WINDOWS };
    let all = values.len() <= windows * WINDOW;
    let (stride, length) =
        if all { (values.len().max(1), values.len()) } else { (values.len() / windows, WINDOW) };
    let sample = |order: Order, out: &mut Vec<i64>| {
        out.clear();
        for window in values.chunks(stride).take(windows) {
            order.residuals(window.get(..length.min(window.len())).unwrap_or_default(), out);
        }
    };
    let mut best = (f32::INFINITY, Order::Values, 0);
    let mut consider = |order, centre, cost: f32| {
        if cost < best.0 {
            best = (cost, order, centre);
        }
    };
    sample(Order::Differences, scratch);
    consider(Order::Differences, 0, cost(scratch, 0));
    let slope = median(scratch);
    if slope != 0 && (!quick || kind == Kind::Times) {
        consider(Order::Differences, slope, cost(scratch, slope));
        sample(Order::Second, scratch);
        consider(Order::Second, 0, cost(scratch, 0));
        // Over windows, a line would have to start anew in each.
        scratch.clear();
        Order::Line(slope).residuals(values, scratch);
        let centre = median(scratch);
        consider(Order::Line(slope), centre, cost(thin(scratch, windows * WINDOW), centre));
    }
    sample(Order::Values, scratch);
    let middle = median(scratch);
    consider(Order::Values, middle, cost(scratch, middle));
    if !quick {
        let least = values.iter().copied().min().unwrap_or(0);
        consider(Order::Values, least, cost(scratch, least));
    }
    (best.1, best.2)
}

/// Every so many-th value, in place.
fn thin(values: &mut Vec<i64>, wanted: usize) -> &[i64] {
    let step = (values.len() / wanted.max(1)).max(1);
    let kept = values.len() / step;
    for row in 0..kept {
        values[row] = values[row * step];
    }
    values.truncate(kept);
    values
}

/// Bits a value with the magnitudes of values around `centre` entropy-coded and the rest plain.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn cost(values: &[i64], centre: i64) -> f32 {
    let mut lengths = [0_u16; 65];
    let mut plain = 0_u32;
    for value in values {
        let length = 64 - zigzag(value.wrapping_sub(centre)).leading_zeros();
        lengths[length as usize] += 1;
        plain += length.saturating_sub(1);
    }
    let count = values.len().max(1) as f32;
    let entropy: f32 = lengths
        .iter()
        .filter(|count| **count > 0)
        .map(|of_length| f32::from(*of_length) * log2(u32::from(*of_length)))
        .sum();
    (plain as f32 - entropy) / count + log2(values.len() as u32)
}

/// The middle one of some of the values.
fn median(values: &[i64]) -> i64 {
    let mut some = [0_i64; 33];
    let step = values.len().div_ceil(some.len()).max(1);
    let count = values.len().div_ceil(step);
    let some = some.split_at_mut(count.min(33)).0;
    some.iter_mut().zip(values.iter().step_by(step)).for_each(|(to, from)| *to = *from);
    some.sort_unstable();
    some.get(count / 2).copied().unwrap_or(0)
}

/// The greatest integer that divides all values, 1 if they are all 0. `any` has the bits that any of them has.
fn common_factor(values: &[i64], any: i64) -> i64 {
    if any == 0 {
        return 1;
    }
    let zeros = any.trailing_zeros().min(62);
    let mut odd = 0_u64;
    for value in values {
        let mut value = value.unsigned_abs() >> zeros;
        if value.is_multiple_of(odd) {
            continue;
        }
        while value != 0 {
            (odd, value) = (value, odd % value);
        }
        if odd == 1 {
            break;
        }
    }
    // Two to the power of 63 is no such factor, since only one value has it.
    i64::try_from(odd << zeros).unwrap_or(1)
}

impl Trend {
    /// Values as they are.
    pub(super) const fn none() -> Self {
        Self { order: Order::Values, first: 0, second: 0, centre: 0, factor: 1 }
    }

    /// Differences, less the zeros that all of them end with, which are put into `residuals`.
    pub(super) fn differences(values: &[i64], residuals: &mut Vec<i64>) -> Self {
        Order::Differences.residuals(values, residuals);
        let any = residuals.iter().fold(0, |any, value| any | value);
        let shift = if any == 0 { 0 } else { any.trailing_zeros().min(62) };
        residuals.iter_mut().for_each(|value| *value >>= shift);
        let first = values.first().copied().unwrap_or(0);
        Self { order: Order::Differences, first, factor: 1 << shift, ..Self::none() }
    }

    /// About how many bytes it takes more than [`none`](Self::none).
    pub(super) fn size(&self) -> usize {
        varint_len(zigzag(self.first)) + if self.factor == 1 { 0 } else { 2 }
    }

    /// Appends it; `coding` is at most [`MAX_CODING`].
    pub(super) fn write(&self, coding: u8, out: &mut Vec<u8>) {
        let order = match self.order {
            Order::Values => 0,
            Order::Differences => 1,
            Order::Second => 2,
            Order::Line(_) => 3,
        };
        let centre = if self.centre == 0 { 0 } else { CENTRE };
        let factor = if self.factor == 1 { 0 } else { FACTOR };
        out.push(order | centre | factor | coding << CODING_SHIFT);
        if self.order != Order::Values {
            put_varint(out, zigzag(self.first));
        }
        match self.order {
            Order::Second => put_varint(out, zigzag(self.second)),
            Order::Line(slope) => put_scaled(out, slope),
            Order::Values | Order::Differences => {}
        }
        if self.centre != 0 {
            put_varint(out, zigzag(self.centre));
        }
        if self.factor != 1 {
            put_scaled(out, self.factor);
        }
    }

    /// Reads what [`write`](Self::write) wrote, and the coding.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<(Self, u8), CodecError> {
        let byte = reader.byte()?;
        if byte >> CODING_SHIFT > MAX_CODING {
            return Err(CodecError::Malformed("unknown integers"));
        }
        let order = byte & ORDER_BITS;
        let first = if order == 0 { 0 } else { unzigzag(reader.varint()?) };
        let second = if order == 2 { unzigzag(reader.varint()?) } else { 0 };
        let order = match order {
            0 => Order::Values,
            1 => Order::Differences,
            2 => Order::Second,
            _ => Order::Line(reader.scaled()?),
        };
        let centre = if byte & CENTRE == 0 { 0 } else { unzigzag(reader.varint()?) };
        let factor = if byte & FACTOR == 0 { 1 } else { reader.scaled()? };
        Ok((Self { order, first, second, centre, factor }, byte >> CODING_SHIFT))
    }

    /// Number of residuals of so many values.
    pub(super) fn residuals(&self, values: usize) -> usize {
        values.saturating_sub(self.order.heads())
    }

    /// Where the first residual goes on from.
    fn start(&self) -> Cursor {
        let at = if self.order == Order::Second { self.first.wrapping_add(self.second) } else { self.first };
        Cursor { at, step: self.second }
    }

    /// Appends where each part but the first goes on from, of as many `values` as that many parts of `size` residuals
    /// have.
    pub(super) fn write_cursors(&self, values: &[i64], parts: usize, size: usize, out: &mut Vec<u8>) {
        let heads = self.order.heads();
        let mut before = self.start();
        for part in 1..parts {
            let Some([.., earlier, at]) = values.get(..part * size + heads) else { return };
            let cursor = Cursor { at: *at, step: at.wrapping_sub(*earlier) };
            match self.order {
                // These are known.
                Order::Values | Order::Line(_) => return,
                Order::Differences => put_varint(out, zigzag(cursor.at.wrapping_sub(before.at))),
                Order::Second => {
                    put_varint(out, zigzag(cursor.at.wrapping_sub(before.at)));
                    put_varint(out, zigzag(cursor.step.wrapping_sub(before.step)));
                }
            }
            before = cursor;
        }
    }

    /// Reads what [`write_cursors`](Self::write_cursors) wrote: where a part goes on from.
    pub(super) fn read_cursors(
        &self,
        reader: &mut Reader<'_>,
        parts: usize,
        size: usize,
        wanted: usize,
    ) -> Result<Cursor, CodecError> {
        let mut cursor = self.start();
        let mut found = cursor;
        for part in 1..parts {
            match self.order {
                Order::Values => break,
                Order::Line(slope) => {
                    let rows = i64::try_from(wanted * size).unwrap_or(0);
                    found.at = self.first.wrapping_add(slope.wrapping_mul(rows));
                    break;
                }
                Order::Differences => cursor.at = cursor.at.wrapping_add(unzigzag(reader.varint()?)),
                Order::Second => {
                    cursor.at = cursor.at.wrapping_add(unzigzag(reader.varint()?));
                    cursor.step = cursor.step.wrapping_add(unzigzag(reader.varint()?));
                }
            }
            if part == wanted {
                found = cursor;
            }
        }
        Ok(found)
    }

    /// Turns residuals, which stand behind room for the heads, into values in place.
    pub(super) fn restore(&self, values: &mut [i64]) {
        let (front, rest) = values.split_at_mut(self.order.heads().min(values.len()));
        let mut heads = [self.first, self.first.wrapping_add(self.second)].into_iter();
        front.iter_mut().zip(&mut heads).for_each(|(value, head)| *value = head);
        self.resume(self.start(), rest);
    }

    /// Turns residuals into values in place.
    pub(super) fn resume(&self, Cursor { mut at, mut step }: Cursor, rest: &mut [i64]) {
        let Self { centre, factor, .. } = *self;
        let own = |residual: i64| residual.wrapping_mul(factor).wrapping_add(centre);
        match self.order {
            Order::Values if factor == 1 => {
                rest.iter_mut().for_each(|value| *value = value.wrapping_add(centre))
            }
            Order::Values => rest.iter_mut().for_each(|value| *value = own(*value)),
            Order::Differences if factor == 1 && centre == 0 => rest.iter_mut().for_each(|value| {
                at = at.wrapping_add(*value);
                *value = at;
            }),
            Order::Differences => rest.iter_mut().for_each(|value| {
                at = at.wrapping_add(own(*value));
                *value = at;
            }),
            Order::Second => {
                rest.iter_mut().for_each(|value| {
                    step = step.wrapping_add(own(*value));
                    at = at.wrapping_add(step);
                    *value = at;
                });
            }
            Order::Line(slope) => rest.iter_mut().for_each(|value| {
                at = at.wrapping_add(slope);
                *value = at.wrapping_add(own(*value));
            }),
        }
    }
}

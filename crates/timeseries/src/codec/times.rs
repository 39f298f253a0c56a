//! Timestamps: a grid without gaps is two numbers, gaps are runs or bits beside it, anything else is integers.
//!
//! ```text
//! u8: decimal zeros of the step (5 bits) · kind (3 bits)
//! grids: varint step without its zeros · first, as a multiple of the step or with its own zeros apart
//!        gaps: varint steps from the first to the last · varint bytes · presence of each
//! others: varint bytes · integers of nanoseconds
//! ```

use std::ops::Range;

use nephos_model::Timestamp;

use crate::columns::Presence;

use super::bytes::{Reader, low_byte, put_scaled, put_varint, unzigzag, zigzag};
use super::trend::Kind;
use super::{CodecError, Effort, Scratch, ints, presence};

const GRID: u8 = 0;
const GAPS: u8 = 1;
const OTHER: u8 = 2;
/// The first timestamp is no multiple of the step.
const SHIFTED: u8 = 4;
const KIND_SHIFT: u32 = 5;
/// Beyond so many steps a row, gaps are not marked one by one.
const MAX_STEPS_PER_ROW: usize = 16;

/// Timestamps of a chunk as they are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times<'a> {
    /// Evenly spaced.
    Grid {
        first: i64,
        step: i64,
    },
    /// Evenly spaced over so many steps, those present alone.
    Gaps {
        first: i64,
        step: i64,
        steps: usize,
        presence: &'a [u8],
    },
    Other(&'a [u8]),
}

/// Appends strictly ascending timestamps; the reader must know how many there are.
pub(super) fn encode(
    timestamps: &[Timestamp],
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let (Some(first), Some(last)) = (timestamps.first(), timestamps.last()) else { return Ok(()) };
    let (first, span) = (first.as_nanos(), distance(*first, *last));
    let step = step(timestamps);
    let steps = span / step;
    let header = |kind, out: &mut Vec<u8>| put_header(kind, first, step.cast_signed(), out);
    // Readers reckon with signed integers.
    let near = span <= i64::MAX.cast_unsigned();
    if near && steps + 1 == timestamps.len() as u64 {
        header(GRID, out);
        return Ok(());
    }
    let start = out.len();
    let markable =
        usize::try_from(steps).ok().filter(|steps| near && *steps <= timestamps.len() * MAX_STEPS_PER_ROW);
    if let Some(steps) = markable {
        let mut present = Presence::default();
        for pair in timestamps.windows(2) {
            let [earlier, later] = pair else { continue };
            present.push(true);
            let missing = (distance(*earlier, *later) / step).saturating_sub(1);
            present.push_run(false, usize::try_from(missing).unwrap_or(0));
        }
        present.push(true);
        let mut bytes = Vec::new();
        presence::encode(&present, &mut bytes);
        header(GAPS, out);
        put_varint(out, steps as u64);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
        if bytes.len() <= 16 {
            return Ok(());
        }
    }
    let mut nanos = std::mem::take(&mut scratch.integers);
    nanos.clear();
    nanos.extend(timestamps.iter().map(|timestamp| timestamp.as_nanos()));
    let mut bytes = Vec::new();
    let outcome = ints::encode(&nanos, Kind::Times, effort, scratch, &mut bytes);
    scratch.integers = nanos;
    outcome?;
    if markable.is_none() || bytes.len() < out.len() - start {
        out.truncate(start);
        out.push(OTHER << KIND_SHIFT);
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
    Ok(())
}

/// Distance of ascending timestamps, which may be more than a signed integer holds.
fn distance(first: Timestamp, timestamp: Timestamp) -> u64 {
    timestamp.as_nanos().wrapping_sub(first.as_nanos()).cast_unsigned()
}

/// The longest step that leads to every timestamp from the first.
fn step(timestamps: &[Timestamp]) -> u64 {
    let mut step = 0_u64;
    for pair in timestamps.windows(2) {
        let [earlier, later] = pair else { continue };
        let mut rest = distance(*earlier, *later);
        // Mostly equal, and a division takes time.
        if rest == step || rest.is_multiple_of(step) {
            continue;
        }
        while rest != 0 {
            (step, rest) = (rest, step % rest);
        }
    }
    let single = || {
        (0..=18).rev().map(|zeros| 10_u64.pow(zeros)).find(|power| {
            timestamps.first().is_some_and(|first| first.as_nanos().unsigned_abs() % power == 0)
        })
    };
    if step == 0 { single().unwrap_or(1) } else { step }
}

fn put_header(kind: u8, first: i64, step: i64, out: &mut Vec<u8>) {
    let (mut mantissa, mut zeros) = (step, 0_u8);
    while mantissa % 10 == 0 && zeros < 18 {
        mantissa /= 10;
        zeros += 1;
    }
    let aligned = first % step == 0;
    let kind = if aligned { kind } else { kind | SHIFTED };
    out.push(kind << KIND_SHIFT | zeros);
    put_varint(out, mantissa.cast_unsigned());
    if aligned {
        put_varint(out, zigzag(first / step));
    } else {
        put_scaled(out, first);
    }
}

impl<'a> Times<'a> {
    /// Reads the timestamps of so many rows.
    pub(super) fn read(reader: &mut Reader<'a>, rows: usize) -> Result<Self, CodecError> {
        if rows == 0 {
            return Ok(Self::Grid { first: 0, step: 1 });
        }
        let byte = reader.byte()?;
        let kind = byte >> KIND_SHIFT;
        if kind == OTHER {
            return Ok(Self::Other(reader.prefixed()?));
        }
        let far = CodecError::Malformed("timestamp over 64 bits");
        let mantissa = i64::try_from(reader.varint()?).map_err(|_| far.clone())?;
        let zeros = 10_i64.checked_pow(u32::from(low_byte(u64::from(byte) & 0x1f)));
        let step = zeros.and_then(|power| power.checked_mul(mantissa)).filter(|step| *step > 0);
        let step = step.ok_or(far.clone())?;
        let first = if kind & SHIFTED == 0 {
            unzigzag(reader.varint()?).checked_mul(step).ok_or(far.clone())?
        } else {
            reader.scaled()?
        };
        let (steps, times) = match kind & !SHIFTED {
            GRID => (rows - 1, Self::Grid { first, step }),
            GAPS => {
                let steps = reader.length(rows * MAX_STEPS_PER_ROW, "steps")?;
                (steps, Self::Gaps { first, step, steps, presence: reader.prefixed()? })
            }
            _ => return Err(CodecError::Malformed("unknown timestamps")),
        };
        let length = i64::try_from(steps).ok().and_then(|steps| steps.checked_mul(step));
        match length.and_then(|length| first.checked_add(length)) {
            Some(_) => Ok(times),
            None => Err(far),
        }
    }

    /// Appends all timestamps, and makes sure that they ascend.
    pub(super) fn decode(
        &self,
        rows: usize,
        scratch: &mut Scratch,
        out: &mut Vec<Timestamp>,
    ) -> Result<(), CodecError> {
        match *self {
            Self::Grid { .. } => self.grid_rows(0..rows, out),
            Self::Gaps { first, step, steps, presence } => {
                let mut reader = Reader::new(presence);
                let present = presence::decode(&mut reader, steps + 1)?;
                if present.count() != rows || !reader.is_empty() {
                    return Err(CodecError::Malformed("number of timestamps"));
                }
                let mut at = first;
                for (present, length) in present.runs() {
                    // What lies behind the last one is not needed, so it may overflow.
                    for _ in 0..length {
                        if present {
                            out.push(Timestamp::from_nanos(at));
                        }
                        at = at.wrapping_add(step);
                    }
                }
            }
            Self::Other(bytes) => {
                let nanos = ints::decode(bytes, rows, 0..rows, scratch)?;
                if !nanos.is_sorted_by(|a, b| a < b) {
                    return Err(CodecError::Malformed("timestamps out of order"));
                }
                out.extend(nanos.iter().map(|nanos| Timestamp::from_nanos(*nanos)));
            }
        }
        Ok(())
    }

    /// Appends the timestamps of some rows of a grid; of anything else, nothing.
    pub(super) fn grid_rows(&self, rows: Range<usize>, out: &mut Vec<Timestamp>) {
        let Self::Grid { first, step } = *self else { return };
        let mut at = first.wrapping_add(step.wrapping_mul(i64::try_from(rows.start).unwrap_or(0)));
        out.extend(rows.map(|_| {
            let timestamp = Timestamp::from_nanos(at);
            at = at.wrapping_add(step);
            timestamp
        }));
    }

    /// Rows of a grid that lie within a half-open range of time; `None` if it is no grid.
    pub(super) fn grid_range(&self, rows: usize, range: &Range<Timestamp>) -> Option<Range<usize>> {
        let Self::Grid { first, step } = *self else { return None };
        // Rows that lie before an instant.
        let before = |at: Timestamp| {
            let distance = i128::from(at.as_nanos()) - i128::from(first);
            let steps = (distance + i128::from(step) - 1).div_euclid(i128::from(step));
            usize::try_from(steps.max(0)).unwrap_or(rows).min(rows)
        };
        let start = before(range.start);
        Some(start..before(range.end).max(start))
    }

    /// What its encoding is called.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Grid { .. } => "grid".to_owned(),
            Self::Gaps { .. } => "grid with gaps".to_owned(),
            Self::Other(bytes) => format!("integers, {}", ints::coding(bytes.first().copied().unwrap_or(0))),
        }
    }
}

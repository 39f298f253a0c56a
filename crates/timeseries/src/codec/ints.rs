//! Integers: their [trend](super::trend) and what is left of them, bit-packed, entropy-coded by classes or by `pco`,
//! whichever is smallest for the effort.

use std::ops::Range;

use super::bytes::Reader;
use super::trend::{self, Kind, Trend};
use super::{CodecError, Effort, Scratch, classes, frames, packed};

const FRAMES: u8 = 0;
const CLASSES: u8 = 1;
/// By `pco`, of 32 bits where they suffice: its tables are half as large then.
const PCO32: u8 = 2;
const PCO64: u8 = 3;
/// By classes, in parts that can be read apart.
const PARTS: u8 = 4;

/// The codings, by their number.
const NAMES: [&str; 5] = ["packed", "classes", "pco", "pco", "classes in parts"];

/// Fewer values, and fewer bytes of what is left of them, are not worth the time of `pco`: its tables are larger than
/// ours.
const PCO_MIN_VALUES: usize = 256;
const PCO_MIN_BYTES: usize = 128;

/// Fewer values are read in about the time that it takes to make a table for them.
pub(super) const FEW: usize = 512;

/// Fewer values, of which it must be quick, are bit-packed as they are or as differences.
const SHORT: usize = 96;

/// Encodes at least one value; the reader must know how many there are.
pub(super) fn encode(
    values: &[i64],
    kind: Kind,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let residuals = &mut scratch.residuals;
    if effort == Effort::Quick && kind != Kind::Times && values.len() < SHORT {
        encode_short(values, residuals, out);
        return Ok(());
    }
    let trend = trend::find(values, kind, effort, residuals);
    let framed = frames::size(residuals);
    // What is smaller by little is not worth slower reading; and of few values, most of it is making the table.
    let (least, worth) = match effort {
        Effort::Quick => (SHORT, framed - framed / 10),
        Effort::Small if residuals.len() < FEW => (8, framed - framed / 6),
        Effort::Small => (8, framed - framed / 50),
    };
    let plan = if residuals.len() < least || framed < 24 {
        None
    } else {
        classes::plan(residuals, kind == Kind::Floats, effort)
    };
    // The bins of `pco` lie where the values do. Around values that thin out evenly from zero they have nothing to win.
    let is_uneven = plan.as_ref().is_none_or(|plan| plan.is_too_coarse);
    let plan = plan.filter(|plan| plan.size < worth);
    let cheap = plan.as_ref().map_or(framed, |plan| plan.size);
    if effort == Effort::Small && is_uneven && residuals.len() >= PCO_MIN_VALUES && cheap >= PCO_MIN_BYTES {
        let limit = cheap - cheap * 3 / 100;
        if let Some((coding, bytes)) = pco(residuals).filter(|(_, bytes)| bytes.len() < limit) {
            trend.write(coding, out);
            out.extend_from_slice(&bytes);
            return Ok(());
        }
    }
    match plan {
        // What is encoded quickly is soon read as a whole.
        Some(plan) if effort == Effort::Small && classes::parts(residuals.len()) > 1 => {
            encode_parts(values, &trend, residuals, &plan, out)
        }
        Some(plan) => {
            trend.write(CLASSES, out);
            classes::encode(residuals, &plan, out)
        }
        None => {
            trend.write(FRAMES, out);
            frames::encode(residuals, out);
            Ok(())
        }
    }
}

fn encode_parts(
    values: &[i64],
    trend: &Trend,
    residuals: &[i64],
    plan: &classes::Plan,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    trend.write(PARTS, out);
    trend.write_cursors(values, classes::parts(residuals.len()), classes::PART, out);
    classes::encode_parts(residuals, plan, out)
}

/// Bit-packs few values, or their differences if those take less.
fn encode_short(values: &[i64], residuals: &mut Vec<i64>, out: &mut Vec<u8>) {
    let plain = frames::quick_frame(values);
    residuals.clear();
    let trend = Trend::differences(values, residuals);
    let steps = frames::quick_frame(residuals);
    if steps.size().saturating_add(trend.size()) < plain.size() {
        trend.write(FRAMES, out);
        frames::pack(residuals, steps, out);
    } else {
        Trend::none().write(FRAMES, out);
        frames::pack(values, plain, out);
    }
}

fn pco(residuals: &[i64]) -> Option<(u8, Vec<u8>)> {
    let narrow: Result<Vec<i32>, _> = residuals.iter().map(|value| i32::try_from(*value)).collect();
    match narrow {
        Ok(narrow) => Some((PCO32, packed::compress_residuals(&narrow)?)),
        Err(_) => Some((PCO64, packed::compress_residuals(residuals)?)),
    }
}

/// What coding was chosen, by the first byte.
pub(super) fn coding(first: u8) -> &'static str {
    NAMES.get(usize::from(first >> trend::CODING_SHIFT)).copied().unwrap_or("unknown")
}

/// Some rows of `count` integers from the whole of what [`encode`] wrote; `count` was checked against the limits before.
/// What comes behind the rows is not read, what comes before them as little as the coding allows.
pub(super) fn decode<'a>(
    bytes: &[u8],
    count: usize,
    rows: Range<usize>,
    scratch: &'a mut Scratch,
) -> Result<&'a mut [i64], CodecError> {
    let mut reader = Reader::new(bytes);
    let (trend, coding) = Trend::read(&mut reader)?;
    let Scratch { integers, classes, .. } = scratch;
    let all = trend.residuals(count);
    let heads = count - all;
    let wanted = rows.end.saturating_sub(heads);
    let end = match coding {
        FRAMES => wanted.next_multiple_of(frames::BLOCK).min(all),
        PCO32 | PCO64 => wanted.next_multiple_of(packed::BATCH).min(all),
        _ => wanted.min(all),
    };
    let part = if coding == PARTS { classes::part_of(rows.start.saturating_sub(heads), all) } else { 0 };
    let skipped = part * classes::PART;
    // The heads come before the first part.
    let front = if part == 0 { heads } else { 0 };
    // What is left in it from before is overwritten.
    integers.resize(front + end.saturating_sub(skipped), 0);
    let (_, residuals) = integers.split_at_mut(front);
    let mut cursor = None;
    if coding == PARTS {
        let parts = classes::parts(all);
        cursor = Some(trend.read_cursors(&mut reader, parts, classes::PART, part)?).filter(|_| part > 0);
    }
    if !residuals.is_empty() || coding == FRAMES {
        match coding {
            FRAMES => frames::decode(&mut reader, residuals)?,
            CLASSES => classes::decode(reader.rest(), all, residuals, classes)?,
            PARTS => classes::decode_parts(reader.rest(), all, part, residuals, classes)?,
            PCO32 => {
                let mut narrow = vec![0_i32; residuals.len()];
                packed::decompress_into(reader.rest(), all, &mut narrow)?;
                residuals.iter_mut().zip(narrow).for_each(|(to, from)| *to = from.into());
            }
            _ => packed::decompress_into(reader.rest(), all, residuals)?,
        }
    }
    if end == all && !reader.is_empty() {
        return Err(CodecError::Malformed("bytes behind the last value"));
    }
    match cursor {
        Some(cursor) => trend.resume(cursor, integers),
        None => trend.restore(integers),
    }
    let before = heads + skipped - front;
    let rows = rows.start.saturating_sub(before)..rows.end.saturating_sub(before);
    integers.get_mut(rows).ok_or(CodecError::Truncated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[i64]) -> [usize; 2] {
        [Effort::Quick, Effort::Small].map(|effort| {
            let mut out = Vec::new();
            let mut scratch = Scratch::default();
            encode(values, Kind::Values, effort, &mut scratch, &mut out).unwrap();
            let all = 0..values.len();
            assert_eq!(decode(&out, values.len(), all, &mut scratch), Ok(values.to_vec().as_mut_slice()));
            out.len()
        })
    }

    #[test]
    fn shapes_of_telemetry_come_back_small() {
        check(&[0]);
        check(&[5, -5]);
        check(&[i64::MIN, i64::MAX, 0, i64::MIN, -1]);
        check(&[i64::MAX; 300]);
        let line: Vec<i64> = (0..1000).map(|i| 1_700_000_000 + i * 4096).collect();
        let parabola: Vec<i64> = (0..1000).map(|i| i * i * 77 - 5).collect();
        let late: Vec<i64> = (0..1000).map(|i| i * 60_000 + if i % 50 == 0 { 7 } else { 0 }).collect();
        let small: Vec<i64> = (0..1000).map(|i| (i * i * 31) % 7).collect();
        let multiples: Vec<i64> = small.iter().map(|i| 9_000_000_000 + i * 512 * 1001).collect();
        for (values, most) in [(line, 30), (parabola, 30), (late, 70), (small, 430), (multiples, 450)] {
            let [_, small] = check(&values);
            assert!(small < most, "{small} not below {most}");
        }
    }

    #[test]
    fn rows_of_long_runs_are_read_apart() {
        // Mostly little, seldom much.
        let noise = |i: i64| {
            let bits = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
            i64::from((bits ^ bits >> 29).trailing_zeros())
        };
        let mut sum = 0;
        let mut summed = |step: i64| {
            sum += step;
            sum
        };
        let shapes: [Vec<i64>; 4] = [
            (0..4096).map(noise).collect(),
            (0..4096).map(|i| summed(noise(i) * 3)).collect(),
            (0..4096).map(|i| i * i + noise(i) * 5).collect(),
            (0..4096).map(|i| i * 1_000_003 + noise(i) % 5).collect(),
        ];
        for values in shapes {
            let (mut out, mut scratch) = (Vec::new(), Scratch::default());
            let mut residuals = Vec::new();
            let trend = trend::find(&values, Kind::Values, Effort::Small, &mut residuals);
            let plan = classes::plan(&residuals, false, Effort::Small).unwrap();
            encode_parts(&values, &trend, &residuals, &plan, &mut out).unwrap();
            let ends = [0, 1, 2, 3, 1_023, 1_024, 1_025, 1_026, 1_027, 2_050, 3_072, 3_075, 4_095, 4_096];
            for (start, end) in ends.iter().flat_map(|start| ends.iter().map(move |end| (*start, *end))) {
                if start <= end {
                    let read = decode(&out, values.len(), start..end, &mut scratch).unwrap();
                    assert_eq!(read, &values[start..end], "{start}..{end}");
                }
            }
        }
    }

    #[test]
    fn bins_that_lie_where_values_crowd_are_tried_where_they_can_win() {
        let random = |i: i64| {
            let bits = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed());
            (bits ^ bits >> 31).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40 & 0xffff
        };
        let levels = [17_000_i64, 4_205_611, 9_999_983, 310_007, 5_678_123];
        let crowded = |i| levels[(random(i) % 5) as usize] + random(i + 7_777) % 9;
        let normal = |i| (0..12).map(|part| random(i * 12 + part)).sum::<i64>() / 64;
        let skewed = |i| (1 << (random(i) % 12)) * random(i + 5_555);
        type At<'a> = &'a dyn Fn(i64) -> i64;
        let shapes: [(&str, bool, At<'_>); 4] = [
            ("crowded", true, &crowded),
            ("normal", false, &normal),
            ("skewed", false, &skewed),
            ("even", false, &|i| random(i)),
        ];
        for (shape, wins, at) in shapes {
            for count in [600, 1_440, 4_096] {
                let values: Vec<i64> = (0..count).map(at).collect();
                let (mut out, mut scratch) = (Vec::new(), Scratch::default());
                encode(&values, Kind::Values, Effort::Small, &mut scratch, &mut out).unwrap();
                assert_eq!(coding(out[0]) == "pco", wins, "{shape} {count}: {}", coding(out[0]));
                let (_, tried) = pco(&scratch.residuals).unwrap();
                assert!(out.len() <= tried.len() + tried.len() / 25 + 16, "{shape} {count}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in prop::collection::vec(any::<i64>(), 1..400)) {
            check(&values);
        }

        #[test]
        fn near_integers_come_back(values in prop::collection::vec(-3000_i64..3000, 1..700)) {
            check(&values);
        }

        #[test]
        fn sums_of_steps_come_back(
            first in any::<i64>(),
            steps in prop::collection::vec(prop_oneof![Just(0_i64), 0..90_i64, Just(i64::MIN)], 1..700),
            factor in prop_oneof![Just(1_i64), Just(512), 1..100_000_i64],
        ) {
            let mut at = first;
            let values: Vec<i64> = steps.iter().map(|step| {
                at = at.wrapping_add(step.wrapping_mul(factor));
                at
            }).collect();
            check(&values);
        }
    }
}

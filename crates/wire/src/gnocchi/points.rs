//! Points as clients read them: `[timestamp, width, value]` (metrics-api §5.3).

use std::ops::Range;

use nephos_model::{Granularity, Timestamp};

use super::json::{FLOAT, push_float, put_float};
use super::time::{clock_text, date_text};

/// The middle element of the tuples of a series.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    /// Seconds.
    Seconds(Granularity),
    /// Letter of a calendar group.
    Letter(&'static str),
}

/// What stands before the first value; the others differ in their digits only.
const LEAD: &[u8] = b", [\"0000-00-00T00:00:00+00:00\", ";
/// What the first point of a list goes without.
const COMMA: Range<usize> = 0..2;
const DATE: Range<usize> = 4..14;
const CLOCK: Range<usize> = 15..23;

/// Room for a point: the text before its value is at most 58 bytes long.
const LINE: usize = 96;

/// What a value and the bracket behind it take, mostly.
const USUAL: usize = 20;

/// What the points of a series have in common: the text of one with its date, but neither clock nor value.
struct Line {
    text: [u8; LINE],
    /// Where the value begins.
    value: usize,
    /// When the day whose date it shows begins.
    midnight: i64,
}

impl Line {
    fn new(width: Width) -> Self {
        let mut lead = LEAD.to_vec();
        match width {
            Width::Seconds(granularity) => push_float(&mut lead, granularity.as_secs_f64()),
            Width::Letter(letter) => {
                lead.push(b'"');
                lead.extend_from_slice(letter.as_bytes());
                lead.push(b'"');
            }
        }
        lead.extend_from_slice(b", ");
        let mut text = [0; LINE];
        let value = lead.len().min(LINE - FLOAT - 1);
        text[..value].copy_from_slice(lead.get(..value).unwrap_or_default());
        Self { text, value, midnight: i64::MIN }
    }

    /// Appends a point. Its clock and value are written into the copy: a copy of bytes that were written one by one just
    /// before would wait for them.
    #[inline]
    fn append(&mut self, out: &mut Vec<u8>, timestamp: Timestamp, value: f64) {
        let seconds = timestamp.as_secs();
        if !(0..86_400).contains(&seconds.saturating_sub(self.midnight)) {
            let day = seconds.div_euclid(86_400);
            self.midnight = day * 86_400;
            self.text[DATE].copy_from_slice(&date_text(day));
        }
        let start = out.len();
        // A copy of constant length, cut afterwards, is cheaper than one of the right length.
        out.extend_from_slice(&self.text);
        let Some(point) = out.last_chunk_mut::<LINE>() else { return };
        point[CLOCK].copy_from_slice(&clock_text(seconds - self.midnight));
        let length = match point.get_mut(self.value..).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => put_float(place, value),
            None => 0,
        };
        let end = self.value + length;
        if let Some(place) = point.get_mut(end) {
            *place = b']';
        }
        out.truncate(start + end + 1);
    }
}

/// Appends `["2015-03-06T14:33:57+00:00", 60.0, 1.5], …` to the list that is open at the end of `out`, behind a comma
/// unless the list is empty so far. As many points as both columns have.
pub fn write_points(out: &mut Vec<u8>, width: Width, timestamps: &[Timestamp], values: &[f64]) {
    let mut line = Line::new(width);
    out.reserve(timestamps.len().min(values.len()) * (line.value + USUAL) + LINE);
    let mut points = timestamps.iter().zip(values);
    if out.last() == Some(&b'[')
        && let Some((timestamp, value)) = points.next()
    {
        let start = out.len();
        line.append(out, *timestamp, *value);
        out.drain(start..start + COMMA.len());
    }
    for (timestamp, value) in points {
        line.append(out, *timestamp, *value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gnocchi::time::push_seconds;

    const MINUTE: Width = Width::Seconds(Granularity::from_secs(60).unwrap());

    fn written(width: Width, points: &[(i64, f64)]) -> String {
        let (timestamps, values): (Vec<_>, Vec<_>) =
            points.iter().map(|(seconds, value)| (Timestamp::from_secs(*seconds), *value)).unzip();
        let mut out = b"[".to_vec();
        write_points(&mut out, width, &timestamps, &values);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn points_follow_each_other_over_midnight_and_after_other_series() {
        assert_eq!(
            written(MINUTE, &[(86_340, 1.5), (86_400, f64::NAN)]),
            r#"[["1970-01-01T23:59:00+00:00", 60.0, 1.5], ["1970-01-02T00:00:00+00:00", 60.0, NaN]"#
        );
        assert_eq!(written(Width::Letter("Y"), &[(0, 7.0)]), r#"[["1970-01-01T00:00:00+00:00", "Y", 7.0]"#);
        assert_eq!(written(MINUTE, &[]), "[");
        let mut out = b"[[1]".to_vec();
        write_points(&mut out, MINUTE, &[Timestamp::EPOCH], &[-0.0]);
        assert_eq!(out, br#"[[1], ["1970-01-01T00:00:00+00:00", 60.0, -0.0]"#);
    }

    proptest! {
        #[test]
        fn every_point_is_written_like_one_alone(
            points in proptest::collection::vec((0_i64..9_000_000_000, any::<f64>()), 0..8)
        ) {
            let mut expected = b"[".to_vec();
            for (number, (seconds, value)) in points.iter().enumerate() {
                expected.extend_from_slice(if number == 0 { b"[\"" } else { b", [\"" });
                push_seconds(&mut expected, Timestamp::from_secs(*seconds));
                expected.extend_from_slice(b"\", 60.0, ");
                push_float(&mut expected, *value);
                expected.push(b']');
            }
            prop_assert_eq!(written(MINUTE, &points), String::from_utf8(expected).unwrap());
        }
    }
}

//! Points as clients read them: `[timestamp, width, value]` (metrics-api §5.3).

use std::ops::Range;

use nephos_model::{Granularity, Timestamp};

use super::json::push_float;
use super::time::{clock_text, date_text};

/// The middle element of the tuples of a series.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    /// Seconds.
    Seconds(Granularity),
    /// Letter of a calendar group.
    Letter(&'static str),
}

/// What a point takes in text, roughly: for reserving room.
const POINT: usize = 52;

/// What stands before the first value; the others differ in their digits only.
const LEAD: &[u8] = b", [\"0000-00-00T00:00:00+00:00\", ";
const DATE: Range<usize> = 4..14;
const CLOCK: Range<usize> = 15..23;

/// Appends `["2015-03-06T14:33:57+00:00", 60.0, 1.5], …` to the list that is open at the end of `out`, behind a comma
/// unless the list is empty so far. As many points as both columns have.
pub fn write_points(out: &mut Vec<u8>, width: Width, timestamps: &[Timestamp], values: &[f64]) {
    out.reserve(timestamps.len().min(values.len()) * POINT);
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
    let mut day = i64::MIN;
    let mut skipped = if out.last() == Some(&b'[') { 2 } else { 0 };
    for (timestamp, value) in timestamps.iter().zip(values) {
        let seconds = timestamp.as_secs();
        let today = seconds.div_euclid(86_400);
        if today != day {
            day = today;
            put(&mut lead, DATE, &date_text(today));
        }
        put(&mut lead, CLOCK, &clock_text(seconds - today * 86_400));
        out.extend_from_slice(lead.get(skipped..).unwrap_or_default());
        skipped = 0;
        push_float(out, *value);
        out.push(b']');
    }
}

#[inline]
fn put(text: &mut [u8], place: Range<usize>, part: &[u8]) {
    if let Some(place) = text.get_mut(place) {
        place.copy_from_slice(part);
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

//! Points in time as clients write and read them (metrics-api §2.4).

use nephos_model::Timestamp;
use serde_json::Value;

use super::civil::{date_from_days, days_from_date};
use super::digits;
use super::timespan;

/// Why a text or number is no point in time. The texts are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not understood.
    #[error("Unable to convert timestamps")]
    Unconvertible,
    /// Before 1970, or beyond what 64 bits of nanoseconds hold.
    #[error("Timestamp must be after Epoch")]
    OutOfRange,
}

/// How a point in time was written; a list of measures must be of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// Unix seconds, as number or text.
    Seconds,
    /// ISO 8601.
    Iso,
    /// Relative to now.
    Relative,
}

/// A point in time from text: Unix seconds, ISO 8601, or a timespan relative to `now`.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, TimestampError> {
    parse_with_kind(text, now).map(|(timestamp, _)| timestamp)
}

/// A point in time from a JSON number or text.
pub fn parse_value(value: &Value, now: Timestamp) -> Result<Timestamp, TimestampError> {
    match value {
        Value::Number(number) => from_seconds(number.as_f64().ok_or(TimestampError::Unconvertible)?),
        Value::String(text) => parse(text, now),
        _ => Err(TimestampError::Unconvertible),
    }
}

/// As [`parse`], and how it was written.
pub fn parse_with_kind(text: &str, now: Timestamp) -> Result<(Timestamp, TimestampKind), TimestampError> {
    // The usual form first: a full ISO date is no number.
    if let Some(nanos) = iso(text.as_bytes()) {
        return Ok((in_range(nanos)?, TimestampKind::Iso));
    }
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Ok((from_seconds(seconds)?, TimestampKind::Seconds));
    }
    let relative = timespan::parse_signed(text).map_err(|_| TimestampError::Unconvertible)?;
    let nanos = i128::from(now.as_nanos()) + i128::from(relative);
    Ok((in_range(nanos)?, TimestampKind::Relative))
}

/// Unix seconds, through a float times 10⁹ as the original does.
#[allow(clippy::cast_possible_truncation)]
pub fn from_seconds(seconds: f64) -> Result<Timestamp, TimestampError> {
    if !seconds.is_finite() {
        return Err(TimestampError::Unconvertible);
    }
    in_range((seconds * 1e9) as i128)
}

fn in_range(nanos: i128) -> Result<Timestamp, TimestampError> {
    let nanos = i64::try_from(nanos).ok().filter(|nanos| *nanos >= 0);
    nanos.map(Timestamp::from_nanos).ok_or(TimestampError::OutOfRange)
}

/// What the last of so many digits behind the point of seconds is worth in nanoseconds.
const TENS: [i64; 10] =
    [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// Reads fields from the front of a text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + i64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        }
        self.0 = rest;
        Some(value)
    }

    fn skip(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if bytes.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Nanoseconds of a fraction; digits beyond the ninth are cut.
    #[inline]
    fn fraction(&mut self) -> Option<i64> {
        let (digits, count, rest) = digits::run(self.0, 0);
        let nanos = match TENS.get(count) {
            Some(scale) => i64::try_from(digits).ok()? * scale,
            None => digits::run(self.0.get(..9)?, 0).0.try_into().ok()?,
        };
        self.0 = rest;
        (count > 0).then_some(nanos)
    }
}

/// `YYYY-MM[-DD[(T| )hh[:mm[:ss[.f…]]][Z|±hh:mm]]]` to nanoseconds since the epoch.
fn iso(text: &[u8]) -> Option<i128> {
    let mut cursor = Cursor(text);
    let year = cursor.digits(4)?;
    if !cursor.skip(b"-") {
        return None;
    }
    let month = cursor.digits(2)?;
    let day = if cursor.skip(b"-") { Some(cursor.digits(2)?) } else { None };
    let days = days_from_date(year, month, day.unwrap_or(1))?;
    let mut seconds = days * 86_400;
    let mut nanos = 0;
    if day.is_some() && cursor.skip(b"T ") {
        let hour = cursor.digits(2).filter(|hour| *hour < 24)?;
        let minute = if cursor.skip(b":") { cursor.digits(2).filter(|minute| *minute < 60)? } else { 0 };
        let second = if cursor.skip(b":") { cursor.digits(2).filter(|second| *second < 60)? } else { 0 };
        if cursor.skip(b".") {
            nanos = cursor.fraction()?;
        }
        seconds += hour * 3_600 + minute * 60 + second - offset(&mut cursor)?;
    }
    cursor.0.is_empty().then(|| i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

/// The date that was read last, and when it began: what is read in a row mostly shares it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Days {
    text: [u8; 10],
    seconds: i64,
}

impl Days {
    /// Seconds from the epoch to the start of `YYYY-MM-DD`.
    #[inline]
    fn start_of(&mut self, text: &[u8; 10]) -> Option<i64> {
        if *text != self.text {
            let mut cursor = Cursor(text);
            let year = cursor.digits(4)?;
            let month = if cursor.skip(b"-") { cursor.digits(2)? } else { return None };
            let day = if cursor.skip(b"-") { cursor.digits(2)? } else { return None };
            *self = Self { text: *text, seconds: days_from_date(year, month, day)? * 86_400 };
        }
        Some(self.seconds)
    }
}

/// A time in its usual form, `YYYY-MM-DD(T| )hh:mm:ss[.f…][Z|±hh:mm]`, at the start of a longer text, and what comes
/// behind it. `None` for everything else, be it a time or not.
#[inline]
pub(super) fn iso_prefix<'a>(text: &'a [u8], days: &mut Days) -> Option<(Timestamp, &'a [u8])> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let mut seconds = days.start_of(date)? + clock_seconds(*clock)?;
    let mut cursor = Cursor(rest);
    let mut nanos = 0;
    if cursor.skip(b".") {
        nanos = cursor.fraction()?;
    }
    if !cursor.skip(b"Z") && !cursor.0.starts_with(b"\"") {
        seconds -= offset(&mut cursor)?;
    }
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    (nanos >= 0).then(|| (Timestamp::from_nanos(nanos), cursor.0))
}

/// `hh:mm:ss` as seconds; its bytes are checked all at once.
#[inline]
fn clock_seconds(text: [u8; 8]) -> Option<i64> {
    // Digits become 0 to 9 and colons 0; what lies above that gets the high bit of its byte.
    let parts = u64::from_le_bytes(text) ^ u64::from_le_bytes(*b"00:00:00");
    let above = u64::from_le_bytes([0x76, 0x76, 0x7f, 0x76, 0x76, 0x7f, 0x76, 0x76]);
    if (parts.wrapping_add(above) | parts) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let [h, hh, _, m, mm, _, s, ss] = parts.to_le_bytes().map(i64::from);
    let (hour, minute, second) = (h * 10 + hh, m * 10 + mm, s * 10 + ss);
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3_600 + minute * 60 + second)
}

/// Seconds east of UTC at the end of a time.
fn offset(cursor: &mut Cursor<'_>) -> Option<i64> {
    if cursor.0.is_empty() || cursor.skip(b"Z") {
        return Some(0);
    }
    let sign = if cursor.skip(b"+") { 1 } else { -1 };
    if sign < 0 && !cursor.skip(b"-") {
        return None;
    }
    let hours = cursor.digits(2).filter(|hours| *hours < 24)?;
    if !cursor.skip(b":") {
        return None;
    }
    let minutes = cursor.digits(2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// Appends a point in time cut to whole seconds, as measures show it: `2015-03-06T14:33:57+00:00`.
pub fn push_seconds(out: &mut Vec<u8>, timestamp: Timestamp) {
    push_date_time(out, timestamp);
    out.extend_from_slice(b"+00:00");
}

/// A point in time as resources show it: microseconds only if there are any, `2026-11-21T23:14:43.764315+00:00`.
pub fn format(timestamp: Timestamp) -> String {
    let mut out = Vec::with_capacity(32);
    push_date_time(&mut out, timestamp);
    let micros = timestamp.as_nanos().rem_euclid(1_000_000_000) / 1_000;
    if micros != 0 {
        out.extend_from_slice(format!(".{micros:06}").as_bytes());
    }
    out.extend_from_slice(b"+00:00");
    String::from_utf8(out).unwrap_or_default()
}

/// A point in time as HTTP headers show it: `Fri, 06 Mar 2015 14:33:57 GMT`.
pub fn http_date(timestamp: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = timestamp.as_secs().div_euclid(86_400);
    let second = timestamp.as_secs().rem_euclid(86_400);
    let (year, month, day) = date_from_days(days);
    let nth = |names: &'static [&'static str], index: i64| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        nth(&DAYS, days.rem_euclid(7)),
        nth(&MONTHS, month - 1),
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// A point in time from an HTTP header, in the form that [`http_date`] writes.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_secs(parsed.timestamp().as_second()))
}

fn push_date_time(out: &mut Vec<u8>, timestamp: Timestamp) {
    let days = timestamp.as_secs().div_euclid(86_400);
    out.extend_from_slice(&date_text(days));
    out.push(b'T');
    out.extend_from_slice(&clock_text(timestamp.as_secs() - days * 86_400));
}

/// The day that is `days` after 1970-01-01 as `YYYY-MM-DD`.
pub(super) fn date_text(days: i64) -> [u8; 10] {
    let (year, month, day) = date_from_days(days);
    let ([a, b], [c, d]) = (two_digits(year / 100), two_digits(year % 100));
    let ([e, f], [g, h]) = (two_digits(month), two_digits(day));
    [a, b, c, d, b'-', e, f, b'-', g, h]
}

/// A second of a day as `hh:mm:ss`. The tens of all three numbers are split off at once, by a multiplication that divides
/// exactly in this range.
#[inline]
pub(super) fn clock_text(second: i64) -> [u8; 8] {
    const SHAPE: u64 = u64::from_le_bytes(*b"00:00:00");
    let second = u32::try_from(second).unwrap_or(0);
    let (hours, minutes, seconds) = (second / 3_600, second / 60 % 60, second % 60);
    let numbers = u64::from(hours) | (u64::from(minutes) << 24) | (u64::from(seconds) << 48);
    let tens = ((numbers * 103) >> 10) & 0x000f_0000_0f00_000f;
    (SHAPE + tens + ((numbers - tens * 10) << 8)).to_le_bytes()
}

/// A number from 0 to 99.
fn two_digits(number: i64) -> [u8; 2] {
    digits(u32::try_from(number).unwrap_or(0))
}

#[inline]
#[allow(clippy::cast_possible_truncation)]
fn digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_500_000_000);

    #[test]
    fn every_form_of_the_contract_is_understood() {
        for (text, nanos) in [
            ("2015-03-06", 1_425_600_000_000_000_000),
            ("2015-03", 1_425_168_000_000_000_000),
            ("2015-03-06T14:33", 1_425_652_380_000_000_000),
            ("2015-03-06 14:33:57", 1_425_652_437_000_000_000),
            ("2015-03-06T14:33:57Z", 1_425_652_437_000_000_000),
            ("2015-03-06T14:33:57.123456789", 1_425_652_437_123_456_789),
            ("2015-03-06T14:33:57.1234567899", 1_425_652_437_123_456_789),
            ("2015-03-06T14:33:57.5+02:00", 1_425_645_237_500_000_000),
            ("2015-03-06T14:33:57-01:30", 1_425_657_837_000_000_000),
            ("1425652437.25", 1_425_652_437_249_999_872),
            ("2015", 2_015_000_000_000),
            ("0", 0),
            ("1970-01-01", 0),
            ("-10 minutes", 1_499_999_400_000_000_000),
            ("5 minutes", 1_500_000_300_000_000_000),
            ("-1h30m", 1_499_994_600_000_000_000),
            ("2262-04-11T23:47:16.854775807", i64::MAX),
        ] {
            assert_eq!(parse(text, NOW), Ok(Timestamp::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        use TimestampError::{OutOfRange, Unconvertible};

        for (text, error) in [
            ("20150306T143357", Unconvertible),
            ("2015-03-06T14:33:57,5", Unconvertible),
            ("2015-W10-5", Unconvertible),
            ("2015-03-06T14:33:57 +02:00", Unconvertible),
            ("2015-02-30", Unconvertible),
            ("2015-03-06T24:00:00", Unconvertible),
            ("2015-03-06T14:33:57.", Unconvertible),
            ("", Unconvertible),
            ("NaT", Unconvertible),
            ("nan", Unconvertible),
            ("inf", Unconvertible),
            ("yesterday", Unconvertible),
            ("1969-12-31T23:59:59", OutOfRange),
            ("-5", OutOfRange),
            ("2262-04-12", OutOfRange),
            ("1e300", OutOfRange),
            ("-9000 weeks", OutOfRange),
        ] {
            assert_eq!(parse(text, NOW), Err(error), "{text}");
        }
    }

    #[test]
    fn outputs_have_the_forms_clients_know() {
        let timestamp = Timestamp::from_nanos(1_425_652_437_764_315_999);
        let mut out = Vec::new();
        push_seconds(&mut out, timestamp);
        assert_eq!(out, b"2015-03-06T14:33:57+00:00");
        assert_eq!(format(timestamp), "2015-03-06T14:33:57.764315+00:00");
        assert_eq!(format(Timestamp::from_secs(1_425_652_437)), "2015-03-06T14:33:57+00:00");
        assert_eq!(http_date(timestamp), "Fri, 06 Mar 2015 14:33:57 GMT");
        assert_eq!(
            parse_http_date("Fri, 06 Mar 2015 14:33:57 GMT"),
            Some(Timestamp::from_secs(1_425_652_437))
        );
        assert_eq!(parse_http_date("once"), None);
    }

    #[test]
    fn every_second_of_a_day_has_its_text() {
        for second in 0..86_400 {
            let expected = format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
            assert_eq!(clock_text(second), expected.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _either = parse(&text, NOW);
        }

        #[test]
        fn damaged_timestamps_are_answered(at in 0_usize..25, byte in any::<u8>()) {
            let mut text = b"2015-03-06T14:33:57.5+02:00".to_vec();
            text[at] = byte;
            let _either = parse(&String::from_utf8_lossy(&text), NOW);
        }

        #[test]
        fn what_is_shown_is_understood(nanos in 0_i64..i64::MAX) {
            let shown = Timestamp::from_nanos(nanos).to_micros_precision();
            prop_assert_eq!(parse(&format(shown), NOW), Ok(shown));
            let date = parse_http_date(&http_date(shown));
            prop_assert_eq!(date, Some(Timestamp::from_secs(shown.as_secs())));
        }
    }
}

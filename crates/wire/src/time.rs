//! Times as OpenStack writes them: ISO 8601, naive ones meaning UTC.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use nephos_model::Timestamp;

/// `at` as naive UTC with microseconds, which are absent when they are 0: `2026-11-21T23:08:20.955093` with `T` as
/// `separator`. Finer digits are cut.
pub fn naive_utc(at: Timestamp, separator: char) -> String {
    let mut text = String::with_capacity(26);
    let nanos = at.to_micros_precision().as_nanos();
    // All of i64 nanoseconds is within jiff's range.
    let instant = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    let civil = Offset::UTC.to_datetime(instant);
    push_digits(&mut text, i32::from(civil.year()), 4);
    text.push('-');
    push_digits(&mut text, i32::from(civil.month()), 2);
    text.push('-');
    push_digits(&mut text, i32::from(civil.day()), 2);
    text.push(separator);
    push_digits(&mut text, i32::from(civil.hour()), 2);
    text.push(':');
    push_digits(&mut text, i32::from(civil.minute()), 2);
    text.push(':');
    push_digits(&mut text, i32::from(civil.second()), 2);
    let micros = civil.subsec_nanosecond() / 1_000;
    if micros != 0 {
        text.push('.');
        push_digits(&mut text, micros, 6);
    }
    text
}

fn push_digits(text: &mut String, value: i32, width: u32) {
    let value = value.unsigned_abs();
    for place in (0..width).rev() {
        let digit = value / 10_u32.pow(place) % 10;
        text.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

/// Reads `2026-11-21T23:08:20.955093`, `2026-11-21 23:08:20Z`, `2026-11-21T23:08+01:00`, `2026-11-21`: without an
/// offset it is UTC. Digits beyond nanoseconds are cut. `None` for anything else, for dates that do not exist and
/// for instants outside the years 1677 to 2262.
pub fn parse_iso8601(text: &str) -> Option<Timestamp> {
    let mut cursor = Cursor { rest: text.trim_ascii().as_bytes() };
    let civil = cursor.date_time()?;
    let offset_seconds = cursor.offset()?;
    if !cursor.rest.is_empty() {
        return None;
    }
    let utc = Offset::UTC.to_timestamp(civil).ok()?.as_nanosecond();
    let nanos = utc.checked_sub(i128::from(offset_seconds) * 1_000_000_000)?;
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn take_if(&mut self, accept: impl FnOnce(u8) -> bool) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        accept(*first).then(|| {
            self.rest = rest;
            *first
        })
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        self.take_if(|found| found == byte).map(|_| ())
    }

    fn digit(&mut self) -> Option<i32> {
        self.take_if(|byte| byte.is_ascii_digit()).map(|byte| i32::from(byte - b'0'))
    }

    /// Exactly `width` digits, at most 4.
    fn number(&mut self, width: usize) -> Option<i16> {
        let mut value = 0;
        for _ in 0..width {
            value = value * 10 + self.digit()?;
        }
        i16::try_from(value).ok()
    }

    fn two(&mut self) -> Option<i8> {
        self.number(2).and_then(|value| i8::try_from(value).ok())
    }

    fn date_time(&mut self) -> Option<DateTime> {
        let year = self.number(4)?;
        self.skip(b'-')?;
        let month = self.two()?;
        self.skip(b'-')?;
        let day = self.two()?;
        if self.take_if(|byte| matches!(byte, b'T' | b't' | b' ')).is_none() {
            return DateTime::new(year, month, day, 0, 0, 0, 0).ok();
        }
        let hour = self.two()?;
        self.skip(b':')?;
        let minute = self.two()?;
        let (mut second, mut nanos) = (0, 0);
        if self.skip(b':').is_some() {
            second = self.two()?;
            if self.take_if(|byte| matches!(byte, b'.' | b',')).is_some() {
                nanos = self.fraction()?;
            }
        }
        DateTime::new(year, month, day, hour, minute, second, nanos).ok()
    }

    /// At least one digit of a second's fraction, in nanoseconds.
    fn fraction(&mut self) -> Option<i32> {
        let mut nanos = self.digit()? * 100_000_000;
        let mut place = 10_000_000;
        while let Some(digit) = self.digit() {
            nanos += digit * place;
            place /= 10;
        }
        Some(nanos)
    }

    /// Seconds east of UTC: nothing, `Z`, `+01`, `+0100` or `+01:00`.
    fn offset(&mut self) -> Option<i32> {
        if self.rest.is_empty() || self.take_if(|byte| matches!(byte, b'Z' | b'z')).is_some() {
            return Some(0);
        }
        let sign = self.take_if(|byte| matches!(byte, b'+' | b'-'))?;
        let hours = i32::from(self.two()?);
        let minutes = match self.skip(b':') {
            Some(()) => i32::from(self.two()?),
            None if self.rest.is_empty() => 0,
            None => i32::from(self.two()?),
        };
        let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3_600 + minutes * 60)?;
        Some(if sign == b'-' { -seconds } else { seconds })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn microseconds_are_written_only_when_there_are_some() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00"),
            (1_795_302_500_955_093_000, "2026-11-21T23:08:20.955093"),
            (1_795_302_500_000_001_999, "2026-11-21T23:08:20.000001"),
            (1_795_302_500_000_000_999, "2026-11-21T23:08:20"),
            (-1_000, "1969-12-31T23:59:59.999999"),
            (-1, "1969-12-31T23:59:59.999999"),
        ] {
            assert_eq!(naive_utc(Timestamp::from_nanos(nanos), 'T'), text);
        }
        assert_eq!(naive_utc(Timestamp::EPOCH, ' '), "1970-01-01 00:00:00");
    }

    #[test]
    fn every_accepted_form_gives_its_instant() {
        let at = 1_795_302_500_000_000_000;
        for (text, nanos) in [
            ("2026-11-21T23:08:20.955093", at + 955_093_000),
            ("2026-11-21 23:08:20,5", at + 500_000_000),
            ("2026-11-21t23:08:20z", at),
            ("2026-11-21T23:08:20.1234567899Z", at + 123_456_789),
            ("2026-11-21T23:08:20.955093+00:00", at + 955_093_000),
            ("2026-11-22T00:08:20+01:00", at),
            ("2026-11-21T18:38:20-0430", at),
            ("2026-11-22T01:08:20+02", at),
            ("2026-11-21T23:08", at - 20_000_000_000),
            (" 2026-11-21 ", at - 83_300_000_000_000),
            ("2024-02-29T00:00:00", 1_709_164_800_000_000_000),
        ] {
            assert_eq!(parse_iso8601(text), Some(Timestamp::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "2026-11-21T",
            "2026-11-21T23",
            "2026-11-21T24:00:00",
            "2026-11-21T23:08:60",
            "2026-11-21T23:08:20.",
            "2026-11-21T23:08:20+",
            "2026-11-21T23:08:20+1",
            "2026-11-21T23:08:20+24:00",
            "2026-11-21T23:08:20+01:",
            "2026-11-21+01:00x",
            "2026-11-21T23:08:20Z ago",
            "1500-01-01",
            "9999-12-31T23:59:59",
            "２026-11-21",
        ] {
            assert_eq!(parse_iso8601(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back_to_the_microsecond(nanos in any::<i64>()) {
            let at = Timestamp::from_nanos(nanos).to_micros_precision();
            prop_assume!(at > Timestamp::from_nanos(i64::MIN + 1_000));
            prop_assert_eq!(parse_iso8601(&naive_utc(at, 'T')), Some(at));
            prop_assert_eq!(parse_iso8601(&naive_utc(at, ' ')), Some(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,+Z-]{0,24}") {
            let _parsed = (parse_iso8601(&text), parse_iso8601(&near));
        }
    }
}

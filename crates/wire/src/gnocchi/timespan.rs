//! Lengths of time as clients write and read them (metrics-api §2.4).

use serde_json::Value;

/// Why a text or number is no timespan. The texts are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimespanError {
    /// Not understood, or too long for 64 bits of nanoseconds.
    #[error("Unable to parse timespan")]
    Unparsable,
    /// Zero or negative where a length is wanted.
    #[error("Timespan must be positive")]
    NotPositive,
}

/// A signed length in nanoseconds: a number of seconds, or words such as `1h30m`, `2 days, 4:13:02`, `5 min`.
pub fn parse_signed(text: &str) -> Result<i64, TimespanError> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => nanos(seconds),
        Err(_) => words(text),
    }
}

/// A positive length in nanoseconds.
pub fn parse(text: &str) -> Result<i64, TimespanError> {
    positive(parse_signed(text)?)
}

/// A positive length in nanoseconds from a JSON number of seconds or text.
pub fn parse_value(value: &Value) -> Result<i64, TimespanError> {
    match value {
        Value::Number(number) => positive(nanos(number.as_f64().ok_or(TimespanError::Unparsable)?)?),
        Value::String(text) => parse(text),
        _ => Err(TimespanError::Unparsable),
    }
}

fn positive(nanos: i64) -> Result<i64, TimespanError> {
    if nanos > 0 { Ok(nanos) } else { Err(TimespanError::NotPositive) }
}

/// Seconds to nanoseconds, cut.
#[allow(clippy::cast_possible_truncation)]
fn nanos(seconds: f64) -> Result<i64, TimespanError> {
    let nanos = seconds * 1e9;
    // The nearest float to i64::MAX is above it.
    if nanos.is_finite() && nanos.abs() < 9.223_372_036_854_775e18 {
        Ok(nanos as i64)
    } else {
        Err(TimespanError::Unparsable)
    }
}

/// Optional sign, then amounts with units in falling order, then perhaps a clock time.
fn words(text: &str) -> Result<i64, TimespanError> {
    let lower = text.to_ascii_lowercase();
    let (sign, rest) = match lower.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    let mut rest = rest.trim_start();
    let mut seconds = 0.0;
    let mut last_unit = f64::INFINITY;
    if rest.is_empty() {
        return Err(TimespanError::Unparsable);
    }
    while !rest.is_empty() {
        if let Some(clock) = clock(rest, last_unit) {
            seconds += clock;
            break;
        }
        let (amount, unit, behind) = amount(rest).ok_or(TimespanError::Unparsable)?;
        if unit >= last_unit {
            return Err(TimespanError::Unparsable);
        }
        seconds += amount * unit;
        last_unit = unit;
        rest = behind.trim_start();
        rest = rest.strip_prefix([',', '/']).map_or(rest, str::trim_start);
    }
    nanos(sign * seconds)
}

/// `1.5 hours…`: amount, seconds of the unit, what follows.
fn amount(text: &str) -> Option<(f64, f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    Some((number.parse().ok()?, seconds_of(unit)?, rest))
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "w" | "wk" | "wks" | "week" | "weeks" => 604_800.0,
        "d" | "dy" | "dys" | "day" | "days" => 86_400.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        _ => return None,
    })
}

/// `s`, `:ss`, `m:ss`, `h:mm:ss`, `d:hh:mm:ss` to the end of the text; only hours and below after a day or week.
fn clock(text: &str, last_unit: f64) -> Option<f64> {
    if !text.contains(':') || last_unit < 86_400.0 {
        return None;
    }
    let mut parts = text.rsplit(':');
    let second = parts.next()?;
    let whole = second.split('.').next()?;
    if whole.len() != 2 || !second.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let mut total: f64 = second.parse().ok()?;
    let mut unit = 60.0;
    let rest: Vec<&str> = parts.collect();
    let count = rest.len();
    if count > 3 || (last_unit.is_finite() && count != 2) {
        return None;
    }
    for (index, part) in rest.into_iter().enumerate() {
        // The leading part is free in length, the others have two digits; `:ss` leads with nothing.
        let leading = index + 1 == count;
        if (!leading && part.len() != 2) || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if part.is_empty() {
            return (count == 1).then_some(total);
        }
        let value: f64 = part.parse().ok()?;
        total += value * unit;
        unit *= if unit < 3_600.0 { 60.0 } else { 24.0 };
    }
    Some(total)
}

/// A length as policies show it: `H:MM:SS[.ffffff]`, with `N day(s), ` before it from a day on.
pub fn format(nanos: i64) -> String {
    let micros = (i128::from(nanos) + 500).div_euclid(1_000);
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, seconds) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut text = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    text.push_str(&format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    if micros != 0 {
        text.push_str(&format!(".{micros:06}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[allow(clippy::cast_possible_truncation)]
    fn nanos_of(seconds: f64) -> i64 {
        (seconds * 1e9) as i64
    }

    #[test]
    fn usual_forms_are_understood() {
        for (text, seconds) in [
            ("60", 60.0),
            ("0.1", 0.1),
            ("1 minute", 60.0),
            ("5m", 300.0),
            ("5 min", 300.0),
            ("1h30m", 5_400.0),
            ("1.5h", 5_400.0),
            ("1w", 604_800.0),
            ("1 Hour", 3_600.0),
            ("2 days, 4:13:02", 187_982.0),
            ("4:13", 253.0),
            ("1:00:00", 3_600.0),
            (":30", 30.0),
            ("1:02:03:04.5", 93_784.5),
            ("10s", 10.0),
            ("1 second", 1.0),
            ("365 days, 0:00:00", 31_536_000.0),
            ("0:00:03.600000", 3.6),
            ("2 weeks 3 days", 1_468_800.0),
        ] {
            assert_eq!(parse(text), Ok(nanos_of(seconds)), "{text}");
        }
        assert_eq!(parse_signed("-10 minutes"), Ok(-600 * SECOND));
        assert_eq!(parse_signed("-1h30m"), Ok(-5_400 * SECOND));
        assert_eq!(parse_signed("+5 minutes"), Ok(300 * SECOND));
    }

    #[test]
    fn everything_else_is_refused() {
        use TimespanError::{NotPositive, Unparsable};

        for (text, error) in [
            ("foobar", Unparsable),
            ("", Unparsable),
            ("-", Unparsable),
            ("1 month", Unparsable),
            ("1y", Unparsable),
            ("PT1H", Unparsable),
            ("1 shenanigan", Unparsable),
            ("5m 1h", Unparsable),
            ("nan", Unparsable),
            ("inf", Unparsable),
            ("1e300", Unparsable),
            ("300 years", Unparsable),
            ("999999999999 weeks", Unparsable),
            ("4:1", Unparsable),
            ("0", NotPositive),
            ("-5", NotPositive),
            ("-5 m", NotPositive),
            ("0.0000000001", NotPositive),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn policies_show_python_timedeltas() {
        for (seconds, text) in [
            (1.0, "0:00:01"),
            (3_600.0, "1:00:00"),
            (86_400.0, "1 day, 0:00:00"),
            (604_800.0, "7 days, 0:00:00"),
            (3.6, "0:00:03.600000"),
            (31_536_000.0, "365 days, 0:00:00"),
            (0.000_001, "0:00:00.000001"),
        ] {
            assert_eq!(format(nanos_of(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _either = parse_signed(&text);
        }

        #[test]
        fn near_misses_are_answered(text in "[-+]?[0-9:., wdhmsek]{0,24}") {
            let _either = parse_signed(&text);
        }

        #[test]
        fn what_policies_show_is_understood(seconds in 1_i64..4_000_000_000) {
            prop_assert_eq!(parse(&format(seconds * SECOND)), Ok(seconds * SECOND));
        }
    }
}

//! Lengths of time and sizes as people write them.

use std::time::Duration;

/// Units of time in nanoseconds.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" | "nanosecond" | "nanoseconds" => 1.0,
        "us" | "µs" | "microsecond" | "microseconds" => 1e3,
        "ms" | "millisecond" | "milliseconds" => 1e6,
        "s" | "sec" | "second" | "seconds" => 1e9,
        "m" | "min" | "minute" | "minutes" => 60e9,
        "h" | "hour" | "hours" => 3_600e9,
        "d" | "day" | "days" => 86_400e9,
        "w" | "week" | "weeks" => 604_800e9,
        _ => return None,
    })
}

/// A number of seconds (`10`, `0.5`), or numbers with units (`10s`, `5 minutes`, `1h30m`), or `HH:MM:SS`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.contains(':') {
        return clock(text);
    }
    if let Some(seconds) = decimal(text) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, behind) = rest.split_at(number);
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(end);
        let nanos = decimal(amount)? * unit(name)?;
        total = total.checked_add(Duration::try_from_secs_f64(nanos / 1e9).ok()?)?;
        rest = behind.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

fn clock(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let total = decimal(hours)? * 3600.0 + decimal(minutes)? * 60.0 + decimal(seconds)?;
    Duration::try_from_secs_f64(total).ok()
}

/// A plain decimal number: no sign, no exponent, no words.
fn decimal(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// The shortest text that [`duration`] reads as the same.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let nanos = duration.subsec_nanos();
    if nanos > 0 {
        return match nanos % 1_000_000 {
            0 => format!("{}ms", duration.as_millis()),
            _ => format!("{}ns", duration.as_nanos()),
        };
    }
    for (size, name) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
        if seconds >= size && seconds.is_multiple_of(size) {
            return format!("{}{name}", seconds / size);
        }
    }
    format!("{seconds}s")
}

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A number of bytes (`1048576`), or a whole number with a unit (`1MiB`, `10 GB`).
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, name) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match name.trim() {
        "" => 1,
        name => SIZES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1,
    };
    number.checked_mul(factor)
}

/// The shortest text that [`size`] reads as the same.
pub(crate) fn show_size(bytes: u64) -> String {
    SIZES
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, expected) in [
            ("10", Some(Duration::from_secs(10))),
            ("0.5", Some(Duration::from_millis(500))),
            ("10s", Some(Duration::from_secs(10))),
            ("500ms", Some(Duration::from_millis(500))),
            ("5m", Some(Duration::from_secs(300))),
            ("1h30m", Some(Duration::from_secs(5400))),
            ("1 hour 30 minutes", Some(Duration::from_secs(5400))),
            ("5 minutes", Some(Duration::from_secs(300))),
            ("30 days", Some(Duration::from_secs(2_592_000))),
            ("01:00:00", Some(Duration::from_secs(3600))),
            ("0:00:03.6", Some(Duration::from_millis(3600))),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("5 parsecs", None),
            ("5s5", None),
            ("1:30", None),
            ("1..5s", None),
            ("1e3", None),
            ("inf", None),
            ("99999999999999999999w", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1GiB", Some(1 << 30)),
            ("64 MiB", Some(64 << 20)),
            ("10MB", Some(10_000_000)),
            ("5b", Some(5)),
            ("1.5GiB", None),
            ("-1", None),
            ("GiB", None),
            ("1XB", None),
            ("99999999TiB", None),
            ("", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(seconds in 0_u64..100_000_000, millis in 0_u64..1000, bytes in any::<u64>()) {
            for value in [Duration::from_secs(seconds), Duration::from_millis(seconds / 1000 * 1000 + millis)] {
                prop_assert_eq!(duration(&show_duration(value)), Some(value));
            }
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _answers = (duration(&text), size(&text));
        }
    }
}

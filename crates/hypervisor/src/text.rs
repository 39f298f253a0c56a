//! Small pieces that the parsers of kernel files share.

use std::fmt;

/// A line that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// What could be understood of a file, and what not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed<T> {
    /// The good part.
    pub value: T,
    /// The lines that were skipped.
    pub faults: Vec<Fault>,
}

/// Reads a file line by line: each line changes the value, or is skipped for the reason it gives. Blank lines count
/// but are not looked at.
pub(crate) fn fold_lines<T: Default>(
    text: &str,
    mut step: impl FnMut(&mut T, &str) -> Result<(), String>,
) -> Parsed<T> {
    let mut parsed = Parsed { value: T::default(), faults: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        if let Err(reason) = step(&mut parsed.value, line) {
            parsed.faults.push(Fault::new(index + 1, reason));
        }
    }
    parsed
}

/// A file that is one number.
///
/// # Errors
/// The fault, if its first line is no number.
pub fn number(text: &str) -> Result<u64, Fault> {
    decimal(text.lines().next().unwrap_or_default().trim()).map_err(|reason| Fault::new(1, reason))
}

/// A file that is one number, where `max`, `-1` or a number near the top of the range means that there is no limit.
///
/// # Errors
/// The fault, if its first line is neither.
pub fn limit(text: &str) -> Result<Option<u64>, Fault> {
    /// "No limit" of v1 is the largest multiple of the page size below 2^63.
    const NONE: u64 = (1 << 63) - (1 << 20);
    match text.lines().next().unwrap_or_default().trim() {
        "max" | "-1" => Ok(None),
        word => {
            decimal(word).map(|value| (value < NONE).then_some(value)).map_err(|reason| Fault::new(1, reason))
        }
    }
}

/// A whole number of at least one digit.
pub(crate) fn decimal(word: &str) -> Result<u64, String> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(format!("{} is no number", quoted(word)));
    }
    word.parse().map_err(|_| format!("{} is too large", quoted(word)))
}

/// A finite decimal fraction, not negative.
pub(crate) fn fraction(word: &str) -> Result<f64, String> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match word.parse::<f64>() {
        Ok(value) if plain && value.is_finite() => Ok(value),
        _ => Err(format!("{} is no number", quoted(word))),
    }
}

/// The next word as a number.
pub(crate) fn next_number<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<u64, String> {
    decimal(words.next().ok_or("line ends too early")?)
}

/// `key value` split at blanks; a line with only a key is truncated.
pub(crate) fn key_and_number(line: &str) -> Result<(&str, u64), String> {
    let mut words = line.split_ascii_whitespace();
    let key = words.next().unwrap_or_default();
    Ok((key, next_number(&mut words)?))
}

/// A word for an error message, cut to a bearable length.
fn quoted(word: &str) -> String {
    format!("{:?}", word.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_all_the_ways_kernels_write_none() {
        for (text, expected) in [
            ("max\n", Ok(None)),
            ("-1\n", Ok(None)),
            ("9223372036854771712\n", Ok(None)),
            ("9223372036854710272\n", Ok(None)),
            ("9223372036854775807\n", Ok(None)),
            ("4294967296\n", Ok(Some(4_294_967_296))),
            ("0", Ok(Some(0))),
            ("", Err(Fault::new(1, "\"\" is no number"))),
            ("12k", Err(Fault::new(1, "\"12k\" is no number"))),
            ("99999999999999999999", Err(Fault::new(1, "\"99999999999999999999\" is too large"))),
        ] {
            assert_eq!(limit(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_plain_decimal() {
        assert_eq!(number("42\n"), Ok(42));
        for bad in ["", "+1", "-1", "1.5", "0x10"] {
            assert!(number(bad).is_err(), "{bad}");
        }
        assert_eq!(fraction("0.30"), Ok(0.3));
        for bad in ["", "nan", "inf", "-1", "1e3", "1.2.3", "."] {
            assert!(fraction(bad).is_err(), "{bad}");
        }
    }
}

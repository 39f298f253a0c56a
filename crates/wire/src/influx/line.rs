//! One line: `<measurement>[,<tag>=<value>…] <field>=<value>[,<field>=<value>…] [<timestamp>]`.

use std::borrow::Cow;

/// Why a line cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A line is text.
    #[error("it is no UTF-8, or has the character U+0000")]
    NoText,
    /// Something else should stand there.
    #[error("{expected} expected at column {column}")]
    Syntax {
        /// What should.
        expected: &'static str,
        /// Bytes before, and one.
        column: usize,
    },
    /// Before 1970, or after 2262.
    #[error("its timestamp is out of range")]
    Timestamp,
    /// Without the tag that names the resource.
    #[error("the tag that names the resource is missing")]
    NoTag,
    /// Measurement, field and tags together make a name that is too long.
    #[error("its measurement, field and tags are too long for the name of a metric")]
    LongName,
}

/// One line; its lists are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    measurement: Cow<'a, str>,
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) numbers: Vec<(Cow<'a, str>, f64)>,
    pub(super) timestamp: Option<i64>,
}

/// What is left of a line.
struct Cursor<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Line<'a> {
    /// Reads a line; one without anything, or a comment, has no numbers.
    pub(super) fn read(&mut self, line: &'a [u8]) -> Result<(), LineFault> {
        self.measurement = Cow::Borrowed("");
        self.tags.clear();
        self.numbers.clear();
        self.timestamp = None;
        let whole = std::str::from_utf8(line).ok().filter(|line| !line.contains('\0'));
        let whole = whole.ok_or(LineFault::NoText)?;
        let mut cursor = Cursor { whole, rest: whole };
        cursor.spaces();
        if cursor.rest.is_empty() || cursor.rest.starts_with('#') {
            return Ok(());
        }
        self.measurement = cursor.word(b", ", "a measurement")?;
        while cursor.skip(',') {
            let key = cursor.word(b"=, ", "a tag")?;
            cursor.need('=', "= after the tag")?;
            let value = cursor.word(b", ", "the value of a tag")?;
            self.tags.push((key, value));
        }
        cursor.need(' ', "a space before the fields")?;
        cursor.spaces();
        loop {
            let key = cursor.word(b"=, ", "a field")?;
            cursor.need('=', "= after the field")?;
            if let Some(number) = cursor.value()? {
                self.numbers.push((key, number));
            }
            if !cursor.skip(',') {
                break;
            }
        }
        if !cursor.rest.is_empty() {
            cursor.need(' ', "a comma or a space after the value")?;
            cursor.spaces();
            self.timestamp = cursor.timestamp()?;
        }
        // Of a tag that stands twice, the later counts.
        self.tags.reverse();
        self.tags.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.tags.dedup_by(|(later, _), (kept, _)| later == kept);
        Ok(())
    }

    /// Takes a tag away; its value.
    pub(super) fn take_tag(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let place = self.tags.iter().position(|(tag, _)| tag == name)?;
        Some(self.tags.remove(place).1)
    }

    /// Length of metrics' names without the field.
    pub(super) fn name_length(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(tag, value)| tag.len() + value.len() + 2).sum();
        self.measurement.len() + 1 + tags
    }

    /// Writes the name of a field's metric.
    pub(super) fn write_name(&self, field: &str, name: &mut String) {
        name.clear();
        name.extend([&self.measurement, ".", field]);
        for (place, (tag, value)) in self.tags.iter().enumerate() {
            name.extend([if place == 0 { "@" } else { "," }, tag, "=", value]);
        }
        if name.contains('/') {
            *name = name.replace('/', "_");
        }
    }
}

impl<'a> Cursor<'a> {
    fn fault(&self, expected: &'static str) -> LineFault {
        LineFault::Syntax { expected, column: self.whole.len() - self.rest.len() + 1 }
    }

    fn skip(&mut self, letter: char) -> bool {
        self.rest.strip_prefix(letter).map(|rest| self.rest = rest).is_some()
    }

    fn need(&mut self, letter: char, expected: &'static str) -> Result<(), LineFault> {
        if self.skip(letter) { Ok(()) } else { Err(self.fault(expected)) }
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Takes `length` bytes, which end before a character of ASCII or at the end.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// A name or a value of a tag, up to one of `ends` that no backslash stands before. In quotes it may hold those too.
    fn word(&mut self, ends: &[u8], expected: &'static str) -> Result<Cow<'a, str>, LineFault> {
        if let Some(quoted) = self.quoted(ends) {
            return Ok(quoted);
        }
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        let mut is_escaped = false;
        while let Some(byte) = bytes.get(at) {
            if *byte == b'\\' && matches!(bytes.get(at + 1), Some(b',' | b' ' | b'=')) {
                is_escaped = true;
                at += 2;
            } else if ends.contains(byte) {
                break;
            } else {
                at += 1;
            }
        }
        if at == 0 {
            return Err(self.fault(expected));
        }
        let word = self.take(at);
        Ok(if is_escaped { Cow::Owned(unescaped(word, &[',', ' ', '='])) } else { Cow::Borrowed(word) })
    }

    /// A word in quotes that one of `ends` follows, or nothing.
    fn quoted(&mut self, ends: &[u8]) -> Option<Cow<'a, str>> {
        let inner = self.rest.strip_prefix('"')?;
        let (length, is_escaped) = quote_end(inner)?;
        let follows = inner.as_bytes().get(length + 1);
        if length == 0 || !follows.is_none_or(|byte| ends.contains(byte)) {
            return None;
        }
        self.take(1);
        let word = self.take(length);
        self.take(1);
        Some(if is_escaped { Cow::Owned(unescaped(word, &['"', '\\'])) } else { Cow::Borrowed(word) })
    }

    /// The value of a field; nothing for text.
    fn value(&mut self) -> Result<Option<f64>, LineFault> {
        if let Some(inner) = self.rest.strip_prefix('"') {
            let (length, _) = quote_end(inner).ok_or_else(|| self.fault("a quote that ends the text"))?;
            self.take(length + 2);
            return Ok(None);
        }
        let length = self.rest.bytes().position(|byte| byte == b',' || byte == b' ');
        let text = self.rest.get(..length.unwrap_or(self.rest.len())).unwrap_or_default();
        let value = number(text).ok_or_else(|| self.fault("a number, a boolean or a text in quotes"))?;
        self.take(text.len());
        Ok(Some(value))
    }

    fn timestamp(&mut self) -> Result<Option<i64>, LineFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.fault("a timestamp"));
        }
        self.rest.parse().map(Some).map_err(|_| LineFault::Timestamp)
    }
}

/// Where the quote that ends a text is, and whether backslashes stand before.
fn quote_end(text: &str) -> Option<(usize, bool)> {
    let mut is_escaped = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((at, is_escaped)),
            b'\\' => {
                is_escaped = true;
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

/// Without the backslashes before `letters`.
fn unescaped(word: &str, letters: &[char]) -> String {
    let mut plain = String::with_capacity(word.len());
    let mut rest = word.chars().peekable();
    while let Some(letter) = rest.next() {
        match rest.peek() {
            Some(next) if letter == '\\' && letters.contains(next) => plain.extend(rest.next()),
            _ => plain.push(letter),
        }
    }
    plain
}

/// A float, an integer (`43i`, `43u`) or a boolean as a number.
#[allow(clippy::cast_precision_loss)]
fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse::<i64>().ok().map(|number| number as f64);
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse::<u64>().ok().map(|number| number as f64);
    }
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(0.0),
        _ => {}
    }
    // Not the words for what is no finite number.
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|value: &f64| is_plain && value.is_finite())
}

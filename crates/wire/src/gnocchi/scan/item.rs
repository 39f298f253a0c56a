//! Lists of `{"timestamp": …, "value": …}`.

use nephos_model::Timestamp;

use super::Columns;
use super::cursor::Cursor;
use super::number;
use crate::gnocchi::time::{self, Days, TimestampKind};

/// Reads lists into columns.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) columns: Columns,
    /// Of the date read last: neighbours mostly share it.
    days: Days,
    /// Of the list before: what is measured at once has the same time.
    first: First,
}

/// How a list began, up to its first value.
#[derive(Debug)]
struct First {
    text: [u8; LONGEST],
    length: usize,
    timestamp: Timestamp,
}

/// With a time to the nanosecond, its offset, and blanks.
const LONGEST: usize = 64;

impl First {
    /// Goes on behind this very beginning, if it stands there again.
    #[inline]
    fn skip(&self, cursor: &mut Cursor<'_>) -> Option<Timestamp> {
        let text = self.text.get(..self.length).filter(|text| !text.is_empty())?;
        cursor.skip(text).then_some(self.timestamp)
    }

    #[inline]
    fn set(&mut self, text: &[u8], rest: &[u8], timestamp: Timestamp) {
        self.length = 0;
        let length = text.len() - rest.len();
        if let (Some(held), Some(text)) = (self.text.get_mut(..length), text.get(..length)) {
            held.copy_from_slice(text);
            (self.length, self.timestamp) = (length, timestamp);
        }
    }
}

/// A measure whose parts are read one by one.
#[derive(Default)]
struct Parts {
    timestamp: Option<Timestamp>,
    value: Option<f64>,
}

impl Items {
    pub(super) fn with_room(measures: usize) -> Self {
        let (timestamps, values) = (Vec::with_capacity(measures), Vec::with_capacity(measures));
        let first = First { text: [0; LONGEST], length: 0, timestamp: Timestamp::EPOCH };
        Self { columns: Columns { timestamps, values }, days: Days::default(), first }
    }

    /// A list of measures; how the first one's time is written decides for all.
    #[inline]
    pub(super) fn list(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        cursor.take(b'[')?;
        if cursor.peek()? == b']' {
            return cursor.take(b']');
        }
        let mut kind = None;
        loop {
            let (timestamp, value) = self.item(cursor, &mut kind)?;
            self.columns.timestamps.push(timestamp);
            self.columns.values.push(value);
            match cursor.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    #[inline]
    fn item(
        &mut self,
        cursor: &mut Cursor<'_>,
        kind: &mut Option<TimestampKind>,
    ) -> Option<(Timestamp, f64)> {
        let start = *cursor;
        match self.usual(cursor, kind.is_none()) {
            Some(item) if *kind.get_or_insert(TimestampKind::Iso) == TimestampKind::Iso => Some(item),
            Some(_) => None,
            None => {
                *cursor = start;
                self.any(cursor, kind)
            }
        }
    }

    /// As nearly all are: `{"timestamp": "2015-03-06T14:33:57", "value": 43.1}`, with the blanks or without.
    #[inline]
    fn usual(&mut self, cursor: &mut Cursor<'_>, is_first: bool) -> Option<(Timestamp, f64)> {
        let same = if is_first { self.first.skip(cursor) } else { None };
        let timestamp = match same {
            Some(timestamp) => timestamp,
            None => self.until_value(cursor, is_first)?,
        };
        let value = number::read(cursor)?;
        cursor.skip(b"}").then_some((timestamp, value))
    }

    #[inline]
    fn until_value(&mut self, cursor: &mut Cursor<'_>, is_first: bool) -> Option<Timestamp> {
        let text = cursor.rest();
        let rest = after_blank(text.strip_prefix(b"{\"timestamp\":")?);
        let (timestamp, rest) = time::iso_prefix(rest.strip_prefix(b"\"")?, &mut self.days)?;
        let rest = after_blank(rest.strip_prefix(b"\",")?);
        let rest = after_blank(rest.strip_prefix(b"\"value\":")?);
        if is_first {
            self.first.set(text, rest, timestamp);
        }
        cursor.go_on(rest);
        Some(timestamp)
    }

    fn any(&mut self, cursor: &mut Cursor<'_>, kind: &mut Option<TimestampKind>) -> Option<(Timestamp, f64)> {
        let mut parts = Parts::default();
        cursor.take(b'{')?;
        loop {
            cursor.take(b'"')?;
            if cursor.skip(b"timestamp\"") {
                cursor.take(b':')?;
                let (timestamp, written) = self.timestamp(cursor)?;
                if *kind.get_or_insert(written) != written || parts.timestamp.replace(timestamp).is_some() {
                    return None;
                }
            } else if cursor.skip(b"value\"") {
                cursor.take(b':')?;
                if parts.value.replace(value(cursor)?).is_some() {
                    return None;
                }
            } else {
                return None;
            }
            match cursor.next()? {
                b',' => {}
                b'}' => return Some((parts.timestamp?, parts.value?)),
                _ => return None,
            }
        }
    }

    #[inline]
    fn timestamp(&mut self, cursor: &mut Cursor<'_>) -> Option<(Timestamp, TimestampKind)> {
        if cursor.peek()? == b'"' {
            cursor.skip(b"\"");
            let (timestamp, rest) = time::iso_prefix(cursor.rest(), &mut self.days)?;
            cursor.go_on(rest.strip_prefix(b"\"")?);
            return Some((timestamp, TimestampKind::Iso));
        }
        let seconds = number::read(cursor)?;
        time::from_seconds(seconds).ok().map(|timestamp| (timestamp, TimestampKind::Seconds))
    }
}

#[inline]
fn after_blank(text: &[u8]) -> &[u8] {
    text.strip_prefix(b" ").unwrap_or(text)
}

#[inline]
fn value(cursor: &mut Cursor<'_>) -> Option<f64> {
    match cursor.peek()? {
        b'-' | b'0'..=b'9' if !cursor.rest().starts_with(b"-I") => number::read(cursor),
        b'"' => std::str::from_utf8(cursor.text()?).ok()?.trim().parse().ok(),
        _ => word(cursor),
    }
}

/// Words that stand for numbers, some of them in Python's JSON only.
fn word(cursor: &mut Cursor<'_>) -> Option<f64> {
    const WORDS: [(&[u8], f64); 5] = [
        (b"NaN", f64::NAN),
        (b"Infinity", f64::INFINITY),
        (b"-Infinity", f64::NEG_INFINITY),
        (b"true", 1.0),
        (b"false", 0.0),
    ];
    WORDS.into_iter().find(|(word, _)| cursor.skip(word)).map(|(_, value)| value)
}

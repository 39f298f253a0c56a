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
        Self { columns: Columns { timestamps, values }, days: Days::default() }
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
        match self.usual(cursor) {
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
    fn usual(&mut self, cursor: &mut Cursor<'_>) -> Option<(Timestamp, f64)> {
        let rest = after_blank(cursor.rest().strip_prefix(b"{\"timestamp\":")?);
        let (timestamp, rest) = time::iso_prefix(rest.strip_prefix(b"\"")?, &mut self.days)?;
        let rest = after_blank(rest.strip_prefix(b"\",")?);
        cursor.go_on(after_blank(rest.strip_prefix(b"\"value\":")?));
        let value = number::read(cursor)?;
        cursor.go_on(cursor.rest().strip_prefix(b"}")?);
        Some((timestamp, value))
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

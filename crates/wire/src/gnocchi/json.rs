//! JSON as Gnocchi writes it: `": "` and `", "` between things, and bare `NaN` and `Infinity` (metrics-api §2.1).

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Puts a blank after every colon and comma.
#[derive(Clone, Copy, Debug, Default)]
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// `value` as JSON text. Fails only for values that JSON cannot hold, such as maps with keys that are no text.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced))?;
    Ok(out)
}

/// Appends a float in the fewest digits that read back as it; what JSON has no number for becomes a bare word.
#[inline]
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if value.abs() < WHOLE && value.trunc() == value {
        push_whole(out, value);
    } else if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
}

/// Below this, the digits of a whole number are those of the integer.
const WHOLE: f64 = 1e15;

/// Appends a whole number below [`WHOLE`].
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn push_whole(out: &mut Vec<u8>, value: f64) {
    let mut text = *b"-000000000000000.0";
    let mut left = value.abs() as u64;
    let mut start = text.len() - 2;
    for (at, digit) in text.iter_mut().enumerate().rev().skip(2) {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        start = at;
        if left == 0 {
            break;
        }
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    out.extend_from_slice(text.get(start..).unwrap_or_default());
}

/// `body` with every bare `NaN`, `Infinity` and `-Infinity` turned into text, if there is any: Python's JSON has these
/// words where numbers stand, ours does not, and the text of such a value means the same.
pub fn quote_bare_words(body: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        if byte == b'"' {
            at = end_of_text(body, at);
            continue;
        }
        let rest = body.get(at..).unwrap_or_default();
        match WORDS.into_iter().find(|word| rest.starts_with(word)) {
            Some(word) => {
                out.extend_from_slice(body.get(copied..at).unwrap_or_default());
                out.push(b'"');
                out.extend_from_slice(word);
                out.push(b'"');
                at += word.len();
                copied = at;
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Some(out)
}

/// The index behind the closing quote of the text that opens at `start`.
fn end_of_text(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn separators_have_blanks() {
        let value = json!({"name": "medium", "list": [1, 2.5, null], "empty": {}, "none": []});
        let text = String::from_utf8(to_vec(&value).unwrap()).unwrap();
        assert_eq!(text, r#"{"empty": {}, "list": [1, 2.5, null], "name": "medium", "none": []}"#);
    }

    #[test]
    fn floats_outside_json_are_bare_words() {
        let mut out = Vec::new();
        for value in [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1] {
            push_float(&mut out, value);
            out.push(b' ');
        }
        assert_eq!(String::from_utf8(out).unwrap(), "1.0 NaN Infinity -Infinity 0.1 ");
    }

    #[test]
    fn bare_words_become_texts_but_texts_stay() {
        for (body, expected) in [
            (r#"[{"value": NaN}]"#, Some(r#"[{"value": "NaN"}]"#)),
            (r#"[-Infinity,Infinity]"#, Some(r#"["-Infinity","Infinity"]"#)),
            (r#"["NaN", "a\"NaN", 1]"#, None),
            (r#"["\\", NaN]"#, Some(r#"["\\", "NaN"]"#)),
            (r#"["NaN"#, None),
        ] {
            let quoted = quote_bare_words(body.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(quoted.as_deref(), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn floats_are_written_as_json_writes_them(value in any::<f64>(), whole in any::<i64>(), shift in 0..64) {
            for value in [value, (whole >> shift) as f64, (whole >> shift) as f64 / 1e3, -0.0, 1e15, 999_999_999_999_999.0] {
                let mut out = Vec::new();
                push_float(&mut out, value);
                if value.is_finite() {
                    prop_assert_eq!(out, serde_json::to_vec(&value).unwrap());
                }
            }
        }

        #[test]
        fn quoting_never_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _either = quote_bare_words(&body);
        }

        #[test]
        fn valid_json_needs_no_quoting(text in ".{0,20}", number in any::<f64>()) {
            let body = serde_json::to_vec(&json!({"k": text, "n": number})).unwrap();
            prop_assert_eq!(quote_bare_words(&body), None);
        }
    }
}

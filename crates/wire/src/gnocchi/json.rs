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
    let mut text = [0; FLOAT];
    let length = put_float(&mut text, value);
    out.extend_from_slice(text.get(..length).unwrap_or_default());
}

/// Room for the text of any float.
pub(super) const FLOAT: usize = 32;

/// Below this, the digits of a whole number are those of the integer.
const WHOLE: f64 = 1e15;

/// Writes a float to the start of `text`, as [`push_float`] does; how long it is.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(super) fn put_float(text: &mut [u8; FLOAT], value: f64) -> usize {
    let whole = value as i64;
    if whole as f64 == value && value.abs() < WHOLE {
        return put_whole(text, whole, value.is_sign_negative());
    }
    let mut buffer = zmij::Buffer::new();
    let shown = if value.is_finite() {
        buffer.format_finite(value)
    } else if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    copy_short(text, shown.as_bytes())
}

/// Copies a text of at most [`FLOAT`] bytes to the start of `place`; how long it is. Two copies of constant length that
/// overlap take less time than one of the right length.
#[inline]
fn copy_short(place: &mut [u8; FLOAT], text: &[u8]) -> usize {
    let length = text.len().min(FLOAT);
    if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        place[..16].copy_from_slice(first);
        place[length - 16..length].copy_from_slice(last);
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        place[..8].copy_from_slice(first);
        place[length - 8..length].copy_from_slice(last);
    } else {
        place[..length].copy_from_slice(text);
    }
    length
}

/// Writes a whole number below [`WHOLE`], with its sign, which zero has as well.
#[inline]
#[allow(clippy::cast_possible_truncation)]
fn put_whole(text: &mut [u8; FLOAT], whole: i64, is_negative: bool) -> usize {
    const HALF: u64 = 100_000_000;
    let whole = whole.unsigned_abs();
    let sign = usize::from(is_negative);
    text[0] = b'-';
    // Shifted in registers: bytes read back from memory in another grouping than they were written wait until all that was
    // written before has left the processor, the text of earlier points as well. What lies behind the text does not matter.
    let end = if whole < HALF {
        let digits = eight_digits(whole as u32);
        let zeros = (digits.trailing_zeros() / 8).min(7);
        text[sign..sign + 8].copy_from_slice(&((digits | ZEROS) >> (8 * zeros)).to_le_bytes());
        sign + 8 - zeros as usize
    } else {
        let (high, low) = (eight_digits((whole / HALF) as u32), eight_digits((whole % HALF) as u32));
        let zeros = high.trailing_zeros() / 8;
        let digits = u128::from(high | ZEROS) | (u128::from(low | ZEROS) << 64);
        text[sign..sign + 16].copy_from_slice(&(digits >> (8 * zeros)).to_le_bytes());
        sign + 16 - zeros as usize
    };
    text[end..end + 2].copy_from_slice(b".0");
    end + 2
}

/// Eight times `0`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight decimal digits of a number below 10⁸, the first in the lowest byte: halves, quarters and eighths are split
/// off for all places at once, by multiplications that divide exactly in these ranges.
#[inline]
fn eight_digits(number: u32) -> u64 {
    let fours = u64::from(number / 10_000) | (u64::from(number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
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
        fn eight_digits_are_those_of_the_number(number in 0_u32..100_000_000) {
            let text = (eight_digits(number) | ZEROS).to_le_bytes();
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), format!("{number:08}"));
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

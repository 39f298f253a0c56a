//! How Python 3 writes values as text: what signatures are computed over.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use crate::python::float;

/// Appends `str(value)`. Objects are the caller's to flatten; here they are written as inside a list.
pub(super) fn push_str(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(text),
        other => push_repr(out, other),
    }
}

/// Appends `repr(value)` after every string in it was turned into bytes.
fn push_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => push_number(out, number),
        Value::String(text) => push_bytes_repr(out, text.as_bytes()),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                push_repr(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (position, (key, item)) in sorted(map).into_iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                push_bytes_repr(out, key.as_bytes());
                out.push_str(": ");
                push_repr(out, item);
            }
            out.push('}');
        }
    }
}

/// The entries of `map` by code points of their keys, whatever order the map itself keeps.
pub(super) fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

fn push_number(out: &mut String, number: &Number) {
    if let Some(int) = number.as_i64() {
        push_int(out, int);
    } else if let Some(int) = number.as_u64() {
        push_int(out, int);
    } else {
        push_float(out, number.as_f64().unwrap_or(f64::NAN));
    }
}

/// Appends a whole number in decimal.
pub(super) fn push_int(out: &mut String, int: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _infallible = write!(out, "{int}");
}

/// Appends `repr` of a float.
pub(super) fn push_float(out: &mut String, value: f64) {
    out.push_str(&float(value));
}

fn push_bytes_repr(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\'' if quote == '\'' => out.push_str("\\'"),
            0x20..=0x7e => out.push(char::from(*byte)),
            other => {
                let _infallible = write!(out, "\\x{other:02x}");
            }
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        let mut out = String::new();
        push_str(&mut out, value);
        out
    }

    #[test]
    fn values_are_written_as_python_does() {
        for (value, expected) in [
            (json!("it's"), "it's"),
            (json!(null), "None"),
            (json!(true), "True"),
            (json!(5), "5"),
            (json!(18_446_744_073_709_551_615_u64), "18446744073709551615"),
            (json!(-3), "-3"),
            (json!(5.0), "5.0"),
            (json!(-0.0), "-0.0"),
            (json!(0.0001), "0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(1.5e-7), "1.5e-07"),
            (json!(9_007_199_254_740_993.0), "9007199254740992.0"),
            (json!(9_999_999_999_999_998.0), "9999999999999998.0"),
            (json!(1e16), "1e+16"),
            (json!(1.234e22), "1.234e+22"),
            (json!(1e300), "1e+300"),
            (json!(5e-324), "5e-324"),
            (json!([]), "[]"),
            (json!(["a", 1, 0.5, null, false]), "[b'a', 1, 0.5, None, False]"),
            (json!([{"k2": "v", "k1": 1}, {}]), "[{b'k1': 1, b'k2': b'v'}, {}]"),
            (
                json!(["it's", "\"", "'\"", "\\\t\n\r\u{7f}\u{0}é"]),
                r#"[b"it's", b'"', b'\'"', b'\\\t\n\r\x7f\x00\xc3\xa9']"#,
            ),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    proptest! {
        #[test]
        fn every_float_reads_back_to_itself(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            let mut out = String::new();
            push_float(&mut out, value);
            prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}

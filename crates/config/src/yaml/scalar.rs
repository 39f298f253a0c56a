//! What unquoted words mean.

use crate::tree::Value;

/// The value of an unquoted word, as the readers of the original files take it, except that a number with leading
/// zeros or with colons stays text.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        let hexadecimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return hexadecimal.then(|| i64::from_str_radix(digits, 16).ok().map(Value::Int)).flatten();
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = unsigned.len() > 1 && unsigned.starts_with('0') && !unsigned.starts_with("0.");
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !numeric || (leading_zero && !unsigned.contains(['e', 'E'])) {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        return Some(Value::Int(number));
    }
    text.parse().ok().map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_as_the_original_readers_do() {
        for (text, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("y", Value::String("y".into())),
            ("300", Value::Int(300)),
            ("-7", Value::Int(-7)),
            ("+7", Value::Int(7)),
            ("0", Value::Int(0)),
            ("0x1F", Value::Int(31)),
            ("0755", Value::String("0755".into())),
            ("1:30", Value::String("1:30".into())),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Float(1000.0)),
            ("-1.5e-3", Value::Float(-0.0015)),
            ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            (".inf", Value::Float(f64::INFINITY)),
            ("inf", Value::String("inf".into())),
            ("nan", Value::String("nan".into())),
            ("1.2.3", Value::String("1.2.3".into())),
            ("e", Value::String("e".into())),
            (".", Value::String(".".into())),
            ("0x", Value::String("0x".into())),
            ("0x+1", Value::String("0x+1".into())),
            ("2015-03-06", Value::String("2015-03-06".into())),
        ] {
            assert_eq!(plain(text), value, "{text:?}");
        }
    }
}

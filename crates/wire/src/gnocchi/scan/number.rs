//! Numbers of JSON as the nearest floats.

use super::cursor::Cursor;
use crate::gnocchi::digits;

/// Powers of ten that are floats exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Up to this, every integer is a float exactly.
const EXACT: u64 = 1 << 53;

/// A number; `None` if it is none of JSON's or too large for a float.
#[inline]
pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<f64> {
    let start = cursor.rest();
    let is_negative = cursor.skip(b"-");
    // Beyond nineteen digits they may wrap around: then they are not looked at.
    let (mut digits, whole, mut rest) = digits::run(cursor.rest(), 0);
    if whole == 0 || (whole > 1 && cursor.rest().starts_with(b"0")) {
        return None;
    }
    if let [b'}', ..] = rest
        && whole <= 19
    {
        cursor.go_on(rest);
        return exact(digits, 0).map(|magnitude| if is_negative { -magnitude } else { magnitude });
    }
    let mut behind = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        (digits, behind, rest) = digits::run(fraction, digits);
        if behind == 0 {
            return None;
        }
    }
    let mut exponent = 0;
    if let [b'e' | b'E', after @ ..] = rest {
        (exponent, rest) = read_exponent(after)?;
    }
    cursor.go_on(rest);
    let scale = i64::try_from(behind).ok()?;
    let magnitude = if whole + behind <= 19 { exact(digits, exponent - scale) } else { None };
    match magnitude {
        Some(magnitude) => Some(if is_negative { -magnitude } else { magnitude }),
        None => {
            let text = start.get(..start.len() - rest.len())?;
            std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
        }
    }
}

/// `digits · 10^exponent` where one rounding gives the nearest float: both are floats exactly.
#[inline]
#[allow(clippy::cast_precision_loss)]
fn exact(digits: u64, exponent: i64) -> Option<f64> {
    if exponent == 0 {
        return Some(digits as f64);
    }
    if digits > EXACT {
        return None;
    }
    let power = *POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    Some(if exponent < 0 { digits as f64 / power } else { digits as f64 * power })
}

/// An exponent without its `e`; one that is absurd is left to others.
fn read_exponent(text: &[u8]) -> Option<(i64, &[u8])> {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, count, rest) = digits::run(text, 0);
    if !(1..=4).contains(&count) {
        return None;
    }
    let value = i64::try_from(digits).ok()?;
    Some((if is_negative { -value } else { value }, rest))
}

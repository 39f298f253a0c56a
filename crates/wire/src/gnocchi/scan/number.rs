//! Numbers of JSON as the nearest floats.

use super::cursor::Cursor;

/// Powers of ten that are floats exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Up to this, every integer is a float exactly.
const EXACT: u64 = 1 << 53;

/// The digits of a number so far; `digits` may wrap around once there are more than nineteen.
#[derive(Clone, Copy)]
struct Digits<'a> {
    rest: &'a [u8],
    digits: u64,
    count: usize,
}

impl Digits<'_> {
    /// Takes digits as they come.
    #[inline]
    fn run(mut self) -> Self {
        while let Some((byte, rest)) = self.rest.split_first() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            self.digits = self.digits.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.count += 1;
            self.rest = rest;
        }
        self
    }
}

/// A number; `None` if it is none of JSON's or too large for a float.
#[inline]
pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<f64> {
    let start = cursor.rest();
    let is_negative = cursor.skip(b"-");
    let whole = Digits { rest: cursor.rest(), digits: 0, count: 0 }.run();
    if whole.count == 0 || (whole.count > 1 && cursor.rest().starts_with(b"0")) {
        return None;
    }
    let mut all = whole;
    if let Some(rest) = whole.rest.strip_prefix(b".") {
        all = Digits { rest, ..whole }.run();
        if all.count == whole.count {
            return None;
        }
    }
    let mut exponent = 0;
    let mut rest = all.rest;
    if let [b'e' | b'E', after @ ..] = rest {
        (exponent, rest) = read_exponent(after)?;
    }
    cursor.go_on(rest);
    let scale = i64::try_from(all.count - whole.count).ok()?;
    let magnitude = if all.count <= 19 { exact(all.digits, exponent - scale) } else { None };
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
    let exponent = Digits { rest: text, digits: 0, count: 0 }.run();
    if !(1..=4).contains(&exponent.count) {
        return None;
    }
    let value = i64::try_from(exponent.digits).ok()?;
    Some((if is_negative { -value } else { value }, exponent.rest))
}

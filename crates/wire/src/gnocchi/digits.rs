//! Decimal digits, eight at a time.

/// Powers of ten up to the eighth.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// As many digits as stand at the start of a text: the number they make on top of `number`, modulo 2⁶⁴, how many they are, and
/// what comes behind them.
#[inline]
pub(super) fn run(mut text: &[u8], mut number: u64) -> (u64, usize, &[u8]) {
    let length = text.len();
    while let Some((eight, _)) = text.split_first_chunk() {
        let (value, count) = leading(*eight);
        number = number.wrapping_mul(TENS[count]).wrapping_add(value);
        text = text.get(count..).unwrap_or_default();
        if count < 8 {
            return (number, length - text.len(), text);
        }
    }
    while let Some((byte, rest)) = text.split_first() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        text = rest;
    }
    (number, length - text.len(), text)
}

/// The digits at the start of eight bytes: what they say, and how many they are. All bytes at once, a digit each.
#[inline]
fn leading(text: [u8; 8]) -> (u64, usize) {
    const fn all(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    // Digits become 0 to 9; whatever else stands there gets the high bit of its byte, and nothing carries.
    let digits = u64::from_le_bytes(text) ^ all(b'0');
    let others = (((digits & all(0x7f)) + all(0x76)) | digits) & all(0x80);
    let count = others.trailing_zeros() / 8;
    // What is no digit is shifted out; zeros come in at the front.
    let digits = digits.checked_shl(64 - count * 8).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (eight, count as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same one by one.
    fn slowly(text: &[u8]) -> (u64, usize) {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
        let number =
            digits.clone().fold(0_u64, |all, byte| all.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')));
        (number, digits.count())
    }

    proptest! {
        #[test]
        fn digits_say_the_same_one_by_one(
            digits in "[0-9]{0,26}",
            behind in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut text = digits.into_bytes();
            text.extend(behind);
            let (number, count, rest) = run(&text, 0);
            prop_assert_eq!((number, count), slowly(&text));
            prop_assert_eq!(rest, &text[count..]);
        }
    }

    #[test]
    fn every_byte_that_is_no_digit_ends_a_run() {
        for byte in 0..=u8::MAX {
            let text = [b'9', byte, b'1', b'2', b'3', b'4', b'5', b'6', b'7'];
            let expected = if byte.is_ascii_digit() { 9 } else { 1 };
            assert_eq!(run(&text, 0).1, expected, "{byte:#x}");
        }
        assert_eq!(run(b"5,", 12), (125, 1, &b","[..]));
    }
}

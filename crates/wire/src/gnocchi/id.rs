//! UUIDs as clients write them, and the conversion of free resource ids (metrics-api §2.4, §6.1).

use nephos_model::ResourceId;
use uuid::Uuid;

/// Namespace of resource ids that are no UUIDs.
const NAMESPACE: Uuid = Uuid::from_u128(0x0a7a_15ff_aa13_4ac2_897c_9bdf_30ce_175b);

/// Longest resource id, in characters, that is converted.
pub(crate) const MAX_CHARACTERS: usize = 289;

/// Why a text is no resource id. The texts are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// A slash would split the id in a path.
    #[error("'/' is not supported in resource id")]
    Slash,
    /// Longer than 289 characters.
    #[error("transformable resource id >289 max allowed characters")]
    TooLong,
}

/// The identifier of the resource that a client calls `text`: a UUID is used as it is, anything else becomes a
/// UUID 5 of the text and of the creator string of who says it.
pub fn resource_id(text: &str, creator: Option<&str>) -> Result<ResourceId, ResourceIdError> {
    if text.contains('/') {
        return Err(ResourceIdError::Slash);
    }
    if let Some(uuid) = parse_uuid(text) {
        return Ok(ResourceId(uuid));
    }
    if text.chars().count() > MAX_CHARACTERS {
        return Err(ResourceIdError::TooLong);
    }
    let creator = creator.unwrap_or("\0");
    let mut name = String::with_capacity(text.len() + creator.len() + 1);
    name.push_str(text);
    name.push('\0');
    name.push_str(creator);
    Ok(ResourceId(Uuid::new_v5(&NAMESPACE, name.as_bytes())))
}

/// A UUID in the form that nearly all clients send, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in letters of either case; `None`
/// for everything else, be it a UUID or not.
#[inline]
pub(super) fn usual_uuid(text: &[u8; 36]) -> Option<Uuid> {
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    from_hex(&digits).map(Uuid::from_bytes)
}

/// The bytes that hexadecimal digits make. Loops without a way out: the compiler does many digits at once.
#[inline]
fn from_hex(digits: &[u8; 32]) -> Option<[u8; 16]> {
    let (mut values, mut others) = ([0; 32], 0);
    for (value, text) in values.iter_mut().zip(digits) {
        let (digit, letter) = (text.wrapping_sub(b'0'), (text | 0x20).wrapping_sub(b'a'));
        others |= u8::from(digit > 9) & u8::from(letter > 5);
        *value = if digit > 9 { letter.wrapping_add(10) } else { digit };
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(values.as_chunks::<2>().0) {
        *byte = pair[0] << 4 | pair[1];
    }
    (others == 0).then_some(bytes)
}

/// A UUID in any text form that Python's `uuid.UUID` takes: with or without dashes, in braces, as a URN.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    if let Ok(uuid) = Uuid::parse_str(text) {
        return Some(uuid);
    }
    // Far beyond the longest form with prefixes, braces and dashes: not worth a copy.
    if text.len() > 128 {
        return None;
    }
    let text = text.replace("urn:", "").replace("uuid:", "");
    let digits = text.trim_matches(['{', '}']).replace('-', "");
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn free_ids_are_converted_with_their_creator() {
        for (text, creator, expected) in [
            ("1.2.3.4", "foobar", "a9c729cc-d1b0-5e6b-b5ba-8b5a7f45f1fc"),
            ("foobar", "foobar", "2fbfbb20-8d56-5e1e-afb9-b3007da11fdf"),
            ("foobar", "admin", "b4d568e4-7af1-5aec-ac3f-9c09fa3685a9"),
            ("myvalue", "admin", "6b9e2039-98d0-5d8d-9153-2d7491cf13e5"),
        ] {
            assert_eq!(
                resource_id(text, Some(creator)).unwrap().to_string(),
                expected,
                "{text} by {creator}"
            );
        }
    }

    #[test]
    fn nobody_is_a_creator_of_their_own() {
        assert_eq!(resource_id("a", None), resource_id("a", Some("\0")));
        assert_ne!(resource_id("a", None), resource_id("a", Some("")));
    }

    #[test]
    fn every_usual_form_of_a_uuid_is_one() {
        let expected = "a9c729cc-d1b0-5e6b-b5ba-8b5a7f45f1fc";
        for text in [
            expected,
            "A9C729CC-D1B0-5E6B-B5BA-8B5A7F45F1FC",
            "a9c729ccd1b05e6bb5ba8b5a7f45f1fc",
            "{a9c729cc-d1b0-5e6b-b5ba-8b5a7f45f1fc}",
            "urn:uuid:a9c729cc-d1b0-5e6b-b5ba-8b5a7f45f1fc",
            "a9c7-29ccd1b05e6bb5ba8b5a7f45f1-fc",
        ] {
            assert_eq!(resource_id(text, Some("me")).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "a9c729cc", "+9c729ccd1b05e6bb5ba8b5a7f45f1fc", "g9c729ccd1b05e6bb5ba8b5a7f45f1fc"] {
            assert_eq!(parse_uuid(text), None, "{text}");
        }
    }

    #[test]
    fn slashes_and_long_texts_are_refused_by_characters() {
        assert_eq!(resource_id("a/b", None), Err(ResourceIdError::Slash));
        assert_eq!(resource_id(&"é".repeat(290), None), Err(ResourceIdError::TooLong));
        assert!(resource_id(&"é".repeat(289), None).is_ok());
        assert!(resource_id("", None).is_ok());
    }

    proptest! {
        #[test]
        fn the_usual_form_is_read_as_any_other_is(
            number in any::<u128>(),
            upper in any::<u64>(),
            damage in proptest::option::of((0_usize..36, any::<u8>())),
        ) {
            let text = Uuid::from_u128(number).to_string();
            let mix = |(at, letter): (usize, u8)| {
                if upper >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
            };
            let mut text: Vec<u8> = text.bytes().enumerate().map(mix).collect();
            if let Some((at, byte)) = damage {
                text[at] = byte;
            }
            let expected = std::str::from_utf8(&text).ok().and_then(|text| Uuid::try_parse(text).ok());
            prop_assert_eq!(usual_uuid(text.as_slice().try_into().unwrap()), expected);
        }

        #[test]
        fn any_text_gets_an_id_or_a_reason(text in ".{0,300}", creator in proptest::option::of(".{0,10}")) {
            let first = resource_id(&text, creator.as_deref());
            prop_assert_eq!(first, resource_id(&text, creator.as_deref()));
            prop_assert_eq!(first.is_err(), text.contains('/') || (parse_uuid(&text).is_none() && text.chars().count() > 289));
        }
    }
}

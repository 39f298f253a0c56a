//! U+0000: text that PostgreSQL cannot hold, so no part of a request may carry it into the index.

use http::Uri;

/// What a client is told.
pub const REFUSAL: &str = "Text with the character U+0000 is not supported";

/// Whether a text of this JSON has the character. As it is it may not stand in JSON at all, so only its escape counts.
pub fn in_json(bytes: &[u8]) -> bool {
    // Most bodies have no escape, which is told quickly.
    if !bytes.contains(&b'\\') {
        return false;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// Whether the decoded path or query has the character.
pub fn in_uri(uri: &Uri) -> bool {
    uri.path().contains("%00") || uri.query().is_some_and(|query| query.contains("%00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_escape_of_the_character_counts() {
        for (json, expected) in [
            (r#"{"name": "a\u0000b"}"#, true),
            (r#"{"\u0000": 1}"#, true),
            (r#"["\\\u0000"]"#, true),
            (r#"["\\u0000"]"#, false),
            (r#"["\u0001\u00e9", "u0000", "\"u0000"]"#, false),
            (r#"["\"#, false),
            ("", false),
        ] {
            assert_eq!(in_json(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn paths_and_queries_are_looked_at() {
        for (uri, expected) in [
            ("/v1/metric/a%00b", true),
            ("/v1/metric?name=%00", true),
            ("/v1/metric/a%2500b", false),
            ("/v1/metric?name=100%25", false),
        ] {
            assert_eq!(in_uri(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}

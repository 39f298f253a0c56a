//! What a request shows to prove who sends it.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::IdentityError;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Longest token that is looked at.
const LONGEST_TOKEN: usize = 256;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A token, or a name with a password.
pub(crate) enum Credentials {
    Token(String),
    Password { name: String, password: String },
}

impl Credentials {
    /// `X-Auth-Token`, or else `Authorization` as `Bearer` or `Basic`.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, IdentityError> {
        let token = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes.trim_ascii()).map_err(|_| IdentityError::Unreadable)?;
            let fits = !text.is_empty() && text.len() <= LONGEST_TOKEN;
            if fits { Ok(Self::Token(text.to_owned())) } else { Err(IdentityError::Unreadable) }
        };
        if let Some(value) = headers.get(TOKEN) {
            return token(value.as_bytes());
        }
        let value = headers.get(AUTHORIZATION).ok_or(IdentityError::Missing)?.as_bytes();
        if let Some(rest) = after_scheme(value, b"bearer ") {
            return token(rest);
        }
        let (name, password) = basic(value).ok_or(IdentityError::Unreadable)?;
        // Gnocchi's client takes one text, which may be `name:password`, and sends it with a colon behind.
        let password = password.strip_suffix(':').map(str::to_owned).unwrap_or(password);
        Ok(Self::Password { name, password })
    }
}

fn after_scheme<'v>(value: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    let (sent, rest) = value.split_at_checked(scheme.len())?;
    sent.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// User and password of an `Authorization: Basic …`; the scheme in any case, the password absent, empty or anything.
pub(crate) fn basic(value: &[u8]) -> Option<(String, String)> {
    let rest = after_scheme(value, b"basic ")?;
    let decoded = String::from_utf8(BASE64.decode(rest.trim_ascii()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
    // No database keeps a name with U+0000.
    (!name.is_empty() && !name.contains('\0')).then(|| (name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<String, IdentityError> {
        let headers = [(HeaderName::from_static(name), HeaderValue::from_static(value))];
        Ok(match Credentials::read(&headers.into_iter().collect())? {
            Credentials::Token(token) => token,
            Credentials::Password { name, password } => format!("{name} {password}"),
        })
    }

    #[test]
    fn tokens_and_passwords_are_found_where_clients_put_them() {
        for (header, value, expected) in [
            ("x-auth-token", "nephos_abc", Ok("nephos_abc")),
            ("authorization", "Bearer nephos_abc", Ok("nephos_abc")),
            ("authorization", "bearer  nephos_abc ", Ok("nephos_abc")),
            ("authorization", "Basic YWxpY2U6c2VjcmV0", Ok("alice secret")),
            ("authorization", "basic YWxpY2U6c2VjcmV0Og==", Ok("alice secret")),
            ("authorization", "basic YWxpY2U6", Ok("alice ")),
            ("authorization", "basic OnNlY3JldA==", Err(IdentityError::Unreadable)),
            ("authorization", "Bearer ", Err(IdentityError::Unreadable)),
            ("authorization", "Digest x", Err(IdentityError::Unreadable)),
            ("x-auth-token", "", Err(IdentityError::Unreadable)),
            ("x-user-id", "admin", Err(IdentityError::Missing)),
        ] {
            assert_eq!(read(header, value), expected.map(str::to_owned), "{header}: {value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_answered(value in proptest::collection::vec(any::<u8>(), 0..40), prefix in 0..3) {
            let mut bytes = [&b"Basic "[..], b"Bearer ", b""][usize::try_from(prefix).unwrap()].to_vec();
            bytes.extend(value);
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _either = Credentials::read(&[(AUTHORIZATION, value)].into_iter().collect());
            }
            let _either = basic(&bytes);
        }
    }
}

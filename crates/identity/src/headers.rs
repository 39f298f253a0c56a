//! Callers who are believed: a user name without password, or headers that something in front has set.

use async_trait::async_trait;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::{Caller, Identity, IdentityError};

const USER: HeaderName = HeaderName::from_static("x-user-id");
const PROJECT: HeaderName = HeaderName::from_static("x-project-id");
const ROLES: HeaderName = HeaderName::from_static("x-roles");

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `auth_mode = "basic"`: the user name of HTTP basic authentication, its password ignored. `X-User-Id`,
/// `X-Project-Id` and `X-Roles` win where they are sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Basic;

#[async_trait]
impl Identity for Basic {
    async fn identify(&self, headers: &HeaderMap) -> Result<Caller, IdentityError> {
        let sent = Sent::read(headers)?;
        let user = match (sent.user, headers.get(AUTHORIZATION)) {
            (Some(user), _) => user,
            (None, Some(value)) => user_name(value.as_bytes()).ok_or(IdentityError::Unreadable)?,
            (None, None) => return Err(IdentityError::Missing),
        };
        let roles = sent.roles.unwrap_or_else(|| {
            let names: &[&str] =
                if user == "admin" { &["admin", "member", "reader"] } else { &["member", "reader"] };
            names.iter().map(|name| (*name).to_owned()).collect()
        });
        let creator = match &sent.project {
            Some(project) => format!("{user}:{project}"),
            None => user.clone(),
        };
        let project_id = Some(sent.project.unwrap_or_else(|| user.clone()));
        Ok(Caller { user_id: Some(user), project_id, roles, creator: Some(creator) })
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Basic realm=\"nephos\"")
    }
}

/// `auth_mode = "noauth"`: only the headers `X-User-Id`, `X-Project-Id`, `X-Roles`, believed as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAuth;

#[async_trait]
impl Identity for NoAuth {
    async fn identify(&self, headers: &HeaderMap) -> Result<Caller, IdentityError> {
        let Sent { user, project, roles } = Sent::read(headers)?;
        if user.is_none() && project.is_none() && roles.is_none() {
            return Err(IdentityError::Missing);
        }
        let creator = match (&user, &project) {
            (None, None) => None,
            (user, project) => {
                let part = |name: &Option<String>| name.clone().unwrap_or_default();
                Some(format!("{}:{}", part(user), part(project)))
            }
        };
        Ok(Caller { user_id: user, project_id: project, roles: roles.unwrap_or_default(), creator })
    }

    fn filters_lists(&self) -> bool {
        true
    }
}

/// What the identity headers say; empty ones say nothing.
struct Sent {
    user: Option<String>,
    project: Option<String>,
    roles: Option<Vec<String>>,
}

impl Sent {
    fn read(headers: &HeaderMap) -> Result<Self, IdentityError> {
        let roles = text(headers, &ROLES)?;
        let split = |roles: String| roles.split(',').map(|role| role.trim().to_owned()).collect();
        Ok(Self { user: text(headers, &USER)?, project: text(headers, &PROJECT)?, roles: roles.map(split) })
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, IdentityError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| IdentityError::Unreadable)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The user of an `Authorization: Basic …`; the scheme in any case, the password absent, empty or anything.
fn user_name(value: &[u8]) -> Option<String> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(rest.trim_ascii()).ok()?).ok()?;
    let user = decoded.split(':').next()?;
    // No database keeps a name with U+0000.
    (!user.is_empty() && !user.contains('\0')).then(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn caller(user: &str, project: &str, roles: &[&str], creator: &str) -> Caller {
        Caller {
            user_id: Some(user.to_owned()),
            project_id: Some(project.to_owned()),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            creator: Some(creator.to_owned()),
        }
    }

    #[tokio::test]
    async fn basic_believes_user_names_and_headers() {
        let plain: &[&str] = &["member", "reader"];
        for (sent, expected) in [
            (
                headers(&[("authorization", "Basic YWRtaW46")]),
                caller("admin", "admin", &["admin", "member", "reader"], "admin"),
            ),
            (
                headers(&[("authorization", "basic Zm9vYmFyOg==")]),
                caller("foobar", "foobar", plain, "foobar"),
            ),
            (
                headers(&[("authorization", "Basic Zm9vYmFyOnNlY3JldA")]),
                caller("foobar", "foobar", plain, "foobar"),
            ),
            (
                headers(&[
                    ("authorization", "basic Zm9vYmFyOg=="),
                    ("x-user-id", "u"),
                    ("x-project-id", "p"),
                    ("x-roles", "Admin, x"),
                ]),
                caller("u", "p", &["Admin", "x"], "u:p"),
            ),
            (headers(&[("x-user-id", "u")]), caller("u", "u", plain, "u")),
            (
                headers(&[("authorization", "basic Zm9vYmFyOg=="), ("x-project-id", "p")]),
                caller("foobar", "p", plain, "foobar:p"),
            ),
        ] {
            assert_eq!(Basic.identify(&sent).await, Ok(expected), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn basic_refuses_what_names_nobody() {
        for (sent, error) in [
            (headers(&[]), IdentityError::Missing),
            (headers(&[("x-roles", "admin")]), IdentityError::Missing),
            (headers(&[("authorization", "Bearer abc")]), IdentityError::Unreadable),
            (headers(&[("authorization", "Basic ???")]), IdentityError::Unreadable),
            (headers(&[("authorization", "Basic OnB3")]), IdentityError::Unreadable),
            (headers(&[("authorization", "x")]), IdentityError::Unreadable),
            (headers(&[("authorization", "Basic YQBiOg==")]), IdentityError::Unreadable),
        ] {
            assert_eq!(Basic.identify(&sent).await, Err(error), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn noauth_believes_headers_only() {
        let sent = headers(&[("x-user-id", "u"), ("x-project-id", "p"), ("x-roles", "admin,member")]);
        let expected = caller("u", "p", &["admin", "member"], "u:p");
        assert!(expected.is_admin());
        assert_eq!(NoAuth.identify(&sent).await, Ok(expected));
        let roles_only = NoAuth.identify(&headers(&[("x-roles", "ADMIN")])).await.unwrap();
        assert!(roles_only.is_admin());
        assert_eq!((roles_only.user_id, roles_only.creator), (None, None));
        let basic = headers(&[("authorization", "Basic YWRtaW46")]);
        assert_eq!(NoAuth.identify(&basic).await, Err(IdentityError::Missing));
    }

    proptest! {
        #[test]
        fn any_header_is_answered(value in proptest::collection::vec(any::<u8>(), 0..40), prefix in any::<bool>()) {
            let mut bytes = if prefix { b"Basic ".to_vec() } else { Vec::new() };
            bytes.extend(value);
            let _either = user_name(&bytes);
        }
    }
}

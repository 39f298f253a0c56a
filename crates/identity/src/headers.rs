//! Callers who are believed: a user name without password, or headers that something in front has set.

use std::net::IpAddr;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::credentials::basic;
use crate::{Caller, Identity, IdentityError, Proxies};

const USER: HeaderName = HeaderName::from_static("x-user-id");
pub(crate) const PROJECT: HeaderName = HeaderName::from_static("x-project-id");
const ROLES: HeaderName = HeaderName::from_static("x-roles");

/// Longest name of a user or a project, in characters: databases keep indexes of them.
const LONGEST: usize = 255;

/// `auth_mode = "basic"`: the user name of HTTP basic authentication, its password ignored. `X-User-Id`,
/// `X-Project-Id` and `X-Roles` win where they are sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Basic;

#[async_trait]
impl Identity for Basic {
    async fn identify(&self, headers: &HeaderMap, _: Option<IpAddr>) -> Result<Caller, IdentityError> {
        let mut sent = Sent::read(headers)?;
        let user = match (sent.user.take(), headers.get(AUTHORIZATION)) {
            (Some(user), _) => user,
            (None, Some(value)) => {
                let (name, _) = basic(value.as_bytes()).ok_or(IdentityError::Unreadable)?;
                short(Some(name))?.ok_or(IdentityError::Missing)?
            }
            (None, None) => return Err(IdentityError::Missing),
        };
        Ok(sent.by_name(user))
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Basic realm=\"nephos\"")
    }

    /// Whoever can say any name may see everything, as with the original.
    fn filters_lists(&self) -> bool {
        false
    }
}

/// `auth_mode = "remoteuser"`: a server in front has made out the user and says the name in a header. Roles are those of
/// [`Basic`] unless `X-Roles` is sent.
#[derive(Clone, Debug)]
pub struct RemoteUser {
    header: HeaderName,
    proxies: Proxies,
}

impl RemoteUser {
    /// Believes `header` where `proxies` are believed.
    pub fn new(header: HeaderName, proxies: Proxies) -> Self {
        Self { header, proxies }
    }
}

#[async_trait]
impl Identity for RemoteUser {
    async fn identify(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, IdentityError> {
        if !self.proxies.trust(peer) {
            return Err(IdentityError::Untrusted);
        }
        let user = short(text(headers, &self.header)?)?.ok_or(IdentityError::Missing)?;
        Ok(Sent::read(headers)?.by_name(user))
    }
}

/// `auth_mode = "noauth"`: only the headers `X-User-Id`, `X-Project-Id`, `X-Roles`, believed as they are where proxies
/// are believed.
#[derive(Clone, Debug, Default)]
pub struct NoAuth {
    proxies: Proxies,
}

impl NoAuth {
    /// Believes the headers where `proxies` are believed.
    pub fn new(proxies: Proxies) -> Self {
        Self { proxies }
    }
}

#[async_trait]
impl Identity for NoAuth {
    async fn identify(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, IdentityError> {
        if !self.proxies.trust(peer) {
            return Err(IdentityError::Untrusted);
        }
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
        let roles = roles.unwrap_or_default();
        Ok(Caller { user_id: user, project_id: project, roles, creator, ..Caller::default() })
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
        let name = |header| short(text(headers, header)?);
        Ok(Self { user: name(&USER)?, project: name(&PROJECT)?, roles: roles.map(split) })
    }

    /// The caller of this name: in a project of that name and without special roles unless more was sent.
    fn by_name(self, user: String) -> Caller {
        let roles = self.roles.unwrap_or_else(|| {
            let names: &[&str] =
                if user == "admin" { &["admin", "member", "reader"] } else { &["member", "reader"] };
            names.iter().map(|name| (*name).to_owned()).collect()
        });
        let creator = match &self.project {
            Some(project) => format!("{user}:{project}"),
            None => user.clone(),
        };
        let project_id = Some(self.project.unwrap_or_else(|| user.clone()));
        Caller { user_id: Some(user), project_id, roles, creator: Some(creator), ..Caller::default() }
    }
}

/// A name that can be kept.
fn short(name: Option<String>) -> Result<Option<String>, IdentityError> {
    let is_long = name.as_ref().is_some_and(|name| name.len() > LONGEST && name.chars().count() > LONGEST);
    if is_long { Err(IdentityError::Unreadable) } else { Ok(name) }
}

pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, IdentityError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| IdentityError::Unreadable)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
            ..Caller::default()
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
            assert_eq!(Basic.identify(&sent, None).await, Ok(expected), "{sent:?}");
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
            assert_eq!(Basic.identify(&sent, None).await, Err(error), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn noauth_believes_headers_only() {
        let sent = headers(&[("x-user-id", "u"), ("x-project-id", "p"), ("x-roles", "admin,member")]);
        let expected = caller("u", "p", &["admin", "member"], "u:p");
        assert!(expected.is_admin());
        assert_eq!(NoAuth::default().identify(&sent, None).await, Ok(expected));
        let roles_only = NoAuth::default().identify(&headers(&[("x-roles", "ADMIN")]), None).await.unwrap();
        assert!(roles_only.is_admin());
        assert_eq!((roles_only.user_id, roles_only.creator), (None, None));
        let basic = headers(&[("authorization", "Basic YWRtaW46")]);
        assert_eq!(NoAuth::default().identify(&basic, None).await, Err(IdentityError::Missing));
    }

    #[tokio::test]
    async fn a_server_in_front_says_who_it_is() {
        let remote = RemoteUser::new(HeaderName::from_static("x-remote-user"), Proxies::default());
        for (sent, expected) in [
            (headers(&[("x-remote-user", "u")]), Ok(caller("u", "u", &["member", "reader"], "u"))),
            (
                headers(&[("x-remote-user", "admin"), ("x-project-id", "p")]),
                Ok(caller("admin", "p", &["admin", "member", "reader"], "admin:p")),
            ),
            (
                headers(&[("authorization", "Basic YWRtaW46"), ("x-user-id", "u")]),
                Err(IdentityError::Missing),
            ),
        ] {
            assert_eq!(remote.identify(&sent, None).await, expected, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn headers_are_believed_from_proxies_only() {
        let proxies = || Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let sent = headers(&[("x-user-id", "u"), ("x-roles", "admin"), ("x-remote-user", "u")]);
        let modes: [Box<dyn Identity>; 2] = [
            Box::new(NoAuth::new(proxies())),
            Box::new(RemoteUser::new(HeaderName::from_static("x-remote-user"), proxies())),
        ];
        for identity in modes {
            for (peer, is_believed) in [("10.0.0.1", true), ("127.0.0.1", true), ("192.0.2.1", false)] {
                let found = identity.identify(&sent, Some(peer.parse().unwrap())).await;
                assert_eq!(found.is_ok(), is_believed, "{identity:?} {peer}");
            }
            assert_eq!(identity.identify(&sent, None).await, Err(IdentityError::Untrusted));
        }
    }
}

//! Addresses of the parts outside: URLs that may hold a password, so they are never printed whole.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// A URL whose scheme picks the adapter, with its password hidden from logs.
#[derive(Clone)]
pub struct SecretUrl {
    scheme: String,
    text: SecretString,
    masked: String,
}

impl SecretUrl {
    /// Takes a text as `scheme:rest`, or a bare word as a scheme with nothing after it.
    pub fn new(text: &str) -> Self {
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme).to_ascii_lowercase();
        Self { scheme, masked: mask(text), text: SecretString::from(text) }
    }

    /// Stands for a part that no service of this process uses.
    pub fn none() -> Self {
        Self::new("none")
    }

    /// Whether this is [`SecretUrl::none`].
    pub fn is_none(&self) -> bool {
        self.scheme == "none"
    }

    /// The scheme in lower case: `sqlite`, `postgres`, `amqp`, `amqps`, `in-process`, `memory`, `file`, `none`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The whole URL with its password: for the adapter alone.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The path of a `sqlite:` or `file:` URL, absolute once loaded; `None` for other schemes.
    pub fn path(&self) -> Option<&Path> {
        match self.scheme.as_str() {
            "sqlite" | "file" => local_path(self.expose()).map(Path::new),
            _ => None,
        }
    }

    /// Whether it stays on this machine: nothing of a network, or a loopback host.
    pub fn is_local(&self) -> bool {
        let Ok(url) = Url::parse(self.expose()) else { return true };
        match url.host_str() {
            None | Some("" | "localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
        }
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({})", self.masked)
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretUrl {}

/// What follows the scheme of a `scheme:path` or `scheme://path` URL, without query.
pub(crate) fn local_path(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(':')?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    (!path.is_empty()).then_some(path)
}

/// The URL with user information and the values of telling parameters replaced by asterisks.
pub(crate) fn mask(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let mut masked = format!("{scheme}://");
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let name = user.split_once(':').map_or(user, |(name, _)| name);
            masked.push_str(name);
            if user.contains(':') {
                masked.push_str(":***");
            }
            masked.push('@');
            masked.push_str(host);
        }
        None => masked.push_str(rest),
    }
    for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        masked.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret_name(name) => {
                masked.push_str(name);
                masked.push_str("=***");
            }
            _ => masked.push_str(pair),
        }
    }
    masked
}

/// Whether a key or parameter of this name holds something to hide.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token"].iter().any(|word| name.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_never_show() {
        for (text, shown) in [
            ("postgres://nephos:hunter2@db/x", "postgres://nephos:***@db/x"),
            ("amqp://u:p@ss@host:5672/v", "amqp://u:***@host:5672/v"),
            (
                "postgres://db/x?password=hunter2&sslmode=require",
                "postgres://db/x?password=***&sslmode=require",
            ),
            ("postgres://u@db/x", "postgres://u@db/x"),
            ("sqlite:/var/lib/x", "sqlite:/var/lib/x"),
            ("in-process", "in-process"),
        ] {
            let url = SecretUrl::new(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("SecretUrl({shown})"));
            assert_eq!(url.expose(), text);
        }
    }

    #[test]
    fn only_loopback_and_files_are_local() {
        for (text, local) in [
            ("in-process", true),
            ("sqlite:/a", true),
            ("amqp://u:p@127.0.0.1:5672/v", true),
            ("amqp://u:p@[::1]/v", true),
            ("amqp://localhost/v", true),
            ("amqp://rabbit/v", false),
            ("amqp://10.0.0.1/v", false),
        ] {
            assert_eq!(SecretUrl::new(text).is_local(), local, "{text}");
        }
    }

    #[test]
    fn paths_of_local_schemes_are_told() {
        for (text, path) in [
            ("sqlite:/a/b", Some("/a/b")),
            ("sqlite:///a/b?mode=rwc", Some("/a/b")),
            ("file:/s", Some("/s")),
            ("file:", None),
            ("postgres://h/a", None),
        ] {
            assert_eq!(SecretUrl::new(text).path(), path.map(Path::new), "{text}");
        }
    }
}

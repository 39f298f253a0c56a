//! The address under which a client reached us, for the URLs in our answers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{FORWARDED, HOST};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::state::ApiState;

/// What stays as it is in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// `scheme://host[:port]<prefix>`, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl FromRequestParts<Arc<ApiState>> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Infallible> {
        let authority = parts.uri.authority().map(|authority| authority.as_str());
        let scheme = if state.options.tls { "https" } else { "http" };
        Ok(Self::of(&parts.headers, authority, scheme, state.options.proxy_headers))
    }
}

impl BaseUrl {
    fn of(headers: &HeaderMap, authority: Option<&str>, scheme: &str, proxied: bool) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let host = text(HOST.as_str()).or(authority).unwrap_or("localhost");
        let mut seen = Seen { scheme: scheme.to_owned(), host: host.to_owned(), prefix: String::new() };
        if proxied {
            match text(FORWARDED.as_str()) {
                Some(forwarded) => seen.forwarded(forwarded),
                None => seen.x_forwarded(text("x-forwarded-proto"), text("x-forwarded-host")),
            }
            seen.prefix = text("x-forwarded-prefix").unwrap_or_default().trim_end_matches('/').to_owned();
        }
        Self(format!("{}://{}{}", seen.scheme, seen.host, seen.prefix))
    }

    /// The URL of a path that is encoded already or needs no encoding.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The URL of a path made of these segments, each encoded.
    pub fn location(&self, segments: &[&str]) -> String {
        let mut url = self.0.clone();
        for segment in segments {
            url.push('/');
            url.extend(utf8_percent_encode(segment, PATH));
        }
        url
    }
}

struct Seen {
    scheme: String,
    host: String,
    prefix: String,
}

impl Seen {
    /// First element of `Forwarded: for=…;proto=…;host=…`.
    fn forwarded(&mut self, header: &str) {
        let first = header.split(',').next().unwrap_or_default();
        for pair in first.split(';') {
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            let value = value.trim_matches('"').to_owned();
            match name.to_ascii_lowercase().as_str() {
                "proto" => self.scheme = value,
                "host" => self.host = value,
                _ => {}
            }
        }
    }

    fn x_forwarded(&mut self, proto: Option<&str>, host: Option<&str>) {
        let first = |text: &str| text.split(',').next().unwrap_or_default().trim().to_owned();
        if let Some(proto) = proto {
            self.scheme = first(proto);
        }
        if let Some(host) = host {
            self.host = first(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn base(pairs: &[(&'static str, &'static str)], proxied: bool) -> String {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        BaseUrl::of(&headers.collect(), None, "http", proxied).0
    }

    #[test]
    fn proxy_headers_count_only_where_they_are_wanted() {
        let sent = [
            ("host", "127.0.0.1:8041"),
            ("forwarded", "for=192.0.2.60;proto=https;host=foobar, for=x;host=y"),
            ("x-forwarded-host", "other"),
            ("x-forwarded-prefix", "/metrics/"),
        ];
        assert_eq!(base(&sent, false), "http://127.0.0.1:8041");
        assert_eq!(base(&sent, true), "https://foobar/metrics");
        let sent = [("host", "h"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a, b")];
        assert_eq!(base(&sent, true), "https://a");
    }

    #[test]
    fn segments_are_encoded_as_utf_8() {
        let base = BaseUrl("http://h".to_owned());
        assert_eq!(
            base.location(&["v1", "archive_policy", "✔éñ☃"]),
            "http://h/v1/archive_policy/%E2%9C%94%C3%A9%C3%B1%E2%98%83"
        );
        assert_eq!(base.location(&["a b", "c-d_e.f~g"]), "http://h/a%20b/c-d_e.f~g");
    }
}

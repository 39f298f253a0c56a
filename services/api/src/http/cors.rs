//! Cross-origin requests (metrics-api §2.7).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

const METHODS: [&str; 8] = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "PATCH"];
const SIMPLE_HEADERS: [&str; 5] =
    ["accept", "accept-language", "content-type", "cache-control", "content-language"];
const EXPOSED: &str = "X-Auth-Token,X-Openstack-Request-Id,X-Subject-Token,Link,Location,ETag";
const MAX_AGE: &str = "3600";

/// Which other origins may use the API from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins; `*` stands for any. None by default.
    pub allowed_origins: Vec<String>,
    /// Request headers that scripts may send.
    pub allowed_headers: Vec<String>,
}

impl Cors {
    /// The request headers that are allowed unless told otherwise.
    pub const DEFAULT_HEADERS: [&'static str; 9] = [
        "Authorization",
        "X-Auth-Token",
        "X-Subject-Token",
        "X-User-Id",
        "X-Domain-Id",
        "X-Project-Id",
        "X-Roles",
        "X-Openstack-Request-Id",
        "Content-Type",
    ];

    /// The headers that let the sender of `request` read an answer; empty if its origin may not.
    pub fn answer(&self, request: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(origin) = self.origin(request) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        headers
    }

    /// Whether a request only asks what it would be allowed.
    pub fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
        method == Method::OPTIONS
            && request.contains_key(ORIGIN)
            && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The headers that answer a preflight; empty if what it asks for is not allowed.
    pub fn preflight(&self, request: &HeaderMap) -> HeaderMap {
        let none = HeaderMap::new();
        let Some(method) = request.get(ACCESS_CONTROL_REQUEST_METHOD) else { return none };
        if !METHODS.iter().any(|known| known.as_bytes() == method.as_bytes()) {
            return none;
        }
        let mut headers = self.answer(request);
        if headers.is_empty() || !self.allows_headers(request) {
            return none;
        }
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers
    }

    fn origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        let allowed = |known: &String| known == "*" || known.as_bytes() == origin.as_bytes();
        self.allowed_origins.iter().any(allowed).then(|| origin.clone())
    }

    fn allows_headers(&self, request: &HeaderMap) -> bool {
        let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) else { return true };
        let Ok(asked) = asked.to_str() else { return false };
        asked.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| {
            let known = |allowed: &str| allowed.eq_ignore_ascii_case(name);
            SIMPLE_HEADERS.iter().any(|allowed| known(allowed))
                || self.allowed_headers.iter().any(|allowed| known(allowed))
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn cors() -> Cors {
        Cors {
            allowed_origins: vec!["http://foobar.com".to_owned()],
            allowed_headers: Cors::DEFAULT_HEADERS.map(str::to_owned).to_vec(),
        }
    }

    fn request(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn allowed_origins_get_the_method_they_ask_for() {
        let asked = request(&[("origin", "http://foobar.com"), ("access-control-request-method", "GET")]);
        assert!(Cors::is_preflight(&Method::OPTIONS, &asked));
        let answer = cors().preflight(&asked);
        assert_eq!(answer["access-control-allow-origin"], "http://foobar.com");
        assert_eq!(answer["access-control-allow-methods"], "GET");
        assert_eq!(answer["access-control-max-age"], "3600");
    }

    #[test]
    fn others_get_nothing() {
        for pairs in [
            &[("origin", "http://notallowed.com"), ("access-control-request-method", "GET")][..],
            &[("origin", "http://foobar.com"), ("access-control-request-method", "BREW")][..],
            &[
                ("origin", "http://foobar.com"),
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", "x-auth-token, x-secret"),
            ][..],
        ] {
            assert!(cors().preflight(&request(pairs)).is_empty(), "{pairs:?}");
        }
        assert!(cors().answer(&request(&[("origin", "http://notallowed.com")])).is_empty());
        assert!(Cors::default().answer(&request(&[("origin", "http://foobar.com")])).is_empty());
    }
}

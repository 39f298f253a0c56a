//! Conditional requests on one resource (metrics-api §6.4).

use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use nephos_model::{Resource, Timestamp};
use nephos_wire::gnocchi::time;
use sha1::{Digest, Sha1};

use super::reply::with_header;
use crate::service::Problem;

/// What identifies a revision of a resource to HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    etag: String,
    modified: Timestamp,
}

/// How a conditional request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As if it were unconditional.
    Proceed,
    /// The client has it already.
    NotModified,
}

impl Version {
    /// The version of a resource: its id and the start of its revision.
    pub fn of(resource: &Resource) -> Self {
        let mut hash = Sha1::new();
        hash.update(resource.id.to_string());
        hash.update(time::format(resource.revision_start));
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { etag: format!("\"{hex}\""), modified: Timestamp::from_secs(resource.revision_start.as_secs()) }
    }

    /// Checks the conditions of a request; `PreconditionFailed` if one does not hold.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<Outcome, Problem> {
        let reads = method == Method::GET || method == Method::HEAD;
        match headers.get(IF_MATCH) {
            Some(tags) if !self.matches(tags.as_bytes()) => return Err(Problem::PreconditionFailed),
            Some(_) => {}
            None if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|date| date < self.modified) => {
                return Err(Problem::PreconditionFailed);
            }
            None => {}
        }
        match headers.get(IF_NONE_MATCH) {
            Some(tags) if self.matches(tags.as_bytes()) => {
                if reads {
                    Ok(Outcome::NotModified)
                } else {
                    Err(Problem::PreconditionFailed)
                }
            }
            Some(_) => Ok(Outcome::Proceed),
            None if reads && date(headers, &IF_MODIFIED_SINCE).is_some_and(|date| date >= self.modified) => {
                Ok(Outcome::NotModified)
            }
            None => Ok(Outcome::Proceed),
        }
    }

    /// Adds the version to an answer.
    pub fn label(&self, response: Response) -> Response {
        let response = with_header(response, ETAG, &self.etag);
        with_header(response, LAST_MODIFIED, &time::http_date(self.modified))
    }

    /// Status 304.
    pub fn not_modified(&self) -> Response {
        self.label(StatusCode::NOT_MODIFIED.into_response())
    }

    fn matches(&self, tags: &[u8]) -> bool {
        let Ok(tags) = std::str::from_utf8(tags) else { return false };
        let mut tags = tags.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|tag| tag == "*" || tag == self.etag)
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    time::parse_http_date(headers.get(name)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn conditions_are_checked_in_their_order() {
        let version = Version { etag: "\"abc\"".to_owned(), modified: Timestamp::from_secs(1_425_652_437) };
        let (same, older, newer) = (
            "Fri, 06 Mar 2015 14:33:57 GMT",
            "Fri, 06 Mar 2015 14:33:56 GMT",
            "Fri, 06 Mar 2015 14:33:58 GMT",
        );
        let (get, patch) = (Method::GET, Method::PATCH);
        let none: &[(HeaderName, &'static str)] = &[];
        for (method, sent, expected) in [
            (&get, none, Some(Outcome::Proceed)),
            (&patch, &[(IF_MATCH, "\"abc\"")], Some(Outcome::Proceed)),
            (&patch, &[(IF_MATCH, "\"x\", \"abc\"")], Some(Outcome::Proceed)),
            (&patch, &[(IF_MATCH, "*")], Some(Outcome::Proceed)),
            (&patch, &[(IF_MATCH, "\"x\"")], None),
            (&get, &[(IF_MATCH, "\"x\"")], None),
            (&patch, &[(IF_UNMODIFIED_SINCE, older)], None),
            (&patch, &[(IF_UNMODIFIED_SINCE, same)], Some(Outcome::Proceed)),
            (&patch, &[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, older)], Some(Outcome::Proceed)),
            (&get, &[(IF_NONE_MATCH, "\"abc\"")], Some(Outcome::NotModified)),
            (&get, &[(IF_NONE_MATCH, "*")], Some(Outcome::NotModified)),
            (&patch, &[(IF_NONE_MATCH, "\"abc\"")], None),
            (&get, &[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, newer)], Some(Outcome::Proceed)),
            (&get, &[(IF_MODIFIED_SINCE, same)], Some(Outcome::NotModified)),
            (&get, &[(IF_MODIFIED_SINCE, older)], Some(Outcome::Proceed)),
            (&patch, &[(IF_MODIFIED_SINCE, newer)], Some(Outcome::Proceed)),
            (&get, &[(IF_MODIFIED_SINCE, "whenever")], Some(Outcome::Proceed)),
        ] {
            let headers =
                sent.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            assert_eq!(version.check(method, &headers).ok(), expected, "{method} {sent:?}");
        }
    }
}

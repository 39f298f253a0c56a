//! Query-string arguments.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use nephos_index::SortKey;
use nephos_model::{Granularity, Timestamp};
use nephos_wire::gnocchi::{time, timespan};

use crate::service::Problem;

/// The arguments of a request in the order sent, names repeated as sent.
#[derive(Clone, Debug, Default)]
pub struct Args(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Args {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Args {
    /// Reads a query string; never fails, as browsers do.
    pub fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The last value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A boolean, false unless given.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        self.flag_or(name, false)
    }

    /// A boolean, `default` unless given.
    pub fn flag_or(&self, name: &str, default: bool) -> Result<bool, Problem> {
        let Some(text) = self.get(name) else { return Ok(default) };
        match text.trim().to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
            "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
            _ => Err(Problem::Bad(format!(
                "Unable to parse `{name}': Unrecognized value '{text}', acceptable values are: \
                 '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
            ))),
        }
    }

    /// A point in time.
    pub fn timestamp(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let parsed = time::parse(text, now);
        parsed.map(Some).map_err(|_| Problem::argument(name, "Must be a datetime or a timestamp"))
    }

    /// A length of time; at most one may be given.
    pub fn granularity(&self, name: &str) -> Result<Option<Granularity>, Problem> {
        match self.all(name).as_slice() {
            [] => Ok(None),
            [text] => {
                let nanos =
                    timespan::parse(text).map_err(|error| Problem::argument(name, error.to_string()))?;
                Ok(Granularity::from_nanos(nanos))
            }
            _ => Err(Problem::argument(name, "Must be given once only")),
        }
    }

    /// `limit`: how many items a page has, at most `most` and that if absent.
    pub fn limit(&self, most: u64) -> Result<u64, Problem> {
        let Some(text) = self.get("limit") else { return Ok(most) };
        match text.trim().parse::<i128>() {
            Ok(limit) if limit >= 1 => Ok(u64::try_from(limit).unwrap_or(u64::MAX).min(most)),
            Ok(_) => Err(Problem::pagination("value must be at least 1", "limit")),
            Err(_) => Err(Problem::pagination("expected int", "limit")),
        }
    }

    /// `sort` as sent, or `default`; and parsed.
    pub fn sort(&self, default: &[&str]) -> Result<(Vec<String>, Vec<SortKey>), Problem> {
        let mut texts: Vec<String> = self.all("sort").into_iter().map(str::to_owned).collect();
        if texts.is_empty() {
            texts = default.iter().map(|text| (*text).to_owned()).collect();
        }
        let keys = texts.iter().map(|text| sort_key(text)).collect::<Result<_, _>>()?;
        Ok((texts, keys))
    }
}

/// `key[:dir]`. Without a word about nulls they count as greater than everything.
fn sort_key(text: &str) -> Result<SortKey, Problem> {
    let (key, direction) = text.split_once(':').unwrap_or((text, "asc"));
    let (descending, nulls_first) = match direction {
        "asc" | "asc-nullslast" => (false, false),
        "asc-nullsfirst" => (false, true),
        "desc" | "desc-nullsfirst" => (true, true),
        "desc-nullslast" => (true, false),
        _ => {
            return Err(Problem::Bad(format!(
                "Invalid pagination: `Unknown sort direction: {direction}, use asc or desc, \
                 with -nullsfirst or -nullslast'"
            )));
        }
    };
    Ok(SortKey { key: key.to_owned(), descending, nulls_first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_pythons() {
        for (text, expected) in
            [("refresh=TRUE", true), ("refresh=on", true), ("refresh=0", false), ("", false)]
        {
            assert_eq!(Args::parse(text).flag("refresh").unwrap(), expected, "{text}");
        }
        let Err(Problem::Bad(text)) = Args::parse("refresh=maybe").flag("refresh") else {
            panic!("accepted")
        };
        assert!(text.starts_with(
            "Unable to parse `refresh': Unrecognized value 'maybe', acceptable values are: '0', '1',"
        ));
    }

    #[test]
    fn limits_are_clamped_and_positive() {
        assert_eq!(Args::parse("").limit(7).unwrap(), 7);
        assert_eq!(Args::parse("limit=3").limit(7).unwrap(), 3);
        assert_eq!(Args::parse("limit=99999999999999999999").limit(7).unwrap(), 7);
        for text in ["limit=0", "limit=-2", "limit=invalid", "limit="] {
            assert!(Args::parse(text).limit(7).is_err(), "{text}");
        }
    }

    #[test]
    fn sort_keys_have_directions_and_places_for_nulls() {
        let (texts, keys) = Args::parse("sort=id&sort=ended_at:desc-nullslast").sort(&["x:asc"]).unwrap();
        assert_eq!(texts, ["id", "ended_at:desc-nullslast"]);
        let shape: Vec<_> =
            keys.iter().map(|key| (key.key.as_str(), key.descending, key.nulls_first)).collect();
        assert_eq!(shape, [("id", false, false), ("ended_at", true, false)]);
        assert_eq!(Args::parse("").sort(&["id:asc"]).unwrap().0, ["id:asc"]);
        assert!(Args::parse("sort=id:invalid").sort(&[]).is_err());
    }

    #[test]
    fn one_granularity_only() {
        assert_eq!(
            Args::parse("granularity=60").granularity("granularity").unwrap(),
            Granularity::from_secs(60)
        );
        assert!(Args::parse("granularity=60&granularity=1").granularity("granularity").is_err());
        assert!(Args::parse("granularity=foobar").granularity("granularity").is_err());
    }
}

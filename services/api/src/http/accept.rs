//! What a request's `Accept` header admits.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

/// The parsed `Accept` headers of one request.
#[derive(Debug, Default)]
pub struct Accept {
    ranges: Vec<Range>,
}

#[derive(Debug)]
struct Range {
    main: String,
    sub: String,
    admitted: bool,
}

impl Accept {
    /// Reads the headers; what cannot be read is passed over.
    pub fn of(headers: &HeaderMap) -> Self {
        Self::read(headers.get_all(ACCEPT))
    }

    /// Reads the headers' values.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let texts = values.into_iter().filter_map(|value| value.to_str().ok());
        Self { ranges: texts.flat_map(|text| text.split(',')).filter_map(range).collect() }
    }

    /// Whether the headers admit JSON. Those that nearly all clients send are not taken apart for it.
    pub fn admits_json(headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(ACCEPT).into_iter();
        match (values.next(), values.next()) {
            (None, _) => true,
            (Some(value), None) if value == "application/json" || value == "*/*" => true,
            _ => Self::of(headers).admits("application", "json"),
        }
    }

    /// Whether the request names no media type.
    pub fn is_absent(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `main/sub` is admitted: the most specific range decides, no header admits all.
    pub fn admits(&self, main: &str, sub: &str) -> bool {
        let find =
            |main: &str, sub: &str| self.ranges.iter().find(|range| range.main == main && range.sub == sub);
        match find(main, sub).or_else(|| find(main, "*")).or_else(|| find("*", "*")) {
            Some(range) => range.admitted,
            None => self.is_absent(),
        }
    }

    /// Whether `main/sub` itself is asked for, and not only a range that holds it.
    pub fn names(&self, main: &str, sub: &str) -> bool {
        self.ranges.iter().any(|range| range.admitted && range.main == main && range.sub == sub)
    }
}

fn range(text: &str) -> Option<Range> {
    let mut parts = text.split(';');
    let (main, sub) = parts.next()?.trim().split_once('/')?;
    let quality = parts.filter_map(|parameter| parameter.trim().strip_prefix("q=")).next();
    let admitted =
        quality.and_then(|quality| quality.trim().parse::<f64>().ok()).is_none_or(|quality| quality > 0.0);
    Some(Range { main: main.to_ascii_lowercase(), sub: sub.to_ascii_lowercase(), admitted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &'static str) -> Accept {
        Accept::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]))
    }

    #[test]
    fn json_is_admitted_by_ranges_and_qualities() {
        for (text, admitted) in [
            ("application/json", true),
            ("*/*", true),
            ("application/*", true),
            ("text/plain, application/json; q=0.8", true),
            ("text/plain", false),
            ("text/html", false),
            ("application/json;q=0, */*", false),
            ("application/json;charset=utf-8", true),
            ("nonsense", true),
        ] {
            assert_eq!(accept(text).admits("application", "json"), admitted, "{text}");
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]);
            assert_eq!(Accept::admits_json(&headers), admitted, "{text}");
        }
        assert!(Accept::default().admits("application", "json"));
        assert!(Accept::admits_json(&HeaderMap::new()));
    }

    #[test]
    fn names_is_not_fooled_by_ranges() {
        assert!(accept("*/*, application/JSON").names("application", "json"));
        assert!(!accept("*/*").names("application", "json"));
        assert!(!accept("application/json;q=0").names("application", "json"));
    }
}

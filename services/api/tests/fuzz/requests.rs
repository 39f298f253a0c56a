//! Every route that is described, asked with changed paths, arguments, headers and bodies.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};

use super::bodies;
use super::generator::Generator;

/// One operation of the API.
pub(crate) struct Asking {
    method: &'static str,
    route: String,
    arguments: Vec<String>,
    media_type: Option<String>,
}

/// What there is to ask about, by the names that stand for it in paths.
pub(crate) type Things = BTreeMap<&'static str, String>;

/// One request.
pub(crate) struct Request {
    /// First line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Every operation that is described.
pub(crate) fn all() -> Vec<Asking> {
    let mut all = Vec::new();
    for (route, item) in nephos_api::descriptions().into_iter().flat_map(|described| described.paths.paths) {
        let operations = [
            ("GET", item.get),
            ("HEAD", item.head),
            ("POST", item.post),
            ("PUT", item.put),
            ("PATCH", item.patch),
            ("DELETE", item.delete),
        ];
        let operations = operations.into_iter().filter_map(|(method, it)| Some((method, it?)));
        all.extend(operations.map(|(method, operation)| asking(method, &route, operation)));
    }
    all
}

fn asking(method: &'static str, route: &str, operation: Operation) -> Asking {
    let parameters = operation.parameters.unwrap_or_default();
    let arguments = parameters.into_iter().filter_map(|parameter| match parameter {
        RefOr::T(Parameter { parameter_in: ParameterIn::Query, name, .. }) => Some(name),
        _ => None,
    });
    let media_type = match operation.request_body {
        Some(RefOr::T(body)) => body.content.into_keys().next(),
        _ => None,
    };
    Asking { method, route: route.to_owned(), arguments: arguments.collect(), media_type }
}

/// What an argument is usually given.
fn usual(argument: &str) -> &'static [&'static [u8]] {
    match argument {
        "start" | "stop" => bodies::TIMES,
        "granularity" | "resample" => &[b"60", b"1 minute", b"M", b"300"],
        "aggregation" | "reaggregation" => &[b"mean", b"rate:sum", b"95pct", b"count"],
        "fill" => &[b"null", b"dropna", b"-1.5", b"full_ffill"],
        "needed_overlap" => &[b"50", b"0", b"100.0"],
        "filter" => bodies::FILTERS,
        "groupby" | "attrs" => &[b"project_id", b"id", b"started_at"],
        "sort" => &[b"id:asc", b"name:desc-nullslast", b"timestamp:desc"],
        "limit" => &[b"3", b"1"],
        "q" => bodies::STATEMENTS,
        "q.field" => &[b"state", b"enabled", b"timestamp", b"search_offset"],
        "q.op" => &[b"eq", b"ge"],
        "q.type" => &[b"string", b"boolean", b"datetime", b"integer"],
        "q.value" => &[b"ok", b"true", b"2015-03-06T14:33:57", b"5"],
        "precision" => &[b"s", b"ns"],
        "db" => &[b"generic", b"lines"],
        "status" => &[b"active", b"delete"],
        "id" | "metric" | "metric_id" | "marker" => SOME_IDS,
        _ => &[b"true", b"admin", b"x"],
    }
}

/// What a route is usually sent. A route that takes a body and has none here would be tried with nothing.
fn corpus(method: &str, route: &str) -> &'static [&'static [u8]] {
    match (method, route) {
        (_, "/api/query" | "/api/v1/query") => bodies::PANELS,
        (_, "/v1/aggregates") => bodies::AGGREGATES,
        (_, "/v1/aggregation/metric") => bodies::IDS,
        (_, "/v1/aggregation/resource/{type}/metric/{name}") => bodies::SEARCHES,
        (_, "/v1/archive_policy" | "/v1/archive_policy/{name}") => bodies::POLICIES,
        (_, "/v1/archive_policy_rule" | "/v1/archive_policy_rule/{name}") => bodies::RULES,
        (_, "/v1/batch/metrics/measures") => bodies::BY_METRIC,
        (_, "/v1/batch/resources/metrics/measures") => bodies::BY_RESOURCE,
        (_, "/v1/metric") => bodies::METRICS,
        ("PATCH", "/v1/metric/{id}" | "/v1/resource/{type}/{id}/metric/{name}") => bodies::NEW_POLICIES,
        (_, "/v1/metric/{id}/measures" | "/v1/resource/{type}/{id}/metric/{name}/measures") => {
            bodies::MEASURES
        }
        ("DELETE", "/v1/resource/{type}") => bodies::SEARCHES,
        (_, "/v1/resource/{type}" | "/v1/resource/{type}/{id}") => bodies::RESOURCES,
        (_, "/v1/resource/{type}/{id}/metric") => bodies::NAMED_METRICS,
        (_, "/v1/resource_type") => bodies::TYPES,
        (_, "/v1/resource_type/{name}") => bodies::PATCHES,
        (_, "/v1/search/metric") => bodies::PREDICATES,
        (_, "/v1/search/resource/{type}") => bodies::SEARCHES,
        (_, "/v1/prometheus/write" | "/api/v1/write") => bodies::BLOCKS,
        (_, "/v1/influxdb/write") => bodies::LINES,
        (_, "/v2/alarms" | "/v2/alarms/{id}") => bodies::ALARMS,
        (_, "/v2/alarms/{id}/state") => &[b"\"ok\"", b"\"insufficient data\""],
        _ => panic!("nothing is known to send to {method} {route}"),
    }
}

impl std::fmt::Display for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{} {}", self.method, self.route))
    }
}

impl Asking {
    /// Whether the alarm API's own listener serves it.
    pub(crate) fn is_about_alarms(&self) -> bool {
        self.route.starts_with("/v2/")
    }

    /// A request like this one, with things in place of the names in braces; some of it is changed.
    pub(crate) fn request(&self, things: &Things, generator: &mut Generator) -> Request {
        let what = generator.below(4);
        let mut changed = |usual: &[&[u8]], change: bool| {
            let mut made = Vec::new();
            if change {
                generator.next(usual, &mut made);
            } else {
                made.extend_from_slice(usual[generator.below(usual.len())]);
            }
            made
        };
        let mut target = String::new();
        for part in self.route.split('/').skip(1) {
            let named = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let name =
                named.map(|name| if self.is_about_alarms() { "alarm" } else { place(&self.route, name) });
            let part = name.map_or(part.as_bytes(), |name| things[name].as_bytes());
            target.push('/');
            push_encoded(&mut target, &changed(&[part], what == 0 && named.is_some()));
        }
        let mut mark = '?';
        for argument in &self.arguments {
            if changed(&[b"0", b"1", b"2"], false) == b"0" {
                target.push(mark);
                push_encoded(&mut target, argument.as_bytes());
                target.push('=');
                push_encoded(&mut target, &changed(usual(argument), what == 1));
                mark = '&';
            }
        }
        let target = target.replace(SOME_ID, &things["metric"]);
        let mut body = Vec::new();
        let mut head =
            format!("{} {target} HTTP/1.1\r\nhost: h\r\nauthorization: basic YWRtaW46\r\n", self.method);
        if let Some(media_type) = &self.media_type {
            head.push_str(&format!("content-type: {media_type}\r\n"));
            body = changed(corpus(self.method, &self.route), what == 2);
            body = filled(body, things);
        }
        if what == 3 {
            let name = changed(HEADERS, false);
            let value = changed(
                &[bodies::ACCEPTS, bodies::CONDITIONS, bodies::CREDENTIALS, bodies::FORWARDED].concat(),
                true,
            );
            let value = value.into_iter().filter(|byte| byte.is_ascii_graphic() || *byte == b' ');
            let value: String = value.map(char::from).collect();
            head.push_str(&format!("{}: {value}\r\n", String::from_utf8_lossy(&name)));
        }
        Request { head, body }
    }
}

const HEADERS: &[&[u8]] = &[
    b"accept",
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"x-user-id",
    b"x-project-id",
    b"x-roles",
    b"x-auth-token",
    b"forwarded",
    b"x-forwarded-host",
    b"x-forwarded-prefix",
    b"origin",
    b"access-control-request-method",
    b"content-type",
    b"content-encoding",
    b"x-gnocchi-influxdb-tag-resource-id",
];

/// What a name in braces of a route stands for.
fn place(route: &str, name: &str) -> &'static str {
    match (route.split('/').nth(2).unwrap_or_default(), name) {
        ("metric", _) => "metric",
        ("archive_policy", _) => "policy",
        ("archive_policy_rule", _) => "rule",
        ("resource_type", _) | (_, "type") => "type",
        (_, "id") => "resource",
        (_, name) => {
            assert_eq!(name, "name", "{route}");
            "name"
        }
    }
}

/// What stands in a URL as it is, besides letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes as they may stand in a URL.
fn push_encoded(target: &mut String, bytes: &[u8]) {
    target.extend(percent_encode(bytes, PLAIN));
}

/// The id that stands in the corpus for one of a metric.
const SOME_ID: &str = "9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0";

const SOME_IDS: &[&[u8]] = &[SOME_ID.as_bytes()];

/// With the id of a metric that is there.
fn filled(body: Vec<u8>, things: &Things) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) => text.replace(SOME_ID, &things["metric"]).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// The id in an answer.
pub(crate) fn id_of(body: &str, pointer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(body).ok()?;
    answer.pointer(pointer)?.as_str().map(str::to_owned)
}

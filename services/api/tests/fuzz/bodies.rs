//! What clients send, in short: where changes begin.

pub(crate) const MEASURES: &[&[u8]] = &[
    br#"[{"timestamp": "2015-03-06T14:33:57", "value": 43.1}, {"timestamp": "2015-03-06T14:34:12Z", "value": 12}]"#,
    br#"[{"timestamp": 1425652437.25, "value": "3.5"}, {"timestamp": "1425652440", "value": NaN}]"#,
    br#"[{"value": true, "timestamp": "-10 minutes", "more": {"deep": [1, null]}}]"#,
    b"[]",
];

pub(crate) const BY_METRIC: &[&[u8]] = &[
    br#"{"9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0": [{"timestamp": "2015-03-06T14:33:57", "value": 43.1}]}"#,
    br#"{"9c7a8b442c1e4c3c9a509a4ac1e7f6a0": [{"timestamp": 1, "value": 2}], "{9C7A8B44-2C1E-4C3C-9A50-9A4AC1E7F6A0}": []}"#,
];

pub(crate) const BY_RESOURCE: &[&[u8]] = &[
    br#"{"web 1": {"cpu.util": [{"timestamp": "2015-03-06T14:33:57", "value": 43.1}]}}"#,
    "{\"é\": {\"m\": {\"archive_policy_name\": \"low\", \"unit\": \"%\", \"measures\": [{\"timestamp\": 1, \"value\": 2}]}}}".as_bytes(),
    br#"{"a": {"m": [], "n": {"measures": []}}, "b": {}}"#,
];

pub(crate) const FILTERS: &[&[u8]] = &[
    b"host = 'a' and not (ended_at = null or started_at >= \"2015-03-06\")",
    "server_group \u{2260} 'x' \u{2227} id in ['a', 'b']".as_bytes(),
    b"display_name like '%web%' or flavor in [1, 2.5, \"m\"]",
];

pub(crate) const SEARCHES: &[&[u8]] = &[
    br#"{"and": [{"=": {"host": "a"}}, {"not": {"in": {"id": ["x", "y"]}}}]}"#,
    br#"{"or": [{"like": {"display_name": "web%"}}, {">=": {"started_at": "2015-03-06"}}]}"#,
    "{\"\u{2265}\": {\"n\": 1e3}}".as_bytes(),
];

pub(crate) const OPERATIONS: &[&[u8]] = &[
    br#""(+ (aggregate mean (metric (cpu.util mean) (mem max))) 1)""#,
    br#""(resample mean 60 (rolling mean 2 (metric cpu rate:mean)))""#,
    br#"["/", ["metric", "a", "mean"], ["clip", ["*", ["metric", "b", "max"], 2.5], 0, 100]]"#,
    "\"(\u{2265} (abs (neg (metric a count))) -1e3)\"".as_bytes(),
];

pub(crate) const TIMES: &[&[u8]] = &[
    b"2015-03-06T14:33:57.123456789+02:00",
    b"1425652437.25",
    b"-1h30m",
    b"2 days, 4:13:02",
    b"2015-03",
    b"5 min",
];

pub(crate) const POLICIES: &[&[u8]] = &[
    br#"{"name": "p", "back_window": "1", "definition": [{"granularity": "1 minute", "points": 10}, {"timespan": "7 days, 0:00:00", "points": 7}], "aggregation_methods": ["*", "-mean"]}"#,
    br#"{"definition": [{"granularity": 1.5}], "back_window": 0, "name": "q"}"#,
    br#"{"definition": [{"granularity": 60, "points": 20}, {"granularity": "1 day", "timespan": "30 days"}], "back_window": 3}"#,
];

pub(crate) const RESOURCES: &[&[u8]] = &[
    br#"{"id": "x", "name": "abc", "int": 3, "bool": true, "ended_at": "2017-01-01", "user_id": null, "metrics": {"cpu": {"archive_policy_name": "low"}}}"#,
    br#"{"id": "9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0", "name": "ab", "uuid": "E495EBADBE6446C081D6B079BEB48DF9", "when": "2017-05-02T11:11:11Z"}"#,
];

pub(crate) const TYPES: &[&[u8]] = &[
    br#"{"name": "t", "attributes": {"a": {"type": "string", "min_length": 1, "max_length": 5}, "b": {"type": "number", "min": -1, "max": 2.5, "required": false}}}"#,
    br#"{"name": "u", "attributes": {"c": {"type": "uuid"}, "d": {"type": "bool"}, "e": {"type": "datetime"}}}"#,
];

pub(crate) const PATCHES: &[&[u8]] = &[
    br#"[{"op": "add", "path": "/attributes/new", "value": {"type": "string", "required": true, "options": {"fill": "x"}}}, {"op": "remove", "path": "/attributes/int"}]"#,
    br#"[{"op": "add", "path": "/attributes/n", "value": {"type": "number", "required": false}}]"#,
];

pub(crate) const RULES: &[&[u8]] =
    &[br#"{"name": "r", "metric_pattern": "disk.*", "archive_policy_name": "low"}"#, br#"{"name": "other"}"#];

pub(crate) const NAMED_METRICS: &[&[u8]] = &[
    br#"{"cpu": {"archive_policy_name": "low", "unit": "%"}, "b": {"name": "b"}, "c": {}}"#,
    br#"{"mem": "9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0"}"#,
];

pub(crate) const NEW_POLICIES: &[&[u8]] = &[br#"{"archive_policy_name": "low"}"#];

pub(crate) const RANGES: &[&[u8]] = &[
    b"start=2015-03-06T14:33&stop=2015-03-06T14:34:57.5Z",
    b"stop=-1+hour&start=-2h",
    b"start=0&stop=1425652437.25",
];

pub(crate) const PANELS: &[&[u8]] = &[
    br#"{"start": "-1 hour", "granularity": 60, "queries": {"load": {"operations": "(top 5 max (metric cpu.load mean))", "resource_type": "generic", "search": "project_id = 'a'"}, "two": {"metrics": ["9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0"], "aggregation": "max", "start": 0, "granularity": 3600.0}}}"#,
    br#"{"queries": {"a": {"operations": ["aggregate", "sum", ["metric", "net.*", "last"]], "resource_type": "generic", "search": {}, "groupby": ["project_id", "user_id"], "use_history": true, "details": false}, "b": {"operations": "(metric x mean)", "fill": "null", "needed_overlap": 50.5, "stop": "2015-03-06"}}}"#,
    br#"{"queries": {}}"#,
];

pub(crate) const IDS: &[&[u8]] =
    &[br#"["9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0", "{9C7A8B44-2C1E-4C3C-9A50-9A4AC1E7F6A0}"]"#, b"[]"];

pub(crate) const AGGREGATES: &[&[u8]] = &[
    br#"{"operations": "(aggregate mean (metric (cpu mean) (mem max)))", "resource_type": "generic", "search": {"=": {"project_id": "a"}}}"#,
    br#"{"operations": ["rateofchange", ["metric", "9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0", "mean"]]}"#,
];

/// Values of headers that are taken apart.
pub(crate) const ACCEPTS: &[&[u8]] =
    &[b"text/plain, application/json;q=0.8", b"*/*", b"application/json; charset=utf-8, text/html;q=0"];

pub(crate) const CONDITIONS: &[&[u8]] = &[
    b"\"3f786850e387550fdab836ed7e6dc881de23001b\", W/\"x\"",
    b"*",
    b"Fri, 06 Mar 2015 14:33:57 GMT",
    b"Friday, 06-Mar-15 14:33:57 GMT",
];

pub(crate) const CREDENTIALS: &[&[u8]] =
    &[b"Basic YWRtaW46", b"basic Zm9vYmFyOnNlY3JldA", b"Bearer nephos_abc", b"admin, member", b"u:p"];

pub(crate) const FORWARDED: &[&[u8]] =
    &[b"for=192.0.2.60;proto=https;host=\"foobar\", for=x;host=y", b"https, http", b"/metrics/"];

pub(crate) const PAGES: &[&[u8]] = &[
    b"limit=3&marker=9c7a8b44-2c1e-4c3c-9a50-9a4ac1e7f6a0&sort=name:desc&sort=severity",
    b"q.field=state&q.op=eq&q.value=ok&q.type=string&limit=0",
];

pub(crate) const METRICS: &[&[u8]] = &[
    br#"{"name": "cpu", "unit": "%", "resource_id": "x", "archive_policy_name": "low"}"#,
    br#"{"archive_policy_name": "low"}"#,
];

pub(crate) const QUERIES: &[&[u8]] = &[
    b"limit=10&marker=x&sort=id:asc&sort=name:desc-nullslast&start=-1h&granularity=60&refresh=true",
    b"q=create+database+%22a%22&details=%C3%A9&stop=2015-03-06&granularity=1%20minute",
];

pub(crate) const ALARMS: &[&[u8]] = &[
    br#"{"name": "a", "type": "gnocchi_resources_threshold", "severity": "low", "enabled": true, "gnocchi_resources_threshold_rule": {"metric": "cpu", "resource_id": "r", "resource_type": "t", "threshold": 60, "aggregation_method": "mean", "evaluation_periods": 2, "granularity": 60, "comparison_operator": "gt"}, "alarm_actions": ["http://h/p", "log://"], "time_constraints": [{"name": "n", "start": "0 11 * * *", "duration": 60, "timezone": "Europe/Berlin"}]}"#,
];

pub(crate) const PREDICATES: &[&[u8]] = &[
    br#"{"and": [{">=": 1}, {"not": {"=": [{"%": 2}, 0]}}]}"#,
    br#"{"or": [{"<": [{"abs": [{"+": 2}]}, 1.5]}, {"!=": 3}]}"#,
    br#"{"=": 12}"#,
];

pub(crate) const STATEMENTS: &[&[u8]] =
    &[b"CREATE DATABASE \"my db\" WITH DURATION 1d", b"create database a_1;"];

pub(crate) const LINES: &[&[u8]] = &[
    b"cpu,host=web\\ 1,cpu=cpu0 usage_idle=98.5,usage_user=1i,name=\"a \\\"b\\\"\",ok=true 1510581804179554816\nmem,host=b used=5u\n",
    b"# comment\r\n\"disk io\",host=\"x\",path=/var read=-1e3 1510581804000000000",
    b"m,host=a x=1,y=2,z=3",
];

pub(crate) const STATSD: &[&[u8]] = &[
    b"gorets:1|c|@0.1\nglork:320|ms\ngaugor:333|g\ngaugor:-10|g\nuniques:765|s",
    b"a.b.c:+4.5|g\r\n\nx:1|c",
];

/// `up{job="j",instance="h"} 1` at 1 s, as version 1.0.
pub(crate) const ONE: &[&[u8]] = &[
    b"\x0a\x37\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01j\x0a\x0d\x0a\x08instance\x12\x01h\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xe8\x07",
    b"\x0a\x1d\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x0c\x09\x02\0\0\0\0\0\xf0\x7f\x10\xe8\x07",
];

/// The same as version 2.0, with a unit.
pub(crate) const TWO: &[&[u8]] = &[
    b"\x22\x00\x22\x08__name__\x22\x02up\x22\x03job\x22\x01j\x22\x01%\x2a\x18\x0a\x04\x01\x02\x03\x04\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xe8\x07\x2a\x02\x20\x05",
    b"\x2a\x14\x0a\x04\x01\x02\x03\x04\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xe8\x07\x22\x00\x22\x08__name__\x22\x02up\x22\x03job\x22\x01j",
];

/// Blocks of Snappy: a literal of `ONE`'s second message, and a run of equal bytes by copies.
pub(crate) const BLOCKS: &[&[u8]] = &[
    b"\x1f\x78\x0a\x1d\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x0c\x09\x02\0\0\0\0\0\xf0\x7f\x10\xe8\x07",
    b"\x40\x00a\xfe\x01\x00",
    b"\x00",
];

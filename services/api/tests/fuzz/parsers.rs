//! Every parser, each as a function of bytes that tells whether it took them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use futures_util::FutureExt;
use http::header::{ACCEPT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nephos_api::gnocchi::{
    aggregates, batch, bodies as gnocchi, erasing, filters, measures, metric_policy, panels, resource_bodies,
    type_patch,
};
use nephos_api::http::Args;
use nephos_api::http::accept::Accept;
use nephos_api::http::conditional::{Outcome, Version as ResourceVersion};
use nephos_identity::{Basic, Caller, Identity, NoAuth};
use nephos_lang::predicate::Predicate;
use nephos_model::{Resource, ResourceId, ResourceType, Timestamp};
use nephos_wire::aodh::{AlarmInput, AlarmLimits, query};
use nephos_wire::gnocchi::{Field, scan, time, timespan};
use nephos_wire::influx::{self, Options, Precision};
use nephos_wire::prometheus::{self, Mapping, Version};
use nephos_wire::statsd::Aggregator;
use serde_json::{Value, json};

use super::bodies;

/// One parser.
pub(crate) struct Parser {
    pub(crate) name: &'static str,
    pub(crate) corpus: &'static [&'static [u8]],
    pub(crate) parse: fn(&[u8]) -> bool,
}

const fn parser(name: &'static str, corpus: &'static [&'static [u8]], parse: fn(&[u8]) -> bool) -> Parser {
    Parser { name, corpus, parse }
}

pub(crate) const PARSERS: &[Parser] = &[
    parser("measures", bodies::MEASURES, measures_of),
    parser("batch by metric", bodies::BY_METRIC, by_metric),
    parser("batch by resource", bodies::BY_RESOURCE, by_resource),
    parser("filter text", bodies::FILTERS, filter_text),
    parser("search JSON", bodies::SEARCHES, search),
    parser("operations", bodies::OPERATIONS, operations),
    parser("value search", bodies::PREDICATES, predicate),
    parser("times and timespans", bodies::TIMES, times),
    parser("query strings", bodies::QUERIES, queries),
    parser("archive policy", bodies::POLICIES, policy),
    parser("archive policy rule", bodies::RULES, rule),
    parser("metric", bodies::METRICS, metric),
    parser("another policy of a metric", bodies::NEW_POLICIES, new_policy),
    parser("metrics of a resource", bodies::NAMED_METRICS, named_metrics),
    parser("range to erase", bodies::RANGES, range),
    parser("panels", bodies::PANELS, panels_of),
    parser("resource", bodies::RESOURCES, resource),
    parser("resource type", bodies::TYPES, resource_type),
    parser("patch of a type", bodies::PATCHES, patch),
    parser("alarm", bodies::ALARMS, alarm),
    parser("pages of alarms", bodies::PAGES, pages),
    parser("accepted media types", bodies::ACCEPTS, accept),
    parser("conditions of a request", bodies::CONDITIONS, conditions),
    parser("credentials", bodies::CREDENTIALS, credentials),
    parser("remote write 1.0", bodies::ONE, remote_write_one),
    parser("remote write 2.0", bodies::TWO, remote_write_two),
    parser("Snappy block", bodies::BLOCKS, block),
    parser("line protocol", bodies::LINES, lines),
    parser("CREATE DATABASE", bodies::STATEMENTS, statement),
    parser("StatsD", bodies::STATSD, statsd),
];

const NOW: Timestamp = Timestamp::from_secs(1_500_000_000);

/// What the contents of a body may take, as in the server.
const ROOM: usize = 256 << 20;

static CUSTOM: LazyLock<ResourceType> = LazyLock::new(|| {
    resource_bodies::new_type(&json!({"name": "custom", "attributes": {
        "name": {"type": "string", "min_length": 2, "max_length": 5},
        "int": {"type": "number", "required": false, "min": -2, "max": 3},
        "uuid": {"type": "uuid", "required": false},
        "bool": {"type": "bool", "required": false},
        "when": {"type": "datetime", "required": false},
    }}))
    .expect("a type")
});

static NO_AUTH: LazyLock<NoAuth> = LazyLock::new(NoAuth::default);

/// Of a resource that was changed in 2015.
static VERSION: LazyLock<ResourceVersion> = LazyLock::new(|| {
    ResourceVersion::of(&Resource {
        id: ResourceId(uuid::Uuid::nil()),
        original_resource_id: "r".to_owned(),
        resource_type: "generic".to_owned(),
        creator: None,
        user_id: None,
        project_id: None,
        started_at: NOW,
        ended_at: None,
        revision_start: Timestamp::from_secs(1_425_652_437),
        revision_end: None,
        revision: -1,
        attributes: BTreeMap::new(),
        metrics: BTreeMap::new(),
    })
});

fn caller() -> Caller {
    Caller { creator: Some("admin".to_owned()), ..Caller::default() }
}

fn json(bytes: &[u8], take: impl FnOnce(&Value) -> bool) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|value: Value| take(&value))
}

fn text(bytes: &[u8], take: impl FnOnce(&str) -> bool) -> bool {
    std::str::from_utf8(bytes).is_ok_and(take)
}

/// Both ways to read measures; what the fast one takes, the thorough one takes too.
fn measures_of(bytes: &[u8]) -> bool {
    let (scanned, parsed) = (scan::list(bytes), measures::parse(bytes, NOW).ok());
    if let Some(scanned) = &scanned {
        let parsed = parsed.as_ref().expect("the thorough parser refuses what the fast one takes");
        assert_eq!(scanned.timestamps, parsed.timestamps);
        assert_eq!(bits(&scanned.values), bits(&parsed.values));
    }
    parsed.is_some()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn by_metric(bytes: &[u8]) -> bool {
    let (scanned, parsed) = (scan::by_metric(bytes), batch::parse_by_metric(bytes, NOW));
    if let Some(scanned) = &scanned {
        let parsed = parsed.as_ref().expect("the thorough parser refuses what the fast one takes");
        assert_eq!(scanned.columns.values.len(), parsed.columns.values.len());
    }
    let mut pieces = scan::Pieces::new(bytes.len());
    bytes.chunks(1 + bytes.len() % 61).for_each(|piece| pieces.take(piece));
    match pieces.end() {
        Ok(batch) => assert_eq!(batch.ids.len(), scanned.expect("sure in pieces only").ids.len()),
        Err(unsure) => {
            assert!(scanned.is_none(), "not sure in pieces only");
            assert_eq!(batch::parse_by_metric(&unsure.rest, NOW).is_ok(), parsed.is_ok());
        }
    }
    parsed.is_ok()
}

fn by_resource(bytes: &[u8]) -> bool {
    let scanned = batch::scan_by_resource(bytes, Some("admin"));
    let parsed = batch::parse_by_resource(bytes, Some("admin"), NOW);
    if let Some(scanned) = &scanned {
        let parsed = parsed.as_ref().expect("the thorough parser refuses what the fast one takes");
        assert_eq!(scanned.columns.values.len(), parsed.columns.values.len());
    }
    parsed.is_ok()
}

fn filter_text(bytes: &[u8]) -> bool {
    text(bytes, |text| filters::from_text(text, &caller(), &[]).is_ok())
}

fn search(bytes: &[u8]) -> bool {
    json(bytes, |value| filters::from_json(value, &caller(), &["search"]).is_ok())
}

fn operations(bytes: &[u8]) -> bool {
    json(bytes, |value| aggregates::read_operations(&Field::root(value)).is_ok())
}

fn predicate(bytes: &[u8]) -> bool {
    json(bytes, |value| {
        let predicate = Predicate::from_json(value);
        predicate.map(|predicate| predicate.holds(1.5)).is_ok()
    })
}

fn times(bytes: &[u8]) -> bool {
    text(bytes, |text| {
        let time = time::parse(text, NOW).map(time::format).is_ok();
        let span = timespan::parse(text).map(timespan::format).is_ok();
        time | span | time::parse_http_date(text).is_some()
    })
}

fn queries(bytes: &[u8]) -> bool {
    text(bytes, |text| {
        let args = Args::parse(text);
        let taken = [
            args.limit(1_000).is_ok(),
            args.sort(&["id:asc"]).is_ok(),
            args.timestamp("start", NOW).is_ok(),
            args.granularity("granularity").is_ok(),
            args.flag("refresh").is_ok(),
            query::conditions(&args.0).is_ok(),
        ];
        taken.iter().all(|taken| *taken)
    })
}

fn policy(bytes: &[u8]) -> bool {
    json(bytes, |value| gnocchi::policy(value).is_ok() | gnocchi::policy_change(value).is_ok())
}

fn metric(bytes: &[u8]) -> bool {
    json(bytes, |value| gnocchi::metric(value, Some("admin")).is_ok())
}

fn rule(bytes: &[u8]) -> bool {
    json(bytes, |value| gnocchi::rule(value).is_ok() | gnocchi::rule_name(value).is_ok())
}

fn new_policy(bytes: &[u8]) -> bool {
    json(bytes, |value| metric_policy::read(value).is_ok())
}

fn named_metrics(bytes: &[u8]) -> bool {
    json(bytes, |value| gnocchi::named_metrics(&Field::root(value)).is_ok())
}

fn range(bytes: &[u8]) -> bool {
    text(bytes, |text| {
        erasing::range(&Args::parse(text), NOW).is_ok_and(|range| {
            assert!(range.start < range.end);
            true
        })
    })
}

/// What is read of a panel is a body of `/v1/aggregates`.
fn panels_of(bytes: &[u8]) -> bool {
    json(bytes, |value| {
        let Ok(panels) = panels::read(value, NOW) else { return false };
        panels.iter().all(|(_, panel)| {
            let Ok(panel) = panel else { return false };
            let root = Field::root(&panel.body);
            let body = root.object().expect("an object");
            body.require("operations")
                .is_ok_and(|operations| aggregates::read_operations(&operations).is_ok())
        })
    })
}

fn resource(bytes: &[u8]) -> bool {
    json(bytes, |value| {
        let change = resource_bodies::resource_change(value, &CUSTOM, NOW).is_ok();
        resource_bodies::new_resource(value, &CUSTOM, Some("admin"), NOW).is_ok() | change
    })
}

fn resource_type(bytes: &[u8]) -> bool {
    json(bytes, |value| resource_bodies::new_type(value).is_ok())
}

fn patch(bytes: &[u8]) -> bool {
    json(bytes, |value| type_patch::changes(value, &CUSTOM, NOW).is_ok())
}

fn alarm(bytes: &[u8]) -> bool {
    json(bytes, |value| AlarmInput::read(value, true, AlarmLimits::default(), &|_, _| Ok(())).is_ok())
}

fn pages(bytes: &[u8]) -> bool {
    text(bytes, |text| {
        let Args(pairs) = Args::parse(text);
        query::conditions(&pairs).is_ok() & query::paging(&pairs, &["name", "severity"]).is_ok()
    })
}

/// The headers of these names, all with this value; `None` if HTTP has no such value.
fn headers(bytes: &[u8], names: &[HeaderName]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(bytes).ok()?;
    Some(names.iter().map(|name| (name.clone(), value.clone())).collect())
}

fn accept(bytes: &[u8]) -> bool {
    headers(bytes, &[ACCEPT]).is_some_and(|headers| {
        let (of, admits) = (Accept::of(&headers), Accept::admits_json(&headers));
        assert_eq!(of.admits("application", "json"), admits);
        admits && !of.is_absent()
    })
}

/// Whether some condition says that nothing has changed.
fn conditions(bytes: &[u8]) -> bool {
    let checked = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].map(|name| {
        headers(bytes, &[name])
            .map(|headers| [Method::GET, Method::PATCH].map(|method| VERSION.check(&method, &headers).ok()))
    });
    checked.iter().flatten().flatten().any(|outcome| *outcome == Some(Outcome::NotModified))
}

fn credentials(bytes: &[u8]) -> bool {
    let names = ["authorization", "x-auth-token", "x-user-id", "x-project-id", "x-roles"];
    let names = names.map(HeaderName::from_static);
    let all: [&dyn Identity; 2] = [&Basic, &*NO_AUTH];
    names.iter().any(|name| {
        headers(bytes, std::slice::from_ref(name)).is_some_and(|headers| {
            let identified = all.map(|identity| identity.identify(&headers, None).now_or_never());
            identified.iter().any(|caller| matches!(caller, Some(Ok(_))))
        })
    })
}

fn written(message: &[u8], version: Version) -> bool {
    let [target, labels] =
        [Mapping::Target, Mapping::Labels].map(|mapping| prometheus::read(message, version, mapping, ROOM));
    assert_eq!(target.is_ok(), labels.is_ok());
    target.is_ok_and(|written| !written.gathered.columns.values.is_empty())
}

fn remote_write_one(bytes: &[u8]) -> bool {
    written(bytes, Version::One)
}

fn remote_write_two(bytes: &[u8]) -> bool {
    written(bytes, Version::Two)
}

fn block(bytes: &[u8]) -> bool {
    prometheus::decompress(bytes, 1 << 20)
        .is_ok_and(|message| prometheus::read(&message, Version::One, Mapping::Labels, ROOM).is_ok())
}

fn lines(bytes: &[u8]) -> bool {
    let options = Options { tag: "host".to_owned(), precision: Precision::Nanos, now: NOW, room: ROOM };
    let written = influx::read(bytes, &options).expect("room enough");
    assert_eq!(written.gathered.columns.values.len(), written.gathered.columns.timestamps.len());
    written.refused == 0
}

fn statement(bytes: &[u8]) -> bool {
    text(bytes, |text| influx::create_database(text).is_some())
}

fn statsd(bytes: &[u8]) -> bool {
    let mut aggregator = Aggregator::new(100);
    let tally = aggregator.take(bytes, NOW);
    assert!(aggregator.flush().len() <= 100);
    tally.faulty == 0
}

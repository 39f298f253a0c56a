//! The API's own metrics.

use std::sync::LazyLock;
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, histogram};

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of every request. Finding a counter takes longer than counting, so they are found once.
struct Requests {
    received: [Counter; METHODS.len()],
    took: [Histogram; METHODS.len()],
    emitted: [Counter; CLASSES.len()],
}

static REQUESTS: LazyLock<Requests> = LazyLock::new(|| Requests {
    received: METHODS.map(|method| counter!("nephos_api_received_requests_total", "method" => method)),
    took: METHODS.map(|method| histogram!("nephos_api_request_duration_seconds", "method" => method)),
    emitted: CLASSES.map(|class| counter!("nephos_api_emitted_responses_total", "status" => class)),
});

/// One request was answered.
pub(crate) fn request(method: &Method, status: StatusCode, took: Duration) {
    let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
    let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(CLASSES.len() - 1);
    REQUESTS.received[method].increment(1);
    REQUESTS.took[method].record(took.as_secs_f64());
    REQUESTS.emitted[class].increment(1);
    if status.is_server_error() {
        let kind = if status == StatusCode::SERVICE_UNAVAILABLE { "unavailable" } else { "internal" };
        counter!("nephos_api_errors_total", "kind" => kind).increment(1);
    }
}

/// What is counted of measures, found once as well.
struct Measures {
    received: Counter,
    emitted: Counter,
    late: Counter,
}

static MEASURES: LazyLock<Measures> = LazyLock::new(|| Measures {
    received: counter!("nephos_api_received_measures_total"),
    emitted: counter!("nephos_api_emitted_measures_total"),
    late: counter!("nephos_api_dropped_measures_total", "reason" => "late"),
});

/// Measures were accepted, or dropped because they came too late.
pub(crate) fn measures(accepted: u64, late: u64) {
    MEASURES.received.increment(accepted + late);
    MEASURES.emitted.increment(accepted);
    MEASURES.late.increment(late);
}

/// A project was refused what is over its limit.
pub(crate) fn limited(what: &'static str) {
    counter!("nephos_api_limited_requests_total", "limit" => what).increment(1);
}

/// What projects have was counted anew.
pub(crate) fn quotas_counted() {
    counter!("nephos_api_quota_counts_total").increment(1);
}

/// Measures, or what stands for them in other protocols, were not kept, for this reason.
pub(crate) fn left_out(reason: &'static str, count: u64) {
    if count > 0 {
        counter!("nephos_api_dropped_measures_total", "reason" => reason).increment(count);
    }
}

/// Lines of StatsD were taken in.
pub(crate) fn statsd(lines: u64) {
    static LINES: LazyLock<Counter> = LazyLock::new(|| counter!("nephos_api_received_statsd_lines_total"));
    LINES.increment(lines);
}

/// Deleted metrics were removed for good.
pub(crate) fn expunged(metrics_removed: u64) {
    counter!("nephos_api_expunged_metrics_total").increment(metrics_removed);
}

/// A range of time of a metric was erased.
pub(crate) fn erased() {
    counter!("nephos_api_erased_ranges_total").increment(1);
}

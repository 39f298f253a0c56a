//! The API's own metrics.

use std::time::Duration;

use http::{Method, StatusCode};

/// One request was answered.
pub(crate) fn request(method: &Method, status: StatusCode, took: Duration) {
    let method = method_label(method);
    let class = match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "1xx",
    };
    metrics::counter!("nephos_api_received_requests_total", "method" => method).increment(1);
    metrics::counter!("nephos_api_emitted_responses_total", "status" => class).increment(1);
    metrics::histogram!("nephos_api_request_duration_seconds", "method" => method).record(took.as_secs_f64());
    if status.is_server_error() {
        let kind = if status == StatusCode::SERVICE_UNAVAILABLE { "unavailable" } else { "internal" };
        metrics::counter!("nephos_api_errors_total", "kind" => kind).increment(1);
    }
}

/// Measures were accepted, or dropped because they came too late.
pub(crate) fn measures(accepted: u64, late: u64) {
    metrics::counter!("nephos_api_received_measures_total").increment(accepted + late);
    metrics::counter!("nephos_api_emitted_measures_total").increment(accepted);
    metrics::counter!("nephos_api_dropped_measures_total", "reason" => "late").increment(late);
}

/// Deleted metrics were removed for good.
pub(crate) fn expunged(metrics_removed: u64) {
    metrics::counter!("nephos_api_expunged_metrics_total").increment(metrics_removed);
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

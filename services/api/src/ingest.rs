//! Writing measures in the protocols of other systems: Prometheus' remote write, InfluxDB's line protocol, and StatsD.
//!
//! Their clients ask for no media type in particular and get no body, so these routes do not look at `Accept`.

pub mod influx;
mod pieces;
pub mod prometheus;
pub mod statsd;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse;

use crate::failure::Failure;
use crate::http::nul;
use crate::routes::Routes;
use crate::state::ApiState;

const TAG: &str = "ingest";

/// What the contents of one body may take in memory while they are taken in, in bytes.
const ROOM: usize = 256 << 20;

/// What is longer, in bytes, is read away from the threads that serve requests.
const LARGE: usize = 64 << 10;

/// Every route of these protocols.
pub fn routes() -> Routes<Arc<ApiState>> {
    let routes = Routes::new(|allow| Failure::MethodNotAllowed(allow).into_response());
    influx::add(prometheus::add(routes.only(servable)))
}

/// Refuses paths with U+0000.
fn servable(request: &Request) -> Result<(), Failure> {
    if nul::in_uri(request.uri()) { Err(Failure::Nul) } else { Ok(()) }
}

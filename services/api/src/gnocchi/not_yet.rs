//! Paths of Gnocchi's API that this version knows but does not serve.

use axum::response::{IntoResponse, Response};

use super::GnocchiRoutes;
use crate::failure::Failure;
use crate::routes::Doc;
use crate::state::Who;

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc =
        |id| Doc::new(id, "not in this version", "Not in this version").gives_nothing(501).fails(&[401]);
    routes
        .post("/v1/prometheus/write", refuse, doc("writePrometheus"))
        .get("/v1/influxdb/ping", refuse, doc("pingInfluxdb"))
        .post("/v1/influxdb/query", refuse, doc("queryInfluxdb"))
        .post("/v1/influxdb/write", refuse, doc("writeInfluxdb"))
}

async fn refuse(_: Who) -> Response {
    Failure::NotYet.into_response()
}

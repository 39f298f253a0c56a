//! Gnocchi's v1 API: routes, bodies and views (metrics-api).

pub mod aggregates;
pub mod aggregation;
pub mod batch;
pub mod bodies;
pub mod erasing;
pub mod filters;
pub mod measures;
pub mod metric_policy;
pub mod metrics;
pub mod panels;
pub mod policies;
pub mod resource_bodies;
pub mod resources;
pub mod root;
pub mod rules;
pub mod search;
mod shapes;
pub mod type_patch;
pub mod types;
pub mod views;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};

use crate::failure::Failure;
use crate::http::frame::servable;
use crate::routes::Routes;
use crate::state::ApiState;

/// Routes of this API over the shared state.
pub type GnocchiRoutes = Routes<Arc<ApiState>>;

/// Every route of this API.
pub fn routes() -> GnocchiRoutes {
    let groups: [fn(GnocchiRoutes) -> GnocchiRoutes; 14] = [
        root::add,
        policies::add,
        rules::add,
        metrics::add,
        measures::add,
        erasing::add,
        metric_policy::add,
        batch::add,
        types::add,
        resources::add,
        search::add,
        aggregates::add,
        aggregation::add,
        panels::add,
    ];
    groups.into_iter().fold(Routes::new(refuse_method).only(servable), |routes, add| add(routes))
}

fn refuse_method(allow: Arc<str>) -> Response {
    Failure::MethodNotAllowed(allow).into_response()
}

/// Arguments of paginated lists.
const PAGING: &[(&str, &str)] = &[
    ("limit", "Items a page, at least 1"),
    ("marker", "Last item of the previous page"),
    ("sort", "key[:dir], repeatable"),
];

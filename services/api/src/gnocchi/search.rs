//! `/v1/search`, and deleting resources by a filter.

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::response::Response;
use nephos_index::Page;
use nephos_lang::predicate::Predicate;
use nephos_model::{Granularity, MetricId};
use nephos_wire::gnocchi::points::Width;
use nephos_wire::gnocchi::{parse_uuid, timespan};
use serde::Serialize;
use utoipa::ToSchema;

use super::resources::{DEFAULT_SORT, TAG, listed};
use super::shapes::{AnyObject, PointsByMetric};
use super::views::ResourceView;
use super::{GnocchiRoutes, PAGING, filters};
use crate::failure::Failure;
use crate::http::reply::NextPage;
use crate::http::{Args, BaseUrl, Payload, Segments, Text, reply};
use crate::routes::Doc;
use crate::service::search::{self, ValueSearch};
use crate::service::{Problem, resources, types};
use crate::state::{ApiState, Who};

/// How many resources were deleted.
#[derive(Debug, Serialize, ToSchema)]
struct Deleted {
    /// Number of resources.
    deleted: u64,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let filter = ("filter", "The filter as text, where no body is sent");
    routes
        .post(
            "/v1/search/resource/{type}",
            resources_of,
            Doc::new("searchResources", TAG, "Resources of a type that fit a filter; generic finds all")
                .query(&[
                    filter,
                    ("details", "Whether attributes are shown in a generic list"),
                    ("history", "Whether every revision is searched"),
                    ("attrs", "Only these keys, repeatable"),
                ])
                .query(PAGING)
                .body::<AnyObject>()
                .gives::<Vec<ResourceView<'static>>>(200)
                .fails(&[400, 401, 403, 404, 415]),
        )
        .get(
            "/v1/search/resource/{type}",
            refuse,
            Doc::new("refuseSearch", TAG, "Refused: searches are posted")
                .gives_nothing(405)
                .fails(&[401, 404]),
        )
        .delete(
            "/v1/resource/{type}",
            delete,
            Doc::new(
                "deleteResources",
                TAG,
                "Deletes the resources that fit a filter, with metrics and history",
            )
            .query(&[filter])
            .body::<AnyObject>()
            .gives::<Deleted>(200)
            .fails(&[400, 401, 403, 404, 415]),
        )
        .post(
            "/v1/search/metric",
            values,
            Doc::new("searchMetrics", "measures", "Points whose value fits a condition, by metric")
                .query(&[
                    ("metric_id", "Where to look, repeatable"),
                    ("start", "First bucket, rounded down"),
                    ("stop", "End, exclusive"),
                    ("aggregation", "Method, mean by default"),
                    ("granularity", "Only these, repeatable"),
                ])
                .body::<AnyObject>()
                .gives::<PointsByMetric>(200)
                .fails(&[400, 401, 403, 415, 503]),
        )
}

async fn resources_of(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    Segments(resource_type): Segments<String>,
    args: Args,
    OriginalUri(uri): OriginalUri,
    payload: Payload,
) -> Result<Response, Failure> {
    types::get(&state, &resource_type).await?;
    let filter = filters::of_request(&payload, &args, &caller).await?;
    let details = args.flag("details")?;
    let history = args.flag("history")?;
    let limit = args.limit(state.options.max_limit)?;
    let (sort, keys) = args.sort(DEFAULT_SORT)?;
    let page = Page { limit: Some(limit), marker: args.get("marker").map(str::to_owned), sort: keys };
    let found = search::resources(&state, &caller, &resource_type, history, filter, &page).await?;
    let response = listed(&found, &resource_type, details, &args.all("attrs"))?;
    match found.last() {
        Some(last) if found.len() as u64 >= limit => {
            let next = NextPage { limit, marker: &resources::marker(last, history), sort: &sort };
            Ok(reply::with_next(response, &base, uri.path(), &args, &next))
        }
        _ => Ok(response),
    }
}

/// Clients know that an unknown type is told before the wrong method.
async fn refuse(
    State(state): State<Arc<ApiState>>,
    _: Who,
    Segments(resource_type): Segments<String>,
) -> Result<Response, Failure> {
    types::get(&state, &resource_type).await?;
    Err(Failure::MethodNotAllowed("POST".into()))
}

async fn delete(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(resource_type): Segments<String>,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    types::get(&state, &resource_type).await?;
    let filter = filters::of_request(&payload, &args, &caller).await?.ok_or_else(|| {
        let caution = "caution: the query can not be empty, or it will delete entire database";
        Problem::Bad(caution.to_owned())
    })?;
    let deleted = search::delete(&state, &caller, &resource_type, filter).await?;
    reply::ok(&Deleted { deleted })
}

fn value_search(state: &ApiState, args: &Args) -> Result<ValueSearch, Problem> {
    let now = state.clock.now();
    let time =
        |name: &str| args.timestamp(name, now).map_err(|_| Problem::Bad(format!("Invalid value for {name}")));
    let (start, stop) = (time("start")?, time("stop")?);
    let granularity = |text: &str| {
        let nanos = timespan::parse(text);
        nanos.map_err(|error| Problem::argument("granularity", error.to_string()))
    };
    let granularities = args.all("granularity").into_iter().map(granularity);
    let granularities = granularities.collect::<Result<Vec<_>, _>>()?;
    Ok(ValueSearch {
        aggregation: args.get("aggregation").unwrap_or("mean").to_owned(),
        granularities: granularities.into_iter().filter_map(Granularity::from_nanos).collect(),
        start,
        stop,
    })
}

async fn values(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    let ids = args.all("metric_id");
    if ids.is_empty() {
        return Err(Problem::argument("metric_id", "Must be given").into());
    }
    let mut ids: Vec<MetricId> = ids.into_iter().filter_map(parse_uuid).map(MetricId).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = search::searched(&state, &caller, &ids).await?;
    if payload.bytes.is_empty() {
        return Err(Problem::Bad("No query specified in body".to_owned()).into());
    }
    let predicate =
        Predicate::from_json(&payload.json().await?).map_err(|fault| match fault.about_value {
            false if fault.path.is_empty() => Problem::Bad(fault.message),
            _ => filters::invalid(fault, &[]).into(),
        })?;
    let search = value_search(&state, &args)?;
    let found = search::values(&state, &found, &search, &predicate).await?;
    let mut out = Text::default();
    out.words("{");
    for (metric, series) in found {
        out.key(&metric.to_string())?;
        out.words("[");
        for points in series.granularities {
            out.points(Width::Seconds(points.granularity), (points.timestamps, points.values));
        }
        out.words("]");
    }
    out.words("}");
    Ok(reply::text(out))
}

//! `/v1/metric`, and the same metrics below their resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::response::Response;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as policy;
use nephos_index::{MetricFilter, Page};
use nephos_model::{Metric, MetricId};
use nephos_timeseries::ArchivePolicy;
use nephos_wire::gnocchi::{json, parse_uuid};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::views::{ListedMetricView, MetricView, PolicyView, SingleMetricView};
use super::{GnocchiRoutes, PAGING, bodies};
use crate::failure::Failure;
use crate::http::reply::NextPage;
use crate::http::{Args, BaseUrl, Payload, Segments, reply};
use crate::routes::Doc;
use crate::service::{Problem, metrics, resources};
use crate::state::{ApiState, Who};

const TAG: &str = "metrics";

/// A metric to create.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct NewMetric {
    /// Policy; otherwise the first rule that matches the name gives one.
    archive_policy_name: Option<String>,
    /// Name, without slashes.
    name: Option<String>,
    /// Unit, at most 31 characters.
    unit: Option<String>,
    /// Resource it belongs to; needs a name.
    resource_id: Option<String>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id, summary| Doc::new(id, TAG, summary);
    routes
        .get(
            "/v1/metric",
            list,
            doc("listMetrics", "Metrics, by id")
                .query(&[
                    ("id", "Only this metric"),
                    ("name", "Of this name"),
                    ("unit", "In this unit"),
                    ("creator", "Created by"),
                    ("user_id", "User part of the creator, with project_id"),
                    ("project_id", "Project part of the creator, with user_id"),
                    ("archive_policy_name", "With this policy"),
                    ("status", "active or delete"),
                ])
                .query(PAGING)
                .gives::<Vec<ListedMetricView<'static>>>(200)
                .fails(&[400, 401]),
        )
        .post(
            "/v1/metric",
            create,
            doc("createMetric", "Creates a metric")
                .body::<NewMetric>()
                .gives::<MetricView<'static>>(201)
                .fails(&[400, 401, 403, 404, 415]),
        )
        .get(
            "/v1/metric/{id}",
            get,
            doc("getMetric", "One metric").gives::<SingleMetricView<'static>>(200).fails(&[401, 403, 404]),
        )
        .delete(
            "/v1/metric/{id}",
            delete,
            doc("deleteMetric", "Deletes a metric").gives_nothing(204).fails(&[401, 403, 404]),
        )
        .get(
            "/v1/resource/{type}/{id}/metric/{name}",
            get_named,
            doc("getNamedMetric", "One metric of a resource")
                .gives::<SingleMetricView<'static>>(200)
                .fails(&[401, 403, 404]),
        )
        .delete(
            "/v1/resource/{type}/{id}/metric/{name}",
            delete_named,
            doc("deleteNamedMetric", "Deletes a metric of a resource")
                .gives_nothing(204)
                .fails(&[401, 403, 404]),
        )
}

/// The metric that a path names below a resource.
pub(super) async fn named(
    state: &ApiState,
    caller: &Caller,
    (resource_type, id, name): &(String, String, String),
) -> Result<Metric, Problem> {
    let id = resources::id_of(caller, id)?;
    metrics::by_name(state, resource_type, id, name).await
}

fn filter(args: &Args) -> Result<Option<MetricFilter>, Problem> {
    let text = |name| args.get(name).map(str::to_owned);
    let deleted = match args.get("status") {
        None | Some("active") => false,
        Some("delete") => true,
        Some(_) => return Err(Problem::argument("status", "not a valid value")),
    };
    let ids = match args.get("id") {
        Some(id) => match parse_uuid(id) {
            Some(id) => Some(vec![MetricId(id)]),
            // No metric has such an id.
            None => return Ok(None),
        },
        None => None,
    };
    let legacy = match (args.get("user_id"), args.get("project_id")) {
        (None, None) => None,
        (user, project) => Some(format!("{}:{}", user.unwrap_or_default(), project.unwrap_or_default())),
    };
    let creator = match (text("creator"), legacy) {
        (Some(creator), Some(legacy)) if creator != legacy => return Ok(None),
        (creator, legacy) => creator.or(legacy),
    };
    Ok(Some(MetricFilter {
        ids,
        name: text("name"),
        unit: text("unit"),
        creator,
        archive_policy_name: text("archive_policy_name"),
        resource_id: None,
        visible_to: None,
        deleted,
    }))
}

fn text_of(policy: &ArchivePolicy) -> Result<Box<RawValue>, Failure> {
    let text = json::to_vec(&PolicyView::from(policy)).ok().and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| RawValue::from_string(text).ok()).ok_or(Failure::Internal)
}

async fn list(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    args: Args,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Failure> {
    let limit = args.limit(state.options.max_limit)?;
    let (sort, keys) = args.sort(&["id:asc"])?;
    let Some(filter) = filter(&args)? else { return reply::ok::<[(); 0]>(&[]) };
    let page = Page { limit: Some(limit), marker: args.get("marker").map(str::to_owned), sort: keys };
    let found = metrics::list(&state, &caller, filter, &page).await?;
    let policies = metrics::policies_of(&state, &found).await?;
    // Many metrics have the same policy, which is written once.
    let texts = policies.iter().map(|(name, policy)| Ok((name.as_str(), text_of(policy)?)));
    let texts = texts.collect::<Result<BTreeMap<_, _>, Failure>>()?;
    let listed = found.iter().filter_map(|metric| {
        let policy = texts.get(metric.archive_policy_name.as_str())?;
        Some(MetricView::from(metric).listed(policy))
    });
    let response = reply::ok(&listed.collect::<Vec<_>>())?;
    match found.last() {
        Some(last) if found.len() as u64 >= limit => {
            let next = NextPage { limit, marker: &last.id.to_string(), sort: &sort };
            Ok(reply::with_next(response, &base, uri.path(), &args, &next))
        }
        _ => Ok(response),
    }
}

async fn create(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    base: BaseUrl,
    payload: Payload,
) -> Result<Response, Failure> {
    let spec = bodies::metric(&payload.json().await?, caller.creator.as_deref())?;
    let metric = metrics::create(&state, &caller, &spec).await?;
    reply::created(&base.location(&["v1", "metric", &metric.id.to_string()]), &MetricView::from(&metric))
}

async fn show(state: &ApiState, caller: &Caller, metric: &Metric) -> Result<Response, Failure> {
    metrics::demand_on(state, policy::GET_METRIC, caller, metric).await?;
    let archive_policy = metrics::policy_of(state, metric).await?;
    let resource = metrics::resource_of(state, metric).await?;
    reply::ok(&MetricView::from(metric).single(&archive_policy, resource.as_ref()))
}

async fn remove(state: &ApiState, caller: &Caller, metric: &Metric) -> Result<Response, Failure> {
    metrics::demand_on(state, policy::DELETE_METRIC, caller, metric).await?;
    metrics::delete(state, metric).await?;
    Ok(reply::no_content())
}

async fn get(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(id): Segments<String>,
) -> Result<Response, Failure> {
    let metric = metrics::by_id(&state, &id).await?;
    show(&state, &caller, &metric).await
}

async fn delete(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(id): Segments<String>,
) -> Result<Response, Failure> {
    let metric = metrics::by_id(&state, &id).await?;
    remove(&state, &caller, &metric).await
}

async fn get_named(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(path): Segments<(String, String, String)>,
) -> Result<Response, Failure> {
    let metric = named(&state, &caller, &path).await?;
    show(&state, &caller, &metric).await
}

async fn delete_named(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments(path): Segments<(String, String, String)>,
) -> Result<Response, Failure> {
    let metric = named(&state, &caller, &path).await?;
    remove(&state, &caller, &metric).await
}

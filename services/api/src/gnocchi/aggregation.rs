//! `/v1/aggregation`: the older way to ask for one series of several metrics.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_index::IndexError;
use nephos_model::MetricId;
use nephos_wire::gnocchi::{Field, Invalid, parse_uuid};
use serde_json::{Map, Value};

use super::aggregates::answer::rows;
use super::aggregates::{TAG, groups, window};
use super::shapes::{AnyObject, PointList};
use super::{GnocchiRoutes, filters};
use crate::failure::Failure;
use crate::http::{Args, Payload, Segments, Text, reply};
use crate::routes::Doc;
use crate::service::aggregates::Computed;
use crate::service::aggregates::across::{AcrossQuestion, across};
use crate::service::aggregates::question::{Scope, find, runs};
use crate::service::measures::Subject;
use crate::service::{Problem, measures, types};
use crate::state::{ApiState, Who};

/// Percent of timestamps that series must share if nothing is said.
const OVERLAP: f64 = 100.0;

const ARGUMENTS: &[(&str, &str)] = &[
    ("start", "First bucket, rounded down"),
    ("stop", "End, exclusive"),
    ("aggregation", "Method of the policies, mean by default"),
    ("reaggregation", "Method across metrics; as aggregation by default"),
    ("granularity", "Only this one"),
    ("needed_overlap", "Percent of timestamps at which all series must have points; 100 by default"),
    ("fill", "A number, dropna, null, ffill, bfill, full_ffill or full_bfill"),
    ("resample", "Timespan or one of Y, H, Q, M, W; needs granularity"),
    ("refresh", "Measures can be read as soon as they were accepted: has no effect"),
];

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc =
        |id, summary| Doc::new(id, TAG, summary).query(ARGUMENTS).fails(&[400, 401, 403, 404, 415, 503]);
    routes
        .get(
            "/v1/aggregation/metric",
            get,
            doc("getAggregation", "One series of several metrics")
                .query(&[("metric", "A metric, repeatable")])
                .gives::<PointList>(200),
        )
        .post(
            "/v1/aggregation/metric",
            post,
            doc("postAggregation", "One series of several metrics")
                .body::<Vec<String>>()
                .gives::<PointList>(200),
        )
        .post(
            "/v1/aggregation/resource/{type}/metric/{name}",
            of_resources,
            doc("aggregateResources", "One series of a metric of many resources, or one for each group")
                .query(&[
                    ("filter", "The filter as text, where no body is sent"),
                    ("groupby", "Attribute of the resources, repeatable"),
                ])
                .body::<AnyObject>()
                .gives::<PointList>(200),
        )
        .post(
            "/v1/aggregation/resource/{type}/metric",
            refuse,
            Doc::new("refuseAggregation", TAG, "Refused: a metric must be named")
                .gives_nothing(405)
                .fails(&[401]),
        )
}

async fn refuse(_: Who) -> Failure {
    Failure::MethodNotAllowed("".into())
}

fn question(state: &ApiState, args: &Args) -> Result<AcrossQuestion, Problem> {
    let (window, filling) = window(args, state.clock.now(), Some(OVERLAP))?;
    args.flag("refresh")?;
    let resample = match args.get("resample") {
        Some(_) if window.granularity.is_none() => {
            return Err(Problem::Bad("A granularity must be specified to resample".to_owned()));
        }
        Some(text) => Some(measures::parse_resample(text)?),
        None => None,
    };
    Ok(AcrossQuestion {
        aggregation: args.get("aggregation").unwrap_or("mean").to_owned(),
        reaggregation: args.get("reaggregation").map(str::to_owned),
        window,
        resample,
        filling,
    })
}

async fn get(State(state): State<Arc<ApiState>>, Who(caller): Who, args: Args) -> Result<Response, Failure> {
    let ids = args.all("metric").into_iter().enumerate().map(|(at, text)| {
        let reason = format!("Invalid input: badly formed hexadecimal UUID string @ data[{at}]");
        parse_uuid(text).map(MetricId).ok_or(Problem::Bad(reason))
    });
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    of_metrics(&state, &caller, ids, &args).await
}

async fn post(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    let body = payload.json().await?;
    of_metrics(&state, &caller, read_ids(&body)?, &args).await
}

fn read_ids(body: &Value) -> Result<Vec<MetricId>, Invalid> {
    let root = Field::root(body);
    let id = |field: Field<'_>| {
        let id = field.value.as_str().and_then(parse_uuid);
        id.map(MetricId).ok_or_else(|| field.invalid("badly formed hexadecimal UUID string"))
    };
    root.list()?.map(id).collect()
}

async fn of_metrics(
    state: &ApiState,
    caller: &Caller,
    mut ids: Vec<MetricId>,
    args: &Args,
) -> Result<Response, Failure> {
    ids.sort_unstable();
    ids.dedup();
    let found = measures::subjects(state, &ids).await?;
    if let Some((missing, _)) = ids.iter().zip(&found).find(|(_, found)| found.is_none()) {
        return Err(Problem::missing("Metric", missing).into());
    }
    let question = question(state, args)?;
    let group = found.into_iter().flatten().collect();
    let mut computed = across(state, caller, &[group], &question).await?;
    Ok(reply::text(points(computed.pop().flatten())))
}

fn points(computed: Option<Computed>) -> Text {
    let mut out = Text::default();
    match computed {
        Some(computed) => rows(&mut out, &Arc::new(computed), 0),
        None => out.words("[]"),
    }
    out
}

async fn of_resources(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    Segments((resource_type, name)): Segments<(String, String)>,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    types::get(&state, &resource_type).await?;
    let filter = filters::of_request(&payload, &args, &caller).await?;
    let attributes = groups(&args);
    let found = find(&state, &caller, Scope { resource_type, filter }, &attributes, false).await;
    let found = found.map_err(|problem| match problem {
        Problem::Index(IndexError::BadSortKey(_)) => Problem::Bad("Invalid groupby attribute".to_owned()),
        other => other,
    })?;
    let question = question(&state, &args)?;
    let ids: Vec<MetricId> =
        found.iter().filter_map(|resource| resource.metrics.get(&name).copied()).collect();
    let subjects = measures::subjects(&state, &ids).await?.into_iter().flatten();
    let mut by_id: HashMap<MetricId, Subject> = subjects.map(|subject| (subject.id, subject)).collect();
    let (mut keys, mut members) = (Vec::new(), Vec::new());
    for (key, resources) in runs(found, &attributes) {
        let ids = resources.iter().filter_map(|resource| resource.metrics.get(&name));
        members.push(ids.filter_map(|id| by_id.remove(id)).collect::<Vec<_>>());
        keys.push(key);
    }
    let computed = across(&state, &caller, &members, &question).await?;
    if attributes.is_empty() {
        return Ok(reply::text(points(computed.into_iter().next().flatten())));
    }
    Ok(reply::text(grouped(&keys, computed)?))
}

fn grouped(keys: &[Map<String, Value>], computed: Vec<Option<Computed>>) -> Result<Text, Failure> {
    let mut out = Text::default();
    out.words("[");
    for (key, computed) in keys.iter().zip(computed) {
        out.separate();
        out.words("{");
        out.key("group")?;
        out.value(key)?;
        out.key("measures")?;
        out.append(points(computed));
        out.words("}");
    }
    out.words("]");
    Ok(out)
}

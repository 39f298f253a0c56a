//! `/v1/batch`: measures of many metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_model::{Measure, MetricId, ResourceId, Timestamp};
use nephos_wire::gnocchi::measures::{Entries, MaybeObject, NamedMeasures, PostedMeasures, read_body};
use nephos_wire::gnocchi::{Invalid, Step, parse_uuid, resource_id};

use super::measures::NewMeasure;
use super::{GnocchiRoutes, bodies};
use crate::failure::Failure;
use crate::http::{Args, Payload, reply};
use crate::routes::Doc;
use crate::service::batch::{self, NamedRun, ResourceRuns};
use crate::state::{ApiState, Who};

const TAG: &str = "measures";

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    routes
        .post(
            "/v1/batch/metrics/measures",
            by_metric,
            Doc::new("postBatchByMetric", TAG, "Takes measures by metric id, all or nothing")
                .body::<HashMap<String, Vec<NewMeasure>>>()
                .gives_nothing(202)
                .fails(&[400, 401, 403, 413, 415, 503]),
        )
        .post(
            "/v1/batch/resources/metrics/measures",
            by_resource,
            Doc::new(
                "postBatchByResource",
                TAG,
                "Takes measures by resource and metric name, all or nothing",
            )
            .query(&[("create_metrics", "Whether metrics that are not there are created")])
            .body::<HashMap<String, HashMap<String, Vec<NewMeasure>>>>()
            .gives_nothing(202)
            .fails(&[400, 401, 403, 413, 415, 503]),
        )
}

/// An error below the given keys.
fn under(keys: &[&str], message: impl Into<String>, about_value: bool) -> Failure {
    let path = keys.iter().map(|key| Step::Key((*key).to_owned())).collect();
    Failure::from(Invalid { message: message.into(), path, about_value })
}

fn check(posted: &PostedMeasures<'_>, now: Timestamp) -> Result<Vec<Measure>, Failure> {
    Ok(posted.check(now).map_err(|error| Invalid::whole(error.to_string()))?)
}

fn not_a_dictionary() -> Failure {
    Failure::from(Invalid::whole("expected a dictionary"))
}

fn parse_by_metric(bytes: &[u8], now: Timestamp) -> Result<BTreeMap<MetricId, Vec<Measure>>, Failure> {
    let mut spare = None;
    let body: MaybeObject<Entries<'_, PostedMeasures<'_>>> =
        read_body(bytes, &mut spare).map_err(|_| Failure::UndecodableBody)?;
    let mut batch = BTreeMap::<MetricId, Vec<Measure>>::new();
    for (key, posted) in body.0.ok_or_else(not_a_dictionary)?.0 {
        let id =
            parse_uuid(&key).ok_or_else(|| under(&[&key], "badly formed hexadecimal UUID string", false))?;
        batch.entry(MetricId(id)).or_default().extend(check(&posted, now)?);
    }
    Ok(batch)
}

fn parse_by_resource(
    bytes: &[u8],
    creator: Option<&str>,
    now: Timestamp,
) -> Result<Vec<ResourceRuns>, Failure> {
    let mut spare = None;
    let body: MaybeObject<Entries<'_, MaybeObject<Entries<'_, NamedMeasures<'_>>>>> =
        read_body(bytes, &mut spare).map_err(|_| Failure::UndecodableBody)?;
    let mut batch = BTreeMap::<ResourceId, ResourceRuns>::new();
    for (original, named) in body.0.ok_or_else(not_a_dictionary)?.0 {
        let id =
            resource_id(&original, creator).map_err(|error| under(&[&original], error.to_string(), false))?;
        let named = named.0.ok_or_else(|| under(&[&original], "expected a dictionary", true))?;
        let runs = batch.entry(id).or_insert_with(|| ResourceRuns {
            id,
            original_id: original.clone().into_owned(),
            runs: Vec::new(),
        });
        for (name, posted) in named.0 {
            runs.runs.push(named_run(&original, &name, posted, now)?);
        }
    }
    Ok(batch.into_values().map(merge_same_names).collect())
}

fn named_run(
    resource: &str,
    name: &str,
    posted: NamedMeasures<'_>,
    now: Timestamp,
) -> Result<NamedRun, Failure> {
    if let Some(key) = posted.unknown_key {
        return Err(under(&[resource, name, &key], "extra keys not allowed", false));
    }
    bodies::check_metric_name(name).map_err(|text| under(&[resource, name], text, false))?;
    if let Some(unit) = &posted.unit {
        bodies::check_unit(unit)
            .map_err(|invalid| under(&[resource, name, "unit"], invalid.message, true))?;
    }
    Ok(NamedRun {
        name: name.to_owned(),
        archive_policy_name: posted.archive_policy_name.map(std::borrow::Cow::into_owned),
        unit: posted.unit.map(std::borrow::Cow::into_owned),
        measures: check(&posted.measures, now)?,
    })
}

/// The same resource may come under several texts of its id, and so the same metric more than once.
fn merge_same_names(mut resource: ResourceRuns) -> ResourceRuns {
    let mut merged: Vec<NamedRun> = Vec::with_capacity(resource.runs.len());
    resource.runs.sort_by(|a, b| a.name.cmp(&b.name));
    for run in resource.runs {
        match merged.last_mut() {
            Some(last) if last.name == run.name => last.measures.extend(run.measures),
            _ => merged.push(run),
        }
    }
    resource.runs = merged;
    resource
}

async fn by_metric(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    payload: Payload,
) -> Result<Response, Failure> {
    payload.expect_type("application/json")?;
    let now = state.clock.now();
    let runs = payload.parse(move |bytes| parse_by_metric(bytes, now)).await?;
    batch::by_metric(&state, &caller, runs).await?;
    Ok(reply::accepted())
}

async fn by_resource(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    let create = args.flag("create_metrics")?;
    payload.expect_type("application/json")?;
    let (now, creator) = (state.clock.now(), caller.creator.clone());
    let runs = payload.parse(move |bytes| parse_by_resource(bytes, creator.as_deref(), now)).await?;
    batch::by_resource(&state, &caller, runs, create).await?;
    Ok(reply::accepted())
}

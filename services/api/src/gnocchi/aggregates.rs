//! `/v1/aggregates`: operations on many series.

pub mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_lang::operations::{self, Operation};
use nephos_model::Timestamp;
use nephos_timeseries::Fill;
use nephos_wire::gnocchi::{Field, Invalid, Step, timespan};
use serde_json::Value;
use utoipa::ToSchema;

use super::shapes::AnyObject;
use super::views::PolicyView;
use super::{GnocchiRoutes, filters};
use crate::failure::Failure;
use crate::http::{Args, Payload, Text, reply};
use crate::routes::Doc;
use crate::service::aggregates::question::{self, Question, Scope};
use crate::service::aggregates::{Filling, Operations, Window};
use crate::service::{Problem, metrics, search, types};
use crate::state::{ApiState, Who};

pub(super) const TAG: &str = "aggregates";

/// Names and globs of one question: each is held against all metrics of what is found.
const MAX_NAMES: usize = 256;

/// What is computed; with `resource_type` and `search`, references are names or globs of metrics of what is found.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct AggregatesRequest {
    /// Operations: text in brackets, or nested lists.
    #[schema(value_type = Object)]
    operations: Value,
    /// Type of the resources that are searched.
    resource_type: Option<String>,
    /// A filter, as an object or as text.
    #[schema(value_type = Option<Object>)]
    search: Option<Value>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    routes.post(
        "/v1/aggregates",
        compute,
        Doc::new("computeAggregates", TAG, "Operations on the series of many metrics")
            .query(&[
                ("start", "First bucket, rounded down"),
                ("stop", "End, exclusive"),
                ("granularity", "Only this one"),
                ("needed_overlap", "Percent of timestamps at which all series must have points"),
                ("fill", "A number, dropna, null, ffill, bfill, full_ffill or full_bfill"),
                ("groupby", "Attribute of the resources, repeatable"),
                ("use_history", "Whether attributes count as they were at the time"),
                ("details", "Whether metrics or resources come along"),
            ])
            .body::<AggregatesRequest>()
            .gives::<AnyObject>(200)
            .fails(&[400, 401, 403, 404, 413, 415, 503]),
    )
}

/// Reads when, and what becomes of missing points; `needed` is the overlap where nothing is said about either.
pub(super) fn window(args: &Args, now: Timestamp, needed: Option<f64>) -> Result<(Window, Filling), Problem> {
    let overlap = match args.get("needed_overlap") {
        Some(text) => {
            let number = text.trim().parse();
            Some(number.map_err(|_| Problem::argument("needed_overlap", "Must be a number"))?)
        }
        None => needed,
    };
    let start = args.timestamp("start", now)?;
    let stop = args.timestamp("stop", now)?;
    let granularity = args.granularity("granularity")?;
    let filling = match (args.get("fill"), overlap) {
        (Some(text), _) => fill(text)?,
        (None, Some(overlap)) => Filling::Overlap(overlap),
        (None, None) => Filling::Fill { fill: Fill::Null, dropping: true },
    };
    Ok((Window { start, stop, granularity }, filling))
}

fn fill(text: &str) -> Result<Filling, Problem> {
    if let Ok(number) = text.trim().parse() {
        return Ok(Filling::Fill { fill: Fill::Value(number), dropping: false });
    }
    let (fill, dropping) = match text {
        "null" => (Fill::Null, false),
        "dropna" => (Fill::Null, true),
        "ffill" => (Fill::Forward, true),
        "bfill" => (Fill::Backward, true),
        "full_ffill" => (Fill::ForwardThenBackward, true),
        "full_bfill" => (Fill::BackwardThenForward, true),
        _ => {
            let reason = "Must be a float, 'dropna', 'null', 'ffill', 'bfill', 'full_ffill' or 'full_bfill'";
            return Err(Problem::argument("fill", reason));
        }
    };
    Ok(Filling::Fill { fill, dropping })
}

/// Attributes to group by: sorted, each once.
pub(super) fn groups(args: &Args) -> Vec<String> {
    let names: BTreeSet<&str> = args.all("groupby").into_iter().collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Reads operations, as text or as JSON.
pub fn read_operations(field: &Field<'_>) -> Result<Operations, Problem> {
    let parsed;
    let document = match field.value {
        Value::String(text) => {
            parsed = operations::parse_text(text).map_err(|error| Problem::Detailed {
                missing: false,
                cause: "Invalid operations",
                reason: Some("Fail to parse the operations string".to_owned()),
                detail: filters::syntax(&error).into(),
            })?;
            &parsed
        }
        document => document,
    };
    let operation = Operation::from_json(document, &|step| timespan::parse_value(step).ok());
    let operation = operation.map_err(|fault| field.invalid(fault.to_string()))?;
    if operation.references().is_empty() {
        return Err(Problem::Detailed {
            missing: false,
            cause: "Operations is invalid",
            reason: Some("At least one 'metric' is required".to_owned()),
            detail: document.clone(),
        });
    }
    Ok(Arc::new(operation))
}

pub(super) async fn read_body(
    state: &ApiState,
    caller: &Caller,
    body: &Value,
) -> Result<(Operations, Option<Scope>), Problem> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["operations", "resource_type", "search"])?;
    let operations = read_operations(&body.require("operations")?)?;
    let (resource_type, search) = match (body.get("resource_type"), body.get("search")) {
        (None, None) => return Ok((operations, None)),
        (Some(_), None) => return Err(body.require("search").err().unwrap_or_else(nothing).into()),
        (None, Some(_)) => return Err(body.require("resource_type").err().unwrap_or_else(nothing).into()),
        (Some(resource_type), Some(search)) => (resource_type.text()?, search),
    };
    types::get(state, resource_type).await.map_err(|problem| match problem {
        Problem::NotFound(text) => Problem::Bad(text),
        other => other,
    })?;
    let filter = match search.value {
        Value::String(text) => filters::from_text(text, caller, &["search"])?,
        document => filters::from_json(document, caller, &["search"])?,
    };
    if operations.references().len() > MAX_NAMES {
        return Err(body.at_key("operations", format!("more than {MAX_NAMES} names of metrics")).into());
    }
    Ok((operations, Some(Scope { resource_type: resource_type.to_owned(), filter })))
}

fn nothing() -> Invalid {
    Invalid { message: "required key not provided".to_owned(), path: Vec::<Step>::new(), about_value: false }
}

async fn compute(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    let asked = Asked::read(&args, state.clock.now())?;
    let body = payload.json().await?;
    let (operations, scope) = read_body(&state, &caller, &body).await?;
    Ok(reply::text(answered(&state, &caller, asked, operations, scope).await?.0))
}

/// What is said beside the body.
#[derive(Debug)]
pub(super) struct Asked {
    window: Window,
    filling: Filling,
    groups: Vec<String>,
    use_history: bool,
    details: bool,
}

impl Asked {
    /// Reads arguments.
    pub(super) fn read(args: &Args, now: Timestamp) -> Result<Self, Problem> {
        let (use_history, details) = (args.flag("use_history")?, args.flag("details")?);
        let (window, filling) = window(args, now, None)?;
        Ok(Self { window, filling, groups: groups(args), use_history, details })
    }
}

/// The answer, and how many points were computed for it.
pub(super) async fn answered(
    state: &ApiState,
    caller: &Caller,
    asked: Asked,
    operations: Operations,
    scope: Option<Scope>,
) -> Result<(Text, usize), Failure> {
    let Asked { window, filling, groups, use_history, details } = asked;
    let question = Question { operations, window, filling };
    let Some(scope) = scope else { return metrics_answer(state, caller, &question, details).await };
    let resource_type = scope.resource_type.clone();
    if groups.is_empty() {
        let group = question::by_resource(state, caller, &question, scope).await?;
        let points = group.result.size();
        let references = details.then(|| answer::resources(&resource_type, &group.resources)).transpose()?;
        return Ok((answer::whole(group.result, answer::measures, references)?, points));
    }
    if use_history {
        let found = question::with_history(state, caller, &question, scope, &groups).await?;
        let points = found.iter().map(|group| group.result.size()).sum();
        return Ok((answer::groups(found, answer::sum, &resource_type, details)?, points));
    }
    let found = question::grouped(state, caller, &question, scope, &groups).await?;
    let points = found.iter().map(|group| group.result.size()).sum();
    Ok((answer::groups(found, answer::measures, &resource_type, details)?, points))
}

async fn metrics_answer(
    state: &ApiState,
    caller: &Caller,
    question: &Question,
    details: bool,
) -> Result<(Text, usize), Failure> {
    let computed = question::by_metric(state, caller, question).await?;
    let points = computed.size();
    if !details {
        return Ok((answer::whole(computed, answer::measures, None)?, points));
    }
    let mut ids: Vec<_> = computed.sources.iter().map(|source| source.metric).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = search::metrics_of(state, &ids).await?;
    let policies = metrics::policies_of(state, &found).await?;
    let policies: BTreeMap<&str, PolicyView> =
        policies.iter().map(|(name, policy)| (name.as_str(), PolicyView::from(policy.as_ref()))).collect();
    let resources = found.iter().filter_map(|metric| metric.resource_id);
    let resources = search::resources_by_id(state, resources).await?;
    let references = answer::metrics(&found, &policies, &resources)?;
    Ok((answer::whole(computed, answer::measures, Some(references))?, points))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_points_are_filled_as_asked() {
        let keep = |fill| Filling::Fill { fill, dropping: false };
        let drop = |fill| Filling::Fill { fill, dropping: true };
        for (query, needed, expected) in [
            ("", None, drop(Fill::Null)),
            ("", Some(100.0), Filling::Overlap(100.0)),
            ("needed_overlap=50", None, Filling::Overlap(50.0)),
            ("fill=null&needed_overlap=50", Some(100.0), keep(Fill::Null)),
            ("fill=-1.5", None, keep(Fill::Value(-1.5))),
            ("fill=dropna", Some(100.0), drop(Fill::Null)),
            ("fill=full_bfill", None, drop(Fill::BackwardThenForward)),
        ] {
            let (_, filling) = window(&Args::parse(query), Timestamp::from_secs(0), needed).unwrap();
            assert_eq!(filling, expected, "{query}");
        }
        for (query, name) in [("fill=foobar", "fill"), ("needed_overlap=x", "needed_overlap")] {
            let Err(Problem::Detailed { detail, .. }) =
                window(&Args::parse(query), Timestamp::from_secs(0), None)
            else {
                panic!("accepted {query}")
            };
            assert_eq!(detail, json!(name));
        }
    }

    #[test]
    fn operations_are_refused_at_their_place() {
        let refused = |operations: Value| {
            let body = json!({"operations": operations});
            let root = Field::root(&body);
            let object = root.object().unwrap();
            match read_operations(&object.require("operations").unwrap()) {
                Err(Problem::Invalid(invalid)) => (invalid.reason(), json!(invalid.detail())),
                Err(Problem::Detailed { cause, detail, .. }) => (cause.to_owned(), detail),
                other => panic!("{other:?}"),
            }
        };
        for (operations, text, detail) in [
            (
                json!([]),
                "Operation must not be empty for dictionary value @ data['operations']",
                json!(["operations"]),
            ),
            (
                json!("(resample mean invalid (metric a mean))"),
                "'resample' operation invalid for dictionary value @ data['operations']",
                json!(["operations"]),
            ),
            (
                json!("(metric a"),
                "Invalid operations",
                json!("Expected ')', found end of text  (at char 9), (line:1, col:10)"),
            ),
            (json!(["+", 1, 2]), "Operations is invalid", json!(["+", 1, 2])),
        ] {
            assert_eq!(refused(operations), (text.to_owned(), detail));
        }
    }
}

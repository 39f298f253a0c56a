//! `/api/query`: many named questions about series, answered in one round trip.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use nephos_identity::Caller;
use nephos_model::Timestamp;
use nephos_wire::gnocchi::{Field, Object};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::GnocchiRoutes;
use super::aggregates::{Asked, TAG, answered, read_body};
use super::shapes::AnyObject;
use crate::failure::Failure;
use crate::http::{Args, Payload, Text, reply};
use crate::routes::Doc;
use crate::service::Problem;
use crate::state::{ApiState, Who};

/// Questions of one request.
const MAX_PANELS: usize = 100;
/// Points that the answers of one request may have together.
const MAX_POINTS: usize = 1_000_000;
/// What a question shares with the body of `/v1/aggregates`.
const BODY: [&str; 3] = ["operations", "resource_type", "search"];
/// What a question says in place of arguments of `/v1/aggregates`.
const ARGUMENTS: [&str; 8] =
    ["start", "stop", "granularity", "needed_overlap", "fill", "groupby", "use_history", "details"];
/// What may be said once for all questions.
const SHARED: [&str; 3] = ["start", "stop", "granularity"];

/// Named questions, and when, if all of them ask about the same time.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct PanelsRequest {
    /// The questions by their names, at most 100.
    queries: BTreeMap<String, PanelQuery>,
    /// First bucket, rounded down, of questions that say nothing else.
    start: Option<String>,
    /// End, exclusive, of questions that say nothing else.
    stop: Option<String>,
    /// Granularity of questions that say nothing else.
    granularity: Option<String>,
}

/// A question: what `/v1/aggregates` takes as body and arguments, or a list of metrics.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "describes a body; bodies are read with places for their errors")]
struct PanelQuery {
    /// Operations: text in brackets, or nested lists.
    #[schema(value_type = Option<Object>)]
    operations: Option<Value>,
    /// Instead of operations: ids of metrics.
    metrics: Option<Vec<String>>,
    /// Method of these metrics, mean by default.
    aggregation: Option<String>,
    /// Type of the resources that are searched.
    resource_type: Option<String>,
    /// A filter, as an object or as text.
    #[schema(value_type = Option<Object>)]
    search: Option<Value>,
    /// First bucket, rounded down.
    start: Option<String>,
    /// End, exclusive.
    stop: Option<String>,
    /// Only this one.
    granularity: Option<String>,
    /// Percent of timestamps at which all series must have points.
    needed_overlap: Option<f64>,
    /// A number, dropna, null, ffill, bfill, full_ffill or full_bfill.
    fill: Option<String>,
    /// Attributes of the resources.
    groupby: Option<Vec<String>>,
    /// Whether attributes count as they were at the time.
    use_history: Option<bool>,
    /// Whether metrics or resources come along.
    details: Option<bool>,
}

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    let doc = |id| {
        let summary = "Many named questions in one round trip: {\"results\": {name: {\"result\": …} or {\"error\": …}}}";
        Doc::new(id, TAG, summary)
            .body::<PanelsRequest>()
            .gives::<AnyObject>(200)
            .fails(&[400, 401, 413, 415])
    };
    routes.post("/api/query", query, doc("queryPanels")).post("/api/v1/query", query, doc("queryPanelsV1"))
}

/// One question, read.
#[derive(Debug)]
pub struct Panel {
    asked: Asked,
    /// The body that `/v1/aggregates` would get.
    pub body: Value,
}

/// Questions by their names; one that cannot be read has a reason of its own.
pub type Panels = Vec<(String, Result<Panel, Failure>)>;

/// Reads named questions.
pub fn read(body: &Value, now: Timestamp) -> Result<Panels, Failure> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["queries", "start", "stop", "granularity"])?;
    let queries = body.require("queries")?;
    let panels = queries.object()?;
    if panels.len() > MAX_PANELS {
        return Err(queries.invalid(format!("length of value must be at most {MAX_PANELS}")).into());
    }
    let shared = arguments(&body, &SHARED)?;
    let read = |panel: Field<'_>| read_one(panel.value, &shared, now);
    Ok(panels.entries().map(|(name, panel)| (name.to_owned(), read(panel))).collect())
}

fn read_one(panel: &Value, shared: &[(String, String)], now: Timestamp) -> Result<Panel, Failure> {
    // Errors tell places inside the question: its name stands before them anyway.
    let root = Field::root(panel);
    let panel = root.object()?;
    panel.only(&[&BODY[..], &ARGUMENTS[..], &["metrics", "aggregation"]].concat())?;
    let mut all = arguments(&panel, &ARGUMENTS)?;
    let unsaid = shared.iter().filter(|(name, _)| panel.get(name).is_none());
    all.extend(unsaid.cloned());
    Ok(Panel { asked: Asked::read(&Args(all), now)?, body: Value::Object(question(&panel)?) })
}

async fn query(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    payload: Payload,
) -> Result<Response, Failure> {
    let body = payload.json().await?;
    let mut out = Text::default();
    out.words("{\"results\": {");
    let mut room = MAX_POINTS;
    for (name, panel) in read(&body, state.clock.now())? {
        // One after the other: so a request takes no more of the store than any other.
        let answered = match panel {
            Ok(panel) => answer(&state, &caller, panel, &mut room).await,
            Err(failure) => Err(failure),
        };
        out.key(&name)?;
        out.words("{");
        match answered {
            Ok(text) => {
                out.key("result")?;
                out.append(text);
            }
            Err(failure) => {
                out.key("error")?;
                out.words(failure.inside());
            }
        }
        out.words("}");
    }
    out.words("}}");
    Ok(reply::text(out))
}

/// The answer to one question, as `/v1/aggregates` would give it.
async fn answer(state: &ApiState, caller: &Caller, panel: Panel, room: &mut usize) -> Result<Text, Failure> {
    let (operations, scope) = read_body(state, caller, &panel.body).await?;
    let (text, points) = answered(state, caller, panel.asked, operations, scope).await?;
    *room = room.checked_sub(points).ok_or_else(|| {
        Problem::Bad(format!("The answers of one request would have more than {MAX_POINTS} points"))
    })?;
    Ok(text)
}

/// What a question says of these, as arguments of a request.
fn arguments(object: &Object<'_>, names: &[&'static str]) -> Result<Vec<(String, String)>, Failure> {
    let mut arguments = Vec::new();
    for name in names {
        let Some(field) = object.get(name) else { continue };
        let mut add = |field: &Field<'_>| {
            let text = match field.value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return Err(field.invalid("expected str")),
            };
            arguments.push(((*name).to_owned(), text));
            Ok(())
        };
        match field.value {
            Value::Null => {}
            Value::Array(_) if *name == "groupby" => field.list()?.try_for_each(|item| add(&item))?,
            _ => add(&field)?,
        }
    }
    Ok(arguments)
}

/// The body that `/v1/aggregates` would get.
fn question(panel: &Object<'_>) -> Result<Map<String, Value>, Failure> {
    let mut body: Map<String, Value> = panel
        .entries()
        .filter(|(name, _)| BODY.contains(name))
        .map(|(name, field)| (name.to_owned(), field.value.clone()))
        .collect();
    let Some(metrics) = panel.get("metrics") else {
        return match panel.get("aggregation") {
            Some(_) => Err(panel.at_key("aggregation", "extra keys not allowed").into()),
            None => Ok(body),
        };
    };
    if let Some(other) = BODY.into_iter().find(|name| body.contains_key(*name)) {
        return Err(panel.at_key(other, "extra keys not allowed").into());
    }
    let aggregation = panel.get("aggregation").map_or(Ok("mean"), |field| field.text())?;
    let mut operation = vec![Value::from("metric")];
    for metric in metrics.list()? {
        operation.push(json!([metric.text()?, aggregation]));
    }
    if operation.len() == 1 {
        return Err(metrics.invalid("length of value must be at least 1").into());
    }
    body.insert("operations".to_owned(), Value::Array(operation));
    Ok(body)
}

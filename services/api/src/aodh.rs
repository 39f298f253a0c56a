//! The alarm API as Aodh has it, below `/v2` (alarms-api).
//!
//! In this version: alarms of type `gnocchi_resources_threshold`, their state and history. Complex queries, quotas by
//! project and evaluation metrics are answered 501.

mod access;
mod failure;
mod history;
mod schema;
mod service;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete as on_delete, get};
use axum::{Extension, Router};
use nephos_identity::{Caller, Rule};
use nephos_observe::http::Peer;
use nephos_wire::aodh::query::{Condition, Paging, conditions, paging};
use nephos_wire::aodh::{Fault, alarm, change};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::base::BaseUrl;
use crate::http::frame::WithoutId;
use crate::http::nul;
use crate::routes::{Description, Doc, Routes};
use crate::state::ApiState;
pub(crate) use failure::render;
use failure::{AodhFailure, json_response};
use service::Service;

/// What an operator can set about alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmOptions {
    /// Whether changes are written to the history.
    pub record_history: bool,
    /// Most actions of one list of an alarm; absent means any number.
    pub max_actions: Option<u32>,
    /// Most alarms of a user; absent means any number.
    pub user_quota: Option<u64>,
    /// Most alarms of a project; absent means any number.
    pub project_quota: Option<u64>,
}

impl Default for AlarmOptions {
    fn default() -> Self {
        Self { record_history: true, max_actions: None, user_quota: None, project_quota: None }
    }
}

const ALARM_KEYS: [&str; 11] = [
    "alarm_id",
    "enabled",
    "name",
    "type",
    "severity",
    "timestamp",
    "user_id",
    "project_id",
    "state",
    "repeat_actions",
    "state_timestamp",
];
const CHANGE_KEYS: [&str; 8] =
    ["event_id", "alarm_id", "on_behalf_of", "project_id", "user_id", "type", "timestamp", "severity"];

#[derive(Clone)]
struct Aodh {
    api: Arc<ApiState>,
}

/// One request's parts, as every operation needs them.
struct Asked {
    headers: HeaderMap,
    peer: Option<IpAddr>,
    base: BaseUrl,
    pairs: Vec<(String, String)>,
    body: Bytes,
}

impl FromRequest<Aodh> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Aodh) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(base) = BaseUrl::from_request_parts(&mut parts, &state.api).await;
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (headers, peer) = (parts.headers.clone(), Peer::of(&parts.extensions));
        let body = Bytes::from_request(Request::from_parts(parts, body), state)
            .await
            .map_err(|rejected| AodhFailure::unreadable_body(rejected.status()).into_response())?;
        Ok(Self { headers, peer, base, pairs, body })
    }
}

type Answer = Result<Response, AodhFailure>;

/// The routes of the alarm API, with their prefix `/v2`.
fn routes() -> Routes<Aodh> {
    let paged: &[(&str, &str)] = &[
        ("q.field", "Field of a condition; repeatable, with q.op, q.value and q.type at the same place"),
        ("q.op", "Comparison, eq unless given"),
        ("q.value", "Value to compare with"),
        ("q.type", "integer, float, string, boolean or datetime"),
        ("limit", "Most items; 0 for all"),
        ("marker", "Last item of the page before"),
        ("sort", "key or key:desc; repeatable"),
    ];
    let doc = |id, summary| Doc::new(id, "alarms", summary).fails(&[401, 403]);
    Routes::new(refuse)
        .get(
            "/v2/alarms",
            list,
            doc("list_alarms", "List alarms").query(paged).gives::<Vec<schema::Alarm>>(200),
        )
        .post(
            "/v2/alarms",
            create,
            doc("create_alarm", "Create an alarm")
                .body::<schema::Definition>()
                .gives::<schema::Alarm>(201)
                .fails(&[400]),
        )
        .get(
            "/v2/alarms/{id}",
            show,
            doc("get_alarm", "Show an alarm").gives::<schema::Alarm>(200).fails(&[404]),
        )
        .put(
            "/v2/alarms/{id}",
            replace,
            doc("update_alarm", "Replace an alarm's whole definition")
                .body::<schema::Definition>()
                .gives::<schema::Alarm>(200)
                .fails(&[400, 404]),
        )
        .delete(
            "/v2/alarms/{id}",
            delete,
            doc("delete_alarm", "Delete an alarm and its history").gives_nothing(204).fails(&[404]),
        )
        .get(
            "/v2/alarms/{id}/state",
            get_state,
            doc("get_alarm_state", "Show an alarm's state").gives::<String>(200).fails(&[404]),
        )
        .put(
            "/v2/alarms/{id}/state",
            set_state,
            doc("set_alarm_state", "Set an alarm's state by hand")
                .body::<String>()
                .gives::<String>(200)
                .fails(&[400, 404]),
        )
        .get(
            "/v2/alarms/{id}/history",
            history,
            doc("get_alarm_history", "List an alarm's history, newest first")
                .query(paged)
                .gives::<Vec<schema::Change>>(200)
                .fails(&[404]),
        )
        .get(
            "/v2/capabilities",
            capabilities,
            Doc::new("get_alarm_capabilities", "alarms", "Show which queries there are")
                .gives::<schema::Capabilities>(200),
        )
}

/// The description of the alarm API.
pub fn description() -> Description {
    routes().build().1
}

/// The alarm API.
pub fn router(api: Arc<ApiState>) -> Router {
    let (router, _) = routes().build();
    let max_body = api.options.max_body;
    router
        .route("/v2/query/{*what}", any(later))
        .route("/v2/quotas", any(later))
        .route("/v2/quotas/{project}", any(later))
        .route("/v2/metrics", any(later))
        .route("/v2/alarms/{id}/state", on_delete(nothing))
        .route("/v2", any(nothing))
        .route("/v2/", any(nothing))
        .route("/v2/{*path}", any(nothing))
        .with_state(Aodh { api })
        .layer(DefaultBodyLimit::max(max_body))
        .layer(from_fn(finish))
}

/// The alarm API at the root of a port of its own, with Aodh's version document.
pub fn standalone(api: Arc<ApiState>) -> Router {
    let roots = Router::new()
        .route("/", get(versions))
        .route("/healthcheck", get(|| async {}))
        .with_state(Aodh { api: Arc::clone(&api) })
        .layer(map_response(async |response: Response| (Extension(WithoutId), response)));
    router(api).merge(roots).fallback(nothing)
}

/// The versions of the alarm API, as its own root tells them.
async fn versions(asked: Asked) -> Response {
    let kinds = |form: &str| json!({"base": format!("application/{form}"), "type": format!("application/vnd.openstack.telemetry-v2+{form}")});
    ok(&json!({"versions": {"values": [{
        "id": "v2",
        "status": "stable",
        "updated": "2013-02-13T00:00:00Z",
        "links": [
            {"href": asked.base.join("/v2"), "rel": "self"},
            {"href": "https://docs.openstack.org/", "rel": "describedby", "type": "text/html"},
        ],
        "media-types": [kinds("json"), kinds("xml")],
    }]}}))
}

/// A known path with another method: [`finish`] adds the text, which names the method.
fn refuse(allow: Arc<str>) -> Response {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Refuses U+0000 in paths, gives refused methods their text, and every answer an id of its request.
async fn finish(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let mut response = match nul::in_uri(request.uri()) {
        true => AodhFailure::from(Fault::bad(nul::REFUSAL)).into_response(),
        false => next.run(request).await,
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = failure::no_method(&method, response.headers().get(header::ALLOW));
    }
    if let Ok(value) = HeaderValue::from_str(&format!("req-{}", Uuid::new_v4())) {
        response.headers_mut().insert(HeaderName::from_static("x-openstack-request-id"), value);
    }
    response
}

async fn nothing() -> AodhFailure {
    AodhFailure::NoPath
}

async fn later(request: Request) -> AodhFailure {
    AodhFailure::not_in_this_version(request.uri().path())
}

impl Asked {
    /// The JSON body; `argument` is how the original calls it when it is missing.
    fn json(&self, argument: &str) -> Result<Value, AodhFailure> {
        if self.body.is_empty() {
            return Err(Fault::bad(format!("Missing argument: \"{argument}\"")).into());
        }
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mime = kind.split(';').next().unwrap_or_default().trim();
        if mime != "application/json" {
            return Err(Fault { status: 415, message: format!("Unknown mimetype: {mime}") }.into());
        }
        if nul::in_json(&self.body) {
            return Err(Fault::bad(nul::REFUSAL).into());
        }
        serde_json::from_slice(&self.body)
            .map_err(|_| Fault::bad("Request is not in valid JSON format").into())
    }

    fn no_arguments(&self) -> Result<(), AodhFailure> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => Err(Fault::bad(format!("Unknown argument: \"{name}\"")).into()),
        }
    }

    /// Conditions and paging of a list; conditions may also come as the body `{"q": [...]}`.
    fn list(&self, keys: &[&str]) -> Result<(Vec<Condition>, Paging), AodhFailure> {
        let mut pairs = self.pairs.clone();
        if !self.body.is_empty() {
            pairs.extend(body_conditions(&self.json("q")?)?);
        }
        let known = ["q.field", "q.op", "q.value", "q.type", "limit", "marker", "sort"];
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(Fault::bad(format!("Unknown argument: \"{name}\"")).into());
        }
        Ok((conditions(&pairs)?, paging(&pairs, keys)?))
    }
}

/// `{"q": [{"field", "op", "value", "type"}]}` as pairs of a query string.
fn body_conditions(body: &Value) -> Result<Vec<(String, String)>, Fault> {
    let items = body.get("q").and_then(Value::as_array);
    let items = items.ok_or_else(|| Fault::field("q", &body.to_string(), "Value not a valid list"))?;
    let mut pairs = Vec::new();
    for item in items {
        for name in ["field", "op", "value", "type"] {
            let text = match item.get(name) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            pairs.push((format!("q.{name}"), text));
        }
    }
    Ok(pairs)
}

impl Aodh {
    /// Who asks.
    async fn caller(&self, asked: &Asked) -> Result<Caller, AodhFailure> {
        self.api.caller(&asked.headers, asked.peer).await.map_err(AodhFailure::from)
    }

    fn service<'a>(&'a self, caller: &'a Caller) -> Service<'a> {
        Service {
            index: self.api.index.as_ref(),
            clock: self.api.clock.as_ref(),
            options: &self.api.options.alarms,
            caller,
        }
    }
}

fn ok(body: &Value) -> Response {
    json_response(StatusCode::OK, body)
}

async fn list(State(aodh): State<Aodh>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    let (conditions, paging) = asked.list(&ALARM_KEYS)?;
    let alarms = aodh.service(&caller).list(&conditions, paging).await?;
    Ok(ok(&alarms.iter().map(alarm).collect()))
}

async fn create(State(aodh): State<Aodh>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    asked.no_arguments()?;
    let created = aodh.service(&caller).create(&asked.json("data")?).await?;
    let mut response = json_response(StatusCode::CREATED, &alarm(&created));
    if let Ok(location) = HeaderValue::from_str(&asked.base.join(&format!("/v2/alarms/{}", created.id))) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn show(State(aodh): State<Aodh>, Path(id): Path<String>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    Ok(ok(&alarm(&aodh.service(&caller).one(&id, Rule::GetAlarm).await?)))
}

async fn replace(State(aodh): State<Aodh>, Path(id): Path<String>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    Ok(ok(&alarm(&aodh.service(&caller).replace(&id, &asked.json("data")?).await?)))
}

async fn delete(State(aodh): State<Aodh>, Path(id): Path<String>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    aodh.service(&caller).delete(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn get_state(State(aodh): State<Aodh>, Path(id): Path<String>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    let found = aodh.service(&caller).one(&id, Rule::GetAlarmState).await?;
    Ok(ok(&json!(found.state.as_str())))
}

async fn set_state(State(aodh): State<Aodh>, Path(id): Path<String>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    let new = aodh.service(&caller).set_state(&id, &asked.json("state")?).await?;
    Ok(ok(&json!(new.as_str())))
}

async fn history(State(aodh): State<Aodh>, Path(id): Path<String>, asked: Asked) -> Answer {
    let caller = aodh.caller(&asked).await?;
    let (conditions, paging) = asked.list(&CHANGE_KEYS)?;
    let changes = aodh.service(&caller).history(&id, &conditions, paging).await?;
    Ok(ok(&changes.iter().map(change).collect()))
}

/// What queries there are: those this version has.
async fn capabilities() -> Response {
    ok(&json!({
        "api": {
            "alarms:query:simple": true,
            "alarms:query:complex": false,
            "alarms:history:query:simple": true,
            "alarms:history:query:complex": false,
        },
        "alarm_storage": {"storage:production_ready": true},
    }))
}

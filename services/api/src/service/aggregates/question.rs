//! The ways to ask for operations on series: by ids of metrics, by resources, by groups of these.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_identity::Caller;
use nephos_index::{Filter, IndexError, Operator, Page, SortKey};
use nephos_model::{Resource, ResourceId};
use nephos_wire::gnocchi::time;
use serde_json::{Map, Value};

use super::history::{Period, Sum, periods};
use super::{Computed, Filling, Operations, Plan, Source, Window, compute, sources};
use crate::gnocchi::views::ResourceView;
use crate::service::{Problem, search};
use crate::state::ApiState;

/// What is computed, when, and what becomes of missing points.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is computed.
    pub operations: Operations,
    /// When.
    pub window: Window,
    /// What becomes of missing points.
    pub filling: Filling,
}

/// The resources that are asked about.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Their type.
    pub resource_type: String,
    /// What must hold for them.
    pub filter: Option<Filter>,
}

/// What was computed for resources.
#[derive(Debug)]
pub struct Group<R> {
    /// Value of each attribute that they share.
    pub attributes: Map<String, Value>,
    /// What was computed.
    pub result: R,
    /// Those that took part.
    pub resources: Vec<Resource>,
}

impl Question {
    fn plan(&self, sources: Vec<Source>, window: Window) -> Result<Plan, Problem> {
        Plan::new(sources, Arc::clone(&self.operations), window, self.filling)
    }
}

/// Of metrics that are named by their ids.
pub async fn by_metric(state: &ApiState, caller: &Caller, question: &Question) -> Result<Computed, Problem> {
    let references = question.operations.references();
    let sources = sources::by_id(state, caller, &references).await?;
    only(compute(state, vec![question.plan(sources, question.window)?]).await?)
}

/// Of all resources together.
pub async fn by_resource(
    state: &ApiState,
    caller: &Caller,
    question: &Question,
    scope: Scope,
) -> Result<Group<Computed>, Problem> {
    let references = question.operations.references();
    let found = find(state, caller, scope, &[], false).await?;
    let policies = sources::policies_of(state, &found, |name| sources::means(&references, name)).await?;
    let sources = sources::by_name(&found.iter().collect::<Vec<_>>(), &references, &policies);
    if sources.is_empty() {
        return Err(sources::nothing_matches(&references));
    }
    let resources = taking_part(found, &sources);
    let plan = question.plan(sources, question.window)?;
    let result = only(compute(state, vec![plan]).await?)?;
    Ok(Group { attributes: Map::new(), result, resources })
}

/// Of the resources that share the values of some attributes, sorted by these. Groups in which no reference means
/// anything are left out.
pub async fn grouped(
    state: &ApiState,
    caller: &Caller,
    question: &Question,
    scope: Scope,
    attributes: &[String],
) -> Result<Vec<Group<Computed>>, Problem> {
    let references = question.operations.references();
    let found = find(state, caller, scope, attributes, false).await?;
    let policies = sources::policies_of(state, &found, |name| sources::means(&references, name)).await?;
    let (mut plans, mut groups) = (Vec::new(), Vec::new());
    for (key, members) in runs(found, attributes) {
        let sources = sources::by_name(&members.iter().collect::<Vec<_>>(), &references, &policies);
        if !sources.is_empty() {
            groups.push((key, taking_part(members, &sources)));
            plans.push(question.plan(sources, question.window)?);
        }
    }
    if plans.is_empty() {
        return Err(sources::nothing_matches(&references));
    }
    let results = compute(state, plans).await?;
    let joined = groups.into_iter().zip(results);
    Ok(joined.map(|((attributes, resources), result)| Group { attributes, result, resources }).collect())
}

/// As [`grouped`], by the values that were true at the time.
pub async fn with_history(
    state: &ApiState,
    caller: &Caller,
    question: &Question,
    scope: Scope,
    attributes: &[String],
) -> Result<Vec<Group<Sum>>, Problem> {
    let references = question.operations.references();
    let scope = Scope { filter: in_window(&question.window, scope.filter), ..scope };
    let found = find(state, caller, scope, attributes, true).await?;
    let policies = sources::policies_of(state, &found, |name| sources::means(&references, name)).await?;
    let periods = periods(&found, &question.window);
    let (mut plans, mut planned) = (Vec::new(), Vec::new());
    for period in &periods {
        let sources = sources::by_name(&[period.resource], &references, &policies);
        if !sources.is_empty() {
            let window = Window { start: period.start, stop: period.stop, ..question.window };
            plans.push(question.plan(sources, window)?);
            planned.push(*period);
        }
    }
    let results = compute(state, plans).await?;
    if results.iter().any(|computed| !computed.aggregated) {
        return Err(Problem::Detailed {
            missing: false,
            cause: "Operations is invalid",
            reason: Some("use_history needs a result that is aggregated".to_owned()),
            detail: Value::Array(Vec::new()),
        });
    }
    let groups = summed(planned.into_iter().zip(&results), attributes);
    if groups.is_empty() { Err(sources::nothing_matches(&references)) } else { Ok(groups) }
}

/// Adds up what was computed for the periods of each group; sorted by the text of the attributes' values.
fn summed<'a>(
    computed: impl Iterator<Item = (Period<'a>, &'a Computed)>,
    attributes: &[String],
) -> Vec<Group<Sum>> {
    let mut groups: BTreeMap<Vec<String>, Group<Sum>> = BTreeMap::new();
    for (period, computed) in computed {
        let key = key_of(period.resource, attributes);
        let order = key.values().map(|value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        });
        let group = groups.entry(order.collect()).or_insert_with(|| Group {
            attributes: key,
            result: Sum::default(),
            resources: Vec::new(),
        });
        group.result.add(computed, &period);
        group.resources.push(period.resource.clone());
    }
    groups.into_values().filter(|group| !group.result.is_empty()).collect()
}

/// Of revisions, those that were true at some time of a closed window.
fn in_window(window: &Window, filter: Option<Filter>) -> Option<Filter> {
    let (Some(start), Some(stop)) = (window.start, window.stop) else { return filter };
    let compare = |operator, attribute: &str, value: Value| Filter::Compare {
        operator,
        attribute: attribute.to_owned(),
        value,
    };
    let begun = compare(Operator::Lt, "revision_start", time::format(stop).into());
    let lasting = Filter::Any(vec![
        compare(Operator::Ge, "revision_end", time::format(start).into()),
        Filter::equals("revision_end", Value::Null),
    ]);
    Some(begun.and(Some(lasting.and(filter))))
}

/// The resources that are asked about, sorted by attributes.
pub async fn find(
    state: &ApiState,
    caller: &Caller,
    scope: Scope,
    sort: &[String],
    history: bool,
) -> Result<Vec<Resource>, Problem> {
    if let Some(internal) = sort.iter().find(|key| *key == "revision") {
        return Err(IndexError::BadSortKey(internal.clone()).into());
    }
    let key = |key: &String| SortKey { key: key.clone(), descending: false, nulls_first: false };
    let page = Page { limit: None, marker: None, sort: sort.iter().map(key).collect() };
    search::resources(state, caller, &scope.resource_type, history, scope.filter, &page).await
}

/// Values of attributes as clients see them.
fn key_of(resource: &Resource, attributes: &[String]) -> Map<String, Value> {
    let seen = serde_json::to_value(ResourceView::full(resource)).unwrap_or_default();
    let value = |name: &String| (name.clone(), seen.get(name).cloned().unwrap_or_default());
    attributes.iter().map(value).collect()
}

/// Neighbours that share the values of attributes.
pub fn runs(found: Vec<Resource>, attributes: &[String]) -> Vec<(Map<String, Value>, Vec<Resource>)> {
    let mut runs: Vec<(Map<String, Value>, Vec<Resource>)> = Vec::new();
    for resource in found {
        let key = key_of(&resource, attributes);
        match runs.last_mut() {
            Some((last, members)) if *last == key => members.push(resource),
            _ => runs.push((key, vec![resource])),
        }
    }
    runs
}

/// The resources that some source was found by.
fn taking_part(mut found: Vec<Resource>, sources: &[Source]) -> Vec<Resource> {
    let ids: std::collections::HashSet<ResourceId> =
        sources.iter().filter_map(|source| source.found.as_ref().map(|(id, _)| *id)).collect();
    found.retain(|resource| ids.contains(&resource.id));
    found
}

/// The one result of one plan.
fn only(mut results: Vec<Computed>) -> Result<Computed, Problem> {
    results.pop().ok_or_else(|| Problem::Bad("The operations give no series".to_owned()))
}

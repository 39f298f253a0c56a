//! Finding resources and values, and deleting what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_identity::policy::{created_by, metrics as rules};
use nephos_identity::{Caller, Rule, Sight};
use nephos_index::{Filter, MetricFilter, Page, ResourceSearch};
use nephos_lang::predicate::Predicate;
use nephos_metric_store::{Series, SeriesRequest};
use nephos_model::{Granularity, Metric, MetricId, Resource, ResourceId, Timestamp};
use nephos_timeseries::AggregationMethod;
use serde_json::json;

use super::measures::Subject;
use super::{Problem, measures, metrics, resources};
use crate::state::ApiState;

/// What the caller may see of what has an owner.
pub fn seen(sight: Sight, caller: &Caller) -> Filter {
    let project = caller.project_id.as_deref().filter(|project| !project.is_empty());
    let mut alternatives = Vec::new();
    if let Some(project) = project {
        let owned = Filter::equals("project_id", project);
        let created = Filter::equals("created_by_project_id", project);
        alternatives.extend(sight.of_project.then_some(owned));
        alternatives.extend(sight.created_in_project.then_some(created));
    }
    if let Some(creator) = caller.creator.as_deref() {
        // Where the project sees it, nothing more is to be asked.
        let by_project = sight.created_in_project && project == Some(created_by(creator).1);
        alternatives.extend((sight.created && !by_project).then(|| Filter::equals("creator", creator)));
    }
    Filter::Any(alternatives)
}

/// The resources of a type that fit `filter` and that the caller may find.
pub fn visible(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    history: bool,
    filter: Option<Filter>,
) -> Result<ResourceSearch, Problem> {
    let sight = resources::sight(state, Rule::SearchResource, caller)?;
    let filter = if sight.all { filter } else { Some(seen(sight, caller).and(filter)) };
    Ok(ResourceSearch { resource_type: type_name.to_owned(), history, filter, now: state.clock.now() })
}

/// A page of what fits `filter` among what the caller may find.
pub async fn resources(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    history: bool,
    filter: Option<Filter>,
    page: &Page,
) -> Result<Vec<Resource>, Problem> {
    let search = visible(state, caller, type_name, history, filter)?;
    Ok(state.index.search_resources(&search, page).await?)
}

/// Deletes what fits `filter` among what the caller may delete; how many resources that were.
pub async fn delete(
    state: &ApiState,
    caller: &Caller,
    type_name: &str,
    filter: Filter,
) -> Result<u64, Problem> {
    // Whoever lists see: nobody deletes what is not theirs.
    let sight = Sight::of(Rule::DeleteResources, caller);
    if sight.is_nothing() {
        return Err(Problem::Forbidden);
    }
    let filter = if sight.all { filter } else { seen(sight, caller).and(Some(filter)) };
    let (resource_type, now) = (type_name.to_owned(), state.clock.now());
    let search = ResourceSearch { resource_type, history: false, filter: Some(filter), now };
    let (deleted, gone) = state.index.delete_resources(&search).await?;
    metrics::forget(state, &gone).await;
    Ok(deleted)
}

/// The resources of these ids.
pub async fn resources_by_id(
    state: &ApiState,
    ids: impl Iterator<Item = ResourceId> + Send,
) -> Result<BTreeMap<ResourceId, Resource>, Problem> {
    let ids: Vec<_> = ids.map(|id| id.to_string().into()).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = Some(Filter::In { attribute: "id".to_owned(), values: ids });
    let (resource_type, now) = ("generic".to_owned(), state.clock.now());
    let search = ResourceSearch { resource_type, history: false, filter, now };
    let found = state.index.search_resources(&search, &Page::default()).await?;
    Ok(found.into_iter().map(|resource| (resource.id, resource)).collect())
}

/// The live metrics of these ids, in the order of the ids.
pub async fn metrics_of(state: &ApiState, ids: &[MetricId]) -> Result<Vec<Metric>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = MetricFilter { ids: Some(ids.to_vec()), ..MetricFilter::default() };
    let found = state.index.metrics(&filter, &Page::default()).await?;
    let mut by_id: BTreeMap<MetricId, Metric> = found.into_iter().map(|metric| (metric.id, metric)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

/// What to look at for values.
#[derive(Clone, Debug)]
pub struct ValueSearch {
    /// Aggregates of this method, by name.
    pub aggregation: String,
    /// Of these granularities; none means all that a metric has.
    pub granularities: Vec<Granularity>,
    /// First bucket.
    pub start: Option<Timestamp>,
    /// End, exclusive.
    pub stop: Option<Timestamp>,
}

/// The points whose value fits, by metric: coarsest granularity first.
pub async fn values(
    state: &ApiState,
    found: &[Subject],
    search: &ValueSearch,
    predicate: &Predicate,
) -> Result<Vec<(MetricId, Series)>, Problem> {
    let mut requests = Vec::with_capacity(found.len());
    for metric in found {
        let policy = Arc::clone(&metric.kind.policy);
        let method = search.aggregation.parse::<AggregationMethod>().ok();
        let method = method.filter(|method| policy.methods.contains(method));
        let lacking = search.granularities.iter().find(|granularity| policy.item(**granularity).is_none());
        let lacking = lacking.copied().or_else(|| match method {
            Some(_) => None,
            None => policy.definition.iter().map(|item| item.granularity).max(),
        });
        let (Some(method), None) = (method, lacking) else {
            let granularity = lacking.map(Granularity::as_secs_f64);
            let detail = json!({"granularity": granularity, "aggregation_method": search.aggregation});
            return Err(Problem::Detailed {
                missing: false,
                cause: "Aggregation does not exist",
                reason: None,
                detail,
            });
        };
        requests.push(SeriesRequest {
            metric: metric.id,
            policy,
            method,
            granularities: search.granularities.clone(),
            start: search.start,
            stop: search.stop,
            resample: None,
        });
    }
    let mut answers = state.store.query(requests).await?;
    for points in answers.iter_mut().flat_map(|series| &mut series.granularities) {
        let mut fits =
            points.values.iter().map(|value| predicate.holds(*value)).collect::<Vec<_>>().into_iter();
        points.timestamps.retain(|_| fits.next().unwrap_or_default());
        points.values.retain(|value| predicate.holds(*value));
    }
    Ok(found.iter().map(|metric| metric.id).zip(answers).collect())
}

/// Of the metrics of these ids, those that there are: the caller must be allowed to search them.
pub async fn searched(state: &ApiState, caller: &Caller, ids: &[MetricId]) -> Result<Vec<Subject>, Problem> {
    let found: Vec<Subject> = measures::subjects(state, ids).await?.into_iter().flatten().collect();
    let mut kinds = found.iter().map(|subject| &subject.kind);
    kinds.try_for_each(|kind| measures::demand_on(rules::SEARCH_METRIC, caller, kind))?;
    Ok(found)
}

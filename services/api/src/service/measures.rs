//! Measures of one metric.

use std::sync::Arc;

use nephos_identity::Caller;
use nephos_identity::policy::metrics as rules;
use nephos_identity::{Rule, Target, allows};
use nephos_index::{KnownMetrics, MetricKind};
use nephos_metric_store::{Batch, Calendar, Erase, Resample, SeriesPoints, SeriesRequest};
use nephos_model::{Granularity, MetricId, Timestamp};
use nephos_timeseries::AggregationMethod;
use nephos_wire::gnocchi::parse_uuid;
use nephos_wire::gnocchi::scan::Columns;
use nephos_wire::python;
use serde_json::json;

use super::Problem;
use crate::instrument;
use crate::state::ApiState;

/// What a reader of measures asks for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Method, by name.
    pub aggregation: String,
    /// One granularity; otherwise all of the policy.
    pub granularity: Option<Granularity>,
    /// First bucket.
    pub start: Option<Timestamp>,
    /// End, exclusive.
    pub stop: Option<Timestamp>,
    /// Regrouping.
    pub resample: Option<Resample>,
}

/// A metric, as far as its measures are concerned.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The metric.
    pub id: MetricId,
    /// Who may do something to it, and how it is kept.
    pub kind: MetricKind,
}

/// The live metric of this id.
pub async fn subject(state: &ApiState, id: MetricId) -> Result<Option<Subject>, Problem> {
    let known = state.index.known_metrics(&[id]).await?;
    let is_live = known.metrics.first().is_some_and(Option::is_some);
    Ok(known.kinds.into_iter().next().filter(|_| is_live).map(|kind| Subject { id, kind }))
}

/// The live metrics of these ids, in their order; `None` for others.
pub async fn subjects(state: &ApiState, ids: &[MetricId]) -> Result<Vec<Option<Subject>>, Problem> {
    let known = state.index.known_metrics(ids).await?;
    let subject =
        |(id, kind): (&MetricId, Option<&MetricKind>)| Some(Subject { id: *id, kind: kind?.clone() });
    Ok(ids.iter().zip(known.each()).map(subject).collect())
}

/// The metric that a path names by its UUID.
pub async fn by_id(state: &ApiState, text: &str) -> Result<Subject, Problem> {
    let found = match parse_uuid(text) {
        Some(id) => subject(state, MetricId(id)).await?,
        None => None,
    };
    found.ok_or_else(|| Problem::missing("Metric", text))
}

/// `Forbidden` unless the caller may do what `rule` is about to metrics of this kind.
pub fn demand_on(rule: Rule, caller: &Caller, kind: &MetricKind) -> Result<(), Problem> {
    let target = Target {
        creator: kind.creator.as_deref(),
        project_id: kind.project_id.as_deref(),
        ..Target::default()
    };
    if allows(rule, caller, &target) { Ok(()) } else { Err(Problem::Forbidden) }
}

/// `Forbidden` unless the caller may post measures of each of these metrics.
pub fn demand_posts(caller: &Caller, known: &KnownMetrics) -> Result<(), Problem> {
    known.kinds.iter().try_for_each(|kind| demand_on(rules::POST_MEASURES, caller, kind))
}

/// Takes measures of a metric: durable when it returns.
pub async fn post(state: &ApiState, subject: &Subject, measures: Columns) -> Result<(), Problem> {
    let end = measures.values.len();
    let (policy, run) = (std::iter::once(&subject.kind.policy), std::iter::once((subject.id, 0, end)));
    append(state, Batch::from_columns(measures.timestamps, measures.values, policy, run)).await
}

/// Appends runs and counts what became of them.
pub async fn append(state: &ApiState, batch: Batch) -> Result<(), Problem> {
    if batch.is_empty() {
        return Ok(());
    }
    let report = state.store.append(Arc::new(batch)).await?;
    instrument::measures(report.accepted, report.late);
    Ok(())
}

/// Erases a range of time of a metric: durable when it returns.
pub async fn erase(
    state: &ApiState,
    metric: MetricId,
    start: Timestamp,
    stop: Timestamp,
) -> Result<(), Problem> {
    state.store.erase(&Erase { metrics: vec![metric], start, stop }).await?;
    instrument::erased();
    Ok(())
}

/// The policy of a metric does not have this method.
pub fn no_method(subject: &Subject, aggregation: &str) -> Problem {
    Problem::Detailed {
        missing: true,
        cause: "Aggregation method does not exist for this metric",
        reason: None,
        detail: json!({"metric": subject.id.to_string(), "aggregation_method": aggregation}),
    }
}

/// Reads a series: coarsest granularity first.
pub async fn read(state: &ApiState, subject: &Subject, query: Query) -> Result<Vec<SeriesPoints>, Problem> {
    let policy = Arc::clone(&subject.kind.policy);
    let known =
        query.aggregation.parse::<AggregationMethod>().ok().filter(|method| policy.methods.contains(method));
    let Some(method) = known else {
        return Err(no_method(subject, &query.aggregation));
    };
    if let Some(granularity) = query.granularity.filter(|granularity| policy.item(*granularity).is_none()) {
        let seconds = python::float(granularity.as_secs_f64());
        return Err(Problem::NotFound(format!(
            "Aggregation method '{method}' at granularity '{seconds}' for metric {} does not exist",
            subject.id
        )));
    }
    let request = SeriesRequest {
        metric: subject.id,
        policy,
        method,
        granularities: query.granularity.into_iter().collect(),
        start: query.start,
        stop: query.stop,
        resample: query.resample,
    };
    let mut answers = state.store.query(vec![request]).await?;
    Ok(answers.pop().map(|series| series.granularities).unwrap_or_default())
}

/// Reads `resample`: a letter for a calendar group, otherwise a timespan.
pub fn parse_resample(text: &str) -> Result<Resample, Problem> {
    let calendars = [Calendar::Year, Calendar::HalfYear, Calendar::Quarter, Calendar::Month, Calendar::Week];
    if let Some(calendar) = calendars.into_iter().find(|calendar| calendar.letter() == text) {
        return Ok(Resample::Calendar(calendar));
    }
    let nanos = nephos_wire::gnocchi::timespan::parse(text);
    let nanos = nanos.map_err(|error| Problem::Bad(error.to_string()))?;
    Granularity::from_nanos(nanos)
        .map(Resample::Step)
        .ok_or_else(|| Problem::Bad("Timespan must be positive".to_owned()))
}

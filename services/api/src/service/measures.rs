//! Measures of one metric.

use nephos_identity::Caller;
use nephos_identity::policy::metrics as rules;
use nephos_metric_store::{Calendar, Resample, Run, SeriesPoints, SeriesRequest};
use nephos_model::{Granularity, Measure, Metric, Timestamp};
use nephos_timeseries::AggregationMethod;
use nephos_wire::python;
use serde_json::json;

use super::{Problem, metrics};
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

/// Takes measures of a metric: durable when it returns.
pub async fn post(state: &ApiState, metric: &Metric, measures: Vec<Measure>) -> Result<(), Problem> {
    if measures.is_empty() {
        return Ok(());
    }
    let policy = metrics::policy_of(state, metric).await?;
    append(state, vec![Run { metric: metric.id, policy, measures }]).await
}

/// Appends runs and counts what became of them.
pub async fn append(state: &ApiState, runs: Vec<Run>) -> Result<(), Problem> {
    if runs.is_empty() {
        return Ok(());
    }
    let report = state.store.append_runs(runs).await?;
    instrument::measures(report.accepted, report.late);
    Ok(())
}

/// Reads a series: coarsest granularity first.
pub async fn read(state: &ApiState, metric: &Metric, query: Query) -> Result<Vec<SeriesPoints>, Problem> {
    let policy = metrics::policy_of(state, metric).await?;
    let known =
        query.aggregation.parse::<AggregationMethod>().ok().filter(|method| policy.methods.contains(method));
    let Some(method) = known else {
        return Err(Problem::Detailed {
            missing: true,
            cause: "Aggregation method does not exist for this metric",
            reason: None,
            detail: json!({"metric": metric.id.to_string(), "aggregation_method": query.aggregation}),
        });
    };
    if let Some(granularity) = query.granularity.filter(|granularity| policy.item(*granularity).is_none()) {
        let seconds = python::float(granularity.as_secs_f64());
        return Err(Problem::NotFound(format!(
            "Aggregation method '{method}' at granularity '{seconds}' for metric {} does not exist",
            metric.id
        )));
    }
    let request = SeriesRequest {
        metric: metric.id,
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
    let nanos = nanos.map_err(|error| Problem::argument("resample", error.to_string()))?;
    Granularity::from_nanos(nanos)
        .map(Resample::Step)
        .ok_or_else(|| Problem::argument("resample", "Timespan must be positive"))
}

/// `Forbidden` unless the caller may post measures of the metric.
pub async fn demand_post(state: &ApiState, caller: &Caller, metric: &Metric) -> Result<(), Problem> {
    metrics::demand_on(state, rules::POST_MEASURES, caller, metric).await
}

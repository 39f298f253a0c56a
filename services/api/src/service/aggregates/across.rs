//! One series from the same aggregate of several metrics: the older way to ask (metrics-api §11).

use std::collections::HashMap;
use std::sync::Arc;

use nephos_identity::Caller;
use nephos_identity::policy::metrics as rules;
use nephos_lang::operations::{Operation, Reference};
use nephos_metric_store::Resample;
use nephos_model::{Granularity, MetricId};
use nephos_timeseries::{Across, AggregationMethod, Fill};
use nephos_wire::python;
use serde_json::json;

use super::plan::{Plan, Source, unaggregable};
use super::{Computed, Filling, Window, compute};
use crate::service::measures::Subject;
use crate::service::{Problem, measures};
use crate::state::ApiState;

/// What is asked of each group of metrics.
#[derive(Clone, Debug)]
pub struct AcrossQuestion {
    /// Method of the policies.
    pub aggregation: String,
    /// Method across metrics; the same if absent.
    pub reaggregation: Option<String>,
    /// When.
    pub window: Window,
    /// Regrouping of each series before.
    pub resample: Option<Resample>,
    /// What becomes of missing points.
    pub filling: Filling,
}

/// One answer for each group of metrics; `None` for a group without. The caller must be allowed to read all of them.
pub async fn across(
    state: &ApiState,
    caller: &Caller,
    groups: &[Vec<Subject>],
    question: &AcrossQuestion,
) -> Result<Vec<Option<Computed>>, Problem> {
    let mut kinds = groups.iter().flatten().map(|subject| &subject.kind);
    kinds.try_for_each(|kind| measures::demand_on(rules::GET_METRIC, caller, kind))?;
    let asked = groups.iter().filter(|group| !group.is_empty());
    let plans = asked.map(|group| question.plan(group)).collect::<Result<Vec<_>, _>>()?;
    let mut computed = compute(state, plans).await?.into_iter();
    Ok(groups.iter().map(|group| if group.is_empty() { None } else { computed.next() }).collect())
}

impl AcrossQuestion {
    /// A plan for at least one metric.
    fn plan(&self, metrics: &[Subject]) -> Result<Plan, Problem> {
        self.check(metrics)?;
        let alone = metrics.len() == 1;
        let reference =
            |metric: &Subject| Reference { name: metric.id.to_string(), method: self.aggregation.clone() };
        let mut operation = Operation::Metric(metrics.iter().map(reference).collect());
        let mut numbers = HashMap::<MetricId, u32>::new();
        let mut sources = Vec::with_capacity(metrics.len());
        for metric in metrics {
            // A metric that comes again is meant by the same reference.
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            sources.push(Source {
                metric: metric.id,
                policy: Arc::clone(&metric.kind.policy),
                found: None,
                method: self.aggregation.clone(),
                references: vec![*numbers.entry(metric.id).or_insert(next)],
            });
        }
        if alone {
            // A single series is shown as it is.
            let filling = Filling::Fill { fill: Fill::Null, dropping: false };
            let plan = Plan::new(sources, Arc::new(operation), self.window, filling)?;
            return Ok(Plan { regroup: self.resample, ..plan });
        }
        let method = self.reaggregation.as_ref().unwrap_or(&self.aggregation).clone();
        method.parse::<Across>().map_err(|_| Problem::argument("reaggregation", "not a valid value"))?;
        let mut regroup = None;
        match self.resample {
            Some(Resample::Step(step)) => {
                let (method, operand) = (self.aggregation.clone(), Box::new(operation));
                operation = Operation::Resample { method, step: step.as_nanos(), operand };
            }
            calendar => regroup = calendar,
        }
        let operation = Operation::Aggregate { method, operand: Box::new(operation) };
        let plan = Plan::new(sources, Arc::new(operation), self.window, self.filling)?;
        Ok(Plan { regroup, ..plan })
    }

    /// Refuses series that do not exist, in the words of this way to ask.
    fn check(&self, metrics: &[Subject]) -> Result<(), Problem> {
        let has = |metric: &Subject, granularity| metric.kind.policy.item(granularity).is_some();
        let granularity = match (self.window.granularity, metrics) {
            (Some(granularity), _) => Some(granularity),
            (None, [first, others @ ..]) => {
                let items = first.kind.policy.definition.iter().map(|item| item.granularity);
                let mut common = items.filter(|item| others.iter().all(|metric| has(metric, *item)));
                common.next()
            }
            (None, []) => None,
        };
        let Some(granularity) = granularity else {
            let detail = metrics.iter().map(|metric| json!([metric.id.to_string(), self.aggregation]));
            return Err(unaggregable("No granularity match", detail.collect()));
        };
        if let Some(lacking) = metrics.iter().find(|metric| !has(metric, granularity)) {
            return Err(self.no_aggregate(lacking, granularity));
        }
        let method = self.aggregation.parse::<AggregationMethod>().ok();
        let known =
            |metric: &Subject| method.is_some_and(|method| metric.kind.policy.methods.contains(&method));
        match (metrics, metrics.iter().find(|metric| !known(metric))) {
            (_, None) => Ok(()),
            ([alone], Some(_)) => Err(measures::no_method(alone, &self.aggregation)),
            (_, Some(lacking)) => {
                let first = lacking.kind.policy.definition.first();
                Err(self.no_aggregate(lacking, first.map_or(granularity, |item| item.granularity)))
            }
        }
    }

    fn no_aggregate(&self, metric: &Subject, granularity: Granularity) -> Problem {
        Problem::NotFound(format!(
            "Aggregation method '{}' at granularity '{}' for metric {} does not exist",
            self.aggregation,
            python::float(granularity.as_secs_f64()),
            metric.id,
        ))
    }
}

//! One series from the same aggregate of several metrics: the older way to ask (metrics-api §11).

use std::sync::Arc;

use nephos_identity::Caller;
use nephos_identity::policy::metrics as rules;
use nephos_lang::operations::{Operation, Reference};
use nephos_metric_store::Resample;
use nephos_model::{Granularity, Metric};
use nephos_timeseries::{Across, AggregationMethod, ArchivePolicy, Fill};
use nephos_wire::python;
use serde_json::json;

use super::plan::{Plan, Source, unaggregable};
use super::sources::Policies;
use super::{Computed, Filling, Window, compute};
use crate::service::{Problem, search};
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
    groups: Vec<Vec<Metric>>,
    question: &AcrossQuestion,
) -> Result<Vec<Option<Computed>>, Problem> {
    let all: Vec<Metric> = groups.iter().flatten().cloned().collect();
    search::demand_on_all(state, rules::GET_METRIC, caller, &all).await?;
    let mut policies = Policies::default();
    let mut plans = Vec::new();
    let mut sizes = Vec::with_capacity(groups.len());
    for metrics in groups {
        sizes.push(metrics.len());
        if metrics.is_empty() {
            continue;
        }
        let mut with_policies = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let policy = policies.of(state, &metric).await?;
            with_policies.push((metric, policy));
        }
        plans.push(question.plan(with_policies)?);
    }
    let mut computed = compute(state, plans).await?.into_iter();
    Ok(sizes.into_iter().map(|size| if size == 0 { None } else { computed.next() }).collect())
}

impl AcrossQuestion {
    /// A plan for at least one metric.
    fn plan(&self, metrics: Vec<(Metric, Arc<ArchivePolicy>)>) -> Result<Plan, Problem> {
        self.check(&metrics)?;
        let alone = metrics.len() == 1;
        let reference =
            |metric: &Metric| Reference { name: metric.id.to_string(), method: self.aggregation.clone() };
        let references: Vec<Reference> = metrics.iter().map(|(metric, _)| reference(metric)).collect();
        let sources = metrics.into_iter().zip(&references).map(|((metric, policy), reference)| Source {
            metric: metric.id,
            policy,
            found: None,
            references: vec![reference.clone()],
        });
        let sources = sources.collect();
        let mut operation = Operation::Metric(references);
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
    fn check(&self, metrics: &[(Metric, Arc<ArchivePolicy>)]) -> Result<(), Problem> {
        let has = |policy: &ArchivePolicy, granularity| policy.item(granularity).is_some();
        let granularity = match (self.window.granularity, metrics) {
            (Some(granularity), _) => Some(granularity),
            (None, [(_, first), others @ ..]) => {
                let items = first.definition.iter().map(|item| item.granularity);
                let mut common = items.filter(|item| others.iter().all(|(_, policy)| has(policy, *item)));
                common.next()
            }
            (None, []) => None,
        };
        let Some(granularity) = granularity else {
            let detail = metrics.iter().map(|(metric, _)| json!([metric.id.to_string(), self.aggregation]));
            return Err(unaggregable("No granularity match", detail.collect()));
        };
        let method = self.aggregation.parse::<AggregationMethod>().ok();
        let lacking = metrics.iter().find(|(_, policy)| {
            let known = method.is_some_and(|method| policy.methods.contains(&method));
            !known || !has(policy, granularity)
        });
        match lacking {
            Some((metric, _)) => Err(self.no_aggregate(metric, granularity)),
            None => Ok(()),
        }
    }

    fn no_aggregate(&self, metric: &Metric, granularity: Granularity) -> Problem {
        Problem::NotFound(format!(
            "Aggregation method '{}' at granularity '{}' for metric {} does not exist",
            self.aggregation,
            python::float(granularity.as_secs_f64()),
            metric.id
        ))
    }
}

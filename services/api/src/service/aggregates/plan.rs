//! Which series go into one result.

use std::sync::Arc;

use nephos_lang::operations::Reference;
use nephos_metric_store::{self as store, Computation, Refusal, Resample, SeriesRequest, Work};
use nephos_model::{Granularity, MetricId, ResourceId};
use nephos_timeseries::{AggregationMethod, ArchivePolicy};
use serde_json::{Value, json};

use super::{Computed, Filling, Operations, Window};
use crate::service::Problem;

/// A series.
#[derive(Clone, Debug)]
pub struct Source {
    /// The metric.
    pub metric: MetricId,
    /// Its policy.
    pub policy: Arc<ArchivePolicy>,
    /// The resource it was found by, and its name there; `None` if it was named by its id.
    pub found: Option<(ResourceId, String)>,
    /// Name of the method.
    pub method: String,
    /// The references that mean it, by their numbers among those of the operations: the first is the one that errors
    /// speak of.
    pub references: Vec<u32>,
}

impl Source {
    /// How errors call it: its name on the resource, or its id.
    fn name(&self) -> String {
        self.found.as_ref().map_or_else(|| self.metric.to_string(), |(_, name)| name.clone())
    }
}

/// What is computed from which series.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The series, each once.
    pub sources: Vec<Source>,
    /// The method of each source.
    pub methods: Vec<AggregationMethod>,
    /// What is computed.
    pub operations: Operations,
    /// When.
    pub window: Window,
    /// Granularities that are read.
    pub granularities: Vec<Granularity>,
    /// What becomes of missing points.
    pub filling: Filling,
    /// Regrouping of each series while it is read.
    pub regroup: Option<Resample>,
}

impl Plan {
    /// Checks that the series go together.
    pub fn new(
        sources: Vec<Source>,
        operations: Operations,
        window: Window,
        filling: Filling,
    ) -> Result<Self, Problem> {
        let granularities = match window.granularity {
            Some(granularity) => vec![granularity],
            None => common(&sources).ok_or_else(|| {
                let detail = sources.iter().map(|source| json!([source.name(), source.method]));
                unaggregable("No granularity match", detail.collect())
            })?,
        };
        let mut methods = Vec::with_capacity(sources.len());
        for source in &sources {
            let method = source.method.parse::<AggregationMethod>().ok();
            match method.filter(|method| source.policy.methods.contains(method)) {
                Some(method) => methods.push(method),
                None => {
                    return Err(Problem::Detailed {
                        missing: true,
                        cause: "Metrics with unknown aggregation",
                        reason: None,
                        detail: json!([[source.metric.to_string(), source.method]]),
                    });
                }
            }
        }
        let lacking = |source: &Source| {
            let lacks = granularities.iter().find(|granularity| source.policy.item(**granularity).is_none());
            lacks.map(|granularity| json!([source.name(), source.method, granularity.as_secs_f64()]))
        };
        let lacking: Vec<Value> = sources.iter().filter_map(lacking).collect();
        if !lacking.is_empty() {
            return Err(unaggregable("Granularities are missing", lacking));
        }
        Ok(Self { sources, methods, operations, window, granularities, filling, regroup: None })
    }

    /// What the store is to compute.
    pub fn computation(&self) -> Computation {
        let requests = self.sources.iter().zip(&self.methods).map(|(source, method)| SeriesRequest {
            metric: source.metric,
            policy: Arc::clone(&source.policy),
            method: *method,
            granularities: self.granularities.clone(),
            start: self.window.start,
            stop: self.window.stop,
            resample: self.regroup,
        });
        let mut selection = vec![Vec::new(); self.operations.references().len()];
        for (place, source) in (0..).zip(&self.sources) {
            for reference in &source.references {
                if let Some(meant) = selection.get_mut(*reference as usize) {
                    meant.push(place);
                }
            }
        }
        let (operations, filling) = (Arc::clone(&self.operations), self.filling);
        let work = Work::Operations { operations, selection, filling };
        Computation { requests: requests.collect(), work }
    }

    /// What came of it.
    pub fn end(self, outcome: Result<store::Computed, Refusal>) -> Result<Computed, Problem> {
        let store::Computed { grids, aggregated, chosen } = outcome.map_err(|refusal| match refusal {
            Refusal::Unaggregable(reason) => self.refuse(reason),
            other => Problem::Bad(other.to_string()),
        })?;
        let dropping = matches!(self.filling, Filling::Fill { dropping: true, .. });
        let (regroup, sources) = (self.regroup, self.sources);
        Ok(Computed { grids, aggregated, chosen, dropping, regroup, sources })
    }

    /// The series do not go together, for this reason.
    pub fn refuse(&self, reason: impl Into<String>) -> Problem {
        let references = self.operations.references();
        let detail = self.sources.iter().map(|source| {
            let first = source.references.first().and_then(|number| references.get(*number as usize));
            match first {
                Some(Reference { name, method }) => json!([name, method]),
                None => json!([source.name(), source.method]),
            }
        });
        unaggregable(reason, detail.collect())
    }
}

/// Granularities that all series have, in the order of the first's policy; `None` if there are none.
fn common(sources: &[Source]) -> Option<Vec<Granularity>> {
    let (first, others) = sources.split_first()?;
    let mut granularities: Vec<_> = first.policy.definition.iter().map(|item| item.granularity).collect();
    let mut known = &first.policy;
    for other in others.iter().filter(|other| !Arc::ptr_eq(&other.policy, &first.policy)) {
        if !Arc::ptr_eq(known, &other.policy) {
            granularities.retain(|granularity| other.policy.item(*granularity).is_some());
            known = &other.policy;
        }
    }
    (!granularities.is_empty()).then_some(granularities)
}

/// `Metrics cannot be aggregated`, for a reason.
pub fn unaggregable(reason: impl Into<String>, detail: Vec<Value>) -> Problem {
    Problem::Detailed {
        missing: false,
        cause: "Metrics cannot be aggregated",
        reason: Some(reason.into()),
        detail: Value::Array(detail),
    }
}

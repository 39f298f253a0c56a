//! Measures on their way in: many metrics' runs in shared columns, so that a point costs no allocation of its own.

use std::ops::Range;
use std::sync::Arc;

use nephos_model::{Measure, MetricId, Timestamp};
use nephos_timeseries::ArchivePolicy;

use crate::contract::Run;

/// Runs of many metrics. A run's measures are merged together (metrics-api §9.2): among equal timestamps of one run
/// the smallest value wins, a later run replaces an earlier one, and lateness is judged against what earlier runs
/// left. Order inside a run is irrelevant. Two runs of one metric are merged one after the other.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    policies: Vec<Arc<ArchivePolicy>>,
    heads: Vec<RunHead>,
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct RunHead {
    metric: MetricId,
    /// Into the batch's policies.
    policy: u32,
    /// Where the run's measures end; they begin where the one before ended.
    end: u32,
}

/// One run of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct RunRef<'a> {
    /// The metric.
    pub metric: MetricId,
    /// Its archive policy as it is now. The store keeps what it was last given, so it needs no index.
    pub policy: &'a Arc<ArchivePolicy>,
    /// Number of the policy in [`Batch::policies`].
    pub policy_number: usize,
    /// Times of the measures.
    pub timestamps: &'a [Timestamp],
    /// Their values, as many.
    pub values: &'a [f64],
}

impl Batch {
    /// An empty batch with room for so many runs and measures.
    pub fn with_capacity(runs: usize, measures: usize) -> Self {
        Self {
            policies: Vec::new(),
            heads: Vec::with_capacity(runs),
            timestamps: Vec::with_capacity(measures),
            values: Vec::with_capacity(measures),
        }
    }

    /// Adds a run; an empty one is left out. At most 2³² measures fit.
    pub fn push(
        &mut self,
        metric: MetricId,
        policy: &Arc<ArchivePolicy>,
        measures: impl IntoIterator<Item = Measure>,
    ) {
        let before = self.timestamps.len();
        for measure in measures {
            self.timestamps.push(measure.timestamp);
            self.values.push(measure.value);
        }
        self.close(metric, policy, before);
    }

    /// Adds a run from columns of equal length.
    pub fn push_columns(
        &mut self,
        metric: MetricId,
        policy: &Arc<ArchivePolicy>,
        timestamps: &[Timestamp],
        values: &[f64],
    ) {
        let before = self.timestamps.len();
        let len = timestamps.len().min(values.len());
        self.timestamps.extend_from_slice(timestamps.get(..len).unwrap_or_default());
        self.values.extend_from_slice(values.get(..len).unwrap_or_default());
        self.close(metric, policy, before);
    }

    /// Takes columns of equal length as they are; `runs` tells for each run, in order, its metric, the place of its policy
    /// among `policies`, and where its measures end. What no run claims is left out, as is everything from a run on whose
    /// policy is not there.
    pub fn from_columns<'a>(
        mut timestamps: Vec<Timestamp>,
        mut values: Vec<f64>,
        policies: impl Iterator<Item = &'a Arc<ArchivePolicy>>,
        runs: impl Iterator<Item = (MetricId, usize, usize)>,
    ) -> Self {
        let len = timestamps.len().min(values.len());
        // No run is empty.
        let most = runs.size_hint().1.unwrap_or(0).min(len);
        let mut batch = Self { heads: Vec::with_capacity(most), ..Self::default() };
        let numbers: Vec<u32> = policies.map(|policy| batch.number_of(policy)).collect();
        let mut start = 0;
        for (metric, policy, end) in runs {
            let end = end.min(len);
            if end > start {
                let Some(policy) = numbers.get(policy).copied() else { break };
                batch.heads.push(RunHead { metric, policy, end: u32::try_from(end).unwrap_or(u32::MAX) });
                start = end;
            }
        }
        timestamps.truncate(start);
        values.truncate(start);
        Self { timestamps, values, ..batch }
    }

    fn close(&mut self, metric: MetricId, policy: &Arc<ArchivePolicy>, before: usize) {
        if self.timestamps.len() > before {
            let policy = self.number_of(policy);
            let end = u32::try_from(self.timestamps.len()).unwrap_or(u32::MAX);
            self.heads.push(RunHead { metric, policy, end });
        }
    }

    /// Callers share policies, so most are found by their address, and most often it is the one used last.
    fn number_of(&mut self, policy: &Arc<ArchivePolicy>) -> u32 {
        let last = self.heads.last().map(|head| head.policy);
        if let Some(last) = last.filter(|last| self.has(*last, policy)) {
            return last;
        }
        let known = self.policies.iter().position(|known| Arc::ptr_eq(known, policy) || known == policy);
        let number = known.unwrap_or_else(|| {
            self.policies.push(Arc::clone(policy));
            self.policies.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    fn has(&self, number: u32, policy: &Arc<ArchivePolicy>) -> bool {
        self.policies.get(number as usize).is_some_and(|known| Arc::ptr_eq(known, policy))
    }

    /// Number of runs.
    pub fn run_count(&self) -> usize {
        self.heads.len()
    }

    /// Number of measures.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are no measures.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Distinct policies, in the order of their first run.
    pub fn policies(&self) -> &[Arc<ArchivePolicy>] {
        &self.policies
    }

    /// Times of all measures, run by run.
    pub fn timestamps(&self) -> &[Timestamp] {
        &self.timestamps
    }

    /// Values of all measures, run by run.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The runs in order.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = RunRef<'_>> {
        let mut start = 0;
        self.heads.iter().map(move |head| {
            let end = head.end as usize;
            let run = self.run(head, start..end);
            start = end;
            run
        })
    }

    fn run(&self, head: &RunHead, range: Range<usize>) -> RunRef<'_> {
        RunRef {
            metric: head.metric,
            // Numbers are given out by this batch.
            policy: &self.policies[head.policy as usize],
            policy_number: head.policy as usize,
            timestamps: self.timestamps.get(range.clone()).unwrap_or_default(),
            values: self.values.get(range).unwrap_or_default(),
        }
    }

    /// Splits by a number given to each metric, keeping the order in each part; parts without runs are left out.
    pub fn split(self: Arc<Self>, parts: u32, part_of: impl Fn(MetricId) -> u32) -> Vec<(u32, Arc<Self>)> {
        if self.is_empty() {
            return Vec::new();
        }
        if parts <= 1 {
            return vec![(0, self)];
        }
        let mut split: Vec<(u32, Self)> = (0..parts).map(|part| (part, Self::default())).collect();
        for run in self.runs() {
            if let Some((_, part)) = split.get_mut(part_of(run.metric) as usize) {
                part.push_columns(run.metric, run.policy, run.timestamps, run.values);
            }
        }
        split.retain(|(_, part)| !part.is_empty());
        split.into_iter().map(|(number, part)| (number, Arc::new(part))).collect()
    }
}

impl RunRef<'_> {
    /// A copy of the run.
    pub fn to_run(&self) -> Run {
        let measures = self.timestamps.iter().zip(self.values);
        Run {
            metric: self.metric,
            policy: Arc::clone(self.policy),
            measures: measures.map(|(timestamp, value)| Measure::new(*timestamp, *value)).collect(),
        }
    }
}

impl FromIterator<Run> for Batch {
    fn from_iter<I: IntoIterator<Item = Run>>(runs: I) -> Self {
        let mut batch = Self::default();
        for run in runs {
            batch.push(run.metric, &run.policy, run.measures);
        }
        batch
    }
}

impl From<Vec<Run>> for Batch {
    fn from(runs: Vec<Run>) -> Self {
        runs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::Granularity;
    use nephos_timeseries::{AggregationMethod, PolicyItem, Stat};

    use super::*;

    fn policy(name: &str) -> Arc<ArchivePolicy> {
        let minute = Granularity::from_secs(60).unwrap();
        Arc::new(ArchivePolicy {
            name: name.to_owned(),
            back_window: 0,
            definition: vec![PolicyItem { granularity: minute, points: None }],
            methods: vec![AggregationMethod::plain(Stat::Mean)],
        })
    }

    fn measures(values: &[f64]) -> Vec<Measure> {
        values.iter().map(|value| Measure::new(Timestamp::from_secs(1), *value)).collect()
    }

    #[test]
    fn runs_come_back_in_order_and_equal_policies_are_kept_once() {
        let mut batch = Batch::default();
        let (first, second) = (MetricId::random(), MetricId::random());
        batch.push(first, &policy("a"), measures(&[1.0, 2.0]));
        batch.push(second, &policy("b"), measures(&[]));
        batch.push(second, &policy("b"), measures(&[3.0]));
        batch.push(first, &policy("a"), measures(&[4.0]));
        let seen: Vec<_> =
            batch.runs().map(|run| (run.metric, run.policy.name.clone(), run.values.to_vec())).collect();
        let expected = [(first, "a", vec![1.0, 2.0]), (second, "b", vec![3.0]), (first, "a", vec![4.0])];
        assert_eq!(seen, expected.map(|(metric, name, values)| (metric, name.to_owned(), values)));
        assert_eq!((batch.policies().len(), batch.len(), batch.run_count()), (2, 4, 3));
    }

    #[test]
    fn columns_are_taken_as_they_are() {
        let ids: Vec<MetricId> = (0..4).map(|_| MetricId::random()).collect();
        let (a, b) = (policy("a"), policy("b"));
        let times: Vec<Timestamp> = (0..5).map(Timestamp::from_secs).collect();
        let runs = [(ids[0], 0, 2), (ids[1], 1, 2), (ids[2], 2, 3), (ids[3], 0, 4)];
        let (b_again, values) = (policy("b"), vec![0.0, 1.0, 2.0, 3.0, 4.0]);
        let policies = [&a, &b, &b_again].into_iter();
        let batch = Batch::from_columns(times, values, policies, runs.into_iter());
        let mut pushed = Batch::default();
        for (metric, policy, values) in
            [(ids[0], &a, &[0.0, 1.0][..]), (ids[2], &b, &[2.0]), (ids[3], &a, &[3.0])]
        {
            // Its time is the value's place among all.
            let at = |value: &f64| times_of(*value, &batch);
            pushed.push(metric, policy, values.iter().map(at));
        }
        assert_eq!(format!("{batch:?}"), format!("{pushed:?}"));
    }

    fn times_of(value: f64, batch: &Batch) -> Measure {
        let at = batch.values().iter().position(|other| other.to_bits() == value.to_bits()).unwrap();
        Measure::new(batch.timestamps()[at], value)
    }

    #[test]
    fn parts_keep_the_order_of_their_runs_and_empty_ones_are_left_out() {
        let metrics: Vec<MetricId> = (0..20).map(|_| MetricId::random()).collect();
        let policy = policy("a");
        let mut batch = Batch::default();
        for round in 0..3 {
            for metric in &metrics {
                batch.push(*metric, &policy, measures(&[f64::from(round)]));
            }
        }
        let part_of = |metric: MetricId| if metric == metrics[0] { 3 } else { 1 };
        let parts = Arc::new(batch).split(5, part_of);
        assert_eq!(
            parts.iter().map(|(number, part)| (*number, part.len())).collect::<Vec<_>>(),
            [(1, 57), (3, 3)]
        );
        let rounds: Vec<f64> = parts[1].1.runs().flat_map(|run| run.values.to_vec()).collect();
        assert_eq!(rounds, [0.0, 1.0, 2.0]);
    }
}

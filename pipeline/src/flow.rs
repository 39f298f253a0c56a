//! One batch on its way through a plan: pure steps, apart from where state comes from and goes to.

use std::collections::{BTreeMap, HashMap};

use nephos_coordination::{StateKey, StateWrite, VersionedState};
use nephos_lang::expression::EvaluationError;
use nephos_model::{Sample, Timestamp};

use crate::plan::Plan;
use crate::transformer::{DropReason, Grouping, Output};

/// How many samples ended on the way, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    counts: BTreeMap<DropReason, u64>,
}

impl Dropped {
    /// Every reason there was, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.counts.iter().map(|(reason, count)| (*reason, *count))
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn add(&mut self, reason: DropReason, count: u64) {
        *self.counts.entry(reason).or_default() += count;
    }
}

/// A transformer's expression had no value for a sample.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) sink: usize,
    pub(crate) transformer: usize,
    pub(crate) error: EvaluationError,
}

/// A batch in a plan. Alternate [`next_groups`](Self::next_groups) and [`step`](Self::step) until there are no groups;
/// then [`lanes`](Self::lanes) has what to publish.
#[derive(Debug)]
pub(crate) struct Flow<'p> {
    plan: &'p Plan,
    now: Timestamp,
    /// One for each sink, in the plan's order.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) dropped: Dropped,
    pub(crate) faults: Vec<Fault>,
    pub(crate) unreadable_states: u64,
}

/// What is in a sink, and how far it got.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    stage: usize,
    pub(crate) samples: Vec<Sample>,
}

/// Samples waiting for state.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// The states they need.
    pub(crate) keys: Vec<StateKey>,
    /// For each key, the position of the sink and the samples.
    members: Vec<(usize, Vec<Sample>)>,
}

impl<'p> Flow<'p> {
    /// Puts each sample into the sinks it goes to.
    pub(crate) fn start(plan: &'p Plan, samples: &[Sample], now: Timestamp) -> Self {
        let mut lanes: Vec<Lane> = Vec::new();
        lanes.resize_with(plan.sinks.len(), Lane::default);
        let mut flow =
            Self { plan, now, lanes, dropped: Dropped::default(), faults: Vec::new(), unreadable_states: 0 };
        let mut routes = HashMap::new();
        for sample in samples {
            if sample.volume.as_f64().is_nan() {
                flow.dropped.add(DropReason::NotANumber, 1);
                continue;
            }
            let route = routes.entry(sample.name.as_str()).or_insert_with(|| plan.route(&sample.name));
            if route.is_empty() {
                flow.dropped.add(DropReason::NoPipeline, 1);
            }
            for sink in route.iter() {
                if let Some(lane) = flow.lanes.get_mut(*sink) {
                    lane.samples.push(sample.clone());
                }
            }
        }
        flow
    }

    /// Takes every sink up to its next transformer with state, and the samples there apart by group.
    pub(crate) fn next_groups(&mut self) -> Groups {
        let mut groups = Groups::default();
        for (position, sink) in self.plan.sinks.iter().enumerate() {
            let Some(lane) = self.lanes.get_mut(position) else { continue };
            while let Some(transformer) = sink.transformers.get(lane.stage) {
                let samples = std::mem::take(&mut lane.samples);
                let grouping = transformer.grouping();
                if grouping != Grouping::Stateless {
                    groups.add(position, &sink.name, lane.stage, grouping, samples);
                    break;
                }
                let mut output = Output::default();
                if !samples.is_empty() {
                    transformer.step(&mut Vec::new(), self.now, samples, &mut output);
                }
                let stage = lane.stage;
                lane.stage += 1;
                lane.samples = std::mem::take(&mut output.samples);
                note(&mut self.dropped, &mut self.faults, position, stage, output);
            }
        }
        groups
    }

    /// Runs the transformers that waited for `groups`, whose states are `states`, and gives the states to write.
    pub(crate) fn step(&mut self, groups: Groups, states: Vec<VersionedState>) -> Vec<StateWrite> {
        let mut writes = Vec::with_capacity(groups.keys.len());
        for ((key, (position, samples)), state) in groups.keys.into_iter().zip(groups.members).zip(states) {
            let (Some(sink), Some(lane)) = (self.plan.sinks.get(position), self.lanes.get_mut(position))
            else {
                continue;
            };
            let Some(transformer) = sink.transformers.get(lane.stage) else { continue };
            let mut bytes = state.bytes;
            let mut output = Output::default();
            transformer.step(&mut bytes, self.now, samples, &mut output);
            lane.samples.append(&mut output.samples);
            self.unreadable_states += output.unreadable_states;
            note(&mut self.dropped, &mut self.faults, position, lane.stage, output);
            writes.push(StateWrite { key, read_version: state.version, bytes });
        }
        for (lane, sink) in self.lanes.iter_mut().zip(&self.plan.sinks) {
            // Those at the end of their chain stay there.
            lane.stage = (lane.stage + 1).min(sink.transformers.len());
        }
        writes
    }
}

fn note(dropped: &mut Dropped, faults: &mut Vec<Fault>, sink: usize, transformer: usize, output: Output) {
    for reason in output.drops {
        dropped.add(reason, 1);
    }
    faults.extend(output.fault.map(|error| Fault { sink, transformer, error }));
}

impl Groups {
    /// Adds the samples of one sink, in order of arrival within each group.
    fn add(&mut self, position: usize, sink: &str, stage: usize, grouping: Grouping, samples: Vec<Sample>) {
        let mut slots: HashMap<String, usize> = HashMap::new();
        for sample in samples {
            let Some(group) = grouping.group(&sample) else { continue };
            let slot = *slots.entry(group).or_insert_with_key(|group| {
                let transformer = u32::try_from(stage).unwrap_or(u32::MAX);
                self.keys.push(StateKey { sink: sink.to_owned(), transformer, group: group.clone() });
                self.members.push((position, Vec::new()));
                self.members.len() - 1
            });
            if let Some((_, members)) = self.members.get_mut(slot) {
                members.push(sample);
            }
        }
    }
}

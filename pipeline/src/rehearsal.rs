//! Runs samples through a pipeline file in memory: for `nephos pipeline test`.

use std::collections::{BTreeMap, HashMap};

use nephos_config::pipeline::PipelineFile;
use nephos_coordination::{StateKey, VersionedState};
use nephos_model::{Sample, Timestamp};

use crate::flow::{Dropped, Flow};
use crate::plan::Plan;

/// What one sink would publish.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkOutput {
    /// The sink's name.
    pub sink: String,
    /// The urls it would publish to.
    pub publishers: Vec<String>,
    /// What, in order.
    pub samples: Vec<Sample>,
}

/// What became of samples in a rehearsal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// Every sink, in the file's order.
    pub sinks: Vec<SinkOutput>,
    /// How many samples ended on the way.
    pub dropped: Dropped,
    /// By sink, the first fault of an expression.
    pub faults: BTreeMap<String, String>,
}

/// Runs `samples` one after the other, each as a batch of its own, over state that is empty at first.
pub fn rehearse(file: &PipelineFile, samples: &[Sample], now: Timestamp) -> Rehearsal {
    let plan = Plan::build(file);
    let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
    let mut dropped = Dropped::default();
    let mut faults = BTreeMap::new();
    let mut outputs: Vec<SinkOutput> = file
        .sinks
        .iter()
        .map(|sink| SinkOutput {
            sink: sink.name.clone(),
            publishers: sink.publishers.iter().map(|publisher| publisher.url.clone()).collect(),
            samples: Vec::new(),
        })
        .collect();
    for sample in samples {
        let mut flow = Flow::start(&plan, std::slice::from_ref(sample), now);
        loop {
            let groups = flow.next_groups();
            if groups.keys.is_empty() {
                break;
            }
            let read = groups
                .keys
                .iter()
                .map(|key| VersionedState { version: 0, bytes: states.get(key).cloned().unwrap_or_default() })
                .collect();
            states.extend(flow.step(groups, read).into_iter().map(|write| (write.key, write.bytes)));
        }
        for (output, lane) in outputs.iter_mut().zip(&mut flow.lanes) {
            output.samples.append(&mut lane.samples);
        }
        for (reason, count) in flow.dropped.iter() {
            dropped.add(reason, count);
        }
        for fault in flow.faults {
            if let Some(sink) = file.sinks.get(fault.sink) {
                faults.entry(sink.name.clone()).or_insert_with(|| fault.error.to_string());
            }
        }
    }
    Rehearsal { sinks: outputs, dropped, faults }
}

//! Transformers: pure steps over explicit state (telemetry-pipeline §12).

mod codec;
mod conversion;
mod history;
mod rate_of_change;
mod unit_conversion;

use std::fmt::Debug;

use nephos_config::pipeline::TransformerSpec;
use nephos_lang::expression::EvaluationError;
use nephos_model::{Sample, Timestamp};
use uuid::Uuid;

pub use rate_of_change::RateOfChange;
pub use unit_conversion::UnitConversion;

/// A step of a sink's chain.
pub trait Transformer: Debug + Send + Sync {
    /// Which samples share state.
    fn grouping(&self) -> Grouping;

    /// Runs samples of one group, in their order of arrival, at the wall-clock time `now`. `state` is what the last
    /// step of this group left, empty at first; without state to share it means nothing.
    ///
    /// The same input on the state before or after itself gives the same output.
    fn step(&self, state: &mut Vec<u8>, now: Timestamp, input: Vec<Sample>, output: &mut Output);
}

/// The transformer that `spec` describes.
pub fn build(spec: &TransformerSpec) -> Box<dyn Transformer> {
    match spec {
        TransformerSpec::RateOfChange(spec) => Box::new(RateOfChange::new(spec.clone())),
        TransformerSpec::UnitConversion(spec) => Box::new(UnitConversion::new(spec.clone())),
    }
}

/// Which samples of a transformer share state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// None: every sample is by itself.
    Stateless,
    /// Those of one meter of one resource.
    MeterAndResource,
}

/// Longest group that is used as it is, in bytes: databases bound the length of what they index.
const MAX_GROUP: usize = 512;

impl Grouping {
    /// The group of `sample`; `None` if it needs none. Never longer than a database can index, never with a NUL,
    /// which PostgreSQL cannot hold.
    pub fn group(self, sample: &Sample) -> Option<String> {
        match self {
            Self::Stateless => None,
            Self::MeterAndResource => {
                let mut group = String::with_capacity(sample.name.len() + 1 + sample.resource_id.len());
                group.push_str(&sample.name);
                group.push('\u{1f}');
                group.push_str(&sample.resource_id);
                if group.len() > MAX_GROUP || group.contains('\0') {
                    group = format!("#{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, group.as_bytes()));
                }
                Some(group)
            }
        }
    }
}

/// Why a sample goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Its volume, or the one computed from it, is no number.
    NotANumber,
    /// No source wants its meter.
    NoPipeline,
    /// It is the first of its series, so nothing can be said of its change.
    NoPredecessor,
    /// It came too late.
    Late,
    /// The scale's expression has no value for it.
    Expression,
}

impl DropReason {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotANumber => "not_a_number",
            Self::NoPipeline => "no_pipeline",
            Self::NoPredecessor => "no_predecessor",
            Self::Late => "late",
            Self::Expression => "expression",
        }
    }
}

/// What a step gives.
#[derive(Debug, Default)]
pub struct Output {
    /// Samples for the next step.
    pub samples: Vec<Sample>,
    /// One entry for each sample that ended here.
    pub drops: Vec<DropReason>,
    /// The first fault of an expression.
    pub fault: Option<EvaluationError>,
    /// States that could not be read and were begun anew.
    pub unreadable_states: u64,
}

impl Output {
    fn emit(&mut self, result: Result<Sample, Refusal>) {
        match result {
            Ok(sample) => self.samples.push(sample),
            Err(Refusal::NotANumber) => self.drops.push(DropReason::NotANumber),
            Err(Refusal::Expression(error)) => {
                self.drops.push(DropReason::Expression);
                self.fault.get_or_insert(error);
            }
        }
    }
}

/// Why no sample could be derived.
#[derive(Debug)]
enum Refusal {
    NotANumber,
    Expression(EvaluationError),
}

impl From<EvaluationError> for Refusal {
    fn from(error: EvaluationError) -> Self {
        Self::Expression(error)
    }
}

#[cfg(test)]
mod tests;

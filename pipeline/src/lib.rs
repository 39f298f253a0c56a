//! Pipelines: samples through matching sources, transformers and sinks to publishers.
//!
//! The way of a batch, in [`Pipelines::process`]: every sample is offered to every (source, sink) pair whose source
//! matches its meter; each sink runs its chain of pure [`transformer`]s over state that is read from the
//! shared store in one round trip; the outputs go to the [`publish`]ers; then the states are written in one
//! transaction, on condition that nobody wrote them meanwhile. If somebody did, the batch runs again on fresh state.
//! Only after all that may the caller acknowledge its input, so every step can be repeated at any moment, by any
//! process, and the final series are the same.
//!
//! [`rehearse`] runs the same steps in memory and publishes nothing.

mod flow;
mod instrument;
mod plain;
mod plan;
pub mod publish;
mod rehearsal;
mod runtime;
pub mod transformer;

pub use flow::Dropped;
pub use rehearsal::{Rehearsal, SinkOutput, rehearse};
pub use runtime::{Applied, PipelineError, Pipelines, Processed, STATE_EXPIRY};

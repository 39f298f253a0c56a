//! Notifications of oslo.messaging and the samples in them (telemetry-pipeline §2, §3): byte-compatible with
//! Ceilometer's in both directions.
//!
//! Reading: [`read_samples`] takes a message's body apart and keeps the good samples when others beside them are bad.
//! Writing: [`write_samples`]. [`Signer`] computes and checks `message_signature`.

mod envelope;
mod python;
mod sample;
mod signature;
#[cfg(test)]
mod tests;
mod write;

pub use envelope::{Notification, OsloError, read};
pub use sample::{BadSample, SampleError, SampleMessage, read_samples};
pub use signature::Signer;
pub use write::{MessageKind, Stamp, write_samples};

/// Event type of a polling agent's samples.
pub const POLLING_EVENT: &str = "telemetry.polling";
/// Event type of published samples.
pub const METERING_EVENT: &str = "metering";

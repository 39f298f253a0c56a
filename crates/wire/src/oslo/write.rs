//! Samples as they go out.

use nephos_model::{Metadata, Sample, Timestamp, Volume};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::envelope::OsloError;
use super::signature::Signer;
use super::{METERING_EVENT, POLLING_EVENT};
use crate::time::naive_utc;

/// The two kinds of message that carry samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// `telemetry.polling`.
    Polling,
    /// `metering`.
    Metering,
}

/// What makes one message differ from the next.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Who sends it.
    pub publisher_id: &'a str,
    /// Identifier of the notification.
    pub message_id: Uuid,
    /// One a send: receivers drop what they have just seen.
    pub unique_id: Uuid,
    /// When it is sent.
    pub sent: Timestamp,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "oslo.version")]
    version: &'static str,
    #[serde(rename = "oslo.message")]
    message: &'a str,
}

#[derive(Serialize)]
struct Message<'a, P> {
    message_id: Uuid,
    publisher_id: &'a str,
    event_type: &'static str,
    priority: &'static str,
    payload: P,
    timestamp: String,
    _unique_id: uuid::fmt::Simple,
}

#[derive(Serialize)]
struct PollingPayload<'a> {
    samples: &'a [Outgoing<'a>],
}

#[derive(Serialize)]
struct Outgoing<'a> {
    source: &'a str,
    counter_name: &'a str,
    counter_type: &'static str,
    counter_unit: &'a str,
    #[serde(serialize_with = "number")]
    counter_volume: Volume,
    user_id: Option<&'a str>,
    user_name: Option<&'a str>,
    project_id: Option<&'a str>,
    project_name: Option<&'a str>,
    resource_id: &'a str,
    timestamp: String,
    resource_metadata: &'a Metadata,
    message_id: Uuid,
    monotonic_time: Option<f64>,
    message_signature: String,
}

/// A volume that is no finite number becomes null.
fn number<S: Serializer>(volume: &Volume, serializer: S) -> Result<S::Ok, S::Error> {
    match *volume {
        Volume::Int(int) => serializer.serialize_i64(int),
        Volume::Uint(int) => serializer.serialize_u64(int),
        Volume::Float(float) => serializer.serialize_f64(float),
    }
}

/// The body of a message with `samples`, in the version 2 envelope.
pub fn write_samples(
    kind: MessageKind,
    samples: &[Sample],
    signer: &Signer,
    stamp: Stamp<'_>,
) -> Result<Vec<u8>, OsloError> {
    let samples: Vec<Outgoing<'_>> = samples.iter().map(|sample| outgoing(sample, signer)).collect();
    let text = match kind {
        MessageKind::Polling => message(POLLING_EVENT, PollingPayload { samples: &samples }, stamp),
        MessageKind::Metering => message(METERING_EVENT, samples.as_slice(), stamp),
    };
    text.and_then(|message| serde_json::to_vec(&Envelope { version: "2.0", message: &message }))
        .map_err(|source| OsloError::Json { part: "outgoing message", source })
}

fn message<P: Serialize>(
    event_type: &'static str,
    payload: P,
    stamp: Stamp<'_>,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Message {
        message_id: stamp.message_id,
        publisher_id: stamp.publisher_id,
        event_type,
        priority: "SAMPLE",
        payload,
        timestamp: naive_utc(stamp.sent, ' '),
        _unique_id: stamp.unique_id.simple(),
    })
}

fn outgoing<'a>(sample: &'a Sample, signer: &Signer) -> Outgoing<'a> {
    let timestamp = naive_utc(sample.timestamp, 'T');
    let message_signature = signer.sign_sample(sample, &timestamp);
    Outgoing {
        source: &sample.source,
        counter_name: &sample.name,
        counter_type: sample.kind.as_str(),
        counter_unit: &sample.unit,
        counter_volume: sample.volume,
        user_id: sample.user_id.as_deref(),
        user_name: sample.user_name.as_deref(),
        project_id: sample.project_id.as_deref(),
        project_name: sample.project_name.as_deref(),
        resource_id: &sample.resource_id,
        timestamp,
        resource_metadata: &sample.metadata,
        message_id: sample.id,
        monotonic_time: sample.monotonic_time,
        message_signature,
    }
}

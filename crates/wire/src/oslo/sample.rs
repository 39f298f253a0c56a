//! Samples as they come in.

use std::fmt;
use std::sync::Arc;

use nephos_model::{Metadata, Sample, SampleKind, Volume};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::envelope::{Notification, OsloError, Text, read};
use super::signature::Signer;
use super::{METERING_EVENT, POLLING_EVENT};
use crate::time::parse_iso8601;

/// Why one sample of a message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A key without which a sample means nothing is absent or null.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A type other than gauge, delta and cumulative.
    #[error("counter_type {found:?} is none of gauge, delta, cumulative")]
    Kind {
        /// What it says.
        found: String,
    },
    /// A volume that is no finite number.
    #[error("counter_volume {found:?} is not a finite number")]
    Volume {
        /// What it says.
        found: String,
    },
    /// A timestamp that is none.
    #[error("timestamp {found:?} is not an ISO 8601 time between 1677 and 2262")]
    Timestamp {
        /// What it says.
        found: String,
    },
    /// The signature does not fit the sample and our secret.
    #[error("message_signature is wrong or missing")]
    Signature,
    /// A value of a wrong type, or text that is no Unicode.
    #[error("not a sample: {0}")]
    Json(#[from] serde_json::Error),
}

/// A sample that cannot be used.
#[derive(Debug)]
pub struct BadSample {
    /// Its position in the message.
    pub index: usize,
    /// What is wrong.
    pub error: SampleError,
    /// Its JSON as received.
    pub raw: String,
}

/// A message of samples, taken apart.
#[derive(Debug, Default)]
pub struct SampleMessage {
    /// The good ones in their order.
    pub samples: Vec<Sample>,
    /// The others.
    pub bad: Vec<BadSample>,
}

/// Reads the samples of a `telemetry.polling` or `metering` notification. With `verify`, samples whose signature does
/// not fit are bad ones.
pub fn read_samples(body: &[u8], verify: Option<&Signer>) -> Result<SampleMessage, OsloError> {
    read(body, |notification| of_notification(&notification, verify))?
}

fn of_notification(
    notification: &Notification<'_>,
    verify: Option<&Signer>,
) -> Result<SampleMessage, OsloError> {
    let event = notification.event_type.as_ref();
    let metering =
        event.strip_prefix(METERING_EVENT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if event != POLLING_EVENT && !metering {
        return Err(OsloError::EventType { found: event.to_owned() });
    }
    let payload = notification.payload.map_or("null", RawValue::get);
    let verify = verify.filter(|signer| signer.signs());
    if verify.is_none()
        && let Ok(incoming) = list::<Incoming<'_>>(payload, metering)
        && let Ok(mut samples) = incoming.into_iter().map(Sample::try_from).collect::<Result<Vec<_>, _>>()
    {
        share_metadata(&mut samples);
        return Ok(SampleMessage { samples, bad: Vec::new() });
    }
    one_by_one(list(payload, metering)?, verify)
}

/// The items of a payload, which are under `samples` unless the message is a metering one.
fn list<'a, T: Deserialize<'a>>(payload: &'a str, metering: bool) -> Result<Vec<T>, OsloError> {
    #[derive(Deserialize)]
    struct Polling<T> {
        samples: Vec<T>,
    }
    let items = if metering {
        serde_json::from_str(payload)
    } else {
        serde_json::from_str(payload).map(|Polling { samples }| samples)
    };
    items.map_err(|source| OsloError::Json { part: "payload", source })
}

/// The slow way: each sample alone, so that a bad one says why and leaves the others be.
fn one_by_one(items: Vec<&RawValue>, verify: Option<&Signer>) -> Result<SampleMessage, OsloError> {
    let mut message = SampleMessage::default();
    for (index, raw) in items.into_iter().map(RawValue::get).enumerate() {
        match single(raw, verify) {
            Ok(sample) => message.samples.push(sample),
            Err(error) => message.bad.push(BadSample { index, error, raw: raw.to_owned() }),
        }
    }
    share_metadata(&mut message.samples);
    Ok(message)
}

/// Samples of one reading stand together and say the same of their resource: once is enough.
fn share_metadata(samples: &mut [Sample]) {
    let mut samples = samples.iter_mut();
    let Some(mut before) = samples.next() else { return };
    for sample in samples {
        if sample.metadata == before.metadata {
            sample.metadata = Arc::clone(&before.metadata);
        }
        before = sample;
    }
}

fn single(raw: &str, verify: Option<&Signer>) -> Result<Sample, SampleError> {
    if let Some(signer) = verify {
        let message: Map<String, Value> = serde_json::from_str(raw)?;
        if !signer.verify(&message) {
            return Err(SampleError::Signature);
        }
    }
    serde_json::from_str::<Incoming<'_>>(raw)?.try_into()
}

/// A sample's wire form; keys that older senders lack, and unknown ones, do no harm.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    source: Option<Text<'a>>,
    counter_name: Option<String>,
    #[serde(borrow)]
    counter_type: Option<Text<'a>>,
    counter_unit: Option<String>,
    counter_volume: Option<IncomingVolume>,
    user_id: Option<String>,
    user_name: Option<String>,
    project_id: Option<String>,
    project_name: Option<String>,
    resource_id: Option<String>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    resource_metadata: Option<Metadata>,
    #[serde(borrow)]
    message_id: Option<Text<'a>>,
    monotonic_time: Option<f64>,
}

impl TryFrom<Incoming<'_>> for Sample {
    type Error = SampleError;

    fn try_from(incoming: Incoming<'_>) -> Result<Self, SampleError> {
        let missing = |key| SampleError::Missing { key };
        let Text(kind) = incoming.counter_type.ok_or(missing("counter_type"))?;
        let Text(timestamp) = incoming.timestamp.ok_or(missing("timestamp"))?;
        let name = incoming.counter_name.ok_or(missing("counter_name"))?;
        let resource_id = incoming.resource_id.ok_or(missing("resource_id"))?;
        let id = incoming.message_id.map_or_else(
            || derived_id(&format!("{name}\0{resource_id}\0{timestamp}")),
            |Text(id)| Uuid::try_parse(&id).unwrap_or_else(|_| derived_id(&id)),
        );
        Ok(Self {
            id,
            kind: SampleKind::parse(&kind).ok_or_else(|| SampleError::Kind { found: kind.into_owned() })?,
            unit: incoming.counter_unit.unwrap_or_default(),
            volume: incoming.counter_volume.ok_or(missing("counter_volume"))?.finite()?,
            user_id: incoming.user_id,
            user_name: incoming.user_name,
            project_id: incoming.project_id,
            project_name: incoming.project_name,
            timestamp: parse_iso8601(&timestamp)
                .ok_or_else(|| SampleError::Timestamp { found: timestamp.into_owned() })?,
            metadata: Arc::new(incoming.resource_metadata.unwrap_or_default()),
            monotonic_time: incoming.monotonic_time,
            source: incoming.source.map_or(Sample::DEFAULT_SOURCE.into(), |Text(source)| source.into()),
            name,
            resource_id,
        })
    }
}

/// The identifier of a sample whose sender gave none of our form: the same again when it is sent again.
fn derived_id(text: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())
}

/// A volume before it is known to be a number.
enum IncomingVolume {
    Number(Volume),
    Text(String),
}

impl IncomingVolume {
    fn finite(self) -> Result<Volume, SampleError> {
        let text = match self {
            Self::Number(volume) => return Ok(volume),
            Self::Text(text) => text,
        };
        let digits = text.trim();
        let number = digits
            .parse()
            .map(Volume::Int)
            .or_else(|_| digits.parse().map(Volume::Uint))
            .or_else(|_| digits.parse().map(Volume::Float));
        match number {
            Ok(volume) if volume.as_f64().is_finite() => Ok(volume),
            _ => Err(SampleError::Volume { found: text }),
        }
    }
}

impl<'de> Deserialize<'de> for IncomingVolume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VolumeVisitor)
    }
}

struct VolumeVisitor;

impl Visitor<'_> for VolumeVisitor {
    type Value = IncomingVolume;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(IncomingVolume::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(IncomingVolume::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(IncomingVolume::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(IncomingVolume::Text(value.to_owned()))
    }
}

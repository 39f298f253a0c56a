//! One reading of one meter of one resource (telemetry-pipeline §2.1).

use std::sync::Arc;

use uuid::Uuid;

use crate::time::Timestamp;

/// A sample's `resource_metadata`: any JSON object.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// How successive volumes of a meter relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// The value now.
    Gauge,
    /// Growth since the last sample.
    Delta,
    /// Ever growing, may start again at zero.
    Cumulative,
}

impl SampleKind {
    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Delta => "delta",
            Self::Cumulative => "cumulative",
        }
    }

    /// From the wire's word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "gauge" => Some(Self::Gauge),
            "delta" => Some(Self::Delta),
            "cumulative" => Some(Self::Cumulative),
            _ => None,
        }
    }
}

/// A sample's volume. Integers and floats are told apart because the signature does (`5` is not `5.0`).
#[derive(Clone, Copy, Debug)]
pub enum Volume {
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    Uint(u64),
    /// A float.
    Float(f64),
}

impl Volume {
    /// As a float; integers beyond 2^53 lose their last digits.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Uint(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl PartialEq for Volume {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl From<f64> for Volume {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<u64> for Volume {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Uint(value), Self::Int)
    }
}

impl From<i64> for Volume {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// One reading of one meter of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Identifier on the wire (`message_id`).
    pub id: Uuid,
    /// Meter name, dotted (`cpu`, `disk.device.read.bytes`).
    pub name: String,
    /// How successive volumes relate.
    pub kind: SampleKind,
    /// Unit of the volume; may be empty.
    pub unit: String,
    /// The reading.
    pub volume: Volume,
    /// Owner's user.
    pub user_id: Option<String>,
    /// Owner's user by name, if name discovery is on.
    pub user_name: Option<String>,
    /// Owner's project.
    pub project_id: Option<String>,
    /// Owner's project by name, if name discovery is on.
    pub project_name: Option<String>,
    /// What was measured.
    pub resource_id: String,
    /// Wall clock at the reading, to the microsecond.
    pub timestamp: Timestamp,
    /// What else is known of the resource; shared by all samples of one reading.
    pub metadata: Arc<Metadata>,
    /// Monotonic clock of the agent at the reading, in seconds; see `monotonic_origin` in the metadata.
    pub monotonic_time: Option<f64>,
    /// `sample_source`, normally `openstack`.
    pub source: Arc<str>,
}

impl Sample {
    /// Metadata key that names the resource type; it wins over the definitions file.
    pub const RESOURCE_TYPE: &'static str = "resource_type";
    /// Metadata key of the clock `monotonic_time` belongs to (boot id and host).
    pub const MONOTONIC_ORIGIN: &'static str = "monotonic_origin";
    /// The `source` a sample has unless told otherwise.
    pub const DEFAULT_SOURCE: &'static str = "openstack";

    /// A sample with the given reading and a new identifier; owner and names unset, no metadata.
    pub fn new(
        name: impl Into<String>,
        kind: SampleKind,
        unit: impl Into<String>,
        volume: impl Into<Volume>,
        resource_id: impl Into<String>,
        timestamp: Timestamp,
    ) -> Self {
        Self {
            id: Uuid::new_v4(),
            name: name.into(),
            kind,
            unit: unit.into(),
            volume: volume.into(),
            user_id: None,
            user_name: None,
            project_id: None,
            project_name: None,
            resource_id: resource_id.into(),
            timestamp,
            metadata: Arc::new(Metadata::new()),
            monotonic_time: None,
            source: Arc::from(Self::DEFAULT_SOURCE),
        }
    }

    /// The metadata value under `key`, if it is text.
    pub fn metadata_str(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(serde_json::Value::as_str)
    }
}

//! Values that every part of Nephos speaks of: samples, measures, metrics, resources, alarms and time.
//!
//! Nothing here does I/O, reads a clock or serialises itself: wire shapes live in `nephos-wire`.

pub mod alarm;
pub mod ids;
pub mod measure;
pub mod metric;
pub mod network;
pub mod resource;
pub mod sample;
pub mod time;

pub use alarm::{
    Alarm, AlarmChange, AlarmRule, AlarmState, ChangeKind, Comparison, ResourcesThreshold, Severity,
};
pub use ids::{AlarmId, MetricId, ResourceId};
pub use measure::{Measure, Point};
pub use metric::Metric;
pub use network::Network;
pub use resource::{AttributeKind, AttributeType, Resource, ResourceType, ResourceTypeState};
pub use sample::{Metadata, Sample, SampleKind, Volume};
pub use time::{Clock, Granularity, ManualClock, Timestamp};

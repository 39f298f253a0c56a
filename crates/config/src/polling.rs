//! `polling.yaml`: which meters are read, how often (telemetry-pipeline §4.1).

use std::time::Duration;

use jiff::tz::TimeZone;

pub use crate::names::NameFilter;

mod read;

pub(crate) use read::read;

/// A whole `polling.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct PollingFile {
    /// Its sources, in file order, no two of one name.
    pub sources: Vec<PollingSource>,
}

/// Some meters of some resources at one schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct PollingSource {
    /// Its name.
    pub name: String,
    /// When it is due.
    pub schedule: Schedule,
    /// Which meters.
    pub meters: NameFilter,
    /// Static resources.
    pub resources: Vec<String>,
    /// Discovery urls (`name`, `name:parameter`, `name://parameter`).
    pub discovery: Vec<String>,
}

/// When a source is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// At once, then from start to start.
    Interval(Duration),
    /// At the times of a cron expression.
    Cron(Box<CronSchedule>),
}

/// Times of a cron expression in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct CronSchedule {
    /// The expression as written: five fields, or six with seconds first.
    pub expression: String,
    /// Name of the zone as written; `UTC` if the file has none.
    pub timezone: String,
    /// The parsed expression.
    pub pattern: croner::Cron,
    /// The zone.
    pub zone: TimeZone,
}

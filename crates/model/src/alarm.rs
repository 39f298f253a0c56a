//! Alarms, their rules, states and history (alarms-api §3, §4, §8).

use crate::ids::AlarmId;
use crate::time::Timestamp;

/// State of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmState {
    /// Inside the threshold.
    Ok,
    /// Outside the threshold.
    Alarm,
    /// Not enough known.
    InsufficientData,
}

impl AlarmState {
    /// The name clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Alarm => "alarm",
            Self::InsufficientData => "insufficient data",
        }
    }

    /// From the name clients send.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.as_str() == text)
    }
}

/// How bad an alarm is; ordered from least to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Severity {
    /// The default.
    #[default]
    Low,
    /// In between.
    Moderate,
    /// Worst.
    Critical,
}

impl Severity {
    /// The name clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::Critical => "critical",
        }
    }

    /// From the name clients send.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Low, Self::Moderate, Self::Critical].into_iter().find(|severity| severity.as_str() == text)
    }
}

/// A comparison of a value with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Comparison {
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `==`, the default
    #[default]
    Eq,
    /// `!=`
    Ne,
    /// `>=`
    Ge,
    /// `>`
    Gt,
}

impl Comparison {
    /// Every comparison, in the order of the contract.
    pub const ALL: [Self; 6] = [Self::Lt, Self::Le, Self::Eq, Self::Ne, Self::Ge, Self::Gt];

    /// The name clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Ge => "ge",
            Self::Gt => "gt",
        }
    }

    /// From the name clients send.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == text)
    }

    /// Whether `value` stands to `threshold` as this comparison says. NaN equals nothing.
    #[allow(clippy::float_cmp)]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Lt => value < threshold,
            Self::Le => value <= threshold,
            Self::Eq => value == threshold,
            Self::Ne => value != threshold,
            Self::Ge => value >= threshold,
            Self::Gt => value > threshold,
        }
    }
}

/// `gnocchi_resources_threshold`: one metric of one resource against a threshold (alarms-api §4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct ResourcesThreshold {
    /// Name of the metric.
    pub metric: String,
    /// The resource, as the client wrote it.
    pub resource_id: String,
    /// Its type, as the client wrote it; the evaluator always asks for `generic`.
    pub resource_type: String,
    /// Aggregation method.
    pub aggregation_method: String,
    /// The limit.
    pub threshold: f64,
    /// How a point is compared with the limit.
    pub comparison_operator: Comparison,
    /// How many of the last points must agree; 1 to 100.
    pub evaluation_periods: u32,
    /// Width of the points in seconds; 1 to 31,536,000.
    pub granularity: u32,
}

/// What an alarm watches.
#[derive(Clone, Debug, PartialEq)]
pub enum AlarmRule {
    /// One metric of one resource.
    ResourcesThreshold(ResourcesThreshold),
}

impl AlarmRule {
    /// The alarm's `type`.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::ResourcesThreshold(_) => "gnocchi_resources_threshold",
        }
    }
}

/// When an alarm is evaluated (alarms-api §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeConstraint {
    /// Unique within the alarm.
    pub name: String,
    /// For people.
    pub description: String,
    /// Cron expression of the starts.
    pub start: String,
    /// Seconds from each start.
    pub duration: u64,
    /// IANA zone; empty means UTC.
    pub timezone: String,
}

/// An alarm (alarms-api §3).
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Identifier.
    pub id: AlarmId,
    /// Name; not unique; null is legal.
    pub name: Option<String>,
    /// For people.
    pub description: String,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// What it watches.
    pub rule: AlarmRule,
    /// Actions on becoming ok.
    pub ok_actions: Vec<String>,
    /// Actions on becoming alarm.
    pub alarm_actions: Vec<String>,
    /// Actions on becoming unknown.
    pub insufficient_data_actions: Vec<String>,
    /// Whether the actions of an unchanged state run again at each evaluation.
    pub repeat_actions: bool,
    /// How bad it is.
    pub severity: Severity,
    /// Its state.
    pub state: AlarmState,
    /// Why it is in this state.
    pub state_reason: String,
    /// When the state last changed.
    pub state_timestamp: Timestamp,
    /// When the definition last changed.
    pub timestamp: Timestamp,
    /// When it was last evaluated, or is due from (alarms-api §5.2).
    pub evaluate_timestamp: Timestamp,
    /// When it may be evaluated; empty means always.
    pub time_constraints: Vec<TimeConstraint>,
    /// Owner's user.
    pub user_id: Option<String>,
    /// Owner's project.
    pub project_id: Option<String>,
}

impl Alarm {
    /// The actions that belong to `state`.
    pub fn actions_for(&self, state: AlarmState) -> &[String] {
        match state {
            AlarmState::Ok => &self.ok_actions,
            AlarmState::Alarm => &self.alarm_actions,
            AlarmState::InsufficientData => &self.insufficient_data_actions,
        }
    }
}

/// What kind of change a history entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The alarm was created.
    Creation,
    /// Its definition changed.
    RuleChange,
    /// Its state changed.
    StateTransition,
    /// It was deleted.
    Deletion,
}

impl ChangeKind {
    /// The name clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::RuleChange => "rule change",
            Self::StateTransition => "state transition",
            Self::Deletion => "deletion",
        }
    }

    /// From the name clients see.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Creation, Self::RuleChange, Self::StateTransition, Self::Deletion]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One entry of an alarm's history (alarms-api §8).
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmChange {
    /// Identifier of the entry.
    pub event_id: uuid::Uuid,
    /// The alarm.
    pub alarm_id: AlarmId,
    /// What changed.
    pub kind: ChangeKind,
    /// JSON text of the change.
    pub detail: String,
    /// Who did it: user.
    pub user_id: Option<String>,
    /// Who did it: project.
    pub project_id: Option<String>,
    /// Project of the alarm.
    pub on_behalf_of: Option<String>,
    /// When.
    pub timestamp: Timestamp,
    /// Severity of the alarm then; filtered on, not shown.
    pub severity: Severity,
}

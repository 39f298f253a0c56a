//! Shapes of the alarm API for its description; reading and writing is done by `nephos_wire::aodh`.
#![expect(dead_code, reason = "the fields only describe")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// One metric of one resource against a threshold.
#[derive(ToSchema)]
#[schema(as = AlarmThresholdRule)]
pub(super) struct Rule {
    /// Name of the metric.
    metric: String,
    /// Resource, by UUID or as its creator calls it.
    resource_id: String,
    /// Its type.
    resource_type: String,
    /// The limit.
    threshold: f64,
    /// Aggregation method, as `/v1/capabilities` lists them.
    aggregation_method: String,
    /// `lt`, `le`, `eq`, `ne`, `ge` or `gt`.
    comparison_operator: Option<String>,
    /// How many of the last points must agree, 1 to 100.
    evaluation_periods: Option<u32>,
    /// Width of the points in seconds.
    granularity: Option<u32>,
}

/// When an alarm may be evaluated.
#[derive(ToSchema)]
#[schema(as = AlarmTimeConstraint)]
pub(super) struct TimeConstraint {
    /// Unique within the alarm.
    name: String,
    /// For people.
    description: Option<String>,
    /// Cron expression.
    start: String,
    /// Seconds.
    duration: u64,
    /// IANA zone; UTC unless given.
    timezone: Option<String>,
}

/// An alarm as clients send it.
#[derive(ToSchema)]
#[schema(as = AlarmDefinition)]
pub(super) struct Definition {
    /// Name, not unique.
    name: String,
    /// For people.
    description: Option<String>,
    /// Whether it is evaluated.
    enabled: Option<bool>,
    /// `gnocchi_resources_threshold`.
    r#type: String,
    /// The rule.
    gnocchi_resources_threshold_rule: Rule,
    /// URLs to call on becoming ok.
    ok_actions: Option<Vec<String>>,
    /// URLs to call on becoming alarm.
    alarm_actions: Option<Vec<String>>,
    /// URLs to call on becoming unknown.
    insufficient_data_actions: Option<Vec<String>>,
    /// Whether actions run again at each evaluation.
    repeat_actions: Option<bool>,
    /// `low`, `moderate` or `critical`.
    severity: Option<String>,
    /// `ok`, `alarm` or `insufficient data`.
    state: Option<String>,
    /// When it may be evaluated.
    time_constraints: Option<Vec<TimeConstraint>>,
    /// Owner's user.
    user_id: Option<String>,
    /// Owner's project.
    project_id: Option<String>,
}

/// An alarm.
#[derive(ToSchema)]
pub(super) struct Alarm {
    /// Identifier.
    alarm_id: String,
    /// Name.
    name: Option<String>,
    /// For people.
    description: String,
    /// Whether it is evaluated.
    enabled: bool,
    /// `gnocchi_resources_threshold`.
    r#type: String,
    /// The rule.
    gnocchi_resources_threshold_rule: Rule,
    /// URLs to call on becoming ok.
    ok_actions: Vec<String>,
    /// URLs to call on becoming alarm.
    alarm_actions: Vec<String>,
    /// URLs to call on becoming unknown.
    insufficient_data_actions: Vec<String>,
    /// Whether actions run again at each evaluation.
    repeat_actions: bool,
    /// `low`, `moderate` or `critical`.
    severity: String,
    /// `ok`, `alarm` or `insufficient data`.
    state: String,
    /// Why.
    state_reason: String,
    /// When the state last changed.
    state_timestamp: String,
    /// When the definition last changed.
    timestamp: String,
    /// When it was last evaluated.
    evaluate_timestamp: String,
    /// When it may be evaluated.
    time_constraints: Vec<TimeConstraint>,
    /// Owner's user.
    user_id: Option<String>,
    /// Owner's project.
    project_id: Option<String>,
}

/// An entry of an alarm's history.
#[derive(ToSchema)]
#[schema(as = AlarmChange)]
pub(super) struct Change {
    /// Identifier.
    event_id: String,
    /// The alarm.
    alarm_id: String,
    /// `creation`, `rule change`, `state transition` or `deletion`.
    r#type: String,
    /// JSON text.
    detail: String,
    /// Who did it: user.
    user_id: Option<String>,
    /// Who did it: project.
    project_id: Option<String>,
    /// Project of the alarm.
    on_behalf_of: Option<String>,
    /// When.
    timestamp: String,
}

/// Which queries there are.
#[derive(ToSchema)]
#[schema(as = AlarmCapabilities)]
pub(super) struct Capabilities {
    /// Of the API.
    api: BTreeMap<String, bool>,
    /// Of the storage.
    alarm_storage: BTreeMap<String, bool>,
}

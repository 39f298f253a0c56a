//! An alarm as a client sends it, in POST and PUT (alarms-api §3, §5).

use std::collections::HashSet;

use nephos_model::alarm::TimeConstraint;
use nephos_model::{AlarmRule, AlarmState, Severity, Timestamp};
use serde_json::Value;

use super::fields::{Fault, Fields};
use super::{action, rule};

/// Longest name of a user or a project, in characters.
const MAX_OWNER: usize = 255;
/// Most time constraints of an alarm: each is asked in each evaluation.
const MAX_CONSTRAINTS: usize = 1_000;

/// What an operator allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlarmLimits {
    /// Most actions of one list; absent means any number.
    pub max_actions: Option<u32>,
}

/// A definition, complete with defaults: a PUT replaces everything.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmInput {
    /// Name; null is legal.
    pub name: Option<String>,
    /// For people.
    pub description: String,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// What it watches.
    pub rule: AlarmRule,
    /// Actions on becoming ok, then alarm, then unknown.
    pub actions: [Vec<String>; 3],
    /// Whether actions repeat.
    pub repeat_actions: bool,
    /// How bad it is.
    pub severity: Severity,
    /// State.
    pub state: AlarmState,
    /// When it may be evaluated.
    pub time_constraints: Vec<TimeConstraint>,
    /// Sent `evaluate_timestamp`.
    pub evaluate_timestamp: Option<Timestamp>,
    /// Sent owner's user.
    pub user_id: Option<String>,
    /// Sent owner's project.
    pub project_id: Option<String>,
}

const ACTIONS: [&str; 3] = ["ok_actions", "alarm_actions", "insufficient_data_actions"];

impl AlarmInput {
    /// Reads a body. `admin` callers may use `log://` and `test://`. `check_constraint` judges a time
    /// constraint's start and time zone, and says what is wrong.
    pub fn read(
        body: &Value,
        admin: bool,
        limits: AlarmLimits,
        check_constraint: &dyn Fn(&str, &str) -> Result<(), ConstraintFault>,
    ) -> Result<Self, Fault> {
        let mut known = vec![
            "alarm_id",
            "name",
            "description",
            "enabled",
            "type",
            "repeat_actions",
            "severity",
            "state",
            "state_reason",
            "state_timestamp",
            "timestamp",
            "evaluate_timestamp",
            "time_constraints",
            "user_id",
            "project_id",
        ];
        known.extend(ACTIONS);
        let rule_keys: Vec<String> = rule::TYPES.iter().map(|name| format!("{name}_rule")).collect();
        known.extend(rule_keys.iter().map(String::as_str));
        let fields = Fields::new(body, "data", &known)?;
        for ignored in ["alarm_id", "state_reason"] {
            fields.text(ignored)?;
        }
        for ignored in ["state_timestamp", "timestamp"] {
            fields.time(ignored)?;
        }
        if !fields.has("name") {
            return Err(Fields::missing("name"));
        }
        let name = fields.text("name")?.map(str::to_owned);
        let type_name = fields.word("type", &rule::TYPES)?.ok_or_else(|| Fields::missing("type"))?;
        let severity = fields.word("severity", &["critical", "low", "moderate"])?;
        let state = fields.word("state", &["alarm", "insufficient data", "ok"])?;
        let rule = read_rule(&fields, type_name, &rule_keys)?;
        let mut actions: [Vec<String>; 3] = Default::default();
        for (slot, key) in actions.iter_mut().zip(ACTIONS) {
            *slot = read_actions(&fields, key, admin, limits)?;
        }
        let description = match fields.text("description")? {
            Some(text) => text.to_owned(),
            None => format!("{type_name} alarm rule"),
        };
        Ok(Self {
            name,
            description,
            enabled: fields.boolean("enabled")?.unwrap_or(true),
            rule,
            actions,
            repeat_actions: fields.boolean("repeat_actions")?.unwrap_or(false),
            severity: severity.and_then(Severity::parse).unwrap_or_default(),
            state: state.and_then(AlarmState::parse).unwrap_or(AlarmState::InsufficientData),
            time_constraints: read_constraints(&fields, check_constraint)?,
            evaluate_timestamp: fields.time("evaluate_timestamp")?,
            user_id: owner(&fields, "user_id")?,
            project_id: owner(&fields, "project_id")?,
        })
    }
}

fn read_rule(fields: &Fields<'_>, type_name: &str, rule_keys: &[String]) -> Result<AlarmRule, Fault> {
    let key = format!("{type_name}_rule");
    let given: Vec<&str> =
        rule_keys.iter().map(String::as_str).filter(|key| fields.raw(key).is_some()).collect();
    if let [first, second, ..] = given.as_slice() {
        return Err(Fault::bad(format!("{first} and {second} cannot be set at the same time")));
    }
    let value = fields
        .raw(&key)
        .ok_or_else(|| Fault::bad(format!("{key} must be set for {type_name} type alarm")))?;
    rule::read(type_name, &key, value)
}

fn read_actions(
    fields: &Fields<'_>,
    key: &str,
    admin: bool,
    limits: AlarmLimits,
) -> Result<Vec<String>, Fault> {
    let given = fields.texts(key)?.unwrap_or_default();
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for url in given {
        let scheme = action::scheme(&url)?;
        if matches!(scheme, "log" | "test") && !admin {
            return Err(Fault::not_yours(format!("You are not authorized to create action: {url}")));
        }
        if seen.insert(url.clone()) {
            kept.push(url);
        }
    }
    if let Some(most) =
        limits.max_actions.filter(|most| u32::try_from(kept.len()).is_ok_and(|count| count > *most))
    {
        return Err(Fault::bad(format!("{key} count exceeds maximum value {most}")));
    }
    Ok(kept)
}

/// What is wrong with a time constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintFault {
    /// The cron expression: why.
    Start(String),
    /// The time zone: the whole text.
    Timezone(String),
}

/// A user or project; databases keep indexes of them.
fn owner(fields: &Fields<'_>, key: &str) -> Result<Option<String>, Fault> {
    match fields.text(key)? {
        Some(text) if text.chars().count() > MAX_OWNER => {
            Err(Fault::field(key, text, &format!("should be at most {MAX_OWNER} characters")))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn read_constraints(
    fields: &Fields<'_>,
    check: &dyn Fn(&str, &str) -> Result<(), ConstraintFault>,
) -> Result<Vec<TimeConstraint>, Fault> {
    let Some(items) = fields.list("time_constraints")? else { return Ok(Vec::new()) };
    if items.len() > MAX_CONSTRAINTS {
        return Err(Fault::bad(format!("time_constraints count exceeds maximum value {MAX_CONSTRAINTS}")));
    }
    let mut constraints: Vec<TimeConstraint> = Vec::with_capacity(items.len());
    for item in items {
        let known = ["name", "description", "start", "duration", "timezone"];
        let fields = Fields::new(item, "data.time_constraints", &known)?;
        let start = fields.mandatory_text("start")?;
        let duration = fields.integer("duration", 0, i64::MAX)?.ok_or_else(|| Fields::missing("duration"))?;
        let timezone = fields.text("timezone")?.unwrap_or_default();
        check(start, timezone).map_err(|fault| match fault {
            ConstraintFault::Start(why) => Fault::field("start", start, &why),
            ConstraintFault::Timezone(text) => Fault::bad(text),
        })?;
        let name = fields.mandatory_text("name")?;
        if constraints.iter().any(|other| other.name == name) {
            return Err(Fault::bad("Time constraint names must be unique for a given alarm."));
        }
        let description = fields.text("description")?.map_or_else(
            || format!("Time constraint at {start} lasting for {duration} seconds"),
            str::to_owned,
        );
        constraints.push(TimeConstraint {
            name: name.to_owned(),
            description,
            start: start.to_owned(),
            duration: u64::try_from(duration).unwrap_or_default(),
            timezone: timezone.to_owned(),
        });
    }
    Ok(constraints)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value, admin: bool) -> Result<AlarmInput, Fault> {
        AlarmInput::read(body, admin, AlarmLimits { max_actions: Some(2) }, &|start, zone| {
            if start.contains("am") {
                return Err(ConstraintFault::Start("bad".into()));
            }
            if zone == "aaaa" {
                return Err(ConstraintFault::Timezone("Timezone aaaa is not valid".into()));
            }
            Ok(())
        })
    }

    fn body() -> Value {
        json!({
            "name": "a", "type": "gnocchi_resources_threshold",
            "gnocchi_resources_threshold_rule": {
                "metric": "cpu_util", "resource_id": "r", "resource_type": "host", "threshold": 80,
                "aggregation_method": "mean",
            },
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut body = body();
        body[key] = value;
        body
    }

    #[test]
    fn defaults_are_filled() {
        let input = read(&body(), false).unwrap();
        assert_eq!(input.description, "gnocchi_resources_threshold alarm rule");
        assert!(input.enabled && !input.repeat_actions);
        assert_eq!((input.severity, input.state), (Severity::Low, AlarmState::InsufficientData));
        let AlarmRule::ResourcesThreshold(rule) = input.rule;
        assert_eq!((rule.threshold, rule.evaluation_periods, rule.granularity), (80.0, 1, 60));
        assert_eq!(rule.comparison_operator.as_str(), "eq");
    }

    #[test]
    fn mistakes_have_the_originals_texts() {
        let mut without_rule = body();
        without_rule.as_object_mut().unwrap().remove("gnocchi_resources_threshold_rule");
        let mut without_name = body();
        without_name.as_object_mut().unwrap().remove("name");
        let mut null_threshold = body();
        null_threshold["gnocchi_resources_threshold_rule"]["threshold"] = Value::Null;
        for (body, status, message) in [
            (with("bogus", json!(1)), 400, "Unknown attribute for argument data: bogus"),
            (with("threshold_rule", json!({})), 400, "Unknown attribute for argument data: threshold_rule"),
            (
                without_name,
                400,
                "Invalid input for field/attribute name. Value: 'None'. Mandatory field missing.",
            ),
            (
                without_rule,
                400,
                "gnocchi_resources_threshold_rule must be set for gnocchi_resources_threshold type alarm",
            ),
            (
                with("event_rule", json!({"event_type": "x"})),
                400,
                "gnocchi_resources_threshold_rule and event_rule cannot be set at the same time",
            ),
            (
                null_threshold,
                400,
                "Invalid input for field/attribute threshold. Value: 'None'. Mandatory field missing.",
            ),
            (with("ok_actions", json!(["log://"])), 401, "You are not authorized to create action: log://"),
            (
                with("alarm_actions", json!(["http://a", "http://b", "http://c"])),
                400,
                "alarm_actions count exceeds maximum value 2",
            ),
            (
                with("timestamp", json!("yesterday")),
                400,
                "Invalid input for field/attribute timestamp. Value: 'yesterday'. 'yesterday' is not a legal date/time string",
            ),
            (
                with("time_constraints", json!([{"name": "c", "start": "11:00am", "duration": 10}])),
                400,
                "Invalid input for field/attribute start. Value: '11:00am'. bad",
            ),
            (
                with(
                    "time_constraints",
                    json!([{"name": "c", "start": "0 1 * * *", "duration": "10", "timezone": "aaaa"}]),
                ),
                400,
                "Timezone aaaa is not valid",
            ),
            (json!([]), 400, "Invalid input for field/attribute data. Value: '[]'. Value not an object"),
        ] {
            let fault = read(&body, false).unwrap_err();
            assert_eq!((fault.status, fault.message.as_str()), (status, message));
        }
    }

    #[test]
    fn repeated_actions_are_kept_once_in_their_order() {
        let input = read(&with("ok_actions", json!(["test://", "log://", "test://"])), true).unwrap();
        assert_eq!(input.actions[0], ["test://", "log://"]);
    }

    #[test]
    fn null_is_the_default_where_it_is_no_word() {
        let mut body = with("enabled", Value::Null);
        body["name"] = Value::Null;
        body["ok_actions"] = Value::Null;
        let input = read(&body, false).unwrap();
        assert_eq!((input.name, input.enabled, input.actions[0].len()), (None, true, 0));
        assert!(read(&with("severity", Value::Null), false).is_err());
    }
}

//! Alarms and their history as clients see them (alarms-api §3, §8).

use nephos_model::{Alarm, AlarmChange, Timestamp};
use serde_json::{Map, Value, json};

use super::action;
pub use super::rule::rule;

fn time(at: Timestamp) -> String {
    crate::time::naive_utc(at, 'T')
}

fn actions(urls: &[String]) -> Value {
    urls.iter().map(|url| action::shown(url)).collect()
}

/// An alarm.
pub fn alarm(alarm: &Alarm) -> Value {
    let type_name = alarm.rule.type_name();
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("alarm_id", json!(alarm.id.to_string()));
    put("name", json!(alarm.name));
    put("description", json!(alarm.description));
    put("enabled", json!(alarm.enabled));
    put("type", json!(type_name));
    put(&format!("{type_name}_rule"), rule(&alarm.rule));
    put("ok_actions", actions(&alarm.ok_actions));
    put("alarm_actions", actions(&alarm.alarm_actions));
    put("insufficient_data_actions", actions(&alarm.insufficient_data_actions));
    put("repeat_actions", json!(alarm.repeat_actions));
    put("severity", json!(alarm.severity.as_str()));
    put("state", json!(alarm.state.as_str()));
    put("state_reason", json!(alarm.state_reason));
    put("state_timestamp", json!(time(alarm.state_timestamp)));
    put("timestamp", json!(time(alarm.timestamp)));
    put("evaluate_timestamp", json!(time(alarm.evaluate_timestamp)));
    put("time_constraints", constraints(alarm));
    put("user_id", json!(alarm.user_id));
    put("project_id", json!(alarm.project_id));
    Value::Object(object)
}

fn constraints(alarm: &Alarm) -> Value {
    alarm
        .time_constraints
        .iter()
        .map(|constraint| {
            json!({
                "name": constraint.name,
                "description": constraint.description,
                "start": constraint.start,
                "duration": constraint.duration,
                "timezone": constraint.timezone,
            })
        })
        .collect()
}

/// An entry of the history.
pub fn change(change: &AlarmChange) -> Value {
    json!({
        "event_id": change.event_id.to_string(),
        "alarm_id": change.alarm_id.to_string(),
        "type": change.kind.as_str(),
        "detail": change.detail,
        "user_id": change.user_id,
        "project_id": change.project_id,
        "on_behalf_of": change.on_behalf_of,
        "timestamp": time(change.timestamp),
    })
}

/// The fields of an alarm as its history tells them: of a creation all, of a change those that differ. The rule is called
/// `rule` there.
pub fn recorded(alarm: &Alarm) -> Map<String, Value> {
    let type_name = alarm.rule.type_name();
    let Value::Object(mut object) = self::alarm(alarm) else { return Map::new() };
    if let Some(rule) = object.remove(&format!("{type_name}_rule")) {
        object.insert("rule".to_owned(), rule);
    }
    object.remove("evaluate_timestamp");
    object
}

//! The body that an alarm action's receiver gets (alarms-api §13).

use nephos_model::{AlarmId, AlarmState, Severity};
use serde::Serialize;
use serde_json::Value;

use crate::gnocchi::json;

/// What a notification tells.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// Name of the alarm.
    pub alarm_name: Option<&'a str>,
    /// The alarm.
    pub alarm_id: AlarmId,
    /// How bad it is.
    pub severity: Severity,
    /// State before.
    pub previous: AlarmState,
    /// State now.
    pub current: AlarmState,
    /// Why, in words.
    pub reason: &'a str,
    /// Why, for programs.
    pub reason_data: &'a Value,
}

/// Keys in the order receivers have always seen.
#[derive(Serialize)]
struct Body<'a> {
    alarm_name: Option<&'a str>,
    alarm_id: String,
    severity: &'static str,
    previous: &'static str,
    current: &'static str,
    reason: &'a str,
    reason_data: &'a Value,
}

/// The notification as JSON text.
pub fn notification(told: &Notification<'_>) -> String {
    let body = Body {
        alarm_name: told.alarm_name,
        alarm_id: told.alarm_id.to_string(),
        severity: told.severity.as_str(),
        previous: told.previous.as_str(),
        current: told.current.as_str(),
        reason: told.reason,
        reason_data: told.reason_data,
    };
    // Fails only for maps whose keys are no text, which JSON values cannot have.
    json::to_vec(&body).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_the_contract() {
        let text = notification(&Notification {
            alarm_name: Some("hook"),
            alarm_id: "5b9f1c1c-9f5c-4f0e-8d2a-3f0f6f1a2b3c".parse().unwrap(),
            severity: Severity::Critical,
            previous: AlarmState::InsufficientData,
            current: AlarmState::Alarm,
            reason: "Transition to alarm due to 2 samples outside threshold, most recent: 30.0",
            reason_data: &json!({"count": 2}),
        });
        assert_eq!(
            text,
            "{\"alarm_name\": \"hook\", \"alarm_id\": \"5b9f1c1c-9f5c-4f0e-8d2a-3f0f6f1a2b3c\", \
             \"severity\": \"critical\", \"previous\": \"insufficient data\", \"current\": \"alarm\", \
             \"reason\": \"Transition to alarm due to 2 samples outside threshold, most recent: 30.0\", \
             \"reason_data\": {\"count\": 2}}"
        );
    }
}

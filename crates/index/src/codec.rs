//! The JSON texts in which compound values are stored. Keys only ever get added; what is absent has its default.

use std::collections::BTreeMap;

use nephos_model::alarm::TimeConstraint;
use nephos_model::{
    AlarmRule, AlarmState, AttributeKind, AttributeType, Comparison, Granularity, MetricId, ResourceType,
    ResourceTypeState, ResourcesThreshold,
};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::contract::IndexError;

fn parse(what: &str, text: &str) -> Result<Value, IndexError> {
    serde_json::from_str(text).map_err(|error| IndexError::damaged(what, error))
}

fn object(what: &str, text: &str) -> Result<Map<String, Value>, IndexError> {
    match parse(what, text)? {
        Value::Object(map) => Ok(map),
        _ => Err(IndexError::damaged(what, "no object")),
    }
}

/// `[[granularity, points], …]`
pub(crate) fn write_definition(definition: &[PolicyItem]) -> String {
    Value::from_iter(definition.iter().map(|item| json!([item.granularity.as_nanos(), item.points])))
        .to_string()
}

/// `["mean", …]`
pub(crate) fn write_methods(methods: &[AggregationMethod]) -> String {
    Value::from_iter(methods.iter().map(ToString::to_string)).to_string()
}

/// A policy from its columns.
pub(crate) fn policy(
    name: String,
    back_window: i64,
    definition: &str,
    methods: &str,
) -> Result<ArchivePolicy, IndexError> {
    let damaged = |reason: &str| IndexError::damaged("archive policy", format!("{name}: {reason}"));
    let items: Vec<(i64, Option<u64>)> =
        serde_json::from_str(definition).map_err(|error| damaged(&error.to_string()))?;
    let definition = items
        .into_iter()
        .map(|(granularity, points)| {
            Some(PolicyItem { granularity: Granularity::from_nanos(granularity)?, points })
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| damaged("granularity is not positive"))?;
    let names: Vec<String> = serde_json::from_str(methods).map_err(|error| damaged(&error.to_string()))?;
    let methods = names
        .iter()
        .map(|method| method.parse().map_err(|_| damaged(method)))
        .collect::<Result<Vec<AggregationMethod>, _>>()?;
    let back_window = u32::try_from(back_window).map_err(|_| damaged("back window"))?;
    Ok(ArchivePolicy { back_window, definition, methods, name })
}

/// `{"<attribute>": {"type": …, "required": …, …}}`
pub(crate) fn write_attribute_types(attributes: &BTreeMap<String, AttributeType>) -> String {
    let attributes = attributes.iter().map(|(name, attribute)| {
        let mut stored = match &attribute.kind {
            AttributeKind::String { min_length, max_length } => {
                json!({"type": "string", "min_length": min_length, "max_length": max_length})
            }
            AttributeKind::Number { min, max } => json!({"type": "number", "min": min, "max": max}),
            AttributeKind::Uuid => json!({"type": "uuid"}),
            AttributeKind::Bool => json!({"type": "bool"}),
            AttributeKind::Datetime => json!({"type": "datetime"}),
        };
        stored["required"] = attribute.required.into();
        (name.clone(), stored)
    });
    Value::from_iter(attributes).to_string()
}

/// A resource type from its columns.
pub(crate) fn resource_type(name: String, attributes: &str, state: &str) -> Result<ResourceType, IndexError> {
    let what = "resource type";
    let attributes = object(what, attributes)?
        .into_iter()
        .map(|(attribute, stored)| {
            attribute_type(&stored)
                .map(|parsed| (attribute.clone(), parsed))
                .ok_or_else(|| IndexError::damaged(what, format!("{name}.{attribute}")))
        })
        .collect::<Result<_, _>>()?;
    use ResourceTypeState::{Active, Creating, Deleting, Updating};
    let state = [Active, Creating, Updating, Deleting]
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| IndexError::damaged(what, state))?;
    Ok(ResourceType { name, attributes, state })
}

fn attribute_type(stored: &Value) -> Option<AttributeType> {
    let length = |key: &str| stored.get(key)?.as_u64().and_then(|length| u32::try_from(length).ok());
    let bound = |key: &str| stored.get(key).and_then(Value::as_f64);
    let kind = match stored.get("type")?.as_str()? {
        "string" => {
            AttributeKind::String { min_length: length("min_length")?, max_length: length("max_length")? }
        }
        "number" => AttributeKind::Number { min: bound("min"), max: bound("max") },
        "uuid" => AttributeKind::Uuid,
        "bool" => AttributeKind::Bool,
        "datetime" => AttributeKind::Datetime,
        _ => return None,
    };
    Some(AttributeType { kind, required: stored.get("required")?.as_bool()? })
}

/// The API's word for a kind of attribute.
pub(crate) const fn kind_name(kind: &AttributeKind) -> &'static str {
    match kind {
        AttributeKind::String { .. } => "string",
        AttributeKind::Number { .. } => "number",
        AttributeKind::Uuid => "uuid",
        AttributeKind::Bool => "bool",
        AttributeKind::Datetime => "datetime",
    }
}

/// Set attributes of a resource; nulls are left out.
pub(crate) fn write_attributes(attributes: &BTreeMap<String, Value>) -> String {
    let set = attributes.iter().filter(|(_, value)| !value.is_null());
    Value::from_iter(set.map(|(name, value)| (name.clone(), value.clone()))).to_string()
}

/// Set attributes of a resource.
pub(crate) fn attributes(text: &str) -> Result<BTreeMap<String, Value>, IndexError> {
    // Most resources have none.
    if text == "{}" {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(text).map_err(|error| IndexError::damaged("attributes", error))
}

/// Metrics of a resource as the database aggregated them: `{"<name>": "<id in hexadecimal>"}`.
pub(crate) fn metrics(text: Option<&str>) -> Result<BTreeMap<String, MetricId>, IndexError> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    let mut json = serde_json::Deserializer::from_str(text);
    let metrics = json.deserialize_map(Metrics).and_then(|metrics| json.end().map(|()| metrics));
    metrics.map_err(|error| IndexError::damaged("metrics", error))
}

/// Reads ids by name into one map, without another on the way.
struct Metrics;

impl<'de> Visitor<'de> for Metrics {
    type Value = BTreeMap<String, MetricId>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ids by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metrics = BTreeMap::new();
        while let Some((name, id)) = map.next_entry::<String, Uuid>()? {
            metrics.insert(name, MetricId(id));
        }
        Ok(metrics)
    }
}

/// The columns `type` and `rule` of an alarm.
pub(crate) fn write_rule(rule: &AlarmRule) -> String {
    match rule {
        AlarmRule::ResourcesThreshold(rule) => json!({
            "metric": rule.metric,
            "resource_id": rule.resource_id,
            "resource_type": rule.resource_type,
            "aggregation_method": rule.aggregation_method,
            "threshold": float(rule.threshold),
            "comparison_operator": rule.comparison_operator.as_str(),
            "evaluation_periods": rule.evaluation_periods,
            "granularity": rule.granularity,
        }),
    }
    .to_string()
}

/// A rule from its columns.
pub(crate) fn rule(type_name: &str, text: &str) -> Result<AlarmRule, IndexError> {
    let stored = object("alarm rule", text)?;
    let threshold = match type_name {
        "gnocchi_resources_threshold" => resources_threshold(&stored),
        _ => None,
    };
    threshold
        .map(AlarmRule::ResourcesThreshold)
        .ok_or_else(|| IndexError::damaged("alarm rule", format!("{type_name}: {text}")))
}

fn resources_threshold(stored: &Map<String, Value>) -> Option<ResourcesThreshold> {
    let text = |key: &str| stored.get(key)?.as_str().map(str::to_owned);
    let number = |key: &str| stored.get(key)?.as_u64().and_then(|number| u32::try_from(number).ok());
    Some(ResourcesThreshold {
        metric: text("metric")?,
        resource_id: text("resource_id")?,
        resource_type: text("resource_type")?,
        aggregation_method: text("aggregation_method")?,
        threshold: as_float(stored.get("threshold")?)?,
        comparison_operator: Comparison::parse(stored.get("comparison_operator")?.as_str()?)?,
        evaluation_periods: number("evaluation_periods")?,
        granularity: number("granularity")?,
    })
}

/// JSON has no NaN and no infinities: those are written as text.
fn float(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

fn as_float(stored: &Value) -> Option<f64> {
    match stored {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

/// Actions by the name of the state they belong to.
pub(crate) fn write_actions(alarm: &nephos_model::Alarm) -> String {
    let states = [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData];
    Value::from_iter(states.map(|state| (state.as_str().to_owned(), json!(alarm.actions_for(state)))))
        .to_string()
}

/// The actions of one state.
pub(crate) fn actions(text: &str) -> Result<impl FnMut(AlarmState) -> Vec<String> + use<>, IndexError> {
    let mut stored: BTreeMap<String, Vec<String>> =
        serde_json::from_str(text).map_err(|error| IndexError::damaged("alarm actions", error))?;
    Ok(move |state: AlarmState| stored.remove(state.as_str()).unwrap_or_default())
}

/// `[{"name": …, …}, …]`
pub(crate) fn write_time_constraints(constraints: &[TimeConstraint]) -> String {
    let constraints = constraints.iter().map(|constraint| {
        json!({
            "name": constraint.name,
            "description": constraint.description,
            "start": constraint.start,
            "duration": constraint.duration,
            "timezone": constraint.timezone,
        })
    });
    Value::from_iter(constraints).to_string()
}

/// Time constraints of an alarm.
pub(crate) fn time_constraints(text: &str) -> Result<Vec<TimeConstraint>, IndexError> {
    let what = "time constraints";
    let Value::Array(stored) = parse(what, text)? else { return Err(IndexError::damaged(what, text)) };
    let constraint = |stored: &Value| {
        let text = |key: &str| stored.get(key)?.as_str().map(str::to_owned);
        Some(TimeConstraint {
            name: text("name")?,
            description: text("description")?,
            start: text("start")?,
            duration: stored.get("duration")?.as_u64()?,
            timezone: text("timezone")?,
        })
    };
    stored.iter().map(|stored| constraint(stored).ok_or_else(|| IndexError::damaged(what, stored))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_that_json_lacks_survive() {
        for threshold in [0.1, -0.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let back = as_float(&serde_json::from_str(&float(threshold).to_string()).unwrap()).unwrap();
            assert_eq!(back.to_bits(), threshold.to_bits(), "{threshold}");
        }
    }

    #[test]
    fn damaged_texts_are_errors_that_tell_what() {
        let errors = [
            policy("p".into(), 0, "[[0, 1]]", "[]").unwrap_err(),
            policy("p".into(), 0, "[]", "[\"meen\"]").unwrap_err(),
            policy("p".into(), -1, "[]", "[]").unwrap_err(),
            resource_type("t".into(), "{\"a\": {\"type\": \"blob\", \"required\": true}}", "active")
                .unwrap_err(),
            resource_type("t".into(), "{}", "lost").unwrap_err(),
            rule("event", "{}").unwrap_err(),
            rule("gnocchi_resources_threshold", "{\"metric\": \"m\"}").unwrap_err(),
            time_constraints("[{}]").unwrap_err(),
            attributes("[]").unwrap_err(),
            metrics(Some("{\"cpu\": \"zz\"}")).unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.starts_with("index database: stored "), "{text}");
        }
    }
}

//! Alarm rules as clients send them (alarms-api §4).

use nephos_model::{AlarmRule, Comparison, ResourcesThreshold};
use serde_json::{Value, json};

use super::fields::{Fault, Fields};

/// Alarm types of the original; this version evaluates the first.
pub(super) const TYPES: [&str; 7] = [
    "gnocchi_resources_threshold",
    "gnocchi_aggregation_by_metrics_threshold",
    "gnocchi_aggregation_by_resources_threshold",
    "event",
    "composite",
    "loadbalancer_member_health",
    "prometheus",
];

/// The rule of `type_name` from the object under `key`.
pub(super) fn read(type_name: &str, key: &str, value: &Value) -> Result<AlarmRule, Fault> {
    if type_name != "gnocchi_resources_threshold" {
        return Err(Fault::bad(format!("Alarms of type {type_name} are not in this version")));
    }
    let argument = format!("data.{key}");
    let known = [
        "metric",
        "resource_id",
        "resource_type",
        "threshold",
        "aggregation_method",
        "comparison_operator",
        "evaluation_periods",
        "granularity",
    ];
    let fields = Fields::new(value, &argument, &known)?;
    let words: Vec<&str> = Comparison::ALL.iter().map(|op| op.as_str()).collect();
    let comparison =
        fields.word("comparison_operator", &words)?.and_then(Comparison::parse).unwrap_or_default();
    let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let evaluation_periods = fields.integer("evaluation_periods", 1, 100)?.map_or(1, small);
    let granularity = fields.integer("granularity", 1, 31_536_000)?.map_or(60, small);
    Ok(AlarmRule::ResourcesThreshold(ResourcesThreshold {
        metric: fields.mandatory_text("metric")?.to_owned(),
        resource_id: fields.mandatory_text("resource_id")?.to_owned(),
        resource_type: fields.mandatory_text("resource_type")?.to_owned(),
        threshold: fields.float("threshold")?.ok_or_else(|| Fields::missing("threshold"))?,
        aggregation_method: fields.mandatory_text("aggregation_method")?.to_owned(),
        comparison_operator: comparison,
        evaluation_periods,
        granularity,
    }))
}

/// The rule as clients see it.
pub fn rule(rule: &AlarmRule) -> Value {
    match rule {
        AlarmRule::ResourcesThreshold(rule) => json!({
            "metric": rule.metric,
            "resource_id": rule.resource_id,
            "resource_type": rule.resource_type,
            "threshold": rule.threshold,
            "aggregation_method": rule.aggregation_method,
            "comparison_operator": rule.comparison_operator.as_str(),
            "evaluation_periods": rule.evaluation_periods,
            "granularity": rule.granularity,
        }),
    }
}

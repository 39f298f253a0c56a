//! Bodies of Gnocchi's API, from JSON to what the services take. Pure: no lookups, no HTTP.

use std::collections::BTreeMap;

use nephos_index::{PolicyRule, ResourceMetrics};
use nephos_model::{Granularity, MetricId, ResourceId};
use nephos_timeseries::{AggregationMethod, ItemSpec};
use nephos_wire::gather::MAX_METRIC_NAME;
use nephos_wire::gnocchi::{Field, Invalid, Object, parse_uuid, resource_id, timespan};
use serde_json::Value;

/// Longest unit of a metric, in characters.
const MAX_UNIT: usize = 31;
/// Longest name of anything but metrics, in characters: as in the original's database.
pub(super) const MAX_NAME: usize = 255;
/// Most granularities of a policy, and most entries of its list of methods.
const MAX_GRANULARITIES: usize = 100;
const MAX_METHODS: usize = 1_000;
const SLASH: &str = "'/' is not supported in metric name";
const LONG: &str = "length of value must be at most 1024";

/// An archive policy to create.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// Name.
    pub name: String,
    /// Back window.
    pub back_window: u32,
    /// Granularities as described.
    pub definition: Vec<ItemSpec>,
    /// Method names, `*`, `-name`, `+name`.
    pub methods: Vec<String>,
}

/// A change of an archive policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyChange {
    /// Granularities as described.
    pub definition: Vec<ItemSpec>,
    /// Back window, if it changes.
    pub back_window: Option<u32>,
}

/// A metric to create.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSpec {
    /// Name.
    pub name: Option<String>,
    /// Unit.
    pub unit: Option<String>,
    /// Policy; otherwise by rule.
    pub archive_policy_name: Option<String>,
    /// Resource.
    pub resource_id: Option<ResourceId>,
}

/// Reads an archive policy.
pub fn policy(body: &Value) -> Result<PolicySpec, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["name", "back_window", "definition", "aggregation_methods"])?;
    let methods = match body.get("aggregation_methods") {
        Some(field) => methods(&field)?,
        None => Vec::new(),
    };
    let back_window = body.get("back_window").map(|field| back_window(&field)).transpose()?.unwrap_or(0);
    let definition = body.get("definition").map(|field| definition(&field)).transpose()?;
    let name = body.get("name").map(|field| field.text_of_length(0, MAX_NAME)).transpose()?;
    match (definition, name) {
        (Some(definition), Some(name)) => {
            Ok(PolicySpec { name: name.to_owned(), back_window, definition, methods })
        }
        (None, _) => Err(missing(&body, "definition")),
        (_, None) => Err(missing(&body, "name")),
    }
}

/// Reads a change of an archive policy.
pub fn policy_change(body: &Value) -> Result<PolicyChange, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["definition", "back_window"])?;
    let back_window = body.get("back_window").map(|field| back_window(&field)).transpose()?;
    Ok(PolicyChange { definition: definition(&body.require("definition")?)?, back_window })
}

fn missing(body: &Object<'_>, key: &str) -> Invalid {
    body.at_key(key, "required key not provided")
}

fn methods(field: &Field<'_>) -> Result<Vec<String>, Invalid> {
    let entries = field.list()?;
    at_most(field, entries.len(), MAX_METHODS)?;
    entries
        .map(|entry| {
            let text = entry.value.as_str().unwrap_or_default();
            let name = text.strip_prefix(['-', '+']).unwrap_or(text);
            let known = text == "*" || name.parse::<AggregationMethod>().is_ok();
            if known { Ok(text.to_owned()) } else { Err(entry.invalid("not a valid value")) }
        })
        .collect()
}

fn back_window(field: &Field<'_>) -> Result<u32, Invalid> {
    let number = field.whole_number(0)?;
    u32::try_from(number).map_err(|_| field.invalid(format!("value must be at most {}", u32::MAX)))
}

fn definition(field: &Field<'_>) -> Result<Vec<ItemSpec>, Invalid> {
    let items = field.list()?;
    if items.len() == 0 {
        return Err(field.invalid("length of value must be at least 1"));
    }
    at_most(field, items.len(), MAX_GRANULARITIES)?;
    items.map(|item| item_spec(&item)).collect()
}

fn at_most(field: &Field<'_>, length: usize, most: usize) -> Result<(), Invalid> {
    if length > most {
        return Err(field.invalid(format!("length of value must be at most {most}")));
    }
    Ok(())
}

fn item_spec(item: &Field<'_>) -> Result<ItemSpec, Invalid> {
    let item = item.object()?;
    item.only(&["granularity", "points", "timespan"])?;
    let granularity = item.get("granularity").map(|field| length(&field)).transpose()?;
    let points = item.get("points").map(|field| field.whole_number(1)).transpose()?;
    let timespan = item.get("timespan").map(|field| length(&field)).transpose()?;
    let timespan = timespan.map(|nanos| std::time::Duration::from_nanos(nanos.unsigned_abs()));
    Ok(ItemSpec { granularity: granularity.and_then(Granularity::from_nanos), points, timespan })
}

fn length(field: &Field<'_>) -> Result<i64, Invalid> {
    timespan::parse_value(field.value).map_err(|error| field.invalid(error.to_string()))
}

/// Reads an archive policy rule.
pub fn rule(body: &Value) -> Result<PolicyRule, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["name", "metric_pattern", "archive_policy_name"])?;
    let text = |key| body.require(key)?.text_of_length(0, MAX_NAME).map(str::to_owned);
    Ok(PolicyRule {
        archive_policy_name: text("archive_policy_name")?,
        metric_pattern: text("metric_pattern")?,
        name: text("name")?,
    })
}

/// Reads the new name of an archive policy rule.
pub fn rule_name(body: &Value) -> Result<String, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["name"])?;
    body.require("name")?.text_of_length(0, MAX_NAME).map(str::to_owned)
}

/// Reads a metric; a resource id is converted for `creator`.
pub fn metric(body: &Value, creator: Option<&str>) -> Result<MetricSpec, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["archive_policy_name", "name", "unit", "resource_id"])?;
    let text = |key| body.get(key).map(|field| field.text().map(str::to_owned)).transpose();
    let archive_policy_name = text("archive_policy_name")?;
    let name = text("name")?;
    let resource_id =
        body.get("resource_id").map(|field| id(&field, creator).map(|(id, _)| id)).transpose()?;
    let unit = body.get("unit").map(|field| unit(&field)).transpose()?;
    Ok(MetricSpec { name, unit, archive_policy_name, resource_id })
}

fn unit(field: &Field<'_>) -> Result<String, Invalid> {
    field.text_of_length(0, MAX_UNIT).map(str::to_owned)
}

/// Reads a resource id: converted for `creator`, and as sent.
pub fn id(field: &Field<'_>, creator: Option<&str>) -> Result<(ResourceId, String), Invalid> {
    let text = field.text()?;
    let id = resource_id(text, creator).map_err(|error| field.invalid(error.to_string()))?;
    Ok((id, text.to_owned()))
}

/// Reads `{"name": "<metric id>" | {"archive_policy_name", "unit"}}`.
pub fn named_metrics(field: &Field<'_>) -> Result<BTreeMap<String, ResourceMetrics>, Invalid> {
    let metrics = field.object()?;
    let mut named = BTreeMap::new();
    for (name, field) in metrics.entries() {
        check_metric_name(name).map_err(|text| metrics.at_key(name, text))?;
        named.insert(name.to_owned(), resource_metric(&field)?);
    }
    Ok(named)
}

fn resource_metric(field: &Field<'_>) -> Result<ResourceMetrics, Invalid> {
    match field.value {
        Value::String(text) => {
            let id = parse_uuid(text).ok_or_else(|| field.invalid("badly formed hexadecimal UUID string"))?;
            Ok(ResourceMetrics::Existing(MetricId(id)))
        }
        Value::Object(_) => {
            let body = field.object()?;
            // Clients repeat the name inside; the key is what counts.
            body.only(&["archive_policy_name", "name", "unit"])?;
            let policy =
                body.get("archive_policy_name").map(|field| field.text().map(str::to_owned)).transpose()?;
            let unit = body.get("unit").map(|field| unit(&field)).transpose()?;
            Ok(ResourceMetrics::New { archive_policy_name: policy, unit })
        }
        _ => Err(field.invalid("not a valid value")),
    }
}

/// Checks a unit that came another way.
pub fn check_unit(unit: &str) -> Result<(), Invalid> {
    let value = Value::String(unit.to_owned());
    Field::root(&value).text_of_length(0, MAX_UNIT).map(|_| ())
}

/// Checks a metric's name.
pub fn check_metric_name(name: &str) -> Result<(), &'static str> {
    match name {
        _ if name.len() > MAX_METRIC_NAME => Err(LONG),
        _ if name.contains('/') => Err(SLASH),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason<T: std::fmt::Debug>(result: Result<T, Invalid>) -> String {
        result.unwrap_err().reason()
    }

    #[test]
    fn bad_policies_are_told_where() {
        for (body, expected) in [
            (json!([]), "expected a dictionary"),
            (json!({"name": "medium"}), "required key not provided @ data['definition']"),
            (json!({"definition": [{"points": 1}]}), "required key not provided @ data['name']"),
            (
                json!({"name": "m", "definition": []}),
                "length of value must be at least 1 for dictionary value @ data['definition']",
            ),
            (
                json!({"name": "m", "definition": "foobar"}),
                "expected a list for dictionary value @ data['definition']",
            ),
            (
                json!({"name": "m", "definition": [{"cowsay": "moo"}]}),
                "extra keys not allowed @ data['definition'][0]['cowsay']",
            ),
            (
                json!({"name": "m", "definition": [{"granularity": 0, "points": 60}]}),
                "Timespan must be positive for dictionary value @ data['definition'][0]['granularity']",
            ),
            (
                json!({"name": "m", "definition": [{"granularity": 10, "points": 0}]}),
                "value must be at least 1 for dictionary value @ data['definition'][0]['points']",
            ),
            (
                json!({"name": "m", "definition": [{"granularity": 1, "timespan": "1 shenanigan"}]}),
                "Unable to parse timespan for dictionary value @ data['definition'][0]['timespan']",
            ),
            (
                json!({"name": "m", "aggregation_methods": ["mean", "wtf"], "definition": [{"granularity": 1}]}),
                "not a valid value @ data['aggregation_methods'][1]",
            ),
            (
                json!({"name": "m", "back_window": -1, "definition": [{"granularity": 1}]}),
                "value must be at least 0 for dictionary value @ data['back_window']",
            ),
        ] {
            assert_eq!(reason(policy(&body)), expected, "{body}");
        }
    }

    #[test]
    fn a_policy_is_read_whole() {
        let body = json!({"name": "p", "back_window": "2", "aggregation_methods": ["-mean", "+rate:99pct", "*"],
            "definition": [{"granularity": "1 minute", "points": 5}, {"timespan": "1h", "points": 1000}]});
        let spec = policy(&body).unwrap();
        assert_eq!((spec.back_window, spec.methods.len(), spec.definition.len()), (2, 3, 2));
        assert_eq!(spec.definition[0].granularity, Granularity::from_secs(60));
        assert_eq!(spec.definition[1].timespan, Some(std::time::Duration::from_secs(3600)));
    }

    #[test]
    fn metrics_of_resources_come_as_ids_or_descriptions() {
        let uuid = "a9c729cc-d1b0-5e6b-b5ba-8b5a7f45f1fc";
        let body = json!({"a": uuid, "b": {"name": "b"}, "c": {"archive_policy_name": "low", "unit": "B/s"}});
        let named = named_metrics(&Field::root(&body)).unwrap();
        assert!(matches!(named["a"], ResourceMetrics::Existing(id) if id.to_string() == uuid));
        assert!(matches!(&named["b"], ResourceMetrics::New { archive_policy_name: None, unit: None }));
        for (body, expected) in [
            (json!({"cpu.util": 10}), "not a valid value for dictionary value @ data['cpu.util']"),
            (json!({"disk/iops": {}}), "'/' is not supported in metric name @ data['disk/iops']"),
            (json!({"a": "nope"}), "badly formed hexadecimal UUID string for dictionary value @ data['a']"),
            (
                json!({"a": {"unit": "x".repeat(32)}}),
                "length of value must be at most 31 for dictionary value @ data['a']['unit']",
            ),
            (json!({"a": {"id": "x"}}), "extra keys not allowed @ data['a']['id']"),
        ] {
            assert_eq!(reason(named_metrics(&Field::root(&body))), expected, "{body}");
        }
    }

    #[test]
    fn rules_need_all_their_keys() {
        assert!(rule(&json!({"name": "r", "metric_pattern": "*", "archive_policy_name": "low"})).is_ok());
        assert_eq!(reason(rule(&json!({"whaa": "foobar"}))), "extra keys not allowed @ data['whaa']");
        assert_eq!(
            reason(rule(&json!({"name": "r"}))),
            "required key not provided @ data['archive_policy_name']"
        );
        assert_eq!(reason(rule_name(&json!({}))), "required key not provided @ data['name']");
    }

    #[test]
    fn resource_ids_are_converted_and_checked() {
        let spec = metric(&json!({"resource_id": "foobar", "name": "cpu"}), Some("foobar")).unwrap();
        assert_eq!(spec.resource_id.unwrap().to_string(), "2fbfbb20-8d56-5e1e-afb9-b3007da11fdf");
        assert_eq!(
            reason(metric(&json!({"resource_id": "a/b"}), None)),
            "'/' is not supported in resource id for dictionary value @ data['resource_id']"
        );
        assert_eq!(
            reason(metric(&json!({"resource_id": 5}), None)),
            "expected str for dictionary value @ data['resource_id']"
        );
    }
}

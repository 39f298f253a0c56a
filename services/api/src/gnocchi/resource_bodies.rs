//! Bodies of resources and resource types, checked against what the type says (metrics-api §6.3, §6.6, §7).

use std::collections::BTreeMap;

use nephos_index::ResourceMetrics;
use nephos_model::{AttributeKind, AttributeType, ResourceId, ResourceType, ResourceTypeState, Timestamp};
use nephos_wire::gnocchi::{Field, Invalid, Object, parse_uuid, time};
use serde_json::Value;

use super::bodies::{self, id, named_metrics};
use crate::service::Problem;

const COMMON: [&str; 5] = ["started_at", "ended_at", "user_id", "project_id", "metrics"];
const MAX_NAME: usize = 63;
const MAX_LENGTH: u32 = 256;

/// Names that attributes cannot have, because every resource has something of that name.
const RESERVED: [&str; 15] = [
    "id",
    "type",
    "metrics",
    "revision",
    "revision_start",
    "revision_end",
    "started_at",
    "ended_at",
    "user_id",
    "project_id",
    "created_by_user_id",
    "created_by_project_id",
    "creator",
    "get_metric",
    "original_resource_id",
];

/// What a body says of a resource; absent fields stay or get their defaults.
#[derive(Clone, Debug, Default)]
pub struct ResourceSpec {
    /// Owner's user; `Some(None)` for null.
    pub user_id: Option<Option<String>>,
    /// Owner's project; `Some(None)` for null.
    pub project_id: Option<Option<String>>,
    /// Start of life.
    pub started_at: Option<Timestamp>,
    /// End of life.
    pub ended_at: Option<Timestamp>,
    /// Attributes of the type.
    pub attributes: BTreeMap<String, Value>,
    /// Metrics.
    pub metrics: Option<BTreeMap<String, ResourceMetrics>>,
}

/// Reads a resource to create: its id, converted for `creator`; the id as sent; everything else.
pub fn new_resource(
    body: &Value,
    resource_type: &ResourceType,
    creator: Option<&str>,
    now: Timestamp,
) -> Result<(ResourceId, String, ResourceSpec), Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    only_known(&body, resource_type, &["id"])?;
    let spec = fields(&body, resource_type, now)?;
    let sent_id = body.get("id").map(|field| id(&field, creator)).transpose()?;
    let required = resource_type.attributes.iter().filter(|(_, attribute)| attribute.required);
    let mut required: Vec<&str> = required.map(|(name, _)| name.as_str()).chain(["id"]).collect();
    required.sort_unstable();
    if let Some(absent) = required.into_iter().find(|name| body.get(name).is_none()) {
        return Err(body.at_key(absent, "required key not provided"));
    }
    let (resource_id, original) = sent_id.ok_or_else(|| body.at_key("id", "required key not provided"))?;
    Ok((resource_id, original, spec))
}

/// Reads a change of a resource.
pub fn resource_change(
    body: &Value,
    resource_type: &ResourceType,
    now: Timestamp,
) -> Result<ResourceSpec, Invalid> {
    let root = Field::root(body);
    let body = root.object()?;
    only_known(&body, resource_type, &[])?;
    fields(&body, resource_type, now)
}

fn only_known(body: &Object<'_>, resource_type: &ResourceType, more: &[&str]) -> Result<(), Invalid> {
    let known = |key: &str| {
        COMMON.contains(&key) || more.contains(&key) || resource_type.attributes.contains_key(key)
    };
    match body.entries().find(|(key, _)| !known(key)) {
        Some((key, _)) => Err(body.at_key(key, "extra keys not allowed")),
        None => Ok(()),
    }
}

fn fields(body: &Object<'_>, resource_type: &ResourceType, now: Timestamp) -> Result<ResourceSpec, Invalid> {
    let date = |key| body.get(key).map(|field| datetime(&field, now)).transpose();
    let owner = |key| {
        let text = |field: Field<'_>| match field.value {
            Value::Null => Ok(None),
            _ => field.text_of_length(0, bodies::MAX_NAME).map(|text| Some(text.to_owned())),
        };
        body.get(key).map(text).transpose()
    };
    let mut attributes = BTreeMap::new();
    for (name, attribute) in &resource_type.attributes {
        if let Some(field) = body.get(name) {
            attributes.insert(name.clone(), value_of(&field, &attribute.kind, now)?);
        }
    }
    Ok(ResourceSpec {
        user_id: owner("user_id")?,
        project_id: owner("project_id")?,
        started_at: date("started_at")?,
        ended_at: date("ended_at")?,
        attributes,
        metrics: body.get("metrics").map(|field| named_metrics(&field)).transpose()?,
    })
}

fn datetime(field: &Field<'_>, now: Timestamp) -> Result<Timestamp, Invalid> {
    let parsed = time::parse_value(field.value, now);
    parsed.map(Timestamp::to_micros_precision).map_err(|_| field.invalid("not a valid value"))
}

/// A value of an attribute, in its canonical form.
pub fn value_of(field: &Field<'_>, kind: &AttributeKind, now: Timestamp) -> Result<Value, Invalid> {
    match kind {
        AttributeKind::String { min_length, max_length } => {
            let (least, most) = (*min_length as usize, *max_length as usize);
            field.text_of_length(least, most).map(|text| Value::String(text.to_owned()))
        }
        AttributeKind::Number { min, max } => {
            let number = field.number()?;
            if let Some(min) = min.filter(|min| number < *min) {
                return Err(field.invalid(format!("value must be at least {min}")));
            }
            if let Some(max) = max.filter(|max| number > *max) {
                return Err(field.invalid(format!("value must be at most {max}")));
            }
            Ok(field.value.clone())
        }
        AttributeKind::Uuid => {
            let uuid = field.text().ok().and_then(parse_uuid);
            let uuid = uuid.ok_or_else(|| field.invalid("badly formed hexadecimal UUID string"))?;
            Ok(Value::String(uuid.hyphenated().to_string()))
        }
        AttributeKind::Bool => field.boolean().map(Value::Bool),
        AttributeKind::Datetime => datetime(field, now).map(|date| Value::String(time::format(date))),
    }
}

/// Reads a resource type to create.
pub fn new_type(body: &Value) -> Result<ResourceType, Problem> {
    let root = Field::root(body);
    let body = root.object()?;
    body.only(&["name", "attributes"])?;
    let mut attributes = BTreeMap::new();
    if let Some(field) = body.get("attributes") {
        for (name, field) in field.object()?.entries() {
            attributes.insert(name.to_owned(), attribute(&field, &[])?);
        }
    }
    let name = body.require("name")?.text_of_length(0, bodies::MAX_NAME)?.to_owned();
    for (name, attribute) in &attributes {
        check_attribute(name, attribute)?;
    }
    Ok(ResourceType { name, attributes, state: ResourceTypeState::Active })
}

/// Refuses bad names, and limits that nothing can meet.
pub fn check_attribute(name: &str, attribute: &AttributeType) -> Result<(), Problem> {
    let mut letters = name.chars();
    let starts_well = letters.next().is_some_and(|first| first.is_ascii_alphanumeric());
    let goes_on_well = letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-');
    if !starts_well || !goes_on_well || name.chars().count() > MAX_NAME || RESERVED.contains(&name) {
        return Err(Problem::Bad(format!("Invalid input: Resource attribute name {name} is invalid")));
    }
    let crossed = match attribute.kind {
        AttributeKind::String { min_length, max_length } if min_length > max_length => {
            Some((min_length.to_string(), max_length.to_string()))
        }
        AttributeKind::Number { min: Some(min), max: Some(max) } if min > max => {
            Some((min.to_string(), max.to_string()))
        }
        _ => None,
    };
    match crossed {
        Some((min, max)) => Err(Problem::Bad(format!(
            "Invalid input: Resource attribute value min (or min_length) {min} must be less \
             than or equal to max (or max_length) {max}!"
        ))),
        None => Ok(()),
    }
}

/// Reads the definition of an attribute; `more` keys are left to the caller.
pub fn attribute(field: &Field<'_>, more: &[&str]) -> Result<AttributeType, Invalid> {
    let body = field.object()?;
    let kind = body.require("type")?;
    let limits: &[&str] = match kind.value.as_str() {
        Some("string") => &["min_length", "max_length"],
        Some("number") => &["min", "max"],
        Some("uuid" | "bool" | "datetime") => &[],
        _ => return Err(kind.invalid("not a valid value")),
    };
    let allowed: Vec<&str> = ["type", "required"].iter().chain(limits).chain(more).copied().collect();
    body.only(&allowed)?;
    let required = body.get("required").map(|field| field.boolean()).transpose()?.unwrap_or(true);
    let kind = match kind.value.as_str() {
        Some("string") => AttributeKind::String {
            min_length: body.get("min_length").map(|field| text_length(&field, 0)).transpose()?.unwrap_or(0),
            max_length: body
                .get("max_length")
                .map(|field| text_length(&field, 1))
                .transpose()?
                .unwrap_or(MAX_LENGTH),
        },
        Some("number") => AttributeKind::Number {
            min: body.get("min").map(|field| limit(&field)).transpose()?.flatten(),
            max: body.get("max").map(|field| limit(&field)).transpose()?.flatten(),
        },
        Some("uuid") => AttributeKind::Uuid,
        Some("bool") => AttributeKind::Bool,
        _ => AttributeKind::Datetime,
    };
    Ok(AttributeType { kind, required })
}

fn text_length(field: &Field<'_>, least: u64) -> Result<u32, Invalid> {
    let length = field.whole_number(least)?;
    let fits = u32::try_from(length).ok().filter(|length| *length <= MAX_LENGTH);
    fits.ok_or_else(|| field.invalid(format!("value must be at most {MAX_LENGTH}")))
}

fn limit(field: &Field<'_>) -> Result<Option<f64>, Invalid> {
    if field.value.is_null() { Ok(None) } else { field.number().map(Some) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_500_000_000);

    fn custom() -> ResourceType {
        new_type(&json!({"name": "custom", "attributes": {
            "name": {"type": "string", "min_length": 2, "max_length": 5},
            "int": {"type": "number", "required": false, "min": -2, "max": 3},
            "uuid": {"type": "uuid", "required": false},
            "bool": {"type": "bool", "required": false},
            "when": {"type": "datetime", "required": false},
        }}))
        .unwrap()
    }

    #[test]
    fn values_take_their_canonical_form() {
        let body = json!({"id": "x", "name": "abc", "int": 3, "bool": true, "ended_at": "2017-01-01",
            "uuid": "E495EBADBE6446C081D6B079BEB48DF9", "when": "2017-05-02T11:11:11Z", "user_id": null});
        let (_, original, spec) = new_resource(&body, &custom(), Some("me"), NOW).unwrap();
        assert_eq!(original, "x");
        assert_eq!(
            Value::Object(spec.attributes.into_iter().collect()),
            json!({"name": "abc", "int": 3, "bool": true, "uuid": "e495ebad-be64-46c0-81d6-b079beb48df9",
                "when": "2017-05-02T11:11:11+00:00"})
        );
        assert_eq!((spec.user_id, spec.project_id), (Some(None), None));
    }

    #[test]
    fn values_outside_the_type_are_refused() {
        for (body, expected) in [
            (json!({"id": "x"}), "required key not provided @ data['name']"),
            (json!({"name": "abc"}), "required key not provided @ data['id']"),
            (
                json!({"id": "x", "name": "toolong!!!"}),
                "length of value must be at most 5 for dictionary value @ data['name']",
            ),
            (
                json!({"id": "x", "name": "abc", "int": 4}),
                "value must be at most 3 for dictionary value @ data['int']",
            ),
            (
                json!({"id": "x", "name": "abc", "int": -2.5}),
                "value must be at least -2 for dictionary value @ data['int']",
            ),
            (
                json!({"id": "x", "name": "abc", "int": "1"}),
                "expected Real for dictionary value @ data['int']",
            ),
            (
                json!({"id": "x", "name": "abc", "int": true}),
                "expected Real for dictionary value @ data['int']",
            ),
            (
                json!({"id": "x", "name": "abc", "bool": 1}),
                "expected bool for dictionary value @ data['bool']",
            ),
            (
                json!({"id": "x", "name": "abc", "uuid": "really!"}),
                "badly formed hexadecimal UUID string for dictionary value @ data['uuid']",
            ),
            (
                json!({"id": "x", "name": "abc", "when": "soon"}),
                "not a valid value for dictionary value @ data['when']",
            ),
            (
                json!({"id": "x", "name": "abc", "when": null}),
                "not a valid value for dictionary value @ data['when']",
            ),
            (
                json!({"id": "x", "name": "abc", "ended_at": null}),
                "not a valid value for dictionary value @ data['ended_at']",
            ),
            (json!({"id": 5, "name": "abc"}), "expected str for dictionary value @ data['id']"),
            (json!({"id": "x", "name": "abc", "other": 1}), "extra keys not allowed @ data['other']"),
        ] {
            let invalid = new_resource(&body, &custom(), None, NOW).unwrap_err();
            assert_eq!(invalid.reason(), expected, "{body}");
        }
        assert_eq!(
            resource_change(&json!({"id": "x"}), &custom(), NOW).unwrap_err().reason(),
            "extra keys not allowed @ data['id']"
        );
        assert!(resource_change(&json!({}), &custom(), NOW).is_ok());
    }

    #[test]
    fn types_are_checked() {
        for (attributes, expected) in [
            (
                json!({"project_id": {"type": "string"}}),
                "Invalid input: Resource attribute name project_id is invalid",
            ),
            (json!({"_x": {"type": "bool"}}), "Invalid input: Resource attribute name _x is invalid"),
            (json!({"a b": {"type": "bool"}}), "Invalid input: Resource attribute name a b is invalid"),
            (
                json!({"n": {"type": "number", "min": 8, "max": 3}}),
                "Invalid input: Resource attribute value min (or min_length) 8 must be less than or equal to max (or max_length) 3!",
            ),
        ] {
            let problem = new_type(&json!({"name": "t", "attributes": attributes})).unwrap_err();
            assert_eq!(problem.to_string(), expected);
        }
        for (attribute, expected) in [
            (
                json!({"type": "string", "noexist": 1}),
                "extra keys not allowed @ data['attributes']['a']['noexist']",
            ),
            (
                json!({"type": "what"}),
                "not a valid value for dictionary value @ data['attributes']['a']['type']",
            ),
            (json!({}), "required key not provided @ data['attributes']['a']['type']"),
            (
                json!({"type": "string", "max_length": 257}),
                "value must be at most 256 for dictionary value @ data['attributes']['a']['max_length']",
            ),
            (
                json!({"type": "bool", "required": "yes"}),
                "expected bool for dictionary value @ data['attributes']['a']['required']",
            ),
        ] {
            let Err(Problem::Invalid(invalid)) =
                new_type(&json!({"name": "t", "attributes": {"a": attribute}}))
            else {
                panic!("accepted")
            };
            assert_eq!(invalid.reason(), expected);
        }
    }
}

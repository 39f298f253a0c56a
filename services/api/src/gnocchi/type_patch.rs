//! JSON patches of resource types (metrics-api §7): only attributes can be added, changed and removed.

use std::collections::BTreeMap;

use nephos_index::TypeChange;
use nephos_model::{AttributeKind, AttributeType, ResourceType, Timestamp};
use nephos_wire::gnocchi::{Field, Invalid};
use serde_json::Value;

use super::resource_bodies::{attribute, check_attribute, value_of};
use crate::service::Problem;

const ROOT: &str = "/attributes/";

enum Operation<'a> {
    Add { name: String, attribute: AttributeType, fill: Option<&'a Value> },
    Remove { name: String },
}

/// What a patch changes about a type, operations that cancel out left away.
pub fn changes(
    patch: &Value,
    resource_type: &ResourceType,
    now: Timestamp,
) -> Result<Vec<TypeChange>, Problem> {
    let root = Field::root(patch);
    let operations = root.list()?.map(|field| operation(&field)).collect::<Result<Vec<_>, _>>()?;
    let present = &resource_type.attributes;
    // The document as it changes: attribute and fill, the fill only of what was added.
    let mut document: BTreeMap<String, (AttributeType, Option<&Value>)> =
        present.iter().map(|(name, attribute)| (name.clone(), (attribute.clone(), None))).collect();
    for operation in operations {
        match operation {
            Operation::Add { name, attribute, fill } => {
                document.insert(name, (attribute, fill));
            }
            Operation::Remove { name } => {
                if document.remove(&name).is_none() {
                    return Err(Problem::Bad(format!("can't remove a non-existent object '{name}'")));
                }
            }
        }
    }
    let removed = present.keys().filter(|name| !document.contains_key(*name));
    let mut changes: Vec<TypeChange> =
        removed.map(|name| TypeChange::Remove { name: name.clone() }).collect();
    for (name, (attribute, fill)) in document {
        let before = present.get(&name);
        if before == Some(&attribute) {
            continue;
        }
        check_attribute(&name, &attribute)?;
        if let Some(before) = before {
            check_kind(&resource_type.name, &name, &before.kind, &attribute.kind)?;
        }
        let fill = fill_of(&name, &attribute, before, fill, now)?;
        changes.push(TypeChange::Put { name, attribute, fill });
    }
    Ok(changes)
}

fn operation<'a>(field: &Field<'a>) -> Result<Operation<'a>, Problem> {
    let body = field.object()?;
    body.only(&["op", "path", "value"])?;
    let op = body.require("op")?;
    let adds = match op.value.as_str() {
        Some("add") => true,
        Some("remove") => false,
        _ => return Err(op.invalid("not a valid value").into()),
    };
    let path = body.require("path")?;
    let name = path.text()?.strip_prefix(ROOT).filter(|name| !name.is_empty() && !name.contains('/'));
    let name = name.ok_or_else(|| path.invalid("not a valid value"))?;
    // JSON pointers escape these two.
    let name = name.replace("~1", "/").replace("~0", "~");
    if !adds {
        return Ok(Operation::Remove { name });
    }
    let value = body.require("value")?;
    let attribute = attribute(&value, &["options"])?;
    let fill = match value.object()?.get("options") {
        Some(options) => {
            let options = options.object()?;
            options.only(&["fill"])?;
            options.get("fill").is_some()
        }
        None => false,
    };
    let fill = if fill { fill_value(field.value) } else { None };
    Ok(Operation::Add { name, attribute, fill })
}

fn fill_value(operation: &Value) -> Option<&Value> {
    operation.get("value")?.get("options")?.get("fill").filter(|fill| !fill.is_null())
}

fn check_kind(
    type_name: &str,
    name: &str,
    before: &AttributeKind,
    after: &AttributeKind,
) -> Result<(), Problem> {
    if std::mem::discriminant(before) == std::mem::discriminant(after) {
        return Ok(());
    }
    Err(Problem::Bad(format!(
        "Type update is not available yet. Changing {} to {} for attribute {name} of resource {type_name}",
        kind_name(before),
        kind_name(after)
    )))
}

fn kind_name(kind: &AttributeKind) -> &'static str {
    match kind {
        AttributeKind::String { .. } => "string",
        AttributeKind::Number { .. } => "number",
        AttributeKind::Uuid => "uuid",
        AttributeKind::Bool => "bool",
        AttributeKind::Datetime => "datetime",
    }
}

/// The value for resources that have none; what becomes required needs one.
fn fill_of(
    name: &str,
    attribute: &AttributeType,
    before: Option<&AttributeType>,
    fill: Option<&Value>,
    now: Timestamp,
) -> Result<Option<Value>, Problem> {
    let refuse = |why: &str| {
        Problem::Bad(format!("Invalid input: Option 'fill' of resource attribute {name} is invalid: {why}"))
    };
    let becomes_required = attribute.required && before.is_none_or(|before| !before.required);
    match fill {
        None if becomes_required => Err(refuse("must not be empty if required=True")),
        None => Ok(None),
        Some(fill) => {
            let value = value_of(&Field::root(fill), &attribute.kind, now);
            value.map(Some).map_err(|invalid: Invalid| refuse(&invalid.message))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gnocchi::resource_bodies::new_type;

    const NOW: Timestamp = Timestamp::from_secs(1_500_000_000);

    fn patched(patch: Value) -> Result<Vec<String>, String> {
        let before = new_type(&json!({"name": "custom", "attributes": {
            "name": {"type": "string", "required": true, "min_length": 2, "max_length": 5},
            "free": {"type": "number", "required": false},
        }}))
        .unwrap();
        let describe = |change: &TypeChange| match change {
            TypeChange::Put { name, fill, .. } => format!("put {name} {}", fill.clone().unwrap_or_default()),
            TypeChange::Remove { name } => format!("remove {name}"),
        };
        match changes(&patch, &before, NOW) {
            Ok(changes) => Ok(changes.iter().map(describe).collect()),
            Err(Problem::Invalid(invalid)) => Err(invalid.reason()),
            Err(problem) => Err(problem.to_string()),
        }
    }

    #[test]
    fn operations_apply_in_their_order() {
        let what = json!({"type": "string", "required": false});
        let name = json!({"type": "string", "required": true, "min_length": 2, "max_length": 5});
        for (patch, expected) in [
            (json!([]), vec![]),
            (
                json!([{"op": "add", "path": "/attributes/what", "value": what}, {"op": "remove", "path": "/attributes/what"}]),
                vec![],
            ),
            (
                json!([{"op": "remove", "path": "/attributes/name"}, {"op": "add", "path": "/attributes/name", "value": name}]),
                vec![],
            ),
            (
                json!([{"op": "add", "path": "/attributes/what", "value": what}, {"op": "remove", "path": "/attributes/free"}]),
                vec!["remove free", "put what null"],
            ),
            (
                json!([{"op": "add", "path": "/attributes/b", "value": {"type": "datetime", "options": {"fill": "2017-10-10T10:10:10Z"}}}]),
                vec!["put b \"2017-10-10T10:10:10+00:00\""],
            ),
            (
                json!([{"op": "add", "path": "/attributes/name", "value": {"type": "string", "required": true, "max_length": 9}}]),
                vec!["put name null"],
            ),
        ] {
            assert_eq!(
                patched(patch.clone()),
                Ok(expected.into_iter().map(str::to_owned).collect()),
                "{patch}"
            );
        }
    }

    #[test]
    fn bad_patches_are_told_why() {
        for (patch, expected) in [
            (json!({}), "expected a list"),
            (
                json!([{"op": "replace", "path": "/attributes/x", "value": {}}]),
                "not a valid value for dictionary value @ data[0]['op']",
            ),
            (
                json!([{"op": "remove", "path": "/name"}]),
                "not a valid value for dictionary value @ data[0]['path']",
            ),
            (
                json!([{"op": "remove", "path": "/attributes/what"}]),
                "can't remove a non-existent object 'what'",
            ),
            (
                json!([{"op": "add", "path": "/attributes/x", "value": {"type": "bool", "options": {}}}]),
                "Invalid input: Option 'fill' of resource attribute x is invalid: must not be empty if required=True",
            ),
            (
                json!([{"op": "add", "path": "/attributes/free", "value": {"type": "number"}}]),
                "Invalid input: Option 'fill' of resource attribute free is invalid: must not be empty if required=True",
            ),
            (
                json!([{"op": "add", "path": "/attributes/x", "value": {"type": "number", "options": {"fill": "a"}}}]),
                "Invalid input: Option 'fill' of resource attribute x is invalid: expected Real",
            ),
            (
                json!([{"op": "add", "path": "/attributes/name", "value": {"type": "number", "required": false}}]),
                "Type update is not available yet. Changing string to number for attribute name of resource custom",
            ),
            (
                json!([{"op": "add", "path": "/attributes/id", "value": {"type": "bool", "required": false}}]),
                "Invalid input: Resource attribute name id is invalid",
            ),
        ] {
            assert_eq!(patched(patch.clone()), Err(expected.to_owned()), "{patch}");
        }
    }
}

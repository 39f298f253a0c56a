//! The keys of `values.yaml`, of its schema and of the README's table.

use std::collections::BTreeSet;

use serde_json::Value;

use super::render::{chart_file, json_documents};

/// Keys in dotted form. What the schema takes as one value, such as labels, counts as one key.
pub(crate) type Keys = BTreeSet<String>;

/// The schema as JSON.
pub(crate) fn schema() -> Value {
    serde_json::from_str(&chart_file("values.schema.json")).expect("schema")
}

/// Keys the schema describes.
pub(crate) fn of_schema() -> Keys {
    let mut keys = Keys::new();
    walk_schema(&schema(), "", &mut keys);
    keys
}

fn walk_schema(schema: &Value, prefix: &str, keys: &mut Keys) {
    for (name, inner) in schema["properties"].as_object().expect("properties") {
        let key = format!("{prefix}{name}");
        // Helm puts it there for charts that are dependencies.
        if key == "global" {
            continue;
        }
        if inner["properties"].is_object() {
            walk_schema(inner, &format!("{key}."), keys);
        } else {
            keys.insert(key);
        }
    }
}

/// Keys that have a default, cut off where `known` has them as one value.
pub(crate) fn of_values(known: &Keys) -> Keys {
    let documents = json_documents(&chart_file("values.yaml"));
    let mut keys = Keys::new();
    walk_values(documents.first().expect("values"), "", known, &mut keys);
    keys
}

fn walk_values(value: &Value, prefix: &str, known: &Keys, keys: &mut Keys) {
    for (name, inner) in value.as_object().expect("values") {
        let key = format!("{prefix}{name}");
        if inner.is_object() && !known.contains(&key) {
            walk_values(inner, &format!("{key}."), known, keys);
        } else {
            keys.insert(key);
        }
    }
}

/// Rows of the README's table: key and default.
pub(crate) fn of_readme() -> Vec<(String, String)> {
    let readme = chart_file("README.md");
    let table = readme.split("| value | default |").nth(1).expect("the table of values");
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split("` | `");
        let key = cells.next()?.to_owned();
        let default = cells.next()?.split("` | ").next()?.to_owned();
        Some((key, default))
    });
    rows.collect()
}

/// Lines of `values.yaml` that name a key known by its dotted form, with whether a comment is above.
pub(crate) fn uncommented() -> Vec<String> {
    let text = chart_file("values.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let mut bare = Vec::new();
    for pair in lines.windows(2) {
        let [before, line] = pair else { continue };
        let word = line.trim_start();
        let named = word.split_once(':').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric));
        // The default of a value that is a map continues in lines without comments.
        let inside = ["requests:", "limits:"].iter().any(|start| word.starts_with(start));
        if named && !inside && !before.trim_start().starts_with('#') {
            bare.push((*line).to_owned());
        }
    }
    bare
}

/// Places of the schema that would take a key nobody knows.
pub(crate) fn open_objects(schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(map) = schema.as_object() {
        if map.contains_key("properties") && schema["additionalProperties"] != Value::Bool(false) {
            found.push(path.to_owned());
        }
        for (name, inner) in map {
            open_objects(inner, &format!("{path}/{name}"), found);
        }
    }
    for (index, inner) in schema.as_array().into_iter().flatten().enumerate() {
        open_objects(inner, &format!("{path}/{index}"), found);
    }
}

fn assert_empty(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn values_schema_and_readme_name_the_same_keys() {
    let schema = of_schema();
    assert!(schema.len() > 100, "only {} keys", schema.len());
    assert_eq!(of_values(&schema), schema, "values.yaml and values.schema.json");
    let readme: BTreeSet<String> = of_readme().into_iter().map(|(key, _)| key).collect();
    assert_eq!(readme, schema, "README.md and values.schema.json");
}

#[test]
fn the_readme_tells_the_true_defaults() {
    let documents = json_documents(&chart_file("values.yaml"));
    let values = documents.first().expect("values");
    let problems = of_readme().into_iter().filter_map(|(key, said)| {
        let value = key.split('.').fold(values, |value, part| &value[part]);
        let said: Value = serde_json::from_str(&said).unwrap_or(Value::String(said));
        (value != &said).then(|| format!("{key}: {value} in values.yaml, {said} in README.md"))
    });
    assert_empty(problems.collect());
}

#[test]
fn every_value_has_a_comment() {
    assert_empty(uncommented());
}

#[test]
fn the_schema_takes_no_key_nobody_knows() {
    let mut open = Vec::new();
    open_objects(&schema(), "", &mut open);
    assert_empty(open);
}

//! The checked-in OpenAPI document is the one that is served.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use serde_json::Value;

fn generated() -> String {
    nephos_api::openapi::text(&nephos_api::openapi::document(nephos_api::descriptions()))
}

#[test]
fn checked_in_document_is_the_served_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/nephos.json");
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated(),
        "{} differs: write it with `cargo run -p nephos-api --example openapi > openapi/nephos.json`",
        path.display()
    );
}

#[test]
fn every_operation_has_an_id_of_its_own_and_every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&generated()).unwrap();
    let mut ids = Vec::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values().filter_map(|value| value.get("operationId")) {
            ids.push(operation.as_str().unwrap().to_owned());
        }
    }
    assert!(ids.len() > 50, "{}", ids.len());
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

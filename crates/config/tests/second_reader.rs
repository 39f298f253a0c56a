//! A second, independent YAML reader finds in the shipped files what ours finds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use nephos_config::{Inputs, MapEnv, Mode, load, shipped};
use serde_json::Value;

fn names(text: &str, list: &str, key: &str) -> Vec<String> {
    let tree: Value = serde_yaml::from_str(text).expect("the second reader reads it");
    let items = tree[list].as_array().expect("a list");
    items.iter().map(|item| item[key].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn shipped_files_say_the_same_to_both_readers() {
    let env = MapEnv::new([("HOME", "/home/somebody")]);
    let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &[], env: &env };
    let loaded = load(&inputs).unwrap();

    let sources: Vec<String> = loaded.polling.sources.iter().map(|source| source.name.clone()).collect();
    assert_eq!(names(shipped::POLLING_EMBEDDED, "sources", "name"), sources);

    let sources: Vec<String> = loaded.pipeline.sources.iter().map(|source| source.name.clone()).collect();
    let sinks: Vec<String> = loaded.pipeline.sinks.iter().map(|sink| sink.name.clone()).collect();
    assert_eq!(names(shipped::PIPELINE, "sources", "name"), sources);
    assert_eq!(names(shipped::PIPELINE, "sinks", "name"), sinks);

    let types: Vec<String> =
        loaded.resources.resources.iter().map(|resource| resource.resource_type.clone()).collect();
    assert_eq!(names(shipped::RESOURCES, "resources", "resource_type"), types);
    let policies: Vec<String> =
        loaded.resources.archive_policies.iter().map(|policy| policy.name.clone()).collect();
    assert_eq!(names(shipped::RESOURCES, "archive_policies", "name"), policies);
}

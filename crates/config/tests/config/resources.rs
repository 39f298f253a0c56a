//! `gnocchi_resources.yaml`.

use nephos_config::{Mode, ResourcesFile};
use serde_json::json;

use crate::support::{Case, run, yaml_faults};

fn read(yaml: &str) -> ResourcesFile {
    let files = &[("nephos.toml", "[collector]\nresources = \"f.yaml\"\n"), ("f.yaml", yaml)];
    run(Mode::Embedded, &Case { files, ..Case::default() }).unwrap().resources
}

fn faults(yaml: &str) -> Vec<String> {
    yaml_faults("collector", "resources", yaml)
        .lines()
        .filter_map(|line| line.strip_prefix("f.yaml:").map(str::to_owned))
        .collect()
}

#[test]
fn meters_belong_to_the_last_definition_that_lists_them() {
    let file = read(
        "archive_policy_default: low
resources:
  - {resource_type: a, metrics: [cpu, disk.*]}
  - {resource_type: b, metrics: {cpu: {archive_policy_name: high}, memory: }}
  - {resource_type: c, archive_policy: bool, metrics: {up: {archive_policy_name: high}}}
",
    );
    for (meter, expected) in [
        ("cpu", Some(("b", "high"))),
        ("memory", Some(("b", "low"))),
        ("disk.read.bytes", Some(("a", "low"))),
        ("up", Some(("c", "bool"))),
        ("network", None),
    ] {
        let rule = file.rule(meter).map(|rule| (rule.resource.resource_type.as_str(), rule.archive_policy));
        assert_eq!(rule, expected, "{meter}");
    }
    assert_eq!(file.rule_of_type("a", "cpu").unwrap().archive_policy, "low");
    assert!(file.rule_of_type("a", "up").is_none());
}

#[test]
fn attributes_are_found_by_path_constant_or_the_first_that_matches() {
    let file = read(
        "resources:
  - resource_type: a
    metrics: [cpu]
    attributes:
      plain: resource_metadata.host
      either: resource_metadata.(missing|host)
      listed: [resource_metadata.missing, resource_metadata.zero]
      constant: 7
      fields: {fields: resource_metadata.empty}
      nothing: resource_metadata.null
",
    );
    let sample = json!({"resource_metadata": {"host": "h", "zero": 0, "empty": "", "null": null}});
    let values: Vec<_> = file.resources[0]
        .attributes
        .iter()
        .map(|attribute| (attribute.name.as_str(), attribute.definition.evaluate(&sample)))
        .collect();
    assert_eq!(
        values,
        [
            ("plain", Some(json!("h"))),
            ("either", Some(json!("h"))),
            ("listed", Some(json!(0))),
            ("constant", Some(json!(7))),
            ("fields", Some(json!(""))),
            ("nothing", None),
        ]
    );
    assert!(file.resources[0].attributes[0].position.ends_with("f.yaml:5:14"));
}

#[test]
fn policies_are_worked_out() {
    let file = read(
        "archive_policies:
  - name: a
    definition: [{granularity: 5 minutes, timespan: 30 days}, {granularity: 1 hour, points: 24}]
    back_window: 2
    aggregation_methods: [mean, \"rate:mean\"]
  - {name: b, definition: [{points: 60, timespan: 3600}]}
  - {name: c, definition: [{granularity: 0.5}], aggregation_methods: [\"-mean\", +99pct]}
resources: []
",
    );
    let shown = |name: &str| {
        let policy = file.archive_policy(name).unwrap();
        let items: Vec<_> =
            policy.definition.iter().map(|item| (item.granularity.as_secs_f64(), item.points)).collect();
        let methods: Vec<_> = policy.methods.iter().map(ToString::to_string).collect();
        (policy.back_window, items, methods.join(" "))
    };
    assert_eq!(shown("a"), (2, vec![(300.0, Some(8640)), (3600.0, Some(24))], "mean rate:mean".to_owned()));
    assert_eq!(shown("b"), (0, vec![(60.0, Some(60))], "mean min max sum std count".to_owned()));
    assert_eq!(shown("c"), (0, vec![(0.5, None)], "min max sum std count 99pct".to_owned()));
}

#[test]
fn faults_say_what_the_original_says_and_where() {
    for (yaml, expected) in [
        ("archive_policy_default: low\n", &["1:1: Required field resources not specified"][..]),
        (
            "resources:\n  - {metrics: [cpu]}\n  - {resource_type: a}\n",
            &[
                "2:5: Required field resource_type not specified (resources[0].resource_type)",
                "3:5: Required field metrics not specified (resources[1].metrics)",
            ],
        ),
        (
            "resources:\n  - {resource_type: [a], metrics: cpu, attributes: x}\n",
            &[
                "2:21: resource_type should be a string, found a list (resources[0].resource_type)",
                "2:35: metrics should be a table or a list, found a string (resources[0].metrics)",
                "2:52: attributes should be a table, found a string (resources[0].attributes)",
            ],
        ),
        (
            "resources:\n  - resource_type: a\n    metrics: {cpu: {archive_policy: x}}\n    event_create: x.*\n",
            &[
                "3:21: unknown key \"archive_policy\", did you mean \"archive_policy_name\"? (resources[0].metrics.cpu.archive_policy)",
                "4:5: event_create is not in this version (resources[0].event_create)",
            ],
        ),
        (
            "resources:\n  - resource_type: a\n    metrics: [cpu]\n    attributes:\n      w: {plugin: split}\n      x: {fields: a, plugin: {name: split}}\n      y: {fields: a, plugin: {parameters: 1}}\n      z: {fields: a, plugin: case}\n",
            &[
                "5:10: The field 'fields' is required for w (resources[0].attributes.w)",
                "5:19: plugin split is not in this version (resources[0].attributes.w.plugin)",
                "6:30: plugin split is not in this version (resources[0].attributes.x.plugin)",
                "7:30: Plugin specified, but no plugin name supplied for y (resources[0].attributes.y.plugin)",
                "8:30: No plugin named case available for z (resources[0].attributes.z.plugin)",
            ],
        ),
        (
            "archive_policies:\n  - {name: a, definition: []}\n  - {definition: [{granularity: 1}], back_window: -1}\n  - {name: b, definition: [{granularity: 0}, {granularity: soon}, {points: 5}]}\n  - {name: c, definition: [{granularity: 1}, {granularity: 1s, points: 5}], aggregation_methods: [mean, nunique]}\nresources: []\n",
            &[
                "2:27: length of value must be at least 1 (archive_policies[0].definition)",
                "3:5: Required field name not specified (archive_policies[1].name)",
                "3:51: expected a whole number from 0 on (archive_policies[1].back_window)",
                "4:42: Timespan must be positive (archive_policies[2].definition[0].granularity)",
                "4:60: Unable to parse timespan (archive_policies[2].definition[1].granularity)",
                "4:67: At least two of granularity/points/timespan must be provided (archive_policies[2].definition[2])",
                "5:27: More than one archive policy uses granularity `1.0' (archive_policies[3].definition)",
                "5:105: unknown aggregation method \"nunique\" (archive_policies[3].aggregation_methods)",
            ],
        ),
        (
            "archive_policies:\n  - {name: a, definition: [{granularity: 1}]}\n  - {name: a, definition: [{granularity: 1}]}\nresources: []\n",
            &["3:5: archive policy a stands twice (archive_policies[1])"],
        ),
    ] {
        assert_eq!(faults(yaml), expected, "{yaml}");
    }
    let text = faults("resources:\n  - {resource_type: a, metrics: [cpu], attributes: {x: \"a.[\"}}\n");
    assert!(text[0].starts_with("2:56: Parse error in JSONPath specification 'a.[' for x: "), "{text:?}");
}

//! `nephos check-config`: every fault of every file at once, each with its place.

use std::path::Path;

use super::support::{nephos, nephos_with};

const SETTINGS: &str = "\
colour = \"blue\"
[api]
listen = \"127.0.0.1\"
max_limit = \"many\"
[polling]
config = \"polling.yaml\"
[pipeline]
config = \"pipeline.yaml\"
[collector]
resources = \"gnocchi_resources.yaml\"
";
const POLLING: &str = "\
sources:
  - name: host
    interval: soon
    meters: [cpu]
";
const PIPELINE: &str = "\
sources:
  - name: all
    meters: [\"*\"]
    sinks: [out, nowhere]
sinks:
  - name: out
    transformers:
      - name: smoothing
      - name: aggregator
    publishers:
      - nephos://
      - prometheus://localhost
      - pigeon://localhost
";
const RESOURCES: &str = "\
resources:
  - resource_type: generic
    metrics:
      load:
        archive_polic_name: low
";

/// What is said about them: place, words of the message, and the line with its caret.
const FAULTS: [(&str, &[&str], &str); 10] = [
    (
        "nephos.toml:1:1",
        &["unknown key \"colour\"", "known are data_dir"],
        "    1 | colour = \"blue\"\n      | ^^^^^^",
    ),
    ("nephos.toml:3:10", &["(api.listen)"], "    3 | listen = \"127.0.0.1\"\n      |          ^^^^^^^^^^^"),
    (
        "nephos.toml:4:13",
        &["expected a whole number", "(api.max_limit)"],
        "    4 | max_limit = \"many\"\n      |             ^^^^^^",
    ),
    ("polling.yaml:3:15", &["interval"], "    3 |     interval: soon\n      |               ^^^^"),
    (
        "pipeline.yaml:4:18",
        &["Dangling sink nowhere"],
        "    4 |     sinks: [out, nowhere]\n      |                  ^^^^^^^",
    ),
    (
        "pipeline.yaml:8:15",
        &["No transformer named smoothing", "known are ", "rate_of_change", "unit_conversion"],
        "    8 |       - name: smoothing\n      |               ^^^^^^^^^",
    ),
    (
        "pipeline.yaml:9:15",
        &["transformer aggregator is not in this version"],
        "    9 |       - name: aggregator\n      |               ^^^^^^^^^^",
    ),
    (
        "pipeline.yaml:12:9",
        &["publisher prometheus:// is not in this version"],
        "   12 |       - prometheus://localhost\n      |         ^^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "pipeline.yaml:13:9",
        &["pigeon://", "known are nephos://, file://, log://"],
        "   13 |       - pigeon://localhost\n      |         ^^^^^^^^^^^^^^^^^^",
    ),
    (
        "gnocchi_resources.yaml:5:9",
        &["unknown key \"archive_polic_name\"", "did you mean \"archive_policy_name\"?"],
        "    5 |         archive_polic_name: low\n      |         ^^^^^^^^^^^^^^^^^^",
    ),
];

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn every_fault_of_every_file_is_reported_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("nephos.toml", SETTINGS),
        ("polling.yaml", POLLING),
        ("pipeline.yaml", PIPELINE),
        ("gnocchi_resources.yaml", RESOURCES),
    ];
    write(folder.path(), &files);
    let said = nephos(folder.path(), &["check-config", "--config", "nephos.toml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    let text = said.err.replace(&format!("{}/", folder.path().display()), "");
    for (place, words, source) in FAULTS {
        let start =
            text.find(&format!("{place}: ")).unwrap_or_else(|| panic!("{place} is missing in\n{text}"));
        let fault = &text[start..];
        let (message, rest) = fault.split_once('\n').unwrap();
        for word in words {
            assert!(message.contains(word), "{message} lacks {word}");
        }
        assert!(rest.starts_with(source), "{rest}\ndoes not start with\n{source}");
    }
    assert_eq!(
        text.lines().filter(|line| line.contains(": ") && !line.contains(" | ")).count(),
        FAULTS.len()
    );
    assert!(text.ends_with("10 faults in the configuration\n"), "{text}");
    assert!(!folder.path().join("data").exists(), "checking makes nothing");
}

#[test]
fn a_service_with_a_faulty_configuration_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("nephos.toml", "[api]\nmax_limit = 0\n")]);
    let said = nephos(folder.path(), &["run", "--config", "nephos.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("nephos.toml:2:13: "), "{}", said.err);
    assert!(said.err.ends_with("1 fault in the configuration\n"), "{}", said.err);
}

#[test]
fn a_configuration_without_faults_passes() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(nephos(folder.path(), &["check-config"]).result(), "the configuration is without faults\n");
}

#[test]
fn effective_settings_are_printed_with_their_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "index = \"postgres://someone:hunter2@database/nephos\"\n[store]\ntoken = \"hunter2\"\n";
    write(folder.path(), &[("nephos.toml", settings)]);
    let arguments = [
        "check-config",
        "--print",
        "--config",
        "nephos.toml",
        "--set",
        "api.max_limit=7",
        "--listen",
        "127.0.0.1:1",
    ];
    let said = nephos_with(folder.path(), &arguments, &[("NEPHOS__LOG__LEVEL", "debug")]);
    let text = said.result().replace(&format!("{}/", folder.path().display()), "");
    assert!(!text.contains("hunter2"), "{text}");
    for (value, origin) in [
        ("url = \"postgres://someone:***@database/nephos\"", "nephos.toml:1:9"),
        ("token = \"***\"", "nephos.toml:3:9"),
        ("level = \"debug\"", "NEPHOS__LOG__LEVEL"),
        ("data_dir = \"data\"", "NEPHOS__DATA_DIR"),
        ("max_limit = 7", "flag api.max_limit"),
        ("listen = \"127.0.0.1:1\"", "flag api.listen"),
        ("auth_mode = \"basic\"", "default"),
    ] {
        let line =
            text.lines().find(|line| line.starts_with(value)).unwrap_or_else(|| panic!("{value}: {text}"));
        assert_eq!(line[value.len()..].trim_start(), format!("# {origin}"));
    }
}

#[test]
fn services_apart_are_checked_for_what_they_all_need() {
    let folder = tempfile::tempdir().unwrap();
    let said = nephos(folder.path(), &["check-config", "--distributed"]);
    assert_eq!(said.code, Some(2));
    for name in ["index", "bus", "store.token_file"] {
        assert!(said.err.contains(&format!("{name} must be set when services run apart")), "{}", said.err);
    }
    let settings = [
        ("NEPHOS__INDEX", "postgres://database/nephos"),
        ("NEPHOS__BUS", "amqp://127.0.0.1/nephos"),
        ("NEPHOS__STORE__TOKEN", "a token"),
    ];
    nephos_with(folder.path(), &["check-config", "--distributed"], &settings).result();
}

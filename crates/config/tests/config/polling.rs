//! `polling.yaml`, and what all YAML files have in common.

use std::time::Duration;

use nephos_config::polling::Schedule;
use nephos_config::{Mode, PollingFile};

use crate::support::{Case, run, yaml_faults};

fn read(yaml: &str) -> PollingFile {
    let files = &[("nephos.toml", "[polling]\nconfig = \"f.yaml\"\n"), ("f.yaml", yaml)];
    run(Mode::Embedded, &Case { files, ..Case::default() }).unwrap().polling
}

fn faults(yaml: &str) -> String {
    yaml_faults("polling", "config", yaml)
}

#[test]
fn sources_are_read_with_defaults() {
    let file = read(
        "sources:\n\
         - {name: a, interval: 300, meters: [\"*\", \"!cpu\"], resources: [\"snmp://10.0.0.1\"], discovery: [local_node]}\n\
         - {name: b, interval: 1m30s, meters: [cpu], resources: , discovery: ~}\n\
         - {name: c, cron: \"0 3 * * *\", timezone: Europe/Berlin, meters: [disk.*]}\n\
         - {name: d, cron: \"*/5 * * * * *\", meters: [memory]}\n",
    );
    let [a, b, c, d] = file.sources.as_slice() else { panic!("{file:?}") };
    assert_eq!((a.name.as_str(), &a.schedule), ("a", &Schedule::Interval(Duration::from_secs(300))));
    assert_eq!(a.resources, ["snmp://10.0.0.1"]);
    assert_eq!(a.discovery, ["local_node"]);
    assert!(a.meters.matches("memory") && !a.meters.matches("cpu"));
    assert_eq!(b.schedule, Schedule::Interval(Duration::from_secs(90)));
    assert!(b.resources.is_empty() && b.discovery.is_empty());
    let Schedule::Cron(cron) = &c.schedule else { panic!("{c:?}") };
    assert_eq!((cron.expression.as_str(), cron.timezone.as_str()), ("0 3 * * *", "Europe/Berlin"));
    assert_eq!(cron.zone.iana_name(), Some("Europe/Berlin"));
    let Schedule::Cron(cron) = &d.schedule else { panic!("{d:?}") };
    assert_eq!(cron.timezone, "UTC");
}

#[test]
fn anchors_and_merge_keys_work_as_in_the_originals() {
    let file = read(
        "sources:\n  - &first {name: a, interval: 60, meters: &m [cpu]}\n  - <<: *first\n    name: b\n  - <<: [{interval: 5}, *first]\n    name: c\n    meters: *m\n",
    );
    assert_eq!(file.sources[1].schedule, Schedule::Interval(Duration::from_secs(60)));
    assert_eq!(file.sources[2].schedule, Schedule::Interval(Duration::from_secs(5)));
}

#[test]
fn faults_say_what_the_original_says_and_where() {
    for (yaml, expected) in [
        ("", "f.yaml:1:1: sources required"),
        (
            "other: 1\n",
            "f.yaml:1:1: sources required\n    1 | other: 1\n      | ^\nf.yaml:1:1: unknown key \"other\"; known are sources (other)\n    1 | other: 1\n      | ^^^^^",
        ),
        ("- a\n", "f.yaml:1:1: expected a table, found a list\n    1 | - a\n      | ^"),
        (
            "sources:\n  - interval: 5\n    meters: [cpu]\n",
            "f.yaml:2:5: Source definition invalid: Required field name not specified (sources[0].name)\n    2 |   - interval: 5\n      |     ^",
        ),
        (
            "sources:\n  - name: a\n    interval: 5\n",
            "f.yaml:2:5: Missing meters value (sources[0].meters)\n    2 |   - name: a\n      |     ^",
        ),
        (
            "sources:\n  - name: a\n    meters: [cpu]\n",
            "f.yaml:2:5: Missing interval value (sources[0].interval)\n    2 |   - name: a\n      |     ^",
        ),
        (
            "sources:\n  - {name: a, interval: often, meters: [cpu]}\n",
            "f.yaml:2:25: Invalid interval value: expected whole seconds, or a text such as \"10s\" (sources[0].interval)\n    2 |   - {name: a, interval: often, meters: [cpu]}\n      |                         ^^^^^",
        ),
        (
            "sources:\n  - {name: a, interval: -5, meters: [cpu]}\n",
            "f.yaml:2:25: Interval value should > 0 (sources[0].interval)\n    2 |   - {name: a, interval: -5, meters: [cpu]}\n      |                         ^^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [cpu], resources: x, discovery: {}}\n",
            "f.yaml:2:54: Resources should be a list (sources[0].resources)\n    2 |   - {name: a, interval: 5, meters: [cpu], resources: x, discovery: {}}\n      |                                                      ^\nf.yaml:2:68: Discovery should be a list (sources[0].discovery)\n    2 |   - {name: a, interval: 5, meters: [cpu], resources: x, discovery: {}}\n      |                                                                    ^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: []}\n",
            "f.yaml:2:36: No meters specified (sources[0].meters)\n    2 |   - {name: a, interval: 5, meters: []}\n      |                                    ^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [cpu, \"!x\"]}\n",
            "f.yaml:2:36: Both included and excluded meters specified (sources[0].meters)\n    2 |   - {name: a, interval: 5, meters: [cpu, \"!x\"]}\n      |                                    ^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [cpu, \"*\"]}\n",
            "f.yaml:2:36: Included meters specified with wildcard (sources[0].meters)\n    2 |   - {name: a, interval: 5, meters: [cpu, \"*\"]}\n      |                                    ^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: cpu}\n",
            "f.yaml:2:36: expected a list, found a string (sources[0].meters)\n    2 |   - {name: a, interval: 5, meters: cpu}\n      |                                    ^^^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [on]}\n",
            "f.yaml:2:37: expected a string, found a boolean: quote it (sources[0].meters[0])\n    2 |   - {name: a, interval: 5, meters: [on]}\n      |                                     ^^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [cpu]}\n  - {name: a, interval: 9, meters: [cpu]}\n",
            "f.yaml:3:12: Duplicated source names: a (sources[1].name)\n    3 |   - {name: a, interval: 9, meters: [cpu]}\n      |            ^",
        ),
        (
            "sources:\n  - {name: a, intervall: 5, interval: 5, meters: [cpu]}\n",
            "f.yaml:2:15: unknown key \"intervall\", did you mean \"interval\"? (sources[0].intervall)\n    2 |   - {name: a, intervall: 5, interval: 5, meters: [cpu]}\n      |               ^^^^^^^^^",
        ),
        (
            "sources:\n  - name: a\n    interval: 5\n    meters: [cpu]\n    group_id_coordination_expression: x\n",
            "f.yaml:5:5: group_id_coordination_expression is not in this version (sources[0].group_id_coordination_expression)\n    5 |     group_id_coordination_expression: x\n      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, cron: \"0 * * * *\", meters: [cpu]}\n",
            "f.yaml:2:34: a source has either interval or cron, not both (sources[0].cron)\n    2 |   - {name: a, interval: 5, cron: \"0 * * * *\", meters: [cpu]}\n      |                                  ^^^^^^^^^^^",
        ),
        (
            "sources:\n  - {name: a, interval: 5, timezone: UTC, meters: [cpu]}\n",
            "f.yaml:2:38: timezone has a meaning beside cron only (sources[0].timezone)\n    2 |   - {name: a, interval: 5, timezone: UTC, meters: [cpu]}\n      |                                      ^^^",
        ),
        (
            "sources:\n  - {name: a, cron: \"0 * * *\", timezone: Mars/Olympus, meters: [cpu]}\n",
            "f.yaml:2:21: no cron expression: Invalid pattern: Pattern must have between 5 and 7 fields. (sources[0].cron)\n    2 |   - {name: a, cron: \"0 * * *\", timezone: Mars/Olympus, meters: [cpu]}\n      |                     ^^^^^^^^^\nf.yaml:2:42: unknown time zone \"Mars/Olympus\" (sources[0].timezone)\n    2 |   - {name: a, cron: \"0 * * *\", timezone: Mars/Olympus, meters: [cpu]}\n      |                                          ^^^^^^^^^^^^",
        ),
    ] {
        assert_eq!(faults(yaml), expected, "{yaml}");
    }
}

#[test]
fn pitfalls_of_yaml_are_explained() {
    for (yaml, first) in [
        (
            "sources:\n  - {name: a, interval: 5, meters: [*]}\n",
            "f.yaml:2:37: not YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character; a name that starts with * must be quoted",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [*.bytes]}\n",
            "f.yaml:2:37: there is no anchor &.bytes; a name that starts with * must be quoted: \"*.bytes\"",
        ),
        (
            "sources:\n  - {name: a, interval: 5, meters: [!disk.read, cpu]}\n",
            "f.yaml:2:37: a word that starts with ! is a tag in YAML: quote it, \"!disk.read\"",
        ),
        (
            "sources:\n  - {name: !!str a, interval: 5, meters: [cpu]}\n",
            "f.yaml:2:12: the tag !!str is not supported",
        ),
        (
            "sources:\n  - {name: a, name: b, interval: 5, meters: [cpu]}\n",
            "f.yaml:2:15: the key \"name\" stands twice, first at f.yaml:2:6",
        ),
        (
            "sources:\n\t- name: a\n",
            "f.yaml:2:2: not YAML: tabs disallowed within this context (block indentation)",
        ),
        ("sources: []\n---\nsources: []\n", "f.yaml:3:1: only one YAML document is allowed in this file"),
        ("a: &a [*a]\n", "f.yaml:1:8: an alias cannot stand inside its own anchor"),
        ("sources: []\n? [a]\n: b\n", "f.yaml:2:3: a key must be a string"),
        ("sources: []\n<<: 5\n", "f.yaml:2:5: << needs a table, or a list of tables"),
    ] {
        let text = faults(yaml);
        assert_eq!(text.lines().next().unwrap_or_default(), first, "{yaml}");
    }
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let mut yaml = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"])
    {
        yaml.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", ")));
    }
    let text = faults(&yaml);
    assert!(text.contains("the file has more than 20000 values, counting what aliases stand for"), "{text}");
}

#[test]
fn values_cannot_nest_without_end() {
    let deep = format!("a: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert!(faults(&deep).contains("values nest deeper than 64 levels"));
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(faults(&chain).contains("values nest deeper than 64 levels"));
    let endless = format!("a: {}\n", "[".repeat(500_000));
    let text = faults(&endless);
    assert!(text.contains("recursion limit"), "{text}");
}

#[test]
fn files_that_are_no_text_or_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.yaml");
    let toml = format!("[polling]\nconfig = {:?}\n", file.to_str().unwrap());
    for (bytes, reason) in [
        (b"a: 1\nb: \xff\n".to_vec(), "line 2 is not UTF-8"),
        (vec![b'#'; (1 << 20) + 1], "it is larger than 1024 KiB"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let text = crate::support::faults(Mode::Embedded, &toml);
        let expected = format!("cannot read {}: {reason} (polling.config)", file.display());
        assert!(text.contains(&expected), "{text}");
    }
}

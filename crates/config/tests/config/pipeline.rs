//! `pipeline.yaml`.

use nephos_config::pipeline::{Late, PublisherKind, Scale, TransformerSpec};
use nephos_config::{Mode, PipelineFile};
use nephos_model::SampleKind;

use crate::support::{Case, run, yaml_faults};

fn read(yaml: &str) -> PipelineFile {
    let files = &[("nephos.toml", "[pipeline]\nconfig = \"f.yaml\"\n"), ("f.yaml", yaml)];
    run(Mode::Embedded, &Case { files, ..Case::default() }).unwrap().pipeline
}

fn faults(yaml: &str) -> String {
    yaml_faults("pipeline", "config", yaml)
}

/// One source, one sink with these transformers.
fn with(transformers: &str) -> String {
    format!(
        "sources:\n  - {{name: s, meters: [\"*\"], sinks: [k]}}\nsinks:\n  - name: k\n    publishers: [nephos]\n    transformers:\n{transformers}"
    )
}

#[test]
fn transformers_are_read_with_all_their_parameters() {
    let file = read(&with(
        "      - name: rate_of_change
        parameters:
          source: {map_from: {name: '(disk)\\.(.*)', unit: '^(.*)$'}}
          target: {map_to: {name: '\\2.\\g<1>', unit: '\\1/s'}, name: n, unit: u, type: gauge, max: 100, scale: \"100.0 / (10**9 * (resource_metadata.cpu_number or 1))\"}
          late: drop
      - name: unit_conversion
        parameters: {source: {unit: B}, target: {unit: KiB, scale: 0.0009765625}}
      - {name: unit_conversion, parameters: ~}
      - {name: rate_of_change}
      - {name: unit_conversion, parameters: {target: {scale: 0, max: 0}}}
      - {name: unit_conversion, parameters: {target: {scale: \"\"}}}
",
    ));
    let transformers = &file.sink("k").unwrap().transformers;
    assert_eq!(
        transformers.iter().map(TransformerSpec::name).collect::<Vec<_>>(),
        [
            "rate_of_change",
            "unit_conversion",
            "unit_conversion",
            "rate_of_change",
            "unit_conversion",
            "unit_conversion"
        ]
    );
    let TransformerSpec::RateOfChange(rate) = &transformers[0] else { panic!("{transformers:?}") };
    assert_eq!(rate.target_name("disk.read"), "read.disk");
    assert_eq!(rate.target_name("cpu"), "cpu");
    assert_eq!(rate.target_unit("B"), "B/s");
    assert_eq!(rate.target.kind, Some(SampleKind::Gauge));
    assert_eq!(rate.target.max, Some(100.0));
    assert_eq!(rate.late, Late::Drop);
    assert!(matches!(&rate.target.scale, Scale::Expression(_)));
    let TransformerSpec::UnitConversion(unit) = &transformers[1] else { panic!("{transformers:?}") };
    assert_eq!(unit.source_unit.as_deref(), Some("B"));
    assert_eq!(unit.target_unit("B"), "KiB");
    assert_eq!(unit.target_name("x"), "x");
    assert!(matches!(unit.target.scale, Scale::Factor(factor) if factor == 1.0 / 1024.0));
    for transformer in &transformers[2..] {
        let (TransformerSpec::RateOfChange(spec) | TransformerSpec::UnitConversion(spec)) = transformer;
        assert!(matches!(spec.target.scale, Scale::None), "{spec:?}");
        assert_eq!((spec.target.max, spec.late), (None, Late::Emit));
    }
}

#[test]
fn a_mapping_to_nothing_falls_back_to_the_fixed_name() {
    let file = read(&with(
        "      - {name: unit_conversion, parameters: {source: {map_from: {name: '.*'}}, target: {map_to: {name: ''}, name: fixed}}}\n",
    ));
    let [TransformerSpec::UnitConversion(spec)] = file.sinks[0].transformers.as_slice() else {
        panic!("{file:?}")
    };
    assert_eq!(spec.target_name("any"), "fixed");
}

#[test]
fn publishers_are_read_in_order() {
    let file = read(
        "sources: [{name: s, meters: [\"*\"], sinks: [k]}]\nsinks: [{name: k, publishers: [\"nephos://\", \"log://?level=debug\", \"file:///tmp/x?json\"]}]\n",
    );
    let kinds: Vec<_> = file.sinks[0].publishers.iter().map(|publisher| &publisher.kind).collect();
    assert!(
        matches!(kinds[..], [PublisherKind::Nephos, PublisherKind::Log { .. }, PublisherKind::File(_)]),
        "{kinds:?}"
    );
    assert_eq!(file.sinks[0].publishers[0].url, "nephos://");
}

#[test]
fn faults_say_what_the_original_says_and_where() {
    for (yaml, expected) in [
        ("sources: []\n", "1:1: Both sources & sinks are required"),
        (
            "sources:\n  - {name: s, meters: [cpu], sinks: [k]}\n  - {name: s, meters: [cpu], sinks: [k]}\nsinks:\n  - {name: k, publishers: [nephos]}\n  - {name: k, publishers: [nephos]}\n",
            "3:12: Duplicated source names: s (sources[1].name)|3:38: Duplicate pipeline name: s:k. Ensure pipeline names are unique. (name is the source and sink names combined) (sources[1].sinks[0])|6:12: Duplicated sink names: k (sinks[1].name)",
        ),
        (
            "sources:\n  - {name: s, meters: [cpu], sinks: [k, k]}\nsinks:\n  - {name: k, publishers: [nephos]}\n",
            "2:41: Duplicate pipeline name: s:k. Ensure pipeline names are unique. (name is the source and sink names combined) (sources[0].sinks[1])",
        ),
        (
            "sources:\n  - {meters: [cpu], sinks: [k]}\nsinks:\n  - {publishers: [nephos]}\n",
            "2:5: Required field name not specified (sources[0].name)|4:5: Required field name not specified (sinks[0].name)",
        ),
        (
            "sources:\n  - {name: s, meters: [cpu]}\nsinks:\n  - {name: k, publishers: [nephos]}\n",
            "2:5: Required field sinks not specified (sources[0].sinks)",
        ),
        (
            "sources:\n  - {name: s, meters: [cpu], sinks: []}\nsinks:\n  - {name: k, publishers: [nephos]}\n",
            "2:37: No sink defined in source s (sources[0].sinks)",
        ),
        (
            "sources:\n  - {name: s, meters: [cpu], sinks: [k, other]}\nsinks:\n  - {name: k, publishers: [nephos]}\n",
            "2:41: Dangling sink other from source s (sources[0].sinks[1])",
        ),
        (
            "sources:\n  - {name: s, sinks: [k]}\nsinks:\n  - {name: k}\n  - {name: l, publishers: []}\n",
            "2:5: Missing meters value (sources[0].meters)|4:5: No publisher specified (sinks[0].publishers)|5:27: No publisher specified (sinks[1].publishers)",
        ),
        (
            "sources:\n  - {name: s, meters: [\"*\", cpu], sinks: [k], interval: 5}\nsinks:\n  - {name: k, publishers: [\"udp://h\", \"gnochi://\"]}\n",
            "2:23: Included meters specified with wildcard (sources[0].meters)|2:47: interval is not in this version (sources[0].interval)|4:28: publisher udp:// is not in this version (sinks[0].publishers[0])|4:39: Unable to load publisher gnochi://; known are nephos://, file://, log:// (sinks[0].publishers[1])",
        ),
    ] {
        let text: Vec<String> =
            faults(yaml).lines().filter_map(|line| line.strip_prefix("f.yaml:").map(str::to_owned)).collect();
        assert_eq!(text.join("|"), expected, "{yaml}");
    }
}

#[test]
fn faulty_transformers_are_placed() {
    for (transformer, expected) in [
        ("{name: delta}", "7:16: transformer delta is not in this version (sinks[0].transformers[0].name)"),
        (
            "{name: rate_of_chang}",
            "7:16: No transformer named rate_of_chang loaded, did you mean \"rate_of_change\"? (sinks[0].transformers[0].name)",
        ),
        (
            "{name: magic}",
            "7:16: No transformer named magic loaded; known are rate_of_change, unit_conversion (sinks[0].transformers[0].name)",
        ),
        ("{parameters: {}}", "7:9: Required field name not specified (sinks[0].transformers[0].name)"),
        (
            "{name: unit_conversion, parameters: {taget: {}, target: {nam: x}}}",
            "7:46: unknown key \"taget\", did you mean \"target\"? (sinks[0].transformers[0].parameters.taget)|7:66: unknown key \"nam\", did you mean \"name\"? (sinks[0].transformers[0].parameters.target.nam)",
        ),
        (
            "{name: unit_conversion, parameters: {target: {type: guage, max: high, scale: [1]}}}",
            "7:61: unknown type \"guage\"; known are gauge, delta, cumulative (sinks[0].transformers[0].parameters.target.type)|7:73: expected a number, found a string (sinks[0].transformers[0].parameters.target.max)|7:86: expected a number or an expression, found a list (sinks[0].transformers[0].parameters.target.scale)",
        ),
        (
            "{name: rate_of_change, parameters: {late: never}}",
            "7:51: unknown value \"never\"; known are emit, drop (sinks[0].transformers[0].parameters.late)",
        ),
        (
            "{name: unit_conversion, parameters: {source: {map_from: {name: '(a'}}, target: {map_to: {name: x}}}}",
            "7:72: no regular expression: unclosed group (sinks[0].transformers[0].parameters.source.map_from.name)",
        ),
        (
            "{name: unit_conversion, parameters: {source: {map_from: {name: '(a)'}}, target: {map_to: {name: '\\2'}}}}",
            "7:105: the pattern has no group 2 (sinks[0].transformers[0].parameters.target.map_to.name)",
        ),
    ] {
        let text: Vec<String> = faults(&with(&format!("      - {transformer}\n")))
            .lines()
            .filter_map(|line| line.strip_prefix("f.yaml:").map(str::to_owned))
            .collect();
        assert_eq!(text.join("|"), expected, "{transformer}");
    }
    let text = faults(&with("      - {name: unit_conversion, parameters: {target: {scale: \"1 +\"}}}\n"));
    assert!(text.starts_with("f.yaml:7:62: no expression: "), "{text}");
    assert!(text.contains("at character 4 (sinks[0].transformers[0].parameters.target.scale)"), "{text}");
}

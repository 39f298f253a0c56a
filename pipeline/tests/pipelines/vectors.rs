//! The original's own answers.

use std::sync::Arc;

use nephos_model::{Sample, SampleKind, Timestamp, Volume};
use nephos_pipeline::rehearse;
use nephos_wire::time::{naive_utc, parse_iso8601};
use serde_json::{Value as Json, json};

use crate::support::chain;

fn volume(json: &Json) -> Volume {
    json.as_i64().map_or_else(|| Volume::Float(json.as_f64().unwrap()), Volume::Int)
}

/// A sample of a vector; what it leaves out has the vectors' defaults.
fn sample(json: &Json) -> Sample {
    let text = |key: &str, default: &str| json[key].as_str().unwrap_or(default).to_owned();
    let mut sample = Sample::new(
        text("name", "m"),
        SampleKind::parse(&text("type", "gauge")).unwrap(),
        text("unit", "x"),
        volume(&json["volume"]),
        text("resource_id", "r1"),
        parse_iso8601(&text("timestamp", "")).unwrap(),
    );
    sample.user_id = Some(text("user_id", "u1"));
    sample.project_id = Some(text("project_id", "p1"));
    sample.source = Arc::from(text("source", "openstack"));
    sample.monotonic_time = json["monotonic_time"].as_f64();
    sample.metadata = Arc::new(json["resource_metadata"].as_object().cloned().unwrap_or_default());
    sample
}

/// A sample as the vectors write their expectations; the volume as a float, since Python's sorts of numbers are not
/// told apart there.
fn shown(sample: &Sample) -> Json {
    json!({
        "name": sample.name, "type": sample.kind.as_str(), "unit": sample.unit, "volume": sample.volume.as_f64(),
        "user_id": sample.user_id, "project_id": sample.project_id, "resource_id": sample.resource_id,
        "timestamp": naive_utc(sample.timestamp, 'T'), "resource_metadata": *sample.metadata,
        "source": &*sample.source, "monotonic_time": sample.monotonic_time,
    })
}

fn expected(json: &Json) -> Json {
    let mut json = json.clone();
    json["volume"] = json!(json["volume"].as_f64().unwrap());
    // The original always writes the microseconds here.
    let timestamp = parse_iso8601(json["timestamp"].as_str().unwrap()).unwrap();
    json["timestamp"] = json!(naive_utc(timestamp, 'T'));
    json
}

#[test]
fn every_vector_of_the_original_is_matched() {
    let vectors: Json = serde_json::from_str(include_str!("../../testdata/transformers.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 15);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let mut transformers = case["chain"].clone();
        for transformer in transformers.as_array_mut().unwrap() {
            if transformer["name"] == "rate_of_change" {
                transformer["parameters"]["late"] = json!("drop");
            }
        }
        let file = chain(&transformers, &["nephos://"]);
        let (mut given, mut wanted) = (Vec::new(), Vec::new());
        for (step, results) in
            case["steps"].as_array().unwrap().iter().zip(case["expected"].as_array().unwrap())
        {
            // Nothing waits for a flush in these transformers.
            if step[0] == "sample" {
                given.push(sample(&step[1]));
            }
            wanted.extend(results.as_array().unwrap().iter().map(expected));
            let rehearsal = rehearse(&file, &given, Timestamp::EPOCH);
            assert!(rehearsal.faults.is_empty(), "{name}: {:?}", rehearsal.faults);
            let seen: Vec<Json> = rehearsal.sinks[0].samples.iter().map(shown).collect();
            assert_eq!(seen, wanted, "{name} after {} samples", given.len());
        }
    }
}

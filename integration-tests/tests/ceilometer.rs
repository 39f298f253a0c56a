//! Ceilometer's own publisher writes into Nephos as into Gnocchi.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, wait_for};
use serde_json::{Value, json};

const INSTANCE: &str = "6f3a27b2-6b9c-4c30-9d5e-3f1d6f0c3a11";
const VOLUME: &str = "0d6c2b51-3f0e-4d5c-8a77-0a5d5c9b7e22";

#[allow(clippy::disallowed_methods)]
fn python() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tools = std::env::var_os("TOOLS").map_or_else(|| repository.join(".tools"), PathBuf::from);
    let python = tools.join("ceilometer/bin/python");
    assert!(python.exists(), "Ceilometer is missing in {}: run `make ceilometer`", tools.display());
    python
}

/// A sample, by what differs: meter, kind, unit, resource, minute, value, metadata.
fn sample(
    (name, kind, unit): (&str, &str, &str),
    resource: &str,
    minute: u32,
    value: f64,
    metadata: &Value,
) -> Value {
    json!({"name": name, "type": kind, "unit": unit, "volume": value, "user_id": "ann", "project_id": "demo",
        "resource_id": resource, "timestamp": format!("2026-11-21T10:{minute:02}:00.000000"),
        "resource_metadata": metadata})
}

fn batches() -> Value {
    let instance = |name: &str| {
        json!({"display_name": name, "host": "node-1", "flavor": {"id": "f1", "name": "m1.small"},
            "image_ref": "i1", "instance_id": INSTANCE, "status": "active"})
    };
    let disk = json!({"disk_name": "vda", "instance_id": INSTANCE});
    let vda = format!("{INSTANCE}-vda");
    let cpu = ("cpu", "cumulative", "ns");
    let memory = ("memory.usage", "gauge", "MB");
    let read = ("disk.device.read.bytes", "cumulative", "B");
    let size = ("volume.size", "gauge", "GB");
    json!([
        [
            sample(cpu, INSTANCE, 0, 1e9, &instance("first")),
            sample(cpu, INSTANCE, 5, 4e9, &instance("first")),
            sample(memory, INSTANCE, 0, 512.0, &instance("first")),
            sample(read, &vda, 0, 100.0, &disk),
            sample(size, VOLUME, 0, 20.0, &json!({"display_name": "data", "volume_type": "ssd"})),
            sample(("not.a.meter", "gauge", "x"), "nowhere", 0, 1.0, &json!({})),
        ],
        [sample(memory, INSTANCE, 5, 768.0, &instance("second")), sample(read, &vda, 5, 700.0, &disk),],
    ])
}

fn values(measures: &Value) -> Vec<f64> {
    measures.as_array().unwrap().iter().map(|point| point[2].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn resources_metrics_and_measures_of_ceilometer_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NEPHOS__POLLING__ENABLED", "false")];
    let nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    let url = nephos.url("api").await;
    let api = Http::new(&url);
    wait_for("nephos is ready", Duration::from_secs(60), || async {
        let answer = api.try_send("GET", "/readyz", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;

    let samples = folder.path().join("samples.json");
    std::fs::write(&samples, batches().to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ceilometer/publish.py");
    let output =
        Command::new(python()).arg(script).args([&url]).arg(folder.path()).arg(&samples).output().unwrap();
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log);
    assert!(output.status.success(), "{log}");
    // What it cannot write the publisher only logs.
    assert!(!log.contains("ERROR ceilometer") && !log.contains("Traceback"), "{log}");
    assert!(log.contains("metric not.a.meter is not handled by Gnocchi"), "{log}");

    let types = api.get("/v1/resource_type").await.expect(200).json();
    assert!(types.as_array().unwrap().len() > 20, "Ceilometer's types are there: {types}");
    let policies = api.get("/v1/archive_policy/ceilometer-low").await.expect(200).json();
    assert_eq!(policies["aggregation_methods"], json!(["mean"]));

    let instance = api.get(&format!("/v1/resource/instance/{INSTANCE}")).await.expect(200).json();
    for (key, value) in [
        ("display_name", "second"),
        ("host", "node-1"),
        ("flavor_id", "f1"),
        ("image_ref", "i1"),
        ("project_id", "demo"),
        ("user_id", "ann"),
        ("creator", "admin"),
    ] {
        assert_eq!(instance[key], value, "{key}: {instance}");
    }
    let names: Vec<&String> = instance["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["cpu", "memory.usage"]);
    let history = api.get(&format!("/v1/resource/instance/{INSTANCE}/history")).await.expect(200).json();
    let names: Vec<&Value> = history.as_array().unwrap().iter().map(|old| &old["display_name"]).collect();
    assert_eq!(names, ["first", "second"], "a new name is a new revision, the same one is none");

    let cpu = api.get(&format!("/v1/metric/{}", instance["metrics"]["cpu"].as_str().unwrap())).await.json();
    assert_eq!((&cpu["unit"], &cpu["archive_policy"]["name"]), (&json!("ns"), &json!("ceilometer-low-rate")));
    for (path, expected) in [
        (format!("instance/{INSTANCE}/metric/cpu/measures"), vec![1e9, 4e9]),
        (format!("instance/{INSTANCE}/metric/cpu/measures?aggregation=rate:mean"), vec![3e9]),
        (format!("instance/{INSTANCE}/metric/memory.usage/measures"), vec![512.0, 768.0]),
        (format!("instance_disk/{INSTANCE}-vda/metric/disk.device.read.bytes/measures"), vec![100.0, 700.0]),
        (format!("volume/{VOLUME}/metric/volume.size/measures"), vec![20.0]),
    ] {
        let measures = api.get(&format!("/v1/resource/{path}")).await.expect(200).json();
        assert_eq!(values(&measures), expected, "{path}");
    }
    let all = api.get("/v1/resource/generic").await.expect(200).json();
    assert_eq!(all.as_array().unwrap().len(), 3, "nothing for what Gnocchi knows no definition of");
}

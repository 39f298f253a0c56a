//! Samples as JSON with the plain names of the model, for people's files (telemetry-pipeline §2.1).

use std::sync::Arc;

use anyhow::{Context, bail};
use nephos_model::{Sample, SampleKind, Volume};
use serde_json::{Value, json};

/// A sample as an object.
pub(super) fn write(sample: &Sample) -> Value {
    let volume = match sample.volume {
        Volume::Int(value) => json!(value),
        Volume::Uint(value) => json!(value),
        Volume::Float(value) => json!(value),
    };
    json!({
        "name": sample.name,
        "type": sample.kind.as_str(),
        "unit": sample.unit,
        "volume": volume,
        "user_id": sample.user_id,
        "project_id": sample.project_id,
        "resource_id": sample.resource_id,
        "timestamp": nephos_wire::time::naive_utc(sample.timestamp, 'T'),
        "resource_metadata": *sample.metadata,
        "source": &*sample.source,
        "id": sample.id.to_string(),
        "monotonic_time": sample.monotonic_time,
    })
}

/// A sample from such an object; `name`, `type`, `volume`, `resource_id` and `timestamp` must be there.
pub(super) fn read(value: &Value) -> anyhow::Result<Sample> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let needed = |key: &str| text(key).with_context(|| format!("{key:?} is missing or no text"));
    let kind = needed("type")?;
    let Some(kind) = SampleKind::parse(kind) else {
        bail!("type {kind:?} is none of gauge, delta, cumulative");
    };
    let timestamp = needed("timestamp")?;
    let Some(timestamp) = nephos_wire::time::parse_iso8601(timestamp) else {
        bail!("timestamp {timestamp:?} is no ISO 8601 time");
    };
    let volume = value.get("volume");
    let Some(volume) = volume
        .and_then(Value::as_i64)
        .map(Volume::from)
        .or_else(|| volume.and_then(Value::as_u64).map(Volume::from))
        .or_else(|| volume.and_then(Value::as_f64).map(Volume::from))
    else {
        bail!("\"volume\" is missing or no number");
    };
    let mut sample = Sample::new(
        needed("name")?,
        kind,
        text("unit").unwrap_or_default(),
        0_i64,
        needed("resource_id")?,
        timestamp,
    );
    sample.volume = volume;
    sample.user_id = text("user_id").map(str::to_owned);
    sample.project_id = text("project_id").map(str::to_owned);
    sample.monotonic_time = value.get("monotonic_time").and_then(Value::as_f64);
    if let Some(Value::Object(metadata)) = value.get("resource_metadata") {
        sample.metadata = Arc::new(metadata.clone());
    }
    if let Some(source) = text("source") {
        sample.source = Arc::from(source);
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "name": "cpu", "type": "cumulative", "unit": "ns", "volume": 5, "resource_id": "h",
            "timestamp": "2026-11-21T23:08:20.955093", "resource_metadata": {"cpu_number": 2},
        });
        let sample = read(&value).unwrap();
        assert_eq!(sample.volume, Volume::Int(5));
        let again = read(&write(&sample)).unwrap();
        assert_eq!((again.timestamp, again.metadata), (sample.timestamp, sample.metadata));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, message) in [
            (json!({}), "\"type\" is missing or no text"),
            (json!({"type": "x"}), "type \"x\" is none of gauge, delta, cumulative"),
            (json!({"type": "gauge", "timestamp": "now"}), "timestamp \"now\" is no ISO 8601 time"),
            (
                json!({"type": "gauge", "timestamp": "2026-01-01", "volume": "a"}),
                "\"volume\" is missing or no number",
            ),
        ] {
            assert_eq!(read(&value).unwrap_err().to_string(), message);
        }
    }
}

//! Both directions together, on messages captured from the original.

use std::sync::Arc;

use nephos_model::{Sample, SampleKind, Timestamp, Volume};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const SECRET: &str = "change this for valid signing";
const CAPTURED: [(&str, MessageKind); 4] = [
    (include_str!("../../testdata/oslo/telemetry.polling.json"), MessageKind::Polling),
    (include_str!("../../testdata/oslo/real_agent_telemetry.polling.json"), MessageKind::Polling),
    (include_str!("../../testdata/oslo/published_metering.json"), MessageKind::Metering),
    (include_str!("../../testdata/oslo/published_metering.volume.size.json"), MessageKind::Metering),
];

fn body(captured: &str) -> String {
    let captured: Value = serde_json::from_str(captured).unwrap();
    captured["body"].as_str().unwrap().to_owned()
}

/// The notification in a body, its envelope checked.
fn notification(body: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(envelope["oslo.version"], "2.0");
    assert_eq!(envelope.as_object().unwrap().len(), 2);
    serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap()
}

fn wrap(payload: &str) -> Vec<u8> {
    let inner = format!(r#"{{"event_type": "telemetry.polling", "payload": {{"samples": {payload}}}}}"#);
    json!({"oslo.version": "2.0", "oslo.message": inner}).to_string().into_bytes()
}

fn stamp() -> Stamp<'static> {
    Stamp {
        publisher_id: "ceilometer.polling",
        message_id: Uuid::from_u128(1),
        unique_id: Uuid::from_u128(2),
        sent: Timestamp::from_nanos(1_795_302_501_007_503_000),
    }
}

#[test]
fn captured_messages_are_read_whole_and_their_signatures_verify() {
    for (captured, _) in CAPTURED {
        let body = body(captured);
        let expected = notification(body.as_bytes());
        let payload = expected["payload"].get("samples").unwrap_or(&expected["payload"]);
        let message = read_samples(body.as_bytes(), Some(&Signer::new(SECRET))).unwrap();
        assert!(message.bad.is_empty(), "{:?}", message.bad);
        assert_eq!(message.samples.len(), payload.as_array().unwrap().len());
        assert_eq!(message.samples, read_samples(body.as_bytes(), None).unwrap().samples);
    }
}

#[test]
fn captured_messages_written_again_are_the_same_to_the_key() {
    for (captured, kind) in CAPTURED {
        let body = body(captured);
        let original = notification(body.as_bytes());
        let mut samples = read_samples(body.as_bytes(), None).unwrap().samples;
        // Published ones come from notifications and have their times with an offset; we always write naive UTC.
        let written = write_samples(kind, &samples, &Signer::new(SECRET), stamp()).unwrap();
        let ours = notification(&written);
        for key in original.as_object().unwrap().keys() {
            assert!(ours.get(key).is_some(), "{key}");
        }
        assert_eq!(ours.as_object().unwrap().len(), original.as_object().unwrap().len());
        assert_eq!(ours["timestamp"], "2026-11-21 23:08:21.007503");
        assert_eq!(ours["_unique_id"], "00000000000000000000000000000002");
        if !original["payload"].to_string().contains("+00:00\"") {
            assert_eq!(ours["payload"], original["payload"], "signatures included");
        }
        let read_again = read_samples(&written, Some(&Signer::new(SECRET))).unwrap();
        assert!(read_again.bad.is_empty());
        for sample in &mut samples {
            sample.timestamp = sample.timestamp.to_micros_precision();
        }
        assert_eq!(read_again.samples, samples);
    }
}

#[test]
fn the_first_captured_sample_is_understood_field_by_field() {
    let sample = read_samples(body(CAPTURED[0].0).as_bytes(), None).unwrap().samples.remove(0);
    assert_eq!(sample.id.to_string(), "63dd5914-e5ff-11f1-bd32-02fc00000001");
    assert_eq!(
        (sample.name.as_str(), sample.kind, sample.unit.as_str()),
        ("cpu", SampleKind::Cumulative, "ns")
    );
    assert_eq!(sample.volume, Volume::Int(17_588_181_147_600));
    assert_eq!(sample.user_id.as_deref(), Some("b8b6d8fe442e4d43b204e52db2221a58"));
    assert_eq!((sample.user_name, sample.project_name), (None, None));
    assert_eq!(sample.resource_id, "c4647159-c324-4985-9b81-0e766ec9d286");
    assert_eq!(sample.timestamp, crate::time::parse_iso8601("2026-11-21T23:00:48.006643").unwrap());
    assert_eq!(sample.metadata["flavor"]["vcpus"], 8);
    assert_eq!(sample.monotonic_time, Some(887.405_133_614));
    assert_eq!(&*sample.source, "openstack");
}

fn minimal() -> Value {
    json!({"counter_name": "m", "counter_type": "gauge", "counter_unit": "", "counter_volume": 1,
        "resource_id": "r", "timestamp": "2026-11-21T00:00:00", "resource_metadata": {},
        "message_id": "m1", "source": "openstack", "user_id": null, "project_id": null})
}

#[test]
fn keys_that_old_senders_lack_are_null() {
    let message = read_samples(&wrap(&format!("[{}]", minimal())), None).unwrap();
    let sample = &message.samples[0];
    assert_eq!((&sample.user_name, &sample.project_name, sample.monotonic_time), (&None, &None, None));
    let bare = json!({"counter_name": "m", "counter_type": "gauge", "counter_volume": 1, "resource_id": "r",
        "timestamp": "2026-11-21T00:00:00"});
    let again = || read_samples(&wrap(&format!("[{bare}]")), None).unwrap().samples.remove(0);
    assert_eq!(again().source.as_ref(), "openstack");
    assert_eq!(again().id, again().id, "a repeated message repeats its identifiers");
}

#[test]
fn volumes_keep_their_kind_of_number() {
    for (volume, expected) in [
        ("5", Volume::Int(5)),
        ("5.0", Volume::Float(5.0)),
        ("-0.0", Volume::Float(-0.0)),
        ("18446744073709551615", Volume::Uint(u64::MAX)),
        ("\"12\"", Volume::Int(12)),
        ("\" 1.5e3 \"", Volume::Float(1500.0)),
        ("\"18446744073709551615\"", Volume::Uint(u64::MAX)),
        ("0.30000000000000004", Volume::Float(0.300_000_000_000_000_04)),
        ("6.631236846766477e-34", Volume::Float(6.631_236_846_766_477e-34)),
    ] {
        let text =
            minimal().to_string().replace("\"counter_volume\":1", &format!("\"counter_volume\":{volume}"));
        let message = read_samples(&wrap(&format!("[{text}]")), None).unwrap();
        assert_eq!(message.samples[0].volume, expected, "{volume}");
    }
}

#[test]
fn a_bad_sample_says_why_and_leaves_the_good_ones_beside_it() {
    for (key, value, reason) in [
        ("counter_volume", "null", "counter_volume is missing"),
        ("counter_volume", "NaN", "counter_volume is missing"),
        ("counter_volume", "-Infinity", "counter_volume is missing"),
        ("counter_volume", "\"nan\"", "counter_volume \"nan\" is not a finite number"),
        ("counter_volume", "\"many\"", "counter_volume \"many\" is not a finite number"),
        ("counter_volume", "[1]", "not a sample: invalid type: sequence, expected a number at line 1 column"),
        ("counter_volume", "true", "not a sample: invalid type: boolean `true`, expected a number at line 1"),
        ("counter_volume", "1e999", "not a sample: number out of range at line 1"),
        ("counter_name", "null", "counter_name is missing"),
        ("counter_name", "\"\\ud800\"", "not a sample: unexpected end of hex escape at line 1"),
        ("counter_type", "\"rate\"", "counter_type \"rate\" is none of gauge, delta, cumulative"),
        ("resource_id", "null", "resource_id is missing"),
        (
            "timestamp",
            "\"yesterday\"",
            "timestamp \"yesterday\" is not an ISO 8601 time between 1677 and 2262",
        ),
        ("resource_metadata", "[]", "not a sample: invalid type: sequence, expected a map at line 1"),
    ] {
        let good = minimal();
        let was = format!("\"{key}\":{}", good[key]);
        let bad = good.to_string().replace(&was, &format!("\"{key}\":{value}"));
        let message = read_samples(&wrap(&format!("[{good}, {bad}, {good}]")), None).unwrap();
        assert_eq!(message.samples.len(), 2, "{key} {value}");
        let [found] = message.bad.as_slice() else { panic!("{:?}", message.bad) };
        assert_eq!(found.index, 1);
        assert!(found.error.to_string().starts_with(reason), "{}", found.error);
        assert!(found.raw.contains(&format!("\"{key}\":")), "{}", found.raw);
    }
    let message = read_samples(&wrap(&format!("[5, {}, null]", minimal())), None).unwrap();
    assert_eq!((message.samples.len(), message.bad.len()), (1, 2));
}

#[test]
fn a_forged_sample_is_bad_only_where_signatures_are_checked() {
    let text = body(CAPTURED[0].0).replacen("17588181147600", "17588181147601", 1);
    assert!(read_samples(text.as_bytes(), None).unwrap().bad.is_empty());
    assert!(read_samples(text.as_bytes(), Some(&Signer::new(""))).unwrap().bad.is_empty());
    let checked = read_samples(text.as_bytes(), Some(&Signer::new(SECRET))).unwrap();
    assert!(matches!(checked.bad.as_slice(), [BadSample { index: 0, error: SampleError::Signature, .. }]));
}

#[test]
fn other_notifications_and_payloads_are_no_samples() {
    let other = include_str!("../../testdata/oslo/volume.create.end.json");
    let error = read_samples(body(other).as_bytes(), None).unwrap_err();
    assert!(matches!(&error, OsloError::EventType { found } if found == "volume.create.end"), "{error}");
    let event = include_str!("../../testdata/oslo/published_event.json");
    assert!(matches!(read_samples(body(event).as_bytes(), None), Err(OsloError::EventType { .. })));
    for inner in [
        r#"{"event_type": "telemetry.polling"}"#,
        r#"{"event_type": "telemetry.polling", "payload": []}"#,
        r#"{"event_type": "metering", "payload": {"samples": []}}"#,
        r#"{"event_type": "metering", "payload": 5}"#,
    ] {
        assert!(matches!(read_samples(inner.as_bytes(), None), Err(OsloError::Json { .. })), "{inner}");
    }
    assert!(
        read_samples(br#"{"event_type": "metering.cpu", "payload": []}"#, None).unwrap().samples.is_empty()
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z:.]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn any_sample()(
        text in prop::collection::vec(prop::option::of("\\PC{0,12}"), 4),
        name in "\\PC{1,12}", unit in "\\PC{0,4}", resource in "\\PC{0,12}", id in any::<u128>(),
        kind in prop::sample::select(vec![SampleKind::Gauge, SampleKind::Delta, SampleKind::Cumulative]),
        volume in prop_oneof![
            any::<i64>().prop_map(Volume::Int),
            any::<u64>().prop_map(Volume::from),
            any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Volume::Float),
        ],
        micros in -9_000_000_000_000_000_i64..9_000_000_000_000_000,
        monotonic in prop::option::of(0.0..1e9_f64),
        metadata in prop::collection::btree_map("\\PC{0,6}", any_json(), 0..4),
    ) -> Sample {
        Sample {
            id: Uuid::from_u128(id), kind, volume,
            user_id: text[0].clone(), user_name: text[1].clone(),
            project_id: text[2].clone(), project_name: text[3].clone(),
            metadata: Arc::new(metadata.into_iter().collect()), monotonic_time: monotonic,
            ..Sample::new(name, kind, unit, 0_i64, resource, Timestamp::from_nanos(micros * 1_000))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back_and_verifies(samples in prop::collection::vec(any_sample(), 0..4)) {
        let signer = Signer::new("secret");
        for kind in [MessageKind::Polling, MessageKind::Metering] {
            let body = write_samples(kind, &samples, &signer, stamp()).unwrap();
            let message = read_samples(&body, Some(&signer)).unwrap();
            prop_assert!(message.bad.is_empty(), "{:?}", message.bad);
            prop_assert_eq!(&message.samples, &samples);
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _result = read_samples(&bytes, Some(&Signer::new(SECRET)));
    }

    #[test]
    fn damaged_messages_never_panic(
        which in 0..CAPTURED.len(), at in any::<prop::sample::Index>(),
        put in prop_oneof![Just("NaN"), Just("\\\""), Just("null"), Just("\\\\\\\\"), Just("}"), Just("\u{e9}")],
        cut in 0..4_usize,
    ) {
        let mut damaged: Vec<char> = body(CAPTURED[which].0).chars().collect();
        let at = at.index(damaged.len());
        damaged.splice(at..(at + cut).min(damaged.len()), put.chars());
        let damaged: String = damaged.into_iter().collect();
        for signer in [None, Some(Signer::new(SECRET))] {
            let _result = read_samples(damaged.as_bytes(), signer.as_ref());
        }
    }

    #[test]
    fn any_json_for_any_key_never_panics(
        key in prop::sample::select(minimal().as_object().unwrap().keys().cloned().collect::<Vec<_>>()),
        value in any_json(),
    ) {
        let mut sample = minimal();
        sample[&key] = value;
        let message = read_samples(&wrap(&format!("[{sample}, {}]", minimal())), None).unwrap();
        prop_assert_eq!(message.samples.len() + message.bad.len(), 2);
        prop_assert!(!message.samples.is_empty());
    }
}

#[test]
fn neighbours_with_equal_metadata_share_them() {
    let sample = |name: &str, host: &str| {
        json!({"counter_name": name, "counter_type": "gauge", "counter_volume": 1, "resource_id": "r",
            "timestamp": "2026-11-21T00:00:00", "resource_metadata": {"host": host}})
    };
    let samples = [sample("a", "one"), sample("b", "one"), sample("c", "two"), sample("d", "one")];
    let body = json!({"event_type": "telemetry.polling", "payload": {"samples": samples}}).to_string();
    let read = read_samples(body.as_bytes(), None).unwrap().samples;
    let shared: Vec<bool> =
        read.windows(2).map(|pair| Arc::ptr_eq(&pair[0].metadata, &pair[1].metadata)).collect();
    assert_eq!(shared, [true, false, false]);
    let hosts: Vec<_> = read.iter().map(|sample| sample.metadata_str("host").unwrap()).collect();
    assert_eq!(hosts, ["one", "one", "two", "one"]);
}

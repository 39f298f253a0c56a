use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_500_000_000);

fn read(body: &str) -> Result<Vec<(i64, f64)>, String> {
    let mut spare = None;
    let posted: PostedMeasures<'_> =
        read_body(body.as_bytes(), &mut spare).map_err(|error| format!("json: {error}"))?;
    let measures = posted.check(NOW).map_err(|error| error.to_string())?;
    Ok(measures.iter().map(|measure| (measure.timestamp.as_nanos(), measure.value)).collect())
}

#[test]
fn numbers_texts_and_booleans_are_values() {
    let body = r#"[
        {"timestamp": "2015-03-06T14:33:57", "value": 43.1, "unit": {"a": [1]}},
        {"value": "3.5", "timestamp": "2015-03-06 14:33:58Z"},
        {"timestamp": "2015-03-06T14:33:59", "value": true},
        {"timestamp": "2015-03-06T14:34", "value": -7}
    ]"#;
    let base = 1_425_652_437_000_000_000;
    let second = 1_000_000_000;
    assert_eq!(
        read(body),
        Ok(vec![(base, 43.1), (base + second, 3.5), (base + 2 * second, 1.0), (base + 3 * second, -7.0)])
    );
    assert_eq!(read("[]"), Ok(vec![]));
}

#[test]
fn nan_and_infinities_come_as_words_or_texts() {
    let body = r#"[{"timestamp": 1, "value": NaN}, {"timestamp": 2, "value": "-inf"}, {"timestamp": "3", "value": Infinity}]"#;
    let values: Vec<f64> = read(body).unwrap().into_iter().map(|(_, value)| value).collect();
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [f64::NEG_INFINITY, f64::INFINITY]);
}

#[test]
fn one_bad_item_refuses_the_request() {
    for (body, expected) in [
        (r#"{}"#, "unexpected measures format"),
        (r#"1"#, "unexpected measures format"),
        (r#"[["2015-03-06T14:33:57", 43.1]]"#, "unexpected measures format"),
        (r#"[{"value": 1}]"#, "unexpected measures format"),
        (r#"[{"timestamp": null, "value": 1}]"#, "unexpected measures format"),
        (r#"[{"timestamp": 1, "value": null}]"#, "unexpected measures value"),
        (r#"[{"timestamp": 1}]"#, "unexpected measures value"),
        (r#"[{"timestamp": 1, "value": "x"}]"#, "unexpected measures value"),
        (r#"[{"timestamp": 1, "value": [1]}]"#, "unexpected measures value"),
        (r#"[{"timestamp": "x", "value": 1}]"#, "unexpected timestamp 'Unable to convert timestamps'"),
        (r#"[{"timestamp": -1, "value": 1}]"#, "unexpected timestamp 'Timestamp must be after Epoch'"),
        (
            r#"[{"timestamp": 1478012832, "value": 1}, {"timestamp": "-5 minutes", "value": 1}]"#,
            "unexpected timestamp 'Unable to convert timestamps'",
        ),
        (
            r#"[{"timestamp": "2015-01-01", "value": 1}, {"timestamp": 5, "value": 1}]"#,
            "unexpected timestamp 'Unable to convert timestamps'",
        ),
    ] {
        assert_eq!(read(body), Err(expected.to_owned()), "{body}");
    }
    assert!(read(r#"[{"timestamp": 1"#).unwrap_err().starts_with("json: "));
}

#[test]
fn batches_mix_their_two_forms() {
    let body = r#"{"r": {"a": [{"timestamp": 1, "value": 2}], "b": {"unit": "B", "archive_policy_name": "low",
        "measures": [{"timestamp": 3, "value": 4}]}, "c": {"measure": []}, "d": 5}, "s": []}"#;
    let batch: MaybeObject<Entries<'_, MaybeObject<Entries<'_, NamedMeasures<'_>>>>> =
        serde_json::from_str(body).unwrap();
    let resources = batch.0.unwrap().0;
    assert_eq!(resources[1].1, MaybeObject(None));
    let named = &resources[0].1.0.as_ref().unwrap().0;
    assert_eq!(named[0].1.measures.check(NOW).unwrap().len(), 1);
    assert_eq!(named[1].1.unit.as_deref(), Some("B"));
    assert_eq!(named[1].1.archive_policy_name.as_deref(), Some("low"));
    assert_eq!(named[2].1.unknown_key.as_deref(), Some("measure"));
    assert_eq!(named[3].1.measures.check(NOW), Err(MeasuresError::Format));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..96)) {
        let mut spare = None;
        if let Ok(posted) = read_body::<PostedMeasures<'_>>(&body, &mut spare) {
            let _either = posted.check(NOW);
        }
    }

    #[test]
    fn damaged_bodies_are_answered(at in 0_usize..60, byte in any::<u8>()) {
        let mut body = br#"[{"timestamp": "2015-03-06T14:33:57", "value": NaN}, {"timestamp": 5, "value": "1"}]"#.to_vec();
        body[at] = byte;
        let mut spare = None;
        if let Ok(posted) = read_body::<PostedMeasures<'_>>(&body, &mut spare) {
            let _either = posted.check(NOW);
        }
    }
}

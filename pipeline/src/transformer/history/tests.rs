use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sample(second: i64, volume: impl Into<Volume>) -> Sample {
    let mut sample = Sample::new(
        "cpu",
        SampleKind::Cumulative,
        "ns",
        volume,
        "r1",
        Timestamp::from_secs(1_525_168_800 + second),
    );
    sample.id = Uuid::from_u128(u128::from(second.unsigned_abs()));
    sample
}

fn history(samples: impl IntoIterator<Item = Sample>) -> History {
    let mut history = History::default();
    for sample in samples {
        let entry = history.entry(sample);
        match history.place(&entry) {
            Place::Before(at) => history.insert(at, entry),
            Place::At(at) => history.replace(at, entry),
            Place::Forgotten => {}
        }
    }
    history
}

fn stored(history: &History) -> Vec<u8> {
    let mut bytes = Vec::new();
    history.encode(&mut bytes);
    bytes
}

fn restored(bytes: &[u8]) -> Vec<Sample> {
    let history = History::decode(bytes).unwrap();
    history.entries.iter().map(|entry| entry.sample().unwrap().into_owned()).collect()
}

fn seconds(history: &History) -> Vec<i64> {
    history.entries.iter().map(|entry| entry.timestamp.as_secs() - 1_525_168_800).collect()
}

/// What `testdata/history/v1.bin` holds.
fn of_format_1() -> Vec<Sample> {
    let mut full = sample(30, 7_u64);
    full.user_id = Some("u1".to_owned());
    full.user_name = Some("user".to_owned());
    full.project_id = Some(String::new());
    full.source = Arc::from("hardware");
    full.monotonic_time = Some(12.5);
    let metadata = json!({"cpu_number": 2, "monotonic_origin": "boot host", "deep": {"é": [null, 0.5]}});
    full.metadata = Arc::new(metadata.as_object().unwrap().clone());
    let mut gauge = sample(40, u64::MAX);
    gauge.kind = SampleKind::Gauge;
    vec![sample(10, -5_i64), sample(20, 0.1), full, gauge]
}

#[test]
fn format_1_is_read_and_written_as_on_the_day_of_its_release() {
    let released = include_bytes!("../../../testdata/history/v1.bin");
    assert_eq!(restored(released), of_format_1());
    let mut history = history(of_format_1());
    history.trimmed = true;
    assert_eq!(stored(&history), released);
}

#[test]
fn samples_of_one_context_share_it() {
    let one = stored(&history([sample(0, 1_i64)])).len();
    let eight = stored(&history((0..8).map(|n| sample(n, n)))).len();
    assert!(eight < one + 7 * 40, "{eight} bytes for eight samples, {one} for one");
}

#[test]
fn at_most_eight_samples_and_an_hour_are_kept_but_always_the_last_two() {
    for (given, kept) in [
        ((0..12).collect::<Vec<i64>>(), (4..12).collect::<Vec<i64>>()),
        (vec![0, 101, 3_700, 3_701], vec![101, 3_700, 3_701]),
        (vec![0, 10_000, 20_000], vec![10_000, 20_000]),
        (vec![0, 3_600], vec![0, 3_600]),
        (vec![], vec![]),
    ] {
        let trimmed = given.len() != kept.len();
        let mut history = history(given.iter().map(|second| sample(*second, *second)));
        history.trim();
        assert_eq!(seconds(&history), kept);
        assert_eq!(History::decode(&stored(&history)).unwrap().trimmed, trimmed);
    }
}

#[test]
fn a_late_sample_has_its_place_unless_that_is_forgotten() {
    let mut history = history([sample(10, 1_i64), sample(30, 3_i64)]);
    let place = |history: &History, second| history.place(&history.entry(sample(second, second / 10)));
    assert_eq!(place(&history, 20), Place::Before(1));
    assert_eq!(place(&history, 30), Place::At(1));
    assert_eq!(place(&history, 40), Place::Before(2));
    assert_eq!(place(&history, 0), Place::Before(0));
    history.trimmed = true;
    assert_eq!(place(&history, 0), Place::Forgotten);
}

#[test]
fn order_follows_a_known_clock_when_the_wall_clock_was_set_back() {
    let at = |second, volume: i64, monotonic, origin: &str| {
        let mut sample = sample(second, volume);
        sample.monotonic_time = Some(monotonic);
        if !origin.is_empty() {
            let metadata = json!({"monotonic_origin": origin});
            sample.metadata = Arc::new(metadata.as_object().unwrap().clone());
        }
        sample
    };
    for (second, volume, origin, place, why) in [
        (85, 110, "a", Place::Before(2), "read later, though the wall clock says earlier"),
        (85, 110, "", Place::Before(1), "a clock without a name proves nothing"),
        (85, 110, "b", Place::Before(1), "another host's clock proves nothing"),
        (85, 95, "a", Place::Before(1), "the counter contradicts the clock"),
    ] {
        let history = history([at(80, 90, 500.0, "a"), at(90, 100, 510.0, "a")]);
        assert_eq!(history.place(&history.entry(at(second, volume, 520.0, origin))), place, "{why}");
    }
}

#[test]
fn damaged_bytes_are_no_history() {
    let good = stored(&history(of_format_1()));
    for damaged in [&good[..good.len() - 1], &[good.as_slice(), &[0]].concat(), b"H\x02\0\0\0", b"X"] {
        assert!(History::decode(damaged).is_none());
    }
    assert!(History::decode(&[]).unwrap().entries.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _history: Option<History> = History::decode(&bytes);
    }

    #[test]
    fn mutated_histories_are_answered(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = stored(&history(of_format_1()));
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Some(history) = History::decode(&bytes) {
            for entry in history.entries() {
                let _sample: Option<Cow<'_, Sample>> = entry.sample();
            }
        }
    }

    #[test]
    fn what_is_stored_comes_back(seconds in proptest::collection::btree_set(0_i64..3_000, 0..8), volume in any::<f64>()) {
        let samples: Vec<Sample> = seconds.iter().map(|second| sample(*second, volume)).collect();
        prop_assert_eq!(restored(&stored(&history(samples.clone()))), samples);
    }
}

use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};
use proptest::prelude::*;

use super::*;

fn request(seed: u8) -> SeriesRequest {
    let minute = Granularity::from_secs(60).unwrap();
    let by = [None, Some(Resample::Step(minute)), Some(Resample::Calendar(CALENDARS[usize::from(seed) % 5]))];
    SeriesRequest {
        metric: MetricId(uuid::Uuid::from_u128(u128::from(seed) << 70)),
        policy: Arc::new(ArchivePolicy {
            name: format!("policy {}", seed % 3),
            back_window: 7,
            definition: vec![PolicyItem { granularity: minute, points: Some(u64::from(seed)) }],
            methods: vec![AggregationMethod::rate(Stat::Percentile(95))],
        }),
        method: AggregationMethod::rate(Stat::Percentile(95)),
        granularities: vec![minute; usize::from(seed) % 3],
        start: (seed > 3).then_some(Timestamp::from_secs(-5)),
        stop: (seed < 200).then_some(Timestamp::MAX),
        resample: by[usize::from(seed) % 3],
    }
}

fn series(values: Vec<(i64, u64)>) -> Vec<Series> {
    let points = SeriesPoints {
        granularity: Granularity::from_secs(60).unwrap(),
        timestamps: values.iter().map(|(nanos, _)| Timestamp::from_nanos(*nanos)).collect(),
        values: values.iter().map(|(_, bits)| f64::from_bits(*bits)).collect(),
    };
    vec![Series::default(), Series { granularities: vec![points] }]
}

fn bits(all: &[Series]) -> Vec<(i64, u64)> {
    let points = all.iter().flat_map(|series| &series.granularities);
    let points = points.flat_map(|points| points.timestamps.iter().zip(&points.values));
    points.map(|(time, value)| (time.as_nanos(), value.to_bits())).collect()
}

#[test]
fn every_error_keeps_its_kind_and_its_text() {
    let errors = [
        StoreError::DiskFull { path: "/d".to_owned(), free: 1, min_free: 2 },
        StoreError::NoOwner { retry_after: Duration::from_millis(1_500) },
        StoreError::Remote { url: "http://x".to_owned(), reason: "gone".to_owned() },
        StoreError::TooLarge { what: "a query's points", size: 9, limit: 8 },
        StoreError::Damaged { path: "/d/s".to_owned(), reason: "checksum".to_owned() },
        StoreError::Io {
            action: "write",
            path: "/d/l".to_owned(),
            source: std::io::ErrorKind::StorageFull.into(),
        },
        StoreError::Closed,
    ];
    for error in errors {
        let read: Result<(), _> = decode(&encode(&Err::<(), _>(error.same()))).unwrap();
        let read = read.unwrap_err();
        assert_eq!(std::mem::discriminant(&read), std::mem::discriminant(&error));
        assert_eq!(read.to_string(), error.to_string());
        assert_eq!(read.is_retryable(), error.is_retryable());
    }
}

#[test]
fn a_message_of_another_version_is_refused() {
    let mut bytes = encode(&AppendReport::default());
    bytes[0] = VERSION + 1;
    assert_eq!(decode::<AppendReport>(&bytes), Err(Malformed("unknown version")));
}

proptest! {
    #[test]
    fn requests_survive(seeds in prop::collection::vec(any::<u8>(), 0..6)) {
        let requests: Vec<_> = seeds.into_iter().map(request).collect();
        let read: Vec<SeriesRequest> = decode(&encode(&requests)).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{requests:?}"));
    }

    #[test]
    fn series_survive_bit_for_bit(values in prop::collection::vec(any::<(i64, u64)>(), 0..20)) {
        let all = series(values);
        let read: Result<Vec<Series>, StoreError> = decode(&encode(&Ok(series(bits(&all))))).unwrap();
        prop_assert_eq!(bits(&read.unwrap()), bits(&all));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        noise in prop::collection::vec(any::<u8>(), 0..100),
        seeds in prop::collection::vec(any::<u8>(), 1..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mutate = |mut bytes: Vec<u8>| {
            for (index, byte) in &flips {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let requests: Vec<_> = seeds.into_iter().map(request).collect();
        let answer: Result<Vec<Series>, StoreError> = Ok(series(vec![(1, 2), (3, 4)]));
        for bytes in [noise, mutate(encode(&requests)), mutate(encode(&answer))] {
            let _outcomes = (
                decode::<Batch>(&bytes).is_ok(),
                decode::<Vec<SeriesRequest>>(&bytes).is_ok(),
                decode::<Vec<MetricId>>(&bytes).is_ok(),
                decode::<Result<Vec<Series>, StoreError>>(&bytes).is_ok(),
                decode::<Result<StoreStatistics, StoreError>>(&bytes).is_ok(),
            );
        }
    }
}

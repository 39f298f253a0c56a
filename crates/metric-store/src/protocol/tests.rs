use nephos_lang::operations::{Operation, Reference};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, Fill, Grid, PolicyItem, Reduction, Stat};
use proptest::prelude::*;

use super::*;
use crate::compute::{Computation, Computed, Filling, Refusal, Work};

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

/// One operation of every kind, nested as deep as clients may.
fn operations() -> Operation {
    use nephos_lang::arithmetic::{BinaryOperator, UnaryOperator};
    let reference = |name: &str| Reference { name: name.to_owned(), method: "rate:mean".to_owned() };
    let boxed = |operation| Box::new(operation);
    let mut all = Operation::Metric(vec![reference("cpu (ü) \"x"), reference("*")]);
    all = Operation::Aggregate { method: "rate:sum".to_owned(), operand: boxed(all) };
    all = Operation::Rolling { method: "std".to_owned(), window: 70_000, operand: boxed(all) };
    all = Operation::Resample { method: "last".to_owned(), step: i64::MAX, operand: boxed(all) };
    all = Operation::RateOfChange { per_second: true, operand: boxed(all) };
    all = Operation::RateOfChange { per_second: false, operand: boxed(all) };
    all = Operation::Increase { per_second: true, operand: boxed(all) };
    all = Operation::Rank { smallest: true, count: 3, method: "mean".to_owned(), operand: boxed(all) };
    all = Operation::Binary(BinaryOperator::AtMost, Box::new([all, Operation::Number(-0.0)]));
    for _ in 0..23 {
        all = Operation::Unary(UnaryOperator::Neg, boxed(all));
    }
    all
}

fn computations() -> Vec<Computation> {
    let fills = [Fill::Null, Fill::Value(-1.5), Fill::Backward, Fill::ForwardThenBackward];
    let fillings = fills.into_iter().map(|fill| Filling::Fill { fill, dropping: fill != Fill::Backward });
    let operations = Arc::new(operations());
    let work = fillings.chain([Filling::Overlap(33.3)]).map(|filling| Work::Operations {
        operations: Arc::clone(&operations),
        selection: vec![vec![0, 2], vec![]],
        filling,
    });
    let work = work.chain([Work::Share(Reduction::Min), Work::Share(Reduction::Count)]);
    let requests = |count| (1..=count).map(request).collect();
    (0..).zip(work).map(|(count, work)| Computation { requests: requests(count % 4), work }).collect()
}

fn outcomes() -> Vec<Result<Computed, Refusal>> {
    let minute = Granularity::from_secs(60).unwrap();
    let times: Vec<Timestamp> = [-60, 0, 600].map(Timestamp::from_secs).to_vec();
    let column = |value: f64| (times.clone(), vec![value, f64::INFINITY, -0.0]);
    let grid = |columns| Grid::align(minute, columns, Fill::Null);
    vec![
        Ok(Computed {
            grids: vec![grid(vec![column(1.0), column(2.0)]), grid(vec![])],
            aggregated: true,
            chosen: vec![Some(vec![7, 300]), None],
        }),
        Err(Refusal::Unaggregable("No overlap".to_owned())),
        Err(Refusal::TooMuch),
        Ok(Computed::default()),
        Err(Refusal::Malformed),
    ]
}

#[test]
fn computations_and_their_outcomes_survive() {
    let read: Vec<Computation> = decode(&encode(&computations())).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", computations()));
    let answer: Result<Vec<Result<Computed, Refusal>>, StoreError> = Ok(outcomes());
    let read: Result<Vec<Result<Computed, Refusal>>, StoreError> = decode(&encode(&answer)).unwrap();
    assert_eq!(read.unwrap(), outcomes());
}

#[test]
fn operations_that_nest_without_end_are_refused() {
    let mut bytes = encode(&Vec::<SeriesRequest>::new());
    // One computation of no series: of operations, each the rate of change of the next.
    bytes.extend([1, 0, 1]);
    bytes.resize(1 << 20, 7);
    assert_eq!(decode::<Vec<Computation>>(&bytes).unwrap_err(), Malformed("operations nest too deep"));
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
        let computed: Result<Vec<Result<Computed, Refusal>>, StoreError> = Ok(outcomes());
        let sent = [encode(&requests), encode(&answer), encode(&computations()), encode(&computed)];
        for bytes in sent.into_iter().map(mutate).chain([noise]) {
            let _outcomes = (
                decode::<Batch>(&bytes).is_ok(),
                decode::<Vec<SeriesRequest>>(&bytes).is_ok(),
                decode::<Vec<MetricId>>(&bytes).is_ok(),
                decode::<Result<Vec<Series>, StoreError>>(&bytes).is_ok(),
                decode::<Result<StoreStatistics, StoreError>>(&bytes).is_ok(),
                decode::<Vec<Computation>>(&bytes).is_ok(),
                decode::<Result<Vec<Result<Computed, Refusal>>, StoreError>>(&bytes).is_ok(),
            );
        }
    }
}

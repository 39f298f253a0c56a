use nephos_lang::operations::{Operation, Reference};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, Fill, PolicyItem, Reduction, Stat};
use proptest::prelude::*;

use super::*;
use crate::compute::{Computation, Filling, Work};

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

#[test]
fn computations_survive() {
    let read: Vec<Computation> = decode(&encode(&computations())).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", computations()));
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
        let sent = [encode(&requests), encode(&computations())];
        for bytes in sent.into_iter().map(mutate).chain([noise]) {
            let _outcomes = (
                decode::<Batch>(&bytes).is_ok(),
                decode::<Vec<SeriesRequest>>(&bytes).is_ok(),
                decode::<Vec<MetricId>>(&bytes).is_ok(),
                decode::<Result<StoreStatistics, StoreError>>(&bytes).is_ok(),
                decode::<Vec<Computation>>(&bytes).is_ok(),
            );
        }
    }
}

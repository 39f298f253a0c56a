//! Chunks of random content, and random bytes for chunks.

use proptest::prelude::*;

use super::*;

/// Reads everything there may be in a chunk.
fn read_all(bytes: &[u8]) {
    if let Ok(buffer) = decode_raw(bytes) {
        assert_eq!(buffer.timestamps.len(), buffer.values.len());
        assert!(buffer.len() <= MAX_ROWS);
    }
    if let Ok(buckets) = decode_columns(bytes) {
        assert!(buckets.columns().iter().all(|column| column.values().len() == buckets.len()));
    }
    if let Ok(chunk) = Chunk::parse(bytes) {
        assert!(!chunk.encoding_summary().is_empty());
        let mut scratch = Scratch::default();
        for method in chunk.methods() {
            // Each by itself: one that is damaged must not hide the next.
            let (mut times, mut values) = (Vec::new(), Vec::new());
            let range = Timestamp::EPOCH..Timestamp::MAX;
            if let Ok(read) = chunk.read(method, range, &mut scratch, &mut times, &mut values) {
                assert_eq!((times.len(), values.len()), (read, read));
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<u64>().prop_map(f64::from_bits),
        4 => (-1000_i32..1000).prop_map(f64::from),
        4 => (-100_000_i32..100_000).prop_map(|value| f64::from(value) / 1000.0),
        2 => -1.0..1.0,
        1 => Just(-0.0),
        1 => Just(f64::NAN),
    ]
}

/// Reads a range of time of each column.
fn check_window(buckets: &BucketColumns, bytes: &[u8], range: std::ops::Range<Timestamp>) {
    let (chunk, mut scratch) = (Chunk::parse(bytes).unwrap(), Scratch::default());
    for column in buckets.columns() {
        let (mut times, mut values) = (vec![Timestamp::EPOCH], vec![7.0]);
        let read = chunk.read(column.method(), range.clone(), &mut scratch, &mut times, &mut values).unwrap();
        let points = buckets.points(column.method()).filter(|(at, _)| range.contains(at));
        let (expected_times, expected): (Vec<_>, Vec<_>) = points.unzip();
        assert_eq!(read, expected.len());
        assert_eq!((&times[1..], bits(&values[1..])), (expected_times.as_slice(), bits(&expected)));
    }
}

/// A column long enough for every coding: what a value depends on, and how it is told.
fn any_long_column(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let shapes = (0_usize..5, any::<u64>(), prop_oneof![Just(1.0), Just(0.01), Just(512.0), Just(1.0 / 3.0)]);
    shapes.prop_map(move |(shape, seed, unit)| {
        let (mut random, mut sum, mut step) = (noise(seed), 0_i64, 0_i64);
        let values = (0..rows as i64).map(|row| {
            let small = (random() % 40).cast_signed();
            match shape {
                0 => small * small,
                1 => row * 1_000 + small,
                2 => {
                    sum += if random() % 500 == 0 { -sum } else { small * 7 };
                    sum
                }
                3 => {
                    step += small - 20;
                    sum += step;
                    sum
                }
                _ => (random() ^ random() << 20).cast_signed(),
            }
        });
        values.map(|value| value as f64 * unit).collect()
    })
}

fn any_long_buckets() -> impl Strategy<Value = BucketColumns> {
    (1_000_usize..5_000).prop_flat_map(|rows| {
        (any_times(rows), any_long_column(rows), 0_usize..100).prop_map(|(starts, values, missing)| {
            let mut column = Column::new(method("mean"));
            let present = |row: usize| missing < 50 || !row.is_multiple_of(missing);
            values
                .iter()
                .enumerate()
                .for_each(|(row, value)| column.push(Some(*value).filter(|_| present(row))));
            BucketColumns::from_parts(starts, vec![column]).unwrap()
        })
    })
}

/// Ascending timestamps: on a grid, with jitter, or anywhere.
fn any_times(rows: usize) -> impl Strategy<Value = Vec<Timestamp>> {
    let gaps = prop_oneof![
        proptest::collection::vec(Just(60_000_000_000_i64), rows),
        proptest::collection::vec((1_i64..4).prop_map(|steps| steps * 10_000_000_000), rows),
        proptest::collection::vec(999_000_000_i64..1_001_000_000, rows),
        proptest::collection::vec(1_i64..1 << 50, rows),
    ];
    (-(1_i64 << 60)..1 << 60, gaps).prop_map(|(first, gaps)| {
        let mut at = first;
        let mut next = |gap: i64| {
            at += gap;
            Timestamp::from_nanos(at)
        };
        gaps.into_iter().map(&mut next).collect()
    })
}

/// A column that holds values of one kind, as real ones do, with rows missing now and then.
fn any_column(rows: usize) -> impl Strategy<Value = Vec<Option<f64>>> {
    let kind =
        |value: BoxedStrategy<f64>| proptest::collection::vec(proptest::option::weighted(0.9, value), rows);
    prop_oneof![
        kind(any_value().boxed()),
        kind((0_u32..100_000).prop_map(f64::from).boxed()),
        kind((0_i32..1000).prop_map(|value| f64::from(value) / 10.0).boxed()),
        kind((-1.0..1.0).boxed()),
        proptest::collection::vec(any_value().prop_map(Some), rows),
        any_value().prop_map(move |value| vec![Some(value); rows]),
        Just(vec![None; rows]),
    ]
}

fn any_buckets() -> impl Strategy<Value = BucketColumns> {
    (0_usize..200).prop_flat_map(|rows| {
        (any_times(rows), proptest::collection::vec(any_column(rows), 0..5)).prop_map(|(starts, columns)| {
            let columns = columns.into_iter().zip(AggregationMethod::all()).map(|(values, method)| {
                let mut column = Column::new(method);
                values.into_iter().for_each(|value| column.push(value));
                column
            });
            BucketColumns::from_parts(starts, columns.collect()).unwrap()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_buckets_come_back(buckets in any_buckets(), small in any::<bool>()) {
        let bytes = encode_columns(&buckets, effort(small)).unwrap();
        prop_assert_eq!(decode_columns(&bytes).unwrap(), buckets);
    }

    #[test]
    fn any_window_is_the_cut_of_the_whole(
        buckets in prop_oneof![2 => any_buckets(), 1 => any_long_buckets()],
        small in any::<bool>(),
        ends in any::<[proptest::sample::Index; 8]>(),
    ) {
        let bytes = encode_columns(&buckets, effort(small)).unwrap();
        let at = |end: &proptest::sample::Index| match buckets.starts() {
            [] => Timestamp::EPOCH,
            starts => starts[end.index(starts.len())],
        };
        for pair in ends.chunks(2) {
            check_window(&buckets, &bytes, at(&pair[0])..at(&pair[1]));
            check_window(&buckets, &bytes, at(&pair[0])..at(&pair[0]).plus_nanos(360 * 60 * SECOND));
        }
        check_window(&buckets, &bytes, Timestamp::MIN..Timestamp::MAX);
    }

    #[test]
    fn any_raw_measures_come_back(
        (timestamps, values) in (0_usize..300)
            .prop_flat_map(|rows| (any_times(rows), proptest::collection::vec(any_value(), rows))),
        small in any::<bool>(),
    ) {
        let bytes = encode_raw(&timestamps, &values, effort(small)).unwrap();
        assert_raw("any", &decode_raw(&bytes).unwrap(), &RawBuffer { timestamps, values });
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_head in any::<bool>()) {
        if valid_head && bytes.len() > 2 {
            bytes[0] = VERSION | bytes[0] & 0xf0;
        }
        prop_assert!(Chunk::parse(&bytes).is_err(), "a checksum met by chance");
        read_all(&seal(bytes));
    }

    #[test]
    fn damaged_chunks_with_a_right_checksum_never_panic(
        sample in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        small in any::<bool>(),
    ) {
        let raw = raw_samples();
        let buckets = bucket_samples();
        let mut bytes = match sample.index(raw.len() + buckets.len()) {
            at if at < raw.len() => {
                let version = if has(3, raw[at].0) { 3 } else { 2 };
                golden(version, &format!("raw-{}", raw[at].0), effort(small))
            }
            at => golden(2, &format!("buckets-{}", buckets[at - raw.len()].0), effort(small)),
        };
        bytes.truncate(bytes.len() - CRC_BYTES);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        for (at, byte) in &changes {
            // The version byte stays: what follows is what is to be tested.
            let at = at.index(bytes.len());
            if at > 0 {
                bytes[at] = *byte;
            }
        }
        read_all(&seal(bytes));
    }
}

fn effort(small: bool) -> Effort {
    if small { Effort::Small } else { Effort::Quick }
}

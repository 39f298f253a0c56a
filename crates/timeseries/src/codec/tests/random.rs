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
        let name = match sample.index(raw.len() + buckets.len()) {
            at if at < raw.len() => format!("raw-{}", raw[at].0),
            at => format!("buckets-{}", buckets[at - raw.len()].0),
        };
        let mut bytes = golden(&name, effort(small));
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

use nephos_model::Granularity;
use proptest::prelude::*;

use super::*;
use crate::aggregate::aggregate_buffer;
use crate::policy::ArchivePolicy;

fn method(name: &str) -> AggregationMethod {
    name.parse().unwrap()
}

/// A small generator, so that samples are the same for ever.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

fn raw(rows: i64, mut time: impl FnMut(i64) -> i64, mut value: impl FnMut(i64) -> f64) -> RawBuffer {
    RawBuffer {
        timestamps: (0..rows).map(|row| Timestamp::from_nanos(time(row))).collect(),
        values: (0..rows).map(&mut value).collect(),
    }
}

const BEGIN: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Raw series of every shape that the encodings are for.
fn raw_samples() -> Vec<(&'static str, RawBuffer)> {
    let (mut a, mut b, mut c) = (noise(1), noise(2), noise(3));
    let odd = [
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::from_bits(0xfff8_dead_beef_0001),
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_993.0,
        0.1,
    ];
    vec![
        ("empty", RawBuffer::default()),
        ("single", raw(1, |_| BEGIN + 123_456_789, |_| 0.3)),
        ("constant", raw(500, |i| BEGIN + i * SECOND, |_| 42.0)),
        ("constant-float", raw(500, |i| BEGIN + i * SECOND, |_| 1.0 / 3.0)),
        ("counter", raw(300, |i| BEGIN + i * 10 * SECOND, |i| (i * 4096 + i % 3) as f64)),
        ("decimals", raw(300, |i| BEGIN + (i + i / 50) * SECOND, move |_| (a() % 10_000) as f64 / 100.0)),
        ("jitter", raw(200, move |i| BEGIN + i * SECOND + (b() % 5_000_000).cast_signed(), |i| i as f64)),
        ("doubles", raw(400, |i| BEGIN + i * SECOND, move |_| (c() as f64).sqrt().sin())),
        ("odd", raw(14, |i| -BEGIN + i * i, |i| odd[usize::try_from(i).unwrap()])),
        ("few-doubles", raw(20, |i| BEGIN + i * SECOND, |i| 0.5 + 1.0 / (3 + i / 4) as f64)),
        ("ends", raw(3, |i| [i64::MIN, 0, i64::MAX][usize::try_from(i).unwrap()], |i| i as f64)),
    ]
}

/// Buckets with values shared between methods, missing values and quotients.
fn bucket_samples() -> Vec<(&'static str, BucketColumns)> {
    let mut random = noise(4);
    let all: Vec<AggregationMethod> =
        "mean min max sum std count median first last 95pct rate:mean rate:sum rate:count rate:std"
            .split(' ')
            .map(method)
            .collect();
    let buckets = |buffer: &RawBuffer, secs, methods: &[AggregationMethod]| {
        let mut out = BucketColumns::new(methods);
        aggregate_buffer(buffer, Granularity::from_secs(secs).unwrap(), Timestamp::MIN, &mut out);
        out
    };
    let integers = raw(600, |i| BEGIN + i * 5 * SECOND, move |_| (random() % 1000) as f64);
    let mut gaps = noise(5);
    let sparse = raw(
        200,
        move |i| BEGIN + i * 7 * SECOND + (gaps() % 6_000_000_000).cast_signed(),
        |i| i as f64 / 10.0,
    );
    let mut special = raw(60, |i| BEGIN + i * SECOND, |i| i as f64);
    for row in (0..60).step_by(7) {
        special.values[row] = if row % 2 == 0 { f64::NAN } else { f64::NEG_INFINITY };
    }
    vec![
        ("empty", BucketColumns::new(&all)),
        ("no-methods", buckets(&integers, 60, &[])),
        ("one-measure-each", buckets(&integers, 5, &ArchivePolicy::DEFAULT_METHODS)),
        ("many-measures-each", buckets(&integers, 60, &all)),
        ("sparse", buckets(&sparse, 10, &all)),
        ("special", buckets(&special, 3, &all)),
        ("every-method", buckets(&integers, 600, &AggregationMethod::all().collect::<Vec<_>>())),
    ]
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn assert_raw(name: &str, decoded: &RawBuffer, expected: &RawBuffer) {
    assert_eq!(decoded.timestamps, expected.timestamps, "{name}");
    assert_eq!(bits(&decoded.values), bits(&expected.values), "{name}");
}

#[test]
fn raw_measures_come_back_bit_for_bit() {
    for (name, buffer) in raw_samples() {
        let bytes = encode_raw(&buffer.timestamps, &buffer.values).unwrap();
        assert_raw(name, &decode_raw(&bytes).unwrap(), &buffer);
    }
}

#[test]
fn buckets_come_back_bit_for_bit() {
    for (name, buckets) in bucket_samples() {
        let bytes = encode_columns(&buckets).unwrap();
        assert_eq!(decode_columns(&bytes, None).unwrap(), buckets, "{name}");
        let chunk = Chunk::parse(&bytes).unwrap();
        assert_eq!(chunk.rows(), buckets.len());
        assert_eq!(chunk.starts().unwrap(), buckets.starts());
        for column in buckets.columns() {
            assert_eq!(
                chunk.column(column.method()).unwrap().as_ref(),
                Some(column),
                "{name} {}",
                column.method()
            );
        }
    }
}

#[test]
fn only_the_columns_asked_for_are_unpacked() {
    let (_, buckets) = bucket_samples().swap_remove(3);
    let bytes = encode_columns(&buckets).unwrap();
    let asked = [method("max"), method("1pct"), method("mean"), method("max")];
    let some = decode_columns(&bytes, Some(&asked)).unwrap();
    assert_eq!(
        some.columns().iter().map(Column::method).collect::<Vec<_>>(),
        [method("max"), method("mean")]
    );
    assert_eq!(some.column(method("mean")), buckets.column(method("mean")));
    assert_eq!(Chunk::parse(&bytes).unwrap().column(method("1pct")), Ok(None));
}

#[test]
fn known_shapes_cost_what_they_hold() {
    let raw_limits =
        [("constant", 25), ("constant-float", 30), ("counter", 110), ("decimals", 700), ("single", 35)];
    for (name, limit) in raw_limits {
        let (_, buffer) = raw_samples().into_iter().find(|(sample, _)| *sample == name).unwrap();
        let size = encode_raw(&buffer.timestamps, &buffer.values).unwrap().len();
        assert!(size <= limit, "{name} takes {size}");
    }
    // 600 buckets of one measure: six methods cost as much as one, below 11 bits a value.
    let one_each = encode_columns(&bucket_samples()[2].1).unwrap();
    let last_alone = BucketColumns::from_parts(
        bucket_samples()[2].1.starts().to_vec(),
        vec![bucket_samples()[2].1.column(method("max")).unwrap().clone()],
    );
    let alone = encode_columns(&last_alone.unwrap()).unwrap();
    assert!(one_each.len() <= alone.len() + 32, "{} for {}", one_each.len(), alone.len());
    assert!(alone.len() <= 600 * 11 / 8 + 40, "{}", alone.len());
}

#[test]
fn a_mean_beside_sum_and_count_is_free() {
    let (_, buckets) = bucket_samples().swap_remove(3);
    let size = |names: &[&str]| {
        let columns = names.iter().map(|name| buckets.column(method(name)).unwrap().clone()).collect();
        encode_columns(&BucketColumns::from_parts(buckets.starts().to_vec(), columns).unwrap()).unwrap().len()
    };
    assert!(size(&["mean", "sum", "count"]) <= size(&["sum", "count"]) + 5);
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/testdata/chunk/v1.{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn chunks_of_version_1_can_be_read_for_ever() {
    for (name, buffer) in raw_samples() {
        assert_raw(name, &decode_raw(&golden(&format!("raw-{name}"))).unwrap(), &buffer);
    }
    for (name, buckets) in bucket_samples() {
        assert_eq!(decode_columns(&golden(&format!("buckets-{name}")), None).unwrap(), buckets, "{name}");
    }
}

#[test]
fn damage_and_strangers_are_refused_with_the_reason() {
    let (_, buckets) = bucket_samples().swap_remove(2);
    let bytes = encode_columns(&buckets).unwrap();
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        assert!(Chunk::parse(&damaged).is_err(), "byte {index}");
        assert!(Chunk::parse(&bytes[..index]).is_err(), "cut at {index}");
    }
    assert_eq!(decode_columns(&[], None), Err(CodecError::Truncated));
    assert_eq!(decode_columns(&[1, 0, 0], None), Err(CodecError::Truncated));
    assert_eq!(decode_columns(&[2, 0, 0, 0, 0, 0], None), Err(CodecError::UnknownVersion(2)));
    assert_eq!(decode_raw(&bytes).map(|buffer| buffer.len()), Err(CodecError::OtherKind("buckets")));
    let raw = encode_raw(&[Timestamp::EPOCH], &[1.0]).unwrap();
    assert_eq!(decode_columns(&raw, None), Err(CodecError::OtherKind("raw measures")));
}

#[test]
fn claims_are_checked_before_memory_is_reserved() {
    let claim = |kind: u8, rest: &[u8]| {
        let mut bytes = vec![VERSION, kind];
        bytes.extend_from_slice(rest);
        seal(bytes)
    };
    let mut rows = Vec::new();
    put_varint(&mut rows, 1 << 60);
    assert!(matches!(decode_raw(&claim(1, &rows)), Err(CodecError::TooLarge { what: "rows", .. })));
    // As many columns as there are methods, all of the largest length.
    let mut cells = Vec::new();
    put_varint(&mut cells, MAX_ROWS as u64);
    put_varint(&mut cells, 216);
    AggregationMethod::all().for_each(|method| cells.extend_from_slice(&[method.code(), 0]));
    assert!(matches!(
        decode_columns(&claim(0, &cells), None),
        Err(CodecError::TooLarge { what: "cells", .. })
    ));
    // References that lead nowhere, to themselves and to each other.
    for references in [[[0_u8, 9], [0, 9]], [[0, 0], [0, 1]], [[0, 1], [0, 0]]] {
        let mut chunk = vec![1, 2, 0, 2, 1, 2, 5, 0, 0, 0, 0, 0];
        references.iter().for_each(|reference| chunk.extend_from_slice(reference));
        assert!(
            matches!(decode_columns(&claim(0, &chunk), None), Err(CodecError::Malformed(_))),
            "{references:?}"
        );
    }
    let rows = MAX_ROWS + 1;
    let times: Vec<_> = (0_i64..).take(rows).map(Timestamp::from_nanos).collect();
    assert!(matches!(encode_raw(&times, &vec![0.0; rows]), Err(CodecError::TooLarge { what: "rows", .. })));
}

/// Reads everything there may be in a chunk.
fn read_all(bytes: &[u8]) {
    if let Ok(buffer) = decode_raw(bytes) {
        assert_eq!(buffer.timestamps.len(), buffer.values.len());
        assert!(buffer.len() <= MAX_ROWS);
    }
    if let Ok(buckets) = decode_columns(bytes, None) {
        assert!(buckets.columns().iter().all(|column| column.values().len() == buckets.len()));
    }
    if let Ok(chunk) = Chunk::parse(bytes) {
        for method in chunk.methods() {
            // Each by itself: one that is damaged must not hide the next.
            assert!(
                chunk.column(method).is_ok_and(|column| column.is_some()) || chunk.column(method).is_err()
            );
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
    fn any_buckets_come_back(buckets in any_buckets()) {
        let bytes = encode_columns(&buckets).unwrap();
        prop_assert_eq!(decode_columns(&bytes, None).unwrap(), buckets);
    }

    #[test]
    fn any_raw_measures_come_back(
        (timestamps, values) in (0_usize..300)
            .prop_flat_map(|rows| (any_times(rows), proptest::collection::vec(any_value(), rows)))
    ) {
        let bytes = encode_raw(&timestamps, &values).unwrap();
        assert_raw("any", &decode_raw(&bytes).unwrap(), &RawBuffer { timestamps, values });
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_head in any::<bool>()) {
        if valid_head && bytes.len() > 2 {
            bytes[0] = VERSION;
            bytes[1] %= 2;
        }
        read_all(&bytes);
        read_all(&seal(bytes));
    }

    #[test]
    fn damaged_chunks_with_a_right_checksum_never_panic(
        sample in 0_usize..18,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = if sample < 11 {
            golden(&format!("raw-{}", raw_samples()[sample].0))
        } else {
            golden(&format!("buckets-{}", bucket_samples()[sample - 11].0))
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

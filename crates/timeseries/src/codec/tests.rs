use super::*;
use crate::aggregate::aggregate;
use crate::method::AggregationMethod;
use crate::policy::ArchivePolicy;
use nephos_model::Granularity;

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
    let (mut a, mut b, mut c, mut d, mut e) = (noise(1), noise(2), noise(3), noise(6), noise(7));
    let (mut low, mut which) = (noise(8), noise(9));
    // Near one of four levels: a table of levels and little else.
    let mut wide = move || {
        let level = [3e9, 7e11, 4.1e13, 8.8e15][(which() % 4) as usize];
        level + (low() % 256) as f64
    };
    let (mut step, mut total) = (noise(10), 0);
    let mut long = move || {
        total += step() % 50;
        total as f64
    };
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
        ("steps", raw(300, |i| BEGIN + i * 60 * SECOND, move |_| (e() % 3 * 1000) as f64)),
        ("spikes", raw(256, |i| BEGIN + i * SECOND, |i| if i % 90 == 7 { 1e12 } else { (i % 2) as f64 })),
        ("held-doubles", raw(300, |i| BEGIN + i * SECOND, |i| 0.5 + 1.0 / (3 + i / 40) as f64)),
        (
            "late",
            raw(400, move |i| BEGIN + i * 60 * SECOND + (d() % 5 / 4 * 7_000_000).cast_signed(), |_| 0.0),
        ),
        ("gaps", raw(100, |i| BEGIN + (i + i / 10) * 10 * SECOND + 5, |i| (i * i) as f64)),
        ("wide", raw(300, |i| BEGIN + i * i * SECOND, move |_| wide())),
        ("long", raw(2_600, |i| BEGIN + i * 60 * SECOND, move |_| long())),
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
        let width = Granularity::from_secs(secs).unwrap();
        aggregate(&buffer.timestamps, &buffer.values, None, width, Timestamp::MIN, &mut out);
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
    for ((name, buffer), effort) in with_efforts(raw_samples()) {
        let bytes = encode_raw(&buffer.timestamps, &buffer.values, effort).unwrap();
        assert_raw(name, &decode_raw(&bytes).unwrap(), &buffer);
    }
}

#[test]
fn buckets_come_back_bit_for_bit() {
    let mut scratch = Scratch::default();
    for ((name, buckets), effort) in with_efforts(bucket_samples()) {
        let bytes = encode_columns(&buckets, effort).unwrap();
        assert_eq!(decode_columns(&bytes).unwrap(), buckets, "{name}");
        let chunk = Chunk::parse(&bytes).unwrap();
        assert_eq!((chunk.rows(), chunk.is_raw()), (buckets.len(), false));
        assert_eq!(chunk.starts(&mut scratch).unwrap(), buckets.starts());
        for column in buckets.columns() {
            let method = column.method();
            assert_eq!(chunk.column(method, &mut scratch).unwrap().as_ref(), Some(column), "{name} {method}");
        }
        let parts = chunk.encoding_summary();
        assert_eq!(parts.len(), buckets.columns().len() + 1);
        let sum: usize = parts.iter().map(|part| part.bytes).sum();
        assert!(bytes.len() - sum <= 4 + 1 + 3 + 2, "{name}: {sum} of {}", bytes.len());
    }
}

#[test]
fn points_of_a_range_of_time_are_read() {
    let mut scratch = Scratch::default();
    for (name, buckets) in bucket_samples() {
        let bytes = encode_columns(&buckets, Effort::Small).unwrap();
        let chunk = Chunk::parse(&bytes).unwrap();
        let rows = buckets.starts();
        let (first, last) =
            (rows.first().copied().unwrap_or_default(), rows.last().copied().unwrap_or_default());
        let middle = rows.get(rows.len() / 2).copied().unwrap_or_default();
        let bounds = [
            Timestamp::MIN,
            first,
            first.plus_nanos(1),
            middle,
            middle.plus_nanos(-1),
            last,
            last.plus_nanos(1),
            Timestamp::MAX,
        ];
        for column in buckets.columns() {
            for (from, to) in bounds.iter().flat_map(|from| bounds.iter().map(move |to| (*from, *to))) {
                let (mut times, mut values) = (vec![Timestamp::EPOCH], vec![7.0]);
                let read =
                    chunk.read(column.method(), from..to, &mut scratch, &mut times, &mut values).unwrap();
                let inside = |(at, _): &(Timestamp, f64)| *at >= from && *at < to;
                let expected: Vec<_> = buckets.points(column.method()).filter(inside).collect();
                assert_eq!(read, expected.len(), "{name} {} {from:?} {to:?}", column.method());
                assert_eq!(times[1..], expected.iter().map(|(at, _)| *at).collect::<Vec<_>>());
                assert_eq!(
                    bits(&values[1..]),
                    expected.iter().map(|(_, value)| value.to_bits()).collect::<Vec<_>>()
                );
            }
        }
    }
    let (_, buckets) = bucket_samples().swap_remove(3);
    let bytes = encode_columns(&buckets, Effort::Quick).unwrap();
    let chunk = Chunk::parse(&bytes).unwrap();
    let all = Timestamp::MIN..Timestamp::MAX;
    assert_eq!(
        chunk.read(method("1pct"), all.clone(), &mut scratch, &mut Vec::new(), &mut Vec::new()),
        Ok(0)
    );
    assert_eq!(chunk.column(method("1pct"), &mut scratch), Ok(None));
    let raw = chunk.read_raw(all, &mut scratch, &mut Vec::new(), &mut Vec::new());
    assert_eq!(raw, Err(CodecError::OtherKind("buckets")));
}

#[test]
fn known_shapes_cost_what_they_hold() {
    let raw_limits = [
        ("constant", 18),
        ("constant-float", 24),
        ("counter", 105),
        ("decimals", 580),
        ("single", 30),
        ("late", 110),
    ];
    for (name, limit) in raw_limits {
        let (_, buffer) = raw_samples().into_iter().find(|(sample, _)| *sample == name).unwrap();
        for effort in [Effort::Quick, Effort::Small] {
            let size = encode_raw(&buffer.timestamps, &buffer.values, effort).unwrap().len();
            assert!(size <= limit, "{name} takes {size}");
        }
    }
    // 600 buckets of one measure: six methods cost as much as one, below 11 bits a value.
    let buckets = bucket_samples().swap_remove(2).1;
    let one_each = encode_columns(&buckets, Effort::Small).unwrap();
    let alone = vec![buckets.column(method("max")).unwrap().clone()];
    let alone = BucketColumns::from_parts(buckets.starts().to_vec(), alone).unwrap();
    let alone = encode_columns(&alone, Effort::Small).unwrap();
    assert!(one_each.len() <= alone.len() + 14, "{} for {}", one_each.len(), alone.len());
    assert!(alone.len() <= 600 * 10 / 8 + 60, "{}", alone.len());
}

#[test]
fn a_constant_series_takes_a_dozen_bytes() {
    let mut buckets = BucketColumns::new(&[method("mean")]);
    (0..1440)
        .for_each(|row| buckets.push_row(Timestamp::from_secs(1_700_000_040 + row * 60), |_| Some(4096.0)));
    for effort in [Effort::Quick, Effort::Small] {
        assert!(encode_columns(&buckets, effort).unwrap().len() <= 13 + CRC_BYTES);
    }
}

#[test]
fn a_mean_beside_sum_and_count_is_free() {
    let (_, buckets) = bucket_samples().swap_remove(3);
    let size = |names: &[&str]| {
        let columns = names.iter().map(|name| buckets.column(method(name)).unwrap().clone()).collect();
        let buckets = BucketColumns::from_parts(buckets.starts().to_vec(), columns).unwrap();
        encode_columns(&buckets, Effort::Small).unwrap().len()
    };
    assert!(size(&["mean", "sum", "count"]) <= size(&["sum", "count"]) + 2);
}

#[test]
fn chunks_are_written_behind_what_is_there() {
    let (_, buckets) = bucket_samples().swap_remove(4);
    let mut out = vec![1, 2, 3];
    encode_columns_into(&buckets, Effort::Small, &mut Scratch::default(), &mut out).unwrap();
    assert_eq!(out[..3], [1, 2, 3]);
    assert_eq!(decode_columns(&out[3..]).unwrap(), buckets);
}

fn with_efforts<T: Clone>(samples: Vec<T>) -> impl Iterator<Item = (T, Effort)> {
    samples
        .into_iter()
        .flat_map(|sample| [Effort::Quick, Effort::Small].map(|effort| (sample.clone(), effort)))
}

fn golden(version: u8, name: &str, effort: Effort) -> Vec<u8> {
    let effort = format!("{effort:?}").to_lowercase();
    let name = format!("testdata/chunk/v{version}.{name}.{effort}.bin");
    std::fs::read(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Whether a version has a file for a sample.
fn has(version: u8, name: &str) -> bool {
    // What came with version 3 is all that it writes in another way.
    (version == 3) == (name == "long")
}

#[test]
fn chunks_of_versions_2_and_3_can_be_read_for_ever() {
    let mut encodings = std::collections::BTreeSet::new();
    let mut note = |bytes: &[u8]| {
        let parts = Chunk::parse(bytes).unwrap().encoding_summary();
        encodings.extend(parts.into_iter().map(|part| part.encoding));
    };
    for version in [2, 3] {
        for ((name, buffer), effort) in
            with_efforts(raw_samples()).filter(|((name, _), _)| has(version, name))
        {
            let bytes = golden(version, &format!("raw-{name}"), effort);
            assert_raw(name, &decode_raw(&bytes).unwrap(), &buffer);
            note(&bytes);
        }
    }
    for ((name, buckets), effort) in with_efforts(bucket_samples()) {
        let bytes = golden(2, &format!("buckets-{name}"), effort);
        assert_eq!(decode_columns(&bytes).unwrap(), buckets, "{name}");
        note(&bytes);
    }
    for encoding in [
        "grid",
        "grid with gaps",
        "constant",
        "absent",
        "same as another",
        "sum ÷ count",
        "plain",
        "xor",
        "floats, packed",
        "floats, classes",
        "floats, pco",
        "integers, packed",
        "integers, classes",
        "integers, classes in parts",
        "integers, pco",
        "decimals, packed",
    ] {
        assert!(encodings.contains(encoding), "no chunk has {encoding}: {encodings:?}");
    }
}

#[test]
fn damage_and_strangers_are_refused_with_the_reason() {
    let (_, buckets) = bucket_samples().swap_remove(2);
    let bytes = encode_columns(&buckets, Effort::Small).unwrap();
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        assert!(Chunk::parse(&damaged).is_err(), "byte {index}");
        assert!(Chunk::parse(&bytes[..index]).is_err(), "cut at {index}");
    }
    assert_eq!(decode_columns(&[]), Err(CodecError::Truncated));
    assert_eq!(decode_columns(&[VERSION, 0, 0]), Err(CodecError::Truncated));
    assert_eq!(decode_columns(&[1, 0, 0, 0, 0, 0]), Err(CodecError::UnknownVersion(1)));
    assert_eq!(decode_raw(&bytes).map(|buffer| buffer.len()), Err(CodecError::OtherKind("buckets")));
    let raw = encode_raw(&[Timestamp::EPOCH], &[1.0], Effort::Quick).unwrap();
    assert_eq!(decode_columns(&raw), Err(CodecError::OtherKind("raw measures")));
}

/// A checksum behind bytes.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn claims_are_checked_before_memory_is_reserved() {
    let mut rows = vec![VERSION];
    put_varint(&mut rows, 1 << 60);
    assert!(matches!(decode_raw(&seal(rows)), Err(CodecError::TooLarge { what: "rows", .. })));
    // As many columns as there are methods, all of the largest length.
    let mut cells = vec![VERSION | MANY << COLUMNS_SHIFT];
    put_varint(&mut cells, MAX_ROWS as u64);
    cells.extend_from_slice(&[9, 1, 0]);
    put_varint(&mut cells, 216);
    AggregationMethod::all().for_each(|method| cells.extend_from_slice(&[method.code(), ABSENT]));
    assert!(matches!(decode_columns(&seal(cells)), Err(CodecError::TooLarge { what: "cells", .. })));
    // References that lead nowhere, to themselves, to each other and to quotients of themselves.
    for references in
        [[SAME | 9, SAME | 9], [SAME, SAME], [SAME | 1, SAME], [QUOTIENT, QUOTIENT], [QUOTIENT, SAME]]
    {
        let chunk = vec![VERSION | 2 << COLUMNS_SHIFT, 2, 9, 1, 0, 0, references[0], 1, references[1]];
        let outcome = decode_columns(&seal(chunk));
        assert!(matches!(outcome, Err(CodecError::Malformed(_))), "{references:?} {outcome:?}");
    }
    let rows = MAX_ROWS + 1;
    let times: Vec<_> = (0_i64..).take(rows).map(Timestamp::from_nanos).collect();
    let outcome = encode_raw(&times, &vec![0.0; rows], Effort::Quick);
    assert!(matches!(outcome, Err(CodecError::TooLarge { what: "rows", .. })));
}

#[test]
fn the_largest_chunk_comes_back() {
    let mut random = noise(12);
    let buffer = raw(
        MAX_ROWS as i64,
        |i| BEGIN + i * SECOND,
        move |i| if i % 1000 == 0 { random() as f64 } else { (random() % 50) as f64 },
    );
    for effort in [Effort::Quick, Effort::Small] {
        let bytes = encode_raw(&buffer.timestamps, &buffer.values, effort).unwrap();
        assert_raw("largest", &decode_raw(&bytes).unwrap(), &buffer);
    }
}

mod random;

use proptest::prelude::*;

use super::*;
use crate::gather::GatheredMetric;

const ROOM: usize = 1 << 24;

/// Fields of a message to write.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, number: u64) -> Self {
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        self.0.push(u8::try_from(rest).unwrap());
        self
    }

    fn varint(self, field: u64, value: u64) -> Self {
        self.number(field << 3).number(value)
    }

    fn double(self, field: u64, value: f64) -> Self {
        let mut message = self.number(field << 3 | 1);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn bytes(self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let mut message = self.number(field << 3 | 2).number(value.as_ref().len() as u64);
        message.0.extend(value.as_ref());
        message
    }
}

fn sample(value: f64, millis: i64) -> Vec<u8> {
    Message::default().double(1, value).varint(2, millis.cast_unsigned()).0
}

fn one(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> Vec<u8> {
    let mut series = Message::default();
    for (name, value) in labels {
        series = series.bytes(1, Message::default().bytes(1, name).bytes(2, value).0);
    }
    for (value, millis) in samples {
        series = series.bytes(2, sample(*value, *millis));
    }
    series.0
}

fn request(field: u64, series: &[Vec<u8>]) -> Vec<u8> {
    series.iter().fold(Message::default(), |message, series| message.bytes(field, series)).0
}

fn take(message: &[u8], mapping: Mapping) -> Written {
    read(message, Version::One, mapping, ROOM).unwrap()
}

/// Points as `resource metric milliseconds value`.
fn shown(written: &Written) -> Vec<String> {
    let Gathered { resources, columns } = &written.gathered;
    let mut shown = Vec::new();
    for resource in resources {
        for GatheredMetric { name, points, .. } in &resource.metrics {
            for place in points.clone() {
                let millis = columns.timestamps[place].as_nanos() / 1_000_000;
                shown.push(format!("{} {name} {millis} {}", resource.id, columns.values[place]));
            }
        }
    }
    shown
}

const UP: [(&str, &str); 3] = [("__name__", "up"), ("instance", "h:9"), ("job", "j")];

#[test]
fn a_series_is_a_metric_of_its_target() {
    let hits = [("__name__", "hits"), ("code", "200"), ("instance", "h:9"), ("job", "j"), ("path", "/a\"b")];
    let other = [("__name__", "hits"), ("code", "500"), ("instance", "h:9"), ("job", "j")];
    let message = request(
        1,
        &[one(&UP, &[(1.0, 1_000)]), one(&hits, &[(5.0, 1_000), (6.0, 2_000)]), one(&other, &[(7.0, 3_000)])],
    );
    assert_eq!(
        shown(&take(&message, Mapping::Target)),
        ["j@h:9 up 1000 1", "j@h:9 hits 1000 5", "j@h:9 hits 2000 6", "j@h:9 hits 3000 7"]
    );
    let written = take(&message, Mapping::Labels);
    assert_eq!(
        shown(&written),
        [
            "j@h:9 up 1000 1",
            "j@h:9{code=\"200\",path=\"_a\\\"b\"} hits 1000 5",
            "j@h:9{code=\"200\",path=\"_a\\\"b\"} hits 2000 6",
            "j@h:9{code=\"500\"} hits 3000 7"
        ]
    );
    let attributes = |place: usize| {
        let attributes = &written.gathered.resources[place].attributes;
        attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(attributes(0), [("job", "j"), ("instance", "h:9")]);
    assert_eq!(attributes(1), [("job", "j"), ("instance", "h:9"), ("code", "200"), ("path", "/a\"b")]);
}

#[test]
fn labels_that_lack_are_none_and_long_ids_are_cut() {
    let long = "x".repeat(400);
    for (labels, expected) in [
        (&[("__name__", "a/b")][..], "none@none a_b 1 1"),
        (&[("__name__", "m"), ("job", "k/n"), ("instance", "")], "k_n@none m 1 1"),
    ] {
        let message = request(1, &[one(labels, &[(1.0, 1)])]);
        assert_eq!(shown(&take(&message, Mapping::Target)), [expected]);
    }
    let message = request(1, &[one(&[("__name__", "m"), ("job", &long)], &[(1.0, 1)])]);
    let written = take(&message, Mapping::Target);
    assert_eq!(written.gathered.resources[0].id.len(), 264);
    assert_eq!(written.gathered.resources[0].attributes[0].1, long);
}

#[test]
fn ends_of_series_leave_no_point_and_other_nans_do() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let message =
        request(1, &[one(&UP, &[(stale, 1), (f64::NAN, 2)]), one(&[("__name__", "gone")], &[(stale, 1)])]);
    let written = take(&message, Mapping::Target);
    assert_eq!(written.stale, 2);
    assert_eq!(written.refused, Refused::default());
    assert_eq!(shown(&written), ["j@h:9 up 2 NaN"]);
}

#[test]
fn what_cannot_be_taken_is_told_and_harms_no_other() {
    let no_name = one(&[("job", "j")], &[(1.0, 1), (1.0, 2)]);
    let no_text = Message::default()
        .bytes(1, Message::default().bytes(1, "__name__").bytes(2, [0xff]).0)
        .bytes(2, sample(1.0, 1))
        .0;
    let long_name = one(&[("__name__", "x".repeat(1_025).as_str())], &[(1.0, 1)]);
    let early = one(&UP, &[(1.0, -1), (2.0, 2), (3.0, i64::MAX)]);
    let histogram = Message(one(&UP, &[])).bytes(4, [8, 1]).0;
    for (series, samples, histograms, fault, left) in [
        (no_name, 2, 0, SeriesFault::NoName, vec![]),
        (no_text, 1, 0, SeriesFault::NoText, vec![]),
        (long_name, 1, 0, SeriesFault::LongName, vec![]),
        (early, 2, 0, SeriesFault::Timestamp(-1), vec!["j@h:9 up 2 2"]),
        (histogram, 0, 1, SeriesFault::Histogram, vec![]),
    ] {
        let good = one(&[("__name__", "good")], &[(1.0, 1)]);
        let written = take(&request(1, &[good, series]), Mapping::Target);
        assert_eq!(written.refused, Refused { samples, histograms, first: Some((2, fault)) });
        let mut expected = vec!["none@none good 1 1"];
        expected.extend(left);
        assert_eq!(shown(&written), expected);
    }
}

fn two(symbols: &[&str], series: &[Vec<u8>]) -> Vec<u8> {
    // Series before symbols: order means nothing in protobuf.
    symbols.iter().fold(Message(request(5, series)), |message, symbol| message.bytes(4, symbol)).0
}

fn two_series(references: &[u8], samples: &[(f64, i64)]) -> Message {
    let series = Message::default().bytes(1, references);
    samples.iter().fold(series, |series, (value, millis)| series.bytes(2, sample(*value, *millis)))
}

#[test]
fn version_two_refers_to_its_symbols() {
    let symbols = ["", "__name__", "up", "job", "j", "instance", "h", "bytes"];
    let unit = Message::default().varint(1, 2).varint(4, 7).0;
    let good = two_series(&[1, 2, 3, 4, 5, 6], &[(1.5, 1_000)]).bytes(5, unit).bytes(4, [8, 1]).0;
    let unpacked = [1, 2].iter().fold(Message::default(), |series, symbol| series.varint(1, *symbol));
    let unpacked = unpacked.bytes(2, sample(2.0, 5)).0;
    let message = two(&symbols, &[good.clone(), unpacked]);
    let written = read(&message, Version::Two, Mapping::Target, ROOM).unwrap();
    assert_eq!(shown(&written), ["j@h up 1000 1.5", "none@none up 5 2"]);
    assert_eq!(written.gathered.resources[0].metrics[0].unit.as_deref(), Some("bytes"));
    assert_eq!(written.exemplars, 1);
    for (series, fault) in [
        (two_series(&[1, 2, 3], &[(1.0, 1)]), SeriesFault::Unpaired),
        (two_series(&[1, 99], &[(1.0, 1)]), SeriesFault::NoSymbol(99)),
        (two_series(&[3, 4], &[(1.0, 1)]), SeriesFault::NoName),
        (two_series(&[1, 2], &[]).bytes(3, [8, 1]), SeriesFault::Histogram),
    ] {
        let message = two(&symbols, &[series.0, good.clone()]);
        let written = read(&message, Version::Two, Mapping::Target, ROOM).unwrap();
        assert_eq!(written.refused.first, Some((1, fault)));
        assert_eq!(shown(&written), ["j@h up 1000 1.5"]);
    }
}

#[test]
fn blocks_are_unpacked_within_limits() {
    let message = request(1, &[one(&UP, &[(1.0, 1)])]);
    let block = snap::raw::Encoder::new().compress_vec(&message).unwrap();
    assert_eq!(decompress(&block, message.len()), Ok(message.clone()));
    assert_eq!(
        decompress(&block, message.len() - 1),
        Err(PrometheusFault::TooLarge { limit: message.len() - 1 })
    );
    assert_eq!(decompress(&message, 1 << 20), Err(PrometheusFault::Snappy));
    assert_eq!(decompress(b"", 10), Err(PrometheusFault::Snappy));
    // A block that promises far more than it can hold is not even tried.
    assert_eq!(decompress(&[0x80, 0x80, 0x80, 0x10, 0], usize::MAX), Err(PrometheusFault::Snappy));
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 22]).unwrap();
    assert_eq!(decompress(&bomb, 1 << 20), Err(PrometheusFault::TooLarge { limit: 1 << 20 }));
}

#[test]
fn few_bytes_cannot_ask_for_much_memory() {
    let symbols = ["", "__name__", "up", "job", &"x".repeat(100_000)];
    let series: Vec<_> = (0..1_000).map(|_| two_series(&[1, 2, 3, 4], &[(1.0, 1)]).0).collect();
    let fault = read(&two(&symbols, &series), Version::Two, Mapping::Labels, ROOM).unwrap_err();
    assert_eq!(fault, PrometheusFault::Full(Full));
    let many: Vec<u8> = [1, 2].iter().copied().cycle().take(4_000).collect();
    let written =
        read(&two(&symbols, &[two_series(&many, &[(1.0, 1)]).0]), Version::Two, Mapping::Target, ROOM);
    assert_eq!(written.unwrap().refused.first, Some((1, SeriesFault::ManyLabels)));
    let samples = vec![(1.0, 1); 1_000_000];
    let message = request(1, &[one(&UP, &samples)]);
    assert_eq!(read(&message, Version::One, Mapping::Target, ROOM).unwrap_err(), PrometheusFault::Full(Full));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _result = decompress(&bytes, 1 << 16);
        for version in [Version::One, Version::Two] {
            for mapping in [Mapping::Target, Mapping::Labels] {
                let _result = read(&bytes, version, mapping, ROOM);
            }
        }
    }

    #[test]
    fn changed_messages_are_no_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)
    ) {
        let symbols = ["", "__name__", "up", "job", "j"];
        let messages = [
            (Version::One, request(1, &[one(&UP, &[(1.0, 1), (2.0, 2)]), one(&[("__name__", "m")], &[(3.0, 3)])])),
            (Version::Two, two(&symbols, &[two_series(&[1, 2, 3, 4], &[(1.0, 1)]).0])),
        ];
        for (version, mut message) in messages {
            for (place, byte) in &changes {
                let place = place.index(message.len());
                message[place] = *byte;
            }
            let Ok(written) = read(&message, version, Mapping::Labels, ROOM) else { continue };
            let Gathered { resources, columns } = written.gathered;
            let metrics = resources.iter().flat_map(|resource| &resource.metrics);
            prop_assert_eq!(metrics.map(|metric| metric.points.len()).sum::<usize>(), columns.values.len());
        }
    }
}

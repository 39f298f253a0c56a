use proptest::prelude::*;

use super::*;

fn options() -> Options {
    Options {
        tag: "host".to_owned(),
        precision: Precision::Nanos,
        now: Timestamp::from_secs(77),
        room: 1 << 24,
    }
}

/// Points as `resource metric nanoseconds value`.
fn shown(written: &Written) -> Vec<String> {
    let Gathered { resources, columns } = &written.gathered;
    let mut shown = Vec::new();
    for resource in resources {
        for metric in &resource.metrics {
            for place in metric.points.clone() {
                let (timestamp, value) = (columns.timestamps[place].as_nanos(), columns.values[place]);
                shown.push(format!("{} {} {timestamp} {value}", resource.id, metric.name));
            }
        }
    }
    shown
}

fn points(text: &str) -> Vec<String> {
    let written = read(text.as_bytes(), &options()).unwrap();
    assert_eq!(written.first, None, "{text}");
    shown(&written)
}

#[test]
fn numeric_fields_become_points() {
    for (line, expected) in [
        (
            "mymetric,host=foobar,mytag=myvalue field=123 1510581804179554816",
            &["foobar mymetric.field@mytag=myvalue 1510581804179554816 123"][..],
        ),
        ("cpu,path=/foobar,host=a field=43i 5", &["a cpu.field@path=_foobar 5 43"]),
        (
            "m,host=a x=1.5,y=-2e3,z=7u,s=\"text, with = all\",t=true,f=F 9",
            &["a m.x 9 1.5", "a m.y 9 -2000", "a m.z 9 7", "a m.t 9 1", "a m.f 9 0"],
        ),
        ("m,host=a x=1", &["a m.x 77000000000 1"]),
        ("m,host=a x=1 ", &["a m.x 77000000000 1"]),
        ("m,z=1,host=a,b=2 x=1 3", &["a m.x@b=2,z=1 3 1"]),
        ("m\\,1\\ 2,host=a\\ b,t\\=1=v\\,w x\\ y=1 3", &["a b m,1 2.x y@t=1=v,w 3 1"]),
        ("\"a measure\",host=a \"a field\"=1 3", &["a a measure.a field 3 1"]),
        ("m,host=a,host=b x=1 3", &["b m.x 3 1"]),
        ("m,host=a s=\"only text\" 3", &[]),
        ("m s=\"text needs no resource\" 3", &[]),
        ("\n# a comment\n\r\nm,host=a x=1 3\r\n", &["a m.x 3 1"]),
        ("m,host=a x=1 3\nm,host=b x=2 3\nm,host=a x=3 4", &["a m.x 3 1", "a m.x 4 3", "b m.x 3 2"]),
        ("m,host=http://h/p x=1 3", &["http:__h_p m.x 3 1"]),
        ("m,host=a\\b x=1 3", &["a\\b m.x 3 1"]),
    ] {
        assert_eq!(points(line), expected, "{line}");
    }
}

#[test]
fn lines_that_cannot_be_read_are_told_and_harm_no_other() {
    let syntax = |expected, column| LineFault::Syntax { expected, column };
    for (line, fault) in [
        ("m", syntax("a space before the fields", 2)),
        ("m,host", syntax("= after the tag", 7)),
        ("m,host=", syntax("the value of a tag", 8)),
        (",host=a x=1", syntax("a measurement", 1)),
        ("m,host=a ", syntax("a space before the fields", 9)),
        ("m,host=a x", syntax("= after the field", 11)),
        ("m,host=a x=", syntax("a number, a boolean or a text in quotes", 12)),
        ("m,host=a x=nan", syntax("a number, a boolean or a text in quotes", 12)),
        ("m,host=a x=1e999", syntax("a number, a boolean or a text in quotes", 12)),
        ("m,host=a x=1ii", syntax("a number, a boolean or a text in quotes", 12)),
        ("m,host=a x=\"abc", syntax("a quote that ends the text", 12)),
        ("m,host=a x=\"abc\"d", syntax("a comma or a space after the value", 17)),
        ("m,host=a x=1 soon", syntax("a timestamp", 14)),
        ("m,host=a x=1 -5", LineFault::Timestamp),
        ("m,host=a x=1 99999999999999999999", LineFault::Timestamp),
        ("m,other=a x=1 5", LineFault::NoTag),
    ] {
        let text = format!("m,host=a x=1 1\n\n{line}\nm,host=a x=2 2\n");
        let written = read(text.as_bytes(), &options()).unwrap();
        assert_eq!(written.first, Some((2, fault)), "{line}");
        assert_eq!((written.lines, written.refused), (4, 1), "{line}");
        assert_eq!(shown(&written), ["a m.x 1 1", "a m.x 2 2"], "{line}");
    }
    let written = read(b"m,host=\xff x=1", &options()).unwrap();
    assert_eq!(written.first, Some((0, LineFault::NoText)));
    let long = format!("m,host=a,t={} x=1 1", "v".repeat(1_100));
    assert_eq!(read(long.as_bytes(), &options()).unwrap().first, Some((0, LineFault::LongName)));
}

#[test]
fn timestamps_count_what_the_sender_says() {
    for (text, nanos) in [
        ("ns", 5),
        ("n", 5),
        ("u", 5_000),
        ("us", 5_000),
        ("ms", 5_000_000),
        ("s", 5_000_000_000),
        ("m", 300_000_000_000),
        ("h", 18_000_000_000_000),
    ] {
        let options = Options { precision: Precision::parse(text).unwrap(), ..options() };
        let written = read(b"m,host=a x=1 5", &options).unwrap();
        assert_eq!(written.gathered.columns.timestamps, [Timestamp::from_nanos(nanos)], "{text}");
    }
    assert_eq!(Precision::parse("d"), None);
}

#[test]
fn few_bytes_cannot_ask_for_much_memory() {
    let mut text = format!("m,host=a,t={} ", "v".repeat(900));
    text.extend((0..100_000).map(|field| format!("f{field}=1,")));
    text.push_str("x=1 1");
    assert_eq!(read(text.as_bytes(), &options()).unwrap_err(), Full);
}

const VALID: &str = "cpu,host=web\\ 1,cpu=cpu0 usage_idle=98.5,usage_user=1i,name=\"a \\\"b\\\"\",ok=true 1510581804179554816\n\
    mem,host=web2 used=12345u,free=1e9\n# comment\n\n\"disk io\",host=\"x\",path=/var read=1 1510581804000000000\n";

proptest! {
    #[test]
    fn no_text_is_a_panic(
        text in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            ("[a-z,= \\\\\"#\n0-9.eiu+-]{0,120}").prop_map(String::into_bytes),
        ]
    ) {
        let written = read(&text, &options()).unwrap();
        prop_assert!(written.refused <= written.lines);
        prop_assert_eq!(written.refused > 0, written.first.is_some());
    }

    #[test]
    fn changed_lines_harm_no_line_before_them(
        changes in proptest::collection::vec((0..VALID.len(), any::<u8>()), 1..6)
    ) {
        let mut text = VALID.as_bytes().to_vec();
        for (place, byte) in &changes {
            text[*place] = *byte;
        }
        let first = changes.iter().map(|(place, _)| *place).min().unwrap();
        let whole = VALID[..first].bytes().filter(|byte| *byte == b'\n').count() as u64;
        let written = read(&text, &options()).unwrap();
        prop_assert!(written.first.is_none_or(|(line, _)| line >= whole));
        let Gathered { resources, columns } = written.gathered;
        let points: usize = resources.iter().flat_map(|resource| &resource.metrics).map(|metric| metric.points.len()).sum();
        prop_assert_eq!(points, columns.values.len());
        prop_assert!(columns.values.iter().all(|value| value.is_finite()));
    }
}

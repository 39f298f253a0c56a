use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn flushed(aggregator: &mut Aggregator) -> Vec<(String, f64)> {
    let mut due: Vec<_> = aggregator.flush().into_iter().map(|due| (due.metric, due.value)).collect();
    due.sort_by(|a, b| a.0.cmp(&b.0));
    due
}

fn named(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    expected.iter().map(|(metric, value)| ((*metric).to_owned(), *value)).collect()
}

#[test]
fn lines_of_every_type_are_understood() {
    for (line, expected) in [
        ("gorets:1|c", Ok(("gorets", What::Count(1.0)))),
        ("gorets:1|c|@0.1", Ok(("gorets", What::Count(10.0)))),
        ("gaugor:333|g", Ok(("gaugor", What::Gauge(333.0)))),
        ("gaugor:-10|g", Ok(("gaugor", What::GaugeChange(-10.0)))),
        ("gaugor:+4.5|g", Ok(("gaugor", What::GaugeChange(4.5)))),
        ("glork:320|ms", Ok(("glork", What::Timer(320.0)))),
        ("uniques:765|s", Ok(("uniques", What::Seen("765")))),
        ("a:1|g|@0.5", Err(StatsdFault::Rate)),
        ("a:1|ms|@0.5", Err(StatsdFault::Rate)),
        ("a:1|c|@0", Err(StatsdFault::Rate)),
        ("a:1|c|@1.5", Err(StatsdFault::Rate)),
        ("a:1|c|0.5", Err(StatsdFault::Rate)),
        ("a:1|h", Err(StatsdFault::Type)),
        ("a:x|c", Err(StatsdFault::Value)),
        ("a:nan|g", Err(StatsdFault::Value)),
        ("a:1", Err(StatsdFault::Shape)),
        ("a|c", Err(StatsdFault::Shape)),
        (":1|c", Err(StatsdFault::Shape)),
        ("a:1:2|c", Err(StatsdFault::Shape)),
        ("a:1|c|@1|x", Err(StatsdFault::Shape)),
    ] {
        let expected = expected.map(|(name, what)| Event { name, what });
        assert_eq!(parse(line.as_bytes()), expected, "{line}");
    }
    assert_eq!(parse(b"a\xff:1|c"), Err(StatsdFault::NoText));
    assert_eq!(parse(format!("{}:1|c", "a".repeat(1_025)).as_bytes()), Err(StatsdFault::LongName));
}

#[test]
fn what_is_due_at_a_flush_is_one_value_for_each_metric() {
    let mut aggregator = Aggregator::new(100);
    let tally = aggregator
        .take(b"c:1|c\nc:2|c|@0.5\ng:5|g\r\ng:-2|g\n\nt:1|ms\nt:7|ms\nbad\ns:x|s\ns:y|s\ns:x|s", at(5));
    assert_eq!(tally, Tally { taken: 9, faulty: 1, dropped: 0, first: Some(StatsdFault::Shape) });
    assert_eq!(flushed(&mut aggregator), named(&[("c|c", 5.0), ("g|g", 3.0), ("s|s", 2.0), ("t|ms", 7.0)]));
    // Counters, timers and sets start anew; what did not come is not due; gauges go on from where they were.
    aggregator.take(b"c:1|c\ng:+1|g\ns:x|s", at(6));
    assert_eq!(flushed(&mut aggregator), named(&[("c|c", 1.0), ("g|g", 4.0), ("s|s", 1.0)]));
    assert_eq!(flushed(&mut aggregator), named(&[]));
}

#[test]
fn a_value_is_of_the_time_it_was_told_last() {
    let mut aggregator = Aggregator::new(100);
    aggregator.take(b"a/b:1|c", at(1));
    aggregator.take(b"a/b:1|c", at(3));
    assert_eq!(aggregator.flush(), [Due { metric: "a_b|c".to_owned(), timestamp: at(3), value: 2.0 }]);
}

#[test]
fn memory_is_bounded_and_gauges_at_rest_make_room() {
    let mut aggregator = Aggregator::new(2);
    assert_eq!(aggregator.take(b"a:1|g\nb:1|g\nc:1|g\na:2|g", at(1)).dropped, 1);
    aggregator.flush();
    assert_eq!(
        aggregator.take(b"a:+1|g\nc:1|c\nd:1|c", at(2)),
        Tally { taken: 2, dropped: 1, ..Tally::default() }
    );
    assert_eq!(flushed(&mut aggregator), named(&[("a|g", 3.0), ("c|c", 1.0)]));
    let lines: String = (0..1_000).map(|value| format!("s:{value}|s\n")).collect();
    let tally = aggregator.take(lines.as_bytes(), at(3));
    assert_eq!((tally.taken, tally.dropped), (128, 872));
}

proptest! {
    #[test]
    fn no_datagram_is_a_panic_and_every_line_is_counted(
        datagram in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "([ab/|:@+.0-9cgms\n-]{0,12}:[+-]?[0-9.]{1,4}\\|(c|g|ms|s|x)(\\|@[0-9.]{1,3})?\n){0,6}".prop_map(String::into_bytes),
        ]
    ) {
        let mut aggregator = Aggregator::new(3);
        let tally = aggregator.take(&datagram, at(1));
        let lines = datagram.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii_end().is_empty());
        prop_assert_eq!(tally.taken + tally.faulty + tally.dropped, lines.count() as u64);
        let due = aggregator.flush();
        prop_assert!(due.len() <= 3);
        prop_assert!(due.iter().all(|due| !due.value.is_nan() && !due.metric.contains('/')));
    }
}

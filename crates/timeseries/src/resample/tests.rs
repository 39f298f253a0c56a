use super::*;
use crate::method::Stat;

fn method(name: &str) -> AggregationMethod {
    name.parse().unwrap()
}

fn secs(timestamps: &[i64]) -> Vec<Timestamp> {
    timestamps.iter().copied().map(Timestamp::from_secs).collect()
}

fn step(width: i64) -> Resample {
    Resample::Step(Granularity::from_secs(width).unwrap())
}

#[test]
fn groups_take_the_statistic_of_the_method() {
    let (timestamps, values) = (secs(&[0, 60, 120, 300]), [1.0, 5.0, 3.0, 8.0]);
    let cases: [(&str, &[(i64, f64)]); 6] = [
        ("mean", &[(0, 3.0), (300, 8.0)]),
        ("count", &[(0, 3.0), (300, 1.0)]),
        ("std", &[(0, 2.0)]),
        ("50pct", &[(0, 3.0), (300, 8.0)]),
        ("rate:mean", &[(0, 3.0), (300, 8.0)]),
        ("rate:max", &[(0, 5.0), (300, 8.0)]),
    ];
    for (name, expected) in cases {
        let (starts, results) = resample(&timestamps, &values, method(name), step(300));
        let ours: Vec<_> = starts.iter().map(|start| start.as_secs()).zip(results).collect();
        assert_eq!(ours, expected, "{name}");
    }
}

#[test]
fn a_smaller_step_relabels() {
    let (starts, values) = resample(&secs(&[0, 10, 20, 30]), &[1.0, 2.0, 3.0, 4.0], method("mean"), step(7));
    assert_eq!(starts, secs(&[0, 7, 14, 28]));
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn calendar_groups_begin_on_their_first_midnight() {
    // 2012-02-29T23:59:59.999999999Z, a Wednesday; then a Sunday and the first of a half-year.
    let cases = [
        (1_330_559_999, Calendar::Year, 1_325_376_000),
        (1_330_559_999, Calendar::HalfYear, 1_325_376_000),
        (1_330_559_999, Calendar::Quarter, 1_325_376_000),
        (1_330_559_999, Calendar::Month, 1_328_054_400),
        (1_330_559_999, Calendar::Week, 1_330_214_400),
        (1_330_214_400, Calendar::Week, 1_330_214_400),
        (1_330_214_399, Calendar::Week, 1_329_609_600),
        (1_341_100_800, Calendar::HalfYear, 1_341_100_800),
        (1_341_100_800, Calendar::Quarter, 1_341_100_800),
        (-1, Calendar::Year, -31_536_000),
        (-1, Calendar::Week, -345_600),
    ];
    for (at, calendar, start) in cases {
        let at = Timestamp::from_secs(at).plus_nanos(999_999_999);
        assert_eq!(calendar.floor(at), Timestamp::from_secs(start), "{at:?} {calendar:?}");
    }
    assert_eq!(Calendar::from_letter("H"), Some(Calendar::HalfYear));
    assert_eq!(Calendar::from_letter("D"), None);
}

#[test]
fn every_day_of_eight_centuries_is_in_the_month_it_began_in() {
    const CYCLE: i64 = 146_097;
    let mut previous = month_of_day(-CYCLE);
    let mut starts = 0;
    for day in -CYCLE + 1..=CYCLE {
        let month = month_of_day(day);
        if month != previous {
            assert_eq!(month, previous + 1);
            assert_eq!(first_day_of_month(month), day);
            starts += 1;
            previous = month;
        }
    }
    assert_eq!(starts, 800 * 12);
    assert_eq!((month_of_day(0), first_day_of_month(12 * 30)), (0, 10_957));
}

#[test]
fn next_group_begins_where_this_one_ends() {
    let all = [Calendar::Year, Calendar::HalfYear, Calendar::Quarter, Calendar::Month, Calendar::Week];
    for by in all.map(Resample::Calendar).into_iter().chain([step(7)]) {
        for at in [-86_400 * 400, -1, 0, 1_330_559_999, 4_107_542_400].map(Timestamp::from_secs) {
            let next = by.next(at);
            assert!(by.floor(at) <= at && at < next);
            assert_eq!(by.floor(next), next);
            assert_eq!(by.floor(next.plus_nanos(-1)), by.floor(at));
        }
    }
}

#[test]
fn windows_round_start_down_and_leave_stop_alone() {
    let timestamps = secs(&[0, 60, 120, 180, 240]);
    let at = |secs| Some(Timestamp::from_secs(secs));
    let cases = [
        (None, None, 0..5),
        (at(119), at(240), 1..4),
        (at(120), at(241), 2..5),
        (at(121), at(120), 2..2),
        (at(500), None, 5..5),
        (at(240), at(0), 4..4),
    ];
    for (start, stop, rows) in cases {
        assert_eq!(window(&timestamps, start, stop, step(60)), rows, "{start:?} {stop:?}");
    }
    let (start, stop) = step(300).input_window(at(301), at(900));
    assert_eq!((start, stop), (at(300), at(900)));
    assert_eq!(step(300).input_window(None, at(901)), (None, at(1200)));
}

#[test]
fn ends_of_time_can_be_grouped() {
    let timestamps = [Timestamp::MIN, Timestamp::from_nanos(i64::MAX - 1), Timestamp::MAX];
    let all = [Calendar::Year, Calendar::HalfYear, Calendar::Quarter, Calendar::Month, Calendar::Week];
    for by in all.map(Resample::Calendar).into_iter().chain([step(7)]) {
        let (_, counts) = resample(&timestamps, &[1.0; 3], AggregationMethod::plain(Stat::Count), by);
        assert_eq!(counts.iter().sum::<f64>(), 3.0, "{by:?}");
    }
}

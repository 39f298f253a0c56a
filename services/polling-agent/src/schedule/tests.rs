use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn every(seconds: u64) -> Schedule {
    Schedule::Interval(Duration::from_secs(seconds))
}

fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::Cron(Box::new(CronSchedule {
        expression: expression.to_owned(),
        timezone: zone.to_owned(),
        pattern: expression.parse().unwrap(),
        zone: TimeZone::get(zone).unwrap(),
    }))
}

fn at(text: &str) -> Timestamp {
    nephos_wire::time::parse_iso8601(text).unwrap()
}

const START: Duration = Duration::from_secs(5);

fn pace(first: FirstRun) -> Pace {
    Pace::new(every(60), "node1", first, START)
}

#[test]
fn the_first_run_is_at_once_or_jittered() {
    assert_eq!(pace(FirstRun::AtOnce).next_due(None, Timestamp::EPOCH), Due::At(START));
    let Due::At(jittered) = pace(FirstRun::Jittered).next_due(None, Timestamp::EPOCH) else {
        panic!("wall clock")
    };
    assert!(jittered > START && jittered <= START + Duration::from_secs(6), "{jittered:?}");
}

#[test]
fn later_runs_stand_on_a_grid_however_late_each_begins() {
    let pace = pace(FirstRun::AtOnce);
    let mut last = START;
    let mut times = Vec::new();
    for lateness in [0, 1_999, 30, 700, 0] {
        let Due::At(due) = pace.next_due(Some(last), Timestamp::EPOCH) else { panic!("wall clock") };
        times.push(due);
        last = due + Duration::from_millis(lateness);
    }
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [Duration::from_secs(60); 4]);
    let jitter = times[0] - START - Duration::from_secs(60);
    assert!(jitter <= Duration::from_secs(6), "{jitter:?}");
}

#[test]
fn a_run_that_was_missed_is_due_at_once_but_only_one() {
    let pace = pace(FirstRun::AtOnce);
    let Due::At(missed) = pace.next_due(Some(START), Timestamp::EPOCH) else { panic!("wall clock") };
    let late = missed + Duration::from_secs(200);
    let due = pace.next_due(Some(START), Timestamp::EPOCH);
    assert!(due.is_reached(Moment { wall: Timestamp::EPOCH, monotonic: late }));
    let Due::At(next) = pace.next_due(Some(late), Timestamp::EPOCH) else { panic!("wall clock") };
    assert!(
        next > late && next <= late + Duration::from_secs(60),
        "back on the grid: {next:?} after {late:?}"
    );
}

#[test]
fn hosts_are_spread_and_sources_of_one_schedule_stay_together() {
    let first = |host: &str, seconds| {
        let pace = Pace::new(every(seconds), host, FirstRun::Jittered, Duration::ZERO);
        pace.next_due(None, Timestamp::EPOCH)
    };
    let hosts: std::collections::HashSet<String> =
        (0..50).map(|index| format!("{:?}", first(&format!("node{index}"), 60))).collect();
    assert_eq!(hosts.len(), 50);
    assert_eq!(first("node1", 60), first("node1", 60));
}

#[test]
fn the_wall_clock_does_not_move_intervals() {
    let pace = pace(FirstRun::AtOnce);
    assert_eq!(pace.next_due(Some(START), Timestamp::EPOCH), pace.next_due(Some(START), Timestamp::MAX));
}

#[test]
fn cron_times_follow_the_wall_clock_in_their_zone() {
    for (expression, zone, since, due) in [
        ("0 11 * * *", "UTC", "2026-11-21T10:59:59Z", "2026-11-21T11:00:00Z"),
        ("0 11 * * *", "UTC", "2026-11-21T11:00:00Z", "2026-11-22T11:00:00Z"),
        ("0 11 * * *", "Europe/Berlin", "2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"),
        ("*/5 * * * *", "UTC", "2026-11-21T11:02:00Z", "2026-11-21T11:05:00Z"),
    ] {
        let pace = Pace::new(cron(expression, zone), "node1", FirstRun::AtOnce, START);
        assert_eq!(pace.next_due(None, at(since)), Due::On(at(due)), "{expression} {zone} {since}");
        assert_eq!(pace.next_due(Some(START), at(since)), Due::On(at(due)), "not at once, nor jittered");
    }
}

#[test]
fn a_cron_expression_without_future_is_never_due() {
    let pace = Pace::new(cron("0 0 30 2 *", "UTC"), "node1", FirstRun::AtOnce, START);
    let due = pace.next_due(None, at("2026-11-21T11:00:00Z"));
    assert_eq!(due, Due::Never);
    assert!(!due.is_reached(Moment { wall: Timestamp::MAX, monotonic: Duration::MAX }));
}

#[test]
fn a_run_longer_than_its_interval_is_an_overrun() {
    assert!(!pace(FirstRun::AtOnce).is_overrun(Duration::from_secs(60)));
    assert!(pace(FirstRun::AtOnce).is_overrun(Duration::from_secs(61)));
}

proptest! {
    #[test]
    fn the_next_run_is_always_later_and_never_further_than_an_interval_and_its_jitter(
        interval in 1u64..100_000, start in 0u64..1_000_000_000, elapsed in 0u64..1_000_000_000_000, host in "[a-z]{1,8}",
    ) {
        let (start, interval) = (Duration::from_millis(start), Duration::from_secs(interval));
        let last = start + Duration::from_millis(elapsed);
        let pace = Pace::new(Schedule::Interval(interval), &host, FirstRun::AtOnce, start);
        let Due::At(next) = pace.next_due(Some(last), Timestamp::EPOCH) else { panic!("wall clock") };
        prop_assert!(next > last);
        prop_assert!(next - last <= interval + interval / 10);
    }
}

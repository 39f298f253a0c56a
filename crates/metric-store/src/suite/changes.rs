//! What changes what is stored: ranges of time that are erased, and other policies.

use std::sync::Arc;

use nephos_model::{MetricId, Timestamp};
use nephos_timeseries::ArchivePolicy;

use super::{HOUR, MINUTE, Subject, append, policy, read, request};
use crate::contract::{Adoption, AppendReport, Erase};

async fn erase(subject: &dyn Subject, metric: MetricId, start: i64, stop: i64) {
    let (start, stop) = (Timestamp::from_secs(start), Timestamp::from_secs(stop));
    subject.store().erase(&Erase { metrics: vec![metric], start, stop }).await.unwrap();
}

/// Whole buckets only, at each granularity by itself; those that take measures no more keep what they have.
pub async fn an_erased_range_is_gone_in_whole_buckets(subject: &mut dyn Subject) {
    let policy = policy(0, &[(MINUTE, None), (HOUR, None)], &["sum", "rate:sum"]);
    let (metric, other) = (MetricId::random(), MetricId::random());
    let measures: Vec<(i64, f64)> = (0..300).map(|minute| (minute * MINUTE, 1.0 + minute as f64)).collect();
    for metric in [metric, other] {
        append(subject, metric, &policy, &measures).await;
    }
    subject.compact().await;
    let before = read(subject, request(other, &policy, "sum", HOUR)).await;
    for again in [false, true, true] {
        // From within the first hour to within the last one, which still takes measures.
        erase(subject, metric, 30 * MINUTE + 1, 290 * MINUTE + 30).await;
        if again {
            subject.compact().await;
            subject.reopen().await;
        }
        let minutes = read(subject, request(metric, &policy, "sum", MINUTE)).await;
        let left: Vec<i64> = minutes.iter().map(|(start, _)| start / MINUTE).collect();
        assert_eq!(left, (0..=30).chain(291..300).collect::<Vec<_>>(), "the minute it begins in stays");
        let hours = read(subject, request(metric, &policy, "sum", HOUR)).await;
        let rest: f64 = (291..300).map(|minute| 1.0 + f64::from(minute)).sum();
        assert_eq!(hours, [before[0], (4 * HOUR, rest)], "the first is closed and stays, the last goes on");
        // The last measure before was erased: there is nothing to compare the next one with.
        let rates = read(subject, request(metric, &policy, "rate:sum", MINUTE)).await;
        assert_eq!(rates.iter().map(|(start, _)| start / MINUTE).find(|minute| *minute > 30), Some(292));
    }
    assert_eq!(
        read(subject, request(other, &policy, "sum", HOUR)).await,
        before,
        "no other metric is touched"
    );
    erase(subject, MetricId::random(), 0, HOUR).await;
    erase(subject, metric, i64::MIN, i64::MAX).await;
    for seconds in [MINUTE, HOUR] {
        assert_eq!(read(subject, request(metric, &policy, "sum", seconds)).await, []);
    }
}

/// Late ones inside the back window too; what was late before stays late.
pub async fn measures_that_follow_an_erasure_are_taken_as_ever(subject: &mut dyn Subject) {
    let policy = policy(1, &[(MINUTE, None)], &["sum", "count"]);
    let metric = MetricId::random();
    append(subject, metric, &policy, &[(0, 1.0), (60, 2.0), (120, 3.0), (130, 4.0), (180, 5.0)]).await;
    erase(subject, metric, 0, 240).await;
    assert_eq!(read(subject, request(metric, &policy, "sum", MINUTE)).await, []);
    let report = append(subject, metric, &policy, &[(60, 7.0), (125, 8.0), (185, 9.0), (240, 10.0)]).await;
    assert_eq!(report, AppendReport { accepted: 3, late: 1 });
    let expected = [(120, 8.0), (180, 9.0), (240, 10.0)];
    for _ in 0..2 {
        assert_eq!(read(subject, request(metric, &policy, "sum", MINUTE)).await, expected);
        subject.compact().await;
        subject.reopen().await;
    }
    erase(subject, metric, 120, 180).await;
    assert_eq!(read(subject, request(metric, &policy, "sum", MINUTE)).await, expected[1..]);
}

/// It is judged by the newest measure that ever was.
pub async fn retention_does_not_go_back_with_what_is_erased(subject: &mut dyn Subject) {
    let policy = policy(0, &[(MINUTE, Some(3))], &["sum"]);
    let metric = MetricId::random();
    let measures: Vec<(i64, f64)> = (0..10).map(|minute| (minute * MINUTE, 1.0)).collect();
    append(subject, metric, &policy, &measures).await;
    erase(subject, metric, 8 * MINUTE, 20 * MINUTE).await;
    for _ in 0..2 {
        assert_eq!(read(subject, request(metric, &policy, "sum", MINUTE)).await, [(7 * MINUTE, 1.0)]);
        subject.compact().await;
        subject.reopen().await;
    }
    append(subject, metric, &policy, &[(10 * MINUTE, 2.0)]).await;
    assert_eq!(read(subject, request(metric, &policy, "sum", MINUTE)).await, [(10 * MINUTE, 2.0)]);
}

fn named(name: &str, items: &[(i64, Option<u64>)], methods: &[&str]) -> Arc<ArchivePolicy> {
    let policy = policy(0, items, methods);
    Arc::new(ArchivePolicy { name: name.to_owned(), ..policy.as_ref().clone() })
}

/// As if the metric had had it ever, where sums, counts and extremes suffice; from now on where they don't.
pub async fn another_policy_shows_what_the_stored_aggregates_give(subject: &mut dyn Subject) {
    let before = named("before", &[(MINUTE, None)], &["sum", "count", "max", "95pct"]);
    let after = named("after", &[(MINUTE, None), (HOUR, None)], &["mean", "max", "median"]);
    let measures: Vec<(i64, f64)> =
        (0..900).map(|at: i32| (i64::from(at) * 20, f64::from(at % 37))).collect();
    let (first, rest) = measures.split_at(550);
    let (_, open) = (first[549].0, first[549].0 / MINUTE * MINUTE);
    let (changed, ever) = (MetricId::random(), MetricId::random());
    append(subject, changed, &before, first).await;
    append(subject, ever, &after, first).await;
    let adoption = Adoption { metric: changed, policy: Arc::clone(&after) };
    for round in 0..4 {
        match round {
            // The same twice is one.
            0 | 1 => assert_eq!(subject.store().adopt(&adoption).await.unwrap().as_ref(), Some(&before)),
            // Whoever has not heard of the change: his measures are welcome.
            2 => drop(append(subject, changed, &before, rest).await),
            _ => {}
        }
        if round == 2 {
            append(subject, ever, &after, rest).await;
        }
        for (method, seconds) in [("mean", MINUTE), ("max", MINUTE), ("mean", HOUR), ("max", HOUR)] {
            let shown = read(subject, request(changed, &after, method, seconds)).await;
            let expected = read(subject, request(ever, &after, method, seconds)).await;
            assert_eq!(shown, expected, "{method} at {seconds} in round {round}");
        }
        let from = |seconds: i64| (open + seconds - 1) / seconds * seconds;
        for seconds in [MINUTE, HOUR] {
            let shown = read(subject, request(changed, &after, "median", seconds)).await;
            let mut expected = read(subject, request(ever, &after, "median", seconds)).await;
            expected.retain(|(start, _)| *start >= from(seconds));
            assert_eq!(shown, expected, "median at {seconds} in round {round}");
        }
        assert_eq!(read(subject, request(changed, &after, "sum", MINUTE)).await, [], "no longer kept");
        subject.compact().await;
        subject.reopen().await;
    }
    // And back again: what it had then is still there, sums of the time between are not.
    let back = Adoption { metric: changed, policy: Arc::clone(&before) };
    assert_eq!(subject.store().adopt(&back).await.unwrap(), Some(after));
    let sums = read(subject, request(changed, &before, "sum", MINUTE)).await;
    let starts: Vec<i64> = sums.iter().map(|(start, _)| *start).collect();
    // The last hour took measures still.
    let expected: Vec<i64> = (0..open / MINUTE).chain(240..300).map(|minute| minute * MINUTE).collect();
    assert_eq!(starts, expected);
    assert_eq!(read(subject, request(changed, &before, "max", MINUTE)).await.len(), 300);
    let stranger = Adoption { metric: MetricId::random(), policy: before };
    assert_eq!(subject.store().adopt(&stranger).await.unwrap(), None);
}

/// Whether the policy in between, or the first one, knows what the bucket is made of.
pub async fn a_bucket_in_which_policies_change_twice_is_whole(subject: &mut dyn Subject) {
    const DAY: i64 = 24 * HOUR;
    let first = named("first", &[(MINUTE, None)], &["sum", "count"]);
    let wider = named("wider", &[(MINUTE, None), (HOUR, None)], &["sum", "count"]);
    let coarse = named("coarse", &[(5 * MINUTE, None)], &["sum", "count"]);
    let last = named("last", &[(MINUTE, None), (DAY, None)], &["sum"]);
    let measures: Vec<(i64, f64)> = (0..1_600).map(|minute| (minute * MINUTE, minute as f64)).collect();
    for (between, one, other) in [
        // While the hour of the first change goes on, and long after it.
        (&wider, 30, 40),
        (&wider, 30, 300),
        // What is in between knows nothing of the time before; the first one has not ended.
        (&coarse, 30, 30),
    ] {
        let metric = MetricId::random();
        append(subject, metric, &first, &measures[..one]).await;
        subject.store().adopt(&Adoption { metric, policy: Arc::clone(between) }).await.unwrap();
        append(subject, metric, between, &measures[one..other]).await;
        subject.compact().await;
        subject.store().adopt(&Adoption { metric, policy: Arc::clone(&last) }).await.unwrap();
        append(subject, metric, &last, &measures[other..]).await;
        let day: f64 = measures[..1_440].iter().map(|(_, value)| value).sum();
        let rest: f64 = measures[1_440..].iter().map(|(_, value)| value).sum();
        for _ in 0..2 {
            let shown = read(subject, request(metric, &last, "sum", DAY)).await;
            assert_eq!(shown, [(0, day), (DAY, rest)], "{} from {one} to {other}", between.name);
            subject.compact().await;
            subject.reopen().await;
        }
    }
}

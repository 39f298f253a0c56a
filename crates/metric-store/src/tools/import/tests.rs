use std::path::Path;

use nephos_model::ManualClock;
use nephos_timeseries::{PolicyItem, Stat};
use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::contract::{Adoption, Erase, MetricStore, SeriesRequest};
use crate::disk::sim::SimFs;
use crate::options::StoreOptions;
use crate::store::LocalStore;
use crate::tools::{Selection, export, verify};

fn open(folder: &Path, shards: u32) -> Arc<LocalStore> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    LocalStore::open(StoreOptions { min_free: 0, shards, ..StoreOptions::new(folder, clock) }).unwrap()
}

fn policies() -> Vec<Arc<ArchivePolicy>> {
    let policy = |name: &str, back_window, widths: &[(i64, Option<u64>)], methods: &[AggregationMethod]| {
        let definition = widths.iter().map(|(millis, points)| PolicyItem {
            granularity: Granularity::from_nanos(millis * 1_000_000).unwrap(),
            points: *points,
        });
        Arc::new(ArchivePolicy {
            name: name.to_owned(),
            back_window,
            definition: definition.collect(),
            methods: methods.to_vec(),
        })
    };
    let (plain, rate) = (AggregationMethod::plain, AggregationMethod::rate);
    vec![
        policy("one, \"two\"", 0, &[(60_000, None)], &[plain(Stat::Mean)]),
        policy("late", 3, &[(1_500, Some(100)), (60_000, None)], &[plain(Stat::Count), rate(Stat::Mean)]),
        policy(
            "many",
            1,
            &[(7_000, Some(50))],
            &[plain(Stat::Std), plain(Stat::Percentile(95)), plain(Stat::Sum)],
        ),
    ]
}

/// Twelve metrics of three policies: gaps, duplicates, late measures, odd values, one deleted and born again, one with a
/// range erased, one that gets another policy; in two segments and a log.
async fn filled(folder: &Path, shards: u32) -> Vec<(MetricId, Arc<ArchivePolicy>)> {
    let store = open(folder, shards);
    let mut metrics: Vec<_> =
        (0..4).flat_map(|_| policies()).map(|policy| (MetricId::random(), policy)).collect();
    let odd = [0.1, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e300, 3.0, 1.0 / 3.0];
    for round in 0..3i64 {
        let mut batch = Batch::default();
        for (number, (metric, policy)) in metrics.iter().enumerate() {
            let times =
                (0..900).filter(|at| at % 50 < 40).map(|at| (round * 900 + at) * 1_300 - at % 7 * 9_000);
            let value =
                |at: i64| odd[usize::try_from(at.unsigned_abs()).unwrap() % odd.len()] * (number + 1) as f64;
            let measures = times.map(|at| Measure::new(Timestamp::from_nanos(at * 1_000_000), value(at)));
            batch.push(*metric, policy, measures);
        }
        store.append(Arc::new(batch)).await.unwrap();
        if round == 0 {
            store.compact(true).await.unwrap();
            store.delete(&[metrics[0].0]).await.unwrap();
        } else if round == 1 {
            let (start, stop) = (Timestamp::from_secs(600), Timestamp::from_secs(1_900));
            store.erase(&Erase { metrics: vec![metrics[2].0], start, stop }).await.unwrap();
            let (metric, policy) = &mut metrics[1];
            let width = Granularity::from_secs(300).unwrap();
            let mut wider = ArchivePolicy { name: "wider".to_owned(), ..policy.as_ref().clone() };
            wider.definition.push(PolicyItem { granularity: width, points: None });
            *policy = Arc::new(wider);
            let adoption = Adoption { metric: *metric, policy: Arc::clone(policy) };
            store.adopt(&adoption).await.unwrap();
            store.compact(false).await.unwrap();
        }
    }
    store.close().await;
    metrics
}

/// Every answer of a store about these metrics, values as bits.
async fn answers(
    store: &LocalStore,
    metrics: &[(MetricId, Arc<ArchivePolicy>)],
) -> Vec<(Vec<Timestamp>, Vec<u64>)> {
    let mut found = Vec::new();
    for (metric, policy) in metrics {
        for method in &policy.methods {
            let request = SeriesRequest {
                metric: *metric,
                policy: Arc::clone(policy),
                method: *method,
                granularities: Vec::new(),
                start: None,
                stop: None,
                resample: None,
            };
            for points in store.query(vec![request]).await.unwrap().remove(0).granularities {
                found.push((points.timestamps, points.values.iter().map(|value| value.to_bits()).collect()));
            }
        }
    }
    found
}

fn exported(folder: &Path) -> Vec<u8> {
    let mut rows = Vec::new();
    let place = Place::from(folder);
    let done = export(&place, &Selection::default(), &mut rows, &mut |_, _| {}).unwrap();
    assert_eq!(done.problems, Vec::<String>::new());
    rows
}

fn import_into(folder: &Path, replace: bool, rows: &[u8]) -> Result<Imported, ImportError> {
    import(&Place::from(folder), 1, replace, &mut &*rows, &mut |_| {})
}

/// The same further measures for every metric: on both sides of its window.
async fn go_on(store: &LocalStore, metrics: &[(MetricId, Arc<ArchivePolicy>)]) {
    let mut batch = Batch::default();
    for (metric, policy) in metrics {
        let times = [3_300, 3_350, 3_400, 3_505, 3_506, 3_700, 4_000];
        batch.push(*metric, policy, times.map(|at| Measure::new(Timestamp::from_secs(at), 0.7)));
    }
    store.append(Arc::new(batch)).await.unwrap();
}

#[tokio::test]
async fn what_was_taken_out_answers_bit_for_bit_as_before_and_goes_on_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let metrics = filled(&from, 1).await;
    let rows = exported(&from);
    drop(open(&to, 3));
    let done = import_into(&to, false, &rows).unwrap();
    assert_eq!(done.metrics, 12);
    assert!(done.values > 300 && done.raw > 100, "{done:?}");
    assert_eq!(verify(&Place::from(to.as_path()), &mut |_, _| {}).unwrap(), []);
    assert_eq!(exported(&to), rows, "what goes in comes out");

    let (before, after) = (open(&from, 1), open(&to, 3));
    let expected = answers(&before, &metrics).await;
    assert!(expected.iter().map(|(times, _)| times.len()).sum::<usize>() > 500);
    assert_eq!(answers(&after, &metrics).await, expected);
    for store in [&before, &after] {
        go_on(store, &metrics).await;
        store.compact(true).await.unwrap();
    }
    assert_eq!(answers(&after, &metrics).await, answers(&before, &metrics).await);
}

#[tokio::test]
async fn metrics_that_hold_data_are_replaced_only_when_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let metrics = filled(&from, 1).await;
    let rows = exported(&from);
    let other = (MetricId::random(), policies().remove(0));
    let all: Vec<_> = metrics.iter().cloned().chain([other.clone()]).collect();
    let store = open(&to, 1);
    go_on(&store, &all).await;
    store.compact(true).await.unwrap();
    go_on(&store, &all).await;
    let held = answers(&store, &all).await;
    store.close().await;

    let error = import_into(&to, false, &rows).unwrap_err();
    assert!(error.to_string().contains("holds data already"), "{error}");
    assert_eq!(answers(&open(&to, 1), &all).await, held, "nothing changed");

    import_into(&to, true, &rows).unwrap();
    let (before, after) = (open(&from, 1), open(&to, 1));
    for _ in 0..2 {
        assert_eq!(answers(&after, &metrics).await, answers(&before, &metrics).await);
        assert_eq!(answers(&after, std::slice::from_ref(&other)).await, held[held.len() - 1..]);
        after.compact(true).await.unwrap();
    }
}

#[tokio::test]
async fn a_selection_holds_whole_buckets_of_the_metrics_and_times_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let metrics = filled(&from, 1).await;
    let nobody = MetricId::random();
    let (start, stop) = (Timestamp::from_secs(1_234), Timestamp::from_secs(3_456));
    let selection = Selection { metrics: vec![metrics[3].0, nobody], start: Some(start), stop: Some(stop) };
    let mut rows = Vec::new();
    let done = export(&Place::from(from.as_path()), &selection, &mut rows, &mut |_, _| {}).unwrap();
    assert_eq!(done.metrics, 1);
    assert_eq!(done.problems, [format!("metric {nobody} holds no data")]);
    import_into(&to, false, &rows).unwrap();
    let (before, after) = (open(&from, 1), open(&to, 1));
    let whole = answers(&before, &metrics[3..4]).await;
    let part = answers(&after, &metrics[3..4]).await;
    let minute = Granularity::from_secs(60).unwrap();
    let ([(times, values)], [(part_times, part_values)]) = (whole.as_slice(), part.as_slice()) else {
        panic!("one series")
    };
    let wanted = times.iter().zip(values).filter(|(at, _)| **at >= start.floor(minute) && **at < stop);
    let shown = part_times.iter().zip(part_values).filter(|(at, _)| **at < stop);
    assert!(wanted.clone().count() > 20);
    assert!(shown.eq(wanted));
}

#[tokio::test]
async fn a_bad_line_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    filled(&from, 1).await;
    let rows = String::from_utf8(exported(&from)).unwrap();
    let lines: Vec<&str> = rows.lines().collect();
    let of = |kind: &str| lines.iter().position(|line| line.starts_with(kind)).unwrap();
    let (bucket, raw, metric, end) = (of("bucket,"), of("raw,"), of("metric,"), of("end,"));
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat();
    let twice = |at: usize| [&lines[..=at], &lines[at..]].concat();
    let cases = [
        (lines[1..].to_vec(), 1, "the first line is not kind,id"),
        (lines[..end].to_vec(), end + 1, "ends without a row of kind end"),
        (twice(end), end + 2, "behind the row of kind end"),
        (twice(bucket), bucket + 2, "method: this bucket has a value"),
        (twice(raw), raw + 2, "time: measures are not in order"),
        (twice(metric), metric + 2, "id: metrics are not in the order"),
        (twice(of("policy,")), of("policy,") + 2, "id: policy 0 was there before"),
        (without(of("policy,")), of("policy,") + 1, "value: there is no policy 0"),
        (without(metric), metric + 1, "id: not the metric"),
    ];
    for (lines, number, words) in cases {
        let text = lines.join("\n") + "\n";
        let error = import_into(&to, false, text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line {number}, ")) && error.contains(words), "{words}: {error}");
        assert_eq!(exported(&to), format!("{HEADER}\nend,,,,,0\n").as_bytes());
    }
    let far = rows.replacen("bucket,", "bucket,x", 1);
    assert!(import_into(&to, false, far.as_bytes()).unwrap_err().to_string().contains("id: no UUID"));
    let windows = rows.replace('\n', "\r\n");
    assert_eq!(import_into(&to, false, windows.as_bytes()).unwrap().metrics, 12);
}

/// The export of two metrics of each of three shards.
async fn spread() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1);
    let of_shard = |shard: u32| std::iter::repeat_with(MetricId::random).find(|id| shard_of(*id, 3) == shard);
    let metrics = [0, 1, 2, 0, 1, 2].map(|shard| (of_shard(shard).unwrap(), policies().remove(0)));
    go_on(&store, &metrics).await;
    store.compact(true).await.unwrap();
    store.close().await;
    exported(folder.path())
}

/// Imports until the power goes after so many operations of the file system; whether it ended before.
fn cut_short(fs: &SimFs, operations: u64, rows: &[u8]) -> bool {
    fs.crash_after(operations);
    import(&Place::Simulated(fs.clone()), 3, false, &mut &*rows, &mut |_| {}).is_ok()
}

#[tokio::test]
async fn an_import_that_was_killed_anywhere_goes_on_with_the_same_file() {
    let rows = spread().await;
    let whole = |fs: &SimFs| {
        let place = Place::Simulated(fs.clone());
        let mut out = Vec::new();
        export(&place, &Selection::default(), &mut out, &mut |_, _| {}).unwrap();
        (out, place.root().unwrap().list().unwrap())
    };
    let (mut ended, mut halves) = (false, 0);
    for operations in 1.. {
        let fs = SimFs::new(operations);
        ended = cut_short(&fs, operations, &rows);
        // And once more, while it is taken up.
        let fs = fs.recover();
        cut_short(&fs, operations / 2 + 1, &rows);
        let fs = fs.recover();
        let place = Place::Simulated(fs.clone());
        let again = import(&place, 3, false, &mut rows.as_slice(), &mut |_| {});
        let (found, names) = whole(&fs);
        assert!(found == rows, "cut at operation {operations}: {again:?}");
        match again {
            Ok(done) => assert_eq!(done.metrics, 6),
            // It had ended, though nobody was told.
            Err(error) => assert!(error.to_string().contains("holds data already"), "{error}"),
        }
        halves += usize::from(names.len() == 4);
        assert!(names.iter().all(|name| !name.starts_with("import-")), "{names:?}");
        if ended {
            break;
        }
    }
    assert!(ended && halves > 0, "{halves}");
}

#[tokio::test]
async fn another_file_does_not_pass_for_the_one_that_was_killed() {
    let rows = String::from_utf8(spread().await).unwrap();
    let other = rows.replacen(",0.7\n", ",0.8\n", 1);
    assert_ne!(other, rows);
    let mut told = 0;
    for operations in 1.. {
        let fs = SimFs::new(operations);
        let ended = cut_short(&fs, operations, rows.as_bytes());
        let fs = fs.recover();
        let place = Place::Simulated(fs.clone());
        let begun = place.root().unwrap().list().unwrap().iter().any(|name| name.starts_with("import-"));
        let mixed = import(&place, 3, false, &mut other.as_bytes(), &mut |_| {});
        match mixed {
            // Nothing of the first had begun to count.
            Ok(_) => {
                let mut out = Vec::new();
                export(&place, &Selection::default(), &mut out, &mut |_, _| {}).unwrap();
                assert!(out == other.as_bytes(), "cut at operation {operations}");
            }
            Err(error) => {
                assert!(error.to_string().contains("holds data already"), "{error}");
                told += usize::from(begun);
                let replaced = import(&place, 3, true, &mut other.as_bytes(), &mut |_| {});
                assert_eq!(replaced.unwrap().metrics, 6);
            }
        }
        if ended {
            break;
        }
    }
    assert!(told > 0);
}

fn small() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = open(folder.path(), 1);
        let metrics: Vec<_> = policies().into_iter().map(|policy| (MetricId::random(), policy)).collect();
        go_on(&store, &metrics).await;
        store.compact(true).await.unwrap();
        store.close().await;
    });
    exported(folder.path())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_bytes_make_the_importer_panic(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        static ROWS: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(small);
        let folder = tempfile::tempdir().unwrap();
        prop_assert!(import_into(folder.path(), false, &noise).is_err());
        prop_assert!(import_into(folder.path(), false, &ROWS[..cut.index(ROWS.len() - 1)]).is_err());
        let mut rows = ROWS.clone();
        for (at, byte) in flips {
            let at = at.index(rows.len());
            rows[at] = byte;
        }
        let _outcome = import_into(folder.path(), true, &rows).is_ok();
    }
}

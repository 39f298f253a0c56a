use std::sync::Arc;
use std::time::Duration;

use nephos_index::{Defaults, IndexError, MetricIndex, PolicyIndex, ResourceIndex, SqlIndex};
use nephos_model::{Granularity, ManualClock};
use nephos_timeseries::PolicyItem;

use crate::fixture::{Fixture, instance_type, new_metric, policy, rule, text};

pub(crate) async fn policies_come_back_whole_and_in_order(f: &Fixture) {
    let names = ["✔éñ☃", "b", "B", "a/b ?"];
    for name in names {
        f.index.create_archive_policy(&policy(name)).await.unwrap();
    }
    for name in names {
        assert_eq!(*f.index.archive_policy(name).await.unwrap().unwrap(), policy(name));
    }
    let listed = f.index.archive_policies().await.unwrap();
    assert_eq!(listed.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["B", "a/b ?", "b", "✔éñ☃"]);
    assert!(f.index.archive_policy("none").await.unwrap().is_none());
}

pub(crate) async fn a_policy_name_is_taken_once(f: &Fixture) {
    f.index.create_archive_policy(&policy("low")).await.unwrap();
    let again = f.index.create_archive_policy(&policy("low")).await;
    assert_eq!(text(again), "archive policy low already exists");
}

pub(crate) async fn only_points_and_back_window_change(f: &Fixture) {
    let other = f.other().await;
    f.index.create_archive_policy(&policy("p")).await.unwrap();
    let item = |secs, points| PolicyItem { granularity: Granularity::from_secs(secs).unwrap(), points };
    // The same granularities in another order.
    let new = [item(1, Some(60)), item(3_600, Some(24)), item(60, None)];
    let updated = f.index.update_archive_policy("p", &new, None).await.unwrap();
    assert_eq!((updated.definition.as_slice(), updated.back_window), (new.as_slice(), 2));
    let updated = f.index.update_archive_policy("p", &new, Some(9)).await.unwrap();
    assert_eq!(updated.back_window, 9);
    assert_eq!(f.index.archive_policy("p").await.unwrap().unwrap(), updated);
    assert_eq!(other.archive_policy("p").await.unwrap().unwrap(), updated);
    assert_eq!(
        text(f.index.update_archive_policy("p", &new[..2], None).await),
        "archive policy p does not support change: Cannot add or drop granularities"
    );
    let changed = [item(2, Some(60)), new[1], new[2]];
    assert_eq!(
        text(f.index.update_archive_policy("p", &changed, None).await),
        "archive policy p does not support change: 1.0 granularity interval was changed"
    );
    assert_eq!(
        text(f.index.update_archive_policy("none", &new, None).await),
        "archive policy none does not exist"
    );
}

pub(crate) async fn policies_in_use_stay(f: &Fixture) {
    let index = f.with_policies().await;
    assert_eq!(text(index.delete_archive_policy("low").await), "archive policy low is still in use");
    index.delete_rule("default").await.unwrap();
    let mut new = new_metric(None, None);
    new.archive_policy_name = Some("low".to_owned());
    let metric = index.create_metric(&new).await.unwrap();
    assert_eq!(text(index.delete_archive_policy("low").await), "archive policy low is still in use");
    index.delete_metric(metric.id).await.unwrap();
    // Its data are still in the store.
    assert_eq!(text(index.delete_archive_policy("low").await), "archive policy low is still in use");
    index.expunge_metrics(&[metric.id]).await.unwrap();
    index.delete_archive_policy("low").await.unwrap();
    assert!(index.archive_policy("low").await.unwrap().is_none());
    assert_eq!(text(index.delete_archive_policy("low").await), "archive policy low does not exist");
}

pub(crate) async fn rules_match_in_descending_byte_order(f: &Fixture) {
    for name in ["p1", "p2", "p3", "p4"] {
        f.index.create_archive_policy(&policy(name)).await.unwrap();
    }
    assert_eq!(
        text(f.index.create_metric(&new_metric(None, Some("x"))).await),
        "no archive policy rule matches the metric name x"
    );
    for (name, pattern, policy) in [
        ("d", "*", "p1"),
        ("b", "cpu.*", "p2"),
        ("a", "cpu.*", "p3"),
        ("c", "[!c]*", "p4"),
        ("e", "CPU*", "p2"),
    ] {
        f.index.create_rule(&rule(name, pattern, policy)).await.unwrap();
    }
    let order = f.index.rules().await.unwrap();
    assert_eq!(order.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "e", "d"]);
    for (metric, policy) in [
        (Some("cpu.util"), "p3"),
        (Some("cpu"), "p1"),
        (Some("disk"), "p4"),
        (None, "p1"),
        (Some("CPU"), "p4"),
    ] {
        let created = f.index.create_metric(&new_metric(None, metric)).await.unwrap();
        assert_eq!(created.archive_policy_name, policy, "{metric:?}");
    }
}

pub(crate) async fn rules_are_created_renamed_and_deleted(f: &Fixture) {
    let index = f.with_policies().await;
    let stored = rule("r", "a*", "high");
    index.create_rule(&stored).await.unwrap();
    assert_eq!(index.rule("r").await.unwrap(), Some(stored.clone()));
    assert_eq!(text(index.create_rule(&stored).await), "archive policy rule r already exists");
    assert_eq!(text(index.create_rule(&rule("s", "*", "none")).await), "archive policy none does not exist");
    assert_eq!(text(index.rename_rule("r", "default").await), "archive policy rule default already exists");
    assert_eq!(text(index.rename_rule("none", "x").await), "archive policy rule none does not exist");
    assert_eq!(index.rename_rule("r", "r").await.unwrap(), stored);
    assert_eq!(index.rename_rule("r", "ß").await.unwrap(), rule("ß", "a*", "high"));
    assert_eq!(index.rule("r").await.unwrap(), None);
    index.delete_rule("ß").await.unwrap();
    assert_eq!(text(index.delete_rule("ß").await), "archive policy rule ß does not exist");
}

pub(crate) async fn other_processes_see_changes_within_a_second(f: &Fixture) {
    let (ours, theirs) = (f.with_policies().await, f.other().await);
    assert_eq!(theirs.archive_policy("low").await.unwrap().unwrap().back_window, 2);
    let definition = policy("low").definition;
    ours.update_archive_policy("low", &definition, Some(7)).await.unwrap();
    assert_eq!(ours.archive_policy("low").await.unwrap().unwrap().back_window, 7);
    f.clock.advance(Duration::from_secs(1));
    assert_eq!(theirs.archive_policy("low").await.unwrap().unwrap().back_window, 7);
    // What is new is seen at once.
    ours.create_archive_policy(&policy("new")).await.unwrap();
    assert!(theirs.archive_policy("new").await.unwrap().is_some());
}

pub(crate) async fn defaults_are_created_once_by_any_number_of_processes(f: &Fixture) {
    let defaults = Defaults {
        policies: vec![policy("low"), policy("high")],
        rules: vec![rule("default", "*", "low")],
        resource_types: vec![instance_type()],
    };
    let starters = futures_util::future::join_all((0..6).map(|_| f.other())).await;
    let starts = starters.iter().map(|index| index.ensure_defaults(&defaults));
    futures_util::future::try_join_all(starts).await.unwrap();
    assert_eq!(f.index.archive_policies().await.unwrap().len(), 2);
    assert_eq!(f.index.rules().await.unwrap(), defaults.rules);
    let types = f.index.resource_types().await.unwrap();
    assert_eq!(types.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["generic", "instance"]);
    assert_eq!(*types[1], instance_type());
}

pub(crate) async fn defaults_leave_policies_alone_where_there_are_some(f: &Fixture) {
    f.index.create_archive_policy(&policy("mine")).await.unwrap();
    let defaults = Defaults { policies: vec![policy("low")], ..Defaults::default() };
    f.index.ensure_defaults(&defaults).await.unwrap();
    assert!(f.index.archive_policy("low").await.unwrap().is_none());
}

pub(crate) async fn an_unmigrated_database_is_refused(f: &Fixture) {
    f.db.execute("DELETE FROM nephos_migration", &[]).await.unwrap();
    let clock = Arc::<ManualClock>::clone(&f.clock);
    let error = SqlIndex::open(f.db.clone(), clock).await.unwrap_err();
    assert!(matches!(error, IndexError::Database { .. }), "{error}");
    assert!(error.to_string().contains("index/0001_index"), "{error}");
}

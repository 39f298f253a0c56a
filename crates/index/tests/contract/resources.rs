use nephos_index::{
    MetricFilter, MetricIndex, Page, ResourceIndex, ResourceMetrics, ResourceUpdate, SqlIndex,
};
use nephos_model::{MetricId, Resource};
use serde_json::json;

use crate::fixture::{Fixture, at, by_rule, new_metric, new_resource, rid, text, values, wanted};

fn update() -> ResourceUpdate {
    ResourceUpdate { creator: Some("admin".to_owned()), now: at(300), ..ResourceUpdate::default() }
}

async fn history(index: &SqlIndex) -> Vec<Resource> {
    index.resource_history("generic", rid(1), &Page::default()).await.unwrap()
}

pub(crate) async fn resources_are_created_with_their_metrics(f: &Fixture) {
    let index = f.with_types().await;
    let loose = f.metric(None, "loose").await;
    let mut new = new_resource("instance", rid(1));
    new.user_id = Some("u".to_owned());
    new.project_id = Some("p".to_owned());
    new.ended_at = Some(at(100));
    new.attributes = values([("flavor", json!("s ✔")), ("cores", json!(2.5)), ("locked", json!(false))]);
    let named =
        ResourceMetrics::New { archive_policy_name: Some("high".to_owned()), unit: Some("B".to_owned()) };
    new.metrics =
        wanted([("cpu", by_rule()), ("disk", named), ("other name", ResourceMetrics::Existing(loose.id))]);
    let created = index.create_resource(&new).await.unwrap();
    let read = index.resource("instance", rid(1)).await.unwrap().unwrap();
    assert_eq!(created, read);
    assert_eq!(created.original_resource_id, new.original_resource_id);
    assert_eq!((created.started_at, created.ended_at), (at(100), Some(at(100))));
    assert_eq!((created.revision_start, created.revision_end, created.revision), (at(200), None, -1));
    assert_eq!(created.attributes["image"], json!(null), "unset attributes of the type are null");
    assert_eq!(created.attributes["cores"], json!(2.5));
    assert_eq!(created.metrics.keys().collect::<Vec<_>>(), ["cpu", "disk", "other name"]);
    let disk = index.resource_metric(rid(1), "disk").await.unwrap().unwrap();
    assert_eq!((disk.archive_policy_name.as_str(), disk.unit.as_deref()), ("high", Some("B")));
    assert_eq!(disk.creator.as_deref(), Some("admin"));
    let attached = index.metric(loose.id).await.unwrap().unwrap();
    assert_eq!((attached.resource_id, attached.name.as_deref()), (Some(rid(1)), Some("other name")));
}

pub(crate) async fn creation_errors_leave_nothing_behind(f: &Fixture) {
    let index = f.with_types().await;
    let mut foreign = new_metric(None, None);
    foreign.creator = Some("somebody else".to_owned());
    let foreign = index.create_metric(&foreign).await.unwrap().id;
    let deleted = f.metric(None, "deleted").await.id;
    index.delete_metric(deleted).await.unwrap();
    let unknown = MetricId::random();
    let policy = ResourceMetrics::New { archive_policy_name: Some("none".to_owned()), unit: None };
    let with = |metric: ResourceMetrics| {
        let mut new = new_resource("instance", rid(1));
        new.metrics = wanted([("a", by_rule()), ("b", metric)]);
        new
    };
    let mut backwards = new_resource("instance", rid(1));
    backwards.ended_at = Some(at(99));
    for (new, expected) in [
        (new_resource("none", rid(1)), "resource type none does not exist".to_owned()),
        (with(ResourceMetrics::Existing(foreign)), format!("metric {foreign} does not exist")),
        (with(ResourceMetrics::Existing(deleted)), format!("metric {deleted} does not exist")),
        (with(ResourceMetrics::Existing(unknown)), format!("metric {unknown} does not exist")),
        (with(policy), "archive policy none does not exist".to_owned()),
        (backwards, "start timestamp cannot be after end timestamp".to_owned()),
    ] {
        assert_eq!(text(index.create_resource(&new).await), expected);
        assert_eq!(index.resource("generic", rid(1)).await.unwrap(), None);
        assert_eq!(index.count_metrics().await.unwrap(), 1);
    }
}

pub(crate) async fn ids_are_unique_across_types(f: &Fixture) {
    let index = f.with_types().await;
    index.create_resource(&new_resource("instance", rid(1))).await.unwrap();
    for resource_type in ["instance", "generic"] {
        let mut again = new_resource(resource_type, rid(1));
        assert_eq!(text(index.create_resource(&again).await), format!("resource {} already exists", rid(1)));
        again.metrics = wanted([("a", by_rule())]);
        assert_eq!(text(index.create_resource(&again).await), format!("resource {} already exists", rid(1)));
    }
    assert_eq!(index.count_metrics().await.unwrap(), 0);
}

pub(crate) async fn a_type_is_part_of_the_address(f: &Fixture) {
    let index = f.with_types().await;
    index.create_resource(&new_resource("instance", rid(1))).await.unwrap();
    f.generic(rid(2)).await;
    assert_eq!(index.resource("generic", rid(1)).await.unwrap().unwrap().resource_type, "instance");
    assert_eq!(index.resource("instance", rid(2)).await.unwrap(), None);
    assert_eq!(index.resources("generic", false, &Page::default()).await.unwrap().len(), 2);
    assert_eq!(index.resources("instance", false, &Page::default()).await.unwrap().len(), 1);
    assert_eq!(
        text(index.resources("none", false, &Page::default()).await),
        "resource type none does not exist"
    );
    let gone = format!("resource {} does not exist", rid(2));
    assert_eq!(text(index.resource_history("instance", rid(2), &Page::default()).await), gone);
    assert_eq!(text(index.update_resource("instance", rid(2), &update()).await), gone);
    assert_eq!(text(index.delete_resource("instance", rid(2)).await), gone);
}

pub(crate) async fn changes_make_revisions_and_no_changes_none(f: &Fixture) {
    let index = f.with_types().await;
    let mut new = new_resource("instance", rid(1));
    new.user_id = Some("u".to_owned());
    new.attributes = values([("flavor", json!("s")), ("cores", json!(1))]);
    let created = index.create_resource(&new).await.unwrap();
    // The same values, in whatever form, are no change.
    let same = ResourceUpdate {
        user_id: Some(Some("u".to_owned())),
        project_id: Some(None),
        started_at: Some(at(100)),
        ended_at: Some(None),
        attributes: values([("cores", json!(1.0)), ("flavor", json!("s"))]),
        ..update()
    };
    for unchanging in [same, update()] {
        assert_eq!(index.update_resource("instance", rid(1), &unchanging).await.unwrap(), created);
    }
    assert_eq!(history(index).await, std::slice::from_ref(&created));
    // Each real change is one revision.
    let first = ResourceUpdate {
        user_id: Some(None),
        project_id: Some(Some("p".to_owned())),
        attributes: values([("cores", json!(2))]),
        ..update()
    };
    let changed = index.update_resource("generic", rid(1), &first).await.unwrap();
    assert_eq!((changed.user_id.as_deref(), changed.project_id.as_deref()), (None, Some("p")));
    assert_eq!((changed.revision_start, changed.revision), (at(300), -1));
    assert_eq!((&changed.attributes["cores"], &changed.attributes["flavor"]), (&json!(2), &json!("s")));
    let second = ResourceUpdate { ended_at: Some(Some(at(500))), now: at(400), ..update() };
    let last = index.update_resource("instance", rid(1), &second).await.unwrap();
    let revisions = history(index).await;
    assert_eq!(revisions.iter().map(|r| r.revision).collect::<Vec<_>>(), [1, 2, -1]);
    assert_eq!(
        revisions.iter().map(|r| (r.revision_start, r.revision_end)).collect::<Vec<_>>(),
        [(at(200), Some(at(300))), (at(300), Some(at(400))), (at(400), None)]
    );
    assert_eq!(revisions[2], last);
    let old = Resource { revision_end: Some(at(300)), revision: 1, ..created };
    assert_eq!(revisions[0], old);
}

pub(crate) async fn revisions_never_overlap_when_the_clock_goes_back(f: &Fixture) {
    f.generic(rid(1)).await;
    for (now, project) in [(300, "a"), (100, "b"), (250, "c")] {
        let project_id = Some(Some(project.to_owned()));
        let change = ResourceUpdate { project_id, now: at(now), ..update() };
        f.index.update_resource("generic", rid(1), &change).await.unwrap();
    }
    let revisions = history(&f.index).await;
    assert_eq!(revisions.len(), 4);
    for pair in revisions.windows(2) {
        assert_eq!(pair[0].revision_end, Some(pair[1].revision_start));
        assert!(pair[0].revision_start < pair[1].revision_start);
    }
}

pub(crate) async fn metrics_of_a_resource_are_replaced_without_a_revision(f: &Fixture) {
    let index = f.with_policies().await;
    let mut new = new_resource("generic", rid(1));
    new.metrics = wanted([("a", by_rule()), ("b", by_rule()), ("c", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    let (a, b) = (created.metrics["a"], created.metrics["b"]);
    // `a` under a new name, a new `b` instead of the old one, `c` no more.
    let metrics = wanted([("x", ResourceMetrics::Existing(a)), ("b", by_rule())]);
    let replaced = ResourceUpdate { metrics: Some(metrics), ..update() };
    let changed = index.update_resource("generic", rid(1), &replaced).await.unwrap();
    assert_eq!(changed.revision_start, created.revision_start);
    assert_eq!(changed.metrics.keys().collect::<Vec<_>>(), ["b", "x"]);
    assert_eq!(changed.metrics["x"], a);
    assert_ne!(changed.metrics["b"], b);
    // The detached ones live on alone.
    for id in [b, created.metrics["c"]] {
        assert_eq!(index.metric(id).await.unwrap().unwrap().resource_id, None);
    }
    let emptied = ResourceUpdate { metrics: Some(wanted([])), ..update() };
    assert!(index.update_resource("generic", rid(1), &emptied).await.unwrap().metrics.is_empty());
    assert_eq!(index.count_metrics().await.unwrap(), 4);
    assert_eq!(history(index).await.len(), 1);
}

pub(crate) async fn metrics_of_a_resource_are_appended(f: &Fixture) {
    let index = f.with_policies().await;
    let mut new = new_resource("generic", rid(1));
    new.metrics = wanted([("a", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    let loose = f.metric(None, "loose").await;
    let append = |metrics| ResourceUpdate { metrics: Some(metrics), append_metrics: true, ..update() };
    let added = append(wanted([("b", by_rule()), ("c", ResourceMetrics::Existing(loose.id))]));
    let changed = index.update_resource("generic", rid(1), &added).await.unwrap();
    assert_eq!(changed.metrics.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(changed.metrics["a"], created.metrics["a"]);
    for clash in [by_rule(), ResourceMetrics::Existing(loose.id)] {
        let clashing = append(wanted([("d", by_rule()), ("c", clash)]));
        let refused = index.update_resource("generic", rid(1), &clashing).await;
        assert_eq!(text(refused), "named metric c already exists");
    }
    assert_eq!(index.resource("generic", rid(1)).await.unwrap().unwrap(), changed);
}

pub(crate) async fn failed_updates_change_nothing(f: &Fixture) {
    let index = f.with_policies().await;
    let mut new = new_resource("generic", rid(1));
    new.metrics = wanted([("a", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    let unknown = MetricId::random();
    let project_id = Some(Some("changed".to_owned()));
    let with =
        |metrics| ResourceUpdate { project_id: project_id.clone(), metrics: Some(metrics), ..update() };
    let none = ResourceMetrics::New { archive_policy_name: Some("none".to_owned()), unit: None };
    for (bad, expected) in [
        (
            ResourceUpdate { ended_at: Some(Some(at(99))), ..update() },
            "start timestamp cannot be after end timestamp".to_owned(),
        ),
        (
            ResourceUpdate { started_at: Some(at(900)), ended_at: Some(Some(at(899))), ..update() },
            "start timestamp cannot be after end timestamp".to_owned(),
        ),
        (
            with(wanted([("x", ResourceMetrics::Existing(unknown))])),
            format!("metric {unknown} does not exist"),
        ),
        (with(wanted([("x", none)])), "archive policy none does not exist".to_owned()),
    ] {
        assert_eq!(text(index.update_resource("generic", rid(1), &bad).await), expected);
        assert_eq!(index.resource("generic", rid(1)).await.unwrap().as_ref(), Some(&created));
    }
    assert_eq!(history(index).await.len(), 1);
}

pub(crate) async fn deletion_takes_metrics_and_history_along(f: &Fixture) {
    let index = f.with_policies().await;
    let mut new = new_resource("generic", rid(1));
    new.metrics = wanted([("a", by_rule()), ("b", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    let other = f.metric(None, "other").await;
    let project_id = Some(Some("p".to_owned()));
    index.update_resource("generic", rid(1), &ResourceUpdate { project_id, ..update() }).await.unwrap();
    let mut gone = index.delete_resource("generic", rid(1)).await.unwrap();
    gone.sort();
    let mut expected = created.metrics.values().copied().collect::<Vec<_>>();
    expected.sort();
    assert_eq!(gone, expected);
    let mut waiting = index.deleted_metrics(10).await.unwrap();
    waiting.sort();
    assert_eq!(waiting, expected);
    assert_eq!(index.metrics(&MetricFilter::default(), &Page::default()).await.unwrap(), [other]);
    assert_eq!(
        text(index.delete_resource("generic", rid(1)).await),
        format!("resource {} does not exist", rid(1))
    );
    assert!(index.resources("generic", true, &Page::default()).await.unwrap().is_empty());
    // Created again it starts without a past.
    f.generic(rid(1)).await;
    assert_eq!(history(index).await.len(), 1);
}

pub(crate) async fn racing_updates_all_become_revisions(f: &Fixture) {
    let (ours, theirs) = (&f.index, &f.other().await);
    f.generic(rid(1)).await;
    let updates = (0..20).map(|number| {
        let index = if number % 2 == 0 { ours } else { theirs };
        async move {
            let project_id = Some(Some(format!("project {number}")));
            index.update_resource("generic", rid(1), &ResourceUpdate { project_id, ..update() }).await
        }
    });
    futures_util::future::try_join_all(updates).await.unwrap();
    let numbers = history(ours).await.iter().map(|r| r.revision).collect::<Vec<_>>();
    assert_eq!(numbers.len(), 21);
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, std::iter::once(-1).chain(1..=20).collect::<Vec<_>>());
}

pub(crate) async fn everything_survives_reopening(f: &Fixture) {
    let index = f.with_types().await;
    let mut new = new_resource("instance", rid(1));
    new.attributes = values([("flavor", json!("s"))]);
    new.metrics = wanted([("cpu", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    let reopened = f.other().await;
    assert_eq!(reopened.resource("instance", rid(1)).await.unwrap(), Some(created));
    assert_eq!(reopened.count_metrics().await.unwrap(), 1);
}

pub(crate) async fn old_revisions_expire_the_oldest_first(f: &Fixture) {
    let index = f.with_types().await;
    for number in [1, 2] {
        index.create_resource(&new_resource("instance", rid(number))).await.unwrap();
        for step in 1..5 {
            let user_id = Some(Some(format!("user {step}")));
            let update = ResourceUpdate { user_id, now: at(200 + step * 100), ..update() };
            index.update_resource("instance", rid(number), &update).await.unwrap();
        }
    }
    let starts = || async {
        let revisions = history(index).await;
        revisions.iter().map(|revision| revision.revision_start).collect::<Vec<_>>()
    };
    assert_eq!(starts().await, [at(200), at(300), at(400), at(500), at(600)]);
    // Those of both resources that ended at 300; the ones that ended at 400 did not end before.
    assert_eq!(index.expire_history(at(400), 100).await.unwrap(), 2);
    assert_eq!(starts().await, [at(300), at(400), at(500), at(600)]);
    assert_eq!(index.expire_history(at(600), 3).await.unwrap(), 3);
    assert_eq!(index.expire_history(at(600), 3).await.unwrap(), 1);
    assert_eq!(index.expire_history(at(600), 3).await.unwrap(), 0);
    assert_eq!(starts().await, [at(500), at(600)]);
    // Whatever their age, resources stay as they are now, and go on to have revisions.
    assert_eq!(index.expire_history(nephos_model::Timestamp::MAX, 100).await.unwrap(), 2);
    assert_eq!(starts().await, [at(600)]);
    let update = ResourceUpdate { user_id: Some(None), now: at(700), ..update() };
    index.update_resource("instance", rid(1), &update).await.unwrap();
    assert_eq!(starts().await, [at(600), at(700)]);
    assert_eq!(history(index).await[0].revision, 5, "numbers are not given twice");
}

use std::fmt::Debug;

use nephos_index::{
    AlarmFilter, AlarmIndex, ChangeFilter, IndexError, MetricFilter, MetricIndex, Page, ResourceIndex,
    ResourceUpdate, SortKey,
};
use nephos_model::{ChangeKind, Resource, Severity};
use serde_json::json;

use crate::fixture::{Fixture, alarm, at, change, new_metric, new_resource, rid, text, values};

fn key(key: &str, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { key: key.to_owned(), descending, nulls_first }
}

/// All four orders of a key that may be null.
fn every_direction(name: &str) -> Vec<SortKey> {
    [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .map(|(descending, nulls_first)| key(name, descending, nulls_first))
        .collect()
}

/// Reads a listing in pages of every size up to five, which put together must be the listing in one piece.
async fn check_pages<T, F>(
    sort: Vec<SortKey>,
    read: impl Fn(Page) -> F,
    marker: impl Fn(&T) -> String,
) -> Vec<T>
where
    T: PartialEq + Debug,
    F: Future<Output = Result<Vec<T>, IndexError>>,
{
    let whole = read(Page { sort: sort.clone(), ..Page::default() }).await.unwrap();
    for limit in 1..=5_usize {
        let mut pieces: Vec<T> = Vec::new();
        loop {
            let page =
                Page { limit: Some(limit as u64), marker: pieces.last().map(&marker), sort: sort.clone() };
            let piece = read(page).await.unwrap();
            assert!(piece.len() <= limit);
            if piece.is_empty() {
                break;
            }
            pieces.extend(piece);
            assert!(pieces.len() <= whole.len(), "{sort:?} by {limit} repeats itself");
        }
        assert_eq!(pieces, whole, "{sort:?} by {limit}");
    }
    whole
}

pub(crate) async fn metric_pages_neither_overlap_nor_leave_out(f: &Fixture) {
    let index = f.with_policies().await;
    f.generic(rid(1)).await;
    for number in 0..12 {
        // Ties and nulls in every column.
        let name = (number % 3 != 0).then(|| format!("n{}", number % 2));
        let mut new = new_metric(None, name.as_deref());
        new.unit = (number % 4 < 2).then(|| "B".to_owned());
        new.creator = (number % 5 != 0).then(|| format!("c{}", number % 2));
        if number % 6 == 1 {
            new.resource_id = Some(rid(1));
            new.name = Some(format!("own {number}"));
        }
        index.create_metric(&new).await.unwrap();
    }
    let filter = MetricFilter::default();
    let read = |page: Page| {
        let filter = &filter;
        async move { index.metrics(filter, &page).await }
    };
    let whole = check_pages(vec![], read, |metric| metric.id.to_string()).await;
    assert!(whole.is_sorted_by_key(|metric| metric.id));
    assert_eq!(whole.len(), 12);
    for column in ["id", "name", "unit", "creator", "resource_id", "archive_policy_name", "status"] {
        for sort in every_direction(column) {
            check_pages(vec![sort], read, |metric| metric.id.to_string()).await;
        }
    }
    let mixed = vec![key("unit", true, true), key("name", false, false), key("creator", true, false)];
    let whole = check_pages(mixed, read, |metric| metric.id.to_string()).await;
    assert_eq!(whole[0].unit, None);
    let nulls_last = check_pages(vec![key("name", true, false)], read, |metric| metric.id.to_string()).await;
    assert_eq!(nulls_last[11].name, None);
    assert_eq!(nulls_last[0].name.as_deref(), Some("own 7"));
}

async fn with_resources(f: &Fixture) {
    let index = f.with_types().await;
    for number in 0..10_i64 {
        let resource_type = if number % 3 == 0 { "generic" } else { "instance" };
        let mut new = new_resource(resource_type, rid(20 - u128::try_from(number).unwrap()));
        new.now = at(200 + number % 2);
        new.started_at = at(100 + number % 3);
        new.ended_at = (number % 4 == 0).then(|| at(150));
        new.project_id = (number % 2 == 0).then(|| format!("p{}", number % 4));
        new.user_id = (number % 3 == 0).then(|| "u".to_owned());
        if resource_type == "instance" {
            new.attributes = match number % 2 {
                0 => values([
                    ("flavor", json!("x")),
                    ("cores", json!(number)),
                    ("locked", json!(number % 4 == 0)),
                ]),
                _ => values([("flavor", json!(format!("f{number}"))), ("cores", json!(0.5))]),
            };
        }
        index.create_resource(&new).await.unwrap();
    }
}

pub(crate) async fn resource_pages_neither_overlap_nor_leave_out(f: &Fixture) {
    with_resources(f).await;
    let index = &f.index;
    for resource_type in ["generic", "instance"] {
        let read = |page: Page| async move { index.resources(resource_type, false, &page).await };
        let marker = |resource: &Resource| resource.id.to_string();
        let whole = check_pages(vec![], read, marker).await;
        assert!(whole.is_sorted_by_key(|r| (r.revision_start, r.started_at, r.id)));
        for column in [
            "id",
            "type",
            "original_resource_id",
            "creator",
            "user_id",
            "project_id",
            "started_at",
            "ended_at",
            "revision_start",
            "revision_end",
            "revision",
        ] {
            for sort in every_direction(column) {
                check_pages(vec![sort], read, marker).await;
            }
        }
        let mixed = vec![
            key("ended_at", false, true),
            key("project_id", true, false),
            key("started_at", true, false),
        ];
        check_pages(mixed, read, marker).await;
    }
    let read = |page: Page| async move { index.resources("instance", false, &page).await };
    for attribute in ["flavor", "cores", "locked", "born-at", "image"] {
        for sort in every_direction(attribute) {
            check_pages(vec![sort], read, |resource: &Resource| resource.id.to_string()).await;
        }
    }
}

pub(crate) async fn history_pages_use_revision_markers(f: &Fixture) {
    with_resources(f).await;
    let index = &f.index;
    for (number, now) in (0..4).zip([300, 300, 250, 400]) {
        for id in [rid(18), rid(19)] {
            let update = ResourceUpdate {
                project_id: Some(Some(format!("changed {number}"))),
                now: at(now),
                ..ResourceUpdate::default()
            };
            index.update_resource("instance", id, &update).await.unwrap();
        }
    }
    let marker = |resource: &Resource| format!("{}@{}", resource.id, resource.revision);
    let read = |page: Page| async move { index.resource_history("instance", rid(18), &page).await };
    let one = check_pages(vec![], read, marker).await;
    assert_eq!(one.len(), 5);
    let mut first = Page { limit: Some(1), ..Page::default() };
    first.marker = Some(format!("{}@1", rid(18)));
    assert_eq!(index.resource_history("instance", rid(18), &first).await.unwrap()[0].revision, 2);
    for resource_type in ["generic", "instance"] {
        let read = |page: Page| async move { index.resources(resource_type, true, &page).await };
        let all = check_pages(vec![], read, marker).await;
        assert_eq!(all.iter().filter(|r| r.id == rid(18)).count(), 5);
        assert!(all.is_sorted_by_key(|r| (r.revision_start, r.started_at, r.id)));
        for column in ["id", "revision", "revision_end", "revision_start", "project_id", "ended_at"] {
            for sort in every_direction(column) {
                check_pages(vec![sort], read, marker).await;
            }
        }
    }
}

pub(crate) async fn attributes_of_the_type_sort_by_their_kind(f: &Fixture) {
    let index = f.with_types().await;
    for (number, cores) in [json!(10), json!(9), json!(0.5), json!(1e3)].into_iter().enumerate() {
        let mut new = new_resource("instance", rid(number as u128));
        new.attributes = values([("flavor", json!("x")), ("cores", cores)]);
        index.create_resource(&new).await.unwrap();
    }
    let page = Page { sort: vec![key("cores", false, false)], ..Page::default() };
    let sorted = index.resources("instance", false, &page).await.unwrap();
    let cores = sorted.iter().map(|r| r.attributes["cores"].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(cores, [0.5, 9.0, 10.0, 1_000.0]);
}

pub(crate) async fn text_sorts_by_bytes(f: &Fixture) {
    let index = f.with_types().await;
    let names = ["é", "a b", "B", "a", "_", "ab", "Z", "b", "a-b", "10", "9", "☃"];
    for (number, name) in names.iter().enumerate() {
        index.create_metric(&new_metric(None, Some(name))).await.unwrap();
        let mut new = new_resource("instance", rid(number as u128));
        new.attributes = values([("flavor", json!(name))]);
        index.create_resource(&new).await.unwrap();
    }
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let page = |name| Page { sort: vec![key(name, false, false)], ..Page::default() };
    let metrics = index.metrics(&MetricFilter::default(), &page("name")).await.unwrap();
    assert_eq!(metrics.iter().map(|m| m.name.as_deref().unwrap()).collect::<Vec<_>>(), expected);
    let resources = index.resources("instance", false, &page("flavor")).await.unwrap();
    assert_eq!(
        resources.iter().map(|r| r.attributes["flavor"].as_str().unwrap()).collect::<Vec<_>>(),
        expected
    );
}

pub(crate) async fn alarm_pages_neither_overlap_nor_leave_out(f: &Fixture) {
    let index = &f.index;
    let severities = [Severity::Low, Severity::Moderate, Severity::Critical];
    for number in 0..9_u8 {
        let mut stored = alarm("a");
        stored.name = (number % 4 != 0).then(|| format!("n{}", number % 3));
        stored.severity = severities[usize::from(number % 3)];
        stored.timestamp = at(i64::from(number / 3));
        stored.user_id = None;
        stored.enabled = number % 2 == 0;
        let mut entry = change(&stored, ChangeKind::Creation, i64::from(number / 4));
        entry.on_behalf_of = stored.name.clone();
        index.create_alarm(&stored, Some(&entry)).await.unwrap();
    }
    let (filter, changes) = (AlarmFilter::default(), ChangeFilter::default());
    let read = |page: Page| {
        let filter = &filter;
        async move { index.alarms(filter, &page).await }
    };
    let whole = check_pages(vec![], read, |alarm| alarm.id.to_string()).await;
    assert!(whole.is_sorted_by_key(|alarm| (std::cmp::Reverse(alarm.timestamp), alarm.id)));
    for column in [
        "alarm_id",
        "enabled",
        "name",
        "type",
        "severity",
        "timestamp",
        "user_id",
        "project_id",
        "state",
        "repeat_actions",
        "state_timestamp",
    ] {
        for sort in every_direction(column) {
            check_pages(vec![sort], read, |alarm| alarm.id.to_string()).await;
        }
    }
    let read = |page: Page| {
        let changes = &changes;
        async move { index.alarm_changes(changes, &page).await }
    };
    let whole = check_pages(vec![], read, |change| change.event_id.to_string()).await;
    assert!(whole.is_sorted_by_key(|change| (std::cmp::Reverse(change.timestamp), change.event_id)));
    for column in
        ["event_id", "alarm_id", "on_behalf_of", "project_id", "user_id", "type", "timestamp", "severity"]
    {
        for sort in every_direction(column) {
            check_pages(vec![sort], read, |change| change.event_id.to_string()).await;
        }
    }
}

pub(crate) async fn bad_markers_and_sort_keys_are_named(f: &Fixture) {
    let index = f.with_types().await;
    index.create_resource(&new_resource("generic", rid(1))).await.unwrap();
    let (nobody, somebody) = (rid(77).to_string(), rid(1).to_string());
    let marked = |marker: &str| Page { marker: Some(marker.to_owned()), ..Page::default() };
    for marker in ["", "x", nobody.as_str()] {
        let expected = format!("invalid marker: {marker}");
        let page = marked(marker);
        assert_eq!(text(index.metrics(&MetricFilter::default(), &page).await), expected);
        assert_eq!(text(index.resources("generic", false, &page).await), expected);
        assert_eq!(text(index.alarms(&AlarmFilter::default(), &page).await), expected);
        assert_eq!(text(index.alarm_changes(&ChangeFilter::default(), &page).await), expected);
    }
    for marker in [somebody.clone(), format!("{somebody}@"), format!("{somebody}@1"), format!("x@{somebody}")]
    {
        let expected = format!("invalid marker: {marker}");
        assert_eq!(text(index.resources("generic", true, &marked(&marker)).await), expected);
        assert_eq!(text(index.resource_history("generic", rid(1), &marked(&marker)).await), expected);
    }
    // A resource of another type is not part of the listing.
    assert!(matches!(
        index.resources("instance", false, &marked(&somebody)).await,
        Err(IndexError::BadMarker(_))
    ));
    index.resource_history("generic", rid(1), &marked(&format!("{somebody}@-1"))).await.unwrap();
    let by = |name: &str| Page { sort: vec![key(name, false, false)], ..Page::default() };
    for name in ["", "flavor", "id; DROP TABLE metric", "attributes", "next_revision"] {
        let expected = format!("sort key is invalid: {name}");
        assert_eq!(text(index.metrics(&MetricFilter::default(), &by(name)).await), expected);
        assert_eq!(text(index.resources("generic", true, &by(name)).await), expected);
        assert_eq!(text(index.alarms(&AlarmFilter::default(), &by(name)).await), expected);
        assert_eq!(text(index.alarm_changes(&ChangeFilter::default(), &by(name)).await), expected);
    }
}

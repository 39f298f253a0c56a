use nephos_index::{EnsureMetric, IndexError, MetricFilter, MetricIndex, Page, PolicyIndex, ResourceIndex};
use nephos_model::MetricId;

use crate::fixture::{Fixture, new_metric, new_resource, policy, rid, text};

pub(crate) async fn metrics_are_created_found_and_filtered(f: &Fixture) {
    let index = f.with_policies().await;
    f.generic(rid(1)).await;
    let mut full = new_metric(Some(rid(1)), Some("cpu | ✔"));
    full.unit = Some("%".to_owned());
    full.archive_policy_name = Some("high".to_owned());
    full.creator = Some("user:project".to_owned());
    let full = index.create_metric(&full).await.unwrap();
    let mut bare = new_metric(None, None);
    bare.creator = None;
    let bare = index.create_metric(&bare).await.unwrap();
    assert_eq!(bare.archive_policy_name, "low");
    for metric in [&full, &bare] {
        assert_eq!(index.metric(metric.id).await.unwrap().as_ref(), Some(metric));
    }
    assert_eq!(index.resource_metric(rid(1), "cpu | ✔").await.unwrap().as_ref(), Some(&full));
    assert_eq!(index.resource_metric(rid(1), "cpu").await.unwrap(), None);
    assert_eq!(index.metric(MetricId::random()).await.unwrap(), None);
    assert_eq!(index.count_metrics().await.unwrap(), 2);
    let some = |text: &str| Some(text.to_owned());
    let filters = [
        MetricFilter { ids: Some(vec![full.id, MetricId::random()]), ..MetricFilter::default() },
        MetricFilter { name: some("cpu | ✔"), ..MetricFilter::default() },
        MetricFilter { unit: some("%"), ..MetricFilter::default() },
        MetricFilter { creator: some("user:project"), ..MetricFilter::default() },
        MetricFilter { archive_policy_name: some("high"), ..MetricFilter::default() },
        MetricFilter { resource_id: Some(rid(1)), name: some("cpu | ✔"), ..MetricFilter::default() },
    ];
    for filter in filters {
        let found = index.metrics(&filter, &Page::default()).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&full), "{filter:?}");
    }
    for filter in [
        MetricFilter { ids: Some(vec![]), ..MetricFilter::default() },
        MetricFilter { unit: some("%"), creator: some("admin"), ..MetricFilter::default() },
        MetricFilter { deleted: true, ..MetricFilter::default() },
    ] {
        assert_eq!(index.metrics(&filter, &Page::default()).await.unwrap(), [], "{filter:?}");
    }
    assert_eq!(index.metrics(&MetricFilter::default(), &Page::default()).await.unwrap().len(), 2);
}

pub(crate) async fn missing_references_are_named(f: &Fixture) {
    let index = f.with_policies().await;
    let lost = index.create_metric(&new_metric(Some(rid(9)), Some("a"))).await;
    assert_eq!(text(lost), format!("resource {} does not exist", rid(9)));
    let mut new = new_metric(None, Some("a"));
    new.archive_policy_name = Some("none".to_owned());
    assert_eq!(text(index.create_metric(&new).await), "archive policy none does not exist");
    index.delete_rule("default").await.unwrap();
    assert!(matches!(
        index.create_metric(&new_metric(None, Some("a"))).await,
        Err(IndexError::NoPolicyMatch(name)) if name == "a"
    ));
    assert_eq!(index.count_metrics().await.unwrap(), 0);
}

pub(crate) async fn names_are_unique_among_live_metrics_of_a_resource(f: &Fixture) {
    let index = f.with_policies().await;
    f.generic(rid(1)).await;
    f.generic(rid(2)).await;
    let first = f.metric(Some(rid(1)), "cpu").await;
    assert_eq!(
        text(index.create_metric(&new_metric(Some(rid(1)), Some("cpu"))).await),
        "named metric cpu already exists"
    );
    // Elsewhere, in other letters, or without a resource it is another name.
    f.metric(Some(rid(2)), "cpu").await;
    f.metric(Some(rid(1)), "CPU").await;
    f.metric(None, "cpu").await;
    f.metric(None, "cpu").await;
    let mut same_id = new_metric(None, None);
    same_id.id = first.id;
    assert_eq!(text(index.create_metric(&same_id).await), format!("metric {} already exists", first.id));
}

pub(crate) async fn deleted_metrics_are_hidden_and_wait_for_their_expunging(f: &Fixture) {
    let index = f.with_policies().await;
    f.generic(rid(1)).await;
    let metric = f.metric(Some(rid(1)), "cpu").await;
    index.delete_metric(metric.id).await.unwrap();
    assert_eq!(text(index.delete_metric(metric.id).await), format!("metric {} does not exist", metric.id));
    assert_eq!(index.metric(metric.id).await.unwrap(), None);
    assert_eq!(index.resource_metric(rid(1), "cpu").await.unwrap(), None);
    assert_eq!(index.count_metrics().await.unwrap(), 0);
    assert!(index.resource("generic", rid(1)).await.unwrap().unwrap().metrics.is_empty());
    let deleted = MetricFilter { deleted: true, ..MetricFilter::default() };
    assert_eq!(index.metrics(&deleted, &Page::default()).await.unwrap(), std::slice::from_ref(&metric));
    // The name is free at once.
    let second = f.metric(Some(rid(1)), "cpu").await;
    index.delete_metric(second.id).await.unwrap();
    let mut waiting = index.deleted_metrics(10).await.unwrap();
    waiting.sort();
    let mut expected = [metric.id, second.id];
    expected.sort();
    assert_eq!(waiting, expected);
    assert_eq!(index.deleted_metrics(1).await.unwrap().len(), 1);
    index.expunge_metrics(&[metric.id, MetricId::random()]).await.unwrap();
    index.expunge_metrics(&[]).await.unwrap();
    assert_eq!(index.deleted_metrics(10).await.unwrap(), [second.id]);
    // Live metrics cannot be expunged.
    let live = f.metric(None, "live").await;
    index.expunge_metrics(&[live.id]).await.unwrap();
    assert!(index.metric(live.id).await.unwrap().is_some());
}

pub(crate) async fn policies_deleted_by_others_are_noticed(f: &Fixture) {
    let (ours, theirs) = (f.with_policies().await, f.other().await);
    theirs.archive_policy("high").await.unwrap().unwrap();
    ours.delete_archive_policy("high").await.unwrap();
    let mut new = new_metric(None, Some("a"));
    new.archive_policy_name = Some("high".to_owned());
    assert_eq!(text(theirs.create_metric(&new).await), "archive policy high does not exist");
    // A rule that leads elsewhere now is followed.
    theirs.archive_policy("low").await.unwrap().unwrap();
    ours.create_archive_policy(&policy("new")).await.unwrap();
    ours.delete_rule("default").await.unwrap();
    ours.create_rule(&crate::fixture::rule("default", "*", "new")).await.unwrap();
    ours.delete_archive_policy("low").await.unwrap();
    let metric = theirs.create_metric(&new_metric(None, Some("a"))).await.unwrap();
    assert_eq!(metric.archive_policy_name, "new");
    // And so for resources.
    let mut resource = new_resource("generic", rid(1));
    resource.metrics = crate::fixture::wanted([("m", crate::fixture::by_rule())]);
    theirs.create_resource(&resource).await.unwrap();
}

pub(crate) async fn racing_creators_of_one_name_have_one_winner(f: &Fixture) {
    let (ours, theirs) = (f.with_policies().await, &f.other().await);
    f.generic(rid(1)).await;
    let attempts = (0..20).map(|number| {
        let index = if number % 2 == 0 { ours } else { theirs };
        async move { index.create_metric(&new_metric(Some(rid(1)), Some("cpu"))).await }
    });
    let results = futures_util::future::join_all(attempts).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for error in lost {
        assert_eq!(text(error), "named metric cpu already exists");
    }
}

pub(crate) async fn a_project_sees_its_own_metrics_and_those_of_its_resources(f: &Fixture) {
    let index = f.with_policies().await;
    let owners = [("x:q", Some("p")), ("x:p", None), ("x:q", Some("q")), ("p", None)];
    for (number, (creator, project)) in (1_u128..).zip(owners) {
        let mut resource = new_resource("generic", rid(number));
        resource.creator = Some(creator.to_owned());
        resource.project_id = project.map(str::to_owned);
        index.create_resource(&resource).await.unwrap();
        f.metric(Some(rid(number)), "cpu").await;
    }
    for creator in [Some("y:p"), Some("y:p:z"), Some("p"), None] {
        let mut metric = new_metric(None, Some("loose"));
        metric.creator = creator.map(str::to_owned);
        index.create_metric(&metric).await.unwrap();
    }
    let seen = async |filter: MetricFilter| {
        let found = index.metrics(&filter, &Page::default()).await.unwrap();
        let mut places: Vec<_> = found
            .iter()
            .map(|metric| (metric.resource_id.map(|id| id.0.as_u128()), metric.creator.clone()))
            .collect();
        places.sort_unstable();
        places
    };
    let admin = Some("admin".to_owned());
    let visible = MetricFilter { visible_to: Some("p".to_owned()), ..MetricFilter::default() };
    let all = [(None, Some("y:p".to_owned())), (Some(1), admin.clone()), (Some(2), admin.clone())];
    assert_eq!(seen(visible.clone()).await, all);
    let named = MetricFilter { name: Some("cpu".to_owned()), ..visible.clone() };
    assert_eq!(seen(named).await, [(Some(1), admin.clone()), (Some(2), admin.clone())]);
    let gone = f.metric(Some(rid(1)), "gone").await;
    index.delete_metric(gone.id).await.unwrap();
    assert_eq!(seen(MetricFilter { deleted: true, ..visible }).await, [(Some(1), admin)]);
}

pub(crate) async fn a_project_with_many_metrics_sees_them_in_pages(f: &Fixture) {
    let index = f.with_policies().await;
    f.generic(rid(1)).await;
    let wanted: Vec<EnsureMetric> = (0..20_500)
        .map(|number| EnsureMetric {
            resource_id: rid(1),
            name: format!("m{number}"),
            unit: None,
            archive_policy_name: None,
        })
        .collect();
    index.ensure(Some("u:p"), &[], &wanted, crate::fixture::at(300)).await.unwrap();
    f.metric(Some(rid(1)), "other").await;
    let filter = MetricFilter { visible_to: Some("p".to_owned()), ..MetricFilter::default() };
    let mut page = Page { limit: Some(7_000), ..Page::default() };
    let mut seen = std::collections::BTreeSet::new();
    for expected in [7_000, 7_000, 6_500] {
        let found = index.metrics(&filter, &page).await.unwrap();
        assert_eq!(found.len(), expected);
        page.marker = found.last().map(|metric| metric.id.to_string());
        seen.extend(found.into_iter().filter_map(|metric| metric.name));
    }
    assert_eq!(seen.len(), 20_500);
    assert!(!seen.contains("other"));
}

pub(crate) async fn a_metric_gets_another_policy(f: &Fixture) {
    let index = f.with_policies().await;
    let metric = f.metric(None, "m").await;
    let known = |known: nephos_index::KnownMetrics| known.kinds[0].policy.name.clone();
    assert_eq!(known(index.known_metrics(&[metric.id]).await.unwrap()), metric.archive_policy_name);
    assert_eq!(index.change_metric_policy(metric.id, "high").await.unwrap(), metric.archive_policy_name);
    assert_eq!(index.change_metric_policy(metric.id, "high").await.unwrap(), "high");
    assert_eq!(index.metric(metric.id).await.unwrap().unwrap().archive_policy_name, "high");
    assert_eq!(known(index.known_metrics(&[metric.id]).await.unwrap()), "high");
    let in_use = text(index.delete_archive_policy("high").await);
    assert_eq!(in_use, "archive policy high is still in use");
    let missing = text(index.change_metric_policy(metric.id, "none").await);
    assert_eq!(missing, "archive policy none does not exist");
    index.delete_metric(metric.id).await.unwrap();
    let gone = text(index.change_metric_policy(metric.id, "low").await);
    assert_eq!(gone, format!("metric {} does not exist", metric.id));
}

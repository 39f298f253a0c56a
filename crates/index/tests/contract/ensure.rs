use nephos_index::{
    EnsureMetric, EnsureResource, EnsuredMetric, IndexError, MetricIndex, Page, PolicyIndex, ResourceIndex,
    SqlIndex,
};
use nephos_model::{MetricId, ResourceId, Timestamp};
use serde_json::json;

use crate::fixture::{Fixture, at, new_resource, rid, rule, text, values};

fn resource(id: ResourceId) -> EnsureResource {
    EnsureResource {
        resource_type: "instance".to_owned(),
        id,
        original_resource_id: format!("original {id}"),
        user_id: Some("u".to_owned()),
        project_id: None,
        attributes: values([("flavor", json!("small"))]),
        ended_at: None,
    }
}

fn metric(resource_id: ResourceId, name: &str) -> EnsureMetric {
    EnsureMetric { resource_id, name: name.to_owned(), unit: Some("B".to_owned()), archive_policy_name: None }
}

async fn ensure(
    index: &SqlIndex,
    resources: &[EnsureResource],
    metrics: &[EnsureMetric],
    now: Timestamp,
) -> Vec<Result<EnsuredMetric, IndexError>> {
    index.ensure(Some("admin"), resources, metrics, now).await.unwrap()
}

fn ids(answers: Vec<Result<EnsuredMetric, IndexError>>) -> Vec<MetricId> {
    answers.into_iter().map(|answer| answer.unwrap().metric.id).collect()
}

pub(crate) async fn what_is_missing_is_created_and_what_is_there_stays(f: &Fixture) {
    let index = f.with_types().await;
    index.create_rule(&rule("fine", "fine.*", "high")).await.unwrap();
    let resources = [resource(rid(1)), resource(rid(2))];
    let mut explicit = metric(rid(1), "explicit");
    explicit.archive_policy_name = Some("high".to_owned());
    let metrics = [metric(rid(2), "cpu"), metric(rid(1), "cpu"), metric(rid(1), "fine.cpu"), explicit];
    let answers = ensure(index, &resources, &metrics, at(500)).await;
    for (answer, asked) in answers.iter().zip(&metrics) {
        let EnsuredMetric { metric, policy } = answer.as_ref().unwrap();
        assert_eq!((metric.resource_id, metric.name.as_ref()), (Some(asked.resource_id), Some(&asked.name)));
        assert_eq!((metric.unit.as_deref(), metric.creator.as_deref()), (Some("B"), Some("admin")));
        assert_eq!(metric.archive_policy_name, policy.name);
        assert_eq!(index.metric(metric.id).await.unwrap().as_ref(), Some(metric));
    }
    let policies = answers.iter().map(|a| a.as_ref().unwrap().policy.name.as_str()).collect::<Vec<_>>();
    assert_eq!(policies, ["low", "low", "high", "high"]);
    let created = index.resource("instance", rid(1)).await.unwrap().unwrap();
    assert_eq!((created.started_at, created.revision_start, created.ended_at), (at(500), at(500), None));
    assert_eq!((created.user_id.as_deref(), created.creator.as_deref()), (Some("u"), Some("admin")));
    assert_eq!(created.original_resource_id, format!("original {}", rid(1)));
    assert_eq!(
        (&created.attributes["flavor"], &created.attributes["image"]),
        (&json!("small"), &json!(null))
    );
    // Again, and with one more.
    let more = [metrics.as_slice(), &[metric(rid(2), "new")]].concat();
    let again = ids(ensure(index, &resources, &more, at(600)).await);
    assert_eq!(again[..4], ids(answers));
    assert_eq!(index.count_metrics().await.unwrap(), 5);
    assert_eq!(index.resource_history("instance", rid(1), &Page::default()).await.unwrap().len(), 1);
}

pub(crate) async fn existing_resources_get_changed_attributes(f: &Fixture) {
    let index = f.with_types().await;
    ensure(index, &[resource(rid(1))], &[], at(500)).await;
    let mut changed = resource(rid(1));
    changed.user_id = None;
    changed.project_id = Some("p".to_owned());
    changed.attributes = values([
        ("flavor", json!("large")),
        ("cores", json!(4)),
        ("image", json!(null)),
        ("unknown to the type", json!("x")),
    ]);
    for now in [600, 700] {
        ensure(index, std::slice::from_ref(&changed), &[], at(now)).await;
    }
    let history = index.resource_history("instance", rid(1), &Page::default()).await.unwrap();
    assert_eq!(history.len(), 2, "one revision, for one change");
    let now = &history[1];
    assert_eq!((now.user_id.as_deref(), now.project_id.as_deref()), (Some("u"), Some("p")));
    assert_eq!((&now.attributes["flavor"], &now.attributes["cores"]), (&json!("large"), &json!(4)));
    assert!(!now.attributes.contains_key("unknown to the type"));
    assert_eq!(now.revision_start, at(600));
    // A resource of another type keeps it and what it has.
    f.generic(rid(2)).await;
    ensure(index, &[resource(rid(2))], &[], at(700)).await;
    let kept = index.resource("generic", rid(2)).await.unwrap().unwrap();
    assert_eq!(kept.resource_type, "generic");
    assert!(kept.attributes.is_empty());
}

pub(crate) async fn ended_resources_come_back_to_life(f: &Fixture) {
    let index = f.with_types().await;
    let mut gone = resource(rid(1));
    gone.ended_at = Some(at(450));
    ensure(index, std::slice::from_ref(&gone), &[], at(500)).await;
    let created = index.resource("instance", rid(1)).await.unwrap().unwrap();
    assert_eq!((created.started_at, created.ended_at), (at(450), Some(at(450))));
    ensure(index, &[resource(rid(1))], &[], at(600)).await;
    assert_eq!(index.resource("instance", rid(1)).await.unwrap().unwrap().ended_at, None);
    // An end before the start is the start.
    gone.ended_at = Some(at(10));
    ensure(index, &[gone], &[], at(700)).await;
    let ended = index.resource("instance", rid(1)).await.unwrap().unwrap();
    assert_eq!((ended.started_at, ended.ended_at), (at(450), Some(at(450))));
    assert_eq!(index.resource_history("instance", rid(1), &Page::default()).await.unwrap().len(), 3);
}

pub(crate) async fn one_bad_metric_harms_no_other(f: &Fixture) {
    let index = f.with_types().await;
    index.delete_rule("default").await.unwrap();
    index.create_rule(&rule("cpu", "cpu*", "low")).await.unwrap();
    let mut none = metric(rid(1), "cpu.none");
    none.archive_policy_name = Some("none".to_owned());
    let metrics =
        [metric(rid(1), "cpu"), metric(rid(1), "disk"), none, metric(rid(9), "cpu"), metric(rid(1), "cpu2")];
    for _ in 0..2 {
        let answers = ensure(index, &[resource(rid(1))], &metrics, at(500)).await;
        let errors = answers.into_iter().map(|a| a.err().map(|e| e.to_string())).collect::<Vec<_>>();
        let lost = format!("resource {} does not exist", rid(9));
        assert_eq!(
            errors,
            [
                None,
                Some("no archive policy rule matches the metric name disk".to_owned()),
                Some("archive policy none does not exist".to_owned()),
                Some(lost),
                None
            ]
        );
    }
    assert_eq!(index.count_metrics().await.unwrap(), 2);
    // A metric of a resource that only exists already is fine.
    f.generic(rid(9)).await;
    assert!(ensure(index, &[], &[metric(rid(9), "cpu")], at(500)).await[0].is_ok());
}

pub(crate) async fn unknown_types_are_refused(f: &Fixture) {
    let index = f.with_policies().await;
    let refused = index.ensure(None, &[resource(rid(1))], &[metric(rid(1), "cpu")], at(500)).await;
    assert_eq!(text(refused), "resource type instance does not exist");
    assert_eq!(index.count_metrics().await.unwrap(), 0);
}

pub(crate) async fn doubled_input_is_one_resource_and_one_metric(f: &Fixture) {
    let index = f.with_types().await;
    let mut second = resource(rid(1));
    second.user_id = None;
    second.attributes = values([("cores", json!(2))]);
    let metrics = [metric(rid(1), "cpu"), metric(rid(1), "cpu")];
    let answers = ids(ensure(index, &[resource(rid(1)), second], &metrics, at(500)).await);
    assert_eq!(answers[0], answers[1]);
    let created = index.resource("instance", rid(1)).await.unwrap().unwrap();
    assert_eq!(created.user_id.as_deref(), Some("u"));
    assert_eq!((&created.attributes["flavor"], &created.attributes["cores"]), (&json!("small"), &json!(2)));
}

pub(crate) async fn racing_callers_agree_on_every_metric(f: &Fixture) {
    let (ours, theirs) = (f.with_types().await, &f.other().await);
    let calls = (0..12_u128).map(|call| {
        let index = if call % 2 == 0 { ours } else { theirs };
        async move {
            // Everyone asks for the same, in another order and with other owners.
            let mut numbers = (0..40_u128).collect::<Vec<_>>();
            numbers.rotate_left(usize::try_from(call * 3).unwrap());
            let resources = numbers.iter().map(|n| {
                let mut resource = resource(rid(*n));
                resource.project_id = Some(format!("p{}", call % 3));
                resource
            });
            let metrics = numbers.iter().flat_map(|n| [metric(rid(*n), "cpu"), metric(rid(*n), "disk")]);
            let (resources, metrics) = (resources.collect::<Vec<_>>(), metrics.collect::<Vec<_>>());
            let mut answers = ensure(index, &resources, &metrics, at(500))
                .await
                .into_iter()
                .map(Result::unwrap)
                .collect::<Vec<_>>();
            answers.sort_by_key(|answer| (answer.metric.resource_id, answer.metric.name.clone()));
            answers.iter().map(|answer| answer.metric.id).collect::<Vec<_>>()
        }
    });
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers[0].len(), 80);
    for answer in &answers {
        assert_eq!(*answer, answers[0]);
    }
    assert_eq!(ours.count_metrics().await.unwrap(), 80);
    assert_eq!(ours.resources("instance", false, &Page::default()).await.unwrap().len(), 40);
}

pub(crate) async fn nothing_is_written_when_everything_is_there(f: &Fixture) {
    let index = f.with_types().await;
    let resources = (0..300).map(|n| resource(rid(n))).collect::<Vec<_>>();
    let metrics = (0..300).flat_map(|n| [metric(rid(n), "cpu"), metric(rid(n), "disk")]).collect::<Vec<_>>();
    let first = ids(ensure(index, &resources, &metrics, at(500)).await);
    f.db.start_recording();
    assert_eq!(ids(ensure(index, &resources, &metrics, at(600)).await), first);
    let statements = f.db.recorded();
    assert_eq!(statements.len(), 2, "{statements:?}");
    assert!(statements.iter().all(|(sql, _)| ["SELECT ", "WITH "].iter().any(|word| sql.starts_with(word))));
    f.generic(rid(1_000)).await;
    let recorded_create = new_resource("generic", rid(1_001));
    f.db.start_recording();
    index.create_resource(&recorded_create).await.unwrap();
    assert_eq!(f.db.recorded().len(), 1, "a resource without metrics is one statement");
}

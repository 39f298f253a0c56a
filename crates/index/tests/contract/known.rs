use std::time::Duration;

use nephos_index::{
    IndexError, MetricIndex, MetricKind, PolicyIndex, ResourceIndex, ResourceUpdate, SqlIndex,
};
use nephos_model::MetricId;

use crate::fixture::{Fixture, at, by_rule, new_metric, new_resource, policy, rid, wanted};

const SECOND: Duration = Duration::from_secs(1);

/// Creator, project and policy, as text, of each metric.
pub(crate) async fn known(index: &SqlIndex, ids: &[MetricId]) -> Vec<Option<String>> {
    let known = index.known_metrics(ids).await.unwrap();
    let told = |kind: Option<&MetricKind>| {
        let kind = kind?;
        let text = |part: &Option<std::sync::Arc<str>>| part.as_deref().unwrap_or("-").to_owned();
        Some(format!("{} {} {}", text(&kind.creator), text(&kind.project_id), kind.policy.name))
    };
    known.each().map(told).collect()
}

async fn is_known(index: &SqlIndex, id: MetricId) -> bool {
    known(index, &[id]).await[0].is_some()
}

pub(crate) fn project(name: &str) -> ResourceUpdate {
    ResourceUpdate { project_id: Some(Some(name.to_owned())), now: at(300), ..ResourceUpdate::default() }
}

pub(crate) async fn known_metrics_are_told_in_the_order_asked_for(f: &Fixture) {
    let index = f.with_policies().await;
    let mut resource = new_resource("generic", rid(1));
    resource.project_id = Some("p".to_owned());
    resource.metrics = wanted([("cpu", by_rule()), ("disk", by_rule())]);
    let resource = index.create_resource(&resource).await.unwrap();
    let mut loose = new_metric(None, None);
    (loose.creator, loose.archive_policy_name) = (None, Some("high".to_owned()));
    let loose = index.create_metric(&loose).await.unwrap().id;
    let (cpu, disk) = (resource.metrics["cpu"], resource.metrics["disk"]);
    for ids in
        [vec![cpu, loose, MetricId::random(), disk, loose], vec![loose], vec![MetricId::random()], vec![]]
    {
        let expected = ids.iter().map(|id| match id {
            id if [cpu, disk].contains(id) => Some("admin p low".to_owned()),
            id if *id == loose => Some("- - high".to_owned()),
            _ => None,
        });
        let expected: Vec<_> = expected.collect();
        // From the database, then from memory.
        assert_eq!(known(index, &ids).await, expected);
        assert_eq!(known(index, &ids).await, expected);
    }
    assert_eq!(index.known_metrics(&[cpu, disk]).await.unwrap().kinds.len(), 1);
}

pub(crate) async fn what_this_process_changes_shows_at_once(f: &Fixture) {
    let index = f.with_policies().await;
    f.generic(rid(1)).await;
    let (cpu, disk) = (f.metric(Some(rid(1)), "cpu").await.id, f.metric(Some(rid(1)), "disk").await.id);
    let loose = f.metric(None, "loose").await.id;
    let all = [cpu, disk, loose];
    let told = |parts: [Option<&str>; 3]| parts.map(|part| part.map(str::to_owned)).to_vec();
    assert_eq!(known(index, &all).await, told([Some("admin - low"); 3]));

    index.update_resource("generic", rid(1), &project("p")).await.unwrap();
    assert_eq!(
        known(index, &all).await,
        told([Some("admin p low"), Some("admin p low"), Some("admin - low")])
    );
    let attach = nephos_index::ResourceMetrics::Existing(loose);
    let mut update = ResourceUpdate { now: at(400), creator: Some("admin".to_owned()), ..Default::default() };
    update.metrics = Some(wanted([("loose", attach), ("cpu", nephos_index::ResourceMetrics::Existing(cpu))]));
    index.update_resource("generic", rid(1), &update).await.unwrap();
    assert_eq!(
        known(index, &all).await,
        told([Some("admin p low"), Some("admin - low"), Some("admin p low")])
    );

    index.delete_metric(cpu).await.unwrap();
    assert_eq!(known(index, &all).await, told([None, Some("admin - low"), Some("admin p low")]));
    index.delete_resource("generic", rid(1)).await.unwrap();
    assert_eq!(known(index, &all).await, told([None, Some("admin - low"), None]));

    let mut definition = policy("low").definition;
    definition[0].points = Some(11);
    index.update_archive_policy("low", &definition, None).await.unwrap();
    let kinds = index.known_metrics(&[disk]).await.unwrap().kinds;
    assert_eq!(kinds[0].policy.definition, definition);
}

pub(crate) async fn what_others_change_shows_within_a_second(f: &Fixture) {
    let index = f.with_policies().await;
    let other = f.other().await;
    f.generic(rid(1)).await;
    let (kept, gone) = (f.metric(Some(rid(1)), "kept").await.id, f.metric(None, "gone").await.id);
    assert_eq!(known(index, &[kept, gone]).await.iter().flatten().count(), 2);
    other.update_resource("generic", rid(1), &project("q")).await.unwrap();
    other.delete_metric(gone).await.unwrap();
    assert!(is_known(index, gone).await, "kept in memory for a moment");
    f.clock.advance(SECOND);
    assert!(!is_known(index, gone).await);
    assert_eq!(known(index, &[kept]).await, [Some("admin q low".to_owned())]);
    // Who was away for long starts anew.
    other.delete_metric(kept).await.unwrap();
    f.clock.advance(Duration::from_secs(24 * 3_600));
    assert!(!is_known(index, kept).await);
}

pub(crate) async fn metrics_are_known_by_their_places(f: &Fixture) {
    let index = f.with_policies().await;
    for number in [1, 2] {
        f.generic(rid(number)).await;
    }
    let (a, b) = (f.metric(Some(rid(1)), "cpu").await.id, f.metric(Some(rid(2)), "cpu").await.id);
    let disk = f.metric(Some(rid(1)), "disk").await.id;
    let places = [(rid(1), "cpu"), (rid(2), "cpu"), (rid(2), "disk"), (rid(9), "cpu"), (rid(1), "disk")];
    let found = async || index.known_by_name(&places).await.unwrap();
    for _ in 0..2 {
        assert_eq!(found().await, [Some(a), Some(b), None, None, Some(disk)]);
    }
    // Moved, deleted, created anew under the same name.
    let mut update = ResourceUpdate { now: at(400), creator: Some("admin".to_owned()), ..Default::default() };
    update.metrics = Some(wanted([("disk", nephos_index::ResourceMetrics::Existing(disk))]));
    update.append_metrics = true;
    index.update_resource("generic", rid(2), &update).await.unwrap();
    index.delete_metric(a).await.unwrap();
    assert_eq!(found().await, [None, Some(b), Some(disk), None, None]);
    assert!(is_known(index, disk).await);
    let anew = f.metric(Some(rid(1)), "cpu").await.id;
    for _ in 0..2 {
        assert_eq!(found().await, [Some(anew), Some(b), Some(disk), None, None]);
    }
    assert_eq!(index.known_by_name(&[]).await.unwrap(), []);
}

pub(crate) async fn a_change_that_commits_after_others_were_seen_is_not_missed(f: &Fixture) {
    let index = f.with_policies().await;
    let other = f.other().await;
    let (slow, quick) = (f.metric(None, "slow").await.id, f.metric(None, "quick").await.id);
    assert!(is_known(index, slow).await && is_known(index, quick).await);
    let (mine, position) = match f.db.dialect() {
        nephos_sql::Dialect::Postgres => (true, "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"),
        nephos_sql::Dialect::Sqlite => (false, "(SELECT coalesce(max(position), 0) + 1 FROM metric_change)"),
    };
    let clock = f.clock.as_ref();
    let deleted: Result<(), nephos_sql::SqlError> =
        f.db.transaction(|tx| {
            let other = &other;
            Box::pin(async move {
                let note = format!("INSERT INTO metric_change VALUES ({position}, $1, 9999999999)");
                tx.execute(note, &[slow.0.into()]).await?;
                tx.execute("DELETE FROM metric WHERE id = $1", &[slow.0.into()]).await?;
                // SQLite has one writer at a time, so nobody can overtake there.
                if mine {
                    other.delete_metric(quick).await.unwrap();
                }
                clock.advance(SECOND);
                assert!(is_known(index, slow).await);
                assert_eq!(is_known(index, quick).await, !mine);
                Ok(())
            })
        })
        .await;
    deleted.unwrap();
    f.clock.advance(SECOND);
    assert!(!is_known(index, slow).await);
}

pub(crate) async fn changes_are_kept_for_an_hour(f: &Fixture) {
    let index = f.with_policies().await;
    let changes = async || {
        let row = f.db.read_one("SELECT count(*) FROM metric_change", &[]).await.unwrap();
        row.unwrap().int(0).unwrap()
    };
    for name in ["a", "b", "c"] {
        let metric = f.metric(None, name).await;
        index.delete_metric(metric.id).await.unwrap();
    }
    index.expunge_metrics(&[]).await.unwrap();
    assert_eq!(changes().await, 3);
    f.db.execute("UPDATE metric_change SET changed_at = changed_at - 4000", &[]).await.unwrap();
    index.expunge_metrics(&[]).await.unwrap();
    assert_eq!(changes().await, 1, "the last one tells where the log is");
}

pub(crate) async fn without_a_database_nothing_is_claimed_to_be_known_for_long(f: &Fixture) {
    let index = f.with_policies().await;
    let metric = f.metric(None, "a").await.id;
    assert!(is_known(index, metric).await);
    f.db.execute("DROP TABLE metric_change", &[]).await.unwrap();
    assert!(is_known(index, metric).await);
    f.clock.advance(SECOND);
    for _ in 0..2 {
        assert!(matches!(index.known_metrics(&[metric]).await, Err(IndexError::Database { .. })));
    }
}

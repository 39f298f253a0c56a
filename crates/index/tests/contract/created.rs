//! What this process creates it knows, and exactly as the database has it, whatever others do meanwhile.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use nephos_index::{
    EnsureMetric, EnsureResource, MetricIndex, ResourceIndex, ResourceMetrics, ResourceUpdate, SqlIndex,
};
use nephos_model::{MetricId, ResourceId};
use nephos_sql::{Db, Dialect, SqlError};
use tokio::sync::Notify;

use crate::fixture::{Fixture, at, by_rule, new_metric, new_resource, rid, wanted};
use crate::known::{known, project};

/// The statements that were run for metrics in memory since the recording began.
fn loads(db: &Db) -> usize {
    let is_load = |sql: &str| sql.contains("LEFT JOIN resource AS r ON r.id = m.resource_id");
    db.recorded().iter().filter(|(sql, _)| is_load(sql)).count()
}

/// These are known as expected without a statement, and another process reads the same.
async fn demand_known(f: &Fixture, ids: &[MetricId], expected: &str) {
    f.db.start_recording();
    let told = known(&f.index, ids).await;
    assert_eq!(loads(&f.db), 0, "{expected}");
    assert_eq!(told, vec![Some(expected.to_owned()); ids.len()]);
    assert_eq!(known(&f.other().await, ids).await, told);
}

fn named(name: &str, metric: ResourceMetrics) -> Option<BTreeMap<String, ResourceMetrics>> {
    Some(wanted([(name, metric)]))
}

fn of_project(id: ResourceId, project: &str) -> nephos_index::NewResource {
    let mut new = new_resource("generic", id);
    new.project_id = Some(project.to_owned());
    new
}

fn appended(name: &str) -> ResourceUpdate {
    let (metrics, creator) = (named(name, by_rule()), Some("admin".to_owned()));
    ResourceUpdate { metrics, creator, append_metrics: true, now: at(400), ..Default::default() }
}

fn ensured(id: ResourceId, project: Option<&str>) -> EnsureResource {
    EnsureResource {
        resource_type: "generic".to_owned(),
        id,
        original_resource_id: id.to_string(),
        user_id: None,
        project_id: project.map(str::to_owned),
        attributes: BTreeMap::new(),
        ended_at: None,
    }
}

async fn ensure(index: &SqlIndex, id: ResourceId, project: Option<&str>, name: &str) -> Option<MetricId> {
    let metric =
        EnsureMetric { resource_id: id, name: name.to_owned(), unit: None, archive_policy_name: None };
    let ensured = index.ensure(Some("admin"), &[ensured(id, project)], &[metric], at(500)).await.ok()?;
    ensured.into_iter().next()?.ok().map(|ensured| ensured.metric.id)
}

pub(crate) async fn what_was_created_here_is_known_without_a_statement(f: &Fixture) {
    let index = f.with_policies().await;
    let mut new = of_project(rid(1), "p");
    new.metrics = wanted([("a", by_rule()), ("b", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    demand_known(f, &created.metrics.values().copied().collect::<Vec<_>>(), "admin p low").await;

    demand_known(f, &[f.metric(Some(rid(1)), "c").await.id], "admin p low").await;
    let mut loose = new_metric(None, None);
    (loose.creator, loose.archive_policy_name) = (None, Some("high".to_owned()));
    demand_known(f, &[index.create_metric(&loose).await.unwrap().id], "- - high").await;

    // Those whose neighbours cannot be created are created alone.
    let creations = (0..20).map(|number| async move {
        let resource = if number % 7 == 3 { rid(99) } else { rid(1) };
        index.create_metric(&new_metric(Some(resource), Some(&format!("m{number}")))).await
    });
    let created: Vec<_> = join_all(creations).await.into_iter().flatten().map(|metric| metric.id).collect();
    assert_eq!(created.len(), 17);
    demand_known(f, &created, "admin p low").await;

    // With metrics that are there already.
    let mut new = of_project(rid(2), "q");
    new.metrics = wanted([("a", ResourceMetrics::Existing(created[0])), ("new", by_rule())]);
    let taking = index.create_resource(&new).await.unwrap();
    demand_known(f, &[taking.metrics["new"]], "admin q low").await;

    let changed = index.update_resource("generic", rid(2), &appended("more")).await.unwrap();
    demand_known(f, &[changed.metrics["more"]], "admin q low").await;
    let update = ResourceUpdate { project_id: project("r").project_id, ..appended("of r") };
    let changed = index.update_resource("generic", rid(2), &update).await.unwrap();
    demand_known(f, &[changed.metrics["of r"]], "admin r low").await;
    let update = ResourceUpdate { append_metrics: false, ..appended("instead") };
    let changed = index.update_resource("generic", rid(2), &update).await.unwrap();
    demand_known(f, &[changed.metrics["instead"]], "admin r low").await;

    for (id, of, name, expected) in [
        (rid(3), Some("s"), "new", "admin s low"),
        (rid(3), Some("t"), "of t", "admin t low"),
        (rid(3), None, "of t too", "admin t low"),
        (rid(2), None, "of r too", "admin r low"),
    ] {
        demand_known(f, &[ensure(index, id, of, name).await.unwrap()], expected).await;
    }
}

pub(crate) async fn what_was_created_here_is_known_by_its_place(f: &Fixture) {
    let index = f.with_policies().await;
    let mut places = vec![(rid(1), "a"), (rid(1), "b"), (rid(1), "c")];
    assert_eq!(index.known_by_name(&places).await.unwrap(), [None; 3]);
    let mut new = of_project(rid(1), "p");
    new.metrics = wanted([("a", by_rule()), ("b", by_rule())]);
    let created = index.create_resource(&new).await.unwrap().metrics;
    let c = f.metric(Some(rid(1)), "c").await.id;
    f.db.start_recording();
    let found = index.known_by_name(&places).await.unwrap();
    assert_eq!((found, loads(&f.db)), (vec![Some(created["a"]), Some(created["b"]), Some(c)], 0));
    index.delete_metric(created["a"]).await.unwrap();
    let anew = f.metric(Some(rid(1)), "a").await.id;
    f.db.start_recording();
    places.truncate(2);
    let found = index.known_by_name(&places).await.unwrap();
    assert_eq!((found, loads(&f.db)), (vec![Some(anew), Some(created["b"])], 0));
}

pub(crate) async fn what_was_created_long_ago_is_still_followed(f: &Fixture) {
    let index = f.with_policies().await;
    let other = f.other().await;
    let early = f.metric(None, "early").await.id;
    f.clock.advance(Duration::from_secs(500));
    let late = f.metric(None, "late").await.id;
    f.clock.advance(Duration::from_secs(500));
    other.delete_metric(early).await.unwrap();
    f.db.start_recording();
    assert_eq!(known(index, &[late]).await, [Some("admin - low".to_owned())]);
    assert_eq!(loads(&f.db), 0);
    assert_eq!(known(index, &[early]).await, [None]);
}

/// Returns when somebody waits for a lock of the database.
async fn somebody_waits(db: &Db) {
    // SQLite's writer is this transaction: others wait for the connection.
    if db.dialect() == Dialect::Sqlite {
        return tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let sql =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while db.read(sql, &[]).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) async fn what_is_created_while_its_resource_changes_hands_is_of_the_new_project(f: &Fixture) {
    let index = f.with_policies().await;
    let lock = f.db.dialect().for_update();
    for way in 0..3 {
        let id = rid(way);
        index.create_resource(&of_project(id, "old")).await.unwrap();
        let locked = &Notify::new();
        let creating = async || {
            locked.notified().await;
            match way {
                0 => f.metric(Some(id), "m").await.id,
                1 => index.update_resource("generic", id, &appended("m")).await.unwrap().metrics["m"],
                _ => ensure(index, id, None, "m").await.unwrap(),
            }
        };
        let changing = f.db.transaction(|tx| {
            Box::pin(async move {
                tx.read(format!("SELECT id FROM resource WHERE id = $1{lock}"), &[id.0.into()]).await?;
                locked.notify_one();
                somebody_waits(&f.db).await;
                tx.execute("UPDATE resource SET project_id = 'new' WHERE id = $1", &[id.0.into()]).await?;
                Ok::<_, SqlError>(())
            })
        });
        let (changed, created) = tokio::join!(changing, creating());
        changed.unwrap();
        demand_known(f, &[created], "admin new low").await;
    }
}

/// Numbers in no order.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

const RESOURCES: usize = 5;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const PROJECTS: [&str; 3] = ["p", "q", "r"];

/// Does something to a few resources and metrics. What cannot be done, as others have been there, is not.
async fn act(index: &SqlIndex, dice: &mut Dice, ids: &Mutex<Vec<MetricId>>) {
    let id = rid(dice.roll(RESOURCES) as u128);
    let name = NAMES[dice.roll(NAMES.len())];
    let of = PROJECTS[dice.roll(PROJECTS.len())];
    let any = {
        let ids = ids.lock().unwrap();
        ids.get(dice.roll(ids.len().max(1))).copied()
    };
    let mut made = Vec::new();
    match dice.roll(12) {
        0 | 1 => {
            let created = index.create_metric(&new_metric(Some(id), Some(name))).await;
            made.extend(created.map(|metric| metric.id));
        }
        2 | 3 => {
            let mut new = of_project(id, of);
            new.metrics = wanted([("a", by_rule()), ("b", by_rule())]);
            let created = index.create_resource(&new).await;
            made.extend(created.into_iter().flat_map(|resource| resource.metrics.into_values()));
        }
        4 | 5 => {
            let metric = any.filter(|_| dice.roll(2) == 0).map_or(by_rule(), ResourceMetrics::Existing);
            let update = ResourceUpdate {
                project_id: project(of).project_id,
                append_metrics: dice.roll(3) > 0,
                metrics: named(name, metric),
                ..appended(name)
            };
            let changed = index.update_resource("generic", id, &update).await;
            made.extend(changed.into_iter().flat_map(|resource| resource.metrics.into_values()));
        }
        6 => drop(index.update_resource("generic", id, &project(of)).await),
        7 => drop(index.delete_resource("generic", id).await),
        8 => made.extend(ensure(index, id, Some(of).filter(|_| dice.roll(2) == 0), name).await),
        9 => {
            let all = ids.lock().unwrap().clone();
            index.known_metrics(&all).await.unwrap();
        }
        number => {
            let Some(any) = any else { return };
            match number {
                10 => drop(index.delete_metric(any).await),
                _ => drop(index.change_metric_policy(any, "high").await),
            }
        }
    }
    ids.lock().unwrap().extend(made);
}

/// What the database has of each.
async fn stored(db: &Db, ids: &[MetricId]) -> Vec<Option<String>> {
    let sql = "SELECT m.id, coalesce(m.creator, '-'), coalesce(r.project_id, '-'), m.archive_policy_name
        FROM metric AS m LEFT JOIN resource AS r ON r.id = m.resource_id";
    let rows = db.read(sql, &[]).await.unwrap();
    let text = |at: usize, row: &nephos_sql::Row| row.text(at).unwrap().to_owned();
    let rows = rows.iter().map(|row| {
        (MetricId(row.uuid(0).unwrap()), format!("{} {} {}", text(1, row), text(2, row), text(3, row)))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    ids.iter().map(|id| rows.get(id).cloned()).collect()
}

pub(crate) async fn whatever_happens_at_once_memory_tells_what_the_database_has(f: &Fixture) {
    let index = f.with_policies().await;
    let other = f.other().await;
    let ids = Mutex::new(Vec::new());
    let places: Vec<_> =
        (0..RESOURCES as u128).flat_map(|number| NAMES.map(|name| (rid(number), name))).collect();
    index.known_by_name(&places).await.unwrap();
    for round in 0..10 {
        let actors = (0..8).map(|number| {
            let (ids, index) = (&ids, if number < 5 { index } else { &other });
            let mut dice = Dice(round * 100 + number);
            async move {
                for _ in 0..8 {
                    act(index, &mut dice, ids).await;
                }
            }
        });
        join_all(actors).await;
        f.clock.advance(Duration::from_secs(1));
        let all = ids.lock().unwrap().clone();
        let expected = stored(&f.db, &all).await;
        for index in [index, &other] {
            assert_eq!(known(index, &all).await, expected, "round {round}");
            let by_place = index.known_by_name(&places).await.unwrap();
            for ((resource, name), found) in places.iter().zip(by_place) {
                let there = index.resource_metric(*resource, name).await.unwrap();
                assert_eq!(found, there.map(|metric| metric.id), "round {round}, {resource} {name}");
            }
        }
    }
    assert!(ids.lock().unwrap().len() > 100);
}

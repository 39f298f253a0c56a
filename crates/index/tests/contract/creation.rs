//! What is created at the same time shares a transaction, and nothing else.

use std::sync::Arc;

use futures_util::future::join_all;
use nephos_index::{
    IndexError, MetricIndex, NewMetric, NewResource, Page, PolicyIndex, ResourceIndex, ResourceMetrics,
};
use nephos_model::ResourceId;
use nephos_sql::{Db, SqlError};

use crate::fixture::{Fixture, by_rule, new_metric, new_resource, policy, rid, wanted};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn with_metrics(id: ResourceId) -> NewResource {
    let mut new = new_resource("instance", id);
    new.metrics = wanted(NAMES.map(|name| (name, by_rule())));
    new
}

pub(crate) async fn creations_at_the_same_time_share_transactions(f: &Fixture) {
    let index = f.with_types().await;
    f.generic(rid(0)).await;
    f.db.start_recording();
    let resources = (1..=100).map(|number| async move {
        let created = index.create_resource(&with_metrics(rid(number))).await.unwrap();
        assert_eq!(index.resource("instance", rid(number)).await.unwrap().unwrap(), created);
        assert_eq!(created.metrics.keys().collect::<Vec<_>>(), NAMES);
    });
    let metrics = (0..100).map(|number| async move {
        let new = new_metric((number % 2 == 0).then_some(rid(0)), Some(&format!("m{number}")));
        let created = index.create_metric(&new).await.unwrap();
        assert_eq!(index.metric(new.id).await.unwrap().unwrap(), created);
    });
    futures_util::join!(join_all(resources), join_all(metrics));
    let statements = f.db.recorded();
    let inserts = statements.iter().filter(|(sql, _)| sql.starts_with("INSERT")).count();
    assert!(inserts < 60, "{inserts} statements for 200 creations");
    assert_eq!(index.count_metrics().await.unwrap(), 600);
}

pub(crate) async fn a_bad_creation_harms_no_neighbour(f: &Fixture) {
    let (index, theirs) = (f.with_types().await, f.other().await);
    f.generic(rid(1)).await;
    f.metric(Some(rid(1)), "there").await;
    // A policy that is known here and gone in truth.
    index.create_archive_policy(&policy("going")).await.unwrap();
    index.archive_policy("going").await.unwrap().unwrap();
    theirs.delete_archive_policy("going").await.unwrap();
    let going = || Some("going".to_owned());
    let of_going = || ResourceMetrics::New { archive_policy_name: going(), unit: None };
    for round in 0..5 {
        let own = |number: u128| rid(1_000 * (round + 1) + number);
        let mut resources = vec![
            (with_metrics(rid(1)), Err(format!("resource {} already exists", rid(1)))),
            (with_metrics(own(1)), Ok(())),
        ];
        let mut without_policy = with_metrics(own(2));
        without_policy.metrics = wanted([("a", of_going()), ("b", by_rule())]);
        // Only the first round finds a catalogue that is not current.
        resources.push((without_policy, Err("archive policy going does not exist".to_owned())));
        resources.extend((10..20).map(|number| (with_metrics(own(number)), Ok(()))));
        let name = format!("new {round}");
        let mut metrics = vec![
            (new_metric(Some(rid(1)), Some("there")), Err("named metric there already exists".to_owned())),
            (new_metric(Some(rid(1)), Some(&name)), Ok(())),
            (new_metric(Some(rid(7)), Some("x")), Err(format!("resource {} does not exist", rid(7)))),
        ];
        let mut of_policy = new_metric(None, Some("x"));
        of_policy.archive_policy_name = going();
        metrics.push((of_policy, Err("archive policy going does not exist".to_owned())));
        let taken = new_metric(None, None);
        index.create_metric(&taken).await.unwrap();
        let expected = format!("metric {} already exists", taken.id);
        metrics.push((taken, Err(expected)));
        metrics.extend((0..10).map(|_| (new_metric(None, Some("x")), Ok(()))));

        let created_resources = resources.iter().map(|(new, _)| index.create_resource(new));
        let created_metrics = metrics.iter().map(|(new, _)| index.create_metric(new));
        let (created_resources, created_metrics) =
            futures_util::join!(join_all(created_resources), join_all(created_metrics));
        for ((new, expected), created) in resources.iter().zip(created_resources) {
            assert_eq!(created.map(|_| ()).map_err(|error| error.to_string()), *expected);
            let found = index.resource("instance", new.id).await.unwrap();
            assert_eq!(found.is_some_and(|found| found.metrics.len() == NAMES.len()), expected.is_ok());
        }
        for ((new, expected), created) in metrics.iter().zip(created_metrics) {
            assert_eq!(created.map(|_| ()).map_err(|error| error.to_string()), *expected);
            let is_there = index.metric(new.id).await.unwrap().is_some();
            assert_eq!(is_there, expected.is_ok() || text_of(expected).starts_with("metric "));
        }
    }
}

fn text_of(result: &Result<(), String>) -> &str {
    result.as_ref().err().map_or("", String::as_str)
}

pub(crate) async fn twins_have_one_winner(f: &Fixture) {
    let index = f.with_types().await;
    let resources =
        (0..60).map(|number| async move { index.create_resource(&with_metrics(rid(number % 20))).await });
    let created = join_all(resources).await;
    for (number, created) in (0..60_u128).zip(&created) {
        if let Err(error) = created {
            assert_eq!(error.to_string(), format!("resource {} already exists", rid(number % 20)));
        }
    }
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 20);
    assert_eq!(index.count_metrics().await.unwrap(), 100);
    let metrics = (0..60).map(|number| async move {
        index.create_metric(&new_metric(Some(rid(0)), Some(&format!("m{}", number % 20)))).await
    });
    let created = join_all(metrics).await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 20);
    for error in created.into_iter().filter_map(Result::err) {
        assert!(matches!(error, IndexError::AlreadyExists { what: "named metric", .. }), "{error}");
    }
}

pub(crate) async fn creators_who_go_away_take_nobody_along(f: &Fixture) {
    let index = f.with_types().await;
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let index = index.clone();
            tokio::spawn(async move { index.create_resource(&with_metrics(rid(number))).await.unwrap() })
        })
        .collect();
    for task in tasks.iter().step_by(3) {
        task.abort();
    }
    for (number, task) in (0..200).zip(tasks) {
        let left = task.await.is_err_and(|error| error.is_cancelled());
        let found = index.resource("instance", rid(number)).await.unwrap();
        assert!(found.is_some() || left, "{number}");
        assert!(found.is_none_or(|found| found.metrics.len() == NAMES.len()), "{number}");
    }
    // Nobody is left behind in the queue.
    index.create_resource(&with_metrics(rid(500))).await.unwrap();
}

pub(crate) async fn others_see_all_or_nothing_and_all_that_was_answered(f: &Fixture) {
    let (index, theirs) = (f.with_types().await, Arc::new(f.other().await));
    let watcher = tokio::spawn({
        let theirs = Arc::clone(&theirs);
        async move {
            let mut seen = 0;
            while seen < 300 {
                let found = theirs.resources("instance", false, &Page::default()).await.unwrap();
                assert!(found.iter().all(|resource| resource.metrics.len() == NAMES.len()));
                seen = found.len();
            }
        }
    });
    let created = (0..300).map(|number| {
        let theirs = &theirs;
        async move {
            let created = index.create_resource(&with_metrics(rid(number))).await.unwrap();
            assert_eq!(theirs.resource("instance", rid(number)).await.unwrap(), Some(created));
        }
    });
    join_all(created).await;
    watcher.await.unwrap();
}

/// For as long as it is polled, cancels what waits for a lock on metrics.
async fn cancel_inserts(db: &Db) {
    let sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'INSERT INTO metric%' AND wait_event_type = 'Lock'";
    loop {
        db.read(sql, &[]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_database_gives_up_everybody_is_told_and_nothing_is_tried_again() {
    let f = Fixture::postgres().await;
    let (index, db) = (f.with_types().await, &f.db);
    let metrics: Vec<NewMetric> = (0..40).map(|_| new_metric(None, Some("x"))).collect();
    let created = db
        .transaction(|tx| {
            let creations = join_all(metrics.iter().map(|new| index.create_metric(new)));
            Box::pin(async move {
                tx.execute("LOCK TABLE metric IN SHARE MODE", &[]).await?;
                Ok::<_, SqlError>(tokio::select! {
                    created = creations => created,
                    () = cancel_inserts(db) => Vec::new(),
                })
            })
        })
        .await
        .unwrap();
    assert_eq!(created.len(), 40);
    for created in created {
        assert!(matches!(created, Err(IndexError::Unavailable { .. })), "{created:?}");
    }
    assert_eq!(index.count_metrics().await.unwrap(), 0);
    index.create_metric(&metrics[0]).await.unwrap();
}

//! Every statement of a busy day must find its rows through an index.

use nephos_index::{
    AlarmFilter, AlarmIndex, ChangeFilter, EnsureMetric, EnsureResource, MetricFilter, MetricIndex,
    OutboxResult, Page, PolicyIndex, ResourceIndex, ResourceUpdate, SortKey, SqlIndex,
};
use nephos_model::ChangeKind;
use nephos_sql::{Db, Dialect, Value};
use serde_json::json;

use crate::alarms::evaluation;
use crate::fixture::{Fixture, alarm, at, by_rule, change, new_metric, new_resource, rid, values, wanted};
use crate::search::search;

/// Enough rows that a scan would be the wrong plan.
async fn fill(db: &Db) {
    let (series, random) = match db.dialect() {
        Dialect::Sqlite => (
            "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 4000) SELECT n FROM s)",
            "randomblob(16)",
        ),
        Dialect::Postgres => {
            ("(SELECT n FROM generate_series(1, 4000) AS s(n))", "decode(md5(random()::text || s.n), 'hex')")
        }
    };
    let threshold = serde_json::json!({"metric": "m", "resource_id": "r", "resource_type": "generic",
        "aggregation_method": "mean", "threshold": 1.0, "comparison_operator": "ge", "evaluation_periods": 1,
        "granularity": 60});
    for sql in [
        format!(
            "INSERT INTO resource (id, resource_type, original_resource_id, creator, project_id, started_at,
                 revision_start, attributes)
             SELECT {random}, CASE WHEN s.n % 2 = 0 THEN 'generic' ELSE 'instance' END, 'o' || s.n,
                    'u:p' || (s.n % 400), 'p' || (s.n % 500), s.n, s.n,
                    CASE WHEN s.n % 2 = 0 THEN '{{}}' ELSE '{{\"flavor\": \"f' || (s.n % 300) ||
                        '\", \"cores\": ' || (s.n % 300) || CASE WHEN s.n % 4 = 1 THEN '' ELSE '.5' END || '}}' END
             FROM {series} AS s"
        ),
        "INSERT INTO resource_history (id, revision, resource_type, original_resource_id, started_at, revision_start,
                revision_end, attributes)
         SELECT id, 1, resource_type, original_resource_id, started_at, revision_start - 1, revision_start, attributes
         FROM resource".to_owned(),
        format!(
            "INSERT INTO metric (id, creator, name, resource_id, archive_policy_name)
             SELECT {}, 'u:many', 'm' || s.n, r.id, 'low' FROM resource AS r,
                 (SELECT n FROM {series} AS t WHERE n <= 6) AS s",
            random.replace("|| s.n", "|| s.n || r.original_resource_id")
        ),
        format!("INSERT INTO deleted_metric (id, archive_policy_name) SELECT {random}, 'low' FROM {series} AS s"),
        format!(
            "INSERT INTO alarm (id, description, enabled, type, rule, actions, repeat_actions, severity, state,
                 state_reason, state_timestamp, defined_at, evaluated_at, time_constraints, project_id)
             SELECT {random}, '', TRUE, 'gnocchi_resources_threshold', '{threshold}', '{{}}', FALSE, 0, 'ok', '', 0,
                 s.n, s.n + 10, '[]', 'p' || (s.n % 500) FROM {series} AS s"
        ),
        format!(
            "INSERT INTO alarm_change (event_id, alarm_id, kind, detail, on_behalf_of, changed_at, severity)
             SELECT {}, a.id, 'creation', '', a.project_id, a.defined_at, 0 FROM alarm AS a",
            random.replace("|| s.n", "|| a.defined_at")
        ),
        format!(
            "INSERT INTO outbox (id, alarm_id, action, payload, created_at, attempts, due, dead)
             SELECT {}, a.id, '', '', a.defined_at, 0, a.defined_at, a.defined_at % 2 = 0 FROM alarm AS a",
            random.replace("|| s.n", "|| a.defined_at")
        ),
        "ANALYZE".to_owned(),
    ] {
        db.execute(sql, &[]).await.unwrap();
    }
}

async fn busy_day(index: &SqlIndex) {
    let first_page = Page { limit: Some(100), ..Page::default() };
    // Resources and metrics.
    let mut new = new_resource("instance", rid(1));
    new.metrics = wanted([("cpu", by_rule())]);
    let created = index.create_resource(&new).await.unwrap();
    index.resource("instance", rid(1)).await.unwrap();
    let mut update =
        ResourceUpdate { project_id: Some(Some("p".to_owned())), now: at(300), ..Default::default() };
    update.creator = Some("admin".to_owned());
    update.append_metrics = true;
    update.metrics = Some(wanted([("disk", by_rule())]));
    index.update_resource("instance", rid(1), &update).await.unwrap();
    for resource_type in ["generic", "instance"] {
        for history in [false, true] {
            let page = index.resources(resource_type, history, &first_page).await.unwrap();
            let last = page.last().unwrap();
            let marker = if history { format!("{}@{}", last.id, last.revision) } else { last.id.to_string() };
            let next = Page { marker: Some(marker), ..first_page.clone() };
            assert_eq!(index.resources(resource_type, history, &next).await.unwrap().len(), 100);
        }
    }
    let history = index.resource_history("instance", rid(1), &first_page).await.unwrap();
    let oldest = Some(format!("{}@{}", rid(1), history[0].revision));
    let later = Page { marker: oldest, ..first_page.clone() };
    assert_eq!(index.resource_history("generic", rid(1), &later).await.unwrap().len(), history.len() - 1);
    let loose = index.create_metric(&new_metric(None, Some("loose"))).await.unwrap();
    index.metric(loose.id).await.unwrap();
    index.resource_metric(rid(1), "cpu").await.unwrap();
    let page = index.metrics(&MetricFilter::default(), &first_page).await.unwrap();
    let next = Page { marker: Some(page[99].id.to_string()), ..first_page.clone() };
    for filter in [
        MetricFilter::default(),
        MetricFilter { ids: Some(vec![loose.id, created.metrics["cpu"]]), ..MetricFilter::default() },
        MetricFilter { name: Some("m1".to_owned()), ..MetricFilter::default() },
        MetricFilter { creator: Some("u:many".to_owned()), ..MetricFilter::default() },
        MetricFilter { unit: Some("s".to_owned()), ..MetricFilter::default() },
        MetricFilter { visible_to: Some("p7".to_owned()), ..MetricFilter::default() },
        MetricFilter { visible_to: Some("many".to_owned()), ..MetricFilter::default() },
        MetricFilter { archive_policy_name: Some("low".to_owned()), ..MetricFilter::default() },
        MetricFilter { resource_id: Some(rid(1)), ..MetricFilter::default() },
    ] {
        index.metrics(&filter, &next).await.unwrap();
    }
    let ensured = (0..10).map(|n| EnsureResource {
        resource_type: "instance".to_owned(),
        id: rid(n),
        original_resource_id: String::new(),
        user_id: None,
        project_id: None,
        attributes: values([("flavor", json!("x"))]),
        ended_at: None,
    });
    let metrics = (0..10).map(|n| EnsureMetric {
        resource_id: rid(n),
        name: "cpu".to_owned(),
        unit: None,
        archive_policy_name: None,
    });
    let (ensured, metrics) = (ensured.collect::<Vec<_>>(), metrics.collect::<Vec<_>>());
    index.ensure(None, &ensured, &metrics, at(500)).await.unwrap();
    index.known_by_name(&[(rid(1), "cpu"), (rid(2), "cpu")]).await.unwrap();
    index.known_metrics(&[loose.id, page[0].id, page[1].id]).await.unwrap();
    index.delete_metric(loose.id).await.unwrap();
    index.known_metrics(&[created.metrics["cpu"]]).await.unwrap();
    index.delete_resource("instance", rid(1)).await.unwrap();
    assert_eq!(index.expire_history(at(1), 100).await.unwrap(), 100);
    index.deleted_metrics(100).await.unwrap();
    index.expunge_metrics(&[loose.id]).await.unwrap();
    index.archive_policy("high").await.unwrap();
    searches(index, &first_page).await;
    alarms_day(index, &first_page).await;
}

async fn searches(index: &SqlIndex, first_page: &Page) {
    let ids = [rid(2).to_string(), rid(3).to_string()];
    for filter in [
        json!({"=": {"project_id": "p7"}}),
        json!({"and": [{"=": {"project_id": "p7"}}, {"=": {"ended_at": null}}]}),
        json!({"or": [{"=": {"project_id": "p7"}}, {"=": {"created_by_project_id": "p7"}}]}),
        json!({"in": {"id": ids}}),
        json!({"=": {"original_resource_id": "o77"}}),
    ] {
        for resource_type in ["generic", "instance"] {
            let search = search(resource_type, false, &filter);
            index.search_resources(&search, first_page).await.unwrap();
        }
        index.search_resources(&search("instance", true, &filter), first_page).await.unwrap();
    }
    // Attributes of a type: alone, beside others, among several, as they were, and in the order of groups.
    for filter in [
        json!({"=": {"flavor": "f7"}}),
        json!({"and": [{"=": {"flavor": "f7"}}, {"=": {"ended_at": null}}]}),
        json!({"and": [{"or": [{"=": {"project_id": "p7"}}, {"=": {"created_by_project_id": "p7"}}]},
                       {"=": {"flavor": "f7"}}]}),
        json!({"in": {"flavor": ["f7", "f9"]}}),
        json!({"=": {"cores": 9}}),
        json!({"in": {"cores": [9, 1_000]}}),
        json!({">": {"cores": 298}}),
        json!({"and": [{">=": {"cores": 109}}, {"<": {"cores": 111}}, {"=": {"ended_at": null}}]}),
    ] {
        for history in [false, true] {
            let found = index.search_resources(&search("instance", history, &filter), first_page).await;
            assert!(!found.unwrap().is_empty(), "{filter}");
        }
        let by_flavor = SortKey { key: "flavor".to_owned(), descending: false, nulls_first: false };
        let grouped = Page { sort: vec![by_flavor], ..Page::default() };
        index.search_resources(&search("instance", false, &filter), &grouped).await.unwrap();
    }
    // What the indexes of texts and numbers know nothing of is met on the way through the type, in its order.
    for filter in [
        json!({"!=": {"cores": 2}}),
        json!({"=": {"locked": true}}),
        json!({"like": {"flavor": "f77%"}}),
        json!({"like": {"flavor": "%7"}}),
        json!({"!=": {"flavor": "f7"}}),
        json!({">": {"born-at": "2026-01-01"}}),
        json!({"=": {"image": "00000000-0000-0000-0000-000000000007"}}),
    ] {
        index.search_resources(&search("instance", false, &filter), first_page).await.unwrap();
        let both = json!({"and": [{"=": {"project_id": "p7"}}, filter]});
        index.search_resources(&search("instance", false, &both), first_page).await.unwrap();
    }
    let gone = search("instance", false, &json!({"=": {"flavor": "f11"}}));
    assert_eq!(index.delete_resources(&gone).await.unwrap().0, 14);
    let gone = search("generic", false, &json!({"=": {"project_id": "p9"}}));
    assert_eq!(index.delete_resources(&gone).await.unwrap().0, 8);
}

async fn alarms_day(index: &SqlIndex, first_page: &Page) {
    let stored = alarm("a");
    index.create_alarm(&stored, Some(&change(&stored, ChangeKind::Creation, 1))).await.unwrap();
    index.update_alarm(&stored, None).await.unwrap();
    index.alarm(stored.id).await.unwrap();
    assert!(index.commit_evaluation(&evaluation(&stored, 10_000)).await.unwrap());
    index.due_alarms(at(5_000), 100).await.unwrap();
    let claimed = index.claim_outbox(at(5_000), 1, 100).await.unwrap();
    let retry = OutboxResult::Retry { due: at(1), error: String::new() };
    for result in [retry, OutboxResult::Dead { error: String::new() }, OutboxResult::Delivered] {
        index.settle_outbox(claimed[0].id, at(1), &result).await.unwrap();
    }
    index.next_outbox_due().await.unwrap();
    let own = AlarmFilter { project_id: Some("p1".to_owned()), ..AlarmFilter::default() };
    for filter in [&own, &AlarmFilter::default()] {
        let page = index.alarms(filter, &Page { limit: Some(5), ..first_page.clone() }).await.unwrap();
        let next = Page { marker: Some(page[4].id.to_string()), ..first_page.clone() };
        index.alarms(filter, &next).await.unwrap();
    }
    index.count_alarms(&own).await.unwrap();
    for filter in [
        ChangeFilter { alarm_id: Some(stored.id), ..ChangeFilter::default() },
        ChangeFilter { on_behalf_of: Some("p1".to_owned()), ..ChangeFilter::default() },
        ChangeFilter { from: Some((at(0), true)), ..ChangeFilter::default() },
        ChangeFilter::default(),
    ] {
        let page =
            index.alarm_changes(&filter, &Page { limit: Some(1), ..first_page.clone() }).await.unwrap();
        let marker = page.first().map(|change| change.event_id.to_string());
        index.alarm_changes(&filter, &Page { marker, ..first_page.clone() }).await.unwrap();
    }
    index.delete_alarm(stored.id).await.unwrap();
}

/// Tables that grow. Policies, rules and types are a handful of rows, which the catalogue reads whole.
const LARGE: [&str; 9] = [
    "resource",
    "resource_attribute",
    "resource_number",
    "resource_history",
    "metric",
    "deleted_metric",
    "alarm",
    "alarm_change",
    "outbox",
];

async fn plan(db: &Db, sql: &str, params: &[Value]) -> Vec<String> {
    match db.dialect() {
        Dialect::Sqlite => {
            let rows = db.read(format!("EXPLAIN QUERY PLAN {sql}"), params).await.unwrap();
            rows.iter().map(|row| row.text(3).unwrap().to_owned()).collect()
        }
        Dialect::Postgres => {
            let rows = db.read(format!("EXPLAIN {sql}"), params).await.unwrap();
            rows.iter()
                .map(|row| row.text(0).unwrap().trim().trim_start_matches("-> ").trim().to_owned())
                .collect()
        }
    }
}

/// Whether a line of a plan reads all of a large table, or sorts what an index should give in order.
fn is_bad(line: &str, in_order: bool) -> bool {
    let scan = LARGE.iter().any(|table| {
        let seq = line.strip_prefix("Seq Scan on ").or_else(|| {
            // "SCAN t" or "SCAN t AS r"; with "USING INDEX" it walks in the order of one, which the limit ends.
            line.strip_prefix("SCAN ").filter(|_| !line.contains(" USING "))
        });
        seq.is_some_and(|rest| rest.split(' ').next() == Some(table))
    });
    // PostgreSQL may well prefer to sort a few rows.
    let few = |line: &str| {
        let rows = line.split("rows=").nth(1).and_then(|rest| rest.split(' ').next());
        rows.and_then(|rows| rows.parse::<u32>().ok()).is_some_and(|rows| rows < 500)
    };
    let sort = line.starts_with("Sort  (") && !few(line) || line.starts_with("USE TEMP B-TREE FOR ORDER BY");
    scan || (in_order && sort)
}

fn by(key: &str, descending: bool) -> Page {
    let sort = vec![SortKey { key: key.to_owned(), descending, nulls_first: false }];
    Page { sort, limit: Some(100), ..Page::default() }
}

/// Listings in orders of which no index is: what is listed is found through one, and sorted then.
pub(crate) async fn what_is_listed_in_any_order_is_found_through_an_index(f: &Fixture) {
    let index = f.with_types().await;
    fill(&f.db).await;
    f.db.start_recording();
    let of_project = search("instance", false, &json!({"=": {"project_id": "p7"}}));
    let of_flavor = search("instance", false, &json!({"=": {"flavor": "f7"}}));
    for key in [
        "id",
        "type",
        "original_resource_id",
        "started_at",
        "creator",
        "user_id",
        "project_id",
        "ended_at",
        "flavor",
        "cores",
        "image",
        "locked",
        "born-at",
    ] {
        for descending in [false, true] {
            for search in [&of_project, &of_flavor] {
                let page = by(key, descending);
                let found = index.search_resources(search, &page).await.unwrap();
                let next = Page { marker: Some(found[0].id.to_string()), ..page };
                assert_eq!(
                    index.search_resources(search, &next).await.unwrap().len(),
                    found.len() - 1,
                    "{key}"
                );
            }
        }
    }
    let resource = index.search_resources(&of_project, &Page::default()).await.unwrap()[0].id;
    for key in ["id", "name", "creator", "unit", "archive_policy_name", "resource_id"] {
        let filter = MetricFilter { resource_id: Some(resource), ..MetricFilter::default() };
        assert_eq!(index.metrics(&filter, &by(key, false)).await.unwrap().len(), 6);
    }
    complain(&f.db, |_| false).await;
}

pub(crate) async fn hot_statements_use_indexes(f: &Fixture) {
    let index = f.with_types().await;
    fill(&f.db).await;
    f.db.start_recording();
    busy_day(index).await;
    // The listing of revisions merges two tables and sorts what is equal in both; a resource's metrics are few.
    let in_order = |sql: &str| {
        sql.contains(" LIMIT ") && !sql.contains("resource_history") && !sql.contains("resource_id = ")
    };
    complain(&f.db, in_order).await;
}

/// Fails for statements of the recording that have a bad plan.
async fn complain(db: &Db, in_order: impl Fn(&str) -> bool) {
    let recorded = db.recorded();
    assert!(recorded.len() > 60, "{}", recorded.len());
    let mut complaints = Vec::new();
    // Whether one project created nearly everything is best found out by reading everything, up to the limit.
    let is_counted = |sql: &str, params: &[Value]| sql.contains(" LIMIT 20001") && params == ["many".into()];
    for (sql, params) in recorded.into_iter().filter(|(sql, params)| !is_counted(sql, params)) {
        let plan = plan(db, &sql, &params).await;
        if plan.iter().any(|line| is_bad(line, in_order(&sql))) {
            complaints.push(format!("{sql}\n    {}", plan.join("\n    ")));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn scans_and_sorts_are_recognised() {
    for (line, bad) in [
        ("Seq Scan on metric  (cost=0.00..1.00)", true),
        ("Seq Scan on resource r  (cost=0.00..1.00)", true),
        ("Seq Scan on resource_type  (cost=0.00..1.00)", false),
        ("Index Scan using metric_pkey on metric  (cost=0.00..1.00)", false),
        ("Sort  (cost=0.00..1.00 rows=4000 width=8)", true),
        ("Sort  (cost=0.00..1.00 rows=499 width=8)", false),
        ("Sort Key: id", false),
        ("Incremental Sort  (cost=0.00..1.00)", false),
        ("SCAN metric", true),
        ("SCAN alarm USING INDEX alarm_due", false),
        ("SCAN json_each VIRTUAL TABLE INDEX 1:", false),
        ("SEARCH metric USING INDEX metric_name (name=?)", false),
        ("USE TEMP B-TREE FOR ORDER BY", true),
    ] {
        assert_eq!(is_bad(line, true), bad, "{line}");
    }
}

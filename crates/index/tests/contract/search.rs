use nephos_index::{
    EnsureResource, Filter, MetricFilter, MetricIndex, Page, ResourceIndex, ResourceSearch, ResourceUpdate,
    SortKey, SqlIndex, TypeChange,
};
use nephos_model::AttributeKind;
use nephos_sql::migrations::INDEX;
use nephos_sql::{Dialect, migrate};
use serde_json::{Value, json};

use crate::fixture::{Fixture, at, attribute, by_rule, new_resource, rid, text, text_kind, values, wanted};

/// A search by the JSON form of filters.
pub(crate) fn search(resource_type: &str, history: bool, filter: &Value) -> ResourceSearch {
    let filter = Filter::from_json(filter, &|id| Ok(id.to_owned())).unwrap();
    ResourceSearch { resource_type: resource_type.to_owned(), history, filter, now: at(10_000) }
}

/// Numbers of the resources found, in order of their ids.
async fn found(index: &SqlIndex, search: &ResourceSearch) -> Vec<u128> {
    let by_id = SortKey { key: "id".to_owned(), descending: false, nulls_first: false };
    let page = Page { sort: vec![by_id], ..Page::default() };
    let found = index.search_resources(search, &page).await.unwrap();
    found.iter().map(|resource| resource.id.0.as_u128()).collect()
}

/// Four resources: 1 and 2 instances, 3 and 4 generic.
async fn fill(index: &SqlIndex) {
    let image = "A9C729CC-d1b0-5e6b-b5ba-8b5a7f45f1fc".to_lowercase();
    let owners =
        [(Some("admin"), Some("p")), (Some("u:p"), Some("P")), (Some("u:q"), None), (None, Some("p%"))];
    for ((number, seconds), (creator, project)) in (1_u128..).zip(1_i64..).zip(owners) {
        let mut new = new_resource(if number < 3 { "instance" } else { "generic" }, rid(number));
        new.original_resource_id = format!("Server {number}");
        new.creator = creator.map(str::to_owned);
        new.project_id = project.map(str::to_owned);
        new.started_at = at(100 * seconds);
        new.ended_at = (number % 2 == 0).then(|| at(1_000 * seconds));
        new.attributes = match number {
            1 => values([
                ("flavor", json!("small")),
                ("cores", json!(2)),
                ("locked", json!(true)),
                ("image", json!(image)),
                ("born-at", json!("2015-03-06T14:33:57+00:00")),
            ]),
            2 => values([("flavor", json!("l*rge")), ("cores", json!(0.5)), ("locked", json!(false))]),
            _ => values([]),
        };
        new.metrics = wanted([("cpu", by_rule())]);
        index.create_resource(&new).await.unwrap();
    }
}

pub(crate) async fn every_attribute_and_operator_finds(f: &Fixture) {
    let index = f.with_types().await;
    fill(index).await;
    let id = |number| rid(number).to_string();
    for (resource_type, filter, expected) in [
        ("generic", json!({}), vec![1, 2, 3, 4]),
        ("instance", json!({}), vec![1, 2]),
        ("generic", json!({"=": {"id": id(2)}}), vec![2]),
        ("instance", json!({"in": {"id": [id(1), id(3), id(9)]}}), vec![1]),
        ("generic", json!({"<": {"id": id(3)}}), vec![1, 2]),
        ("generic", json!({"=": {"type": "instance"}}), vec![1, 2]),
        ("generic", json!({"eq": {"original_resource_id": "Server 3"}}), vec![3]),
        ("generic", json!({"=": {"project_id": "p"}}), vec![1]),
        ("generic", json!({"!=": {"project_id": "p"}}), vec![2, 3, 4]),
        ("generic", json!({"not": {"=": {"project_id": "p"}}}), vec![2, 4]),
        ("generic", json!({"=": {"project_id": null}}), vec![3]),
        ("generic", json!({"ne": {"project_id": null}}), vec![1, 2, 4]),
        ("generic", json!({"<": {"project_id": null}}), vec![]),
        ("generic", json!({"≥": {"project_id": "p"}}), vec![1, 4]),
        ("generic", json!({"like": {"project_id": "p%"}}), vec![1, 4]),
        ("generic", json!({"like": {"project_id": "_"}}), vec![1, 2]),
        ("generic", json!({"like": {"project_id": "p\\%"}}), vec![4]),
        ("generic", json!({"like": {"original_resource_id": "server%"}}), vec![]),
        ("generic", json!({"in": {"project_id": ["P", "p%", null]}}), vec![2, 4]),
        ("generic", json!({"=": {"started_at": 200}}), vec![2]),
        ("generic", json!({"=": {"started_at": "1970-01-01T00:03:20"}}), vec![2]),
        ("generic", json!({"<=": {"started_at": "-9700 seconds"}}), vec![1, 2, 3]),
        ("generic", json!({"in": {"started_at": [100, "400"]}}), vec![1, 4]),
        ("generic", json!({"=": {"ended_at": null}}), vec![1, 3]),
        ("generic", json!({">": {"ended_at": 3_000}}), vec![4]),
        ("generic", json!({">": {"lifespan": "30 min"}}), vec![4]),
        ("generic", json!({"=": {"lifespan": 1_800}}), vec![2]),
        ("generic", json!({"=": {"creator": "u:q"}}), vec![3]),
        ("generic", json!({"=": {"created_by_user_id": "u"}}), vec![2, 3]),
        ("generic", json!({"=": {"created_by_project_id": "p"}}), vec![2]),
        ("generic", json!({"=": {"created_by_project_id": "admin"}}), vec![]),
        ("generic", json!({"!=": {"created_by_project_id": "p"}}), vec![1, 3]),
        ("generic", json!({"like": {"created_by_project_id": "_"}}), vec![2, 3]),
        ("instance", json!({"=": {"flavor": "small"}}), vec![1]),
        ("instance", json!({"like": {"flavor": "l*%"}}), vec![2]),
        ("instance", json!({"like": {"flavor": "*"}}), vec![]),
        ("instance", json!({"in": {"flavor": ["l*rge", "x"]}}), vec![2]),
        ("instance", json!({"<": {"cores": 2}}), vec![2]),
        ("instance", json!({"=": {"cores": "2"}}), vec![1]),
        ("instance", json!({"in": {"cores": [0.5, 7]}}), vec![2]),
        ("instance", json!({"=": {"locked": true}}), vec![1]),
        ("instance", json!({"in": {"locked": [false]}}), vec![2]),
        ("instance", json!({"!=": {"image": null}}), vec![1]),
        ("instance", json!({"=": {"image": "a9c729ccd1b05e6bb5ba8b5a7f45f1fc"}}), vec![1]),
        ("instance", json!({"≤": {"born-at": "2015-03-06T15:33:57+01:00"}}), vec![1]),
        ("instance", json!({">": {"born-at": "2015-03-06T14:33:57"}}), vec![]),
        (
            "instance",
            json!({"and": [{"=": {"flavor": "small"}}, {"or": [{"=": {"cores": 1}}, {"=": {"locked": true}}]}]}),
            vec![1],
        ),
    ] {
        assert_eq!(found(index, &search(resource_type, false, &filter)).await, expected, "{filter}");
    }
    let many = vec![json!({"=": {"original_resource_id": "Server 1"}}); 4_000];
    assert_eq!(found(index, &search("generic", false, &json!({"or": many}))).await, [1]);
}

pub(crate) async fn unusable_conditions_are_named(f: &Fixture) {
    let index = f.with_types().await;
    for (resource_type, filter, expected) in [
        ("generic", json!({"=": {"flavor": "x"}}), "resource type generic has no flavor attribute"),
        ("instance", json!({"=": {"metrics": "x"}}), "resource type instance has no metrics attribute"),
        ("generic", json!({"=": {"revision": 1}}), "resource type generic has no revision attribute"),
        (
            "generic",
            json!({"=": {"revision_end": null}}),
            "resource type generic has no revision_end attribute",
        ),
        ("instance", json!({"=": {"cores": "abc"}}), "\"abc\" is no value for cores"),
        ("instance", json!({"in": {"cores": [1, "abc"]}}), "\"abc\" is no value for cores"),
        ("instance", json!({"=": {"image": "x"}}), "\"x\" is no value for image"),
        ("instance", json!({"=": {"locked": "x"}}), "\"x\" is no value for locked"),
        ("instance", json!({"like": {"cores": "1%"}}), "\"1%\" is no value for cores"),
        ("generic", json!({"=": {"started_at": "yesterday"}}), "\"yesterday\" is no value for started_at"),
        ("generic", json!({"<": {"created_by_user_id": "x"}}), "\"x\" is no value for created_by_user_id"),
        ("generic", json!({">": {"lifespan": "x"}}), "\"x\" is no value for lifespan"),
        ("generic", json!({"in": {"created_by_user_id": ["x"]}}), "\"x\" is no value for created_by_user_id"),
        ("nothing", json!({"=": {"id": rid(1).to_string()}}), "resource type nothing does not exist"),
    ] {
        let search = search(resource_type, false, &filter);
        assert_eq!(text(index.search_resources(&search, &Page::default()).await), expected, "{filter}");
        assert_eq!(text(index.delete_resources(&search).await), expected, "{filter}");
    }
}

pub(crate) async fn history_is_searched_by_what_was_true_then(f: &Fixture) {
    let index = f.with_types().await;
    fill(index).await;
    let update = ResourceUpdate {
        attributes: values([("flavor", json!("huge"))]),
        now: at(500),
        ..ResourceUpdate::default()
    };
    index.update_resource("instance", rid(1), &update).await.unwrap();
    for (filter, expected) in [
        (json!({"=": {"flavor": "small"}}), vec![1]),
        (json!({"like": {"flavor": "%"}}), vec![1, 1, 2]),
        (json!({"=": {"revision": -1}}), vec![1, 2]),
        (json!({"=": {"revision_end": null}}), vec![1, 2]),
        (json!({"and": [{"<": {"revision_start": 400}}, {">=": {"revision_end": 400}}]}), vec![1]),
        (json!({"≥": {"revision_start": 500}}), vec![1]),
    ] {
        assert_eq!(found(index, &search("instance", true, &filter)).await, expected, "{filter}");
    }
    let now = search("instance", false, &json!({"=": {"flavor": "small"}}));
    assert_eq!(found(index, &now).await, [0; 0]);
}

pub(crate) async fn searches_come_in_pages(f: &Fixture) {
    let index = f.with_types().await;
    fill(index).await;
    let search = search("generic", false, &json!({"!=": {"project_id": "p"}}));
    let mut seen = Vec::new();
    let mut page = Page { limit: Some(2), ..Page::default() };
    loop {
        let some = index.search_resources(&search, &page).await.unwrap();
        seen.extend(some.iter().map(|resource| resource.id.0.as_u128()));
        page.marker = some.last().map(|resource| resource.id.to_string());
        if some.len() < 2 {
            break;
        }
    }
    assert_eq!(seen, [2, 3, 4]);
}

pub(crate) async fn found_resources_are_deleted_with_metrics_and_history(f: &Fixture) {
    let index = f.with_types().await;
    fill(index).await;
    let update = ResourceUpdate { project_id: Some(None), now: at(500), ..ResourceUpdate::default() };
    index.update_resource("generic", rid(1), &update).await.unwrap();
    let none = search("instance", false, &json!({"=": {"id": rid(3).to_string()}}));
    assert_eq!(index.delete_resources(&none).await.unwrap(), (0, vec![]));
    let some = search("generic", false, &json!({"in": {"id": [rid(1).to_string(), rid(3).to_string()]}}));
    let (deleted, metrics) = index.delete_resources(&some).await.unwrap();
    assert_eq!((deleted, metrics.len()), (2, 2));
    assert_eq!(found(index, &search("generic", true, &json!({}))).await, [2, 4]);
    assert_eq!(index.metrics(&MetricFilter::default(), &Page::default()).await.unwrap().len(), 2);
    let mut waiting = index.deleted_metrics(10).await.unwrap();
    let mut metrics = metrics;
    waiting.sort_unstable();
    metrics.sort_unstable();
    assert_eq!(waiting, metrics);
}

pub(crate) async fn texts_of_attributes_are_found_whatever_becomes_of_them(f: &Fixture) {
    let index = f.with_types().await;
    fill(index).await;
    let long = |last: char| format!("{}{last}", "long ✔".repeat(40));
    let flavor = |id, flavor: &str, when| {
        let attributes = values([("flavor", json!(flavor))]);
        let update = ResourceUpdate { attributes, now: at(when), ..ResourceUpdate::default() };
        async move { index.update_resource("instance", rid(id), &update).await.unwrap() }
    };
    flavor(1, &long('a'), 500).await;
    flavor(2, &long('b'), 500).await;
    flavor(1, "brief", 600).await;
    let zone = TypeChange::Put {
        name: "zone".to_owned(),
        attribute: attribute(text_kind(), true),
        fill: Some(json!("north")),
    };
    index.update_resource_type("instance", &[zone]).await.unwrap();
    for (history, filter, expected) in [
        (false, json!({"=": {"flavor": "small"}}), vec![]),
        (true, json!({"=": {"flavor": "small"}}), vec![1]),
        (false, json!({"=": {"flavor": long('b')}}), vec![2]),
        (true, json!({"=": {"flavor": long('a')}}), vec![1]),
        (false, json!({"in": {"flavor": ["brief", long('b'), long('c')]}}), vec![1, 2]),
        (false, json!({"and": [{"=": {"flavor": "brief"}}, {"=": {"zone": "south"}}]}), vec![]),
        (false, json!({"not": {"=": {"flavor": "brief"}}}), vec![2]),
        (false, json!({"like": {"flavor": "bri%"}}), vec![1]),
        (false, json!({"like": {"flavor": "bri_"}}), vec![]),
        (false, json!({"like": {"flavor": "Bri%"}}), vec![]),
        (false, json!({"like": {"flavor": "%ief"}}), vec![1]),
        (false, json!({"like": {"flavor": long('b')}}), vec![2]),
        (false, json!({"like": {"flavor": "long \u{2714}%"}}), vec![2]),
        (true, json!({"like": {"flavor": "long \u{2714}%"}}), vec![1, 2]),
        (false, json!({"=": {"zone": "north"}}), vec![1, 2]),
        (true, json!({"=": {"zone": "north"}}), vec![1, 1, 1, 2, 2]),
    ] {
        assert_eq!(found(index, &search("instance", history, &filter)).await, expected, "{history} {filter}");
    }
    let gone = search("instance", false, &json!({"=": {"flavor": "brief"}}));
    assert_eq!(index.delete_resources(&gone).await.unwrap().0, 1);
    assert_eq!(found(index, &search("instance", true, &json!({}))).await, [2, 2]);
}

/// Numbers are compared as numbers, however they were written, and however the index of them came about.
pub(crate) async fn numbers_of_attributes_are_found_whatever_becomes_of_them(f: &Fixture) {
    let index = f.with_types().await;
    fill(index).await;
    let cores = |id, cores: Value, when| {
        let update = ResourceUpdate {
            attributes: values([("cores", cores)]),
            now: at(when),
            ..ResourceUpdate::default()
        };
        async move { index.update_resource("instance", rid(id), &update).await.unwrap() }
    };
    for (number, value) in
        [(10, json!(4.0)), (11, json!(-3)), (12, json!(u64::MAX)), (13, json!(1e300)), (14, json!(1e-300))]
    {
        let mut new = new_resource("instance", rid(number));
        // What looks like a number and is none.
        new.attributes = values([("flavor", json!("cores\":4")), ("cores", value)]);
        index.create_resource(&new).await.unwrap();
    }
    cores(1, json!(4), 500).await;
    cores(2, json!(null), 600).await;
    let ram = TypeChange::Put {
        name: "ram".to_owned(),
        attribute: attribute(AttributeKind::Number { min: None, max: None }, true),
        fill: Some(json!(1.5)),
    };
    index.update_resource_type("instance", &[ram]).await.unwrap();
    let cases = [
        (false, json!({"=": {"cores": 4}}), vec![1, 10]),
        (false, json!({"=": {"cores": "4.0"}}), vec![1, 10]),
        (false, json!({"=": {"cores": 2}}), vec![]),
        (true, json!({"=": {"cores": 2}}), vec![1]),
        (true, json!({"=": {"cores": 0.5}}), vec![2]),
        (false, json!({"=": {"cores": 0.5}}), vec![]),
        (false, json!({"=": {"cores": null}}), vec![2]),
        (false, json!({"!=": {"cores": 4}}), vec![2, 11, 12, 13, 14]),
        (false, json!({"in": {"cores": [4, -3, 77]}}), vec![1, 10, 11]),
        (false, json!({"in": {"cores": [4, null]}}), vec![1, 10]),
        (false, json!({"in": {"cores": [true]}}), vec![]),
        (false, json!({"=": {"cores": u64::MAX}}), vec![12]),
        (false, json!({"=": {"cores": 1e300}}), vec![13]),
        (false, json!({">": {"cores": 4}}), vec![12, 13]),
        (false, json!({">=": {"cores": 4}}), vec![1, 10, 12, 13]),
        (false, json!({"<": {"cores": 0}}), vec![11]),
        (false, json!({"<=": {"cores": 1e-300}}), vec![11, 14]),
        (false, json!({"and": [{">": {"cores": 0}}, {"<": {"cores": 10}}]}), vec![1, 10, 14]),
        (false, json!({"and": [{">": {"cores": 10}}, {"<": {"cores": 0}}]}), vec![]),
        (false, json!({"and": [{"=": {"cores": 4}}, {"=": {"ram": 1.5}}]}), vec![1, 10]),
        (true, json!({"=": {"ram": 1.5}}), vec![1, 1, 2, 2, 10, 11, 12, 13, 14]),
    ];
    let check = async || {
        for (history, filter, expected) in &cases {
            assert_eq!(found(index, &search("instance", *history, filter)).await, *expected, "{filter}");
        }
    };
    check().await;
    // What a database was filled with before.
    let triggers = ["resource_created_number", "resource_changed_number", "resource_history_changed_number"];
    for trigger in triggers {
        let table = if trigger.contains("history") { "resource_history" } else { "resource" };
        let of = if f.db.dialect() == Dialect::Postgres { format!(" ON {table}") } else { String::new() };
        f.db.execute(format!("DROP TRIGGER {trigger}{of}"), &[]).await.unwrap();
    }
    if f.db.dialect() == Dialect::Postgres {
        f.db.execute("DROP FUNCTION note_resource_numbers", &[]).await.unwrap();
    }
    f.db.execute("DROP TABLE resource_number", &[]).await.unwrap();
    f.db.execute("DELETE FROM nephos_migration WHERE name = '0007_number'", &[]).await.unwrap();
    assert_eq!(migrate(&f.db, &[&INDEX]).await.unwrap(), ["index/0007_number"]);
    check().await;
    let gone = search("instance", false, &json!({"=": {"cores": 4}}));
    assert_eq!(index.delete_resources(&gone).await.unwrap().0, 2);
    let left = f.db.read("SELECT id FROM resource_number WHERE value = 4", &[]).await.unwrap();
    assert!(left.is_empty());
}

pub(crate) async fn a_text_that_many_resources_share_is_found_too(f: &Fixture) {
    let index = f.with_types().await;
    let resources = (0..6_000).map(|number| EnsureResource {
        resource_type: "instance".to_owned(),
        id: rid(number),
        original_resource_id: String::new(),
        user_id: None,
        project_id: None,
        attributes: values([("flavor", json!(if number % 1_000 == 7 { "rare" } else { "common" }))]),
        ended_at: None,
    });
    index.ensure(None, &resources.collect::<Vec<_>>(), &[], at(100)).await.unwrap();
    let common = found(index, &search("instance", false, &json!({"=": {"flavor": "common"}}))).await;
    assert_eq!((common.len(), common[0], common[7]), (5_994, 0, 8));
    let both = json!({"and": [{"in": {"flavor": ["common", "x"]}}, {"=": {"flavor": "rare"}}]});
    assert_eq!(found(index, &search("instance", false, &both)).await, [0; 0]);
    let rare = found(index, &search("instance", false, &json!({"=": {"flavor": "rare"}}))).await;
    assert_eq!(rare, [7, 1_007, 2_007, 3_007, 4_007, 5_007]);
}

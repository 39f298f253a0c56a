use nephos_index::{Page, ResourceIndex, ResourceUpdate, SqlIndex, TypeChange};
use nephos_model::{AttributeKind, ResourceType};
use serde_json::{Value, json};

use crate::fixture::{Fixture, at, attribute, instance_type, new_resource, rid, text, text_kind, values};

pub(crate) async fn types_come_back_whole_and_in_order(f: &Fixture) {
    let zone = ResourceType { name: "Zone ☃".to_owned(), attributes: [].into(), ..instance_type() };
    for resource_type in [&instance_type(), &zone] {
        f.index.create_resource_type(resource_type).await.unwrap();
    }
    let listed = f.index.resource_types().await.unwrap();
    assert_eq!(listed.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["Zone ☃", "generic", "instance"]);
    assert_eq!(*listed[2], instance_type());
    assert_eq!(*f.index.resource_type("Zone ☃").await.unwrap().unwrap(), zone);
    assert!(f.index.resource_type("none").await.unwrap().is_none());
    assert_eq!(text(f.index.create_resource_type(&zone).await), "resource type Zone ☃ already exists");
}

pub(crate) async fn types_in_use_and_generic_stay(f: &Fixture) {
    let index = f.with_types().await;
    index.create_resource(&new_resource("instance", rid(1))).await.unwrap();
    assert_eq!(text(index.delete_resource_type("instance").await), "resource type instance is still in use");
    assert_eq!(text(index.delete_resource_type("generic").await), "resource type generic is still in use");
    assert_eq!(text(index.delete_resource_type("none").await), "resource type none does not exist");
    index.delete_resource("instance", rid(1)).await.unwrap();
    index.delete_resource_type("instance").await.unwrap();
    assert_eq!(
        text(index.create_resource(&new_resource("instance", rid(1))).await),
        "resource type instance does not exist"
    );
}

/// A resource with one past and one current revision, and one of another type.
async fn with_history(f: &Fixture) -> &SqlIndex {
    let index = f.with_types().await;
    let mut new = new_resource("instance", rid(1));
    new.attributes = values([("flavor", json!("small")), ("cores", json!(1))]);
    index.create_resource(&new).await.unwrap();
    let attributes = values([("flavor", json!("large \"✔\""))]);
    let update = ResourceUpdate { attributes, now: at(300), ..ResourceUpdate::default() };
    index.update_resource("instance", rid(1), &update).await.unwrap();
    index.create_resource(&new_resource("generic", rid(2))).await.unwrap();
    index
}

async fn history_of(index: &SqlIndex, name: &str) -> Vec<Value> {
    let revisions = index.resource_history("instance", rid(1), &Page::default()).await.unwrap();
    revisions
        .iter()
        .map(|revision| revision.attributes.get(name).cloned().unwrap_or(json!("absent")))
        .collect()
}

pub(crate) async fn filled_attributes_reach_resources_and_history(f: &Fixture) {
    let index = with_history(f).await;
    let put = |name: &str, required, fill: Option<Value>| TypeChange::Put {
        name: name.to_owned(),
        attribute: attribute(text_kind(), required),
        fill,
    };
    let changes = [
        put("host", true, Some(json!("it's \"h\""))),
        put("zone", false, None),
        put("rack", false, Some(json!("r"))),
    ];
    let changed = index.update_resource_type("instance", &changes).await.unwrap();
    assert_eq!(changed.attributes.len(), instance_type().attributes.len() + 3);
    assert_eq!(*index.resource_type("instance").await.unwrap().unwrap(), *changed);
    assert_eq!(history_of(index, "host").await, [json!("it's \"h\""), json!("it's \"h\"")]);
    assert_eq!(history_of(index, "zone").await, [json!(null), json!(null)]);
    assert_eq!(history_of(index, "rack").await, [json!("r"), json!("r")]);
    // What was there is untouched.
    assert_eq!(history_of(index, "flavor").await, [json!("small"), json!("large \"✔\"")]);
    assert_eq!(history_of(index, "cores").await, [json!(1), json!(1)]);
    // A fill reaches only those without a value.
    let attributes = values([("zone", json!("z"))]);
    let update = ResourceUpdate { attributes, now: at(400), ..ResourceUpdate::default() };
    index.update_resource("instance", rid(1), &update).await.unwrap();
    index.update_resource_type("instance", &[put("zone", true, Some(json!("filled")))]).await.unwrap();
    assert_eq!(history_of(index, "zone").await, [json!("filled"), json!("filled"), json!("z")]);
    let generic = index.resource("generic", rid(2)).await.unwrap().unwrap();
    assert!(generic.attributes.is_empty(), "{generic:?}");
}

pub(crate) async fn removed_attributes_leave_resources_and_history(f: &Fixture) {
    let index = with_history(f).await;
    let remove = |name: &str| TypeChange::Remove { name: name.to_owned() };
    let changed = index.update_resource_type("instance", &[remove("flavor")]).await.unwrap();
    assert!(!changed.attributes.contains_key("flavor"));
    assert_eq!(history_of(index, "flavor").await, [json!("absent"), json!("absent")]);
    assert_eq!(history_of(index, "cores").await, [json!(1), json!(1)]);
    // Added again it starts empty; added and removed at once it leaves nothing.
    let put = |name: &str| TypeChange::Put {
        name: name.to_owned(),
        attribute: attribute(text_kind(), false),
        fill: None,
    };
    index.update_resource_type("instance", &[put("flavor"), put("x"), remove("x")]).await.unwrap();
    assert_eq!(history_of(index, "flavor").await, [json!(null), json!(null)]);
    assert_eq!(history_of(index, "x").await, [json!("absent"), json!("absent")]);
}

pub(crate) async fn impossible_changes_leave_the_type_as_it_was(f: &Fixture) {
    let index = with_history(f).await;
    let put = |name: &str, kind, required| TypeChange::Put {
        name: name.to_owned(),
        attribute: attribute(kind, required),
        fill: None,
    };
    let good = || put("good", AttributeKind::Bool, false);
    for (bad, expected) in [
        (
            put("flavor", AttributeKind::Number { min: None, max: None }, false),
            "Type update is not available yet. Changing string to number for attribute flavor of resource instance",
        ),
        (
            put("new", AttributeKind::Uuid, true),
            "Option 'fill' of resource attribute new is invalid: must not be empty if required=True",
        ),
        (
            put("image", AttributeKind::Uuid, true),
            "Option 'fill' of resource attribute image is invalid: must not be empty if required=True",
        ),
        (TypeChange::Remove { name: "what".to_owned() }, "can't remove a non-existent object 'what'"),
    ] {
        assert_eq!(text(index.update_resource_type("instance", &[good(), bad]).await), expected);
        assert_eq!(*index.resource_type("instance").await.unwrap().unwrap(), instance_type());
    }
    // Required before and after needs no fill; limits may change.
    let wider = AttributeKind::String { min_length: 0, max_length: 9 };
    index.update_resource_type("instance", &[put("flavor", wider, true)]).await.unwrap();
    assert_eq!(text(index.update_resource_type("none", &[]).await), "resource type none does not exist");
}

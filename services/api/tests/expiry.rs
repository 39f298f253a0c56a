//! Resources that ended long ago are forgotten; living and lately ended ones stay.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use nephos_api::expire_resources;
use nephos_index::{NewResource, ResourceIndex, SqlIndex};
use nephos_model::{ManualClock, ResourceId, Timestamp};
use nephos_sql::migrations::INDEX;

#[tokio::test]
async fn only_what_ended_before_the_limit_goes() {
    let folder = tempfile::tempdir().unwrap();
    let db =
        nephos_sql::Db::connect(&format!("sqlite:{}", folder.path().join("index").display())).await.unwrap();
    nephos_sql::migrate(&db, &[&INDEX]).await.unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(10_000)));
    let index = SqlIndex::open(db, clock).await.unwrap();
    index.ensure_defaults(&nephos_index::Defaults::default()).await.unwrap();
    for (name, ended) in [("alive", None), ("long ago", Some(100)), ("lately", Some(5_000))] {
        let resource = NewResource {
            resource_type: "generic".to_owned(),
            id: ResourceId::random(),
            original_resource_id: name.to_owned(),
            creator: Some("admin".to_owned()),
            user_id: None,
            project_id: None,
            started_at: Timestamp::EPOCH,
            ended_at: ended.map(Timestamp::from_secs),
            attributes: [].into(),
            metrics: [].into(),
            now: Timestamp::from_secs(10_000),
        };
        index.create_resource(&resource).await.unwrap();
    }
    assert_eq!(expire_resources(&index, Timestamp::from_secs(1_000)).await.unwrap(), 1);
    assert_eq!(expire_resources(&index, Timestamp::from_secs(1_000)).await.unwrap(), 0);
    let mut left: Vec<String> = index
        .resources("generic", false, &nephos_index::Page::default())
        .await
        .unwrap()
        .into_iter()
        .map(|resource| resource.original_resource_id)
        .collect();
    left.sort();
    assert_eq!(left, ["alive", "lately"]);
}

//! The resolver on a real index that notes its statements.

use nephos_config::{Inputs, MapEnv, Mode, load};
use nephos_index::{Page, ResourceIndex, SqlIndex};
use nephos_model::{ManualClock, SampleKind, Timestamp};
use nephos_sql::Db;
use nephos_sql::migrations::{INDEX, migrate};
use nephos_sql::testing::Scratch;
use serde_json::{Value, json};

use super::*;

struct Fixture {
    _scratch: Scratch,
    db: Db,
    index: SqlIndex,
    clock: Arc<ManualClock>,
    resolver: Resolver,
    _definitions: watch::Sender<Arc<ResourcesFile>>,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos((1_795_302_500 + second) * 1_000_000_000)
}

impl Fixture {
    async fn new() -> Self {
        let scratch = Scratch::sqlite();
        let db = scratch.db().await;
        migrate(&db, &[&INDEX]).await.unwrap();
        let clock = Arc::new(ManualClock::new(at(0)));
        let index = SqlIndex::open(db.clone(), Arc::<ManualClock>::clone(&clock)).await.unwrap();
        let env = MapEnv::new([("HOME", "/h")]);
        let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &[], env: &env };
        let file = load(&inputs).unwrap().resources;
        let (definitions, receiver) = watch::channel(Arc::new(file));
        let shared: Arc<dyn Index> = Arc::new(index.clone());
        let resolver = Resolver::new(shared, "admin".to_owned(), Arc::<ManualClock>::clone(&clock), receiver);
        Self { _scratch: scratch, db, index, clock, resolver, _definitions: definitions }
    }

    /// Resolves, and says how many statements the index ran for it.
    async fn statements(&mut self, samples: Vec<Sample>) -> usize {
        self.db.start_recording();
        self.resolver.batch(&[samples]).await.unwrap();
        self.db.recorded().len()
    }

    async fn revisions(&self, resource: &str) -> Vec<Value> {
        let id = nephos_wire::gnocchi::resource_id(resource, Some("admin")).unwrap();
        let history = self.index.resource_history("instance", id, &Page::default()).await.unwrap();
        history.into_iter().map(|revision| revision.attributes["display_name"].clone()).collect()
    }
}

/// A reading of meter `cpu` of an instance.
fn reading(second: i64, metadata: Value) -> Sample {
    let mut sample = Sample::new("cpu", SampleKind::Cumulative, "ns", second, "i1", at(second));
    sample.metadata = Arc::new(metadata.as_object().unwrap().clone());
    sample
}

#[tokio::test]
async fn metadata_that_no_definition_maps_cost_no_question_to_the_index() {
    let mut fixture = Fixture::new().await;
    let reading = |n: i64, disk: &str| reading(n, json!({"display_name": "web", "disk_name": disk, "n": n}));
    assert!(fixture.statements(vec![reading(0, "vda")]).await > 0);
    for n in 1..4 {
        assert_eq!(fixture.statements(vec![reading(n, "vdb"), reading(n + 10, "vdc")]).await, 0);
    }
    assert_eq!(fixture.revisions("i1").await, ["web"]);
}

#[tokio::test]
async fn a_mapped_attribute_is_told_once_when_it_changes() {
    let mut fixture = Fixture::new().await;
    let reading = |n: i64, name: &str| reading(n, json!({"display_name": name, "n": n}));
    fixture.statements(vec![reading(0, "web")]).await;
    fixture.clock.advance(Duration::from_millis(10));
    assert!(fixture.statements(vec![reading(1, "web"), reading(2, "db")]).await > 0);
    assert_eq!(fixture.statements(vec![reading(3, "db")]).await, 0);
    assert_eq!(fixture.revisions("i1").await, ["web", "db"]);
    // There and back within one batch is no change.
    assert_eq!(fixture.statements(vec![reading(4, "other"), reading(5, "db")]).await, 0);
    assert_eq!(fixture.revisions("i1").await, ["web", "db"]);
}

#[tokio::test]
async fn owner_type_and_end_are_told_when_they_change() {
    let mut fixture = Fixture::new().await;
    let first = reading(0, json!({"display_name": "web"}));
    fixture.statements(vec![first.clone()]).await;
    let mut owned = first.clone();
    owned.project_id = Some("p".to_owned());
    let mut ended = owned.clone();
    ended.metadata = Arc::new(
        json!({"display_name": "web", "ended_at": "2026-11-22T00:00:00"}).as_object().unwrap().clone(),
    );
    for changed in [owned.clone(), ended, owned] {
        fixture.clock.advance(Duration::from_millis(10));
        assert!(fixture.statements(vec![changed.clone()]).await > 0, "{changed:?}");
        assert_eq!(fixture.statements(vec![changed]).await, 0);
    }
}

#[tokio::test]
async fn metrics_are_believed_for_a_while_only() {
    let mut fixture = Fixture::new().await;
    let sample = reading(0, json!({}));
    assert!(fixture.statements(vec![sample.clone()]).await > 0);
    fixture.clock.advance(BELIEVED - Duration::from_millis(1));
    // The catalogue of policies is looked at again after a second, the metric is not.
    fixture.db.start_recording();
    fixture.resolver.batch(&[vec![sample.clone()]]).await.unwrap();
    let asked_for_metric = |recorded: Vec<(String, Vec<nephos_sql::Value>)>| {
        recorded.iter().any(|(sql, _)| sql.contains(" JOIN metric "))
    };
    assert!(!asked_for_metric(fixture.db.recorded()));
    fixture.clock.advance(Duration::from_millis(1));
    fixture.db.start_recording();
    fixture.resolver.batch(&[vec![sample]]).await.unwrap();
    assert!(asked_for_metric(fixture.db.recorded()));
}

#[tokio::test]
async fn each_metric_gets_one_run_in_order_of_time_and_of_equal_times_the_last_arrival() {
    let mut fixture = Fixture::new().await;
    let sample = |name: &str, second: i64, value: i64| {
        let mut sample = Sample::new(name, SampleKind::Gauge, "", value, "i1", at(second));
        sample.metadata = Arc::default();
        sample
    };
    let messages = [
        vec![sample("cpu", 3, 1), sample("memory.usage", 1, 2), sample("cpu", 1, 3)],
        vec![sample("cpu", 3, 4), sample("nobody.knows", 1, 5), sample("cpu", 2, 6), sample("cpu", 3, 0)],
    ];
    let batch = fixture.resolver.batch(&messages).await.unwrap();
    let mut runs: Vec<(Vec<Timestamp>, Vec<f64>)> =
        batch.runs().map(|run| (run.timestamps.to_vec(), run.values.to_vec())).collect();
    runs.sort_by_key(|(timestamps, _)| timestamps.len());
    assert_eq!(runs, [(vec![at(1)], vec![2.0]), (vec![at(1), at(2), at(3)], vec![3.0, 6.0, 0.0])]);
}

#[tokio::test]
async fn slashes_in_names_become_underscores() {
    let mut fixture = Fixture::new().await;
    let mut sample = reading(0, json!({}));
    sample.resource_id = "a/b".to_owned();
    fixture.resolver.batch(&[vec![sample]]).await.unwrap();
    let id = nephos_wire::gnocchi::resource_id("a_b", Some("admin")).unwrap();
    let found = fixture.index.resource("instance", id).await.unwrap().unwrap();
    assert_eq!(found.original_resource_id, "a_b");
    assert_eq!(found.metrics.keys().collect::<Vec<_>>(), ["cpu"]);
}

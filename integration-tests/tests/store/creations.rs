//! Resources and metrics that are created at the same time share transactions: what becomes of them when Nephos is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, wait_for};
use serde_json::{Value, json};

const CLIENTS: u128 = 16;
const KILLS: u128 = 16;
const PATIENCE: Duration = Duration::from_secs(60);
/// A metric that is created after its resource.
const LATER: &str = "later";

/// What a client knows of something that it wanted to be created.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    NotAsked,
    Unanswered,
    Created,
}

/// A resource, as its client knows it.
#[derive(Debug)]
struct Wanted {
    id: String,
    /// So many metrics are created with it.
    metrics: usize,
    resource: Fate,
    later: Fate,
}

impl Wanted {
    fn new(number: u128) -> Self {
        // Far from each other in the index.
        let id = uuid::Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let metrics = usize::try_from(number % 6).unwrap();
        Self { id: id.to_string(), metrics, resource: Fate::NotAsked, later: Fate::NotAsked }
    }

    fn names(&self) -> BTreeSet<String> {
        (0..self.metrics).map(|metric| format!("metric.{metric}")).collect()
    }

    async fn create(&self, api: &Http) -> Result<u16, String> {
        let metrics = self.names().into_iter().map(|name| (name, json!({"archive_policy_name": "low"})));
        let body = json!({"id": self.id, "metrics": Value::Object(metrics.collect())});
        Ok(api.try_send("POST", "/v1/resource/generic", Some(&body)).await?.status)
    }

    async fn create_later(&self, api: &Http) -> Result<u16, String> {
        let body = json!({"archive_policy_name": "low", "resource_id": self.id, "name": LATER});
        Ok(api.try_send("POST", "/v1/metric", Some(&body)).await?.status)
    }

    /// Whether it is there: whole, or not at all unless that was answered.
    fn check(&self, there: &BTreeMap<String, BTreeSet<String>>) -> bool {
        let Some(names) = there.get(&self.id) else {
            assert_ne!(self.resource, Fate::Created, "{self:?} was answered and is gone");
            return false;
        };
        let mut expected = self.names();
        if self.later == Fate::Created || (self.later == Fate::Unanswered && names.contains(LATER)) {
            expected.insert(LATER.to_owned());
        }
        assert_eq!(*names, expected, "{self:?} is there in part");
        true
    }

    /// Creates again what was not answered: what is there is in the way, and what is not is created.
    async fn repeat(&mut self, api: &Http, there: &BTreeMap<String, BTreeSet<String>>) {
        let names = there.get(&self.id);
        if self.resource == Fate::Unanswered {
            let expected = if names.is_some() { 409 } else { 201 };
            assert_eq!(self.create(api).await, Ok(expected), "{self:?}");
            self.resource = Fate::Created;
        }
        if self.later == Fate::Unanswered {
            // Gnocchi's refusal of a name that is taken.
            let expected = if names.is_some_and(|names| names.contains(LATER)) { 400 } else { 201 };
            assert_eq!(self.create_later(api).await, Ok(expected), "{self:?}");
            self.later = Fate::Created;
        }
    }
}

/// Creates one resource after the other, and a metric for every third, until there is no answer.
async fn create_until_killed(
    api: Http,
    numbers: impl Iterator<Item = u128>,
    answers: Arc<AtomicUsize>,
) -> Vec<Wanted> {
    let mut all = Vec::new();
    for number in numbers {
        let mut wanted = Wanted::new(number);
        wanted.resource = fate(wanted.create(&api).await, &answers);
        if wanted.resource == Fate::Created && number.is_multiple_of(3) {
            wanted.later = fate(wanted.create_later(&api).await, &answers);
        }
        let is_killed = [wanted.resource, wanted.later].contains(&Fate::Unanswered);
        all.push(wanted);
        if is_killed {
            break;
        }
    }
    all
}

fn fate(answer: Result<u16, String>, answers: &AtomicUsize) -> Fate {
    let Ok(status) = answer else { return Fate::Unanswered };
    assert_eq!(status, 201);
    answers.fetch_add(1, Ordering::Relaxed);
    Fate::Created
}

/// Names of the metrics of all resources.
async fn listed(api: &Http) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    let mut path = "/v1/resource/generic?limit=1000".to_owned();
    loop {
        let page = api.get(&path).await.expect(200).json();
        for resource in page.as_array().unwrap() {
            let names = resource["metrics"].as_object().unwrap().keys().cloned().collect();
            let id = resource["id"].as_str().unwrap().to_owned();
            path = format!("/v1/resource/generic?limit=1000&marker={id}");
            assert!(all.insert(id, names).is_none(), "{resource} is there twice");
        }
        if page.as_array().unwrap().is_empty() {
            return all;
        }
    }
}

async fn start(folder: &Path) -> (Nephos, Http) {
    let settings = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__STORE__MIN_FREE", "0")];
    let nephos = Nephos::start("run", folder, "nephos", &settings);
    let api = Http::new(&nephos.url("api").await);
    (nephos, api)
}

async fn ready(api: &Http) {
    wait_for("Nephos is ready", PATIENCE, || async {
        let answer = api.try_send("GET", "/readyz", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

/// Creations, and transactions that they shared, since the start.
async fn shared(api: &Http) -> (f64, f64) {
    let text = api.get("/metrics").await.expect(200).text;
    let figure = |name: &str| {
        let name = format!("{name}{{result=\"committed\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0.0, |figure| figure.parse::<f64>().unwrap())
    };
    (figure("nephos_index_shared_creations_total"), figure("nephos_index_shared_transactions_total"))
}

#[tokio::test]
async fn creations_that_share_transactions_are_whole_or_absent_when_nephos_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nephos, mut api) = start(folder.path()).await;
    ready(&api).await;
    let (mut all, mut random) = (Vec::<Wanted>::new(), 20_261_122u64);
    let (mut creations, mut transactions) = (0.0, 0.0);
    for life in 0..KILLS {
        let answers = Arc::new(AtomicUsize::new(0));
        let clients = (0..CLIENTS).map(|client| {
            let numbers = (0..).map(move |at| (at * KILLS + life) * CLIENTS + client + 1);
            tokio::spawn(create_until_killed(api.clone(), numbers, Arc::clone(&answers)))
        });
        let clients: Vec<_> = clients.collect();
        wait_for("clients are answered", PATIENCE, || async {
            let answers = answers.load(Ordering::Relaxed);
            if answers > 100 { Ok(()) } else { Err(format!("{answers} answers")) }
        })
        .await;
        let together = shared(&api).await;
        (creations, transactions) = (creations + together.0, transactions + together.1);
        // The constants of Knuth's MMIX.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis((random >> 33) % 150)).await;
        nephos.kill();
        let first = all.len();
        for client in clients {
            all.extend(client.await.unwrap());
        }

        nephos.start_again();
        api = Http::new(&nephos.url("api").await);
        ready(&api).await;
        let there = listed(&api).await;
        let found = all.iter().filter(|wanted| wanted.check(&there)).count();
        assert_eq!(found, there.len(), "there is what nobody wanted");
        for wanted in &mut all[first..] {
            wanted.repeat(&api, &there).await;
        }
    }
    assert!(creations > 2.0 * transactions, "{creations} creations in {transactions} transactions");
    let there = listed(&api).await;
    assert!(all.iter().all(|wanted| wanted.check(&there)), "all were created by now");
    for wanted in all.iter().step_by(50) {
        assert_eq!(wanted.create(&api).await, Ok(409), "{wanted:?}");
    }
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
}

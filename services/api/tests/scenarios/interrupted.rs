//! What happens when the store fails in the middle of a request that the index has done its part of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use nephos_identity::Basic;
use nephos_metric_store::{
    Adoption, AppendReport, Batch, Erase, MetricStore, Series, SeriesRequest, StoreError, StoreStatistics,
};
use nephos_model::MetricId;
use nephos_timeseries::ArchivePolicy;
use serde_json::{Value, json};

use super::server::{Server, send};
use crate::request;

/// A store that nobody owns while `is_away`.
#[derive(Debug)]
struct Away {
    store: Arc<dyn MetricStore>,
    is_away: Arc<AtomicBool>,
}

impl Away {
    fn store(&self) -> Result<&dyn MetricStore, StoreError> {
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(StoreError::NoOwner { retry_after: std::time::Duration::from_secs(1) }),
            false => Ok(self.store.as_ref()),
        }
    }
}

#[async_trait]
impl MetricStore for Away {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        self.store()?.append(batch).await
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        self.store()?.query(requests).await
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        self.store()?.delete(metrics).await
    }

    async fn erase(&self, erase: &Erase) -> Result<(), StoreError> {
        self.store()?.erase(erase).await
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        self.store()?.adopt(adoption).await
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.store()?.statistics().await
    }
}

/// Asks as `admin`; the answer if it has the status.
async fn ask(server: &Server, method: &str, path: &str, body: Value, status: u16) -> Value {
    let step = json!({"user": "admin", "method": method, "path": path, "body": body});
    let (head, body) = request(step.as_object().unwrap(), server.address);
    let answer = send(server.address, &head, &body).await;
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_default()
}

#[tokio::test]
async fn a_change_of_policy_that_was_cut_short_is_told_whole_when_it_is_asked_for_again() {
    let is_away = Arc::new(AtomicBool::default());
    let switch = Arc::clone(&is_away);
    let server = Server::start_on(Arc::new(Basic), |store| Arc::new(Away { store, is_away })).await;
    for (name, seconds, methods) in
        [("sums", 60, vec!["sum", "count"]), ("means", 300, vec!["mean", "median"])]
    {
        let definition = json!([{"granularity": seconds}]);
        let body = json!({"name": name, "definition": definition, "aggregation_methods": methods});
        ask(&server, "POST", "/v1/archive_policy", body, 201).await;
    }
    let change = json!({"archive_policy_name": "means"});
    let measures = json!([{"timestamp": 0, "value": 1}, {"timestamp": 700, "value": 2}]);
    let mut told = Vec::new();
    // Nothing fails; nothing is sent in between; measures bring the change before it is asked for again.
    for (fails, sends) in [(false, false), (true, false), (true, true)] {
        let metric = ask(&server, "POST", "/v1/metric", json!({"archive_policy_name": "sums"}), 201).await;
        let path = format!("/v1/metric/{}", metric["id"].as_str().unwrap());
        let into = format!("{path}/measures");
        ask(&server, "POST", &into, measures.clone(), 202).await;
        if fails {
            switch.store(true, Ordering::Relaxed);
            ask(&server, "PATCH", &path, change.clone(), 503).await;
            switch.store(false, Ordering::Relaxed);
        }
        if sends {
            ask(&server, "POST", &into, json!([{"timestamp": 710, "value": 3}]), 202).await;
        }
        for _ in 0..2 {
            let mut answer = ask(&server, "PATCH", &path, change.clone(), 200).await;
            assert_eq!(answer["metric"]["archive_policy_name"], "means");
            answer["metric"].take();
            told.push(answer);
        }
        let points = ask(&server, "GET", &into, Value::Null, 200).await;
        assert_eq!(points[0][2], 1.0, "the mean comes from what was stored");
    }
    let whole = json!([{"granularity": 300.0, "aggregation_methods": ["mean"]}]);
    let empty = json!([{"granularity": 300.0, "aggregation_methods": ["median"]}]);
    for answer in told {
        assert_eq!(answer, json!({"metric": null, "backfilled": whole, "empty": empty}));
    }
    server.stop().await;
}

//! The store as seen from a process that owns no shards: each call goes to the owners of the shards it touches.

mod parts;
mod pushed;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use nephos_model::MetricId;
use nephos_observe::Backoff;
use nephos_timeseries::ArchivePolicy;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout_at};

use crate::bytes::shard_of;
use crate::compute::{Computation, Computed, Refusal};
use crate::contract::{
    Adoption, AppendReport, Batch, Erase, MetricStore, Progress, Series, SeriesRequest, StoreError,
    StoreStatistics,
};
use crate::instrument;
use crate::options::{Limits, RETRY_AFTER};
use crate::protocol::frames::{Answer, Assembly, Broken};
use crate::protocol::{self, Message, encode};

pub(crate) use parts::Calls;

/// How often a call that is not answered yet makes sure that it is at the right place.
const OWNER_CHECK: Duration = Duration::from_secs(2);
/// Why a call leaves an owner.
const SUPERSEDED: &str = "another process owns the shard meanwhile";

/// Who serves a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Where its routes are: `http://host:port`.
    pub url: String,
    /// Epoch of its lease: grows with each change of owner.
    pub epoch: u64,
}

/// Finds the owner of a shard.
#[async_trait]
pub trait OwnerLookup: Send + Sync + std::fmt::Debug {
    /// The owner just now; `None` if nobody holds the lease.
    ///
    /// # Errors
    /// What kept it from finding out.
    async fn owner(&self, shard: u32) -> Result<Option<Owner>, String>;
}

/// How a [`RemoteStore`] behaves.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// What the owners ask of callers.
    pub token: SecretString,
    /// Number of shards of the store, as it was created.
    pub shards: u32,
    /// How long a call waits for an owner that answers.
    pub patience: Duration,
    /// How long one try may take once the owner has the request; of an answer that is read part by part, each part.
    pub timeout: Duration,
    /// `body` bounds an answer; of one that is read part by part, what of it is held.
    pub limits: Limits,
}

impl RemoteOptions {
    /// Ten seconds for an owner, a minute for its answer.
    pub fn new(token: SecretString, shards: u32) -> Self {
        Self {
            token,
            shards,
            patience: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

/// The store over HTTP. All its calls are harmless to repeat, so that one whose connection broke is tried again, at
/// the new owner if there is one by then.
#[derive(Debug)]
pub struct RemoteStore {
    client: reqwest::Client,
    owners: Arc<dyn OwnerLookup>,
    /// Owners that answered last: who is no owner any more says so.
    known: Mutex<HashMap<u32, Owner>>,
    options: RemoteOptions,
}

/// One try's outcome, when it is not the answer.
enum Failure {
    /// Another try may succeed.
    Again(StoreError),
    /// It would fail the same way.
    Final(StoreError),
}

impl RemoteStore {
    /// A store whose owners `owners` finds; `client` sets up connections (and TLS).
    pub fn new(client: reqwest::Client, owners: Arc<dyn OwnerLookup>, options: RemoteOptions) -> Self {
        Self { client, owners, known: Mutex::default(), options }
    }

    fn shard(&self, metric: MetricId) -> u32 {
        shard_of(metric, self.options.shards)
    }

    /// One call at the owner of a shard, repeated until it is answered or patience ends.
    async fn call<Q: Message, A: Answer>(
        &self,
        shard: u32,
        path: &str,
        request: &Q,
    ) -> Result<A, StoreError> {
        let body = self.body(request)?;
        let mut patience = Patience::new(self.options.patience);
        loop {
            match self.attempt(shard, path, body.clone(), patience.deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error)) => patience.wait(shard, &error).await?,
            }
        }
    }

    /// A request as bytes, if it is not larger than allowed.
    fn body(&self, request: &impl Message) -> Result<Bytes, StoreError> {
        let body = Bytes::from(encode(request));
        let (size, limit) = (body.len(), self.options.limits.body);
        if size as u64 > limit { Err(too_large(size, limit)) } else { Ok(body) }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Owner>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn owner(&self, shard: u32) -> Result<Option<Owner>, String> {
        let known = self.known().get(&shard).cloned();
        match known {
            Some(owner) => Ok(Some(owner)),
            None => {
                let found = self.owners.owner(shard).await?;
                self.known().extend(found.clone().map(|owner| (shard, owner)));
                Ok(found)
            }
        }
    }

    /// The owner, if there is one just now.
    async fn owner_now(&self, shard: u32, deadline: Instant) -> Result<Owner, Failure> {
        match timeout_at(deadline, self.owner(shard)).await {
            Ok(Ok(Some(owner))) => Ok(owner),
            Ok(Ok(None)) => Err(Failure::Again(StoreError::NoOwner { retry_after: RETRY_AFTER })),
            Ok(Err(reason)) => Err(again("the leases", reason)),
            Err(_) => Err(again("the leases", "no answer in time".to_owned())),
        }
    }

    fn request(&self, owner: &Owner, path: &str, body: Bytes) -> RequestBuilder {
        let url = format!("{}/internal/{path}", owner.url.trim_end_matches('/'));
        let request = self.client.post(url).bearer_auth(self.options.token.expose_secret());
        request.header(CONTENT_TYPE, protocol::CONTENT_TYPE).body(body)
    }

    async fn attempt<A: Answer>(
        &self,
        shard: u32,
        path: &str,
        body: Bytes,
        deadline: Instant,
    ) -> Result<A, Failure> {
        let done = self.attempt_known(shard, path, body, deadline).await;
        if matches!(done, Err(Failure::Again(_))) {
            self.known().remove(&shard);
        }
        done
    }

    async fn attempt_known<A: Answer>(
        &self,
        shard: u32,
        path: &str,
        body: Bytes,
        deadline: Instant,
    ) -> Result<A, Failure> {
        let owner = self.owner_now(shard, deadline).await?;
        let (size, limit) = (body.len(), self.options.limits.body);
        let request = self.request(&owner, path, body).timeout(self.options.timeout);
        let exchange =
            async { read(accepted(request.send(), &owner.url, size, limit).await?, &owner.url, limit).await };
        tokio::select! {
            exchanged = exchange => exchanged,
            () = self.superseded(shard, &owner) => {
                Err(again(&owner.url, SUPERSEDED.to_owned()))
            }
        }
    }

    /// Returns when a shard has another owner than this one, which may be paused or cut off and never answer.
    async fn superseded(&self, shard: u32, owner: &Owner) {
        loop {
            sleep(OWNER_CHECK).await;
            match self.owners.owner(shard).await {
                Ok(Some(other)) if other != *owner => return,
                _ => {}
            }
        }
    }

    /// Splits by shard, keeping the order in each, with each item's place.
    fn by_shard<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        metric: impl Fn(&T) -> MetricId,
    ) -> BTreeMap<u32, (Vec<usize>, Vec<T>)> {
        split(items, |item| self.shard(metric(item)))
    }
}

/// How long a call is tried.
struct Patience {
    deadline: Instant,
    backoff: Backoff,
}

impl Patience {
    fn new(patience: Duration) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self { deadline: Instant::now() + patience, backoff }
    }

    /// Waits before the next try; an error when it is time to give up.
    async fn wait(&mut self, shard: u32, error: &StoreError) -> Result<(), StoreError> {
        let delay = self.backoff.next_delay();
        if Instant::now() + delay >= self.deadline {
            tracing::debug!(error = %error, shard, "no owner answered in time");
            return Err(StoreError::NoOwner { retry_after: RETRY_AFTER });
        }
        sleep(delay).await;
        Ok(())
    }
}

/// The answer that a request of so many bytes gets, unless it is refused.
async fn accepted(
    sent: impl Future<Output = reqwest::Result<Response>>,
    url: &str,
    size: usize,
    limit: u64,
) -> Result<Response, Failure> {
    let answer = sent.await.map_err(|error| again(url, describe(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    // What is no error of the store says nothing but its status.
    Err(match read::<()>(answer, url, limit).await {
        Err(Failure::Final(StoreError::Remote { .. })) | Ok(()) => match status {
            StatusCode::PAYLOAD_TOO_LARGE => Failure::Final(too_large(size, limit)),
            _ if status.is_server_error() => again(url, format!("status {status}")),
            _ => Failure::Final(remote(url, format!("status {status}"))),
        },
        Err(failure) => failure,
    })
}

/// An answer, put together as it comes, as long as it is not larger than allowed.
async fn read<A: Answer>(mut answer: Response, url: &str, limit: u64) -> Result<A, Failure> {
    let mut assembly = A::Assembly::default();
    let mut size = 0;
    while let Some(part) = answer.chunk().await.map_err(|error| again(url, describe(&error)))? {
        size += part.len() as u64;
        within(size, limit)?;
        assembly.take(&part).map_err(|broken| failed(url, broken))?;
    }
    assembly.finish().map_err(|broken| failed(url, broken))
}

fn within(size: u64, limit: u64) -> Result<(), Failure> {
    if size > limit {
        return Err(Failure::Final(StoreError::TooLarge { what: "an answer's bytes", size, limit }));
    }
    Ok(())
}

/// What an answer that is none means for the call.
fn failed(url: &str, broken: Broken) -> Failure {
    match broken {
        // It gave the shard up, or is about to.
        Broken::Told(error @ (StoreError::NoOwner { .. } | StoreError::Closed)) => Failure::Again(error),
        Broken::Told(error) => Failure::Final(error),
        Broken::Cut => again(url, "the answer stopped before its end".to_owned()),
        Broken::Malformed(error) => Failure::Final(remote(url, error.to_string())),
    }
}

/// Splits, keeping the order in each part, with each item's place.
fn split<T>(
    items: impl IntoIterator<Item = T>,
    part: impl Fn(&T) -> u32,
) -> BTreeMap<u32, (Vec<usize>, Vec<T>)> {
    let mut parts: BTreeMap<u32, (Vec<usize>, Vec<T>)> = BTreeMap::new();
    for (place, item) in items.into_iter().enumerate() {
        let (places, of_part) = parts.entry(part(&item)).or_default();
        places.push(place);
        of_part.push(item);
    }
    parts
}

/// What came for some places goes to these.
fn put_back<T>(all: &mut [T], places: &[usize], part: Vec<T>, asked: u32) -> Result<(), StoreError> {
    if part.len() != places.len() {
        let reason = format!("{} answers instead of {}", part.len(), places.len());
        return Err(StoreError::Remote { url: format!("owner of shard {asked}"), reason });
    }
    for (place, one) in places.iter().zip(part) {
        if let Some(slot) = all.get_mut(*place) {
            *slot = one;
        }
    }
    Ok(())
}

fn too_large(size: usize, limit: u64) -> StoreError {
    StoreError::TooLarge { what: "a request's bytes", size: size as u64, limit }
}

fn remote(url: &str, reason: String) -> StoreError {
    StoreError::Remote { url: url.to_owned(), reason }
}

fn again(url: &str, reason: String) -> Failure {
    Failure::Again(remote(url, reason))
}

/// An error with its causes: the outermost alone says little.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn counted<T>(operation: &'static str, done: Result<T, StoreError>) -> Result<T, StoreError> {
    done.inspect_err(|error| instrument::failed(operation, error))
}

#[async_trait]
impl MetricStore for RemoteStore {
    async fn append(&self, batch: Arc<Batch>) -> Result<AppendReport, StoreError> {
        let parts = batch.split(self.options.shards, |metric| self.shard(metric));
        let calls = parts.iter().map(|(shard, part)| self.call(*shard, "v1/append", part.as_ref()));
        let mut sum = AppendReport::default();
        for report in join_all(calls).await {
            let report: AppendReport = counted("append", report)?;
            sum.accepted += report.accepted;
            sum.late += report.late;
        }
        Ok(sum)
    }

    async fn query(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        counted("query", self.query_owners(requests).await)
    }

    async fn query_next(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        counted("query", self.next_part(requests, so_far).await)
    }

    async fn compute(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Result<Computed, Refusal>>, StoreError> {
        counted("compute", self.compute_at_owners(computations).await)
    }

    async fn delete(&self, metrics: &[MetricId]) -> Result<(), StoreError> {
        let parts = self.by_shard(metrics.iter().copied(), |metric| *metric);
        let calls = parts.iter().map(|(shard, (_, metrics))| self.call(*shard, "v1/delete", metrics));
        for done in join_all(calls).await {
            let done: Result<(), StoreError> = done;
            counted("delete", done)?;
        }
        Ok(())
    }

    async fn erase(&self, erase: &Erase) -> Result<(), StoreError> {
        let parts = self.by_shard(erase.metrics.iter().copied(), |metric| *metric);
        let parts =
            parts.into_iter().map(|(shard, (_, metrics))| (shard, Erase { metrics, ..erase.clone() }));
        let parts: Vec<(u32, Erase)> = parts.collect();
        let calls = parts.iter().map(|(shard, part)| self.call(*shard, "v1/erase", part));
        for done in join_all(calls).await {
            let done: Result<(), StoreError> = done;
            counted("erase", done)?;
        }
        Ok(())
    }

    async fn adopt(&self, adoption: &Adoption) -> Result<Option<Arc<ArchivePolicy>>, StoreError> {
        counted("adopt", self.call(self.shard(adoption.metric), "v1/adopt", adoption).await)
    }

    async fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        // Each owner is asked once, however many shards it has.
        let mut asked: BTreeMap<String, u32> = BTreeMap::new();
        for shard in 0..self.options.shards {
            if let Ok(Some(owner)) = self.owners.owner(shard).await {
                asked.entry(owner.url).or_insert(shard);
            }
        }
        if asked.is_empty() {
            return counted("statistics", Err(StoreError::NoOwner { retry_after: RETRY_AFTER }));
        }
        let mut sum = StoreStatistics::default();
        let calls = asked.values().map(|shard| self.call(*shard, "v1/statistics", &()));
        for one in join_all(calls).await {
            let one: StoreStatistics = counted("statistics", one)?;
            sum.metrics += one.metrics;
            sum.accepted += one.accepted;
            sum.late += one.late;
            sum.backlog += one.backlog;
            sum.disk_bytes += one.disk_bytes;
        }
        Ok(sum)
    }
}

//! Reading at the owners part by part: what they send is handed on in the order it was asked for, and nothing is taken
//! from an owner before there is need of it, so that it reads no further than the buffers of a connection reach.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use reqwest::Response;
use tokio::time::{Instant, sleep, timeout};

use super::pushed::QUERY;
use super::{
    Failure, Owner, Patience, RemoteStore, SUPERSEDED, accepted, again, describe, failed, remote, split,
    within,
};
use crate::contract::{Progress, Series, SeriesRequest, StoreError};
use crate::protocol::frames::{Assembly, Incoming, Streamed};

/// What owners were asked for and was not handed on yet. They learn that nobody waits any more when it is dropped.
pub(crate) struct Calls {
    /// All that is asked for, and how many of these were answered.
    requests: Arc<Vec<SeriesRequest>>,
    answered: usize,
    /// For each shard the one that its owner was asked by.
    homes: Vec<u32>,
    by_home: BTreeMap<u32, Call>,
    /// Those whose answers have not begun.
    opening: FuturesUnordered<BoxFuture<'static, (u32, Result<Response, Failure>)>>,
}

/// What one owner is asked for.
struct Call {
    owner: Owner,
    /// Series that have not come yet.
    missing: usize,
    /// Came, and were not handed on.
    series: vec::IntoIter<Series>,
    /// The answer once it has begun, until all of it has come.
    answer: Option<(Response, Incoming<Series>)>,
    /// Bytes that came since the last series was whole.
    held: u64,
}

/// A failure, and whose it is.
type Lost = (u32, Failure);

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("answered", &self.answered).finish_non_exhaustive()
    }
}

impl RemoteStore {
    /// The next series that are there, of one request at least. What an owner did not answer that was lost or replaced is
    /// asked for again while patience lasts; what was handed on before stays good.
    pub(super) async fn next_part(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        so_far: &mut Progress,
    ) -> Result<Vec<Series>, StoreError> {
        if so_far.answered >= requests.len() {
            return Ok(Vec::new());
        }
        let mut calls = so_far
            .calls
            .take()
            .filter(|calls| Arc::ptr_eq(&calls.requests, requests) && calls.answered == so_far.answered);
        let mut patience = Patience::new(self.options.patience);
        loop {
            let (home, error) =
                match self.part(requests, so_far.answered, &mut calls, patience.deadline).await {
                    Ok(part) => {
                        let points = part.iter().flat_map(|series| &series.granularities);
                        so_far.points += points.map(|points| points.timestamps.len() as u64).sum::<u64>();
                        so_far.answered += part.len();
                        so_far.calls = calls;
                        return Ok(part);
                    }
                    Err((_, Failure::Final(error))) => return Err(error),
                    Err((home, Failure::Again(error))) => (home, error),
                };
            let homes = calls.take().map(|calls| calls.homes).unwrap_or_default();
            self.known().retain(|shard, _| *shard != home && homes.get(*shard as usize) != Some(&home));
            patience.wait(home, &error).await?;
        }
    }

    /// All series that are there, in order, of calls that go on or are made; waits for the first of them.
    async fn part(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        answered: usize,
        calls: &mut Option<Box<Calls>>,
        deadline: Instant,
    ) -> Result<Vec<Series>, Lost> {
        let calls = match calls {
            Some(calls) => calls,
            None => calls.insert(Box::new(self.open(requests, answered, deadline).await?)),
        };
        let mut part = Vec::new();
        while let Some(request) = requests.get(calls.answered) {
            let home = self.home(&calls.homes, request);
            match calls.by_home.get_mut(&home).and_then(|call| call.series.next()) {
                Some(series) => {
                    part.push(series);
                    calls.answered += 1;
                }
                None if part.is_empty() => self.more(calls, home).await?,
                None => break,
            }
        }
        Ok(part)
    }

    /// Asks all owners for what is not answered yet.
    async fn open(
        &self,
        requests: &Arc<Vec<SeriesRequest>>,
        answered: usize,
        deadline: Instant,
    ) -> Result<Calls, Lost> {
        let homes = self.homes().await;
        let rest = requests.iter().skip(answered).cloned();
        let (mut by_home, opening) = (BTreeMap::new(), FuturesUnordered::new());
        for (home, (_, part)) in split(rest, |request| self.home(&homes, request)) {
            let body = self.body(&part).map_err(|error| (home, Failure::Final(error)))?;
            let owner = self.owner_now(home, deadline).await.map_err(|failure| (home, failure))?;
            opening.push(self.ask(home, &owner, body));
            let call =
                Call { owner, missing: part.len(), series: Vec::new().into_iter(), answer: None, held: 0 };
            by_home.insert(home, call);
        }
        Ok(Calls { requests: Arc::clone(requests), answered, homes, by_home, opening })
    }

    /// Sends a request to an owner and waits for the beginning of the answer.
    fn ask(
        &self,
        home: u32,
        owner: &Owner,
        body: Bytes,
    ) -> BoxFuture<'static, (u32, Result<Response, Failure>)> {
        let (size, limit, url) = (body.len(), self.options.limits.body, owner.url.clone());
        let (sent, most) = (self.request(owner, QUERY, body).send(), self.options.timeout);
        let opened = async move {
            let answer = timeout(most, accepted(sent, &url, size, limit)).await;
            (home, answer.unwrap_or_else(|_| Err(again(&url, TIMED_OUT.to_owned()))))
        };
        opened.boxed()
    }

    /// Waits until more of one owner's answer is there, or of another's the beginning: all are asked at the same time.
    async fn more(&self, calls: &mut Calls, home: u32) -> Result<(), Lost> {
        let Calls { by_home, opening, .. } = calls;
        let Some(call) = by_home.get_mut(&home) else { return Ok(()) };
        let lost = |reason: &str| Err(again(&call.owner.url, reason.to_owned()));
        let came = tokio::select! {
            Some((opened, answer)) = opening.next() => {
                let answer = answer.map_err(|failure| (opened, failure))?;
                if let Some(call) = by_home.get_mut(&opened) {
                    call.answer = Some((answer, Incoming::default()));
                }
                return Ok(());
            }
            came = next_of(&mut call.answer) => came.or_else(|error| lost(&describe(&error))),
            () = self.superseded(home, &call.owner) => lost(SUPERSEDED),
            () = sleep(self.options.timeout) => lost(TIMED_OUT),
        };
        came.and_then(|came| call.take(came, self.options.limits.body)).map_err(|failure| (home, failure))
    }
}

const TIMED_OUT: &str = "no answer in time";

/// The next bytes of an answer that has begun; `None` after the last.
async fn next_of(answer: &mut Option<(Response, Incoming<Series>)>) -> reqwest::Result<Option<Bytes>> {
    match answer {
        Some((answer, _)) => answer.chunk().await,
        None => pending().await,
    }
}

impl Call {
    /// Takes what came.
    fn take(&mut self, came: Option<Bytes>, limit: u64) -> Result<(), Failure> {
        let Some((answer, mut assembly)) = self.answer.take() else { return Ok(()) };
        let url = &self.owner.url;
        let series = match &came {
            Some(bytes) => {
                self.held += bytes.len() as u64;
                within(self.held, limit)?;
                assembly.take(bytes).map_err(|broken| failed(url, broken))?;
                let series = assembly.whole();
                self.answer = Some((answer, assembly));
                series
            }
            None => {
                let Streamed(series) = assembly.finish().map_err(|broken| failed(url, broken))?;
                series
            }
        };
        let missing = self.missing.checked_sub(series.len());
        self.missing = missing
            .filter(|missing| *missing == 0 || came.is_some())
            .ok_or_else(|| Failure::Final(remote(url, "more or fewer series than asked for".to_owned())))?;
        if !series.is_empty() {
            self.held = 0;
        }
        self.series = series.into_iter();
        Ok(())
    }
}

//! Reading and computing at the owners: each is asked once, however many shards it has.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Failure, RemoteStore, put_back, split};
use crate::compute::{Computation, Computed, Part, Refusal, combine, divide, evaluate_all};
use crate::contract::{Series, SeriesRequest, StoreError};
use crate::protocol::Message;
use crate::protocol::frames::{Answer, Streamed};

/// A path has the version of what it takes and answers: who speaks another one has no such path, and says so.
pub(super) const QUERY: &str = "v2/query";
const COMPUTE: &str = "v2/compute";

type Outcome = Result<Computed, Refusal>;

/// Where a computation is done.
enum Way<'c> {
    /// Here, from series.
    Here,
    /// At one owner: the shard it is asked by, and the place of the computation in that call.
    There(u32, usize),
    /// At several, each its part.
    Shared(Part<'c>, Vec<(u32, usize)>),
}

/// What owners answered, by the shard they were asked by; those that could not be reached are not there.
type Answers = BTreeMap<u32, Vec<Outcome>>;

impl RemoteStore {
    /// For each shard one that has the same owner, the same for all of them: itself where the owner is not known.
    pub(super) async fn homes(&self) -> Vec<u32> {
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        let mut homes = Vec::new();
        for shard in 0..self.options.shards {
            homes.push(match self.owner(shard).await {
                Ok(Some(owner)) => *first.entry(owner.url).or_insert(shard),
                _ => shard,
            });
        }
        homes
    }

    pub(super) fn home(&self, homes: &[u32], request: &SeriesRequest) -> u32 {
        let shard = self.shard(request.metric);
        homes.get(shard as usize).copied().unwrap_or(shard)
    }

    /// One try at the owner of a shard; `None` if there is none just now, or it has not everything that was asked for.
    async fn ask_once<Q: Message, A: Answer>(
        &self,
        shard: u32,
        path: &str,
        request: &Q,
    ) -> Result<Option<A>, StoreError> {
        let body = self.body(request)?;
        match self.attempt(shard, path, body, Instant::now() + self.options.patience).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Again(_)) => Ok(None),
            Err(Failure::Final(error)) => Err(error),
        }
    }

    pub(super) async fn query_owners(&self, requests: Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        let homes = self.homes().await;
        let mut all = vec![Series::default(); requests.len()];
        let parts = split(requests, |request| self.home(&homes, request));
        let calls = parts.iter().map(|(home, (_, requests))| self.query_owner(*home, requests));
        for (answer, (home, (places, _))) in join_all(calls).await.into_iter().zip(&parts) {
            put_back(&mut all, places, answer?, *home)?;
        }
        Ok(all)
    }

    /// Asks the owner of a shard for series of all of its shards; if it is not, or has given some of them up, each shard's
    /// own.
    async fn query_owner(&self, home: u32, requests: &Vec<SeriesRequest>) -> Result<Vec<Series>, StoreError> {
        if let Some(Streamed(series)) = self.ask_once(home, QUERY, requests).await? {
            return Ok(series);
        }
        let mut all = vec![Series::default(); requests.len()];
        let parts = self.by_shard(requests.iter().cloned(), |request| request.metric);
        let calls = parts.iter().map(|(shard, (_, requests))| self.call(*shard, QUERY, requests));
        for (answer, (shard, (places, _))) in join_all(calls).await.into_iter().zip(&parts) {
            let Streamed(series) = answer?;
            put_back(&mut all, places, series, *shard)?;
        }
        Ok(all)
    }

    pub(super) async fn compute_at_owners(
        &self,
        computations: Vec<Computation>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let homes = self.homes().await;
        let mut calls: BTreeMap<u32, Vec<Computation>> = BTreeMap::new();
        let ways: Vec<Way<'_>> =
            computations.iter().map(|computation| self.way(&homes, computation, &mut calls)).collect();
        let asked = calls.iter().map(|(home, own)| self.ask_once(*home, COMPUTE, own));
        let mut answers = Answers::new();
        for (answer, (home, own)) in join_all(asked).await.into_iter().zip(&calls) {
            let answer = answer?.map(|Streamed(outcomes)| outcomes);
            answers.extend(answer.filter(|answer| answer.len() == own.len()).map(|answer| (*home, answer)));
        }
        let mut outcomes: Vec<Option<Outcome>> =
            computations.iter().zip(&ways).map(|(computation, way)| way.end(computation, &answers)).collect();
        // What could not be computed elsewhere is computed here.
        let left = || outcomes.iter().zip(&computations).filter(|(outcome, _)| outcome.is_none());
        let left: Vec<Computation> = left().map(|(_, computation)| computation.clone()).collect();
        let mut rest = self.compute_here(left).await?.into_iter();
        outcomes.iter_mut().filter(|outcome| outcome.is_none()).for_each(|outcome| *outcome = rest.next());
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Refusal::Malformed))).collect())
    }

    async fn compute_here(&self, computations: Vec<Computation>) -> Result<Vec<Outcome>, StoreError> {
        if computations.is_empty() {
            return Ok(Vec::new());
        }
        let requests = computations.iter().flat_map(|computation| computation.requests.iter().cloned());
        let series = self.query_owners(requests.collect()).await?;
        evaluate_all(computations, series).await
    }

    /// Decides where to compute, and adds what owners are to do to their calls.
    fn way<'c>(
        &self,
        homes: &[u32],
        computation: &'c Computation,
        calls: &mut BTreeMap<u32, Vec<Computation>>,
    ) -> Way<'c> {
        let mut add = |home: u32, computation: Computation| {
            let own = calls.entry(home).or_default();
            own.push(computation);
            (home, own.len() - 1)
        };
        let parts = split(computation.requests.iter(), |request| self.home(homes, request));
        let mut names = parts.keys();
        if let (Some(home), None) = (names.next(), names.next()) {
            let (home, place) = add(*home, computation.clone());
            return Way::There(home, place);
        }
        // A share is as large as two series.
        let pays_off = computation.requests.len() > 2 * parts.len();
        let Some(part) = divide(&computation.work).filter(|_| pays_off) else { return Way::Here };
        let shares = parts.into_iter().map(|(home, (_, requests))| {
            let requests = requests.into_iter().cloned().collect();
            add(home, Computation { requests, work: part.work() })
        });
        Way::Shared(part, shares.collect())
    }
}

impl Way<'_> {
    /// What came of it, if the owners have answered.
    fn end(&self, computation: &Computation, answers: &Answers) -> Option<Outcome> {
        let of = |(home, place): (u32, usize)| answers.get(&home)?.get(place).cloned();
        match self {
            Self::Here => None,
            Self::There(home, place) => of((*home, *place)),
            Self::Shared(part, shares) => {
                let shares: Option<Result<Vec<Computed>, Refusal>> = shares.iter().copied().map(of).collect();
                Some(shares?.and_then(|shares| combine(computation, *part, &shares)))
            }
        }
    }
}

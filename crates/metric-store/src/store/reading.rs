//! Reading and computing: by which thread, and how much at a time.

use std::sync::Arc;

use super::{LocalStore, blocking, within};
use crate::bytes::shard_of;
use crate::compute::{Computation, Computed, Folding, Refusal, evaluate};
use crate::contract::{Progress, Series, SeriesRequest, StoreError};
use crate::instrument;
use crate::query::{Budget, Memory, is_for_later, query, read};
use crate::shard::Shard;
use nephos_model::MetricId;

/// What a caller reads itself, at most, if it is at hand: more takes longer than handing it to another thread.
const FEW_SERIES: usize = 64;
const FEW_POINTS: u64 = 20_000;
/// A part of an answer ends with the series that brings it to so many points: half a mebibyte.
pub(super) const PART_POINTS: usize = 32 << 10;
/// An answer takes as much room as so many points besides its own.
const ANSWER_POINTS: usize = 16;

/// What is asked of shards.
pub(super) trait Request: Send + Sync + 'static {
    type Answer: Send + 'static;
    /// Series that it needs.
    fn series(&self) -> usize;
    fn answer(&self, reader: &mut Reader) -> Result<Self::Answer, StoreError>;
    /// Points in an answer.
    fn points(answer: &Self::Answer) -> usize;
}

impl Request for SeriesRequest {
    type Answer = Series;

    fn series(&self) -> usize {
        1
    }

    fn answer(&self, reader: &mut Reader) -> Result<Series, StoreError> {
        reader.series(self)
    }

    fn points(answer: &Series) -> usize {
        answer.granularities.iter().map(|points| points.timestamps.len()).sum()
    }
}

impl Request for Computation {
    type Answer = Result<Computed, Refusal>;

    fn series(&self) -> usize {
        self.requests.len()
    }

    fn answer(&self, reader: &mut Reader) -> Result<Self::Answer, StoreError> {
        reader.computed(self)
    }

    fn points(answer: &Self::Answer) -> usize {
        let grids = answer.iter().flat_map(|computed| &computed.grids);
        grids.map(|grid| grid.width() * grid.timestamps().len()).sum()
    }
}

/// Reads series of one call after the other.
pub(super) struct Reader {
    /// Each shard, or why it can't be read.
    shards: Vec<Result<Arc<Shard>, StoreError>>,
    budget: Budget,
    memory: Memory,
}

impl Reader {
    fn series(&mut self, request: &SeriesRequest) -> Result<Series, StoreError> {
        let Self { shards, budget, memory } = self;
        query(shard_in(shards, request.metric)?, request, budget, memory)
    }

    /// Computes from series as they come, if possible.
    fn computed(&mut self, computation: &Computation) -> Result<Result<Computed, Refusal>, StoreError> {
        if let Some(mut folding) = Folding::of(computation) {
            let Self { shards, budget, memory } = self;
            let used = budget.used();
            for (place, request) in computation.requests.iter().enumerate() {
                let shard = shard_in(shards, request.metric)?;
                read(shard, request, budget, memory, &mut |granularity, timestamps, values| {
                    folding.add(place, granularity, timestamps, values);
                })?;
            }
            if let Some(outcome) = folding.finish() {
                return Ok(outcome);
            }
            budget.rewind(used);
        }
        let series: Result<_, _> = computation.requests.iter().map(|request| self.series(request)).collect();
        Ok(evaluate(computation, series?))
    }

    /// Answers to the first of these requests, until they have so many points.
    fn part<R: Request>(&mut self, requests: &[R], most: usize) -> Result<Vec<R::Answer>, StoreError> {
        let mut answers = Vec::with_capacity(requests.len().min(FEW_SERIES));
        let mut points = 0;
        for request in requests {
            let answer = request.answer(self)?;
            points += ANSWER_POINTS + R::points(&answer);
            answers.push(answer);
            if points >= most {
                break;
            }
        }
        Ok(answers)
    }
}

/// The shard of a metric, or why it can't be read.
fn shard_in(shards: &[Result<Arc<Shard>, StoreError>], metric: MetricId) -> Result<&Shard, StoreError> {
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    match shards.get(shard_of(metric, count) as usize) {
        Some(Ok(shard)) => Ok(shard),
        Some(Err(error)) => Err(error.same()),
        None => Err(StoreError::Closed),
    }
}

impl LocalStore {
    /// Answers the next of some requests, until the answers have so many points: a few series are read by the caller, if
    /// all is at hand, and others by a thread that may take its time.
    pub(super) async fn read<R: Request>(
        &self,
        requests: &Arc<Vec<R>>,
        so_far: &mut Progress,
        most: usize,
    ) -> Result<Vec<R::Answer>, StoreError> {
        let start = self.options.clock.monotonic();
        let (first, points) = (so_far.answered, so_far.points);
        match self.read_uncounted(requests, so_far, most).await {
            Ok(answers) => {
                let took = self.options.clock.monotonic().saturating_sub(start);
                let answered = requests.get(first..so_far.answered).unwrap_or_default();
                let series: usize = answered.iter().map(R::series).sum();
                instrument::queried(series as u64, so_far.points - points, took);
                Ok(answers)
            }
            Err(error) => {
                instrument::failed("query", &error);
                Err(error)
            }
        }
    }

    async fn read_uncounted<R: Request>(
        &self,
        requests: &Arc<Vec<R>>,
        so_far: &mut Progress,
        most: usize,
    ) -> Result<Vec<R::Answer>, StoreError> {
        let (first, points) = (so_far.answered, so_far.points);
        let rest = requests.get(first..).unwrap_or_default();
        let series = rest.iter().map(R::series).sum();
        within(&self.options.limits, "a query's series", series, |limits| limits.requests)?;
        let mut shards = Vec::with_capacity(self.count as usize);
        for number in 0..self.count {
            // Perhaps no series is of that shard.
            shards.push(self.shard(number));
        }
        let limit = self.options.limits.points;
        let budget = |limit| {
            let budget = Budget::new(limit);
            budget.rewind(points);
            budget
        };
        let few = budget(limit.min(points.saturating_add(FEW_POINTS)));
        let mut reader = Reader { shards, budget: few, memory: Memory::hasty() };
        let mut at_hand = None;
        if series <= FEW_SERIES {
            match reader.part(rest, most) {
                Err(StoreError::TooLarge { .. }) => {}
                Err(error) if is_for_later(&error) => {}
                done => at_hand = Some((done?, reader.budget.used())),
            }
        }
        let (answers, points) = match at_hand {
            Some(done) => done,
            None => {
                reader.budget = budget(limit);
                reader.memory = Memory::default();
                let requests = Arc::clone(requests);
                let work = move || {
                    let rest = requests.get(first..).unwrap_or_default();
                    Ok((reader.part(rest, most)?, reader.budget.used()))
                };
                blocking(work).await?
            }
        };
        (so_far.answered, so_far.points) = (first + answers.len(), points);
        Ok(answers)
    }
}

//! Reading: what segments hold before a metric's sealed edge, then aggregates of its raw measures, cut to what the
//! policy of the request still shows, regrouped if asked.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{AggregationMethod, BucketColumns, Chunk, PolicyItem, Scratch, resample, window};

use crate::contract::{Series, SeriesPoints, SeriesRequest, StoreError};
use crate::head::{Erased, Former, MetricState, aggregate_rest, begin, blind, hide};
use crate::pack::Columns;
use crate::segment::{Entry, Segment};
use crate::shard::{Segments, Shard};

mod derived;

/// Points that one call may still read.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    /// Points read so far.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, points: usize) -> Result<(), StoreError> {
        let size = self.used.fetch_add(points as u64, Ordering::Relaxed) + points as u64;
        if size > self.limit {
            return Err(StoreError::TooLarge { what: "a query's points", size, limit: self.limit });
        }
        Ok(())
    }
}

/// What of a metric one granularity of a request needs from the head.
struct Part {
    item: PolicyItem,
    /// First bucket wanted, and the end.
    from: Timestamp,
    stop: Option<Timestamp>,
    /// Where raw measures take over from segments.
    sealed: Timestamp,
    /// The raw measures needed, with the one before them if differences are wanted.
    raw: Columns,
    /// Ranges that were erased.
    erased: Vec<Erased>,
    /// Policies the metric had before, and what it let go under them.
    formers: Vec<Former>,
    low_water: Vec<(Granularity, Timestamp)>,
    /// Where raw measures take over from segments at any granularity.
    edge: Timestamp,
}

impl Part {
    /// Where segments end to answer.
    fn until(&self) -> Timestamp {
        self.stop.map_or(self.sealed, |stop| stop.min(self.sealed))
    }
}

/// Answers one request.
pub(crate) fn query(
    shard: &Shard,
    request: &SeriesRequest,
    budget: &Budget,
    scratch: &mut Scratch,
) -> Result<Series, StoreError> {
    let wanted = granularities(request);
    let empty = |granularity| SeriesPoints { granularity, timestamps: Vec::new(), values: Vec::new() };
    let (parts, born_after, segments) = {
        let head = shard.head();
        match head.metrics.get(request.metric) {
            None => return Ok(Series { granularities: wanted.into_iter().map(empty).collect() }),
            Some(state) => {
                let parts: Vec<_> =
                    wanted.into_iter().map(|wanted| (wanted, part(state, request, wanted))).collect();
                // Under the head's lock: the segments are those that this sealed edge speaks of, or newer ones.
                (parts, state.born_after, shard.segments())
            }
        }
    };
    let reading = Reading { shard, request, budget, born_after, segments, entries: OnceCell::new() };
    let mut granularities = Vec::with_capacity(parts.len());
    for (granularity, part) in parts {
        granularities.push(match part {
            None => empty(granularity),
            Some(part) => reading.points(part, scratch)?,
        });
    }
    Ok(Series { granularities })
}

/// The granularities asked for, or all of the policy: coarsest first, each once.
fn granularities(request: &SeriesRequest) -> Vec<Granularity> {
    let mut wanted = request.granularities.clone();
    if wanted.is_empty() {
        wanted = request.policy.definition.iter().map(|item| item.granularity).collect();
    }
    wanted.sort_unstable_by(|a, b| b.cmp(a));
    wanted.dedup();
    wanted
}

/// `None` if the metric does not keep this granularity or method.
fn part(state: &MetricState, request: &SeriesRequest, granularity: Granularity) -> Option<Part> {
    let kept = state.policy.item(granularity).filter(|_| state.policy.methods.contains(&request.method))?;
    let item = *request.policy.item(granularity).unwrap_or(kept);
    let (start, stop) = match request.resample {
        Some(by) => by.input_window(request.start, request.stop),
        None => (request.start, request.stop),
    };
    let start = start.map_or(Timestamp::MIN, |start| start.floor(granularity));
    // A policy that just grew shows no more than the one before it kept.
    let from = start.max(state.first_kept(&item)).max(state.first_kept(kept));
    let sealed = state.sealed.floor(granularity);
    let formers = state.formers().to_vec();
    let low_water = if formers.is_empty() { Vec::new() } else { state.low_water().to_vec() };
    let Range { start, end } = match formers.as_slice() {
        [] => raw_range(state, from.max(sealed), stop, request.method),
        // What is derived comes from other granularities.
        _ => 0..state.raw.len(),
    };
    let mut raw = Columns::default();
    raw.fill(state.raw.get(start..end).unwrap_or_default());
    let (erased, edge) = (state.erased().to_vec(), state.sealed);
    Some(Part { item, from, stop, sealed, raw, erased, formers, low_water, edge })
}

/// Raw measures of the buckets from `from` to the last that starts before `stop`.
fn raw_range(
    state: &MetricState,
    from: Timestamp,
    stop: Option<Timestamp>,
    method: AggregationMethod,
) -> Range<usize> {
    let before = |time: Timestamp| state.raw.partition_point(|measure| measure.timestamp < time);
    let start = before(from);
    let start = start.saturating_sub(usize::from(method.rate));
    let end = match (stop, state.policy.coarsest()) {
        // The last bucket may reach one coarsest granularity beyond.
        (Some(stop), Some(coarsest)) => before(stop.plus_nanos(coarsest.as_nanos())),
        _ => state.raw.len(),
    };
    start..end.max(start)
}

struct Reading<'a> {
    shard: &'a Shard,
    request: &'a SeriesRequest,
    budget: &'a Budget,
    born_after: u64,
    segments: Segments,
    /// What the segments hold of the metric, once it was looked for.
    entries: OnceCell<Vec<(Arc<Segment>, Entry)>>,
}

impl Reading<'_> {
    fn points(&self, mut part: Part, scratch: &mut Scratch) -> Result<SeriesPoints, StoreError> {
        let (method, granularity) = (self.request.method, part.item.granularity);
        let rows = self.rows_at_most(&part)?;
        let (mut timestamps, mut values) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        if !part.formers.is_empty() {
            self.derive(&part, scratch, &mut timestamps, &mut values)?;
            part.from = part.from.max(begin(&part.formers, granularity));
        }
        let stored = part.from..part.until();
        self.read_segments(granularity, method, stored, scratch, &mut timestamps, &mut values)?;

        self.budget.take(part.raw.timestamps.len())?;
        let mut buckets = BucketColumns::new(&[method]);
        let from = part.from.max(part.sealed);
        aggregate_rest(
            &part.erased,
            &blind(&part.formers, granularity),
            &part.raw,
            granularity,
            from,
            &mut buckets,
        );
        for (start, value) in buckets.points(method) {
            if start >= from && part.stop.is_none_or(|stop| start < stop) {
                timestamps.push(start);
                values.push(value);
            }
        }
        hide(&part.erased, granularity, &mut timestamps, &mut values);
        if let Some(by) = self.request.resample {
            (timestamps, values) = resample(&timestamps, &values, method, by);
            let shown = window(&timestamps, self.request.start, self.request.stop, by);
            timestamps = timestamps.get(shown.clone()).unwrap_or_default().to_vec();
            values = values.get(shown).unwrap_or_default().to_vec();
        }
        Ok(SeriesPoints { granularity, timestamps, values })
    }

    fn entries(&self) -> Result<&[(Arc<Segment>, Entry)], StoreError> {
        if let Some(known) = self.entries.get() {
            return Ok(known);
        }
        let mut entries = Vec::with_capacity(self.segments.len());
        for segment in self.segments.iter() {
            let found = segment.find(self.request.metric).map_err(|error| match error {
                StoreError::Damaged { reason, .. } => self.shard.damage.report(&segment.path(), reason),
                other => other,
            });
            let found = found?.filter(|entry| entry.commit > self.born_after);
            entries.extend(found.map(|entry| (Arc::clone(segment), entry)));
        }
        Ok(self.entries.get_or_init(|| entries))
    }

    /// About as many points as the answer has, never more than the call may read.
    fn rows_at_most(&self, part: &Part) -> Result<usize, StoreError> {
        let until = part.until();
        let mut rows = part.raw.timestamps.len() as u64;
        if part.from < until {
            for (_, entry) in self.entries()? {
                let chunks = entry.data.iter().flat_map(|block| block.chunks(part.item.granularity));
                let touched = chunks.filter(|chunk| chunk.last >= part.from && chunk.first < until);
                rows += touched.map(|chunk| u64::from(chunk.rows)).sum::<u64>();
            }
        }
        let slots = until.as_nanos().saturating_sub(part.from.as_nanos()) / part.item.granularity.as_nanos();
        let slots = u64::try_from(slots).unwrap_or(0).saturating_add(1 + part.raw.timestamps.len() as u64);
        Ok(usize::try_from(rows.min(slots).min(self.budget.limit)).unwrap_or(0))
    }

    /// Points that segments have, of buckets that start in a range.
    fn read_segments(
        &self,
        granularity: Granularity,
        method: AggregationMethod,
        range: Range<Timestamp>,
        scratch: &mut Scratch,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        for (segment, entry) in self.entries()? {
            let Some(block) = &entry.data else { continue };
            let chunks = block.chunks(granularity).iter();
            for chunk in chunks.filter(|chunk| chunk.last >= range.start && chunk.first < range.end) {
                self.budget.take(chunk.rows as usize)?;
                let bytes = segment.chunk(block, *chunk)?;
                let unpacked = Chunk::parse(&bytes)
                    .and_then(|chunk| chunk.read(method, range.clone(), scratch, timestamps, values));
                unpacked.map_err(|error| {
                    let reason =
                        format!("metric {}, block at byte {}: {error}", self.request.metric, block.offset);
                    self.shard.damage.report(&segment.path(), reason)
                })?;
            }
        }
        Ok(())
    }
}

//! Reading: what segments hold before a metric's sealed edge, then aggregates of its raw measures, cut to what the
//! policy of the request still shows, regrouped if asked.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::ops::Range;

use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{AggregationMethod, BucketColumns, Chunk, PolicyItem, Scratch, resample, window};

use crate::contract::{Series, SeriesPoints, SeriesRequest, StoreError};
use crate::head::{Erased, Former, MetricState, aggregate_rest, begin, blind, hide};
use crate::pack::Columns;
use crate::segment::{Block, Entry};
use crate::shard::{Segments, Shard};

mod derived;

/// Points that one call may still read.
#[derive(Debug)]
pub(crate) struct Budget {
    used: Cell<u64>,
    limit: u64,
}

impl Budget {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { used: Cell::new(0), limit }
    }

    /// Points read so far.
    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }

    /// Only so many were read: what was read since is read again.
    pub(crate) fn rewind(&self, used: u64) {
        self.used.set(used);
    }

    fn take(&self, points: usize) -> Result<(), StoreError> {
        let size = self.used.get() + points as u64;
        self.used.set(size);
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

/// Memory that reading uses again from series to series.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    scratch: Scratch,
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
    /// Aggregates of raw measures.
    buckets: BucketColumns,
    /// To be filled with raw measures, and with blocks of segments.
    spare_columns: Vec<Columns>,
    spare_blocks: Vec<Vec<u8>>,
    /// Whether what would have to wait, for the disk or for a lock, is given up: [`is_for_later`] tells.
    hasty: bool,
}

fn later() -> StoreError {
    let source = std::io::ErrorKind::WouldBlock.into();
    StoreError::Io { action: "read at once from", path: "the metric store".to_owned(), source }
}

/// Whether something was given up for being in haste.
pub(crate) fn is_for_later(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::WouldBlock)
}

/// Answers one request.
pub(crate) fn query(
    shard: &Shard,
    request: &SeriesRequest,
    budget: &Budget,
    memory: &mut Memory,
) -> Result<Series, StoreError> {
    let mut granularities = Vec::with_capacity(request.granularities.len().max(1));
    read(shard, request, budget, memory, &mut |granularity, timestamps, values| {
        let (timestamps, values) = (std::mem::take(timestamps), std::mem::take(values));
        granularities.push(SeriesPoints { granularity, timestamps, values });
    })?;
    Ok(Series { granularities })
}

/// Gets the points of a granularity, and may keep them.
pub(crate) type Take<'t> = dyn FnMut(Granularity, &mut Vec<Timestamp>, &mut Vec<f64>) + 't;

/// Hands the points of each granularity that is asked for to `take`, coarsest first.
pub(crate) fn read(
    shard: &Shard,
    request: &SeriesRequest,
    budget: &Budget,
    memory: &mut Memory,
    take: &mut Take<'_>,
) -> Result<(), StoreError> {
    let wanted = granularities(request);
    let (parts, born_after, segments) = {
        let head = if memory.hasty { shard.try_head().ok_or_else(later)? } else { shard.head() };
        let Some(state) = head.metrics.get(request.metric) else {
            wanted.iter().for_each(|granularity| take(*granularity, &mut Vec::new(), &mut Vec::new()));
            return Ok(());
        };
        let mut part = |granularity: &Granularity| part(state, request, *granularity, memory);
        let parts: Vec<_> = wanted.iter().map(&mut part).collect();
        // Under the head's lock: the segments are those that this sealed edge speaks of, or newer ones.
        (parts, state.aside.born_after, shard.segments())
    };
    let reading = Reading { shard, request, budget, born_after, segments, entries: OnceCell::new() };
    for (granularity, part) in wanted.iter().zip(parts) {
        let (mut timestamps, mut values) =
            (std::mem::take(&mut memory.timestamps), std::mem::take(&mut memory.values));
        timestamps.clear();
        values.clear();
        if let Some(part) = part {
            reading.points(part, memory, &mut timestamps, &mut values)?;
        }
        take(*granularity, &mut timestamps, &mut values);
        (memory.timestamps, memory.values) = (timestamps, values);
    }
    let entries = reading.entries.into_inner().unwrap_or_default();
    memory
        .spare_blocks
        .extend(entries.into_iter().filter_map(|(_, entry)| entry.data).map(Block::into_bytes));
    Ok(())
}

/// The granularities asked for, or all of the policy: coarsest first, each once.
fn granularities(request: &SeriesRequest) -> Cow<'_, [Granularity]> {
    if let [one] = request.granularities.as_slice() {
        return Cow::Borrowed(std::slice::from_ref(one));
    }
    let mut wanted = request.granularities.clone();
    if wanted.is_empty() {
        wanted = request.policy.definition.iter().map(|item| item.granularity).collect();
    }
    wanted.sort_unstable_by(|a, b| b.cmp(a));
    wanted.dedup();
    Cow::Owned(wanted)
}

/// `None` if the metric does not keep this granularity or method.
fn part(
    state: &MetricState,
    request: &SeriesRequest,
    granularity: Granularity,
    memory: &mut Memory,
) -> Option<Part> {
    let kept = state.policy.item(granularity).filter(|_| state.policy.methods.contains(&request.method))?;
    let item = *request.policy.item(granularity).unwrap_or(kept);
    let (start, stop) = match request.resample {
        Some(by) => by.input_window(request.start, request.stop),
        None => (request.start, request.stop),
    };
    let start = start.map_or(Timestamp::MIN, |start| start.floor(granularity));
    // A policy that just grew shows no more than the one before it kept.
    let from = start.max(state.first_kept(&item)).max(state.first_kept(kept));
    let sealed = state.aside.sealed.floor(granularity);
    let formers = state.formers().to_vec();
    let low_water = if formers.is_empty() { Vec::new() } else { state.low_water().to_vec() };
    let mut raw = memory.spare_columns.pop().unwrap_or_default();
    let wanted = formers.is_empty().then(|| (from.max(sealed), stop, request.method));
    let is_packed = match wanted {
        Some((from, _, method)) => state.is_packed_from(if method.rate { Timestamp::MIN } else { from }),
        // What is derived comes from other granularities: it needs all measures.
        None => true,
    };
    if is_packed {
        state.fill(&mut raw, &mut memory.scratch);
        let rows = wanted.map(|wanted| raw_range(state, &raw.timestamps, |at| *at, wanted));
        raw.cut(rows.unwrap_or(0..raw.timestamps.len()));
    } else {
        raw.clear();
        let rows = wanted.map(|wanted| raw_range(state, &state.raw, |measure| measure.timestamp, wanted));
        raw.add(rows.and_then(|rows| state.raw.get(rows)).unwrap_or_default());
    }
    let (erased, edge) = (state.erased().to_vec(), state.aside.sealed);
    Some(Part { item, from, stop, sealed, raw, erased, formers, low_water, edge })
}

/// Which measures belong to the buckets from a time on to the last that starts before another, with what differences
/// need.
fn raw_range<T>(
    state: &MetricState,
    raw: &[T],
    time: impl Fn(&T) -> Timestamp,
    (from, stop, method): (Timestamp, Option<Timestamp>, AggregationMethod),
) -> Range<usize> {
    let before = |end: Timestamp| raw.partition_point(|measure| time(measure) < end);
    let start = before(from).saturating_sub(usize::from(method.rate));
    let end = match (stop, state.policy.coarsest()) {
        // The last bucket may reach one coarsest granularity beyond.
        (Some(stop), Some(coarsest)) => before(stop.plus_nanos(coarsest.as_nanos())),
        _ => raw.len(),
    };
    start..end.max(start)
}

impl Memory {
    /// For reading what is at hand.
    pub(crate) fn hasty() -> Self {
        Self { hasty: true, ..Self::default() }
    }

    /// Buckets of one method, none yet.
    fn buckets_of(&mut self, method: AggregationMethod) -> &mut BucketColumns {
        let buckets = &mut self.buckets;
        match buckets.columns() {
            [column] if column.method() == method => buckets.clear(),
            _ => *buckets = BucketColumns::new(&[method]),
        }
        buckets
    }
}

struct Reading<'a> {
    shard: &'a Shard,
    request: &'a SeriesRequest,
    budget: &'a Budget,
    born_after: u64,
    segments: Segments,
    /// What the segments hold of the metric, once it was looked for, with the segment's place.
    entries: OnceCell<Vec<(usize, Entry)>>,
}

impl Reading<'_> {
    fn points(
        &self,
        mut part: Part,
        memory: &mut Memory,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<(), StoreError> {
        let (method, granularity) = (self.request.method, part.item.granularity);
        let rows = self.rows_at_most(&part, memory)?;
        timestamps.reserve(rows);
        values.reserve(rows);
        if !part.formers.is_empty() {
            self.derive(&part, memory, timestamps, values)?;
            part.from = part.from.max(begin(&part.formers, granularity));
        }
        let stored = part.from..part.until();
        self.read_segments(granularity, method, stored, memory, timestamps, values)?;
        if !part.raw.timestamps.is_empty() {
            self.aggregate_raw(&part, memory, timestamps, values)?;
        }
        hide(&part.erased, granularity, timestamps, values);
        if let Some(by) = self.request.resample {
            (*timestamps, *values) = resample(timestamps, values, method, by);
            let shown = window(timestamps, self.request.start, self.request.stop, by);
            *timestamps = timestamps.get(shown.clone()).unwrap_or_default().to_vec();
            *values = values.get(shown).unwrap_or_default().to_vec();
        }
        memory.spare_columns.push(part.raw);
        Ok(())
    }

    /// Points of buckets that no segment has yet.
    fn aggregate_raw(
        &self,
        part: &Part,
        memory: &mut Memory,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<(), StoreError> {
        let (method, granularity) = (self.request.method, part.item.granularity);
        self.budget.take(part.raw.timestamps.len())?;
        let buckets = memory.buckets_of(method);
        let from = part.from.max(part.sealed);
        let blind = blind(&part.formers, granularity);
        aggregate_rest(&part.erased, &blind, &part.raw, granularity, from, buckets);
        for (start, value) in buckets.points(method) {
            if start >= from && part.stop.is_none_or(|stop| start < stop) {
                timestamps.push(start);
                values.push(value);
            }
        }
        Ok(())
    }

    fn entries(&self, memory: &mut Memory) -> Result<&[(usize, Entry)], StoreError> {
        if let Some(known) = self.entries.get() {
            return Ok(known);
        }
        let mut entries = Vec::with_capacity(self.segments.len());
        for (at, segment) in self.segments.iter().enumerate() {
            if memory.hasty && segment.knows(self.request.metric) {
                return Err(later());
            }
            let found = segment.find_in(self.request.metric, &mut memory.spare_blocks);
            let found = found.map_err(|error| match error {
                StoreError::Damaged { reason, .. } => self.shard.damage.report(&segment.path(), reason),
                other => other,
            });
            let found = found?.filter(|entry| entry.commit > self.born_after);
            entries.extend(found.map(|entry| (at, entry)));
        }
        Ok(self.entries.get_or_init(|| entries))
    }

    /// About as many points as the answer has, never more than the call may read.
    fn rows_at_most(&self, part: &Part, memory: &mut Memory) -> Result<usize, StoreError> {
        let until = part.until();
        let mut rows = part.raw.timestamps.len() as u64;
        if part.from < until {
            for (_, entry) in self.entries(memory)? {
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
        memory: &mut Memory,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        for (at, entry) in self.entries(memory)? {
            let (Some(segment), Some(block)) = (self.segments.get(*at), &entry.data) else { continue };
            let chunks = block.chunks(granularity).iter();
            for chunk in chunks.filter(|chunk| chunk.last >= range.start && chunk.first < range.end) {
                self.budget.take(chunk.rows as usize)?;
                let bytes = segment.chunk(block, *chunk)?;
                let unpacked = Chunk::parse(&bytes).and_then(|chunk| {
                    chunk.read(method, range.clone(), &mut memory.scratch, timestamps, values)
                });
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

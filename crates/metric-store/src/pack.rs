//! From a metric in memory to what a segment holds of it, and back.

use std::ops::Range;
use std::sync::Arc;

use nephos_model::{Granularity, Measure, Timestamp};
use nephos_timeseries::{
    ArchivePolicy, BucketColumns, Chunk, CodecError, Effort, PolicyItem, Scratch, aggregate, decode_raw,
    encode_columns_into, encode_raw_into,
};

use crate::bytes::{Malformed, Reader, SECOND, put_bytes, put_multiple, put_signed, put_unsigned};
use crate::contract::StoreError;
use crate::files::io_error;
use crate::head::{Erased, Former, MetricState, Packed, Past, Sealing, aggregate_rest, blind, hidden};
use crate::runs::{
    put_policy, put_policy_with, put_seconds, read_granularity, read_policy, read_policy_with, read_seconds,
};
use crate::segment::{Block, Content, PackedChunk, Segment};

/// The version of a state that is written.
const STATE: Version = Version { in_nanos: false, has_past: false };

/// How a state is written, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    /// Whether times and widths are nanoseconds. Otherwise they are seconds where they are whole ones, and times are told
    /// by how long before the window they are.
    in_nanos: bool,
    /// Whether the metric has a past, which stands behind the marks.
    has_past: bool,
}

impl Version {
    const ALL: [(u8, Self); 4] = [
        (1, Self { in_nanos: true, has_past: false }),
        (2, Self { in_nanos: true, has_past: true }),
        (3, STATE),
        (4, Self { has_past: true, ..STATE }),
    ];

    fn code(self) -> u8 {
        Self::ALL.into_iter().find(|(_, version)| *version == self).map_or(0, |(code, _)| code)
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|(its, _)| *its == code).map(|(_, version)| version)
    }
}
/// Rows of a full chunk: small enough that a short read unpacks little, large enough to pack well.
pub(crate) const CHUNK_ROWS: usize = 4_096;
const RAW_ROWS: usize = 1 << 16;

/// Chunks of fewer rows are soon joined with others: the effort to make them small would be lost.
const WORTH_EFFORT: usize = 1_024;

/// More bytes than a state mostly has besides its raw measures.
const SMALL_STATE: usize = 192;

/// Raw measures as columns: what aggregation and packing read.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) timestamps: Vec<Timestamp>,
    pub(crate) values: Vec<f64>,
}

impl Columns {
    /// Forgets all measures, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
    }

    /// Leaves these rows alone.
    pub(crate) fn cut(&mut self, rows: Range<usize>) {
        self.timestamps.truncate(rows.end);
        self.values.truncate(rows.end);
        self.timestamps.drain(..rows.start);
        self.values.drain(..rows.start);
    }

    /// Adds measures.
    pub(crate) fn add(&mut self, measures: &[Measure]) {
        self.timestamps.extend(measures.iter().map(|measure| measure.timestamp));
        self.values.extend(measures.iter().map(|measure| measure.value));
    }
}

/// An error of packing: chunks are kept far below the codec's limits, so this is a bug rather than bad input.
pub(crate) fn unpackable(path: &str, error: CodecError) -> StoreError {
    io_error("pack aggregates for", std::path::Path::new(path))(std::io::Error::other(error))
}

/// As many buckets as ascending timestamps can lie in.
fn rows_at_most(timestamps: &[Timestamp], granularity: Granularity) -> usize {
    let (Some(first), Some(last)) = (timestamps.first(), timestamps.last()) else { return 0 };
    let span = last.nanos_since(*first) / granularity.as_nanos();
    timestamps.len().min(usize::try_from(span).unwrap_or(usize::MAX).saturating_add(2))
}

/// Packs metric after metric, in memory that it keeps.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    columns: Columns,
    scratch: Scratch,
    /// The raw measures of the last state.
    raw: Vec<u8>,
}

impl Packer {
    /// Aggregates what can't change any more, and packs it and the rest of the metric. Afterwards `state` is what the
    /// head will hold when the segment counts.
    pub(crate) fn seal(&mut self, state: &mut MetricState) -> Result<Content, CodecError> {
        let mut granularities = Vec::new();
        state.unpack(&mut self.scratch);
        if state.window > state.aside.sealed {
            self.columns.clear();
            self.columns.add(&state.raw);
            for Sealing { granularity, methods, from, until } in state.sealing() {
                let Columns { timestamps, values } = &self.columns;
                let end = timestamps.partition_point(|timestamp| *timestamp < until);
                let rows = rows_at_most(timestamps.split_at(end).0, granularity);
                let mut buckets = BucketColumns::with_capacity(&methods, rows);
                let blind = blind(state.formers(), granularity);
                if state.erased().is_empty() && blind.is_empty() {
                    let (timestamps, values) = (&timestamps[..end], &values[..end]);
                    aggregate(timestamps, values, None, granularity, from, &mut buckets);
                } else {
                    aggregate_rest(state.erased(), &blind, &self.columns, granularity, from, &mut buckets);
                    buckets.truncate_from(until);
                }
                for hidden in hidden(state.erased(), granularity) {
                    buckets.remove(hidden);
                }
                let chunks = self.chunks(buckets, false)?;
                if !chunks.is_empty() {
                    granularities.push((granularity, chunks));
                }
            }
            state.seal(state.window);
        }
        Ok(Content { born_after: state.aside.born_after, granularities, state: self.state(state)? })
    }

    /// The raw measures of a state that was [sealed](Self::seal) just now, packed, if that pays.
    pub(crate) fn rest(&self, state: &MetricState) -> Option<Box<Packed>> {
        if state.raw.len() > RAW_ROWS { None } else { Packed::of(state, &self.raw) }
    }

    /// Splits buckets into chunks and packs them; with `small`, short ones as well as can be.
    pub(crate) fn chunks(
        &mut self,
        mut buckets: BucketColumns,
        small: bool,
    ) -> Result<Vec<PackedChunk>, CodecError> {
        let mut chunks = Vec::with_capacity(buckets.len().div_ceil(CHUNK_ROWS));
        while !buckets.is_empty() {
            let part = match buckets.starts().get(CHUNK_ROWS).copied() {
                Some(next) => buckets.split_before(next),
                None => std::mem::take(&mut buckets),
            };
            let (Some(first), Some(last)) = (part.starts().first(), part.starts().last()) else { break };
            let effort = if small || part.len() >= WORTH_EFFORT { Effort::Small } else { Effort::Quick };
            let mut bytes = Vec::new();
            encode_columns_into(&part, effort, &mut self.scratch, &mut bytes)?;
            let rows = u32::try_from(part.len()).unwrap_or(u32::MAX);
            chunks.push(PackedChunk { first: *first, last: *last, rows, bytes });
        }
        Ok(chunks)
    }

    /// A metric's state as a segment holds it.
    pub(crate) fn state(&mut self, state: &MetricState) -> Result<Vec<u8>, CodecError> {
        // Most are about as long as the one before.
        let mut buf = Vec::with_capacity(self.raw.len() + SMALL_STATE);
        buf.push(Version { has_past: state.aside.past.is_some(), ..STATE }.code());
        put_policy_with(&mut buf, &state.policy, put_seconds);
        let window = state.window.as_nanos();
        let before = |buf: &mut Vec<u8>, at: Timestamp| {
            put_multiple(buf, window.wrapping_sub(at.as_nanos()), SECOND);
        };
        put_multiple(&mut buf, window, SECOND);
        before(&mut buf, state.aside.sealed);
        put_unsigned(&mut buf, state.low_water().len() as u64);
        for (granularity, mark) in state.low_water() {
            put_seconds(&mut buf, *granularity);
            before(&mut buf, *mark);
        }
        if let Some(past) = &state.aside.past {
            put_past(&mut buf, past);
        }
        state.fill(&mut self.columns, &mut self.scratch);
        let Columns { timestamps, values } = &self.columns;
        put_unsigned(&mut buf, timestamps.len().div_ceil(RAW_ROWS) as u64);
        for (timestamps, values) in timestamps.chunks(RAW_ROWS).zip(values.chunks(RAW_ROWS)) {
            self.raw.clear();
            encode_raw_into(timestamps, values, Effort::Quick, &mut self.scratch, &mut self.raw)?;
            put_bytes(&mut buf, &self.raw);
        }
        let crc = crc32fast::hash(&buf);
        buf.extend_from_slice(&crc.to_le_bytes());
        Ok(buf)
    }
}

fn put_past(buf: &mut Vec<u8>, past: &Past) {
    put_signed(buf, past.newest.as_nanos());
    put_unsigned(buf, past.erased.len() as u64);
    for Erased { start, stop, window } in &past.erased {
        [start, stop, window].into_iter().for_each(|time| put_signed(buf, time.as_nanos()));
    }
    put_unsigned(buf, past.former.len() as u64);
    for Former { policy, until, lasting } in &past.former {
        put_policy(buf, policy);
        [until, lasting].into_iter().for_each(|time| put_signed(buf, time.as_nanos()));
    }
}

fn read_past(reader: &mut Reader<'_>) -> Result<Past, Malformed> {
    let time = |reader: &mut Reader<'_>| reader.signed().map(Timestamp::from_nanos);
    let newest = time(reader)?;
    let count = reader.count(3)?;
    let mut erased = Vec::with_capacity(count);
    for _ in 0..count {
        erased.push(Erased { start: time(reader)?, stop: time(reader)?, window: time(reader)? });
    }
    let count = reader.count(6)?;
    let mut former = Vec::with_capacity(count);
    for _ in 0..count {
        let policy = Arc::new(read_policy(reader)?);
        former.push(Former { policy, until: time(reader)?, lasting: time(reader)? });
    }
    Ok(Past { newest, erased, former })
}

/// Reads a metric's state as a segment holds it.
pub(crate) fn read_state(bytes: &[u8], commit: u64, born_after: u64) -> Result<MetricState, Malformed> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Malformed("state is cut short"))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(Malformed("checksum of a metric's state"));
    }
    let mut reader = Reader::new(body);
    let version = Version::of(reader.u8()?).ok_or(Malformed("unknown version of a metric's state"))?;
    let width = if version.in_nanos { read_granularity } else { read_seconds };
    let policy = Arc::new(read_policy_with(&mut reader, width)?);
    let window = if version.in_nanos { reader.signed()? } else { reader.multiple(SECOND)? };
    let time = |reader: &mut Reader<'_>| {
        let nanos =
            if version.in_nanos { reader.signed()? } else { window.wrapping_sub(reader.multiple(SECOND)?) };
        Ok::<_, Malformed>(Timestamp::from_nanos(nanos))
    };
    let (window, sealed) = (Timestamp::from_nanos(window), time(&mut reader)?);
    let count = reader.count(2)?;
    let mut low_water = Vec::with_capacity(count);
    for _ in 0..count {
        low_water.push((width(&mut reader)?, time(&mut reader)?));
    }
    let past = if version.has_past { Some(Box::new(read_past(&mut reader)?)) } else { None };
    let mut raw = Vec::new();
    for _ in 0..reader.count(1)? {
        let part = decode_raw(reader.bytes()?).map_err(|_| Malformed("raw measures of a metric"))?;
        raw.reserve_exact(part.timestamps.len());
        let measures = part.timestamps.iter().zip(&part.values);
        raw.extend(measures.map(|(timestamp, value)| Measure::new(*timestamp, *value)));
    }
    reader.finish()?;
    if !raw.is_sorted_by(|earlier, later| earlier.timestamp < later.timestamp) {
        return Err(Malformed("raw measures of a metric are out of order"));
    }
    let mut state = MetricState::stored(policy, raw, window, sealed, low_water, (commit, born_after));
    state.aside.past = past;
    Ok(state)
}

/// What can still be known of a metric whose state is damaged: chunks say which granularities and methods it has, and
/// until when. Raw measures that no chunk holds are lost; the next append brings the policy.
pub(crate) fn salvage(segment: &Segment, commit: u64, block: &Block) -> MetricState {
    let chunks = || {
        block
            .granularities
            .iter()
            .flat_map(|(granularity, chunks)| chunks.iter().map(move |chunk| (granularity, *chunk)))
    };
    let ends = chunks().map(|(granularity, chunk)| chunk.last.plus_nanos(granularity.as_nanos()));
    let sealed = ends.max().unwrap_or(Timestamp::MIN);
    let methods = chunks().find_map(|(_, chunk)| {
        let bytes = segment.chunk(block, chunk).ok()?;
        Some(Chunk::parse(&bytes).ok()?.methods().collect())
    });
    let items = block
        .granularities
        .iter()
        .map(|(granularity, _)| PolicyItem { granularity: *granularity, points: None });
    let policy = ArchivePolicy {
        name: String::new(),
        back_window: 0,
        definition: items.collect(),
        methods: methods.unwrap_or_default(),
    };
    let (policy, lives) = (Arc::new(policy), (commit, block.born_after));
    MetricState::stored(policy, Vec::new(), sealed, sealed, Vec::new(), lives)
}

#[cfg(test)]
mod tests {
    use nephos_timeseries::{AggregationMethod, PolicyItem, Stat};
    use proptest::prelude::*;

    use super::*;
    use crate::contract::Run;
    use crate::head::Head;

    fn state() -> MetricState {
        let mut head = Head::default();
        let metric = nephos_model::MetricId::random();
        let minute = Granularity::from_secs(60).unwrap();
        let policy = |points| {
            Arc::new(ArchivePolicy {
                name: "p".to_owned(),
                back_window: 1,
                definition: vec![PolicyItem { granularity: minute, points }],
                methods: vec![AggregationMethod::plain(Stat::Mean), AggregationMethod::rate(Stat::Mean)],
            })
        };
        for (commit, points) in [(1, Some(5)), (2, None)] {
            let measures = (0..200u32)
                .map(|at| Measure::new(Timestamp::from_secs(i64::from(at) * 7), f64::from(at) * 0.1))
                .collect();
            head.append(commit, &vec![Run { metric, policy: policy(points), measures }].into());
        }
        head.metrics.remove(metric).unwrap()
    }

    #[test]
    fn a_state_comes_back_as_it_was_packed() {
        let mut state = state();
        assert_eq!(state.low_water().len(), 1);
        let content = Packer::default().seal(&mut state).unwrap();
        assert_eq!(state.aside.sealed, state.window);
        let read = read_state(&content.state, state.commit, state.aside.born_after).unwrap();
        assert_eq!(read.raw, state.raw);
        assert_eq!(read.policy, state.policy);
        assert_eq!((read.window, read.aside.sealed), (state.window, state.aside.sealed));
        assert_eq!(read.low_water(), state.low_water());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            noise in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
        ) {
            prop_assert!(read_state(&noise, 1, 0).is_err());
            let mut bytes = Packer::default().seal(&mut state()).unwrap().state;
            // Behind the checksum's back, to reach the parser itself.
            let body = bytes.len() - 4;
            bytes[at.index(body)] ^= flip;
            let crc = crc32fast::hash(&bytes[..body]);
            bytes[body..].copy_from_slice(&crc.to_le_bytes());
            let _outcome = read_state(&bytes, 1, 0).is_ok();
        }
    }
}

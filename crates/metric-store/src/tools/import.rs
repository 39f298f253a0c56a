//! Putting an export into a store: all of it, or nothing.
//!
//! Metrics come in the order of their ids, so each is packed while its lines are read and written to one new segment
//! of its shard. The segments count when the last line was found good. Each shard's begins to count by itself: an import
//! that is killed between two of them goes on where it was when the same file is imported again.

mod marks;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{BufRead, Read};
use std::sync::Arc;

use nephos_model::{Granularity, Measure, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, BucketColumns, Column};

use marks::Marks;
use xxhash_rust::xxh3::Xxh3;

use super::rows::{Fault, HEADER, Row, State, fault, read};
use crate::bytes::shard_of;
use crate::contract::StoreError;
use crate::disk::{Disk, Place};
use crate::format;
use crate::head::MetricState;
use crate::manifest::Live;
use crate::pack::{CHUNK_ROWS, Packer, unpackable};
use crate::segment::{Content, PackedChunk, SegmentWriter};
use crate::shard::Taken;

/// The longest line: a policy with all methods takes a few thousand bytes.
const LONGEST: u64 = 1 << 20;

/// What was put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Metrics.
    pub metrics: u64,
    /// Values of buckets.
    pub values: u64,
    /// Raw measures.
    pub raw: u64,
}

/// Why nothing was put in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line can't be taken.
    #[error("line {line}, {field}: {reason}")]
    Line {
        /// Its number, from one.
        line: u64,
        /// Which field of it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The lines can't be read.
    #[error("read line {line}")]
    Read {
        /// The number of the line, from one.
        line: u64,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts the rows of an export into a store that no other process serves; creates the store with `shards` if there is
/// none. Metrics that hold data already are refused unless `replace`, or they hold it from an import of this very file
/// that was killed. `progress` hears how many metrics were read.
///
/// # Errors
/// [`ImportError`]: the store holds what it held before then; if it was the store that failed while segments of several
/// shards began to count, some may, and importing the file again ends it.
pub fn import(
    place: &Place,
    shards: u32,
    replace: bool,
    rows: &mut dyn BufRead,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, ImportError> {
    let root = place.root()?;
    let count = format::open(root.as_ref(), shards)?;
    let marks = Marks::read(root)?;
    let targets = (0..count).map(|number| Target::take(place.shard(number)?, number, &marks));
    let targets = targets.collect::<Result<_, StoreError>>()?;
    let mut importer = Importer {
        targets,
        marks,
        replace,
        begun: None,
        policies: HashMap::new(),
        open: None,
        last: None,
        packer: Packer::default(),
        done: Imported::default(),
    };
    let mut lines = Lines { rows, number: 0, bytes: Vec::new(), hash: Xxh3::new() };
    if lines.next()? != Some(HEADER) {
        return Err(lines.bad(fault("kind", format!("the first line is not {HEADER}"))));
    }
    loop {
        let row = match lines.next()? {
            Some(line) => read(line),
            None => Err(fault("kind", "the file ends without a row of kind end: it was cut")),
        };
        let row = row.map_err(|fault| lines.bad(fault))?;
        if let Row::End(metrics) = row {
            importer.end(metrics).map_err(|wrong| lines.wrong(wrong))?;
            break;
        }
        importer.row(row).map_err(|wrong| lines.wrong(wrong))?;
        progress(importer.done.metrics);
    }
    if lines.next()?.is_some() {
        return Err(lines.bad(fault("kind", "there are lines behind the row of kind end")));
    }
    let file = lines.hash.digest();
    importer.publish(file).map_err(|wrong| lines.wrong(wrong))
}

/// Lines with their numbers.
struct Lines<'a> {
    rows: &'a mut dyn BufRead,
    number: u64,
    bytes: Vec<u8>,
    /// Of all lines so far.
    hash: Xxh3,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<&str>, ImportError> {
        self.number += 1;
        self.bytes.clear();
        let line = self.number;
        let mut limited = Read::take(&mut *self.rows, LONGEST);
        let len = limited.read_until(b'\n', &mut self.bytes);
        let len = len.map_err(|source| ImportError::Read { line, source })?;
        if len as u64 == LONGEST {
            return Err(self.bad(fault("kind", format!("the line is longer than {LONGEST} bytes"))));
        }
        if len == 0 {
            return Ok(None);
        }
        self.hash.update(&self.bytes);
        let text = std::str::from_utf8(&self.bytes);
        let text =
            text.map_err(|_| ImportError::Line { line, field: "kind", reason: "no UTF-8".to_owned() })?;
        Ok(Some(text.trim_end_matches(['\n', '\r'])))
    }

    fn bad(&self, fault: Fault) -> ImportError {
        ImportError::Line { line: self.number, field: fault.field, reason: fault.reason }
    }

    fn wrong(&self, wrong: Wrong) -> ImportError {
        match wrong {
            Wrong::Fault(fault) => self.bad(fault),
            Wrong::Store(error) => ImportError::Store(error),
        }
    }
}

/// A row that can't be taken, or a store that takes none.
enum Wrong {
    Fault(Fault),
    Store(StoreError),
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A shard that gets a segment.
struct Target {
    disk: Arc<dyn Disk>,
    number: u32,
    live: Live,
    known: HashSet<MetricId>,
    /// Files whose part it has from imports that were killed, by their hashes.
    files: BTreeSet<u64>,
    /// The last commit before.
    commit: u64,
    segment: Option<(String, SegmentWriter)>,
}

impl Target {
    fn take(disk: Arc<dyn Disk>, number: u32, marks: &Marks) -> Result<Self, StoreError> {
        let Taken { live, loaded, .. } = Taken::over(Arc::clone(&disk), number)?;
        let known = loaded.head.metrics.iter().map(|(metric, _)| metric).collect();
        let files = marks.files_in(number, &live.now().segments);
        Ok(Self { disk, number, live, known, files, commit: loaded.head.commit, segment: None })
    }

    fn push(&mut self, metric: MetricId, content: &Content) -> Result<(), StoreError> {
        if self.segment.is_none() {
            let name = self.live.next_segment();
            let writer = SegmentWriter::create(&self.disk, self.number, &name)?;
            self.segment = Some((name, writer));
        }
        match &mut self.segment {
            Some((_, writer)) => writer.push(metric, self.commit + 1, Some(content)),
            None => Ok(()),
        }
    }
}

/// The metric whose lines are being read.
struct Open {
    metric: MetricId,
    policy: Arc<ArchivePolicy>,
    state: State,
    raw: Vec<Measure>,
    packed: Vec<(Granularity, Vec<PackedChunk>)>,
    buckets: Option<Buckets>,
    /// Whether its shard has it from this file.
    is_there: bool,
}

impl Open {
    /// The policies whose buckets it may have.
    fn policies(&self) -> impl Iterator<Item = &Arc<ArchivePolicy>> {
        let formers = self.state.past.as_ref().map(|past| past.former.as_slice()).unwrap_or_default();
        formers.iter().map(|former| &former.policy).chain([&self.policy])
    }
}

/// Buckets of one granularity; all full chunks of them are packed already.
struct Buckets {
    granularity: Granularity,
    starts: Vec<Timestamp>,
    columns: Vec<Column>,
    chunks: Vec<PackedChunk>,
}

impl Buckets {
    /// Adds a value; a full chunk is handed over for packing first.
    fn put(
        &mut self,
        (start, method, value): (Timestamp, AggregationMethod, f64),
        pack: impl FnOnce(BucketColumns) -> Result<Vec<PackedChunk>, StoreError>,
    ) -> Result<(), Wrong> {
        match self.starts.last() {
            Some(last) if *last > start => return Err(fault("time", "buckets are not in order").into()),
            Some(last) if *last == start => {}
            _ => {
                if self.starts.len() >= CHUNK_ROWS {
                    let mut chunks = pack(self.take()?)?;
                    self.chunks.append(&mut chunks);
                }
                self.starts.push(start);
            }
        }
        let row = self.starts.len() - 1;
        let at = self.columns.iter().position(|column| column.method() == method);
        let at = at.unwrap_or_else(|| {
            self.columns.push(Column::new(method));
            self.columns.len() - 1
        });
        let Some(column) = self.columns.get_mut(at) else { return Ok(()) };
        if column.values().len() > row {
            return Err(fault("method", "this bucket has a value of it already").into());
        }
        fill(column, row);
        column.push(Some(value));
        Ok(())
    }

    fn take(&mut self) -> Result<BucketColumns, Wrong> {
        let starts = std::mem::take(&mut self.starts);
        let mut columns = std::mem::take(&mut self.columns);
        columns.iter_mut().for_each(|column| fill(column, starts.len()));
        let buckets = BucketColumns::from_parts(starts, columns);
        buckets.ok_or_else(|| fault("time", "buckets are not in order").into())
    }
}

/// Makes a column as long as the rows before.
fn fill(column: &mut Column, rows: usize) {
    while column.values().len() < rows {
        column.push(None);
    }
}

struct Importer {
    targets: Vec<Target>,
    marks: Marks,
    replace: bool,
    /// The files that all metrics can be of that are there from an import that was killed.
    begun: Option<BTreeSet<u64>>,
    policies: HashMap<u64, Arc<ArchivePolicy>>,
    open: Option<Open>,
    last: Option<MetricId>,
    packer: Packer,
    done: Imported,
}

impl Importer {
    fn row(&mut self, row: Row) -> Result<(), Wrong> {
        match row {
            Row::Policy(number, policy) => match self.policies.insert(number, policy) {
                Some(_) => Err(fault("id", format!("policy {number} was there before")).into()),
                None => Ok(()),
            },
            Row::Metric(metric, state) => self.metric(metric, state),
            Row::Bucket(metric, granularity, start, method, value) => {
                self.bucket(metric, granularity, (start, method, value))
            }
            Row::Raw(metric, at, value) => {
                let raw = &mut self.of(metric)?.raw;
                if raw.last().is_some_and(|last| last.timestamp >= at) {
                    return Err(fault("time", "measures are not in order").into());
                }
                raw.push(Measure::new(at, value));
                self.done.raw += 1;
                Ok(())
            }
            Row::End(_) => Ok(()),
        }
    }

    /// The metric whose lines are being read, if it is this one.
    fn of(&mut self, metric: MetricId) -> Result<&mut Open, Fault> {
        let open = self.open.as_mut().filter(|open| open.metric == metric);
        open.ok_or_else(|| fault("id", "not the metric of the last row of kind metric"))
    }

    fn target(&mut self, metric: MetricId) -> Result<&mut Target, Fault> {
        let number = shard_of(metric, u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
        self.targets.get_mut(number as usize).ok_or_else(|| fault("id", "no shard has it"))
    }

    fn metric(&mut self, metric: MetricId, state: State) -> Result<(), Wrong> {
        self.close()?;
        if self.last.is_some_and(|last| last >= metric) {
            return Err(fault("id", "metrics are not in the order of their ids").into());
        }
        self.last = Some(metric);
        let policy = self.policies.get(&state.policy).map(Arc::clone);
        let policy = policy.ok_or_else(|| fault("value", format!("there is no policy {}", state.policy)))?;
        let is_there = !self.replace && self.target(metric)?.known.contains(&metric);
        if is_there {
            let files = self.target(metric)?.files.clone();
            let begun = self.begun.take().map_or_else(|| files.clone(), |begun| &begun & &files);
            if begun.is_empty() {
                return Err(fault("id", format!("metric {metric} holds data already")).into());
            }
            self.begun = Some(begun);
        }
        let (raw, packed) = (Vec::new(), Vec::new());
        self.open = Some(Open { metric, policy, state, raw, packed, buckets: None, is_there });
        self.done.metrics += 1;
        Ok(())
    }

    fn bucket(
        &mut self,
        metric: MetricId,
        granularity: Granularity,
        point: (Timestamp, AggregationMethod, f64),
    ) -> Result<(), Wrong> {
        let start = point.0;
        let open = self.of(metric)?;
        if !open.policies().any(|policy| policy.item(granularity).is_some()) {
            return Err(fault("granularity", "the metric's policy does not have it").into());
        }
        if start.floor(granularity) != start {
            return Err(fault("time", "no bucket of this granularity begins then").into());
        }
        if start >= open.state.sealed.floor(granularity) {
            return Err(fault("time", "not before the metric's sealed edge").into());
        }
        if open.buckets.as_ref().is_none_or(|buckets| buckets.granularity != granularity) {
            if open.packed.iter().any(|(its, _)| *its == granularity) {
                return Err(fault("granularity", "its buckets are not together").into());
            }
            self.close_buckets()?;
            let (starts, columns, chunks) = (Vec::new(), Vec::new(), Vec::new());
            self.of(metric)?.buckets = Some(Buckets { granularity, starts, columns, chunks });
        }
        let Self { open: Some(Open { buckets: Some(buckets), .. }), packer, .. } = self else {
            return Ok(());
        };
        buckets.put(point, |full| pack(packer, full))?;
        self.done.values += 1;
        Ok(())
    }

    fn close_buckets(&mut self) -> Result<(), Wrong> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(mut buckets) = open.buckets.take() else { return Ok(()) };
        let mut chunks = pack(&mut self.packer, buckets.take()?)?;
        buckets.chunks.append(&mut chunks);
        open.packed.push((buckets.granularity, buckets.chunks));
        Ok(())
    }

    /// Writes the metric that is complete.
    fn close(&mut self) -> Result<(), Wrong> {
        self.close_buckets()?;
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { metric, policy, state, raw, packed, is_there, .. } = open;
        if is_there {
            return Ok(());
        }
        // A former life of it, and whatever it held, lies before.
        let born_after = self.target(metric)?.commit;
        let State { window, sealed, low_water, past, .. } = state;
        let lives = (born_after + 1, born_after);
        let mut state = MetricState::stored(policy, raw, window, sealed, low_water, lives);
        state.aside.past = past;
        let state = self.packer.state(&state).map_err(|error| unpackable("the import", error))?;
        let content = Content { born_after, granularities: packed, state };
        self.target(metric)?.push(metric, &content)?;
        Ok(())
    }

    fn end(&mut self, metrics: u64) -> Result<(), Wrong> {
        self.close()?;
        if metrics != self.done.metrics {
            let reason =
                format!("{} metrics were there, not {metrics}: lines are missing", self.done.metrics);
            return Err(fault("value", reason).into());
        }
        Ok(())
    }

    /// Makes the segments durable, then makes them count.
    fn publish(mut self, file: u64) -> Result<Imported, Wrong> {
        if self.begun.as_ref().is_some_and(|begun| !begun.contains(&file)) {
            let reason = "metrics of an import of another file that was killed, which holds data already";
            return Err(fault("id", reason).into());
        }
        let (mut written, mut segments) = (Vec::new(), Vec::new());
        for Target { live, number, commit, segment, .. } in self.targets {
            if let Some((name, writer)) = segment {
                writer.finish()?;
                segments.push((number, name.clone()));
                written.push((live, commit + 1, name));
            }
        }
        if written.len() > 1 || self.begun.is_some() {
            self.marks.set(file, segments)?;
        }
        for (mut live, commit, name) in written {
            let mut next = live.now().clone();
            next.segments.push(name);
            next.commit = commit;
            live.replace(next)?;
        }
        self.marks.clear()?;
        Ok(self.done)
    }
}

fn pack(packer: &mut Packer, buckets: BucketColumns) -> Result<Vec<PackedChunk>, StoreError> {
    packer.chunks(buckets, true).map_err(|error| unpackable("the import", error))
}

#[cfg(test)]
mod tests;

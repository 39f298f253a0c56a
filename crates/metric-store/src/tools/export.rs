//! Taking data out of a store, exactly.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use nephos_model::{Granularity, MetricId, Timestamp};
use nephos_timeseries::{ArchivePolicy, BucketColumns, decode_columns};

use super::rows::{HEADER, State, granularity_text, metric_row, policy_row, put_value, time_text};
use super::{Look, TRIES};
use crate::contract::StoreError;
use crate::damage::DamageLog;
use crate::disk::Place;
use crate::files::io_error;
use crate::format;
use crate::head::{Head, MetricState, hidden};
use crate::manifest::newest;
use crate::options::RETRY_AFTER;
use crate::segment::{Block, Segment};
use crate::shard::Loaded;

/// What to take out.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Which metrics; empty means all.
    pub metrics: Vec<MetricId>,
    /// First bucket: rounded down to each granularity, inclusive.
    pub start: Option<Timestamp>,
    /// End: bucket start < stop. Raw measures of buckets that begin before it come whole.
    pub stop: Option<Timestamp>,
}

/// What was taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Metrics.
    pub metrics: u64,
    /// Values of buckets.
    pub values: u64,
    /// Raw measures.
    pub raw: u64,
    /// Damage that was left out, and metrics that were asked for and hold nothing; empty if all is well.
    pub problems: Vec<String>,
}

/// A shard at one moment, with what its log says.
struct Moment {
    look: Look,
    head: Head,
    damage: DamageLog,
}

impl Moment {
    fn read(place: &Place, number: u32) -> Result<Self, StoreError> {
        for _ in 0..TRIES {
            let damage = DamageLog::default();
            let look = Look::at(place, number, &damage)?;
            let Look { disk, manifest, segments, .. } = &look;
            let loaded = Loaded::read(disk.as_ref(), number, manifest, segments, &damage)?;
            // Only now is it sure that no log went away before it was read.
            if newest(disk.as_ref())?.1 == *manifest {
                return Ok(Self { head: loaded.head, look, damage });
            }
        }
        Err(StoreError::NoOwner { retry_after: RETRY_AFTER })
    }

    fn problems(&self) -> impl Iterator<Item = String> {
        self.look.unreadable.iter().map(ToString::to_string).chain(self.damage.told())
    }
}

/// Writes the rows of a store, metric by metric in the order of their ids; `progress` hears how many of how many are
/// done. The store may be in use: what is written is one moment of each shard.
///
/// # Errors
/// If there is no store, if it can't be read at all, or if `out` takes no more. Damage inside the store is left out and
/// told in the answer.
pub fn export(
    place: &Place,
    selection: &Selection,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, StoreError> {
    let count = format::read(place.root()?.as_ref())?;
    let moments: Vec<Moment> =
        (0..count).map(|number| Moment::read(place, number)).collect::<Result<_, _>>()?;
    let asked: HashSet<MetricId> = selection.metrics.iter().copied().collect();
    let mut wanted: Vec<(MetricId, &Moment)> = Vec::new();
    for moment in &moments {
        let ids = moment.head.metrics.iter().map(|(metric, _)| metric);
        wanted.extend(
            ids.filter(|metric| asked.is_empty() || asked.contains(metric)).map(|metric| (metric, moment)),
        );
    }
    wanted.sort_unstable_by_key(|(metric, _)| *metric);
    let total = wanted.len() as u64;
    let mut exporter =
        Exporter { out, selection, policies: HashMap::new(), line: String::new(), done: Exported::default() };
    exporter.put(&format!("{HEADER}\n"))?;
    for (metric, moment) in &wanted {
        exporter.metric(*metric, moment)?;
        exporter.done.metrics += 1;
        progress(exporter.done.metrics, total);
    }
    exporter.put(&format!("end,,,,,{total}\n"))?;
    exporter.out.flush().map_err(unwritten)?;
    let mut done = exporter.done;
    done.problems = moments.iter().flat_map(Moment::problems).collect();
    let found = |metric: &&MetricId| wanted.binary_search_by_key(*metric, |(found, _)| *found).is_ok();
    let missing = selection.metrics.iter().filter(|metric| !found(metric));
    done.problems.extend(missing.map(|metric| format!("metric {metric} holds no data")));
    Ok(done)
}

fn unwritten(error: std::io::Error) -> StoreError {
    io_error("write", Path::new("the export"))(error)
}

struct Exporter<'a> {
    out: &'a mut dyn Write,
    selection: &'a Selection,
    policies: HashMap<Arc<ArchivePolicy>, u64>,
    line: String,
    done: Exported,
}

impl Exporter<'_> {
    fn put(&mut self, text: &str) -> Result<(), StoreError> {
        self.out.write_all(text.as_bytes()).map_err(unwritten)
    }

    fn metric(&mut self, metric: MetricId, moment: &Moment) -> Result<(), StoreError> {
        let Some(state) = moment.head.metrics.get(metric) else { return Ok(()) };
        let policy = match self.policies.get(&state.policy) {
            Some(number) => *number,
            None => {
                let number = self.policies.len() as u64;
                self.policies.insert(Arc::clone(&state.policy), number);
                self.put(&policy_row(number, &state.policy))?;
                number
            }
        };
        let (window, sealed) = (state.window, state.aside.sealed);
        let (low_water, past) = (state.low_water().to_vec(), state.aside.past.clone());
        self.put(&metric_row(metric, &State { policy, window, sealed, low_water, past }))?;
        let blocks = blocks(metric, state, moment);
        for (granularity, first_kept) in state.kept() {
            self.granularity(metric, state, (granularity, first_kept), &blocks, &moment.damage)?;
        }
        self.raw(metric, state)
    }

    fn granularity(
        &mut self,
        metric: MetricId,
        state: &MetricState,
        (granularity, first_kept): (Granularity, Timestamp),
        blocks: &[(&Segment, Block)],
        damage: &DamageLog,
    ) -> Result<(), StoreError> {
        let start = self.selection.start.map_or(Timestamp::MIN, |start| start.floor(granularity));
        let from = start.max(first_kept);
        let sealed = state.aside.sealed.floor(granularity);
        let until = self.selection.stop.map_or(sealed, |stop| stop.min(sealed));
        let hidden = hidden(state.erased(), granularity);
        let prefix = format!("bucket,{metric},{},", granularity_text(granularity));
        for (segment, block) in blocks {
            let chunks = block.chunks(granularity).iter();
            for chunk in chunks.filter(|chunk| chunk.last >= from && chunk.first < until) {
                let read = segment.chunk(block, *chunk).map_err(|error| error.to_string());
                let read = read.and_then(|bytes| decode_columns(&bytes).map_err(|error| error.to_string()));
                match read {
                    Ok(mut buckets) => {
                        hidden.iter().for_each(|hidden| buckets.remove(hidden.clone()));
                        self.buckets(&prefix, &buckets, from, until)?;
                    }
                    Err(error) => {
                        let reason = format!("metric {metric}, block at byte {}: {error}", block.offset);
                        drop(damage.report(&segment.path(), reason));
                    }
                }
            }
        }
        Ok(())
    }

    fn buckets(
        &mut self,
        prefix: &str,
        buckets: &BucketColumns,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let methods: Vec<String> =
            buckets.columns().iter().map(|column| column.method().to_string()).collect();
        for (row, start) in buckets.starts().iter().enumerate() {
            if *start < from || *start >= until {
                continue;
            }
            let start = time_text(*start);
            self.line.clear();
            for (column, method) in buckets.columns().iter().zip(&methods) {
                let Some(value) = column.get(row) else { continue };
                for part in [prefix, &start, ",", method, ","] {
                    self.line.push_str(part);
                }
                put_value(&mut self.line, value);
                self.line.push('\n');
                self.done.values += 1;
            }
            self.out.write_all(self.line.as_bytes()).map_err(unwritten)?;
        }
        Ok(())
    }

    /// The measures of every bucket that is wanted, and the one before them if differences are.
    fn raw(&mut self, metric: MetricId, state: &MetricState) -> Result<(), StoreError> {
        let widths = || state.policy.definition.iter().map(|item| item.granularity);
        let first = self.selection.start.map_or(0, |start| {
            state.needed_from(widths().map(|width| start.floor(width)).min().unwrap_or(start))
        });
        let widest = widths().max().map_or(0, |width| width.as_nanos());
        let until = self.selection.stop.map(|stop| stop.plus_nanos(widest));
        for measure in state.raw.iter().skip(first) {
            if until.is_some_and(|until| measure.timestamp >= until) {
                break;
            }
            let mut line = format!("raw,{metric},,{},,", time_text(measure.timestamp));
            put_value(&mut line, measure.value);
            line.push('\n');
            self.put(&line)?;
            self.done.raw += 1;
        }
        Ok(())
    }
}

/// What segments hold of a metric as it lives now, oldest first.
fn blocks<'a>(metric: MetricId, state: &MetricState, moment: &'a Moment) -> Vec<(&'a Segment, Block)> {
    let mut blocks = Vec::new();
    for segment in &moment.look.segments {
        match segment.find(metric) {
            Ok(Some(entry)) if entry.commit > state.aside.born_after => {
                blocks.extend(entry.data.map(|block| (segment.as_ref(), block)));
            }
            Ok(_) => {}
            Err(StoreError::Damaged { path, reason }) => drop(moment.damage.report(&path, reason)),
            Err(error) => drop(moment.damage.report(&segment.path(), error.to_string())),
        }
    }
    blocks
}

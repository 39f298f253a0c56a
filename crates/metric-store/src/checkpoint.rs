//! Checkpoints: what changed since the last one goes into a segment, so that the log before it can go.
//!
//! The head stays open meanwhile: each metric is copied at its own moment, with the number of the last commit it
//! includes, and replay leaves out what a copy includes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nephos_model::{Clock, MetricId, Timestamp};

use crate::contract::StoreError;
use crate::head::{Aside, MetricState, Packed};
use crate::instrument;
use crate::log::{LogKey, list_logs};
use crate::pack::{Packer, unpackable};
use crate::segment::{Segment, SegmentWriter};
use crate::shard::Shard;

/// Metrics that are copied under one lock.
const BATCH: usize = 256;

/// What of a metric is in the new segment.
enum Written {
    Deleted { metric: MetricId, commit: u64 },
    Sealed { metric: MetricId, commit: u64, born_after: u64, sealed: Timestamp, rest: Option<Rest> },
}

/// The raw measures that a checkpoint leaves of a metric.
struct Rest {
    /// Packed, if that pays.
    packed: Box<Packed>,
    /// The newest measure that the metric had.
    newest: Timestamp,
}

/// A metric as the head had it at one moment.
enum Copied {
    Deleted {
        commit: u64,
    },
    /// At this place of the copies.
    Live(usize),
}

/// Metrics as the head had them, in memory that serves again and again.
#[derive(Default)]
struct Copies {
    states: Vec<MetricState>,
    metrics: Vec<(MetricId, Copied)>,
}

/// Writes a segment and forgets the log files before `log_from`.
pub(crate) fn checkpoint(shard: &Shard, log_from: LogKey, clock: &dyn Clock) -> Result<(), StoreError> {
    let start = clock.monotonic();
    let mut live = shard.live();
    if shard.is_closing() {
        return Err(StoreError::Closed);
    }
    let changed = changed_metrics(shard);
    if !changed.is_empty() {
        let name = live.next_segment();
        let (size, mut written) = write_segment(shard, &name, &changed)?;
        let segment = Arc::new(Segment::open(Arc::clone(&shard.disk), shard.number, &name, &shard.damage)?);
        let mut next = live.now().clone();
        next.segments.push(name);
        next.set_log_from(log_from);
        next.commit = shard.head().commit;
        live.replace(next)?;
        let mut segments = shard.segments().as_ref().clone();
        segments.push(segment);
        shard.set_segments(segments);
        for batch in written.chunks_mut(BATCH) {
            settle(shard, batch);
        }
        shard.checkpoint_bytes.store(shard.head().checkpoint_bytes(), Ordering::Relaxed);
        instrument::segment_written("checkpoint", size, clock.monotonic().saturating_sub(start));
    } else if log_from > live.now().log_from() {
        let mut next = live.now().clone();
        next.set_log_from(log_from);
        next.commit = shard.head().commit;
        live.replace(next)?;
    }
    let disk = shard.disk.as_ref();
    for key in list_logs(disk)?.into_iter().take_while(|key| *key < log_from) {
        disk.remove(&key.name())?;
    }
    Ok(())
}

fn write_segment(shard: &Shard, name: &str, changed: &[MetricId]) -> Result<(u64, Vec<Written>), StoreError> {
    let mut writer = SegmentWriter::create(&shard.disk, shard.number, name)?;
    let mut written = Vec::with_capacity(changed.len());
    let (mut packer, mut copies) = (Packer::default(), Copies::default());
    for ids in changed.chunks(BATCH) {
        if shard.is_closing() {
            return Err(StoreError::Closed);
        }
        copies.take(shard, ids);
        let Copies { states, metrics } = &mut copies;
        for (metric, copy) in metrics {
            written.push(write_one(shard, &mut writer, (*metric, copy), states, &mut packer)?);
        }
    }
    Ok((writer.finish()?, written))
}

/// Metrics that segments do not hold as they are, ascending.
fn changed_metrics(shard: &Shard) -> Vec<MetricId> {
    let head = shard.head();
    let changed =
        head.metrics.iter().filter(|(_, state)| state.commit > state.aside.stored).map(|(metric, _)| metric);
    let mut ids: Vec<MetricId> = changed.chain(head.deleted.keys().copied()).collect();
    drop(head);
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Copies {
    /// Copies these metrics in place of those it has.
    fn take(&mut self, shard: &Shard, ids: &[MetricId]) {
        let head = shard.head();
        self.metrics.clear();
        let mut used = 0;
        for metric in ids {
            match (head.metrics.get(*metric), head.deleted.get(metric)) {
                (Some(state), _) => {
                    match self.states.get_mut(used) {
                        Some(copy) => copy.copy(state),
                        None => self.states.push(state.clone()),
                    }
                    self.metrics.push((*metric, Copied::Live(used)));
                    used += 1;
                }
                (None, Some(commit)) => self.metrics.push((*metric, Copied::Deleted { commit: *commit })),
                (None, None) => {}
            }
        }
    }
}

fn write_one(
    shard: &Shard,
    writer: &mut SegmentWriter,
    (metric, copy): (MetricId, &Copied),
    states: &mut [MetricState],
    packer: &mut Packer,
) -> Result<Written, StoreError> {
    match copy {
        Copied::Deleted { commit } => {
            writer.push(metric, *commit, None)?;
            Ok(Written::Deleted { metric, commit: *commit })
        }
        Copied::Live(at) => {
            let state = &mut states[*at];
            let newest = state.last_raw();
            let content = packer.seal(state);
            let content = content.map_err(|error| unpackable(&shard.disk.describe(""), error))?;
            writer.push(metric, state.commit, Some(&content))?;
            let rest = packer.rest(state).map(|packed| Rest { packed, newest });
            let Aside { born_after, sealed, .. } = *state.aside;
            let commit = state.commit;
            Ok(Written::Sealed { metric, commit, born_after, sealed, rest })
        }
    }
}

/// The segment counts: the head lets go what it has from it.
fn settle(shard: &Shard, written: &mut [Written]) {
    let mut head = shard.head_mut();
    for copy in written {
        match copy {
            Written::Deleted { metric, commit } => {
                if head.deleted.get(metric) == Some(commit) {
                    head.deleted.remove(metric);
                }
            }
            Written::Sealed { metric, commit, born_after, sealed, rest } => {
                if head.deleted.get(metric).is_some_and(|deleted| deleted <= commit) {
                    head.deleted.remove(metric);
                }
                // Not if it was deleted and born again meanwhile.
                let same_life = |state: &&mut MetricState| state.aside.born_after == *born_after;
                if let Some(state) = head.metrics.get_mut(*metric).filter(same_life) {
                    state.aside.stored = *commit;
                    let gone = match rest.take() {
                        Some(Rest { packed, newest }) if packed.changes() == state.changes() => {
                            state.seal_packed(*sealed, newest, packed)
                        }
                        _ if state.aside.sealed < *sealed => state.seal(*sealed),
                        _ => continue,
                    };
                    state.shrink(gone);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::{Granularity, Measure};
    use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

    use super::*;
    use crate::batch::Batch;
    use crate::disk::LocalDisk;

    fn run(metric: MetricId, times: impl IntoIterator<Item = i64>) -> Batch {
        let policy = ArchivePolicy {
            name: "p".to_owned(),
            back_window: 0,
            definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points: None }],
            methods: vec![AggregationMethod::plain(Stat::Mean)],
        };
        let mut batch = Batch::default();
        let measures = times.into_iter().map(|at| Measure::new(Timestamp::from_secs(at), 1.0));
        batch.push(metric, &Arc::new(policy), measures);
        batch
    }

    /// A shard with one metric, which changes after it was copied and before the copy counts.
    fn overtaken(
        times: &[i64],
        change: impl Fn(&mut crate::head::Head, MetricId),
    ) -> (tempfile::TempDir, Arc<Shard>, MetricId) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(LocalDisk::open(folder.path().to_owned()).unwrap());
        let (shard, _log) = Shard::open(disk, 0).unwrap();
        let metric = MetricId::random();
        shard.head_mut().append(1, &run(metric, times.iter().copied()));
        let mut writer = SegmentWriter::create(&shard.disk, 0, "segment-x.nseg").unwrap();
        let mut copies = Copies::default();
        copies.take(&shard, &[metric]);
        change(&mut shard.head_mut(), metric);
        let mut packer = Packer::default();
        let Copies { states, metrics } = &mut copies;
        let (metric, copy) = &metrics[0];
        let mut written = [write_one(&shard, &mut writer, (*metric, copy), states, &mut packer).unwrap()];
        let metric = *metric;
        settle(&shard, &mut written);
        (folder, shard, metric)
    }

    #[test]
    fn a_metric_born_again_while_its_former_life_was_written_keeps_its_measures() {
        let (_folder, shard, metric) = overtaken(&[0, 60, 120], |head, metric| {
            head.delete(2, metric);
            head.append(3, &run(metric, [0, 10]));
        });
        let head = shard.head();
        let state = head.metrics.get(metric).unwrap();
        assert_eq!((state.raw.len(), state.aside.stored, state.aside.sealed), (2, 0, Timestamp::MIN));
        assert_eq!(head.deleted.get(&metric), Some(&2), "the deletion is not in a segment yet");
    }

    #[test]
    fn a_metric_that_changed_while_it_was_written_is_written_again() {
        let (_folder, shard, metric) = overtaken(&[0, 60, 120], |head, metric| {
            head.append(2, &run(metric, [130, 180]));
        });
        assert_eq!(changed_metrics(&shard), [metric]);
        let head = shard.head();
        let raw = &head.metrics.get(metric).unwrap().raw;
        let left: Vec<i64> = raw.iter().map(|measure| measure.timestamp.as_secs()).collect();
        assert_eq!(left, [120, 130, 180], "what the segment has is no longer in memory, the rest is");
    }

    type Change = Box<dyn Fn(&mut crate::head::Head, MetricId)>;

    fn all(state: &MetricState) -> Vec<i64> {
        let mut columns = crate::pack::Columns::default();
        state.fill(&mut columns, &mut nephos_timeseries::Scratch::default());
        columns.timestamps.iter().map(|at| at.as_secs()).collect()
    }

    #[test]
    fn what_a_checkpoint_left_is_packed_until_it_changes() {
        let erase = |head: &mut crate::head::Head, metric| {
            head.erase(2, metric, Timestamp::from_secs(130), Timestamp::from_secs(135));
        };
        let append = |times: &'static [i64]| {
            move |head: &mut crate::head::Head, metric| {
                head.append(2, &run(metric, times.iter().copied()));
            }
        };
        let cases: [(Change, &[i64], usize); 5] = [
            (Box::new(|_, _| {}), &[120, 130, 140], 0),
            (Box::new(append(&[150, 155])), &[120, 130, 140, 150, 155], 2),
            (Box::new(append(&[125])), &[120, 125, 130, 140], 4),
            (Box::new(append(&[130, 170])), &[120, 130, 140, 170], 4),
            (Box::new(erase), &[120, 140], 2),
        ];
        for (change, expected, plain) in cases {
            let (_folder, shard, metric) = overtaken(&[0, 60, 120, 130, 140], change);
            let mut head = shard.head_mut();
            let state = head.metrics.get_mut(metric).unwrap();
            assert_eq!(
                (all(state), state.raw.len(), state.measures()),
                (expected.to_vec(), plain, expected.len())
            );
            assert_eq!(state.last().as_secs(), *expected.last().unwrap());
            // A late one later finds all of them as well.
            head.append(3, &run(metric, [121]));
            let state = head.metrics.get(metric).unwrap();
            let mut late = expected.to_vec();
            late.insert(1, 121);
            assert_eq!((all(state), state.raw.len()), (late.clone(), late.len()));
        }
    }
}

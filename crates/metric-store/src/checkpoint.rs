//! Checkpoints: what changed since the last one goes into a segment, so that the log before it can go.
//!
//! The head stays open meanwhile: each metric is copied at its own moment, with the number of the last commit it
//! includes, and replay leaves out what a copy includes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nephos_model::{Clock, MetricId, Timestamp};

use crate::contract::StoreError;
use crate::head::{Aside, Head, MetricState, Packed, Place};
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
    Sealed { found: Found, commit: u64, born_after: u64, sealed: Timestamp, rest: Option<Rest> },
}

/// A metric and where it was when it was found. It may have moved since; one that is deleted is nowhere.
type Found = (MetricId, Place);

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
    metrics: Vec<(Found, Copied)>,
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
        let (disk, others) = (Arc::clone(&shard.disk), shard.segments());
        let segment = Arc::new(Segment::open(disk, shard.number, &name, &others, &shard.damage)?);
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

fn write_segment(shard: &Shard, name: &str, changed: &[Found]) -> Result<(u64, Vec<Written>), StoreError> {
    let mut writer = SegmentWriter::create(&shard.disk, shard.number, name)?;
    let mut written = Vec::with_capacity(changed.len());
    let (mut packer, mut copies) = (Packer::default(), Copies::default());
    for some in changed.chunks(BATCH) {
        if shard.is_closing() {
            return Err(StoreError::Closed);
        }
        copies.take(shard, some);
        let Copies { states, metrics } = &mut copies;
        for (found, copy) in metrics {
            written.push(write_one(shard, &mut writer, (*found, copy), states, &mut packer)?);
        }
    }
    Ok((writer.finish()?, written))
}

/// Metrics that segments do not hold as they are, ascending.
fn changed_metrics(shard: &Shard) -> Vec<Found> {
    let head = shard.head();
    let live = (0..).zip(head.metrics.iter());
    let changed = live.filter(|(_, (_, state))| state.commit > state.aside.stored);
    let changed = changed.map(|(place, (metric, _))| (metric, place));
    let deleted = head.deleted.keys().map(|metric| (*metric, Place::MAX));
    let mut found: Vec<Found> = changed.chain(deleted).collect();
    drop(head);
    // As numbers they are in the order of their bytes, and quicker to compare.
    found.sort_unstable_by_key(|(metric, _)| metric.0.as_u128());
    found.dedup_by_key(|(metric, _)| *metric);
    found
}

/// Where metrics are now, what is asked of them on its way into the processor's cache.
fn find_again(head: &Head, found: impl Iterator<Item = Option<Found>>) -> Vec<Option<Place>> {
    let again =
        |found: Option<Found>| found.and_then(|(metric, place)| head.metrics.place_again(metric, place));
    let places: Vec<Option<Place>> = found.map(again).collect();
    head.metrics.touch(&places);
    places
}

impl Copies {
    /// Copies these metrics in place of those it has.
    fn take(&mut self, shard: &Shard, some: &[Found]) {
        let head = shard.head();
        self.metrics.clear();
        let mut used = 0;
        let places = find_again(&head, some.iter().copied().map(Some));
        for ((metric, _), place) in some.iter().zip(places) {
            let state = place.and_then(|place| Some((place, head.metrics.peek(place)?)));
            match (state, head.deleted.get(metric)) {
                (Some((place, state)), _) => {
                    match self.states.get_mut(used) {
                        Some(copy) => copy.copy(state),
                        None => self.states.push(state.clone()),
                    }
                    self.metrics.push(((*metric, place), Copied::Live(used)));
                    used += 1;
                }
                (None, Some(commit)) => {
                    self.metrics.push(((*metric, Place::MAX), Copied::Deleted { commit: *commit }));
                }
                (None, None) => {}
            }
        }
    }
}

fn write_one(
    shard: &Shard,
    writer: &mut SegmentWriter,
    (found, copy): (Found, &Copied),
    states: &mut [MetricState],
    packer: &mut Packer,
) -> Result<Written, StoreError> {
    let metric = found.0;
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
            Ok(Written::Sealed { found, commit, born_after, sealed, rest })
        }
    }
}

/// The segment counts: the head lets go what it has from it.
fn settle(shard: &Shard, written: &mut [Written]) {
    let mut head = shard.head_mut();
    let live = |copy: &Written| match copy {
        Written::Deleted { .. } => None,
        Written::Sealed { found, .. } => Some(*found),
    };
    let places = find_again(&head, written.iter().map(live));
    for (copy, place) in written.iter_mut().zip(places) {
        match copy {
            Written::Deleted { metric, commit } => {
                if head.deleted.get(metric) == Some(commit) {
                    head.deleted.remove(metric);
                }
            }
            Written::Sealed { found: (metric, _), commit, born_after, sealed, rest } => {
                if head.deleted.get(metric).is_some_and(|deleted| deleted <= commit) {
                    head.deleted.remove(metric);
                }
                // Not if it was deleted and born again meanwhile.
                let same_life = |state: &&mut MetricState| state.aside.born_after == *born_after;
                let state = place.and_then(|place| head.metrics.at(place));
                if let Some(state) = state.filter(same_life) {
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
        copies.take(&shard, &changed_metrics(&shard));
        change(&mut shard.head_mut(), metric);
        let mut packer = Packer::default();
        let Copies { states, metrics } = &mut copies;
        let (found, copy) = &metrics[0];
        let mut written = [write_one(&shard, &mut writer, (*found, copy), states, &mut packer).unwrap()];
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
        assert_eq!(changed_metrics(&shard), [(metric, 0)]);
        let head = shard.head();
        let raw = &head.metrics.get(metric).unwrap().raw;
        let left: Vec<i64> = raw.iter().map(|measure| measure.timestamp.as_secs()).collect();
        assert_eq!(left, [120, 130, 180], "what the segment has is no longer in memory, the rest is");
    }

    #[test]
    fn metrics_that_moved_while_they_were_written_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(LocalDisk::open(folder.path().to_owned()).unwrap());
        let (shard, _log) = Shard::open(disk, 0).unwrap();
        let mut metrics: Vec<MetricId> = (0..300).map(|_| MetricId::random()).collect();
        for metric in &metrics {
            shard.head_mut().append(1, &run(*metric, [0, 60, 120]));
        }
        let changed = changed_metrics(&shard);
        // The first ones go, the last ones take their places.
        let gone: Vec<MetricId> = metrics.drain(..20).collect();
        gone[..10].iter().for_each(|metric| shard.head_mut().delete(2, *metric));
        let (_, mut written) = write_segment(&shard, "segment-x.nseg", &changed).unwrap();
        gone[10..].iter().for_each(|metric| shard.head_mut().delete(3, *metric));
        written.chunks_mut(BATCH).for_each(|some| settle(&shard, some));
        let left: Vec<MetricId> = changed_metrics(&shard).into_iter().map(|(metric, _)| metric).collect();
        let mut expected = gone[10..].to_vec();
        expected.sort_unstable();
        assert_eq!(left, expected, "deleted after they were copied");
        let head = shard.head();
        for metric in &metrics {
            let state = head.metrics.get(*metric).unwrap();
            assert_eq!((state.aside.stored, state.aside.sealed.as_secs()), (1, 120));
        }
        assert_eq!(head.metrics.len(), metrics.len());
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

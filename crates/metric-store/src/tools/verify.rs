//! Checking a store: every checksum, and that the parts agree with each other.

use std::collections::HashMap;

use nephos_model::{Granularity, MetricId, Timestamp};
use nephos_timeseries::decode_columns;

use super::{Look, read_log};
use crate::contract::StoreError;
use crate::damage::DamageLog;
use crate::disk::Place;
use crate::format;
use crate::pack::read_state;
use crate::segment::{Block, Entry, Segment};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub path: String,
    /// What is wrong, and where in the file.
    pub reason: String,
}

/// What is found wrong about a store: nothing if the list is empty. Reads all of it; `progress` hears how many bytes of
/// how many were read.
///
/// # Errors
/// If there is no store, or it can't be read at all.
pub fn verify(place: &Place, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Problem>, StoreError> {
    let count = format::read(place.root()?.as_ref())?;
    let mut problems = Vec::new();
    let mut looks = Vec::new();
    let damage = DamageLog::default();
    for number in 0..count {
        match Look::at(place, number, &damage) {
            Ok(look) => looks.push(look),
            Err(StoreError::Damaged { path, reason }) => problems.push(Problem { path, reason }),
            Err(error) => return Err(error),
        }
    }
    let total = looks.iter().flat_map(|look| &look.segments).map(|segment| segment.size()).sum();
    let mut done = 0;
    for look in &looks {
        problems.extend(look.unreadable.iter().map(problem));
        let mut ends = HashMap::new();
        for segment in &look.segments {
            let mut check = Check { segment, ends: &mut ends, problems: &mut problems };
            check.segment();
            done += segment.size();
            progress(done, total);
        }
        check_logs(look, &mut problems)?;
    }
    Ok(problems)
}

fn problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Damaged { path, reason } => Problem { path: path.clone(), reason: reason.clone() },
        StoreError::Io { path, source, .. } => Problem { path: path.clone(), reason: source.to_string() },
        other => Problem { path: String::new(), reason: other.to_string() },
    }
}

fn check_logs(look: &Look, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
    let logs = look.logs()?;
    for (at, key) in logs.iter().enumerate() {
        let (behind, damage) = read_log(look, *key)?;
        let path = look.disk.describe(&key.name());
        problems.extend(damage.into_iter().map(|reason| Problem { path: path.clone(), reason }));
        // The last file of an owner ends where the owner did, or with room for more; the others were finished.
        if behind > 0 && logs.get(at + 1).is_some_and(|next| next.epoch == key.epoch) {
            problems.push(Problem { path, reason: format!("its last {behind} bytes") });
        }
    }
    Ok(())
}

/// Ends of what was seen of a metric's granularities: the life it belongs to, and the last bucket.
type Ends = HashMap<(MetricId, Granularity), (u64, Timestamp)>;

struct Check<'a> {
    segment: &'a Segment,
    ends: &'a mut Ends,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn tell(&mut self, reason: String) {
        self.problems.push(Problem { path: self.segment.path(), reason });
    }

    fn segment(&mut self) {
        let damage = DamageLog::default();
        let segment = self.segment;
        let mut entries = 0;
        for Entry { metric, commit, data } in segment.entries(&damage) {
            entries += 1;
            if let Some(block) = data {
                self.block(metric, commit, &block);
            }
        }
        if segment.is_broken() || entries < segment.len() {
            self.tell(format!("{} of its {} entries can't be read", segment.len() - entries, segment.len()));
        }
    }

    fn block(&mut self, metric: MetricId, commit: u64, block: &Block) {
        let place = format!("metric {metric}, block at byte {}", block.offset);
        let state = self.segment.state(block).map_err(|error| error.to_string());
        let state = state.and_then(|bytes| {
            read_state(&bytes, commit, block.born_after).map_err(|error| error.to_string())
        });
        if let Err(error) = state {
            self.tell(format!("{place}: {error}"));
        }
        for (granularity, chunks) in &block.granularities {
            for chunk in chunks {
                let bytes = self.segment.chunk(block, *chunk).map_err(|error| error.to_string());
                let columns =
                    bytes.and_then(|bytes| decode_columns(&bytes).map_err(|error| error.to_string()));
                let columns = match columns {
                    Ok(columns) => columns,
                    Err(error) => {
                        self.tell(format!("{place}: {error}"));
                        continue;
                    }
                };
                let (first, last) = (columns.starts().first(), columns.starts().last());
                let told = (Some(&chunk.first), Some(&chunk.last), chunk.rows as usize);
                if (first, last, columns.len()) != told {
                    self.tell(format!("{place}: a chunk is not what its header says"));
                }
                let off = columns.starts().iter().any(|start| start.floor(*granularity) != *start);
                if off {
                    self.tell(format!("{place}: buckets do not begin at multiples of their width"));
                }
                let key = (metric, *granularity);
                let before = self.ends.insert(key, (block.born_after, chunk.last));
                if before.is_some_and(|(life, end)| life == block.born_after && end >= chunk.first) {
                    self.tell(format!("{place}: a chunk begins before the one before it ends"));
                }
            }
        }
    }
}

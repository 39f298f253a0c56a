//! The janitor: space of deleted metrics and of expired buckets comes back by itself.
//!
//! It looks at one segment after the other, now and then. What is dead in one for a large part is written again
//! without that; what is dead as a whole is dropped at once. Both are compactions of one segment, so a crash leaves
//! the old one or the new one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nephos_model::Clock;

use crate::compaction::{drop_whole, kept_from, rewrite};
use crate::contract::StoreError;
use crate::instrument;
use crate::segment::{ChunkRef, Entry, Segment};
use crate::shard::Shard;

/// A segment is looked at again after this long: its buckets expire slowly.
const AGAIN: Duration = Duration::from_secs(3_600);
/// After this long if metrics were deleted meanwhile.
const AGAIN_AFTER_DELETION: Duration = Duration::from_secs(60);
/// Bytes that it reads and writes a second, on the average.
const RATE: u64 = 16 << 20;
/// One byte of so many must be dead for a segment to be worth writing again.
const WORTH: u64 = 4;

/// What of a segment is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Bytes that nobody can ask for any more.
    pub(crate) dead: u64,
    /// Metrics of which something must stay.
    pub(crate) alive: usize,
}

impl Survey {
    /// Looks at all that a segment holds.
    fn of(shard: &Shard, segments: &[Arc<Segment>], at: usize) -> Self {
        let (mut survey, newer) = (Self::default(), segments.get(at + 1..).unwrap_or_default());
        let Some(segment) = segments.get(at) else { return survey };
        for entry in segment.entries(&shard.damage) {
            let Entry { metric, data, .. } = &entry;
            let Some(block) = data else {
                // That it was deleted must be said as long as older segments may hold it.
                survey.alive += usize::from(at > 0);
                continue;
            };
            let kept = kept_from(shard, &entry);
            let expired = |granularity, chunk: &ChunkRef| {
                let mut kept = kept.iter().flatten();
                kept.find(|kept| kept.granularity == granularity).is_none_or(|kept| {
                    let mut hidden = kept.hidden.iter();
                    chunk.last < kept.first_kept
                        || hidden.any(|hidden| hidden.contains(&chunk.first) && hidden.contains(&chunk.last))
                })
            };
            let chunks = block.granularities.iter().flat_map(|(granularity, chunks)| {
                chunks.iter().map(move |chunk| (expired(*granularity, chunk), chunk.len() as u64))
            });
            let (dead, kept_bytes) =
                chunks.fold(
                    (0, 0),
                    |(dead, kept), (expired, len)| {
                        if expired { (dead + len, kept) } else { (dead, kept + len) }
                    },
                );
            let superseded = || newer.iter().any(|segment| segment.knows(*metric));
            if kept.is_none() || (kept_bytes == 0 && superseded()) {
                survey.dead += block.len() as u64;
            } else {
                survey.dead += dead;
                survey.alive += 1;
            }
        }
        survey
    }
}

/// Drops the segment if nothing in it is alive, writes it again if one byte of `worth` is dead. Returns how many bytes
/// were read and written.
pub(crate) fn tidy(
    shard: &Shard,
    segment: &Arc<Segment>,
    worth: u64,
    clock: &dyn Clock,
) -> Result<u64, StoreError> {
    let segments = shard.segments();
    let Some(at) = segments.iter().position(|one| Arc::ptr_eq(one, segment)) else { return Ok(0) };
    if segment.is_broken() {
        return Ok(0);
    }
    let survey = Survey::of(shard, &segments, at);
    if segment.is_broken() {
        return Ok(0);
    }
    let before = segment.size();
    if survey.alive == 0 {
        drop_whole(shard, &segments, at)?;
        instrument::tidied(before);
        return Ok(before);
    }
    if survey.dead == 0 || survey.dead < before / worth {
        return Ok(before);
    }
    let after = rewrite(shard, &segments, at, clock)?;
    instrument::tidied(before.saturating_sub(after));
    Ok(before * 2 + after)
}

/// When a segment was last looked at, and how many metrics had been deleted by then.
#[derive(Clone, Copy, Debug)]
struct Looked {
    at: Duration,
    deletions: u64,
}

/// Looks after all shards of a process, a little at a time.
#[derive(Debug, Default)]
pub(crate) struct Janitor {
    shards: Vec<Weak<Shard>>,
    looked: HashMap<(u32, String), Looked>,
    rests_until: Duration,
}

impl Janitor {
    /// A shard to look after, until it is gone.
    pub(crate) fn watch(&mut self, shard: Weak<Shard>) {
        self.shards.retain(|shard| shard.strong_count() > 0);
        self.shards.push(shard);
    }

    /// Looks at one segment, if there is one to look at and it rested enough. What was written just now is not looked
    /// at before its time.
    pub(crate) fn round(&mut self, clock: &dyn Clock) {
        let now = clock.monotonic();
        if now < self.rests_until {
            return;
        }
        let shards: Vec<Arc<Shard>> = self.shards.iter().filter_map(Weak::upgrade).collect();
        self.forget(&shards);
        for shard in shards.iter().filter(|shard| !shard.is_lost() && !shard.is_closing()) {
            let deletions = shard.deletions();
            for segment in shard.segments().iter() {
                let key = (shard.number, segment.name.clone());
                let looked = *self.looked.entry(key).or_insert(Looked { at: now, deletions });
                let wait = if looked.deletions == deletions { AGAIN } else { AGAIN_AFTER_DELETION };
                if now < looked.at + wait {
                    continue;
                }
                self.looked.insert((shard.number, segment.name.clone()), Looked { at: now, deletions });
                match tidy(shard, segment, WORTH, clock) {
                    Ok(bytes) => self.rests_until = now + Duration::from_micros(bytes * 1_000_000 / RATE),
                    Err(error) => {
                        shard.note_loss(&error);
                        if !matches!(error, StoreError::Closed) {
                            tracing::warn!(error = %error, shard = shard.number, "a segment could not be tidied");
                        }
                    }
                }
                shard.show();
                return;
            }
        }
    }

    /// Forgets segments that are gone.
    fn forget(&mut self, shards: &[Arc<Shard>]) {
        let there: Vec<_> = shards.iter().map(|shard| (shard.number, shard.segments())).collect();
        self.looked.retain(|(number, name), _| {
            there
                .iter()
                .any(|(its, segments)| its == number && segments.iter().any(|segment| segment.name == *name))
        });
    }
}

#[cfg(test)]
mod tests;

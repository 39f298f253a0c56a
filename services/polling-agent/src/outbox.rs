//! Samples that wait to be acknowledged: bounded, oldest first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nephos_model::Sample;
use tokio::sync::Notify;

/// Some samples with their place in the order of reading.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) place: u64,
    pub(crate) samples: Vec<Sample>,
}

/// Waiting samples, shared by those that poll and the one that sends.
#[derive(Debug)]
pub(crate) struct Outbox {
    most: usize,
    batch: usize,
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    batches: BTreeMap<u64, Vec<Sample>>,
    next: u64,
    /// Waiting and under way.
    held: usize,
    overflowing: bool,
}

/// What had to be given up to stay within the bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) samples: usize,
    /// The first time since all was sent.
    pub(crate) first: bool,
}

impl Outbox {
    /// Holds at most `most` samples, sent by `batch`.
    pub(crate) fn new(most: usize, batch: usize) -> Self {
        Self { most, batch: batch.max(1), queue: Mutex::default(), filled: Notify::new() }
    }

    /// Adds samples behind all others. If that is too much, the oldest that are not under way go.
    pub(crate) fn push(&self, samples: Vec<Sample>) -> Dropped {
        let mut queue = self.lock();
        let mut samples = samples.into_iter().peekable();
        while samples.peek().is_some() {
            let batch: Vec<Sample> = samples.by_ref().take(self.batch).collect();
            let place = queue.next;
            queue.next += 1;
            queue.held += batch.len();
            queue.batches.insert(place, batch);
        }
        let mut dropped = Dropped::default();
        while queue.held > self.most
            && let Some((_, oldest)) = queue.batches.pop_first()
        {
            queue.held -= oldest.len();
            dropped.samples += oldest.len();
        }
        if dropped.samples > 0 {
            dropped.first = !queue.overflowing;
            queue.overflowing = true;
        }
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// The oldest batch.
    pub(crate) fn take(&self) -> Option<Batch> {
        self.lock().batches.pop_first().map(|(place, samples)| Batch { place, samples })
    }

    /// A batch that could not be sent, to be tried again in its old place.
    pub(crate) fn give_back(&self, batch: Batch) {
        self.lock().batches.insert(batch.place, batch.samples);
    }

    /// So many samples left: acknowledged, or given up.
    pub(crate) fn settle(&self, samples: usize) {
        let mut queue = self.lock();
        queue.held = queue.held.saturating_sub(samples);
        queue.overflowing &= queue.held > 0;
    }

    /// Samples that wait or are under way.
    pub(crate) fn held(&self) -> usize {
        self.lock().held
    }

    /// Waits until something was added since the last call.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::{SampleKind, Timestamp};

    use super::*;

    fn samples(count: usize, name: &str) -> Vec<Sample> {
        (0..count).map(|_| Sample::new(name, SampleKind::Gauge, "", 1_i64, "r", Timestamp::EPOCH)).collect()
    }

    #[test]
    fn samples_leave_in_batches_in_the_order_they_came() {
        let outbox = Outbox::new(1_000, 100);
        assert_eq!(outbox.push(samples(250, "a")), Dropped::default());
        outbox.push(samples(1, "b"));
        let sizes: Vec<usize> =
            std::iter::from_fn(|| outbox.take()).map(|batch| batch.samples.len()).collect();
        assert_eq!(sizes, [100, 100, 50, 1]);
        assert_eq!(outbox.held(), 251, "under way is still held");
        outbox.settle(251);
        assert_eq!(outbox.held(), 0);
    }

    #[test]
    fn a_batch_given_back_is_the_next_again() {
        let outbox = Outbox::new(1_000, 10);
        outbox.push(samples(30, "a"));
        let (first, second) = (outbox.take().unwrap(), outbox.take().unwrap());
        let (first_place, second_place) = (first.place, second.place);
        outbox.give_back(second);
        outbox.give_back(first);
        assert_eq!(outbox.take().unwrap().place, first_place);
        assert_eq!(outbox.take().unwrap().place, second_place);
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_and_are_counted_and_told_once() {
        let outbox = Outbox::new(20, 10);
        outbox.push(samples(20, "old"));
        assert_eq!(outbox.push(samples(5, "new")), Dropped { samples: 10, first: true });
        assert_eq!(outbox.push(samples(10, "newer")), Dropped { samples: 10, first: false });
        assert_eq!(outbox.held(), 15);
        let names: Vec<String> =
            std::iter::from_fn(|| outbox.take()).map(|batch| batch.samples[0].name.clone()).collect();
        assert_eq!(names, ["new", "newer"]);
        outbox.settle(15);
        outbox.push(samples(20, "a"));
        assert!(outbox.push(samples(1, "b")).first, "a new time of want is told again");
    }

    #[test]
    fn what_is_under_way_counts_but_is_not_dropped() {
        let outbox = Outbox::new(10, 10);
        outbox.push(samples(10, "under way"));
        let batch = outbox.take().unwrap();
        assert_eq!(outbox.push(samples(4, "late")).samples, 4);
        outbox.settle(batch.samples.len());
        assert_eq!(outbox.held(), 0);
    }
}

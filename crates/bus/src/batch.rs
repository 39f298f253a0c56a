//! Cutting a batch of samples into messages.

use nephos_model::Sample;
use xxhash_rust::xxh3::xxh3_64;

use crate::contract::Destination;

/// Most samples a message carries.
pub(crate) const MESSAGE_SAMPLES: usize = 100;

/// Samples that travel together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Their partition; 0 where there are none.
    pub(crate) partition: u32,
    /// At most [`MESSAGE_SAMPLES`].
    pub(crate) samples: Vec<Sample>,
}

/// Which of `queues` partitions the samples of `resource_id` go through.
pub fn partition_of(resource_id: &str, queues: u32) -> u32 {
    let partition = xxh3_64(resource_id.as_bytes()) % u64::from(queues.max(1));
    u32::try_from(partition).unwrap_or(0)
}

/// Cuts `samples` into messages for `destination`, keeping the order of each partition.
pub(crate) fn cut(destination: Destination, samples: Vec<Sample>, queues: u32) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    // Position in `batches` of the message that each partition still fills.
    let mut open: Vec<Option<usize>> = vec![None; queues.max(1) as usize];
    for sample in samples {
        let partition = match destination {
            Destination::Polling => 0,
            Destination::Metering => partition_of(&sample.resource_id, queues),
        };
        let Some(open) = open.get_mut(partition as usize) else { continue };
        let room =
            open.and_then(|at| batches.get_mut(at)).filter(|batch| batch.samples.len() < MESSAGE_SAMPLES);
        match room {
            Some(batch) => batch.samples.push(sample),
            None => {
                *open = Some(batches.len());
                batches.push(Batch { partition, samples: vec![sample] });
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use nephos_model::{SampleKind, Timestamp};

    use super::*;

    fn samples(count: i64) -> Vec<Sample> {
        (0..count)
            .map(|n| {
                let resource = format!("r{}", n % 7);
                Sample::new("m", SampleKind::Gauge, "", n, resource, Timestamp::from_secs(n))
            })
            .collect()
    }

    #[test]
    fn polling_batches_keep_the_order_and_hold_at_most_a_hundred() {
        let sent = samples(250);
        let batches = cut(Destination::Polling, sent.clone(), 16);
        assert_eq!(batches.iter().map(|b| b.samples.len()).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(batches.into_iter().flat_map(|b| b.samples).collect::<Vec<_>>(), sent);
    }

    #[test]
    fn metering_batches_hold_one_partition_each_in_order_and_lose_nothing() {
        let sent = samples(2_000);
        let batches = cut(Destination::Metering, sent.clone(), 4);
        for batch in &batches {
            assert!(!batch.samples.is_empty() && batch.samples.len() <= MESSAGE_SAMPLES);
            assert!(batch.samples.iter().all(|s| partition_of(&s.resource_id, 4) == batch.partition));
        }
        for partition in 0..4 {
            let of = |s: &&Sample| partition_of(&s.resource_id, 4) == partition;
            let expected: Vec<&Sample> = sent.iter().filter(of).collect();
            let found: Vec<&Sample> =
                batches.iter().filter(|b| b.partition == partition).flat_map(|b| &b.samples).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_partition_of_a_resource_never_changes_between_versions() {
        // Written down once: a change would send a resource's samples through two collectors at a rolling upgrade.
        let found: Vec<u32> = ["", "r1", "c4647159-c324-4985-9b81-0e766ec9d286", "node-1"]
            .iter()
            .map(|resource| partition_of(resource, 16))
            .collect();
        assert_eq!(found, [2, 3, 13, 5]);
    }

    #[test]
    fn no_samples_make_no_message_and_no_queues_count_as_one() {
        assert!(cut(Destination::Polling, Vec::new(), 16).is_empty());
        assert_eq!(cut(Destination::Metering, samples(3), 0).len(), 1);
    }
}

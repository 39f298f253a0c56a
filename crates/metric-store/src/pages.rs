//! Pages of this process's memory: small ones as long as no shard has many metrics.
//!
//! A huge page counts as a whole however little of it is used, and every thread of the allocator begins some: of 20,000
//! metrics' memory that was a third, and no figure was better for it. Appends to a million metrics look into hundreds of
//! megabytes at random, where huge pages save looking up where each page lies.

/// From so many metrics of a shard on, huge pages are worth what they leave unused.
pub(crate) const MANY_METRICS: usize = 200_000;

/// Has this process do without huge pages until a shard has many metrics. To be called at its start, before memory is
/// used: those that are there already stay.
pub fn prefer_small() {
    set(true);
}

/// Lets the kernel use huge pages from now on, and make them of small ones in time.
pub(crate) fn allow_huge() {
    set(false);
}

fn set(small: bool) {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(small) {
        // Some sandboxes refuse it; then it is as the machine was set up.
        tracing::debug!(error = %error, small, "the size of memory's pages could not be chosen");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nephos_model::{Granularity, Measure, MetricId, Timestamp};
    use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};

    use super::*;
    use crate::batch::Batch;
    use crate::head::Head;

    #[test]
    fn a_shard_of_many_metrics_gets_huge_pages_and_one_of_fewer_does_not() {
        let policy = Arc::new(ArchivePolicy {
            name: "p".to_owned(),
            back_window: 0,
            definition: vec![PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points: None }],
            methods: vec![AggregationMethod::plain(Stat::Mean)],
        });
        let mut head = Head::default();
        let mut grow_to = |metrics: usize| {
            let mut batch = Batch::default();
            for _ in head.metrics.len()..metrics {
                batch.push(MetricId::random(), &policy, [Measure::new(Timestamp::EPOCH, 0.5)]);
            }
            head.append(1, &batch);
            assert_eq!(head.metrics.len(), metrics);
            rustix::thread::transparent_huge_pages_are_disabled().unwrap()
        };
        prefer_small();
        assert!(grow_to(1));
        assert!(grow_to(MANY_METRICS));
        // The table grows by an eighth at a time, and it is then that it asks.
        assert!(!grow_to(MANY_METRICS + MANY_METRICS / 8 + 65));
    }
}

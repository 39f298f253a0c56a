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

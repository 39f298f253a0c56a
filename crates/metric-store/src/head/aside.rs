//! What few look at of a metric.

use nephos_model::{Granularity, Timestamp};

use super::{Packed, Past};

/// What an append of newer measures does not need of a metric.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    /// The last commit that a segment's copy of it includes; zero if no segment has one.
    pub(crate) stored: u64,
    /// Buckets that start before this (rounded down to their width) are in segments, later ones are not.
    pub(crate) sealed: Timestamp,
    /// What segments hold of this metric from commits up to this one belongs to a deleted metric of the same name.
    pub(crate) born_after: u64,
    low_water: Option<Box<LowWater>>,
    /// What was done to it beside appending, if anything.
    pub(crate) past: Option<Box<Past>>,
    /// Measures before the raw ones.
    pub(super) packed: Option<Box<Packed>>,
}

/// Per granularity the last bucket start that a former policy let go; absent ones are the earliest time. In a box of its
/// own: few metrics have any.
#[derive(Clone, Debug)]
struct LowWater(Vec<(Granularity, Timestamp)>);

impl Aside {
    /// Of a metric that nothing was written or done to.
    pub(super) const fn new(stored: u64, born_after: u64) -> Self {
        Self { stored, sealed: Timestamp::MIN, born_after, low_water: None, past: None, packed: None }
    }

    /// Marks of buckets that former policies let go.
    pub(super) fn low_water(&self) -> &[(Granularity, Timestamp)] {
        self.low_water.as_ref().map(|marks| marks.0.as_slice()).unwrap_or_default()
    }

    pub(super) fn set_low_water(&mut self, marks: Vec<(Granularity, Timestamp)>) {
        self.low_water = (!marks.is_empty()).then(|| Box::new(LowWater(marks)));
    }
}

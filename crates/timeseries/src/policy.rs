//! Archive policies: which aggregates a metric keeps, how finely and for how long (metrics-api §4).

use nephos_model::Granularity;

use crate::method::{AggregationMethod, Stat};

/// One granularity of a policy and how many of its buckets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyItem {
    /// Width of the buckets.
    pub granularity: Granularity,
    /// Number of bucket slots kept behind the newest bucket; unlimited if absent.
    pub points: Option<u64>,
}

/// An archive policy. `definition` keeps the order its author gave, `methods` is the expanded list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArchivePolicy {
    /// Its name; any characters.
    pub name: String,
    /// How many of the coarsest buckets behind the newest one still take late measures.
    pub back_window: u32,
    /// Granularities, no two equal, at least one.
    pub definition: Vec<PolicyItem>,
    /// Methods kept for each granularity.
    pub methods: Vec<AggregationMethod>,
}

impl ArchivePolicy {
    /// The methods of a policy that names none (metrics-api §4).
    pub const DEFAULT_METHODS: [AggregationMethod; 6] = [
        AggregationMethod::plain(Stat::Mean),
        AggregationMethod::plain(Stat::Min),
        AggregationMethod::plain(Stat::Max),
        AggregationMethod::plain(Stat::Sum),
        AggregationMethod::plain(Stat::Std),
        AggregationMethod::plain(Stat::Count),
    ];

    /// The widest granularity: the block of the back window.
    pub fn coarsest(&self) -> Option<Granularity> {
        self.definition.iter().map(|item| item.granularity).max()
    }

    /// Whether any method looks at differences, which widens the raw buffer by one block.
    pub fn has_rate(&self) -> bool {
        self.methods.iter().any(|method| method.rate)
    }

    /// The item of exactly this granularity.
    pub fn item(&self, granularity: Granularity) -> Option<&PolicyItem> {
        self.definition.iter().find(|item| item.granularity == granularity)
    }
}

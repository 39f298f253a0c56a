//! Archive policies: which aggregates a metric keeps, how finely and for how long (metrics-api §4).

use std::time::Duration;

use nephos_model::Granularity;

use crate::method::{AggregationMethod, Stat, UnknownMethod};

/// One granularity of a policy and how many of its buckets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyItem {
    /// Width of the buckets.
    pub granularity: Granularity,
    /// Number of bucket slots kept behind the newest bucket; unlimited if absent.
    pub points: Option<u64>,
}

/// A granularity as its author described it: any two of the three, or the granularity alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ItemSpec {
    /// Width of the buckets.
    pub granularity: Option<Granularity>,
    /// Number of buckets kept.
    pub points: Option<u64>,
    /// How much time the kept buckets cover.
    pub timespan: Option<Duration>,
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

/// Why a policy is refused. The texts are those clients of the API know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A definition without items.
    #[error("length of value must be at least 1")]
    EmptyDefinition,
    /// All three given and not consistent.
    #[error("timespan ≠ granularity × points")]
    TimespanMismatch,
    /// The timespan is shorter than one bucket.
    #[error("Calculated number of points is < 0")]
    NoPoints,
    /// Zero points asked for.
    #[error("Number of points should be > 0")]
    ZeroPoints,
    /// More points than the timespan has nanoseconds.
    #[error("Granularity should be > 0")]
    ZeroGranularity,
    /// Not enough given to know all three.
    #[error("At least two of granularity/points/timespan must be provided")]
    TooFewFields,
    /// Two items of one width.
    #[error("More than one archive policy uses granularity `{}'", python_float(.0.as_secs_f64()))]
    DuplicateGranularity(Granularity),
    /// A timespan that 64 bits of nanoseconds cannot hold.
    #[error("timespan is longer than 292 years")]
    TooLong,
    /// A name that is no method.
    #[error(transparent)]
    Method(#[from] UnknownMethod),
    /// A change that existing aggregates cannot follow.
    #[error("Archive policy {name} does not support change: {reason}")]
    UnsupportedChange {
        /// The policy.
        name: String,
        /// What cannot change.
        reason: String,
    },
}

impl PolicyItem {
    /// Works out the missing one of granularity, points and timespan (metrics-api §4): points are rounded down,
    /// a computed granularity is cut to nanoseconds.
    pub fn new(spec: ItemSpec) -> Result<Self, PolicyError> {
        if spec.points == Some(0) {
            return Err(PolicyError::ZeroPoints);
        }
        let timespan = match spec.timespan {
            Some(span) => Some(u64::try_from(span.as_nanos()).map_err(|_| PolicyError::TooLong)?),
            None => None,
        };
        let item = match (spec.granularity, spec.points, timespan) {
            (Some(granularity), points, None) => Self { granularity, points },
            (Some(granularity), None, Some(span)) => {
                let points = span / granularity.as_nanos().unsigned_abs();
                if points == 0 {
                    return Err(PolicyError::NoPoints);
                }
                Self { granularity, points: Some(points) }
            }
            (Some(granularity), Some(points), Some(span)) => {
                let product = u128::from(granularity.as_nanos().unsigned_abs()) * u128::from(points);
                if product != u128::from(span) {
                    return Err(PolicyError::TimespanMismatch);
                }
                Self { granularity, points: Some(points) }
            }
            (None, Some(points), Some(span)) => {
                let nanos = i64::try_from(span / points).map_err(|_| PolicyError::TooLong)?;
                let granularity = Granularity::from_nanos(nanos).ok_or(PolicyError::ZeroGranularity)?;
                Self { granularity, points: Some(points) }
            }
            (None, _, _) => return Err(PolicyError::TooFewFields),
        };
        match item.points {
            Some(_) if item.timespan_nanos().is_none() => Err(PolicyError::TooLong),
            _ => Ok(item),
        }
    }

    /// How much time the kept buckets cover; `None` if unlimited.
    pub fn timespan(&self) -> Option<Duration> {
        let points = self.points?;
        let nanos = self.timespan_nanos().unwrap_or(i64::MAX).unsigned_abs();
        (points > 0).then(|| Duration::from_nanos(nanos))
    }

    fn timespan_nanos(&self) -> Option<i64> {
        self.granularity.as_nanos().checked_mul(i64::try_from(self.points?).ok()?)
    }
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

    /// A policy from what its author wrote. `methods` may hold names, `*`, `-name` and `+name`
    /// (see [`expand_methods`]); empty means `defaults`.
    pub fn new(
        name: impl Into<String>,
        back_window: u32,
        definition: &[ItemSpec],
        methods: &[String],
        defaults: &[AggregationMethod],
    ) -> Result<Self, PolicyError> {
        Ok(Self {
            name: name.into(),
            back_window,
            definition: resolve_definition(definition)?,
            methods: expand_methods(methods, defaults)?,
        })
    }

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

    /// Whether `definition` may replace this policy's: points may change, granularities may not. Order is free.
    pub fn check_change(&self, definition: &[PolicyItem]) -> Result<(), PolicyError> {
        let unsupported = |reason: String| PolicyError::UnsupportedChange { name: self.name.clone(), reason };
        if self.definition.len() != definition.len() {
            return Err(unsupported("Cannot add or drop granularities".to_owned()));
        }
        let sorted = |items: &[PolicyItem]| {
            let mut widths: Vec<_> = items.iter().map(|item| item.granularity).collect();
            widths.sort_unstable();
            widths
        };
        let changed =
            sorted(&self.definition).into_iter().zip(sorted(definition)).find(|(old, new)| old != new);
        match changed {
            None => Ok(()),
            Some((old, _)) => {
                let seconds = python_float(old.as_secs_f64());
                Err(unsupported(format!("{seconds} granularity interval was changed")))
            }
        }
    }

    /// The policies every installation starts with: low, medium, high, bool and nephos. All but bool keep
    /// `defaults`.
    pub fn well_known(defaults: &[AggregationMethod]) -> Vec<Self> {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        let policy = |name: &str, back_window, spans: &[(i64, i64)], methods: &[AggregationMethod]| Self {
            name: name.to_owned(),
            back_window,
            definition: spans.iter().filter_map(|&(width, span)| whole_seconds(width, span)).collect(),
            methods: methods.to_vec(),
        };
        vec![
            policy("low", 0, &[(5 * MINUTE, 30 * DAY)], defaults),
            policy("medium", 0, &[(MINUTE, 7 * DAY), (HOUR, 365 * DAY)], defaults),
            policy("high", 0, &[(1, HOUR), (MINUTE, 7 * DAY), (HOUR, 365 * DAY)], defaults),
            policy("bool", 3600, &[(1, 365 * DAY)], &[AggregationMethod::plain(Stat::Last)]),
            policy("nephos", 1, &[(10, 6 * HOUR), (MINUTE, 7 * DAY), (HOUR, 365 * DAY)], defaults),
        ]
    }
}

/// Resolves every item and refuses an empty list and two items of one width.
pub fn resolve_definition(specs: &[ItemSpec]) -> Result<Vec<PolicyItem>, PolicyError> {
    let items = specs.iter().map(|spec| PolicyItem::new(*spec)).collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() {
        return Err(PolicyError::EmptyDefinition);
    }
    for (position, item) in items.iter().enumerate() {
        if items.iter().skip(position + 1).any(|later| later.granularity == item.granularity) {
            return Err(PolicyError::DuplicateGranularity(item.granularity));
        }
    }
    Ok(items)
}

/// The methods a list of names, `*`, `-name` and `+name` stands for, each once: `*` starts from all, a list without
/// plain names (an empty one too) from `defaults`, any other from its plain names; then every `-` takes away and
/// every `+` adds.
pub fn expand_methods(
    entries: &[String],
    defaults: &[AggregationMethod],
) -> Result<Vec<AggregationMethod>, UnknownMethod> {
    let (mut named, mut removed, mut added, mut everything) = (Vec::new(), Vec::new(), Vec::new(), false);
    for entry in entries {
        let unknown = |_| UnknownMethod(entry.clone());
        if entry == "*" {
            everything = true;
        } else if let Some(name) = entry.strip_prefix('-') {
            removed.push(name.parse().map_err(unknown)?);
        } else if let Some(name) = entry.strip_prefix('+') {
            added.push(name.parse().map_err(unknown)?);
        } else {
            named.push(entry.parse()?);
        }
    }
    let base = if everything {
        AggregationMethod::all().collect()
    } else if named.is_empty() {
        defaults.to_vec()
    } else {
        named
    };
    let mut methods: Vec<AggregationMethod> = Vec::new();
    for method in base.into_iter().filter(|method| !removed.contains(method)).chain(added) {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

fn whole_seconds(width: i64, span: i64) -> Option<PolicyItem> {
    let granularity = Granularity::from_secs(width)?;
    Some(PolicyItem { granularity, points: Some((span / width).unsigned_abs()) })
}

/// A float as Python prints it; differs from Rust only in the exponent of small numbers (`1e-09`).
fn python_float(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once("e-") {
        Some((mantissa, exponent)) => format!("{mantissa}e-{exponent:0>2}"),
        None => text,
    }
}

#[cfg(test)]
mod tests;

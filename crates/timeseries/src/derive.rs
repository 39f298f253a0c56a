//! Aggregates from other aggregates: what a policy can give of a granularity and method that it did not keep.
//!
//! Sums of sums, least of least and the like are exact; a mean comes from sums, or means, and counts. Medians,
//! percentiles and deviations need the measures themselves. What a method gives of values, its `rate:` gives of
//! differences in the same way.

use nephos_model::{Granularity, Timestamp};

use crate::method::{AggregationMethod, Stat};
use crate::policy::ArchivePolicy;

/// How a bucket comes from those of another granularity that it is made of, or from its own other methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// Width of the buckets it comes from: as wide, or so many times narrower.
    pub source: Granularity,
    rate: bool,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One method, whose values become one as it says.
    One(Stat),
    /// Sums by counts.
    Sums,
    /// Means, each as often as it counts.
    Means,
}

impl Derivation {
    /// How a policy's aggregates give this one, if they do: unchanged if it keeps it, else from the widest granularity
    /// that the wanted one is a multiple of; among these, from the one that is kept longest.
    pub fn of(policy: &ArchivePolicy, width: Granularity, method: AggregationMethod) -> Option<Self> {
        Self::ways(policy, width, method).into_iter().next()
    }

    /// The same with every granularity that gives it, the best first.
    pub fn ways(policy: &ArchivePolicy, width: Granularity, method: AggregationMethod) -> Vec<Self> {
        let AggregationMethod { rate, stat } = method;
        let has = |stat| policy.methods.contains(&AggregationMethod { rate, stat });
        let kept = policy.item(width).is_some() && has(stat);
        let kept = kept.then_some(Self { source: width, rate, way: Way::One(stat) });
        let way = match stat {
            Stat::Sum | Stat::Count | Stat::Min | Stat::Max | Stat::First | Stat::Last if has(stat) => {
                Way::One(stat)
            }
            Stat::Mean if has(Stat::Sum) && has(Stat::Count) => Way::Sums,
            Stat::Mean if has(Stat::Mean) && has(Stat::Count) => Way::Means,
            _ => return kept.into_iter().collect(),
        };
        let divides = |narrow: Granularity| width.as_nanos() % narrow.as_nanos() == 0;
        let sources = policy.definition.iter().filter(|item| divides(item.granularity));
        let reach = |points: Option<u64>, width: Granularity| {
            points
                .map_or(u128::MAX, |points| u128::from(points) * u128::from(width.as_nanos().unsigned_abs()))
        };
        let mut sources: Vec<_> =
            sources.map(|item| (reach(item.points, item.granularity), item.granularity)).collect();
        sources.sort_unstable();
        let made = sources.into_iter().rev().map(|(_, source)| Self { source, rate, way });
        kept.into_iter().chain(made).collect()
    }

    /// The methods whose points it needs.
    pub fn needs(&self) -> Vec<AggregationMethod> {
        let stats: &[Stat] = match &self.way {
            Way::One(stat) => std::slice::from_ref(stat),
            Way::Sums => &[Stat::Sum, Stat::Count],
            Way::Means => &[Stat::Mean, Stat::Count],
        };
        stats.iter().map(|stat| AggregationMethod { rate: self.rate, stat: *stat }).collect()
    }

    /// Points of buckets of `width` from the points of the methods that it [needs](Self::needs), in their order: starts,
    /// ascending, and values.
    pub fn points(
        &self,
        width: Granularity,
        sources: &[(Vec<Timestamp>, Vec<f64>)],
    ) -> (Vec<Timestamp>, Vec<f64>) {
        let empty = (Vec::new(), Vec::new());
        let (starts, values) = sources.first().unwrap_or(&empty);
        let (other_starts, others) = sources.get(1).unwrap_or(&empty);
        let mut other = other_starts.iter().zip(others).peekable();
        let mut made: (Vec<Timestamp>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut open: Option<(Timestamp, Bucket)> = None;
        for (start, value) in starts.iter().zip(values) {
            let count = match self.way {
                Way::One(_) => 1.0,
                Way::Sums | Way::Means => {
                    while other.next_if(|(at, _)| *at < start).is_some() {}
                    // Both come from one chunk: where one is, the other is.
                    let Some((_, count)) = other.next_if(|(at, _)| *at == start) else { continue };
                    *count
                }
            };
            let bucket = start.floor(width);
            match &mut open {
                Some((at, open)) if *at == bucket => open.add(self.way, *value, count),
                _ => {
                    if let Some((at, done)) = open.replace((bucket, Bucket::new(self.way, *value, count))) {
                        made.0.push(at);
                        made.1.push(done.value(self.way));
                    }
                }
            }
        }
        if let Some((at, done)) = open {
            made.0.push(at);
            made.1.push(done.value(self.way));
        }
        made
    }
}

/// A bucket in the making.
struct Bucket {
    value: f64,
    count: f64,
}

impl Bucket {
    fn new(way: Way, value: f64, count: f64) -> Self {
        Self { value: if way == Way::Means { value * count } else { value }, count }
    }

    fn add(&mut self, way: Way, value: f64, count: f64) {
        self.count += count;
        self.value = match way {
            Way::One(Stat::Min) if value < self.value || self.value.is_nan() => value,
            Way::One(Stat::Max) if self.value.is_nan() || value <= self.value => self.value,
            Way::One(Stat::Min | Stat::First) => self.value,
            Way::One(Stat::Max | Stat::Last) => value,
            Way::One(_) | Way::Sums => self.value + value,
            Way::Means => self.value + value * count,
        };
    }

    fn value(&self, way: Way) -> f64 {
        if matches!(way, Way::One(_)) { self.value } else { self.value / self.count }
    }
}

/// What a metric has of aggregates before it got another policy, under that one: each granularity and method of the new
/// policy with how the former one gives it, or `None` if it begins empty.
pub fn derivations(
    former: &ArchivePolicy,
    next: &ArchivePolicy,
) -> Vec<(Granularity, AggregationMethod, Option<Derivation>)> {
    let widths = next.definition.iter().map(|item| item.granularity);
    let each = widths.flat_map(|width| next.methods.iter().map(move |method| (width, *method)));
    each.map(|(width, method)| (width, method, Derivation::of(former, width, method))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::aggregate;
    use crate::columns::BucketColumns;
    use crate::policy::PolicyItem;

    fn width(seconds: i64) -> Granularity {
        Granularity::from_secs(seconds).unwrap()
    }

    fn policy(items: &[(i64, Option<u64>)], methods: &[&str]) -> ArchivePolicy {
        let item = |(seconds, points): &(i64, Option<u64>)| PolicyItem {
            granularity: width(*seconds),
            points: *points,
        };
        ArchivePolicy {
            name: String::new(),
            back_window: 0,
            definition: items.iter().map(item).collect(),
            methods: methods.iter().map(|name| name.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_can_be_made_of_a_policy_is_made_of_its_best_granularity() {
        let kept = policy(
            &[(10, Some(360)), (60, Some(1440)), (7, None)],
            &["mean", "count", "max", "rate:sum", "95pct"],
        );
        for (seconds, method, source) in [
            (60, "mean", Some((60, vec!["mean"]))),
            (60, "95pct", Some((60, vec!["95pct"]))),
            (300, "mean", Some((60, vec!["mean", "count"]))),
            (300, "max", Some((60, vec!["max"]))),
            (300, "rate:sum", Some((60, vec!["rate:sum"]))),
            (50, "count", Some((10, vec!["count"]))),
            // Of two that divide it, the one that is kept for ever.
            (420, "max", Some((7, vec!["max"]))),
            (300, "95pct", None),
            (300, "std", None),
            (300, "sum", None),
            (60, "sum", None),
            (60, "rate:mean", None),
            (5, "max", None),
        ] {
            let found = Derivation::of(&kept, width(seconds), method.parse().unwrap());
            let found = found
                .map(|way| (way.source, way.needs().iter().map(ToString::to_string).collect::<Vec<_>>()));
            let source = source
                .map(|(seconds, needs)| (width(seconds), needs.into_iter().map(str::to_owned).collect()));
            assert_eq!(found, source, "{method} at {seconds}");
        }
        let sums = policy(&[(60, None)], &["sum", "count"]);
        let same_width = Derivation::of(&sums, width(60), "mean".parse().unwrap()).unwrap();
        assert_eq!((same_width.source, same_width.needs().len()), (width(60), 2));
        let all = derivations(&sums, &policy(&[(60, None), (120, None)], &["mean", "median"]));
        let given: Vec<bool> = all.iter().map(|(_, _, way)| way.is_some()).collect();
        assert_eq!(given, [true, false, true, false]);
    }

    fn points_of(
        times: &[Timestamp],
        values: &[f64],
        width: Granularity,
        method: AggregationMethod,
    ) -> (Vec<Timestamp>, Vec<f64>) {
        let mut buckets = BucketColumns::new(&[method]);
        aggregate(times, values, None, width, Timestamp::MIN, &mut buckets);
        buckets.points(method).unzip()
    }

    proptest! {
        /// With whole numbers every way is exact.
        #[test]
        fn what_is_made_of_aggregates_is_what_is_made_of_measures(
            measures in proptest::collection::btree_map(0i64..2_000, prop_oneof![9 => (-50i32..50).prop_map(f64::from), 1 => Just(f64::NAN)], 1..80),
            times in 1i64..5,
            rate in any::<bool>(),
        ) {
            let stamps: Vec<_> = measures.keys().map(|at| Timestamp::from_secs(*at)).collect();
            let values: Vec<f64> = measures.values().copied().collect();
            let kept = policy(&[(20, None)], &["sum", "count", "min", "max", "first", "last", "rate:sum", "rate:count", "rate:min", "rate:max", "rate:first", "rate:last"]);
            let wide = width(20 * times);
            for stat in [Stat::Sum, Stat::Count, Stat::Min, Stat::Max, Stat::First, Stat::Last, Stat::Mean] {
                let method = AggregationMethod { rate, stat };
                let way = Derivation::of(&kept, wide, method).unwrap();
                let sources: Vec<_> = way.needs().iter().map(|need| points_of(&stamps, &values, way.source, *need)).collect();
                let bits = |(times, values): (Vec<Timestamp>, Vec<f64>)| {
                    let canonical = |value: f64| if value.is_nan() { u64::MAX } else { (value + 0.0).to_bits() };
                    (times, values.into_iter().map(canonical).collect::<Vec<_>>())
                };
                prop_assert_eq!(bits(way.points(wide, &sources)), bits(points_of(&stamps, &values, wide, method)), "{}", method);
            }
        }
    }
}

//! Aggregation methods by name (metrics-api §4, §9.3).

use std::fmt;
use std::str::FromStr;

/// How the values of one bucket become one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stat {
    /// Sum divided by count.
    Mean,
    /// Left-to-right sum.
    Sum,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sample standard deviation; no point when there is one value.
    Std,
    /// Middle value.
    Median,
    /// Earliest value.
    First,
    /// Latest value.
    Last,
    /// Number of values.
    Count,
    /// Percentile, 1 to 99.
    Percentile(u8),
}

/// A method of an archive policy: a statistic of the values, or (`rate:…`) of their differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregationMethod {
    /// Whether differences of consecutive values are aggregated instead of the values.
    pub rate: bool,
    /// The statistic.
    pub stat: Stat,
}

/// A name that is no aggregation method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown aggregation method {0:?}")]
pub struct UnknownMethod(pub String);

impl AggregationMethod {
    /// A statistic of the values themselves.
    pub const fn plain(stat: Stat) -> Self {
        Self { rate: false, stat }
    }

    /// A statistic of the differences of consecutive values.
    pub const fn rate(stat: Stat) -> Self {
        Self { rate: true, stat }
    }

    /// All 216 methods: the 108 statistics and the same as `rate:`.
    pub fn all() -> impl Iterator<Item = Self> {
        const NAMED: [Stat; 9] = [
            Stat::Mean,
            Stat::Sum,
            Stat::Last,
            Stat::Max,
            Stat::Min,
            Stat::Std,
            Stat::Median,
            Stat::First,
            Stat::Count,
        ];
        [false, true].into_iter().flat_map(|rate| {
            NAMED.into_iter().chain((1..=99).map(Stat::Percentile)).map(move |stat| Self { rate, stat })
        })
    }
}

impl fmt::Display for AggregationMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rate {
            f.write_str("rate:")?;
        }
        f.write_str(match self.stat {
            Stat::Mean => "mean",
            Stat::Sum => "sum",
            Stat::Min => "min",
            Stat::Max => "max",
            Stat::Std => "std",
            Stat::Median => "median",
            Stat::First => "first",
            Stat::Last => "last",
            Stat::Count => "count",
            Stat::Percentile(rank) => return write!(f, "{rank}pct"),
        })
    }
}

impl FromStr for AggregationMethod {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        let (rate, name) = match text.strip_prefix("rate:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let stat = match name {
            "mean" => Stat::Mean,
            "sum" => Stat::Sum,
            "min" => Stat::Min,
            "max" => Stat::Max,
            "std" => Stat::Std,
            "median" => Stat::Median,
            "first" => Stat::First,
            "last" => Stat::Last,
            "count" => Stat::Count,
            _ => name
                .strip_suffix("pct")
                .filter(|rank| !rank.starts_with('0') && !rank.starts_with('+'))
                .and_then(|rank| rank.parse().ok())
                .filter(|rank| (1..=99).contains(rank))
                .map(Stat::Percentile)
                .ok_or_else(|| UnknownMethod(text.to_owned()))?,
        };
        Ok(Self { rate, stat })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_survives_its_name() {
        assert_eq!(AggregationMethod::all().count(), 216);
        for method in AggregationMethod::all() {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
    }

    #[test]
    fn names_near_a_method_are_refused() {
        for text in ["", "rate:", "0pct", "01pct", "+5pct", "100pct", "pct", "Mean", "rate:rate:mean", "nunique"] {
            assert!(text.parse::<AggregationMethod>().is_err(), "{text}");
        }
    }
}

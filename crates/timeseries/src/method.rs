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

/// Percentiles have the codes above this one.
const FIRST_PERCENTILE_CODE: u8 = 16;
/// Set in the code of a method of differences.
const RATE_BIT: u8 = 0x80;

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

    /// A number that stands for the method in stored data; never changes.
    pub const fn code(self) -> u8 {
        let stat = match self.stat {
            Stat::Mean => 0,
            Stat::Sum => 1,
            Stat::Min => 2,
            Stat::Max => 3,
            Stat::Std => 4,
            Stat::Median => 5,
            Stat::First => 6,
            Stat::Last => 7,
            Stat::Count => 8,
            Stat::Percentile(rank) => FIRST_PERCENTILE_CODE + (rank & 0x7f),
        };
        if self.rate { stat | RATE_BIT } else { stat }
    }

    /// The method of a [`code`](Self::code); `None` if no method has it.
    pub const fn from_code(code: u8) -> Option<Self> {
        let stat = match code & !RATE_BIT {
            0 => Stat::Mean,
            1 => Stat::Sum,
            2 => Stat::Min,
            3 => Stat::Max,
            4 => Stat::Std,
            5 => Stat::Median,
            6 => Stat::First,
            7 => Stat::Last,
            8 => Stat::Count,
            other => match other.checked_sub(FIRST_PERCENTILE_CODE) {
                Some(rank @ 1..=99) => Stat::Percentile(rank),
                _ => return None,
            },
        };
        Some(Self { rate: code & RATE_BIT != 0, stat })
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
    fn codes_are_distinct_and_lead_back() {
        let codes: std::collections::BTreeSet<u8> =
            AggregationMethod::all().map(AggregationMethod::code).collect();
        assert_eq!(codes.len(), 216);
        for code in 0..=u8::MAX {
            match AggregationMethod::from_code(code) {
                Some(method) => assert_eq!(method.code(), code),
                None => assert!(!codes.contains(&code)),
            }
        }
    }

    #[test]
    fn names_near_a_method_are_refused() {
        for text in
            ["", "rate:", "0pct", "01pct", "+5pct", "100pct", "pct", "Mean", "rate:rate:mean", "nunique"]
        {
            assert!(text.parse::<AggregationMethod>().is_err(), "{text}");
        }
    }
}

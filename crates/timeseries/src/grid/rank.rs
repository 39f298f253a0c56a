//! The series that matter most: those with the largest or smallest value over all their points.

use std::cmp::Ordering;
use std::str::FromStr;

use super::Grid;
use super::reduction::{Across, Reduction};

/// What series are ranked by: one number of all the values that a series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// A reduction of them.
    Of(Reduction),
    /// The earliest.
    First,
    /// The latest.
    Last,
}

/// A name that is no ranking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown ranking {0:?}")]
pub struct UnknownRanking(pub String);

impl FromStr for Ranking {
    type Err = UnknownRanking;

    fn from_str(text: &str) -> Result<Self, UnknownRanking> {
        match (text, text.parse::<Across>()) {
            ("first", _) => Ok(Self::First),
            ("last", _) => Ok(Self::Last),
            (_, Ok(Across { rate: false, reduction })) => Ok(Self::Of(reduction)),
            _ => Err(UnknownRanking(text.to_owned())),
        }
    }
}

impl Ranking {
    /// NaN if there are no values.
    fn of(self, column: &[f64], scratch: &mut Vec<f64>) -> f64 {
        let values = || column.iter().copied().filter(|value| !value.is_nan());
        match self {
            Self::First => values().next().unwrap_or(f64::NAN),
            Self::Last => values().next_back().unwrap_or(f64::NAN),
            Self::Of(_) if values().next().is_none() => f64::NAN,
            Self::Of(reduction) => reduction.of_row(column, scratch),
        }
    }
}

impl Grid<'_> {
    /// The numbers of the `count` series that rank highest (or lowest, with `smallest`), ascending; of equals those that
    /// come first. Series without any value are never among them.
    pub fn ranked(&self, ranking: Ranking, count: usize, smallest: bool) -> Vec<usize> {
        let mut scratch = Vec::new();
        let ranks = self.columns.iter().map(|column| ranking.of(column, &mut scratch)).enumerate();
        let mut ranks: Vec<(usize, f64)> = ranks.filter(|(_, rank)| !rank.is_nan()).collect();
        let order = |(_, a): &(usize, f64), (_, b): &(usize, f64)| -> Ordering {
            // Both zeros are one rank.
            let order = a.partial_cmp(b).unwrap_or(Ordering::Equal);
            if smallest { order } else { order.reverse() }
        };
        ranks.sort_by(order);
        ranks.truncate(count);
        let mut chosen: Vec<usize> = ranks.into_iter().map(|(series, _)| series).collect();
        chosen.sort_unstable();
        chosen
    }

    /// These series alone, in this order; ones that are not there are left out.
    pub fn keep(mut self, series: &[usize]) -> Self {
        let taken = |at: &usize| self.columns.get_mut(*at).map(std::mem::take);
        self.columns = series.iter().filter_map(taken).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::{Granularity, Timestamp};

    use super::*;
    use crate::grid::Fill;

    const ABSENT: f64 = f64::NAN;

    fn grid(columns: &[[f64; 3]]) -> Grid<'static> {
        let times: Vec<_> = (0..3).map(|at| Timestamp::from_secs(at * 10)).collect();
        let series = columns.iter().map(|values| (times.clone(), values.to_vec())).collect();
        Grid::align(Granularity::from_secs(10).unwrap(), series, Fill::Null)
    }

    #[test]
    fn series_are_ranked_by_one_number_of_their_values() {
        let grid = grid(&[
            [1.0, 2.0, 3.0],
            [9.0, ABSENT, ABSENT],
            [ABSENT, ABSENT, ABSENT],
            [4.0, 0.0, 2.0],
            [2.0, 2.0, 2.0],
            [-1.0, f64::INFINITY, 0.0],
        ]);
        for (ranking, count, smallest, chosen) in [
            ("mean", 2, false, &[1, 5][..]),
            ("mean", 3, true, &[0, 3, 4]),
            ("mean", 1, true, &[0]),
            ("sum", 2, true, &[0, 3]),
            ("max", 2, false, &[1, 5]),
            ("min", 2, true, &[3, 5]),
            ("first", 1, false, &[1]),
            ("last", 2, false, &[0, 1]),
            ("last", 1, true, &[5]),
            ("count", 1, true, &[1]),
            ("median", 1, false, &[1]),
            ("var", 1, false, &[3]),
            ("std", 2, true, &[1, 4]),
            ("mean", 99, false, &[0, 1, 3, 4, 5]),
        ] {
            assert_eq!(grid.ranked(ranking.parse().unwrap(), count, smallest), chosen, "{ranking} {count}");
        }
        let kept = grid.keep(&[3, 0, 17]);
        assert_eq!(
            (kept.width(), kept.column(0), kept.column(1)),
            (2, &[4.0, 0.0, 2.0][..], &[1.0, 2.0, 3.0][..])
        );
        for text in ["", "rate:mean", "95pct", "Mean"] {
            assert!(text.parse::<Ranking>().is_err(), "{text}");
        }
    }
}

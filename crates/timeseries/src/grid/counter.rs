//! How much counters grew, whatever happened to them.

use std::borrow::Cow;
use std::sync::Arc;

use super::Grid;

impl Grid<'_> {
    /// How much each series grew since its own previous value, with `per_second` by the seconds since then. A value
    /// smaller than the one before says that the counter began anew: it grew from zero. The first timestamp has no
    /// result, and a series has none before its second value.
    pub fn increases(mut self, per_second: bool) -> Self {
        let times = Arc::clone(&self.timestamps);
        for column in &mut self.columns {
            let mut previous = None;
            let grown = times.iter().zip(column.iter()).map(|(at, value)| {
                if value.is_nan() {
                    return f64::NAN;
                }
                let Some((before, last)) = previous.replace((*at, *value)) else { return f64::NAN };
                let growth = if *value < last { *value } else { value - last };
                #[allow(clippy::cast_precision_loss)]
                let seconds = at.nanos_since(before) as f64 / 1e9;
                if per_second { growth / seconds } else { growth }
            });
            let grown: Vec<f64> = grown.collect();
            *column = Cow::Owned(grown.get(1..).unwrap_or_default().to_vec());
        }
        self.timestamps = Arc::new(times.get(1..).unwrap_or_default().to_vec());
        self
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::{Granularity, Timestamp};

    use super::*;
    use crate::grid::Fill;

    fn grid(series: &[&[(i64, f64)]]) -> Grid<'static> {
        let columns = series
            .iter()
            .map(|points| points.iter().map(|(at, value)| (Timestamp::from_secs(*at), *value)).unzip());
        Grid::align(Granularity::from_secs(10).unwrap(), columns.collect(), Fill::Null)
    }

    fn shown(grid: &Grid<'_>, series: usize) -> Vec<(i64, f64)> {
        let points = grid.timestamps().iter().zip(grid.column(series));
        points.filter(|(_, value)| !value.is_nan()).map(|(at, value)| (at.as_secs(), *value)).collect()
    }

    #[test]
    fn a_counter_that_fell_began_anew_from_zero() {
        let counters: &[&[(i64, f64)]] = &[
            &[(0, 100.0), (10, 130.0), (20, 5.0), (30, 5.0), (40, 0.0), (50, 7.5)],
            &[],
            &[(20, 9.0)],
            // It has no value at 30: what it grew shows at its next one.
            &[(0, 1.0), (20, 3.0), (40, 1.0)],
        ];
        let grown = grid(counters).increases(false);
        assert_eq!(shown(&grown, 0), [(10, 30.0), (20, 5.0), (30, 0.0), (40, 0.0), (50, 7.5)]);
        assert_eq!((shown(&grown, 1), shown(&grown, 2)), (vec![], vec![]));
        assert_eq!(shown(&grown, 3), [(20, 2.0), (40, 1.0)]);
        let rates = grid(counters).increases(true);
        assert_eq!(shown(&rates, 0), [(10, 3.0), (20, 0.5), (30, 0.0), (40, 0.0), (50, 0.75)]);
        assert_eq!(shown(&rates, 3), [(20, 0.1), (40, 0.05)]);
        assert!(grid(&[]).increases(true).timestamps().is_empty());
    }
}

//! An aggregate of series that lie with several owners: each tells what its own come to, and how many they are at each
//! timestamp. Extremes and counts are then exact; sums and means differ from those of one owner in the last digits,
//! since additions come in another order.

use nephos_lang::operations::Operation;
use nephos_model::Granularity;
use nephos_timeseries::{Across, Fill, Grid, Reduction};

use super::folded::{come_from_aggregates, parts};
use super::{
    Computation, Computed, Evaluator, Filling, Points, Refusal, Series, Source, Work, by_granularity,
};

/// How a computation can be shared between owners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part<'o> {
    /// The aggregate that everything in the operations comes from.
    aggregate: &'o Operation,
    reduction: Reduction,
    filling: Filling,
}

impl Part<'_> {
    /// What each owner does with its series.
    pub(crate) fn work(&self) -> Work {
        Work::Share(match self.reduction {
            extreme @ (Reduction::Min | Reduction::Max) => extreme,
            _ => Reduction::Sum,
        })
    }
}

/// How owners can share a computation; `None` if it needs all series in one place.
pub(crate) fn divide(work: &Work) -> Option<Part<'_>> {
    let Work::Operations { operations, filling, .. } = work else { return None };
    match filling {
        Filling::Fill { fill: Fill::Null, .. } | Filling::Overlap(_) => {}
        // What fills a cell depends on timestamps that other owners have.
        Filling::Fill { .. } => return None,
    }
    let mut found = Vec::new();
    if !come_from_aggregates(operations, &mut found) {
        return None;
    }
    let [aggregate] = found[..] else { return None };
    let (Across { reduction, .. }, _) = parts(aggregate)?;
    let is_divisible = !matches!(reduction, Reduction::Median | Reduction::Std | Reduction::Var);
    is_divisible.then_some(Part { aggregate, reduction, filling: *filling })
}

/// What series come to at each timestamp, and how many they are: two columns for each granularity.
pub(super) fn share(computation: &Computation, reduction: Reduction, series: Vec<Series>) -> Computed {
    let plain = |reduction| Across { rate: false, reduction };
    let grids = by_granularity(computation, series).into_iter().map(|(granularity, series)| {
        let all: Vec<usize> = (0..series.len()).collect();
        let grid = Grid::align(granularity, series, Fill::Null);
        let columns = [reduction, Reduction::Count].map(|reduction| {
            let column = grid.select(&all).aggregate(plain(reduction));
            (column.timestamps().to_vec(), column.column(0).to_vec())
        });
        Grid::align(granularity, columns.into(), Fill::Null)
    });
    Computed { grids: grids.collect(), ..Computed::default() }
}

/// Puts together what owners made of their shares, and does what the operations do with it.
pub(crate) fn combine(
    computation: &Computation,
    part: Part<'_>,
    shares: &[Computed],
) -> Result<Computed, Refusal> {
    let Work::Operations { operations, .. } = &computation.work else { return Err(Refusal::Malformed) };
    let mut evaluator = Evaluator { source: Source::Aggregates(vec![(part.aggregate, 0)]), work: 0 };
    let mut computed = Computed::default();
    for granularity in computation.granularities() {
        let base = aggregate(computation, part, granularity, shares)?;
        evaluator.take(operations, base, &mut computed)?;
    }
    Ok(computed)
}

/// The aggregate of all series, as a grid of one.
fn aggregate(
    computation: &Computation,
    part: Part<'_>,
    granularity: Granularity,
    shares: &[Computed],
) -> Result<Grid<'static>, Refusal> {
    let own = |share: &'_ Computed, column| -> Points {
        let grid = share.grids.iter().find(|grid| grid.granularity() == granularity);
        grid.map(|grid| (grid.timestamps().to_vec(), grid.column(column).to_vec())).unwrap_or_default()
    };
    let columns = [0, 1].into_iter().flat_map(|column| shares.iter().map(move |share| own(share, column)));
    let all = Grid::align(granularity, columns.collect(), Fill::Null);
    let of = |from: usize, reduction| {
        let columns: Vec<usize> = (from..from + shares.len()).collect();
        all.select(&columns).aggregate(Across { rate: false, reduction })
    };
    let counts = of(shares.len(), Reduction::Sum);
    let merged = match part.reduction {
        Reduction::Count => counts.clone(),
        Reduction::Mean => of(0, Reduction::Sum).zip(counts.clone(), |sum, count| sum / count)?,
        extreme @ (Reduction::Min | Reduction::Max) => of(0, extreme),
        _ => of(0, Reduction::Sum),
    };
    let Filling::Overlap(needed) = part.filling else { return Ok(merged.into_owned()) };
    // At complete rows every series has a value.
    #[allow(clippy::cast_precision_loss)]
    let width = computation.requests.len() as f64;
    let mut complete = counts.map(|count| if count < width { f64::NAN } else { count }).into_owned();
    complete.require_overlap(computation.overlap(needed))?;
    let kept = complete.timestamps();
    let begin = kept.first().map_or(0, |first| merged.timestamps().partition_point(|at| at < first));
    let cut = |values: &[f64]| values.iter().skip(begin).take(kept.len()).copied().collect();
    Ok(Grid::align(granularity, vec![(kept.to_vec(), cut(merged.column(0)))], Fill::Null))
}

//! Operations on aggregates alone: series are added to these one after the other and kept no longer. What comes of it
//! is to the last bit what comes of all series side by side.

use std::collections::HashMap;
use std::ptr;

use nephos_lang::operations::{Operation, Reference};
use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{Across, Fill, Fold, Reduction};

use super::{Computation, Computed, Evaluator, Filling, Refusal, Source, Work};

/// A computation whose series come one by one.
#[derive(Debug)]
pub(crate) struct Folding<'c> {
    computation: &'c Computation,
    /// The aggregates of series that the operations consist of: none in a share.
    leaves: Vec<&'c Operation>,
    /// For each of them which series it has; it has all of them if nothing is said.
    members: Vec<Vec<bool>>,
    folds: Vec<(Granularity, Fold)>,
}

impl<'c> Folding<'c> {
    /// `None` if the computation needs all series at once.
    pub(crate) fn of(computation: &'c Computation) -> Option<Self> {
        let first = computation.requests.first()?;
        if computation.requests.iter().any(|request| request.granularities != first.granularities) {
            return None;
        }
        let mut leaves = Vec::new();
        let (reductions, members, fill) = match &computation.work {
            Work::Share(reduction) => (vec![*reduction, Reduction::Count], Vec::new(), Fill::Null),
            Work::Operations { operations, selection, filling } => {
                if !come_from_aggregates(operations, &mut leaves) {
                    return None;
                }
                let reductions = leaves.iter().map(|leaf| Some(parts(leaf)?.0.reduction));
                let members = members(operations, &leaves, selection, computation.requests.len());
                let fill = match filling {
                    Filling::Fill { fill, .. } => *fill,
                    Filling::Overlap(_) => Fill::Null,
                };
                (reductions.collect::<Option<_>>()?, members, fill)
            }
        };
        let fold = Fold::new(&reductions, fill)?;
        let folds = computation.granularities().into_iter().map(|granularity| (granularity, fold.clone()));
        Some(Self { computation, leaves, members, folds: folds.collect() })
    }

    /// Takes points of the series at some place of the computation.
    pub(crate) fn add(
        &mut self,
        place: usize,
        granularity: Granularity,
        timestamps: &[Timestamp],
        values: &[f64],
    ) {
        let members = &self.members;
        if let Some((_, fold)) = self.folds.iter_mut().find(|(its, _)| *its == granularity) {
            fold.add(timestamps, values, |leaf| {
                members.get(leaf).is_none_or(|members| members.get(place).copied().unwrap_or_default())
            });
        }
    }

    /// What comes of it when all series were added; `None` if all of them are needed after all.
    pub(crate) fn finish(self) -> Option<Result<Computed, Refusal>> {
        let (overlap, operations) = match &self.computation.work {
            Work::Operations { operations, filling, .. } => {
                let overlap = match filling {
                    Filling::Overlap(needed) => Some(self.computation.overlap(*needed)),
                    Filling::Fill { .. } => None,
                };
                (overlap, Some(operations))
            }
            Work::Share(_) => (None, None),
        };
        let mut computed = Computed::default();
        let mut evaluator = Evaluator { source: Source::Aggregates(Vec::new()), work: 0 };
        for (granularity, fold) in self.folds {
            let (grid, widths) = match fold.finish(granularity, overlap) {
                Ok(done) => done?,
                Err(error) => return Some(Err(error.into())),
            };
            let Some(operations) = operations else {
                computed.grids.push(grid);
                continue;
            };
            evaluator.source = Source::Aggregates(self.leaves.iter().copied().zip(widths).collect());
            if let Err(refusal) = evaluator.take(operations, grid, &mut computed) {
                return Some(Err(refusal));
            }
        }
        Some(Ok(computed))
    }
}

/// The method of an aggregate of series, and what these are; `None` if the operation is something else.
pub(super) fn parts(operation: &Operation) -> Option<(Across, &[Reference])> {
    let Operation::Aggregate { method, operand } = operation else { return None };
    let Operation::Metric(references) = operand.as_ref() else { return None };
    Some((method.parse().ok()?, references))
}

/// Whether all series in the operations come from aggregates of what was read; finds these, equal ones once.
pub(super) fn come_from_aggregates<'o>(operation: &'o Operation, found: &mut Vec<&'o Operation>) -> bool {
    match operation {
        Operation::Number(_) => true,
        Operation::Metric(_) => false,
        Operation::Aggregate { operand, .. } if matches!(**operand, Operation::Metric(_)) => {
            if !found.iter().any(|known| is(known, operation)) {
                found.push(operation);
            }
            true
        }
        Operation::Binary(_, sides) => sides.iter().all(|side| come_from_aggregates(side, found)),
        Operation::Aggregate { operand, .. }
        | Operation::Rolling { operand, .. }
        | Operation::Resample { operand, .. }
        | Operation::Rank { operand, .. }
        | Operation::Increase { operand, .. }
        | Operation::Unary(_, operand)
        | Operation::RateOfChange { operand, .. } => come_from_aggregates(operand, found),
    }
}

/// Whether operations are equal; mostly they are one.
pub(super) fn is(one: &Operation, other: &Operation) -> bool {
    ptr::eq(one, other) || one == other
}

/// For each of the aggregates which of so many series it has.
fn members(
    operations: &Operation,
    leaves: &[&Operation],
    selection: &[Vec<u32>],
    width: usize,
) -> Vec<Vec<bool>> {
    let references = |leaf: &&'_ Operation| parts(leaf).map_or(0, |(_, references)| references.len());
    let named: usize = leaves.iter().map(references).sum();
    let mut members = vec![vec![false; width]; leaves.len()];
    let mut set = |leaf: usize, places: &[u32]| {
        for place in places {
            let member = members.get_mut(leaf).and_then(|members| members.get_mut(*place as usize));
            member.into_iter().for_each(|member| *member = true);
        }
    };
    // If none is named twice, selections come as the references do.
    let mut in_order = selection.iter();
    let by_name: HashMap<&Reference, &Vec<u32>> = if named == selection.len() {
        HashMap::new()
    } else {
        operations.references().into_iter().zip(selection).collect()
    };
    for (at, leaf) in leaves.iter().enumerate() {
        for reference in parts(leaf).map_or(&[][..], |(_, references)| references) {
            let places = if by_name.is_empty() { in_order.next() } else { by_name.get(reference).copied() };
            set(at, places.map(Vec::as_slice).unwrap_or_default());
        }
    }
    members
}

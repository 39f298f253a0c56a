//! Points of the time before the present policy: derived from what former ones kept.

use std::ops::Range;

use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{AggregationMethod, Derivation};

use super::{Memory, Part, Reading};
use crate::contract::StoreError;
use crate::head::{aggregate_rest, blind, ceil, hide, known_from};

impl Reading<'_> {
    /// Appends the points of buckets that begin under former policies.
    pub(super) fn derive(
        &self,
        part: &Part,
        memory: &mut Memory,
        timestamps: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> Result<(), StoreError> {
        let width = part.item.granularity;
        let mut begin = Timestamp::MIN;
        for (at, former) in part.formers.iter().enumerate() {
            let start = begin;
            let last = former.until.floor(width);
            begin = begin.max(last);
            let derivable = former.derivable_until(width);
            let stop = part.stop.map_or(derivable, |stop| ceil(stop, width).min(derivable));
            // Only buckets of which every part is known.
            let before = part.formers.get(..at).unwrap_or_default();
            let known = |way: &Derivation| {
                let known = known_from(before, way.source, &way.needs()).max(part.let_go(way.source));
                start.max(ceil(known, width))
            };
            let ways = Derivation::ways(&former.policy, width, self.request.method);
            let Some((start, way)) = ways.iter().map(|way| (known(way), way)).min_by_key(|(start, _)| *start)
            else {
                continue;
            };
            if start <= last {
                // The bucket in which its time ended is known to it as a whole, or else to a later one.
                begin = begin.max(derivable);
            }
            let range = part.from.max(start)..stop;
            if range.is_empty() {
                continue;
            }
            let needs = way.needs();
            let sources = needs.iter().map(|need| self.source(part, way.source, *need, &range, memory));
            let sources = sources.collect::<Result<Vec<_>, _>>()?;
            let (mut starts, mut made) = way.points(width, &sources);
            timestamps.append(&mut starts);
            values.append(&mut made);
        }
        Ok(())
    }

    /// Points of one granularity and method, from segments and raw measures, whatever policy the metric has.
    fn source(
        &self,
        part: &Part,
        width: Granularity,
        method: AggregationMethod,
        range: &Range<Timestamp>,
        memory: &mut Memory,
    ) -> Result<(Vec<Timestamp>, Vec<f64>), StoreError> {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        let sealed = part.edge.floor(width);
        let stored = range.start..range.end.min(sealed);
        self.read_segments(width, method, stored, memory, &mut timestamps, &mut values)?;
        let from = range.start.max(sealed);
        if from < range.end {
            self.budget.take(part.raw.timestamps.len())?;
            let buckets = memory.buckets_of(method);
            aggregate_rest(&part.erased, &blind(&part.formers, width), &part.raw, width, from, buckets);
            for (start, value) in buckets.points(method).filter(|(start, _)| range.contains(start)) {
                timestamps.push(start);
                values.push(value);
            }
        }
        hide(&part.erased, width, &mut timestamps, &mut values);
        Ok((timestamps, values))
    }
}

impl Part {
    /// The oldest bucket of a width that former policies did not let go.
    fn let_go(&self, width: Granularity) -> Timestamp {
        let mark = self.low_water.iter().find(|(granularity, _)| *granularity == width);
        mark.map_or(Timestamp::MIN, |(_, mark)| *mark)
    }
}

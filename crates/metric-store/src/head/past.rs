//! What was done to a metric beside appending to it: ranges of time that were erased, and changes of its policy.
//!
//! A range erases whole buckets. Those that can change no more when it comes (they lie before the metric's window) are
//! hidden if they lie inside the range, and stay as they are if they stick out. Measures of the range that are not
//! older than the window are taken out, so that later buckets are computed without them, and late ones may follow.
//! Neither depends on what a checkpoint has written by then.

use std::ops::Range;

use nephos_model::{Granularity, Measure, Timestamp};
use nephos_timeseries::{BucketColumns, aggregate};

use super::{Former, MetricState};
use crate::pack::Columns;

/// A range of time that was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erased {
    pub(crate) start: Timestamp,
    /// Exclusive.
    pub(crate) stop: Timestamp,
    /// The metric's window when it happened.
    pub(crate) window: Timestamp,
}

impl Erased {
    /// Starts of the buckets that it hides: those inside it that could change no more.
    pub(crate) fn hidden(&self, width: Granularity) -> Range<Timestamp> {
        let floor = self.start.floor(width);
        let start = if floor == self.start { floor } else { floor.plus_nanos(width.as_nanos()) };
        start..self.stop.floor(width).min(self.window.floor(width))
    }

    /// Whether a raw measure that stayed for buckets that stick out is erased for all others.
    fn has(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.stop.min(self.window)
    }

    /// Where its effect on buckets of a width changes.
    fn edges(&self, width: Granularity) -> [Timestamp; 2] {
        let floor = self.window.floor(width);
        [floor, if floor == self.window { floor } else { floor.plus_nanos(width.as_nanos()) }]
    }
}

/// What was done to a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Past {
    /// The newest measure it ever had, which may be erased: retention does not go back.
    pub(crate) newest: Timestamp,
    /// In the order in which they came.
    pub(crate) erased: Vec<Erased>,
    /// The policies that it had before, oldest first.
    pub(crate) former: Vec<Former>,
}

impl Default for Past {
    fn default() -> Self {
        Self { newest: Timestamp::MIN, erased: Vec::new(), former: Vec::new() }
    }
}

impl MetricState {
    /// Ranges that were erased.
    pub(crate) fn erased(&self) -> &[Erased] {
        self.aside.past.as_ref().map(|past| past.erased.as_slice()).unwrap_or_default()
    }

    /// Erases a range.
    pub(super) fn erase(&mut self, start: Timestamp, stop: Timestamp) {
        self.disturb();
        let before = |raw: &[Measure], time: Timestamp| raw.partition_point(|m| m.timestamp < time);
        let from = before(&self.raw, start.max(self.window));
        let taken = from..before(&self.raw, stop).max(from);
        let range = Erased { start, stop, window: self.window };
        let hides = start < self.window && !self.erased().contains(&range);
        if !hides && taken.is_empty() {
            return;
        }
        let newest = self.last();
        let past = self.aside.past.get_or_insert_default();
        past.newest = newest;
        if hides {
            past.erased.push(range);
        }
        self.raw.drain(taken);
        self.look_closer();
    }

    /// Forgets ranges and policies that make no difference any more.
    pub(super) fn forget_past(&mut self) {
        let shown = self.policy.definition.iter().map(|item| self.first_kept(item)).min();
        if let (Some(past), Some(shown)) = (&mut self.aside.past, shown) {
            past.former.retain(|former| former.lasting > shown);
        }
        self.forget_ranges(|range| shown.is_some_and(|shown| range.stop <= shown));
    }

    /// Forgets ranges whose buckets no segment has any more.
    pub(crate) fn forget_ranges(&mut self, gone: impl Fn(&Erased) -> bool) {
        let (first, last) = (self.first_raw(), self.last_raw());
        let Some(past) = &mut self.aside.past else { return };
        past.erased.retain(|range| first < range.window || !gone(range));
        if past.erased.is_empty() && past.former.is_empty() && past.newest <= last {
            self.aside.past = None;
        }
    }
}

/// Starts of the buckets that ranges hide.
pub(crate) fn hidden(erased: &[Erased], width: Granularity) -> Vec<Range<Timestamp>> {
    let hidden = erased.iter().map(|range| range.hidden(width));
    hidden.filter(|hidden| hidden.start < hidden.end).collect()
}

/// Takes out the points of buckets that ranges hide.
pub(crate) fn hide(
    erased: &[Erased],
    width: Granularity,
    timestamps: &mut Vec<Timestamp>,
    values: &mut Vec<f64>,
) {
    let hidden = hidden(erased, width);
    if hidden.is_empty() {
        return;
    }
    let shown = |start: &Timestamp| !hidden.iter().any(|hidden| hidden.contains(start));
    let mut flags = timestamps.iter().map(shown).collect::<Vec<_>>().into_iter();
    values.retain(|_| flags.next().unwrap_or_default());
    timestamps.retain(shown);
}

/// [`aggregate`] of the buckets from `from` on, without the measures that are erased for them. Buckets that ranges hide
/// are among them. Before times in `blind` nothing is known: the first measure from there on has no predecessor.
pub(crate) fn aggregate_rest(
    erased: &[Erased],
    blind: &[Timestamp],
    raw: &Columns,
    width: Granularity,
    from: Timestamp,
    out: &mut BucketColumns,
) {
    let Columns { timestamps, values } = raw;
    if erased.is_empty() && blind.is_empty() {
        return aggregate(timestamps, values, None, width, from, out);
    }
    let mut edges: Vec<Timestamp> = erased.iter().flat_map(|range| range.edges(width)).collect();
    edges.extend(blind);
    edges.retain(|edge| *edge > from);
    edges.extend([from, Timestamp::MAX]);
    edges.sort_unstable();
    edges.dedup();
    for (start, end) in edges.iter().zip(edges.iter().skip(1)) {
        let open: Vec<&Erased> = erased.iter().filter(|range| range.window.floor(width) <= *start).collect();
        let stays = |at: Timestamp| !open.iter().any(|range| range.has(at));
        let before = |time: Timestamp| timestamps.partition_point(|timestamp| *timestamp < time);
        let last = if *end == Timestamp::MAX { timestamps.len() } else { before(*end) };
        let rows = before(*start)..last;
        let measure = |row: usize| Some(Measure::new(*timestamps.get(row)?, *values.get(row)?));
        let is_known = |at: Timestamp| !blind.iter().any(|blind| at < *blind && *blind <= *start);
        let predecessor = rows.start.checked_sub(1).and_then(measure);
        let predecessor = predecessor.filter(|one| stays(one.timestamp) && is_known(one.timestamp));
        let mut rest = Columns::default();
        for one in rows.filter_map(measure).filter(|one| stays(one.timestamp)) {
            rest.timestamps.push(one.timestamp);
            rest.values.push(one.value);
        }
        aggregate(&rest.timestamps, &rest.values, predecessor, width, *start, out);
    }
}

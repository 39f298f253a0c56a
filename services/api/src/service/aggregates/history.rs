//! Grouping by what attributes were at the time (metrics-api §10.3, `use_history`).

use std::collections::BTreeMap;

use nephos_model::{Granularity, Resource, ResourceId, Timestamp};

use super::{Computed, Window};

/// A revision of a resource, and the part of the window in which it was true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period<'r> {
    /// The resource as it was.
    pub resource: &'r Resource,
    /// Since when; from the beginning if there is none.
    pub start: Option<Timestamp>,
    /// Until when, exclusive; for ever if there is none.
    pub stop: Option<Timestamp>,
}

/// When each revision was true. The first that is looked at counts from the start of the window.
pub fn periods<'r>(revisions: &'r [Resource], window: &Window) -> Vec<Period<'r>> {
    let mut sorted: Vec<&Resource> = revisions.iter().collect();
    sorted.sort_by_key(|revision| (revision.id, revision.revision_start));
    let mut last: Option<ResourceId> = None;
    let period = |resource: &'r Resource| {
        let is_first = last.replace(resource.id) != Some(resource.id);
        let start = match (is_first, window.start) {
            (true, start) => start,
            (false, Some(start)) => Some(start.max(resource.revision_start)),
            (false, None) => Some(resource.revision_start),
        };
        let stop = match (resource.revision_end, window.stop) {
            (Some(end), Some(stop)) => Some(end.min(stop)),
            (end, stop) => end.or(stop),
        };
        Period { resource, start, stop }
    };
    let periods = sorted.into_iter().map(period);
    periods
        .filter(|period| period.stop.is_none_or(|stop| period.start.is_none_or(|start| start < stop)))
        .collect()
}

/// Points of a group by granularity and time.
#[derive(Debug, Default)]
pub struct Sum(BTreeMap<std::cmp::Reverse<Granularity>, BTreeMap<Timestamp, f64>>);

impl Sum {
    /// Adds the first series of what was computed for a period, each value in proportion to how much of its bucket lies
    /// in the period.
    pub fn add(&mut self, computed: &Computed, period: &Period<'_>) {
        for grid in &computed.grids {
            let granularity = grid.granularity();
            let points = self.0.entry(std::cmp::Reverse(granularity)).or_default();
            for (timestamp, value) in computed.points(grid, 0) {
                let weighted = value * share(timestamp, granularity, period);
                points.entry(timestamp).and_modify(|sum| *sum += weighted).or_insert(weighted);
            }
        }
    }

    /// How many points there are.
    pub fn size(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// The points of each granularity, coarsest first.
    pub fn into_points(self) -> impl Iterator<Item = (Granularity, BTreeMap<Timestamp, f64>)> {
        self.0.into_iter().map(|(granularity, points)| (granularity.0, points))
    }
}

/// How much of a bucket lies in a period.
#[allow(clippy::cast_precision_loss)]
fn share(timestamp: Timestamp, granularity: Granularity, period: &Period<'_>) -> f64 {
    let end = timestamp.plus_nanos(granularity.as_nanos());
    let begin = period.start.map_or(timestamp, |start| start.max(timestamp));
    let end = period.stop.map_or(end, |stop| stop.min(end));
    end.nanos_since(begin) as f64 / granularity.as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use nephos_timeseries::{Fill, Grid};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn revision(number: u128, start: i64, end: Option<i64>) -> Resource {
        Resource {
            id: ResourceId(uuid::Uuid::from_u128(number)),
            original_resource_id: String::new(),
            resource_type: "generic".to_owned(),
            creator: None,
            user_id: None,
            project_id: None,
            started_at: at(0),
            ended_at: None,
            revision_start: at(start),
            revision_end: end.map(at),
            revision: -1,
            attributes: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }

    #[test]
    fn revisions_share_the_window() {
        let revisions = [revision(1, 50, None), revision(2, 20, None), revision(1, 10, Some(50))];
        let bounds = |window: Window| {
            let periods = periods(&revisions, &window);
            let bounds = periods
                .iter()
                .map(|period| (period.start.map(Timestamp::as_secs), period.stop.map(Timestamp::as_secs)));
            bounds.collect::<Vec<_>>()
        };
        assert_eq!(bounds(Window::default()), [(None, Some(50)), (Some(50), None), (None, None)]);
        let window = Window { start: Some(at(5)), stop: Some(at(60)), granularity: None };
        assert_eq!(bounds(window), [(Some(5), Some(50)), (Some(50), Some(60)), (Some(5), Some(60))]);
        let before = Window { start: None, stop: Some(at(30)), granularity: None };
        assert_eq!(bounds(before), [(None, Some(30)), (None, Some(30))]);
    }

    #[test]
    fn values_count_in_proportion_and_add_up() {
        let granularity = Granularity::from_secs(10).unwrap();
        let points = vec![(vec![at(0), at(10), at(20)], vec![8.0, 8.0, 8.0])];
        let computed = Computed {
            grids: vec![Grid::align(granularity, points, Fill::Null)],
            aggregated: true,
            chosen: Vec::new(),
            dropping: true,
            regroup: None,
            sources: Vec::new(),
        };
        let resource = revision(1, 0, None);
        let mut sum = Sum::default();
        sum.add(&computed, &Period { resource: &resource, start: Some(at(5)), stop: Some(at(22)) });
        sum.add(&computed, &Period { resource: &resource, start: None, stop: None });
        assert!(!sum.is_empty());
        let (_, points) = sum.into_points().next().unwrap();
        assert_eq!(points.into_values().collect::<Vec<_>>(), [12.0, 16.0, 9.6]);
    }
}

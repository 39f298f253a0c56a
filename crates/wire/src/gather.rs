//! Points by resource and metric name, as messages of other systems bring them: taken in one by one, given back as
//! columns in which the points of each metric stand together.
//!
//! How much memory a message may take is bounded by what it brings, not by its length: names that a few bytes can call
//! up again and again count each time they are kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use nephos_model::Timestamp;
use sha2::{Digest, Sha256};

use crate::gnocchi::id::MAX_CHARACTERS;
use crate::gnocchi::scan::Columns;

/// Longest name of a metric, in bytes: databases keep indexes of them.
pub const MAX_METRIC_NAME: usize = 1_024;

/// What a point, a metric and a resource take besides their texts, in bytes.
const POINT: usize = 24;
const METRIC: usize = 96;
const RESOURCE: usize = 160;

/// Characters that are kept of an id that is too long; a digest of the whole follows.
const KEPT: usize = 200;

/// The message brings more than may be kept of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message brings more series and points than are taken at once")]
pub struct Full;

/// Points by resource and metric.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Resources in the order they came; none stands twice.
    pub resources: Vec<GatheredResource>,
    /// All points, in the order of resources and their metrics.
    pub columns: Columns,
}

/// A resource as a message tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatheredResource {
    /// Its id as text; without `/` and short enough for a resource id.
    pub id: String,
    /// Attributes.
    pub attributes: Vec<(String, String)>,
    /// Metrics in the order they came; no name stands twice.
    pub metrics: Vec<GatheredMetric>,
}

/// A metric of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatheredMetric {
    /// Its name; without `/`.
    pub name: String,
    /// Its unit, if the message tells it.
    pub unit: Option<String>,
    /// Where its points are in the columns; may be none.
    pub points: Range<usize>,
}

/// A text that can be the id of a resource: `/` becomes `_`; of one that is too long the beginning is kept, and a digest
/// of the whole.
pub fn id_text(text: &str) -> Cow<'_, str> {
    let text = without_slash(text);
    if text.len() <= MAX_CHARACTERS || text.chars().count() <= MAX_CHARACTERS {
        return text;
    }
    let mut short: String = text.chars().take(KEPT).collect();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        let _written = write!(short, "{byte:02x}");
    }
    Cow::Owned(short)
}

/// Names of metrics and ids of resources stand in paths, so they have no `/`.
pub fn without_slash(text: &str) -> Cow<'_, str> {
    if text.contains('/') { Cow::Owned(text.replace('/', "_")) } else { Cow::Borrowed(text) }
}

/// A metric while points still come.
#[derive(Debug)]
struct Entry {
    number: u32,
    unit: Option<String>,
}

#[derive(Debug)]
struct Place {
    id: String,
    attributes: Vec<(String, String)>,
    metrics: HashMap<String, Entry>,
}

/// A resource that points are being gathered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceNumber(usize);

/// A metric that points are being gathered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricNumber(u32);

/// Takes points in.
#[derive(Debug)]
pub struct Gatherer {
    places: Vec<Place>,
    by_id: HashMap<String, usize>,
    last: usize,
    metrics: u32,
    points: Vec<(u32, Timestamp, f64)>,
    room: usize,
}

impl Gatherer {
    /// Nothing yet; everything gathered may take about `room` bytes.
    pub fn new(room: usize) -> Self {
        Self { places: Vec::new(), by_id: HashMap::new(), last: 0, metrics: 0, points: Vec::new(), room }
    }

    /// Counts bytes that are only looked at, but may be looked at again and again.
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Full> {
        self.room = self.room.checked_sub(bytes).ok_or(Full)?;
        Ok(())
    }

    /// The resource of this id, which is one that [`id_text`] gives; what `attributes` gives counts if it is new.
    pub fn resource(
        &mut self,
        id: &str,
        attributes: impl FnOnce() -> Vec<(String, String)>,
    ) -> Result<ResourceNumber, Full> {
        if self.places.get(self.last).is_some_and(|place| place.id == id) {
            return Ok(ResourceNumber(self.last));
        }
        if let Some(known) = self.by_id.get(id) {
            self.last = *known;
            return Ok(ResourceNumber(*known));
        }
        self.spend(RESOURCE + 2 * id.len())?;
        let attributes = attributes();
        self.spend(attributes.iter().map(|(name, value)| 48 + name.len() + value.len()).sum())?;
        self.last = self.places.len();
        self.by_id.insert(id.to_owned(), self.last);
        self.places.push(Place { id: id.to_owned(), attributes, metrics: HashMap::new() });
        Ok(ResourceNumber(self.last))
    }

    /// The metric of this name on a resource.
    pub fn metric(
        &mut self,
        resource: ResourceNumber,
        name: &str,
        unit: Option<&str>,
    ) -> Result<MetricNumber, Full> {
        let place = self.places.get_mut(resource.0).ok_or(Full)?;
        if let Some(entry) = place.metrics.get(name) {
            return Ok(MetricNumber(entry.number));
        }
        let number = self.metrics;
        self.room = self.room.checked_sub(METRIC + name.len()).ok_or(Full)?;
        self.metrics = number.checked_add(1).ok_or(Full)?;
        place.metrics.insert(name.to_owned(), Entry { number, unit: unit.map(str::to_owned) });
        Ok(MetricNumber(number))
    }

    /// Takes a point.
    pub fn push(&mut self, metric: MetricNumber, timestamp: Timestamp, value: f64) -> Result<(), Full> {
        self.spend(POINT)?;
        self.points.push((metric.0, timestamp, value));
        Ok(())
    }

    /// Everything that came.
    pub fn finish(self) -> Gathered {
        let mut counts = vec![0_usize; self.metrics as usize];
        for (metric, ..) in &self.points {
            if let Some(count) = counts.get_mut(*metric as usize) {
                *count += 1;
            }
        }
        // From here on `counts` tells where the next point of each metric goes.
        let mut end = 0;
        let resources = self.places.into_iter().map(|place| {
            let mut metrics: Vec<(String, Entry)> = place.metrics.into_iter().collect();
            metrics.sort_unstable_by_key(|(_, entry)| entry.number);
            let metrics = metrics.into_iter().map(|(name, entry)| {
                let count =
                    counts.get_mut(entry.number as usize).map_or(0, |slot| std::mem::replace(slot, end));
                let points = end..end + count;
                end = points.end;
                GatheredMetric { name, unit: entry.unit, points }
            });
            GatheredResource { id: place.id, attributes: place.attributes, metrics: metrics.collect() }
        });
        let resources = resources.collect();
        let mut columns = Columns {
            timestamps: vec![Timestamp::EPOCH; self.points.len()],
            values: vec![0.0; self.points.len()],
        };
        for (metric, timestamp, value) in self.points {
            let Some(next) = counts.get_mut(metric as usize) else { continue };
            if let (Some(slot), Some(place)) =
                (columns.timestamps.get_mut(*next), columns.values.get_mut(*next))
            {
                (*slot, *place) = (timestamp, value);
            }
            *next += 1;
        }
        Gathered { resources, columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn points_of_one_metric_come_together_in_the_order_they_came() {
        let mut gatherer = Gatherer::new(10_000);
        for (resource, metric, second) in
            [("a", "x", 1), ("b", "x", 2), ("a", "y", 3), ("a", "x", 4), ("b", "x", 0)]
        {
            let attributes = || vec![("n".to_owned(), resource.to_owned())];
            let resource = gatherer.resource(resource, attributes).unwrap();
            let metric = gatherer.metric(resource, metric, None).unwrap();
            gatherer.push(metric, at(second), 1.5).unwrap();
        }
        let Gathered { resources, columns } = gatherer.finish();
        let shown: Vec<_> = resources
            .iter()
            .flat_map(|resource| {
                resource.metrics.iter().map(|metric| {
                    let points = columns.timestamps[metric.points.clone()].to_vec();
                    (resource.id.as_str(), metric.name.as_str(), points)
                })
            })
            .collect();
        assert_eq!(
            shown,
            [("a", "x", vec![at(1), at(4)]), ("a", "y", vec![at(3)]), ("b", "x", vec![at(2), at(0)]),]
        );
        assert_eq!(resources[1].attributes, [("n".to_owned(), "b".to_owned())]);
        assert_eq!(columns.values, [1.5; 5]);
    }

    #[test]
    fn what_would_take_too_much_memory_is_refused() {
        let mut gatherer = Gatherer::new(1_000);
        assert_eq!(gatherer.resource(&"a".repeat(1_000), Vec::new), Err(Full));
        let mut gatherer = Gatherer::new(1_000);
        let resource = gatherer.resource("a", Vec::new).unwrap();
        let metric = gatherer.metric(resource, "m", None).unwrap();
        let taken = (0..).take_while(|_| gatherer.push(metric, at(0), 0.0).is_ok()).count();
        assert!((10..42).contains(&taken), "{taken}");
    }

    #[test]
    fn ids_lose_slashes_and_length() {
        assert_eq!(id_text("a/b/c"), "a_b_c");
        assert_eq!(id_text(&"é".repeat(289)), "é".repeat(289));
        let long = id_text(&"é".repeat(290)).into_owned();
        assert_eq!(long.chars().count(), 264);
        assert_ne!(long, id_text(&"é".repeat(291)));
    }
}

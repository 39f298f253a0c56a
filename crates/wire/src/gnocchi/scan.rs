//! Bodies of measures, read in one pass into columns: no tree, no allocation for a point.
//!
//! The scanner knows the forms that clients really send: objects of `timestamp` and `value` and nothing else, ISO 8601
//! or Unix seconds, texts without escapes. Whatever else comes, good or bad, it leaves to [`measures`](super::measures),
//! which reads everything and knows what is wrong and in which words to say so. `None` therefore means "not sure", and
//! `Some` the very measures that the other would have read.

mod cursor;
mod item;
mod number;
mod pieces;

use nephos_model::Timestamp;
use uuid::Uuid;

use cursor::Cursor;
use item::Items;

pub use pieces::{Pieces, Unsure};

/// Measures of many runs, each run behind the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Times of the measures.
    pub timestamps: Vec<Timestamp>,
    /// Their values, as many.
    pub values: Vec<f64>,
}

/// A batch by metric id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByMetric {
    /// Ids in the order sent, perhaps repeated.
    pub ids: Vec<Uuid>,
    /// For each id, where its measures end in the columns; they begin where those of the id before ended.
    pub ends: Vec<usize>,
    /// The measures.
    pub columns: Columns,
}

impl ByMetric {
    /// Adds the runs of another one behind its own.
    pub fn extend(&mut self, others: Self) {
        let before = self.columns.values.len();
        self.ids.extend(others.ids);
        self.ends.extend(others.ends.iter().map(|end| before + end));
        self.columns.timestamps.extend(others.columns.timestamps);
        self.columns.values.extend(others.columns.values);
    }
}

/// Measures of one named metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named<'a> {
    /// Metric name.
    pub name: &'a str,
    /// Policy of the metric, if it is created.
    pub archive_policy_name: Option<&'a str>,
    /// Unit of the metric, if it is created.
    pub unit: Option<&'a str>,
    /// Where its measures end in the columns.
    pub end: usize,
}

/// A batch by resource and metric name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByResource<'a> {
    /// Ids of resources in the order sent, perhaps repeated, and where the metrics of each end.
    pub resources: Vec<(&'a str, usize)>,
    /// Their metrics.
    pub metrics: Vec<Named<'a>>,
    /// The measures.
    pub columns: Columns,
}

/// What a measure takes in a body at least, roughly: for reserving room.
const LEAST: usize = 64;

/// A list of measures; `None` if the scanner is not sure of it.
pub fn list(body: &[u8]) -> Option<Columns> {
    let mut items = Items::with_room(body.len() / LEAST);
    let mut cursor = Cursor::new(body);
    items.list(&mut cursor)?;
    cursor.end()?;
    Some(items.columns)
}

/// A batch by metric id; `None` if the scanner is not sure of it.
pub fn by_metric(body: &[u8]) -> Option<ByMetric> {
    let mut pieces = Pieces::new(body.len());
    pieces.take(body);
    pieces.end().ok()
}

/// A batch by resource and metric name; `None` if the scanner is not sure of it.
pub fn by_resource(body: &[u8]) -> Option<ByResource<'_>> {
    let mut items = Items::with_room(body.len() / LEAST);
    let (mut resources, mut metrics) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, resource| {
        let resource = std::str::from_utf8(resource).ok()?;
        cursor.object(|cursor, name| {
            let name = std::str::from_utf8(name).ok()?;
            metrics.push(named(cursor, name, &mut items)?);
            Some(())
        })?;
        resources.push((resource, metrics.len()));
        Some(())
    })?;
    cursor.end()?;
    Some(ByResource { resources, metrics, columns: items.columns })
}

/// A list, or an object with the list and what creates the metric.
fn named<'a>(cursor: &mut Cursor<'a>, name: &'a str, items: &mut Items) -> Option<Named<'a>> {
    let mut named = Named { name, archive_policy_name: None, unit: None, end: 0 };
    if cursor.peek()? == b'[' {
        items.list(cursor)?;
    } else {
        let mut has_measures = false;
        cursor.object(|cursor, key| {
            let slot = match key {
                b"measures" if !has_measures => {
                    has_measures = true;
                    return items.list(cursor);
                }
                b"archive_policy_name" => &mut named.archive_policy_name,
                b"unit" => &mut named.unit,
                _ => return None,
            };
            let text = std::str::from_utf8(cursor.text()?).ok()?;
            slot.replace(text).is_none().then_some(())
        })?;
        has_measures.then_some(())?;
    }
    named.end = items.columns.values.len();
    Some(named)
}

#[cfg(test)]
mod tests;

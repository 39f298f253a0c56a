//! Answers with computed points, written as text.

use std::collections::BTreeMap;

use nephos_metric_store::Resample;
use nephos_model::{Metric, Resource, ResourceId};
use nephos_wire::gnocchi::json;
use nephos_wire::gnocchi::points::{Width, write_points};
use serde::Serialize;

use crate::failure::Failure;
use crate::gnocchi::views::{MetricView, PolicyView, ResourceView};
use crate::service::aggregates::Computed;
use crate::service::aggregates::history::Sum;
use crate::service::aggregates::question::Group;

/// Computed points as JSON text.
#[derive(Debug)]
pub struct Measures(Vec<u8>);

fn text_of<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Failure> {
    json::to_vec(value).map_err(|_| Failure::Internal)
}

/// Rows `[timestamp, granularity, value]` of the computed series of a source, or the first one.
pub fn rows(computed: &Computed, source: usize) -> Vec<u8> {
    let mut out = vec![b'['];
    for (grid, series) in computed.of_source(source) {
        let width = match computed.regroup {
            Some(Resample::Calendar(calendar)) => Width::Letter(calendar.letter()),
            Some(Resample::Step(step)) => Width::Seconds(step),
            None => Width::Seconds(grid.granularity()),
        };
        let (timestamps, values) = (grid.timestamps(), grid.column(series));
        if computed.dropping && !values.iter().all(|value| value.is_finite()) {
            let (timestamps, values): (Vec<_>, Vec<_>) = computed.points(grid, series).unzip();
            write_points(&mut out, width, &timestamps, &values);
        } else {
            write_points(&mut out, width, timestamps, values);
        }
    }
    out.push(b']');
    out
}

/// `{"<key>": <text>, …}`
fn object(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (key, value) in entries {
        if out.len() > 1 {
            out.extend_from_slice(b", ");
        }
        out.extend(key);
        out.extend_from_slice(b": ");
        out.extend(value);
    }
    out.push(b'}');
    out
}

impl Measures {
    /// `{"aggregated": rows}`, or rows by resource, metric and method.
    pub fn of(computed: &Computed) -> Result<Self, Failure> {
        if computed.aggregated {
            return Ok(Self(object([(b"\"aggregated\"".to_vec(), rows(computed, 0))])));
        }
        // Those that were not found by a resource stand under their id alone.
        let mut sorted: BTreeMap<Option<ResourceId>, BTreeMap<String, BTreeMap<&str, usize>>> =
            BTreeMap::new();
        for (series, source) in computed.sources.iter().enumerate() {
            if computed.leaves_out(series) {
                continue;
            }
            let (resource, name) = match &source.found {
                Some((resource, name)) => (Some(*resource), name.clone()),
                None => (None, source.metric.to_string()),
            };
            sorted
                .entry(resource)
                .or_default()
                .entry(name)
                .or_default()
                .insert(source.method.as_str(), series);
        }
        let mut entries = Vec::new();
        for (resource, by_name) in sorted {
            let mut named = Vec::with_capacity(by_name.len());
            for (name, by_method) in by_name {
                let methods = by_method
                    .into_iter()
                    .map(|(method, series)| Ok((text_of(method)?, rows(computed, series))));
                named.push((text_of(&name)?, object(methods.collect::<Result<Vec<_>, Failure>>()?)));
            }
            match resource {
                Some(id) => entries.push((text_of(&id.to_string())?, object(named))),
                None => entries.extend(named),
            }
        }
        Ok(Self(object(entries)))
    }

    /// Added up over revisions.
    pub fn sum(sum: Sum) -> Self {
        let mut out = vec![b'['];
        for (granularity, points) in sum.into_points() {
            let (timestamps, values): (Vec<_>, Vec<_>) = points.into_iter().unzip();
            write_points(&mut out, Width::Seconds(granularity), &timestamps, &values);
        }
        out.push(b']');
        Self(object([(b"\"aggregated\"".to_vec(), out)]))
    }
}

/// `{"measures": …}`, with `references` if they are wanted.
pub fn whole(measures: &Measures, references: Option<&[u8]>) -> Vec<u8> {
    let references = references.map(|text| (b"\"references\"".to_vec(), text.to_vec()));
    object([(b"\"measures\"".to_vec(), measures.0.clone())].into_iter().chain(references))
}

/// `[{"group": {…}, "measures": {…}}, …]`
pub fn groups<R>(
    groups: Vec<Group<R>>,
    measures: impl Fn(R) -> Result<Measures, Failure>,
    resource_type: &str,
    details: bool,
) -> Result<Vec<u8>, Failure> {
    let mut out = vec![b'['];
    for Group { attributes, result, resources: members } in groups {
        if out.len() > 1 {
            out.extend_from_slice(b", ");
        }
        let references = details.then(|| resources(resource_type, &members)).transpose()?;
        let whole = whole(&measures(result)?, references.as_deref());
        out.extend(object([
            (b"\"group\"".to_vec(), text_of(&attributes)?),
            (b"\"measures\"".to_vec(), whole),
        ]));
    }
    out.push(b']');
    Ok(out)
}

/// Resources as a list.
pub fn resources(resource_type: &str, resources: &[Resource]) -> Result<Vec<u8>, Failure> {
    text_of(
        &resources.iter().map(|resource| ResourceView::under(resource_type, resource)).collect::<Vec<_>>(),
    )
}

/// Metrics as a list, with policies and resources.
pub fn metrics(
    metrics: &[Metric],
    policies: &BTreeMap<&str, PolicyView>,
    resources: &BTreeMap<ResourceId, Resource>,
) -> Result<Vec<u8>, Failure> {
    let view = |metric: &Metric| {
        let resource = metric.resource_id.and_then(|id| resources.get(&id));
        let policy = policies.get(metric.archive_policy_name.as_str())?;
        // Serialised one by one, for they borrow what they show.
        serde_json::to_value(MetricView::from(metric).with(policy.clone(), resource)).ok()
    };
    text_of(&metrics.iter().filter_map(view).collect::<Vec<_>>())
}

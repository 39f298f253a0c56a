//! Answers with computed points, written as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_metric_store::Resample;
use nephos_model::{Metric, Resource, ResourceId, Timestamp};
use nephos_wire::gnocchi::points::Width;

use crate::failure::Failure;
use crate::gnocchi::views::{MetricView, PolicyView, ResourceView};
use crate::http::{Columns, Text};
use crate::service::aggregates::Computed;
use crate::service::aggregates::history::Sum;
use crate::service::aggregates::question::Group;

/// One of the computed series.
#[derive(Debug)]
struct Series {
    computed: Arc<Computed>,
    grid: usize,
    column: usize,
}

impl Columns for Series {
    fn columns(&self) -> (&[Timestamp], &[f64]) {
        let grid = self.computed.grids.get(self.grid);
        grid.map_or((&[], &[]), |grid| (grid.timestamps(), grid.column(self.column)))
    }
}

/// Appends rows `[timestamp, granularity, value]` of the computed series of a source, or the first one.
pub fn rows(out: &mut Text, computed: &Arc<Computed>, source: usize) {
    out.words("[");
    for (at, column) in computed.of_source(source) {
        let Some(grid) = computed.grids.get(at) else { continue };
        let width = match computed.regroup {
            Some(Resample::Calendar(calendar)) => Width::Letter(calendar.letter()),
            Some(Resample::Step(step)) => Width::Seconds(step),
            None => Width::Seconds(grid.granularity()),
        };
        if computed.dropping && !grid.column(column).iter().all(|value| value.is_finite()) {
            let columns: (Vec<_>, Vec<_>) = computed.points(grid, column).unzip();
            out.points(width, columns);
        } else {
            out.points(width, Series { computed: Arc::clone(computed), grid: at, column });
        }
    }
    out.words("]");
}

/// `{"aggregated": rows}`, or rows by resource, metric and method.
pub fn measures(out: &mut Text, computed: Computed) -> Result<(), Failure> {
    let computed = Arc::new(computed);
    out.words("{");
    if computed.aggregated {
        out.key("aggregated")?;
        rows(out, &computed, 0);
        out.words("}");
        return Ok(());
    }
    // Those that were not found by a resource stand under their id alone.
    let mut sorted: BTreeMap<Option<ResourceId>, BTreeMap<String, BTreeMap<&str, usize>>> = BTreeMap::new();
    for (series, source) in computed.sources.iter().enumerate() {
        if computed.leaves_out(series) {
            continue;
        }
        let (resource, name) = match &source.found {
            Some((resource, name)) => (Some(*resource), name.clone()),
            None => (None, source.metric.to_string()),
        };
        let by_method = sorted.entry(resource).or_default().entry(name).or_default();
        by_method.insert(source.method.as_str(), series);
    }
    for (resource, by_name) in sorted {
        if let Some(id) = resource {
            out.key(&id.to_string())?;
            out.words("{");
        }
        for (name, by_method) in by_name {
            out.key(&name)?;
            out.words("{");
            for (method, series) in by_method {
                out.key(method)?;
                rows(out, &computed, series);
            }
            out.words("}");
        }
        if resource.is_some() {
            out.words("}");
        }
    }
    out.words("}");
    Ok(())
}

/// What was added up over revisions.
pub fn sum(out: &mut Text, sum: Sum) -> Result<(), Failure> {
    out.words("{");
    out.key("aggregated")?;
    out.words("[");
    for (granularity, points) in sum.into_points() {
        let columns: (Vec<_>, Vec<_>) = points.into_iter().unzip();
        out.points(Width::Seconds(granularity), columns);
    }
    out.words("]}");
    Ok(())
}

/// `{"measures": …}`, with `references` if they are wanted.
pub fn whole<R>(
    result: R,
    measures: impl Fn(&mut Text, R) -> Result<(), Failure>,
    references: Option<Text>,
) -> Result<Text, Failure> {
    let mut out = Text::default();
    out.words("{");
    out.key("measures")?;
    measures(&mut out, result)?;
    if let Some(references) = references {
        out.key("references")?;
        out.append(references);
    }
    out.words("}");
    Ok(out)
}

/// `[{"group": {…}, "measures": {…}}, …]`
pub fn groups<R>(
    groups: Vec<Group<R>>,
    measures: impl Fn(&mut Text, R) -> Result<(), Failure>,
    resource_type: &str,
    details: bool,
) -> Result<Text, Failure> {
    let mut out = Text::default();
    out.words("[");
    for Group { attributes, result, resources: members } in groups {
        let references = details.then(|| resources(resource_type, &members)).transpose()?;
        out.separate();
        out.words("{");
        out.key("group")?;
        out.value(&attributes)?;
        out.key("measures")?;
        out.append(whole(result, &measures, references)?);
        out.words("}");
    }
    out.words("]");
    Ok(out)
}

/// Resources as a list.
pub fn resources(resource_type: &str, resources: &[Resource]) -> Result<Text, Failure> {
    let views = resources.iter().map(|resource| ResourceView::under(resource_type, resource));
    let mut out = Text::default();
    out.value(&views.collect::<Vec<_>>())?;
    Ok(out)
}

/// Metrics as a list, with policies and resources.
pub fn metrics(
    metrics: &[Metric],
    policies: &BTreeMap<&str, PolicyView>,
    resources: &BTreeMap<ResourceId, Resource>,
) -> Result<Text, Failure> {
    let view = |metric: &Metric| {
        let resource = metric.resource_id.and_then(|id| resources.get(&id));
        let policy = policies.get(metric.archive_policy_name.as_str())?;
        // Serialised one by one, for they borrow what they show.
        serde_json::to_value(MetricView::from(metric).with(policy.clone(), resource)).ok()
    };
    let mut out = Text::default();
    out.value(&metrics.iter().filter_map(view).collect::<Vec<_>>())?;
    Ok(out)
}

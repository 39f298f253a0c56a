//! Where a sample belongs: which resource of which type, which metric, kept by which archive policy
//! (telemetry-pipeline §14.2, nephos.md §5). Pure.

use std::collections::BTreeMap;

use nephos_config::resources::{MeterRule, ResourcesFile};
use nephos_index::{EnsureMetric, EnsureResource};
use nephos_model::{ResourceId, Sample, Timestamp};
use serde_json::{Value, json};

/// Metadata key by which a sample tells that its resource has gone.
const ENDED_AT: &str = "ended_at";
/// The resource type without attributes of its own.
const NO_TYPE: &str = "generic";

/// Why a sample has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// No definition lists its meter, and it names no resource type itself.
    NoDefinition,
    /// Its resource id cannot be one.
    BadResourceId,
}

impl NoPlace {
    /// Label of the counter of dropped samples.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NoDefinition => "no_definition",
            Self::BadResourceId => "bad_resource_id",
        }
    }
}

/// Which resource and metric a sample belongs to, as names.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// The resource.
    pub(crate) resource_id: ResourceId,
    /// Its id as text.
    pub(crate) original_resource_id: String,
    /// Its type.
    pub(crate) resource_type: &'a str,
    /// The definition behind, if there is one.
    rule: Option<MeterRule<'a>>,
}

/// The place of `sample`: the pollster's own word on the type wins over the definitions.
pub(crate) fn place<'a>(
    file: &'a ResourcesFile,
    sample: &'a Sample,
    creator: &str,
) -> Result<Place<'a>, NoPlace> {
    let named = sample.metadata_str(Sample::RESOURCE_TYPE);
    let rule = match named {
        Some(resource_type) => file.rule_of_type(resource_type, &sample.name),
        None => file.rule(&sample.name),
    };
    let resource_type = match (named, &rule) {
        (Some(named), _) => named,
        (None, Some(rule)) => rule.resource.resource_type.as_str(),
        (None, None) => return Err(NoPlace::NoDefinition),
    };
    let original_resource_id = sample.resource_id.replace('/', "_");
    let resource_id = nephos_wire::gnocchi::resource_id(&original_resource_id, Some(creator))
        .map_err(|_| NoPlace::BadResourceId)?;
    Ok(Place { resource_id, original_resource_id, resource_type, rule })
}

impl Place<'_> {
    /// The metric to make exist.
    pub(crate) fn metric(&self, sample: &Sample) -> EnsureMetric {
        EnsureMetric {
            resource_id: self.resource_id,
            // A slash would make the metric unreachable by name.
            name: sample.name.replace('/', "_"),
            unit: Some(sample.unit.chars().take(31).collect()),
            archive_policy_name: self.rule.map(|rule| rule.archive_policy.to_owned()),
        }
    }

    /// The resource to make exist, with what `sample` tells of it.
    pub(crate) fn resource(&self, sample: &Sample) -> EnsureResource {
        EnsureResource {
            resource_type: self.resource_type.to_owned(),
            id: self.resource_id,
            original_resource_id: self.original_resource_id.clone(),
            user_id: sample.user_id.clone(),
            project_id: sample.project_id.clone(),
            attributes: self.attributes(sample),
            ended_at: sample.metadata_str(ENDED_AT).and_then(parse_time),
        }
    }

    fn attributes(&self, sample: &Sample) -> BTreeMap<String, Value> {
        let Some(rule) = self.rule else { return BTreeMap::new() };
        if rule.resource.resource_type == NO_TYPE || rule.resource.attributes.is_empty() {
            return BTreeMap::new();
        }
        let document = document(sample);
        rule.resource
            .attributes
            .iter()
            .filter_map(|attribute| Some((attribute.name.clone(), attribute.definition.evaluate(&document)?)))
            .collect()
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    nephos_wire::time::parse_iso8601(text)
}

/// The sample's plain model fields, which definitions speak of.
fn document(sample: &Sample) -> Value {
    json!({
        "name": sample.name,
        "type": sample.kind.as_str(),
        "unit": sample.unit,
        "volume": sample.volume.as_f64(),
        "user_id": sample.user_id,
        "user_name": sample.user_name,
        "project_id": sample.project_id,
        "project_name": sample.project_name,
        "resource_id": sample.resource_id,
        "source": &*sample.source,
        "id": sample.id.to_string(),
        "resource_metadata": Value::Object((*sample.metadata).clone()),
    })
}

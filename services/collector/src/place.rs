//! Where a sample belongs: which resource of which type, which metric, kept by which archive policy
//! (telemetry-pipeline §14.2, nephos.md §5). Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use nephos_config::resources::{MeterRule, ResourceDefinition, ResourcesFile};
use nephos_index::{EnsureMetric, EnsureResource};
use nephos_model::{ResourceId, Sample};

use crate::describe::Description;

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

/// Which resource a sample belongs to and by which definition, as names.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// The resource.
    pub(crate) resource_id: ResourceId,
    /// Its id as text.
    original_resource_id: Cow<'a, str>,
    /// Its type.
    pub(crate) resource_type: &'a str,
    /// The definition behind, if there is one.
    rule: Option<MeterRule<'a>>,
}

/// The places of a batch's samples. Samples of a meter and of a resource come by the hundred, so what is found for one
/// is kept for the others.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    file: &'a ResourcesFile,
    creator: &'a str,
    /// By the resource type that a sample names and by meter.
    rules: HashMap<(Option<&'a str>, &'a str), Option<MeterRule<'a>>>,
    /// By the id as the sample has it.
    ids: HashMap<&'a str, Option<ResourceId>>,
}

impl<'a> Places<'a> {
    /// Places by the definitions of `file`; `creator` owns the resources.
    pub(crate) fn new(file: &'a ResourcesFile, creator: &'a str) -> Self {
        Self { file, creator, rules: HashMap::new(), ids: HashMap::new() }
    }

    /// The place of `sample`: the pollster's own word on the type wins over the definitions.
    pub(crate) fn of(&mut self, sample: &'a Sample) -> Result<Place<'a>, NoPlace> {
        let (file, meter) = (self.file, sample.name.as_str());
        let named = sample.metadata_str(Sample::RESOURCE_TYPE);
        let rule = *self.rules.entry((named, meter)).or_insert_with(|| match named {
            Some(resource_type) => file.rule_of_type(resource_type, meter),
            None => file.rule(meter),
        });
        let resource_type = match (named, rule) {
            (Some(named), _) => named,
            (None, Some(rule)) => rule.resource.resource_type.as_str(),
            (None, None) => return Err(NoPlace::NoDefinition),
        };
        let original_resource_id = without_slash(&sample.resource_id);
        let creator = self.creator;
        let resource_id = *self
            .ids
            .entry(&sample.resource_id)
            .or_insert_with(|| nephos_wire::gnocchi::resource_id(&original_resource_id, Some(creator)).ok());
        let resource_id = resource_id.ok_or(NoPlace::BadResourceId)?;
        Ok(Place { resource_id, original_resource_id, resource_type, rule })
    }
}

impl<'a> Place<'a> {
    /// The definition behind, if there is one.
    pub(crate) fn definition(&self) -> Option<&'a ResourceDefinition> {
        self.rule.map(|rule| rule.resource)
    }

    /// The metric to make exist.
    pub(crate) fn metric(&self, sample: &Sample) -> EnsureMetric {
        EnsureMetric {
            resource_id: self.resource_id,
            name: metric_name(sample).into_owned(),
            unit: Some(sample.unit.chars().take(31).collect()),
            archive_policy_name: self.rule.map(|rule| rule.archive_policy.to_owned()),
        }
    }

    /// The resource to make exist, with what `sample` tells of it.
    pub(crate) fn resource(&self, sample: &Sample, description: &Description) -> EnsureResource {
        EnsureResource {
            resource_type: self.resource_type.to_owned(),
            id: self.resource_id,
            original_resource_id: self.original_resource_id.clone().into_owned(),
            user_id: sample.user_id.clone(),
            project_id: sample.project_id.clone(),
            attributes: description.attributes.clone(),
            ended_at: description.ended_at,
        }
    }
}

/// The name of a sample's metric.
pub(crate) fn metric_name(sample: &Sample) -> Cow<'_, str> {
    without_slash(&sample.name)
}

/// A slash would make resources and metrics unreachable by name.
fn without_slash(name: &str) -> Cow<'_, str> {
    if name.contains('/') { Cow::Owned(name.replace('/', "_")) } else { Cow::Borrowed(name) }
}

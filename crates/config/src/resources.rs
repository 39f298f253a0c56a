//! `gnocchi_resources.yaml`: which resource type a meter belongs to, by which archive policy it is kept and which
//! attributes its resource gets (telemetry-pipeline §8, §14.2).

use std::borrow::Cow;

use nephos_lang::jsonpath::Path;
use nephos_timeseries::ArchivePolicy;
use serde_json::Value;

pub use crate::names::Glob;

mod definition;
mod policies;
mod read;
mod types;

pub(crate) use read::read;
pub use types::shipped_resource_types;

/// A whole `gnocchi_resources.yaml`.
#[derive(Clone, Debug)]
pub struct ResourcesFile {
    /// Policy of metrics that name none.
    pub archive_policy_default: String,
    /// Policies created at first use.
    pub archive_policies: Vec<ArchivePolicy>,
    /// Resource definitions in file order.
    pub resources: Vec<ResourceDefinition>,
}

/// Where a meter belongs.
#[derive(Clone, Copy, Debug)]
pub struct MeterRule<'a> {
    /// The definition of its resource.
    pub resource: &'a ResourceDefinition,
    /// Name of its archive policy.
    pub archive_policy: &'a str,
}

impl ResourcesFile {
    /// Where the meter belongs: to the last definition that lists it. Linear in the file; keep the answer.
    pub fn rule(&self, meter: &str) -> Option<MeterRule<'_>> {
        self.resources.iter().rev().find_map(|resource| {
            let metric = resource.metrics.iter().rev().find(|metric| metric.pattern.matches(meter))?;
            Some(MeterRule { resource, archive_policy: self.policy_of(resource, metric) })
        })
    }

    /// Where the meter belongs within one resource type, for samples that name their type themselves.
    pub fn rule_of_type(&self, resource_type: &str, meter: &str) -> Option<MeterRule<'_>> {
        self.resources.iter().rev().filter(|resource| resource.resource_type == resource_type).find_map(
            |resource| {
                let metric = resource.metrics.iter().rev().find(|metric| metric.pattern.matches(meter))?;
                Some(MeterRule { resource, archive_policy: self.policy_of(resource, metric) })
            },
        )
    }

    /// The definition of a policy this file brings.
    pub fn archive_policy(&self, name: &str) -> Option<&ArchivePolicy> {
        self.archive_policies.iter().find(|policy| policy.name == name)
    }

    fn policy_of<'a>(&'a self, resource: &'a ResourceDefinition, metric: &'a MetricDefinition) -> &'a str {
        resource
            .archive_policy
            .as_deref()
            .or(metric.archive_policy.as_deref())
            .unwrap_or(&self.archive_policy_default)
    }
}

/// One resource type with its meters and attributes.
#[derive(Clone, Debug)]
pub struct ResourceDefinition {
    /// The type's name.
    pub resource_type: String,
    /// One policy for all its meters, wins over theirs.
    pub archive_policy: Option<String>,
    /// Its meters.
    pub metrics: Vec<MetricDefinition>,
    /// Its attributes.
    pub attributes: Vec<AttributeDefinition>,
}

/// Meters of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricDefinition {
    /// Whose names match this.
    pub pattern: Glob,
    /// Their archive policy.
    pub archive_policy: Option<String>,
}

/// One attribute and where its value comes from.
#[derive(Clone, Debug)]
pub struct AttributeDefinition {
    /// The attribute.
    pub name: String,
    /// How its value is found in a sample's plain model.
    pub definition: Definition,
    /// `file:line:column` of the definition.
    pub position: String,
}

/// How a value is found (telemetry-pipeline §8).
#[derive(Clone, Debug)]
pub enum Definition {
    /// Always this.
    Constant(i64),
    /// The first match that is not null.
    Path(Path),
}

impl Definition {
    /// The value in a document; `0`, `""` and `false` are values, null is none.
    pub fn evaluate(&self, document: &Value) -> Option<Value> {
        match self {
            Self::Constant(value) => Some(Value::from(*value)),
            Self::Path(path) => path.first(document).map(Cow::into_owned),
        }
    }
}

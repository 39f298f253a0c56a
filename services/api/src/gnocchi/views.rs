//! Objects as Gnocchi's clients see them.

use std::collections::BTreeMap;

use nephos_identity::policy::created_by;
use nephos_index::PolicyRule;
use nephos_model::{AttributeKind, AttributeType, Metric, MetricId, Resource, ResourceType};
use nephos_timeseries::{ArchivePolicy, PolicyItem};
use nephos_wire::gnocchi::{time, timespan};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// An archive policy.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ArchivePolicy)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// How many of the coarsest buckets still take late measures.
    pub back_window: u32,
    /// Granularities, in the order they were given.
    pub definition: Vec<PolicyItemView>,
    /// Methods, in no order.
    pub aggregation_methods: Vec<String>,
}

/// One granularity of an archive policy.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ArchivePolicyItem)]
pub struct PolicyItemView {
    /// Width of the buckets: `H:MM:SS`, `N days, H:MM:SS`.
    pub granularity: String,
    /// Buckets kept; null if unlimited.
    pub points: Option<u64>,
    /// Time they cover; null if unlimited.
    pub timespan: Option<String>,
}

impl From<&ArchivePolicy> for PolicyView {
    fn from(policy: &ArchivePolicy) -> Self {
        Self {
            name: policy.name.clone(),
            back_window: policy.back_window,
            definition: policy.definition.iter().map(PolicyItemView::from).collect(),
            aggregation_methods: policy.methods.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&PolicyItem> for PolicyItemView {
    fn from(item: &PolicyItem) -> Self {
        let span = item.timespan().map(|span| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX));
        Self {
            granularity: timespan::format(item.granularity.as_nanos()),
            points: item.points,
            timespan: span.map(timespan::format),
        }
    }
}

/// An archive policy rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ArchivePolicyRule)]
pub struct RuleView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Shell glob over metric names.
    pub metric_pattern: &'a str,
    /// The policy it gives.
    pub archive_policy_name: &'a str,
}

impl<'a> From<&'a PolicyRule> for RuleView<'a> {
    fn from(rule: &'a PolicyRule) -> Self {
        let PolicyRule { name, metric_pattern, archive_policy_name } = rule;
        Self { name, metric_pattern, archive_policy_name }
    }
}

/// A metric that was just created or listed below its resource.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CreatedMetric)]
pub struct MetricView<'a> {
    /// Identifier.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Who created it.
    pub creator: Option<&'a str>,
    /// User part of the creator.
    pub created_by_user_id: Option<&'a str>,
    /// Project part of the creator.
    pub created_by_project_id: Option<&'a str>,
    /// Name.
    pub name: Option<&'a str>,
    /// Unit.
    pub unit: Option<&'a str>,
    /// Resource it belongs to.
    #[schema(value_type = Option<String>)]
    pub resource_id: Option<Uuid>,
    /// Name of its policy.
    pub archive_policy_name: &'a str,
}

/// A metric in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ListedMetric)]
pub struct ListedMetricView<'a> {
    /// Identifier.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Who created it.
    pub creator: Option<&'a str>,
    /// User part of the creator.
    pub created_by_user_id: Option<&'a str>,
    /// Project part of the creator.
    pub created_by_project_id: Option<&'a str>,
    /// Name.
    pub name: Option<&'a str>,
    /// Unit.
    pub unit: Option<&'a str>,
    /// Resource it belongs to.
    #[schema(value_type = Option<String>)]
    pub resource_id: Option<Uuid>,
    /// Its policy.
    // The JSON of a view: many metrics share it.
    #[schema(value_type = PolicyView)]
    pub archive_policy: &'a RawValue,
}

/// A metric by itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Metric)]
pub struct SingleMetricView<'a> {
    /// Identifier.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Who created it.
    pub creator: Option<&'a str>,
    /// User part of the creator.
    pub created_by_user_id: Option<&'a str>,
    /// Project part of the creator.
    pub created_by_project_id: Option<&'a str>,
    /// Name.
    pub name: Option<&'a str>,
    /// Unit.
    pub unit: Option<&'a str>,
    /// Its policy.
    pub archive_policy: PolicyView,
    /// The resource it belongs to, without its metrics.
    pub resource: Option<ResourceView<'a>>,
}

impl<'a> From<&'a Metric> for MetricView<'a> {
    fn from(metric: &'a Metric) -> Self {
        let (user, project) = creator_parts(metric.creator.as_deref());
        Self {
            id: metric.id.0,
            creator: metric.creator.as_deref(),
            created_by_user_id: user,
            created_by_project_id: project,
            name: metric.name.as_deref(),
            unit: metric.unit.as_deref(),
            resource_id: metric.resource_id.map(|id| id.0),
            archive_policy_name: &metric.archive_policy_name,
        }
    }
}

impl<'a> MetricView<'a> {
    /// With the view of its policy in JSON, for lists.
    pub fn listed(self, policy: &'a RawValue) -> ListedMetricView<'a> {
        ListedMetricView {
            id: self.id,
            creator: self.creator,
            created_by_user_id: self.created_by_user_id,
            created_by_project_id: self.created_by_project_id,
            name: self.name,
            unit: self.unit,
            resource_id: self.resource_id,
            archive_policy: policy,
        }
    }

    /// With its policy and resource.
    pub fn single(self, policy: &ArchivePolicy, resource: Option<&'a Resource>) -> SingleMetricView<'a> {
        self.with(PolicyView::from(policy), resource)
    }

    /// With the view of its policy, and its resource.
    pub fn with(self, policy: PolicyView, resource: Option<&'a Resource>) -> SingleMetricView<'a> {
        SingleMetricView {
            id: self.id,
            creator: self.creator,
            created_by_user_id: self.created_by_user_id,
            created_by_project_id: self.created_by_project_id,
            name: self.name,
            unit: self.unit,
            archive_policy: policy,
            resource: resource
                .map(|resource| ResourceView { metrics: None, ..ResourceView::plain(resource) }),
        }
    }
}

/// A resource in one revision; the attributes of its type come beside these.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Resource)]
pub struct ResourceView<'a> {
    /// Identifier.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Identifier as it was sent.
    pub original_resource_id: &'a str,
    /// Name of its type.
    #[serde(rename = "type")]
    pub resource_type: &'a str,
    /// Who created it.
    pub creator: Option<&'a str>,
    /// User part of the creator.
    pub created_by_user_id: Option<&'a str>,
    /// Project part of the creator.
    pub created_by_project_id: Option<&'a str>,
    /// Owner's user.
    pub user_id: Option<&'a str>,
    /// Owner's project.
    pub project_id: Option<&'a str>,
    /// Start of its life.
    pub started_at: String,
    /// End of its life; null while it lives.
    pub ended_at: Option<String>,
    /// Start of this revision.
    pub revision_start: String,
    /// End of this revision; null for the current one.
    pub revision_end: Option<String>,
    /// Live metrics by name.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "ids_by_name")]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub metrics: Option<&'a BTreeMap<String, MetricId>>,
    /// Attributes of its type.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub attributes: Option<&'a BTreeMap<String, Value>>,
}

impl<'a> ResourceView<'a> {
    /// Without the attributes of its type: the thirteen keys that every resource has.
    pub fn plain(resource: &'a Resource) -> Self {
        let (user, project) = creator_parts(resource.creator.as_deref());
        Self {
            id: resource.id.0,
            original_resource_id: &resource.original_resource_id,
            resource_type: &resource.resource_type,
            creator: resource.creator.as_deref(),
            created_by_user_id: user,
            created_by_project_id: project,
            user_id: resource.user_id.as_deref(),
            project_id: resource.project_id.as_deref(),
            started_at: time::format(resource.started_at),
            ended_at: resource.ended_at.map(time::format),
            revision_start: time::format(resource.revision_start),
            revision_end: resource.revision_end.map(time::format),
            metrics: Some(&resource.metrics),
            attributes: None,
        }
    }

    /// With the attributes of its type.
    pub fn full(resource: &'a Resource) -> Self {
        Self { attributes: Some(&resource.attributes), ..Self::plain(resource) }
    }

    /// As seen under a type: `generic` shows no attributes.
    pub fn under(resource_type: &str, resource: &'a Resource) -> Self {
        if resource_type == "generic" { Self::plain(resource) } else { Self::full(resource) }
    }
}

fn ids_by_name<S: Serializer>(
    metrics: &Option<&BTreeMap<String, MetricId>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().flat_map(|metrics| metrics.iter()).map(|(name, id)| (name, id.0)))
}

fn creator_parts(creator: Option<&str>) -> (Option<&str>, Option<&str>) {
    creator.map(created_by).unzip()
}

/// A resource type.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ResourceType)]
pub struct TypeView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Attributes by name.
    pub attributes: BTreeMap<&'a str, AttributeView>,
    /// Its state; `active` when it can be used.
    pub state: &'static str,
}

/// An attribute of a resource type.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schema(as = Attribute)]
pub enum AttributeView {
    /// Text.
    String {
        /// Whether a resource must have it.
        required: bool,
        /// Least length in characters.
        min_length: u32,
        /// Greatest length in characters.
        max_length: u32,
    },
    /// A number.
    Number {
        /// Whether a resource must have it.
        required: bool,
        /// Least value.
        #[serde(serialize_with = "shortest")]
        min: Option<f64>,
        /// Greatest value.
        #[serde(serialize_with = "shortest")]
        max: Option<f64>,
    },
    /// A UUID.
    Uuid {
        /// Whether a resource must have it.
        required: bool,
    },
    /// True or false.
    Bool {
        /// Whether a resource must have it.
        required: bool,
    },
    /// A point in time.
    Datetime {
        /// Whether a resource must have it.
        required: bool,
    },
}

/// Whole numbers without a fraction, as they were sent.
#[allow(clippy::cast_possible_truncation)]
fn shortest<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => serializer.serialize_i64(*value as i64),
        other => other.serialize(serializer),
    }
}

impl From<&AttributeType> for AttributeView {
    fn from(attribute: &AttributeType) -> Self {
        let required = attribute.required;
        match attribute.kind {
            AttributeKind::String { min_length, max_length } => {
                Self::String { required, min_length, max_length }
            }
            AttributeKind::Number { min, max } => Self::Number { required, min, max },
            AttributeKind::Uuid => Self::Uuid { required },
            AttributeKind::Bool => Self::Bool { required },
            AttributeKind::Datetime => Self::Datetime { required },
        }
    }
}

impl<'a> From<&'a ResourceType> for TypeView<'a> {
    fn from(resource_type: &'a ResourceType) -> Self {
        let attributes = resource_type.attributes.iter();
        Self {
            name: &resource_type.name,
            attributes: attributes.map(|(name, attribute)| (name.as_str(), attribute.into())).collect(),
            state: resource_type.state.as_str(),
        }
    }
}

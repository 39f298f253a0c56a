//! A metric as the index knows it.

use crate::ids::{MetricId, ResourceId};

/// A series: an identifier, one archive policy for ever, and perhaps a place on a resource (metrics-api §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Identifier.
    pub id: MetricId,
    /// Creator string: `<user>` in basic mode, `<user>:<project>` in Keystone mode; null if nobody's.
    pub creator: Option<String>,
    /// Name; unique among the live metrics of a resource.
    pub name: Option<String>,
    /// Unit, at most 31 characters.
    pub unit: Option<String>,
    /// The resource it belongs to.
    pub resource_id: Option<ResourceId>,
    /// Name of its archive policy.
    pub archive_policy_name: String,
}

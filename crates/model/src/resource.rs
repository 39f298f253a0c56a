//! Resources, their types and revisions (metrics-api §6, §7).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ids::{MetricId, ResourceId};
use crate::time::Timestamp;

/// A resource in one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Identifier (metrics-api §6.1).
    pub id: ResourceId,
    /// The identifier as the client sent it.
    pub original_resource_id: String,
    /// Name of its resource type.
    pub resource_type: String,
    /// Who created it.
    pub creator: Option<String>,
    /// Owner's user, free text.
    pub user_id: Option<String>,
    /// Owner's project, free text.
    pub project_id: Option<String>,
    /// Start of its life.
    pub started_at: Timestamp,
    /// End of its life; absent while it lives.
    pub ended_at: Option<Timestamp>,
    /// Start of this revision.
    pub revision_start: Timestamp,
    /// End of this revision; absent for the current one.
    pub revision_end: Option<Timestamp>,
    /// Number of this revision: positive for past ones, -1 for the current one.
    pub revision: i64,
    /// The type's own attributes; every attribute of the type is present, unset ones as null.
    pub attributes: BTreeMap<String, Value>,
    /// Live metrics by name.
    pub metrics: BTreeMap<String, MetricId>,
}

/// What a value of an attribute must be.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeKind {
    /// Text with a length in characters.
    String {
        /// Least length.
        min_length: u32,
        /// Greatest length.
        max_length: u32,
    },
    /// A number in a range.
    Number {
        /// Least value.
        min: Option<f64>,
        /// Greatest value.
        max: Option<f64>,
    },
    /// A UUID, kept in canonical form.
    Uuid,
    /// True or false.
    Bool,
    /// A point in time.
    Datetime,
}

/// One attribute of a resource type.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeType {
    /// What its values are.
    pub kind: AttributeKind,
    /// Whether a resource must have it.
    pub required: bool,
}

/// Life of a resource type. Creation is synchronous, so clients normally see `Active` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceTypeState {
    /// Usable.
    Active,
    /// Being created.
    Creating,
    /// Being changed.
    Updating,
    /// Being deleted.
    Deleting,
}

impl ResourceTypeState {
    /// The name clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Creating => "creating",
            Self::Updating => "updating",
            Self::Deleting => "deleting",
        }
    }
}

/// A named set of typed extra attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceType {
    /// Its name.
    pub name: String,
    /// Attributes by name.
    pub attributes: BTreeMap<String, AttributeType>,
    /// Its state.
    pub state: ResourceTypeState,
}

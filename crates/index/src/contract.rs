//! What the index promises. One implementation serves SQLite and PostgreSQL; the suite in `tests/` runs on both.
//!
//! Every method is one transaction. Writes are durable when they return.

mod accounts;
mod alarms;
mod known;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
pub use nephos_lang::filter::{Filter, Operator};
use nephos_model::{AttributeType, Metric, MetricId, Resource, ResourceId, ResourceType, Timestamp};
use nephos_timeseries::{ArchivePolicy, PolicyItem};
use serde_json::Value;

pub use accounts::{Account, AccountChange, AccountIndex, AccountToken, Usage, UsageIndex};
pub use alarms::{
    AlarmFilter, AlarmIndex, AlarmTransition, ChangeFilter, OutboxItem, OutboxResult, Transition,
};
pub use known::{KindPlace, KnownMetrics, MetricKind};

/// Why the index did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// `Archive policy <n> does not exist` and the like.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// `archive policy`, `archive policy rule`, `resource type`, `resource`, `metric`, `alarm`, `user`, `token`.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// Something of that name or id is there already.
    #[error("{what} {id} already exists")]
    AlreadyExists {
        /// What; for a metric's name on a resource: `named metric`.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// It cannot go while others refer to it.
    #[error("{what} {id} is still in use")]
    InUse {
        /// What.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// A policy cannot change like that: the text after `does not support change: `.
    #[error("archive policy {name} does not support change: {reason}")]
    UnsupportedPolicyChange {
        /// The policy.
        name: String,
        /// Why.
        reason: String,
    },
    /// A resource type cannot change like that; the text is the API's.
    #[error("{0}")]
    UnsupportedTypeChange(String),
    /// No rule gives a policy for this metric name.
    #[error("no archive policy rule matches the metric name {0}")]
    NoPolicyMatch(String),
    /// `marker` names nothing.
    #[error("invalid marker: {0}")]
    BadMarker(String),
    /// A sort key that no column has.
    #[error("sort key is invalid: {0}")]
    BadSortKey(String),
    /// A condition on an attribute that the type does not have.
    #[error("resource type {resource_type} has no {attribute} attribute")]
    UnknownAttribute {
        /// The type.
        resource_type: String,
        /// The attribute.
        attribute: String,
    },
    /// A condition whose value cannot be compared with the attribute.
    #[error("{value:?} is no value for {attribute}")]
    BadFilterValue {
        /// The value, as text.
        value: String,
        /// The attribute.
        attribute: String,
    },
    /// `ended_at` before `started_at`.
    #[error("start timestamp cannot be after end timestamp")]
    StartAfterEnd,
    /// The database is away; a retry helps.
    #[error("index database is not reachable: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The database said no: a defect of ours or a damaged database.
    #[error("index database: {reason}")]
    Database {
        /// What went wrong.
        reason: String,
    },
}

impl IndexError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A rule that gives metrics their policy by name (metrics-api §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Its name.
    pub name: String,
    /// Shell glob over metric names.
    pub metric_pattern: String,
    /// The policy it gives.
    pub archive_policy_name: String,
}

/// One sort key of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Column of the listed object.
    pub key: String,
    /// Descending instead of ascending.
    pub descending: bool,
    /// Nulls before everything else; otherwise after.
    pub nulls_first: bool,
}

/// Which part of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// At most so many; absent means all.
    pub limit: Option<u64>,
    /// Id of the last item of the previous page; with history `<id>@<revision>`.
    pub marker: Option<String>,
    /// Order; a tie-breaker is appended by the index. Empty means the object's default order.
    pub sort: Vec<SortKey>,
}

/// Exact, and-ed conditions on metrics.
#[derive(Clone, Debug, Default)]
pub struct MetricFilter {
    /// By id.
    pub ids: Option<Vec<MetricId>>,
    /// By name.
    pub name: Option<String>,
    /// By unit.
    pub unit: Option<String>,
    /// By creator.
    pub creator: Option<String>,
    /// By policy.
    pub archive_policy_name: Option<String>,
    /// By resource.
    pub resource_id: Option<ResourceId>,
    /// What a project may see: metrics that somebody of it created, and those of resources that are its own or that
    /// somebody of it created. Not an empty text.
    pub visible_to: Option<String>,
    /// Deleted but not yet expunged ones instead of live ones.
    pub deleted: bool,
}

/// A metric to create. Without a policy name the first matching rule gives one.
#[derive(Clone, Debug)]
pub struct NewMetric {
    /// Its id.
    pub id: MetricId,
    /// Creator string.
    pub creator: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Unit.
    pub unit: Option<String>,
    /// Resource it belongs to, which must exist.
    pub resource_id: Option<ResourceId>,
    /// Policy, or by rule.
    pub archive_policy_name: Option<String>,
}

/// The metrics a resource gets: created anew, or existing ones (of the same creator) taken over.
#[derive(Clone, Debug)]
pub enum ResourceMetrics {
    /// Attach an existing live metric under this name.
    Existing(MetricId),
    /// Create one.
    New {
        /// Policy, or by rule.
        archive_policy_name: Option<String>,
        /// Unit.
        unit: Option<String>,
    },
}

/// A resource to create. Attributes were validated against the type by the caller.
#[derive(Clone, Debug)]
pub struct NewResource {
    /// Type name; `NotFound` if there is none.
    pub resource_type: String,
    /// Id.
    pub id: ResourceId,
    /// Id as sent.
    pub original_resource_id: String,
    /// Creator string.
    pub creator: Option<String>,
    /// Owner's user.
    pub user_id: Option<String>,
    /// Owner's project.
    pub project_id: Option<String>,
    /// Start of life.
    pub started_at: Timestamp,
    /// End of life.
    pub ended_at: Option<Timestamp>,
    /// Set attributes of the type.
    pub attributes: BTreeMap<String, Value>,
    /// Named metrics.
    pub metrics: BTreeMap<String, ResourceMetrics>,
    /// Start of its first revision.
    pub now: Timestamp,
}

/// A change of a resource; absent fields stay. Makes a revision if a value really changes.
#[derive(Clone, Debug, Default)]
pub struct ResourceUpdate {
    /// New owner's user; `Some(None)` clears it.
    pub user_id: Option<Option<String>>,
    /// New owner's project; `Some(None)` clears it.
    pub project_id: Option<Option<String>>,
    /// New start of life.
    pub started_at: Option<Timestamp>,
    /// New end of life; `Some(None)` clears it.
    pub ended_at: Option<Option<Timestamp>>,
    /// Changed attributes.
    pub attributes: BTreeMap<String, Value>,
    /// Metrics.
    pub metrics: Option<BTreeMap<String, ResourceMetrics>>,
    /// Whether `metrics` are added to the present ones (`AlreadyExists` "named metric" on a clash); otherwise they
    /// replace the whole set and the others are detached.
    pub append_metrics: bool,
    /// Creator of new metrics, and whose existing ones may be attached.
    pub creator: Option<String>,
    /// Start of the new revision.
    pub now: Timestamp,
}

/// Which resources are meant.
#[derive(Clone, Debug)]
pub struct ResourceSearch {
    /// Their type; `generic` means all types.
    pub resource_type: String,
    /// Whether past revisions are meant too.
    pub history: bool,
    /// What must hold; nothing means all.
    pub filter: Option<Filter>,
    /// What relative times of the filter are relative to.
    pub now: Timestamp,
}

/// A change of one attribute of a resource type, applied in order.
#[derive(Clone, Debug)]
pub enum TypeChange {
    /// Adds it, or changes `required` and limits; `fill` is written to resources and history that lack it.
    Put {
        /// Name.
        name: String,
        /// New definition.
        attribute: AttributeType,
        /// Value for resources without one.
        fill: Option<Value>,
    },
    /// Drops it.
    Remove {
        /// Name.
        name: String,
    },
}

/// A resource that the collector needs to exist, of a definition's type.
#[derive(Clone, Debug)]
pub struct EnsureResource {
    /// Type, which must exist.
    pub resource_type: String,
    /// Id.
    pub id: ResourceId,
    /// Id as text.
    pub original_resource_id: String,
    /// Owner's user.
    pub user_id: Option<String>,
    /// Owner's project.
    pub project_id: Option<String>,
    /// Attributes known from the samples; nulls left out. Those that differ from the stored ones make a revision.
    pub attributes: BTreeMap<String, Value>,
    /// `ended_at` to set, when the resource is known to have gone.
    pub ended_at: Option<Timestamp>,
}

/// A metric that the collector needs to exist on a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnsureMetric {
    /// Its resource.
    pub resource_id: ResourceId,
    /// Its name.
    pub name: String,
    /// Unit, used at creation.
    pub unit: Option<String>,
    /// Policy, used at creation; otherwise by rule.
    pub archive_policy_name: Option<String>,
}

/// A metric that exists now, and its policy.
#[derive(Clone, Debug)]
pub struct EnsuredMetric {
    /// The metric.
    pub metric: Metric,
    /// Its policy.
    pub policy: Arc<ArchivePolicy>,
}

/// Archive policies and rules.
#[async_trait]
pub trait PolicyIndex: Send + Sync + Debug {
    /// Creates one; `AlreadyExists`.
    async fn create_archive_policy(&self, policy: &ArchivePolicy) -> Result<(), IndexError>;
    /// All, by name.
    async fn archive_policies(&self) -> Result<Vec<Arc<ArchivePolicy>>, IndexError>;
    /// One, if it exists. Cached for at most a second across processes.
    async fn archive_policy(&self, name: &str) -> Result<Option<Arc<ArchivePolicy>>, IndexError>;
    /// The policy that a new metric gets: the named one, or that of the first rule that fits the metric's name.
    /// `NotFound`, `NoPolicyMatch`.
    async fn policy_for(&self, policy: Option<&str>, metric: &str) -> Result<Arc<ArchivePolicy>, IndexError>;
    /// Changes points, timespans and back window; `UnsupportedPolicyChange` if granularities differ.
    async fn update_archive_policy(
        &self,
        name: &str,
        definition: &[PolicyItem],
        back_window: Option<u32>,
    ) -> Result<Arc<ArchivePolicy>, IndexError>;
    /// Deletes one; `InUse` while a metric (deleted but unexpunged ones too) or a rule refers to it.
    async fn delete_archive_policy(&self, name: &str) -> Result<(), IndexError>;
    /// Creates a rule; `AlreadyExists`, `NotFound` "archive policy".
    async fn create_rule(&self, rule: &PolicyRule) -> Result<(), IndexError>;
    /// All rules in the order of matching: pattern descending by bytes, then name.
    async fn rules(&self) -> Result<Vec<PolicyRule>, IndexError>;
    /// One rule.
    async fn rule(&self, name: &str) -> Result<Option<PolicyRule>, IndexError>;
    /// Renames a rule; `AlreadyExists`, `NotFound`.
    async fn rename_rule(&self, name: &str, new_name: &str) -> Result<PolicyRule, IndexError>;
    /// Deletes a rule; `NotFound`.
    async fn delete_rule(&self, name: &str) -> Result<(), IndexError>;
}

/// Resource types and resources.
#[async_trait]
pub trait ResourceIndex: Send + Sync + Debug {
    /// Creates a type; `AlreadyExists`.
    async fn create_resource_type(&self, resource_type: &ResourceType) -> Result<(), IndexError>;
    /// All types by name, `generic` included.
    async fn resource_types(&self) -> Result<Vec<Arc<ResourceType>>, IndexError>;
    /// One type.
    async fn resource_type(&self, name: &str) -> Result<Option<Arc<ResourceType>>, IndexError>;
    /// Changes attributes, rewriting resources and history where `fill` or removal asks for it.
    async fn update_resource_type(
        &self,
        name: &str,
        changes: &[TypeChange],
    ) -> Result<Arc<ResourceType>, IndexError>;
    /// Deletes one; `NotFound`, `InUse` (`generic` always is).
    async fn delete_resource_type(&self, name: &str) -> Result<(), IndexError>;

    /// Creates a resource; `AlreadyExists` for any type, `NotFound` of type, metric or policy, `StartAfterEnd`.
    async fn create_resource(&self, resource: &NewResource) -> Result<Resource, IndexError>;
    /// One resource; `None` also if it is of another type than asked for (`generic` fits all).
    async fn resource(&self, resource_type: &str, id: ResourceId) -> Result<Option<Resource>, IndexError>;
    /// Listing of a type (`generic` lists all types); `history` gives all revisions. `NotFound` "resource type",
    /// `BadMarker`, `BadSortKey`.
    async fn resources(
        &self,
        resource_type: &str,
        history: bool,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError>;
    /// Resources that fit a search, in pages. `NotFound` "resource type", `UnknownAttribute`, `BadFilterValue`,
    /// `BadMarker`, `BadSortKey`.
    async fn search_resources(
        &self,
        search: &ResourceSearch,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError>;
    /// All revisions of one resource, by default oldest first; each starts later than the one before it. `NotFound`
    /// "resource" or "resource type", `BadMarker`, `BadSortKey`.
    async fn resource_history(
        &self,
        resource_type: &str,
        id: ResourceId,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError>;
    /// Changes a resource atomically; `NotFound`, `StartAfterEnd`, `AlreadyExists` "named metric".
    async fn update_resource(
        &self,
        resource_type: &str,
        id: ResourceId,
        update: &ResourceUpdate,
    ) -> Result<Resource, IndexError>;
    /// Deletes a resource with its metrics and history; the ids of the metrics, which the caller deletes in the store.
    async fn delete_resource(&self, resource_type: &str, id: ResourceId)
    -> Result<Vec<MetricId>, IndexError>;

    /// Deletes the resources that fit a search, all or none, with their metrics and history; how many they were, and the
    /// ids of the metrics, which the caller deletes in the store. `history` of the search has no meaning here. Errors as
    /// [`search_resources`](Self::search_resources).
    async fn delete_resources(&self, search: &ResourceSearch) -> Result<(u64, Vec<MetricId>), IndexError>;

    /// Forgets past revisions that ended before `before`, the longest ended first and at most `limit` of them; how many
    /// they were. Resources as they are now stay.
    async fn expire_history(&self, before: Timestamp, limit: u64) -> Result<u64, IndexError>;

    /// Makes resources and metrics exist, in one transaction: the bulk call. Existing resources get changed
    /// attributes (one revision each); unknown attributes of a type are left out; ended ones come back to life unless
    /// `ended_at` is given. Created resources start at `now`. Answers `metrics` in their order; a metric without policy
    /// and without matching rule is `Err(NoPolicyMatch)` in its place and harms no other.
    async fn ensure(
        &self,
        creator: Option<&str>,
        resources: &[EnsureResource],
        metrics: &[EnsureMetric],
        now: Timestamp,
    ) -> Result<Vec<Result<EnsuredMetric, IndexError>>, IndexError>;
}

/// Metrics.
#[async_trait]
pub trait MetricIndex: Send + Sync + Debug {
    /// Creates one; `NotFound` policy or resource, `NoPolicyMatch`, `AlreadyExists` "named metric".
    async fn create_metric(&self, metric: &NewMetric) -> Result<Metric, IndexError>;
    /// Live metrics that match, default order by id.
    async fn metrics(&self, filter: &MetricFilter, page: &Page) -> Result<Vec<Metric>, IndexError>;
    /// One live metric.
    async fn metric(&self, id: MetricId) -> Result<Option<Metric>, IndexError>;
    /// The live metric of that name on a resource.
    async fn resource_metric(&self, resource: ResourceId, name: &str) -> Result<Option<Metric>, IndexError>;
    /// Creators, projects and policies of live metrics, from memory where they were asked for before: what this process
    /// has changed shows at once, what another has changed within a second (five if the database is slow to answer).
    async fn known_metrics(&self, ids: &[MetricId]) -> Result<KnownMetrics, IndexError>;
    /// Live metrics by resource and name, in the order asked for; from memory like [`known_metrics`](Self::known_metrics).
    async fn known_by_name(&self, places: &[(ResourceId, &str)])
    -> Result<Vec<Option<MetricId>>, IndexError>;
    /// Gives a live metric another policy; `NotFound` "metric" or "archive policy". The policy it had.
    async fn change_metric_policy(&self, id: MetricId, policy: &str) -> Result<String, IndexError>;
    /// Hides a live metric; `NotFound`. Its row stays until [`expunge_metrics`](Self::expunge_metrics).
    async fn delete_metric(&self, id: MetricId) -> Result<(), IndexError>;
    /// Ids of up to `limit` deleted metrics whose data the janitor must remove from the store.
    async fn deleted_metrics(&self, limit: u64) -> Result<Vec<MetricId>, IndexError>;
    /// Removes the rows of deleted metrics after their data are gone.
    async fn expunge_metrics(&self, ids: &[MetricId]) -> Result<(), IndexError>;
    /// Number of live metrics.
    async fn count_metrics(&self) -> Result<u64, IndexError>;
}

/// The whole index.
#[async_trait]
pub trait Index: PolicyIndex + ResourceIndex + MetricIndex + AlarmIndex + AccountIndex + UsageIndex {
    /// `Ok` if the database answers right now: for `/readyz`.
    async fn ready(&self) -> Result<(), IndexError>;
}

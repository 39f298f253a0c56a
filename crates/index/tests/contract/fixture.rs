//! An index on a scratch database, and the objects tests put into it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_index::{
    IndexError, MetricIndex, NewMetric, NewResource, PolicyIndex, PolicyRule, ResourceIndex, ResourceMetrics,
    SqlIndex,
};
use nephos_model::{
    Alarm, AlarmChange, AlarmId, AlarmRule, AlarmState, AttributeKind, AttributeType, ChangeKind, Comparison,
    Granularity, ManualClock, Metric, MetricId, Resource, ResourceId, ResourceType, ResourceTypeState,
    ResourcesThreshold, Severity, Timestamp,
};
use nephos_sql::migrations::INDEX;
use nephos_sql::testing::Scratch;
use nephos_sql::{Db, migrate};
use nephos_timeseries::{ArchivePolicy, PolicyItem};
use serde_json::Value;
use uuid::Uuid;

pub(crate) struct Fixture {
    pub(crate) scratch: Scratch,
    pub(crate) db: Db,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) index: SqlIndex,
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        Self::on(Scratch::sqlite()).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::on(Scratch::postgres().await).await
    }

    async fn on(scratch: Scratch) -> Self {
        let db = scratch.db().await;
        migrate(&db, &[&INDEX]).await.unwrap();
        let clock = Arc::new(ManualClock::new(at(1_000)));
        let index = SqlIndex::open(db.clone(), Arc::<ManualClock>::clone(&clock)).await.unwrap();
        index.ensure_defaults(&Default::default()).await.unwrap();
        Self { scratch, db, clock, index }
    }

    /// Another process on the same database.
    pub(crate) async fn other(&self) -> SqlIndex {
        SqlIndex::open(self.scratch.db().await, Arc::<ManualClock>::clone(&self.clock)).await.unwrap()
    }

    /// With policies `low` and `high`, and the rule `*` → `low`.
    pub(crate) async fn with_policies(&self) -> &SqlIndex {
        for name in ["low", "high"] {
            self.index.create_archive_policy(&policy(name)).await.unwrap();
        }
        self.index.create_rule(&rule("default", "*", "low")).await.unwrap();
        &self.index
    }

    /// With policies and the type `instance`.
    pub(crate) async fn with_types(&self) -> &SqlIndex {
        self.with_policies().await;
        self.index.create_resource_type(&instance_type()).await.unwrap();
        &self.index
    }

    pub(crate) async fn generic(&self, id: ResourceId) -> Resource {
        self.index.create_resource(&new_resource("generic", id)).await.unwrap()
    }

    pub(crate) async fn metric(&self, resource: Option<ResourceId>, name: &str) -> Metric {
        self.index.create_metric(&new_metric(resource, Some(name))).await.unwrap()
    }
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Ids in the order of their numbers.
pub(crate) fn rid(number: u128) -> ResourceId {
    ResourceId(Uuid::from_u128(number))
}

pub(crate) fn policy(name: &str) -> ArchivePolicy {
    let item = |secs, points| PolicyItem { granularity: Granularity::from_secs(secs).unwrap(), points };
    ArchivePolicy {
        name: name.to_owned(),
        back_window: 2,
        // Not in order: the author's order is kept.
        definition: vec![item(60, Some(10)), item(1, Some(3_600)), item(3_600, None)],
        methods: ["mean", "rate:max", "95pct"].map(|method| method.parse().unwrap()).to_vec(),
    }
}

pub(crate) fn rule(name: &str, pattern: &str, policy: &str) -> PolicyRule {
    PolicyRule {
        name: name.to_owned(),
        metric_pattern: pattern.to_owned(),
        archive_policy_name: policy.to_owned(),
    }
}

pub(crate) fn attribute(kind: AttributeKind, required: bool) -> AttributeType {
    AttributeType { kind, required }
}

pub(crate) fn text_kind() -> AttributeKind {
    AttributeKind::String { min_length: 1, max_length: 255 }
}

pub(crate) fn instance_type() -> ResourceType {
    ResourceType {
        name: "instance".to_owned(),
        attributes: [
            ("flavor".to_owned(), attribute(text_kind(), true)),
            ("cores".to_owned(), attribute(AttributeKind::Number { min: Some(0.5), max: None }, false)),
            ("image".to_owned(), attribute(AttributeKind::Uuid, false)),
            ("locked".to_owned(), attribute(AttributeKind::Bool, false)),
            ("born-at".to_owned(), attribute(AttributeKind::Datetime, false)),
        ]
        .into(),
        state: ResourceTypeState::Active,
    }
}

pub(crate) fn values<const N: usize>(values: [(&str, Value); N]) -> BTreeMap<String, Value> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(crate) fn new_resource(resource_type: &str, id: ResourceId) -> NewResource {
    NewResource {
        resource_type: resource_type.to_owned(),
        id,
        original_resource_id: format!("original {id}"),
        creator: Some("admin".to_owned()),
        user_id: None,
        project_id: None,
        started_at: at(100),
        ended_at: None,
        attributes: BTreeMap::new(),
        metrics: BTreeMap::new(),
        now: at(200),
    }
}

pub(crate) fn new_metric(resource_id: Option<ResourceId>, name: Option<&str>) -> NewMetric {
    NewMetric {
        id: MetricId::random(),
        creator: Some("admin".to_owned()),
        name: name.map(str::to_owned),
        unit: None,
        resource_id,
        archive_policy_name: None,
    }
}

pub(crate) fn by_rule() -> ResourceMetrics {
    ResourceMetrics::New { archive_policy_name: None, unit: None }
}

pub(crate) fn wanted<const N: usize>(
    metrics: [(&str, ResourceMetrics); N],
) -> BTreeMap<String, ResourceMetrics> {
    metrics.into_iter().map(|(name, metric)| (name.to_owned(), metric)).collect()
}

pub(crate) fn alarm(name: &str) -> Alarm {
    Alarm {
        id: AlarmId::random(),
        name: Some(name.to_owned()),
        description: "✔ \"quoted\"".to_owned(),
        enabled: true,
        rule: AlarmRule::ResourcesThreshold(ResourcesThreshold {
            metric: "cpu_util".to_owned(),
            resource_id: "server 1".to_owned(),
            resource_type: "generic".to_owned(),
            aggregation_method: "rate:mean".to_owned(),
            threshold: 0.1,
            comparison_operator: Comparison::Ge,
            evaluation_periods: 3,
            granularity: 60,
        }),
        ok_actions: vec![],
        alarm_actions: vec!["https://user:secret@host/hook?token=t".to_owned(), "log:".to_owned()],
        insufficient_data_actions: vec!["test:".to_owned()],
        repeat_actions: false,
        severity: Severity::Low,
        state: AlarmState::InsufficientData,
        state_reason: "Not evaluated yet".to_owned(),
        state_timestamp: at(1_000),
        timestamp: at(1_000),
        evaluate_timestamp: at(1_000),
        time_constraints: vec![nephos_model::alarm::TimeConstraint {
            name: "night".to_owned(),
            description: String::new(),
            start: "0 22 * * *".to_owned(),
            duration: 3_600,
            timezone: "Europe/Berlin".to_owned(),
        }],
        user_id: Some("user".to_owned()),
        project_id: Some("project".to_owned()),
    }
}

pub(crate) fn change(alarm: &Alarm, kind: ChangeKind, when: i64) -> AlarmChange {
    AlarmChange {
        event_id: Uuid::new_v4(),
        alarm_id: alarm.id,
        kind,
        detail: "{\"state\": \"ok\"}".to_owned(),
        user_id: Some("user".to_owned()),
        project_id: None,
        on_behalf_of: alarm.project_id.clone(),
        timestamp: at(when),
        severity: alarm.severity,
    }
}

/// The error's text, which names what and which.
pub(crate) fn text<T: std::fmt::Debug>(result: Result<T, IndexError>) -> String {
    result.unwrap_err().to_string()
}

//! What the index promises of alarms.

use std::fmt::Debug;

use async_trait::async_trait;
use nephos_model::{Alarm, AlarmChange, AlarmId, AlarmState, Timestamp};
use uuid::Uuid;

use super::{IndexError, Page};

/// Conditions on alarms, and-ed. Values as the API parsed them.
#[derive(Clone, Debug, Default)]
pub struct AlarmFilter {
    /// By user.
    pub user_id: Option<String>,
    /// By project.
    pub project_id: Option<String>,
    /// By type name.
    pub type_name: Option<String>,
    /// By name.
    pub name: Option<String>,
    /// By enabled.
    pub enabled: Option<bool>,
    /// By state.
    pub state: Option<AlarmState>,
    /// By severity name.
    pub severity: Option<String>,
    /// By time of definition.
    pub timestamp: Option<Timestamp>,
    /// By repeat_actions.
    pub repeat_actions: Option<bool>,
}

/// Conditions on history entries, and-ed.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Of one alarm.
    pub alarm_id: Option<AlarmId>,
    /// By kind name.
    pub kind: Option<String>,
    /// By acting user.
    pub user_id: Option<String>,
    /// By acting project.
    pub project_id: Option<String>,
    /// By project of the alarm.
    pub on_behalf_of: Option<String>,
    /// By severity name.
    pub severity: Option<String>,
    /// Not before, inclusive; then exclusive.
    pub from: Option<(Timestamp, bool)>,
    /// Not after, inclusive; then exclusive. The bool says whether the bound itself is included.
    pub until: Option<(Timestamp, bool)>,
}

/// A notification to deliver: written with the state that causes it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxItem {
    /// Its id: `x-openstack-request-id: req-<id>`, the same over retries.
    pub id: Uuid,
    /// The alarm.
    pub alarm_id: AlarmId,
    /// The action's URL.
    pub action: String,
    /// The exact body.
    pub payload: String,
    /// When it was written: retries end an hour later.
    pub created: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// Not to be tried before.
    pub due: Timestamp,
}

/// How a delivery attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxResult {
    /// Delivered: the row goes.
    Delivered,
    /// Try again at this time, because of this.
    Retry {
        /// When.
        due: Timestamp,
        /// Why.
        error: String,
    },
    /// Never again: the row stays as dead and the alarm's history shows it with this reason.
    Dead {
        /// Why.
        error: String,
    },
}

/// A state change, by the evaluator or by hand.
#[derive(Clone, Debug)]
pub struct Transition {
    /// New state.
    pub state: AlarmState,
    /// Why, exact text.
    pub reason: String,
    /// Its history entry, unless `record_history` is off.
    pub change: Option<AlarmChange>,
}

/// What one evaluation of one alarm leaves behind, committed together.
#[derive(Clone, Debug)]
pub struct AlarmTransition {
    /// The alarm.
    pub alarm_id: AlarmId,
    /// `evaluate_timestamp` as read: the commit happens only if it is unchanged.
    pub read_evaluate_timestamp: Timestamp,
    /// Its definition time as read: the commit happens only if the definition is unchanged.
    pub read_timestamp: Timestamp,
    /// State as read: the commit happens only if it is unchanged.
    pub read_state: AlarmState,
    /// New `evaluate_timestamp`, also the new `state_timestamp` of a transition.
    pub now: Timestamp,
    /// The transition; absent when the state stays.
    pub transition: Option<Transition>,
    /// Notifications to send.
    pub outbox: Vec<OutboxItem>,
}

/// Alarms, their history and the outbox.
#[async_trait]
pub trait AlarmIndex: Send + Sync + Debug {
    /// Creates one, with its history entry.
    async fn create_alarm(&self, alarm: &Alarm, change: Option<&AlarmChange>) -> Result<(), IndexError>;
    /// One alarm.
    async fn alarm(&self, id: AlarmId) -> Result<Option<Alarm>, IndexError>;
    /// Alarms that match; default order `timestamp` descending; ties by id. `severity` sorts low < moderate < critical.
    async fn alarms(&self, filter: &AlarmFilter, page: &Page) -> Result<Vec<Alarm>, IndexError>;
    /// Replaces one, with its history entry if there is one; `NotFound`.
    async fn update_alarm(&self, alarm: &Alarm, change: Option<&AlarmChange>) -> Result<(), IndexError>;
    /// Gives one a state by hand, with `at` as its `state_timestamp`, and leaves all else as it is by now; `NotFound`.
    async fn set_alarm_state(&self, id: AlarmId, set: &Transition, at: Timestamp) -> Result<(), IndexError>;
    /// Deletes one with its history and undelivered notifications; `NotFound`.
    async fn delete_alarm(&self, id: AlarmId) -> Result<(), IndexError>;
    /// History; default order newest first; ties by event id.
    async fn alarm_changes(&self, filter: &ChangeFilter, page: &Page)
    -> Result<Vec<AlarmChange>, IndexError>;
    /// Number of alarms of a user or project, for quotas.
    async fn count_alarms(&self, filter: &AlarmFilter) -> Result<u64, IndexError>;

    /// Enabled polled alarms whose `evaluate_timestamp` is before `before` or that were never evaluated since their
    /// definition, oldest first.
    async fn due_alarms(&self, before: Timestamp, limit: u64) -> Result<Vec<Alarm>, IndexError>;
    /// Commits an evaluation: `Ok(false)` if the alarm is gone or changed since it was read (nothing was written).
    async fn commit_evaluation(&self, transition: &AlarmTransition) -> Result<bool, IndexError>;

    /// Claims up to `limit` due notifications for `lease` nanoseconds, oldest first: no other notifier gets them
    /// meanwhile; a crashed notifier's come back after it. The items' `due` is the end of the claim; `attempts` counts
    /// earlier claims, settled or not.
    async fn claim_outbox(
        &self,
        now: Timestamp,
        lease_nanos: i64,
        limit: u64,
    ) -> Result<Vec<OutboxItem>, IndexError>;
    /// Settles a claimed notification; no error if it is gone. `Dead` writes a history entry of its alarm: kind
    /// `RuleChange`, detail `{"notification": {"action": <URL without credentials>, "error": …}}`.
    async fn settle_outbox(&self, id: Uuid, now: Timestamp, result: &OutboxResult) -> Result<(), IndexError>;
    /// When the next notification is due.
    async fn next_outbox_due(&self) -> Result<Option<Timestamp>, IndexError>;
}

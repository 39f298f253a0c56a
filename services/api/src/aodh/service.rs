//! What the alarm API does, without HTTP (alarms-api §5).

use nephos_identity::{Caller, Rule};
use nephos_index::{AlarmFilter, Index, Page, SortKey, Transition};
use nephos_lang::cron::{CronError, CronSchedule, zone};
use nephos_model::{Alarm, AlarmChange, AlarmId, AlarmRule, AlarmState, ChangeKind, Clock, Timestamp};
use nephos_timeseries::AggregationMethod;
use nephos_wire::aodh::query::{Condition, Paging};
use nephos_wire::aodh::{AlarmInput, AlarmLimits, ConstraintFault, Fault, recorded};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::AlarmOptions;
use super::access;
use super::failure::AodhFailure;

const MANUALLY: &str = "Manually set via API";

/// What the functions here work with.
pub(super) struct Service<'a> {
    pub(super) index: &'a dyn Index,
    pub(super) clock: &'a dyn Clock,
    pub(super) options: &'a AlarmOptions,
    pub(super) caller: &'a Caller,
}

/// The part of a list that was asked for.
pub(super) fn page(paging: Paging) -> Page {
    let sort = paging
        .sort
        .into_iter()
        .map(|sort| SortKey { key: sort.key, descending: sort.descending, nulls_first: false })
        .collect();
    Page { limit: paging.limit, marker: paging.marker, sort }
}

fn check_constraint(start: &str, timezone: &str) -> Result<(), ConstraintFault> {
    CronSchedule::parse(start).map_err(|error| ConstraintFault::Start(error.to_string()))?;
    zone(timezone).map(|_| ()).map_err(|error: CronError| ConstraintFault::Timezone(error.to_string()))
}

impl Service<'_> {
    fn now(&self) -> Timestamp {
        self.clock.now().to_micros_precision()
    }

    pub(super) async fn list(
        &self,
        conditions: &[Condition],
        paging: Paging,
    ) -> Result<Vec<Alarm>, AodhFailure> {
        access::own_project(Rule::GetAlarms, self.caller)?;
        let filter = access::alarm_filter(self.caller, conditions)?;
        Ok(self.index.alarms(&filter, &page(paging)).await?)
    }

    /// The alarm of that id, if the caller may act on it as `rule` says.
    pub(super) async fn one(&self, id: &str, rule: Rule) -> Result<Alarm, AodhFailure> {
        let found = match id.parse::<AlarmId>() {
            Ok(parsed) => self.index.alarm(parsed).await?,
            Err(_) => None,
        };
        access::visible(rule, self.caller, found, id)
    }

    pub(super) async fn create(&self, body: &Value) -> Result<Alarm, AodhFailure> {
        access::own_project(Rule::CreateAlarm, self.caller)?;
        let input = self.read(body)?;
        let user_id = self.owner(input.user_id.as_ref(), self.caller.user_id.as_ref(), "user")?;
        let project_id = self.owner(input.project_id.as_ref(), self.caller.project_id.as_ref(), "project")?;
        self.check_quota(user_id.as_ref(), project_id.as_ref()).await?;
        let now = self.now();
        let alarm = Alarm {
            state_reason: "Not evaluated yet".to_owned(),
            state_timestamp: now,
            timestamp: now,
            evaluate_timestamp: input.evaluate_timestamp.unwrap_or(now),
            user_id,
            project_id,
            ..alarm_of(AlarmId::random(), input)
        };
        // Written for the project of whoever created it, which need not be the owner's.
        let on_behalf_of = self.caller.project_id.clone();
        let change = self.change(&alarm, ChangeKind::Creation, recorded(&alarm), on_behalf_of, now);
        self.index.create_alarm(&alarm, change.as_ref()).await?;
        Ok(alarm)
    }

    pub(super) async fn replace(&self, id: &str, body: &Value) -> Result<Alarm, AodhFailure> {
        let stored = self.one(id, Rule::ChangeAlarm).await?;
        let input = self.read(body)?;
        let admin = access::is_unrestricted(self.caller);
        let owner = |sent: &Option<String>, kept: &Option<String>| {
            sent.clone().filter(|_| admin).or_else(|| kept.clone())
        };
        let now = self.now();
        let state_changes = input.state != stored.state;
        let alarm = Alarm {
            state_reason: if state_changes { MANUALLY.to_owned() } else { stored.state_reason.clone() },
            state_timestamp: if state_changes { now } else { stored.state_timestamp },
            timestamp: now,
            evaluate_timestamp: input.evaluate_timestamp.unwrap_or(stored.evaluate_timestamp),
            user_id: owner(&input.user_id, &stored.user_id),
            project_id: owner(&input.project_id, &stored.project_id),
            ..alarm_of(stored.id, input)
        };
        let (before, after) = (recorded(&stored), recorded(&alarm));
        let changed: Map<String, Value> =
            after.into_iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
        let tells = changed.keys().any(|key| key != "timestamp" && key != "state_timestamp");
        let change = if tells {
            self.change(&alarm, ChangeKind::RuleChange, changed, alarm.project_id.clone(), now)
        } else {
            None
        };
        self.index.update_alarm(&alarm, change.as_ref()).await?;
        Ok(alarm)
    }

    pub(super) async fn delete(&self, id: &str) -> Result<(), AodhFailure> {
        let alarm = self.one(id, Rule::DeleteAlarm).await?;
        Ok(self.index.delete_alarm(alarm.id).await?)
    }

    pub(super) async fn set_state(&self, id: &str, body: &Value) -> Result<AlarmState, AodhFailure> {
        let stored = self.one(id, Rule::ChangeAlarmState).await?;
        let state = body.as_str().and_then(AlarmState::parse).ok_or_else(|| Fault::bad("state invalid"))?;
        let now = self.now();
        let mut detail = Map::new();
        detail.insert("state".to_owned(), json!(state.as_str()));
        detail.insert("state_reason".to_owned(), json!(MANUALLY));
        let change =
            self.change(&stored, ChangeKind::StateTransition, detail, stored.project_id.clone(), now);
        let set = Transition { state, reason: MANUALLY.to_owned(), change };
        self.index.set_alarm_state(stored.id, &set, now).await?;
        Ok(state)
    }

    fn read(&self, body: &Value) -> Result<AlarmInput, AodhFailure> {
        let limits = AlarmLimits { max_actions: self.options.max_actions };
        let input = AlarmInput::read(body, access::is_unrestricted(self.caller), limits, &check_constraint)?;
        let AlarmRule::ResourcesThreshold(rule) = &input.rule;
        if rule.aggregation_method.parse::<AggregationMethod>().is_err() {
            let known: Vec<String> = AggregationMethod::all().map(|method| format!("'{method}'")).collect();
            let message = format!(
                "aggregation_method should be in [{}] not {}",
                known.join(", "),
                rule.aggregation_method
            );
            return Err(Fault::bad(message).into());
        }
        Ok(input)
    }

    /// The owner's id: an admin may give any, others only their own.
    fn owner(
        &self,
        sent: Option<&String>,
        own: Option<&String>,
        what: &str,
    ) -> Result<Option<String>, AodhFailure> {
        match sent {
            Some(sent) if !access::is_unrestricted(self.caller) && Some(sent) != own => {
                Err(Fault::not_yours(format!("Not Authorized to access {what} {sent}")).into())
            }
            Some(sent) => Ok(Some(sent.clone())),
            None => Ok(own.cloned()),
        }
    }

    async fn check_quota(&self, user: Option<&String>, project: Option<&String>) -> Result<(), AodhFailure> {
        let quotas = [
            (
                self.options.project_quota,
                AlarmFilter { project_id: project.cloned(), ..AlarmFilter::default() },
            ),
            (self.options.user_quota, AlarmFilter { user_id: user.cloned(), ..AlarmFilter::default() }),
        ];
        for (quota, filter) in quotas {
            let Some(quota) = quota else { continue };
            if self.index.count_alarms(&filter).await? >= quota {
                let shown = |id: Option<&String>| id.map_or("None", String::as_str).to_owned();
                let message =
                    format!("Alarm quota exceeded for user {} on project {}", shown(user), shown(project));
                return Err(Fault { status: 403, message }.into());
            }
        }
        Ok(())
    }

    fn change(
        &self,
        alarm: &Alarm,
        kind: ChangeKind,
        detail: Map<String, Value>,
        on_behalf_of: Option<String>,
        now: Timestamp,
    ) -> Option<AlarmChange> {
        self.options.record_history.then(|| AlarmChange {
            event_id: Uuid::new_v4(),
            alarm_id: alarm.id,
            kind,
            detail: Value::Object(detail).to_string(),
            user_id: self.caller.user_id.clone(),
            project_id: self.caller.project_id.clone(),
            on_behalf_of,
            timestamp: now,
            severity: alarm.severity,
        })
    }
}

/// A definition as an alarm; owner and times are the caller's to fill.
fn alarm_of(id: AlarmId, input: AlarmInput) -> Alarm {
    let [ok_actions, alarm_actions, insufficient_data_actions] = input.actions;
    Alarm {
        id,
        name: input.name,
        description: input.description,
        enabled: input.enabled,
        rule: input.rule,
        ok_actions,
        alarm_actions,
        insufficient_data_actions,
        repeat_actions: input.repeat_actions,
        severity: input.severity,
        state: input.state,
        state_reason: String::new(),
        state_timestamp: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        evaluate_timestamp: Timestamp::EPOCH,
        time_constraints: input.time_constraints,
        user_id: None,
        project_id: None,
    }
}

//! Alarms and history entries as rows.

use nephos_model::{Alarm, AlarmChange, AlarmId, AlarmState, ChangeKind, Severity};
use nephos_sql::{Row, Value};

use crate::codec;
use crate::contract::IndexError;

pub(super) const ALARM: &str = "id, name, description, enabled, type, rule, actions, repeat_actions, severity, state, \
     state_reason, state_timestamp, defined_at, evaluated_at, time_constraints, user_id, project_id";

pub(super) const INSERT: &str = "INSERT INTO alarm (id, name, description, enabled, type, rule, actions,
         repeat_actions, severity, state, state_reason, state_timestamp, defined_at, evaluated_at, time_constraints,
         user_id, project_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

pub(super) const UPDATE: &str = "UPDATE alarm SET name = $2, description = $3, enabled = $4, type = $5, rule = $6,
         actions = $7, repeat_actions = $8, severity = $9, state = $10, state_reason = $11, state_timestamp = $12,
         defined_at = $13, evaluated_at = $14, time_constraints = $15, user_id = $16, project_id = $17
     WHERE id = $1";

pub(super) const SET_STATE: &str =
    "UPDATE alarm SET state = $2, state_reason = $3, state_timestamp = $4 WHERE id = $1";

pub(super) const CHANGE: &str =
    "event_id, alarm_id, kind, detail, user_id, project_id, on_behalf_of, changed_at, severity";

pub(super) const INSERT_CHANGE: &str = "INSERT INTO alarm_change (event_id, alarm_id, kind, detail, user_id,
         project_id, on_behalf_of, changed_at, severity)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub(super) fn values(alarm: &Alarm) -> [Value; 17] {
    [
        alarm.id.0.into(),
        alarm.name.as_ref().into(),
        (&alarm.description).into(),
        alarm.enabled.into(),
        alarm.rule.type_name().into(),
        codec::write_rule(&alarm.rule).into(),
        codec::write_actions(alarm).into(),
        alarm.repeat_actions.into(),
        rank(alarm.severity).into(),
        alarm.state.as_str().into(),
        (&alarm.state_reason).into(),
        alarm.state_timestamp.into(),
        alarm.timestamp.into(),
        alarm.evaluate_timestamp.into(),
        codec::write_time_constraints(&alarm.time_constraints).into(),
        alarm.user_id.as_ref().into(),
        alarm.project_id.as_ref().into(),
    ]
}

pub(super) fn alarm(mut row: Row) -> Result<Alarm, IndexError> {
    let state = row.text(9)?;
    let state = AlarmState::parse(state).ok_or_else(|| IndexError::damaged("alarm state", state))?;
    let mut actions = codec::actions(row.text(6)?)?;
    Ok(Alarm {
        id: AlarmId(row.uuid(0)?),
        name: row.take_opt_text(1)?,
        description: row.take_text(2)?,
        enabled: row.bool(3)?,
        rule: codec::rule(row.text(4)?, row.text(5)?)?,
        ok_actions: actions(AlarmState::Ok),
        alarm_actions: actions(AlarmState::Alarm),
        insufficient_data_actions: actions(AlarmState::InsufficientData),
        repeat_actions: row.bool(7)?,
        severity: severity(row.int(8)?)?,
        state,
        state_reason: row.take_text(10)?,
        state_timestamp: row.timestamp(11)?,
        timestamp: row.timestamp(12)?,
        evaluate_timestamp: row.timestamp(13)?,
        time_constraints: codec::time_constraints(row.text(14)?)?,
        user_id: row.take_opt_text(15)?,
        project_id: row.take_opt_text(16)?,
    })
}

pub(super) fn change_values(change: &AlarmChange) -> [Value; 9] {
    [
        change.event_id.into(),
        change.alarm_id.0.into(),
        change.kind.as_str().into(),
        (&change.detail).into(),
        change.user_id.as_ref().into(),
        change.project_id.as_ref().into(),
        change.on_behalf_of.as_ref().into(),
        change.timestamp.into(),
        rank(change.severity).into(),
    ]
}

pub(super) fn change(mut row: Row) -> Result<AlarmChange, IndexError> {
    let kind = row.text(2)?;
    Ok(AlarmChange {
        kind: ChangeKind::parse(kind).ok_or_else(|| IndexError::damaged("kind of change", kind))?,
        event_id: row.uuid(0)?,
        alarm_id: AlarmId(row.uuid(1)?),
        detail: row.take_text(3)?,
        user_id: row.take_opt_text(4)?,
        project_id: row.take_opt_text(5)?,
        on_behalf_of: row.take_opt_text(6)?,
        timestamp: row.timestamp(7)?,
        severity: severity(row.int(8)?)?,
    })
}

/// Severities are stored as numbers so that the database sorts them from least to worst.
pub(super) const fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 0,
        Severity::Moderate => 1,
        Severity::Critical => 2,
    }
}

pub(super) fn severity(stored: i64) -> Result<Severity, IndexError> {
    [Severity::Low, Severity::Moderate, Severity::Critical]
        .into_iter()
        .find(|severity| rank(*severity) == stored)
        .ok_or_else(|| IndexError::damaged("severity", stored))
}

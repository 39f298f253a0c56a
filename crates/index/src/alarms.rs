//! Alarms, their history and the notifications they cause.

mod outbox;
mod rows;

use async_trait::async_trait;
use nephos_model::{Alarm, AlarmChange, AlarmId, Severity, Timestamp};
use nephos_sql::{Constraint, Tx, Value};
use uuid::Uuid;

use crate::contract::{
    AlarmFilter, AlarmIndex, AlarmTransition, ChangeFilter, IndexError, OutboxItem, OutboxResult, Page,
    Transition,
};
use crate::instrument;
use crate::page::{Column, Order};
use crate::query::Conditions;
use crate::sql_index::{SqlIndex, WriteError};

const ALARM: &str = "alarm";

/// When an alarm was last evaluated since its definition; 0 if it was not. The index `alarm_due` is on this text.
const DUE: &str = "(CASE WHEN evaluated_at > defined_at THEN evaluated_at ELSE 0 END)";

#[async_trait]
impl AlarmIndex for SqlIndex {
    async fn create_alarm(&self, alarm: &Alarm, change: Option<&AlarmChange>) -> Result<(), IndexError> {
        let created = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    tx.execute(rows::INSERT, &rows::values(alarm)).await?;
                    record(tx, change).await
                })
            })
            .await;
        match created {
            Err(WriteError::Sql(error)) if error.constraint() == Some(Constraint::Unique) => {
                Err(IndexError::already_exists(ALARM, alarm.id))
            }
            other => Ok(other?),
        }
    }

    async fn alarm(&self, id: AlarmId) -> Result<Option<Alarm>, IndexError> {
        let sql = format!("SELECT {} FROM alarm WHERE id = $1", rows::ALARM);
        self.db.read_one(sql, &[id.0.into()]).await?.map(rows::alarm).transpose()
    }

    async fn alarms(&self, filter: &AlarmFilter, page: &Page) -> Result<Vec<Alarm>, IndexError> {
        let Some(mut conditions) = alarm_conditions(filter) else { return Ok(Vec::new()) };
        let order = Order::new(page, &[("timestamp", true)], &["alarm_id"], alarm_column)?;
        self.entries_after("alarm", "id", page, &order, &mut conditions).await?;
        let sql = conditions.statement(&format!("SELECT {} FROM alarm", rows::ALARM), &order.tail(page));
        self.db.read(sql, conditions.params()).await?.into_iter().map(rows::alarm).collect()
    }

    async fn update_alarm(&self, alarm: &Alarm, change: Option<&AlarmChange>) -> Result<(), IndexError> {
        self.update(alarm.id, rows::UPDATE, &rows::values(alarm), change).await
    }

    async fn set_alarm_state(&self, id: AlarmId, set: &Transition, at: Timestamp) -> Result<(), IndexError> {
        let values = [id.0.into(), set.state.as_str().into(), (&set.reason).into(), at.into()];
        self.update(id, rows::SET_STATE, &values, set.change.as_ref()).await
    }

    async fn delete_alarm(&self, id: AlarmId) -> Result<(), IndexError> {
        // History and notifications go with it: their rows refer to it with ON DELETE CASCADE.
        let deleted = self.db.execute("DELETE FROM alarm WHERE id = $1", &[id.0.into()]).await?;
        if deleted == 0 { Err(IndexError::not_found(ALARM, id)) } else { Ok(()) }
    }

    async fn alarm_changes(
        &self,
        filter: &ChangeFilter,
        page: &Page,
    ) -> Result<Vec<AlarmChange>, IndexError> {
        let Some(mut conditions) = change_conditions(filter) else { return Ok(Vec::new()) };
        let order = Order::new(page, &[("timestamp", true)], &["event_id"], change_column)?;
        self.entries_after("alarm_change", "event_id", page, &order, &mut conditions).await?;
        let sql =
            conditions.statement(&format!("SELECT {} FROM alarm_change", rows::CHANGE), &order.tail(page));
        self.db.read(sql, conditions.params()).await?.into_iter().map(rows::change).collect()
    }

    async fn count_alarms(&self, filter: &AlarmFilter) -> Result<u64, IndexError> {
        let Some(conditions) = alarm_conditions(filter) else { return Ok(0) };
        let sql = conditions.statement("SELECT count(*) FROM alarm", "");
        let row = self.db.read_one(sql, conditions.params()).await?;
        Ok(row.map_or(Ok(0), |row| row.unsigned(0))?)
    }

    async fn due_alarms(&self, before: Timestamp, limit: u64) -> Result<Vec<Alarm>, IndexError> {
        let (columns, limit) = (rows::ALARM, limit.min(i64::MAX as u64));
        let sql = format!(
            "SELECT {columns} FROM alarm WHERE enabled AND type <> 'event' AND {DUE} < $1
             ORDER BY {DUE}, evaluated_at, id LIMIT {limit}"
        );
        self.db.read(sql, &[before.into()]).await?.into_iter().map(rows::alarm).collect()
    }

    async fn commit_evaluation(&self, evaluation: &AlarmTransition) -> Result<bool, IndexError> {
        let committed =
            self.db.transaction(|tx| Box::pin(async move { commit(tx, evaluation).await })).await?;
        if !committed {
            instrument::evaluation_outdated();
        }
        Ok(committed)
    }

    async fn claim_outbox(
        &self,
        now: Timestamp,
        lease_nanos: i64,
        limit: u64,
    ) -> Result<Vec<OutboxItem>, IndexError> {
        self.claim(now, lease_nanos, limit).await
    }

    async fn settle_outbox(&self, id: Uuid, now: Timestamp, result: &OutboxResult) -> Result<(), IndexError> {
        self.settle(id, now, result).await
    }

    async fn next_outbox_due(&self) -> Result<Option<Timestamp>, IndexError> {
        let row = self.db.read_one("SELECT due FROM outbox WHERE NOT dead ORDER BY due LIMIT 1", &[]).await?;
        Ok(row.map(|row| row.timestamp(0)).transpose()?)
    }
}

impl SqlIndex {
    /// Changes the row of alarm `id` by `sql`, and notes it in the history.
    async fn update(
        &self,
        id: AlarmId,
        sql: &'static str,
        values: &[Value],
        change: Option<&AlarmChange>,
    ) -> Result<(), IndexError> {
        let updated = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    let updated = tx.execute(sql, values).await?;
                    if updated > 0 {
                        record(tx, change).await?;
                    }
                    Ok::<_, WriteError>(updated)
                })
            })
            .await?;
        if updated == 0 { Err(IndexError::not_found(ALARM, id)) } else { Ok(()) }
    }

    async fn entries_after(
        &self,
        table: &str,
        id_column: &str,
        page: &Page,
        order: &Order,
        conditions: &mut Conditions,
    ) -> Result<(), IndexError> {
        let Some(marker) = &page.marker else { return Ok(()) };
        let bad = || IndexError::BadMarker(marker.clone());
        let id = marker.parse::<Uuid>().map_err(|_| bad())?;
        let sql = format!("SELECT {} FROM {table} WHERE {id_column} = $1", order.key());
        let row = self.db.read_one(sql, &[id.into()]).await?.ok_or_else(bad)?;
        order.after(row.into_values(), conditions);
        Ok(())
    }
}

/// Writes a history entry, if there is one.
async fn record(tx: &mut Tx<'_>, change: Option<&AlarmChange>) -> Result<(), WriteError> {
    if let Some(change) = change {
        tx.execute(rows::INSERT_CHANGE, &rows::change_values(change)).await?;
    }
    Ok(())
}

/// Moves the alarm on from exactly the state that was evaluated, and writes what follows from it.
async fn commit(tx: &mut Tx<'_>, evaluation: &AlarmTransition) -> Result<bool, WriteError> {
    const UNCHANGED: &str = "id = $1 AND evaluated_at = $2 AND defined_at = $3 AND state = $4";
    let mut params: Vec<Value> = vec![
        evaluation.alarm_id.0.into(),
        evaluation.read_evaluate_timestamp.into(),
        evaluation.read_timestamp.into(),
        evaluation.read_state.as_str().into(),
        evaluation.now.into(),
    ];
    let sql = match &evaluation.transition {
        None => format!("UPDATE alarm SET evaluated_at = $5 WHERE {UNCHANGED}"),
        Some(transition) => {
            params.extend([transition.state.as_str().into(), (&transition.reason).into()]);
            format!(
                "UPDATE alarm SET evaluated_at = $5, state_timestamp = $5, state = $6, state_reason = $7
                 WHERE {UNCHANGED}"
            )
        }
    };
    if tx.execute(sql, &params).await? == 0 {
        return Ok(false);
    }
    record(tx, evaluation.transition.as_ref().and_then(|transition| transition.change.as_ref())).await?;
    outbox::enqueue(tx, &evaluation.outbox).await?;
    Ok(true)
}

/// None if nothing can match: a severity that there is not.
fn alarm_conditions(filter: &AlarmFilter) -> Option<Conditions> {
    let mut conditions = Conditions::default();
    conditions.equal("user_id", filter.user_id.as_ref());
    conditions.equal("project_id", filter.project_id.as_ref());
    conditions.equal("type", filter.type_name.as_ref());
    conditions.equal("name", filter.name.as_ref());
    conditions.equal("enabled", filter.enabled);
    conditions.equal("state", filter.state.map(|state| state.as_str()));
    conditions.equal("severity", rank(filter.severity.as_deref())?);
    conditions.equal("defined_at", filter.timestamp);
    conditions.equal("repeat_actions", filter.repeat_actions);
    Some(conditions)
}

fn change_conditions(filter: &ChangeFilter) -> Option<Conditions> {
    let mut conditions = Conditions::default();
    conditions.equal("alarm_id", filter.alarm_id.map(|id| id.0));
    conditions.equal("kind", filter.kind.as_ref());
    conditions.equal("user_id", filter.user_id.as_ref());
    conditions.equal("project_id", filter.project_id.as_ref());
    conditions.equal("on_behalf_of", filter.on_behalf_of.as_ref());
    conditions.equal("severity", rank(filter.severity.as_deref())?);
    if let Some((from, inclusive)) = filter.from {
        conditions.compare("changed_at", if inclusive { ">=" } else { ">" }, from);
    }
    if let Some((until, inclusive)) = filter.until {
        conditions.compare("changed_at", if inclusive { "<=" } else { "<" }, until);
    }
    Some(conditions)
}

/// The stored number of a severity's name: absent if none was given, none at all if it is no severity.
#[allow(clippy::option_option)]
fn rank(name: Option<&str>) -> Option<Option<i64>> {
    match name {
        None => Some(None),
        Some(name) => Severity::parse(name).map(|severity| Some(rows::rank(severity))),
    }
}

fn alarm_column(key: &str) -> Option<Column> {
    match key {
        "alarm_id" => Column::always("id"),
        "timestamp" => Column::always("defined_at"),
        "enabled" | "type" | "severity" | "state" | "repeat_actions" | "state_timestamp" => {
            Column::always(key)
        }
        "name" | "user_id" | "project_id" => Column::nullable(key),
        _ => None,
    }
}

fn change_column(key: &str) -> Option<Column> {
    match key {
        "timestamp" => Column::always("changed_at"),
        "type" => Column::always("kind"),
        "event_id" | "alarm_id" | "severity" => Column::always(key),
        "on_behalf_of" | "project_id" | "user_id" => Column::nullable(key),
        _ => None,
    }
}

//! The outbox: notifications written in the transaction that causes them, delivered by whoever claims them.

use nephos_model::{AlarmChange, AlarmId, ChangeKind, Timestamp};
use nephos_sql::{Dialect, Kind, Row, Tx};
use serde_json::json;
use uuid::Uuid;

use super::{record, rows};
use crate::contract::{IndexError, OutboxItem, OutboxResult};
use crate::instrument;
use crate::sql_index::{SqlIndex, WriteError};

const COLUMNS: [(&str, Kind); 8] = [
    ("id", Kind::Bytes),
    ("alarm_id", Kind::Bytes),
    ("action", Kind::Text),
    ("payload", Kind::Text),
    ("created_at", Kind::Int),
    ("attempts", Kind::Int),
    ("due", Kind::Int),
    ("dead", Kind::Bool),
];

/// Writes notifications.
pub(super) async fn enqueue(tx: &mut Tx<'_>, items: &[OutboxItem]) -> Result<(), WriteError> {
    let rows = items.iter().map(|item| {
        vec![
            item.id.into(),
            item.alarm_id.0.into(),
            (&item.action).into(),
            (&item.payload).into(),
            item.created.into(),
            item.attempts.into(),
            item.due.into(),
            false.into(),
        ]
    });
    tx.insert("outbox", &COLUMNS, rows.collect(), "").await?;
    Ok(())
}

/// Claims the rows due at `$1` until `$2`. The attempt that a claim stands for is counted at once, so that a
/// notification that kills its notifier is not tried for ever.
fn claim_sql(dialect: Dialect, limit: u64) -> String {
    let due = format!(
        "SELECT id FROM outbox WHERE NOT dead AND due <= $1 ORDER BY due, id LIMIT {limit}{}",
        dialect.skip_locked()
    );
    let claimed = match dialect {
        Dialect::Sqlite => format!("id IN ({due})"),
        // As an array it is run once, whatever the plan; as a sub-select it might lock more rows than it gives.
        Dialect::Postgres => format!("id = ANY(ARRAY({due}))"),
    };
    format!(
        "UPDATE outbox SET due = $2, attempts = attempts + 1 WHERE {claimed}
         RETURNING id, alarm_id, action, payload, created_at, attempts - 1, due"
    )
}

fn item(mut row: Row) -> Result<OutboxItem, IndexError> {
    Ok(OutboxItem {
        id: row.uuid(0)?,
        alarm_id: AlarmId(row.uuid(1)?),
        action: row.take_text(2)?,
        payload: row.take_text(3)?,
        created: row.timestamp(4)?,
        attempts: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
        due: row.timestamp(6)?,
    })
}

impl SqlIndex {
    /// The answer's `due` is the end of the claim, its `attempts` those before this one.
    pub(super) async fn claim(
        &self,
        now: Timestamp,
        lease_nanos: i64,
        limit: u64,
    ) -> Result<Vec<OutboxItem>, IndexError> {
        let sql = claim_sql(self.db.dialect(), limit.min(i64::MAX as u64));
        let rows = self.db.write(sql, &[now.into(), now.plus_nanos(lease_nanos).into()]).await?;
        let mut items = rows.into_iter().map(item).collect::<Result<Vec<_>, _>>()?;
        items.sort_by_key(|item| (item.created, item.id));
        instrument::outbox_claimed(items.len());
        Ok(items)
    }

    /// A row that is gone is settled already.
    pub(super) async fn settle(
        &self,
        id: Uuid,
        now: Timestamp,
        result: &OutboxResult,
    ) -> Result<(), IndexError> {
        match result {
            OutboxResult::Delivered => {
                self.db.execute("DELETE FROM outbox WHERE id = $1", &[id.into()]).await?;
            }
            OutboxResult::Retry { due, error } => {
                let sql = "UPDATE outbox SET due = $2, last_error = $3 WHERE id = $1 AND NOT dead";
                self.db.execute(sql, &[id.into(), (*due).into(), error.into()]).await?;
            }
            OutboxResult::Dead { error } => {
                self.db.transaction(|tx| Box::pin(async move { bury(tx, id, now, error).await })).await?;
            }
        }
        Ok(())
    }
}

/// Marks a notification as dead and tells so in the alarm's history.
///
/// Clients know four kinds of entries. "state transition" would be read as one (its detail must name a state), so the
/// entry is a "rule change": the detail of those is an object of arbitrary keys which clients show as it is.
async fn bury(tx: &mut Tx<'_>, id: Uuid, now: Timestamp, error: &str) -> Result<(), WriteError> {
    let sql = "UPDATE outbox SET dead = TRUE, last_error = $2 WHERE id = $1 AND NOT dead RETURNING alarm_id, action";
    let Some(dead) = tx.read_one(sql, &[id.into(), error.into()]).await? else { return Ok(()) };
    let alarm_id = AlarmId(dead.uuid(0)?);
    let sql = "SELECT project_id, severity FROM alarm WHERE id = $1";
    let Some(mut alarm) = tx.read_one(sql, &[alarm_id.0.into()]).await? else { return Ok(()) };
    let detail = json!({"notification": {"action": without_credentials(dead.text(1)?), "error": error}});
    let change = AlarmChange {
        event_id: Uuid::new_v4(),
        alarm_id,
        kind: ChangeKind::RuleChange,
        detail: detail.to_string(),
        user_id: None,
        project_id: None,
        on_behalf_of: alarm.take_opt_text(0)?,
        timestamp: now,
        severity: rows::severity(alarm.int(1)?)?,
    };
    instrument::outbox_dead();
    record(tx, Some(&change)).await
}

/// An action's URL without user, password, query and fragment, any of which may hold secrets.
fn without_credentials(action: &str) -> String {
    let plain = action.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_shows_actions_without_what_may_be_secret() {
        for (action, expected) in [
            ("https://user:pa@ss@host:1/a@b?token=t#x", "https://host:1/a@b"),
            ("http://host", "http://host"),
            ("trust+https://id:delete@host/x", "trust+https://host/x"),
            ("log://", "log://"),
            ("zaqar:?topic=t", "zaqar:"),
            ("http://host?x=://user@", "http://host"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(action), expected, "{action}");
        }
    }
}

//! Transformer state in a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nephos_sql::{Db, Dialect, Kind, SqlError, Value};

use super::nanos;
use crate::contract::{CoordinationError, StateKey, StateStore, StateWrite, VersionedState};

/// Transformer state kept in a database.
#[derive(Debug)]
pub struct SqlStateStore {
    db: Db,
    sql: Arc<Statements>,
}

/// The statements' text in the database's dialect.
#[derive(Debug)]
struct Statements {
    read: String,
    lock: String,
    update: String,
    insert: String,
}

impl Statements {
    fn new(dialect: Dialect) -> Self {
        let key = [("sink", Kind::Text), ("transformer", Kind::Int), ("grp", Kind::Text)];
        let keys = dialect.table(1, &[key[0], key[1], key[2], ("place", Kind::Int)]);
        let fresh =
            dialect.table(1, &[key[0], key[1], key[2], ("version", Kind::Int), ("bytes", Kind::Bytes)]);
        let same = |other: &str| {
            format!("s.sink = {other}.sink AND s.transformer = {other}.transformer AND s.grp = {other}.grp")
        };
        let (now, for_update) = (dialect.now(), dialect.for_update());
        Self {
            read: format!(
                "SELECT k.place, s.version, s.bytes FROM {keys} AS k JOIN transformer_state AS s ON {}",
                same("k")
            ),
            // In the order of the keys, so that two writers of the same ones wait for each other in turn.
            lock: format!(
                "SELECT k.place, s.version FROM {keys} AS k JOIN transformer_state AS s ON {} \
                 ORDER BY s.sink, s.transformer, s.grp{for_update}",
                same("k")
            ),
            update: format!(
                "UPDATE transformer_state AS s SET version = f.version, bytes = f.bytes, written_at = {now} \
                 FROM {fresh} AS f WHERE {}",
                same("f")
            ),
            insert: format!(
                "INSERT INTO transformer_state (sink, transformer, grp, version, bytes, written_at) \
                 SELECT sink, transformer, grp, version, bytes, {now} FROM {fresh} AS f \
                 WHERE true ON CONFLICT (sink, transformer, grp) DO NOTHING"
            ),
        }
    }
}

impl SqlStateStore {
    /// State of `db`.
    pub fn new(db: Db) -> Self {
        let sql = Arc::new(Statements::new(db.dialect()));
        Self { db, sql }
    }
}

/// The columns of a key. PostgreSQL's text holds no NUL, which names from other systems may.
fn columns(key: &StateKey) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.replace('\0', "\u{fffd}"));
    vec![text(&key.sink), Value::from(key.transformer), text(&key.group)]
}

/// Keys with their places in the list they came in.
fn places<'a>(keys: impl Iterator<Item = &'a StateKey>) -> Value {
    let with_place = |(place, key): (i64, &StateKey)| {
        let mut row = columns(key);
        row.push(place.into());
        row
    };
    Value::Table((0_i64..).zip(keys).map(with_place).collect())
}

/// Rows to be written at the version after the one they were read at.
fn rows<'a>(writes: impl Iterator<Item = &'a &'a StateWrite>) -> Vec<Vec<Value>> {
    let row = |write: &&StateWrite| {
        let version = i64::try_from(write.read_version.saturating_add(1)).unwrap_or(i64::MAX);
        let mut row = columns(&write.key);
        row.extend([version.into(), write.bytes.clone().into()]);
        row
    };
    writes.map(row).collect()
}

/// Why nothing was written.
enum NotWritten {
    Moved,
    Failed(SqlError),
}

impl From<SqlError> for NotWritten {
    fn from(error: SqlError) -> Self {
        Self::Failed(error)
    }
}

#[async_trait]
impl StateStore for SqlStateStore {
    async fn read(&self, keys: &[StateKey]) -> Result<Vec<VersionedState>, CoordinationError> {
        let mut states = vec![VersionedState::default(); keys.len()];
        if keys.is_empty() {
            return Ok(states);
        }
        for mut row in self.db.read(self.sql.read.clone(), &[places(keys.iter())]).await? {
            let place = usize::try_from(row.unsigned(0)?).unwrap_or(usize::MAX);
            if let Some(state) = states.get_mut(place) {
                *state = VersionedState { version: row.unsigned(1)?, bytes: row.take_bytes(2)? };
            }
        }
        Ok(states)
    }

    async fn write(&self, writes: &[StateWrite]) -> Result<bool, CoordinationError> {
        // One write for each key, the last one, in the order of the keys.
        let writes: BTreeMap<&StateKey, &StateWrite> =
            writes.iter().map(|write| (&write.key, write)).collect();
        if writes.is_empty() {
            return Ok(true);
        }
        let expected: Arc<[u64]> = writes.values().map(|write| write.read_version).collect();
        let keys = places(writes.keys().copied());
        let (old, new): (Vec<&StateWrite>, Vec<&StateWrite>) =
            writes.values().copied().partition(|write| write.read_version > 0);
        let (old, new) = (rows(old.iter()), rows(new.iter()));
        let sql = Arc::clone(&self.sql);
        let written = self.db.transaction(move |tx| {
            let (sql, expected, keys) = (Arc::clone(&sql), Arc::clone(&expected), keys.clone());
            let (old, new) = (old.clone(), new.clone());
            Box::pin(async move {
                let mut found = vec![0; expected.len()];
                for row in tx.read(sql.lock.clone(), &[keys]).await? {
                    let place = usize::try_from(row.unsigned(0)?).unwrap_or(usize::MAX);
                    if let Some(version) = found.get_mut(place) {
                        *version = row.unsigned(1)?;
                    }
                }
                if found.as_slice() != &*expected {
                    return Err(NotWritten::Moved);
                }
                if !old.is_empty() {
                    tx.execute(sql.update.clone(), &[Value::Table(old)]).await?;
                }
                let count = new.len() as u64;
                if count > 0 && tx.execute(sql.insert.clone(), &[Value::Table(new)]).await? != count {
                    return Err(NotWritten::Moved);
                }
                Ok(())
            })
        });
        match written.await {
            Ok(()) => Ok(true),
            Err(NotWritten::Moved) => Ok(false),
            Err(NotWritten::Failed(error)) => Err(error.into()),
        }
    }

    async fn expire(&self, older_than: Duration) -> Result<u64, CoordinationError> {
        let now = self.db.dialect().now();
        let expire = format!("DELETE FROM transformer_state WHERE written_at <= {now} - $1");
        Ok(self.db.execute(expire, &[nanos(older_than)]).await?)
    }

    async fn ready(&self) -> Result<(), CoordinationError> {
        Ok(self.db.ready().await?)
    }
}

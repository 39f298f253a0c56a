//! Members that know of each other through a table.

use std::time::Duration;

use async_trait::async_trait;
use nephos_sql::Db;

use super::nanos;
use crate::contract::{CoordinationError, Membership};

/// Members gone for this many time-outs are forgotten.
const FORGET_AFTER: u32 = 360;

/// A member of groups kept in a database.
#[derive(Clone, Debug)]
pub struct SqlMembership {
    db: Db,
    me: String,
    timeout: Duration,
}

impl SqlMembership {
    /// A member called `me`; the usual time-out is [`MEMBER_TIMEOUT`](crate::MEMBER_TIMEOUT).
    pub fn new(db: Db, me: impl Into<String>, timeout: Duration) -> Self {
        Self { db, me: me.into(), timeout }
    }
}

#[async_trait]
impl Membership for SqlMembership {
    fn me(&self) -> &str {
        &self.me
    }

    async fn beat(&self, group: &str) -> Result<(), CoordinationError> {
        let now = self.db.dialect().now();
        let beat = format!(
            "INSERT INTO membership (group_name, member, seen_at) VALUES ($1, $2, {now}) \
             ON CONFLICT (group_name, member) DO UPDATE SET seen_at = excluded.seen_at"
        );
        self.db.execute(beat, &[group.into(), (&self.me).into()]).await?;
        let forget = format!("DELETE FROM membership WHERE group_name = $1 AND seen_at < {now} - $2");
        let long = self.timeout.saturating_mul(FORGET_AFTER);
        self.db.execute(forget, &[group.into(), nanos(long)]).await?;
        Ok(())
    }

    async fn members(&self, group: &str) -> Result<Vec<String>, CoordinationError> {
        let now = self.db.dialect().now();
        let living = format!(
            "SELECT member FROM membership WHERE group_name = $1 AND seen_at > {now} - $2 ORDER BY member"
        );
        let rows = self.db.read(living, &[group.into(), nanos(self.timeout)]).await?;
        Ok(rows.into_iter().map(|mut row| row.take_text(0)).collect::<Result<_, _>>()?)
    }

    async fn leave(&self, group: &str) -> Result<(), CoordinationError> {
        let leave = "DELETE FROM membership WHERE group_name = $1 AND member = $2";
        self.db.execute(leave, &[group.into(), (&self.me).into()]).await?;
        Ok(())
    }
}

//! Leases in a table. A lease that was given up keeps its row, with an empty holder, so that its epoch goes on rising.

use std::time::Duration;

use async_trait::async_trait;
use nephos_sql::{Db, SqlError, Value};

use super::nanos;
use crate::contract::{CoordinationError, Lease, LeaseHolder, Leases};

/// Leases kept in a database.
#[derive(Clone, Debug)]
pub struct SqlLeases {
    db: Db,
}

impl SqlLeases {
    /// Leases of `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Changes a lease that is still held at its epoch.
    async fn change(&self, sql: String, lease: &Lease, more: &[Value]) -> Result<(), CoordinationError> {
        let epoch = i64::try_from(lease.epoch).unwrap_or(i64::MAX);
        let params: Vec<Value> =
            [(&lease.name).into(), epoch.into()].into_iter().chain(more.iter().cloned()).collect();
        match self.db.execute(sql, &params).await? {
            0 => Err(CoordinationError::Lost { name: lease.name.clone() }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Leases for SqlLeases {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        url: &str,
        ttl: Duration,
    ) -> Result<Lease, CoordinationError> {
        let now = self.db.dialect().now();
        let acquire = format!(
            "INSERT INTO lease (name, holder, url, epoch, expires_at) VALUES ($1, $2, $3, 1, {now} + $4) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, url = excluded.url, \
             epoch = lease.epoch + 1, expires_at = excluded.expires_at \
             WHERE lease.holder = excluded.holder OR lease.expires_at <= {now} RETURNING epoch"
        );
        let params = [name.into(), holder.into(), url.into(), nanos(ttl)];
        if let Some(row) = self.db.write(acquire, &params).await?.first() {
            return Ok(Lease { name: name.to_owned(), epoch: row.unsigned(0)? });
        }
        // It may have been given up between the two statements; then "nobody" tells the caller to try again.
        let holder =
            self.holder(name).await?.map_or_else(|| "nobody any more".to_owned(), |found| found.holder);
        Err(CoordinationError::Held { name: name.to_owned(), holder })
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CoordinationError> {
        let now = self.db.dialect().now();
        let renew = format!(
            "UPDATE lease SET expires_at = {now} + $3 WHERE name = $1 AND epoch = $2 AND holder <> ''"
        );
        self.change(renew, lease, &[nanos(ttl)]).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), CoordinationError> {
        let release = "UPDATE lease SET holder = '', url = '', expires_at = 0 \
                       WHERE name = $1 AND epoch = $2 AND holder <> ''";
        self.change(release.to_owned(), lease, &[]).await
    }

    async fn holder(&self, name: &str) -> Result<Option<LeaseHolder>, CoordinationError> {
        let now = self.db.dialect().now();
        let find = format!(
            "SELECT holder, url, epoch FROM lease WHERE name = $1 AND holder <> '' AND expires_at > {now}"
        );
        let row = self.db.read_one(find, &[name.into()]).await?;
        let holder = row.map(|mut row| -> Result<LeaseHolder, SqlError> {
            Ok(LeaseHolder { holder: row.take_text(0)?, url: row.take_text(1)?, epoch: row.unsigned(2)? })
        });
        Ok(holder.transpose()?)
    }
}

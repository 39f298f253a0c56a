//! Numbered changes of the schema, and how they are applied.
//!
//! A set of migrations belongs to one concern; several sets may live in one database. Migrations only ever get added:
//! one that was released is never edited. Applying is one transaction under one lock, so any number of processes may
//! start at once, and a failure leaves the schema as it was.

use crate::db::Db;
use crate::dialect::Dialect;
use crate::error::SqlError;
use crate::value::Value;

/// One numbered change, written for each database.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// The migrations of one concern, in order.
#[derive(Clone, Copy, Debug)]
pub struct MigrationSet {
    name: &'static str,
    migrations: &'static [Migration],
}

macro_rules! migration {
    ($set:literal, $version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $set, "/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $set, "/", $name, ".sql")),
        }
    };
}

/// Archive policies, resources, metrics, alarms and the outbox.
pub const INDEX: MigrationSet = MigrationSet {
    name: "index",
    migrations: &[
        migration!("index", 1, "0001_index"),
        migration!("index", 2, "0002_metric_change"),
        migration!("index", 3, "0003_search"),
        migration!("index", 4, "0004_finding"),
        migration!("index", 5, "0005_account"),
        migration!("index", 6, "0006_history_end"),
        migration!("index", 7, "0007_number"),
    ],
};

/// Membership, leases and transformer state.
pub const COORDINATION: MigrationSet =
    MigrationSet { name: "coordination", migrations: &[migration!("coordination", 1, "0001_coordination")] };

/// `nephos` as a number: the advisory lock that all sets share.
const LOCK: i64 = 0x6e65_7068_6f73;

impl MigrationSet {
    /// Its name, as the database records it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn known(&self) -> i64 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }
}

/// Applies what is missing of each set, in order; names (`index/0001_index`) of what was applied. `NewerSchema` if the
/// database knows a migration that this program does not.
pub async fn migrate(db: &Db, sets: &[&MigrationSet]) -> Result<Vec<String>, SqlError> {
    db.transaction(|tx| Box::pin(async move {
        if tx.dialect() == Dialect::Postgres {
            tx.execute("SELECT pg_advisory_xact_lock($1)", &[LOCK.into()]).await?;
        }
        tx.script(
            "CREATE TABLE IF NOT EXISTS nephos_migration (
                set_name TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (set_name, version))",
        )
        .await?;
        let mut applied = Vec::new();
        for set in sets {
            let current = tx.read_one(CURRENT, &[set.name.into()]).await?;
            for migration in missing(set, current.map_or(Ok(0), |row| row.int(0))?)? {
                tx.script(match tx.dialect() {
                    Dialect::Sqlite => migration.sqlite,
                    Dialect::Postgres => migration.postgres,
                })
                .await?;
                tx.execute(
                    "INSERT INTO nephos_migration (set_name, version, name) VALUES ($1, $2, $3)",
                    &[set.name.into(), migration.version.into(), migration.name.into()],
                )
                .await?;
                applied.push(format!("{}/{}", set.name, migration.name));
            }
        }
        Ok(applied)
    }))
    .await
}

/// Names of migrations that [`migrate`] would apply; `NewerSchema` as there.
pub async fn pending(db: &Db, sets: &[&MigrationSet]) -> Result<Vec<String>, SqlError> {
    let exists = match db.dialect() {
        Dialect::Sqlite => "SELECT count(*) FROM sqlite_master WHERE name = $1",
        Dialect::Postgres => "SELECT count(*) FROM pg_class WHERE oid = to_regclass($1)",
    };
    let row = db.read_one(exists, &[Value::from("nephos_migration")]).await?;
    let recorded = row.map_or(Ok(0), |row| row.int(0))? > 0;
    let mut names = Vec::new();
    for set in sets {
        let current = match recorded {
            true => db.read_one(CURRENT, &[set.name.into()]).await?.map_or(Ok(0), |row| row.int(0))?,
            false => 0,
        };
        names.extend(
            missing(set, current)?.iter().map(|migration| format!("{}/{}", set.name, migration.name)),
        );
    }
    Ok(names)
}

const CURRENT: &str = "SELECT coalesce(max(version), 0) FROM nephos_migration WHERE set_name = $1";

fn missing(set: &MigrationSet, current: i64) -> Result<&'static [Migration], SqlError> {
    if current > set.known() {
        return Err(SqlError::NewerSchema { set: set.name, found: current, known: set.known() });
    }
    let applied = set.migrations.partition_point(|migration| migration.version <= current);
    Ok(set.migrations.get(applied..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_part_of_its_set_in_ascending_order() {
        for set in [INDEX, COORDINATION] {
            assert!(set.migrations.is_sorted_by(|a, b| a.version < b.version), "{}", set.name);
            for database in ["sqlite", "postgres"] {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(database);
                let files = std::fs::read_dir(folder.join(set.name))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect::<BTreeSet<_>>();
                let listed =
                    set.migrations.iter().map(|m| format!("{}.sql", m.name)).collect::<BTreeSet<_>>();
                assert_eq!(files, listed, "{database}/{}", set.name);
            }
            for migration in set.migrations {
                assert!(
                    migration.name.starts_with(&format!("{:04}_", migration.version)),
                    "{}",
                    migration.name
                );
            }
        }
    }
}

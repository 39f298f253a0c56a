//! The index on a database.

use std::sync::Arc;

use async_trait::async_trait;
use nephos_model::Clock;
use nephos_sql::migrations::INDEX;
use nephos_sql::{Constraint, Db, SqlError, pending};

use crate::catalog::Catalogue;
use crate::contract::{Index, IndexError};
use crate::creation::{Creations, creations};
use crate::instrument;
use crate::known::Known;

/// The index on SQLite or PostgreSQL. Clones share connections and what is kept in memory.
#[derive(Clone, Debug)]
pub struct SqlIndex {
    pub(crate) db: Db,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) known: Arc<Known>,
    pub(crate) creations: Arc<Creations>,
}

impl SqlIndex {
    /// Takes a database that [`nephos_sql::migrate`] has brought to the schema [`INDEX`]; `Database` if it was not.
    pub async fn open(db: Db, clock: Arc<dyn Clock>) -> Result<Self, IndexError> {
        let missing = pending(&db, &[&INDEX]).await?;
        if !missing.is_empty() {
            let reason = format!("schema is not current, missing {}", missing.join(", "));
            return Err(IndexError::Database { reason });
        }
        let catalogue = Arc::new(Catalogue::new(db.clone(), Arc::clone(&clock)));
        let known = Arc::new(Known::new(db.clone(), clock));
        let creations = creations(db.dialect());
        Ok(Self { db, catalogue, known, creations })
    }
}

#[async_trait]
impl Index for SqlIndex {
    async fn ready(&self) -> Result<(), IndexError> {
        Ok(self.db.ready().await?)
    }
}

impl From<SqlError> for IndexError {
    fn from(error: SqlError) -> Self {
        instrument::failed(&error);
        match error {
            SqlError::Unavailable { reason } => Self::Unavailable { reason },
            other => Self::Database { reason: other.to_string() },
        }
    }
}

impl IndexError {
    pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    pub(crate) fn already_exists(what: &'static str, id: impl ToString) -> Self {
        Self::AlreadyExists { what, id: id.to_string() }
    }

    /// A stored value that cannot be understood.
    pub(crate) fn damaged(what: &str, reason: impl ToString) -> Self {
        Self::Database { reason: format!("stored {what} is not understood: {}", reason.to_string()) }
    }
}

/// What ends the body of a transaction: kept apart so that violated constraints can be told after it was rolled back.
#[derive(Debug)]
pub(crate) enum WriteError {
    Sql(SqlError),
    Index(IndexError),
}

impl From<SqlError> for WriteError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<IndexError> for WriteError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<WriteError> for IndexError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Sql(error) => error.into(),
            WriteError::Index(error) => error,
        }
    }
}

impl WriteError {
    /// Whether a row referred to is not there (or no longer).
    pub(crate) fn is_missing_reference(&self) -> bool {
        matches!(self, Self::Sql(error) if error.constraint() == Some(Constraint::ForeignKey))
    }
}

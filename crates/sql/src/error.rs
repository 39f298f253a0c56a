//! What can go wrong, and what to do about it.

use sqlx::error::ErrorKind;

/// Which kind of constraint a statement violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// A primary key or unique index has the value already.
    Unique,
    /// A row that is referred to is not there, or a row is still referred to.
    ForeignKey,
    /// A null or a value outside a check.
    Check,
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The URL names no database we know, or has a bad parameter.
    #[error("database URL is not understood: {reason}")]
    BadUrl {
        /// What is wrong with it; never the URL itself, which may hold a password.
        reason: String,
    },
    /// The database is away, busy, full or starting; the same statement may work later. After a failed write it is
    /// unknown whether it happened.
    #[error("database is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// A constraint forbids it.
    #[error("{kind:?} constraint violated: {reason}")]
    Constraint {
        /// Which kind.
        kind: Constraint,
        /// PostgreSQL: the constraint's name. SQLite: for unique ones `table.column, …`, otherwise absent.
        name: Option<String>,
        /// The database's words.
        reason: String,
    },
    /// An answer did not have the shape that was expected.
    #[error("column {column} is {found}, not {expected}")]
    Column {
        /// Position, from 0.
        column: usize,
        /// What was asked for.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The database was migrated by a newer program.
    #[error(
        "{set} schema of the database is at version {found}, this program knows up to {known}: run a newer one"
    )]
    NewerSchema {
        /// Which set of migrations.
        set: &'static str,
        /// Version in the database.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The database said no: a defect of ours, wrong credentials, or a damaged database.
    #[error("database refused: {reason}")]
    Refused {
        /// The database's words.
        reason: String,
    },
}

impl SqlError {
    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The violated constraint's kind, if it is that.
    pub const fn constraint(&self) -> Option<Constraint> {
        match self {
            Self::Constraint { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// What a failed statement means for the transaction and the connection it ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Another transaction got in the way; nothing happened, again at once is right.
    Conflict,
    /// The server ended the session before or instead of committing; nothing happened, the connection is dead.
    Terminated,
    /// The connection broke; whether a commit happened is unknown.
    Lost,
    /// The statement itself failed; the connection is good.
    Statement,
}

impl Failure {
    /// Whether the connection can be used again.
    pub(crate) const fn spares_connection(self) -> bool {
        matches!(self, Self::Conflict | Self::Statement)
    }

    /// A short name for metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Terminated => "terminated",
            Self::Lost => "lost",
            Self::Statement => "statement",
        }
    }
}

// Result codes of SQLite (https://www.sqlite.org/rescode.html); the low byte is the primary code.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_IOERR: i32 = 10;
const SQLITE_FULL: i32 = 13;
const SQLITE_PROTOCOL: i32 = 15;

/// Sorts a driver's error.
pub(crate) fn classify(error: &sqlx::Error) -> (Failure, SqlError) {
    let reason = error.to_string();
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let reason = database.message().to_owned();
            if let Some(kind) = constraint(database.kind()) {
                let name = database.constraint().map(str::to_owned).or_else(|| sqlite_columns(&reason));
                return (Failure::Statement, SqlError::Constraint { kind, name, reason });
            }
            match code.parse::<i32>() {
                Ok(number) if code.len() != 5 => sqlite(number, reason),
                _ => postgres(&code, reason),
            }
        }
        sqlx::Error::Configuration(_) => (Failure::Statement, SqlError::BadUrl { reason }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => (Failure::Lost, SqlError::Unavailable { reason }),
        _ => (Failure::Statement, SqlError::Refused { reason }),
    }
}

fn constraint(kind: ErrorKind) -> Option<Constraint> {
    match kind {
        ErrorKind::UniqueViolation => Some(Constraint::Unique),
        ErrorKind::ForeignKeyViolation => Some(Constraint::ForeignKey),
        ErrorKind::NotNullViolation | ErrorKind::CheckViolation => Some(Constraint::Check),
        _ => None,
    }
}

/// `UNIQUE constraint failed: metric.resource_id, metric.name` → the part after the colon.
fn sqlite_columns(message: &str) -> Option<String> {
    message.split_once("constraint failed: ").map(|(_, columns)| columns.to_owned())
}

fn sqlite(code: i32, reason: String) -> (Failure, SqlError) {
    match code & 0xff {
        SQLITE_BUSY | SQLITE_LOCKED | SQLITE_FULL | SQLITE_PROTOCOL => {
            (Failure::Statement, SqlError::Unavailable { reason })
        }
        SQLITE_IOERR => (Failure::Lost, SqlError::Unavailable { reason }),
        _ => (Failure::Statement, SqlError::Refused { reason }),
    }
}

fn postgres(code: &str, reason: String) -> (Failure, SqlError) {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => (Failure::Conflict, SqlError::Unavailable { reason }),
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout and the like
        _ if code.starts_with("57P") || code.starts_with("25P") => {
            (Failure::Terminated, SqlError::Unavailable { reason })
        }
        // read_only_sql_transaction: a standby answered, the primary may be elsewhere on the next connection
        "25006" => (Failure::Terminated, SqlError::Unavailable { reason }),
        // connection exceptions
        _ if code.starts_with("08") => (Failure::Lost, SqlError::Unavailable { reason }),
        // insufficient resources (too many connections, disk full), query cancelled
        _ if code.starts_with("53") || code == "57014" => {
            (Failure::Statement, SqlError::Unavailable { reason })
        }
        _ => (Failure::Statement, SqlError::Refused { reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_are_sorted_by_what_to_do() {
        for (code, failure, retryable) in [
            ("40001", Failure::Conflict, true),
            ("40P01", Failure::Conflict, true),
            ("57P01", Failure::Terminated, true),
            ("57014", Failure::Statement, true),
            ("53300", Failure::Statement, true),
            ("08006", Failure::Lost, true),
            ("25006", Failure::Terminated, true),
            ("42P01", Failure::Statement, false),
            ("28P01", Failure::Statement, false),
        ] {
            let (found, error) = postgres(code, String::new());
            assert_eq!((found, error.is_retryable()), (failure, retryable), "{code}");
        }
        for (code, failure, retryable) in [
            (5, Failure::Statement, true),
            (261, Failure::Statement, true),
            (13, Failure::Statement, true),
            (266, Failure::Lost, true),
            (1, Failure::Statement, false),
            (26, Failure::Statement, false),
        ] {
            let (found, error) = sqlite(code, String::new());
            assert_eq!((found, error.is_retryable()), (failure, retryable), "{code}");
        }
    }
}

//! Coordination through a database that all processes share: PostgreSQL, or SQLite for processes of one host.
//!
//! All times are the database's own. The schema is `nephos_sql::migrations::COORDINATION`.

mod leases;
mod membership;
mod state;

use nephos_sql::SqlError;

use crate::contract::CoordinationError;

pub use leases::SqlLeases;
pub use membership::SqlMembership;
pub use state::SqlStateStore;

impl From<SqlError> for CoordinationError {
    fn from(error: SqlError) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

/// A duration in the database's unit.
fn nanos(duration: std::time::Duration) -> nephos_sql::Value {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2).into()
}

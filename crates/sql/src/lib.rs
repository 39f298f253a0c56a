//! SQL on SQLite and PostgreSQL through one narrow door: the only crate that names a database driver.
//!
//! A [`Db`] is opened from a URL. Statements are text with `$1` parameters, values are [`Value`]s, answers are
//! [`Row`]s; almost all text is the same for both databases, and [`Dialect`] writes the few pieces that differ.
//!
//! *Read path:* [`Db::read`] borrows a pooled connection (SQLite: one of a few read-only ones beside the writer in WAL
//! mode), runs one prepared statement and hands the connection back; [`Db::list`] is for many rows. *Write path:* [`Db::transaction`] runs a body
//! between `BEGIN` and `COMMIT` (SQLite: on the one writer, `BEGIN IMMEDIATE`), runs it again when the database reports
//! a conflict, and returns when the commit is on disk.
//!
//! [`migrate`] brings a database to the schema this program knows.

mod connection;
mod db;
mod dialect;
mod error;
mod instrument;
pub mod migrations;
mod packed;
mod pool;
#[cfg(feature = "testing")]
pub mod testing;
mod value;

pub use db::{Db, Tx, TxFuture};
pub use dialect::{Dialect, Kind};
pub use error::{Constraint, SqlError};
pub use migrations::{MigrationSet, migrate, pending};
pub use value::{Row, Sql, Value};

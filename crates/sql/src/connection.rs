//! One connection to either database, speaking [`Value`]s and [`Row`]s.

use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgTypeInfo};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection as _, Executor, Row as _, SqlSafeStr,
    SqlStr, TypeInfo, ValueRef,
};

use crate::dialect::Dialect;
use crate::error::{Failure, SqlError, classify};
use crate::instrument;
use crate::value::{Row, Sql, Value};

/// How long SQLite waits for another process's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement may take before its connection is given up: long enough for the largest rewrite, short enough
/// that a server which vanished without a word is noticed.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);
/// Prepared statements kept on each connection.
const STATEMENTS: usize = 256;
/// Rows that SQLite's thread may be ahead of who takes them, who takes all of them anyway: neither waits for the other.
const ROWS_AHEAD: usize = 65_536;

/// How to open connections.
#[derive(Clone, Debug)]
pub(crate) enum Options {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) rows: Vec<Row>,
    pub(crate) affected: u64,
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

impl Options {
    /// From a `sqlite:` or `postgres:` URL.
    pub(crate) fn parse(url: &str) -> Result<Self, SqlError> {
        match url.split(':').next() {
            Some("sqlite") => Ok(Self::Sqlite(Box::new(sqlite_options(url)?))),
            Some("postgres" | "postgresql") => {
                let options = PgConnectOptions::from_str(url).map_err(|error| bad_url(&error))?;
                let named = options.application_name("nephos").statement_cache_capacity(STATEMENTS);
                // A parameter of the URL wins over our default: it is there for connection poolers.
                let options = if url.contains("statement-cache-capacity") || url.contains("application_name")
                {
                    PgConnectOptions::from_str(url).map_err(|error| bad_url(&error))?
                } else {
                    named
                };
                Ok(Self::Postgres(Box::new(options.disable_statement_logging())))
            }
            _ => Err(SqlError::BadUrl { reason: "expected sqlite:<path> or postgres://…".to_owned() }),
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The same, for connections that only read.
    pub(crate) fn read_only(self) -> Self {
        match self {
            Self::Sqlite(options) => Self::Sqlite(Box::new(options.pragma("query_only", "ON"))),
            postgres @ Self::Postgres(_) => postgres,
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection, SqlError> {
        let connect = async {
            match self {
                Self::Sqlite(options) => options.connect().await.map(Connection::Sqlite).map_err(|error| {
                    let path = options.get_filename().display();
                    match classify(&error).1 {
                        SqlError::Refused { reason } => {
                            SqlError::Refused { reason: format!("{path}: {reason}") }
                        }
                        other => other,
                    }
                }),
                Self::Postgres(options) => options
                    .connect()
                    .await
                    .map(|connection| Connection::Postgres(Box::new(connection)))
                    .map_err(|error| classify(&error).1),
            }
        };
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(|_| {
            Err(SqlError::Unavailable { reason: "the server did not accept a connection in time".to_owned() })
        })?;
        instrument::connected();
        Ok(connection)
    }
}

fn bad_url(error: &sqlx::Error) -> SqlError {
    SqlError::BadUrl { reason: error.to_string() }
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, SqlError> {
    Ok(SqliteConnectOptions::from_str(url)
        .map_err(|error| bad_url(&error))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(ROWS_AHEAD)
        // 32 MiB of pages for each connection; the log is cut back after large transactions.
        .pragma("cache_size", "-32768")
        .pragma("temp_store", "MEMORY")
        // Pages that change often go from the log to the file once for 32 MiB of log, not once for 4.
        .pragma("wal_autocheckpoint", "8192")
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging())
}

impl Connection {
    /// Runs one statement, prepared once on each connection.
    pub(crate) async fn run(&mut self, sql: &Sql, params: &[Value]) -> Result<Reply, (Failure, SqlError)> {
        let started = Instant::now();
        let result = tokio::time::timeout(STATEMENT_TIMEOUT, self.run_unmeasured(sql, params))
            .await
            .unwrap_or_else(|_| Err(no_answer()));
        instrument::statement(&sql.0, started, &result);
        result
    }

    async fn run_unmeasured(&mut self, sql: &Sql, params: &[Value]) -> Result<Reply, (Failure, SqlError)> {
        let text = AssertSqlSafe(sql.0.clone()).into_sql_str();
        match self {
            Self::Sqlite(connection) => {
                let arguments = sqlite_arguments(params).map_err(refused)?;
                let (rows, affected) = collect(connection, text, arguments).await?;
                Ok(Reply {
                    rows: rows.iter().map(sqlite_row).collect::<Result<_, _>>().map_err(refused)?,
                    affected,
                })
            }
            Self::Postgres(connection) => {
                let arguments = postgres_arguments(params).map_err(refused)?;
                let (rows, affected) = collect(&mut **connection, text, arguments).await?;
                Ok(Reply { rows: postgres_rows(&rows).map_err(refused)?, affected })
            }
        }
    }

    /// Runs several statements without parameters, `;` between them.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<(), (Failure, SqlError)> {
        let result = match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(|_| ()),
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(&mut **connection).await.map(|_| ()),
        };
        result.map_err(|error| classify(&error))
    }

    /// Whether the connection still answers.
    pub(crate) async fn ping(&mut self) -> bool {
        match self {
            Self::Sqlite(connection) => connection.ping().await.is_ok(),
            Self::Postgres(connection) => connection.ping().await.is_ok(),
        }
    }
}

pub(crate) fn no_answer() -> (Failure, SqlError) {
    let reason = "the statement was not answered in time".to_owned();
    (Failure::Lost, SqlError::Unavailable { reason })
}

fn refused(reason: String) -> (Failure, SqlError) {
    (Failure::Statement, SqlError::Refused { reason })
}

async fn collect<'c, DB, A>(
    connection: &'c mut DB::Connection,
    sql: SqlStr,
    arguments: A,
) -> Result<(Vec<DB::Row>, u64), (Failure, SqlError)>
where
    DB: sqlx::Database,
    A: sqlx::IntoArguments<DB> + Send,
    &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::QueryResult: Affected,
{
    let mut stream = connection.fetch_many(sqlx::query_with(sql, arguments));
    let mut rows = Vec::new();
    let mut affected = 0;
    while let Some(step) = stream.try_next().await.map_err(|error| classify(&error))? {
        match step {
            sqlx::Either::Left(done) => affected += done.affected(),
            sqlx::Either::Right(row) => rows.push(row),
        }
    }
    Ok((rows, affected))
}

trait Affected {
    fn affected(&self) -> u64;
}

impl Affected for sqlx::sqlite::SqliteQueryResult {
    fn affected(&self) -> u64 {
        self.rows_affected()
    }
}

impl Affected for sqlx::postgres::PgQueryResult {
    fn affected(&self) -> u64 {
        self.rows_affected()
    }
}

fn sqlite_arguments(params: &[Value]) -> Result<SqliteArguments, String> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(params.len(), 0);
    for param in params {
        match param {
            Value::Null => arguments.add(None::<i64>),
            Value::Int(value) => arguments.add(*value),
            Value::Float(value) => arguments.add(*value),
            Value::Text(value) => arguments.add(value.as_str()),
            Value::Bytes(value) => arguments.add(value.as_slice()),
            Value::Bool(value) => arguments.add(*value),
            list => arguments.add(json(list)?),
        }
        .map_err(|error| error.to_string())?;
    }
    Ok(arguments)
}

/// A null whose type the server infers from its place in the statement.
struct UntypedNull;

impl sqlx::Type<sqlx::Postgres> for UntypedNull {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for UntypedNull {
    fn encode_by_ref(
        &self,
        _: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        Ok(sqlx::encode::IsNull::Yes)
    }
}

fn postgres_arguments(params: &[Value]) -> Result<PgArguments, String> {
    let mut arguments = PgArguments::default();
    arguments.reserve(params.len(), params.len() * 24);
    for param in params {
        match param {
            Value::Null => arguments.add(UntypedNull),
            Value::Int(value) => arguments.add(*value),
            Value::Float(value) => arguments.add(*value),
            Value::Text(value) => arguments.add(value.as_str()),
            Value::Bytes(value) => arguments.add(value.as_slice()),
            Value::Bool(value) => arguments.add(*value),
            Value::IntList(values) => arguments.add(values.as_slice()),
            Value::TextList(values) => arguments.add(values.as_slice()),
            Value::BytesList(values) => arguments.add(values.as_slice()),
            table @ Value::Table(_) => arguments.add(json(table)?),
        }
        .map_err(|error| error.to_string())?;
    }
    Ok(arguments)
}

/// Lists and tables as JSON; bytes as hexadecimal text.
fn json(value: &Value) -> Result<String, String> {
    let mut text = String::new();
    write_json(value, &mut text).map(|()| text)
}

fn write_json(value: &Value, text: &mut String) -> Result<(), String> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Float(value) if value.is_finite() => text.push_str(&format!("{value:?}")),
        Value::Float(value) => return Err(format!("{value} cannot be part of a table")),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Text(value) => {
            text.push_str(&serde_json::to_string(value).map_err(|error| error.to_string())?);
        }
        Value::Bytes(value) => write_hex(value, text),
        Value::IntList(values) => write_list(values, text, |value, text| text.push_str(&value.to_string())),
        Value::BytesList(values) => write_list(values, text, |value, text| write_hex(value, text)),
        Value::TextList(values) => {
            text.push_str(&serde_json::to_string(values).map_err(|error| error.to_string())?);
        }
        Value::Table(rows) => {
            text.push('[');
            for (position, row) in rows.iter().enumerate() {
                text.push_str(if position == 0 { "[" } else { ",[" });
                for (position, value) in row.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    write_json(value, text)?;
                }
                text.push(']');
            }
            text.push(']');
        }
    }
    Ok(())
}

fn write_list<T>(values: &[T], text: &mut String, write: impl Fn(&T, &mut String)) {
    text.push('[');
    for (position, value) in values.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write(value, text);
    }
    text.push(']');
}

fn write_hex(bytes: &[u8], text: &mut String) {
    text.push('"');
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    text.push('"');
}

fn sqlite_row(row: &SqliteRow) -> Result<Row, String> {
    let mut values = Vec::with_capacity(row.columns().len());
    for column in 0..row.columns().len() {
        let raw = row.try_get_raw(column).map_err(|error| error.to_string())?;
        if raw.is_null() {
            values.push(Value::Null);
            continue;
        }
        let value = match raw.type_info().name() {
            "INTEGER" | "BIGINT" | "INT4" | "BOOLEAN" => row.try_get_unchecked(column).map(Value::Int),
            "REAL" => row.try_get_unchecked(column).map(Value::Float),
            "TEXT" => row.try_get_unchecked(column).map(Value::Text),
            "BLOB" => row.try_get_unchecked(column).map(Value::Bytes),
            other => return Err(format!("column {column} has the unexpected type {other}")),
        };
        values.push(value.map_err(|error| error.to_string())?);
    }
    Ok(Row(values))
}

fn postgres_rows(rows: &[PgRow]) -> Result<Vec<Row>, String> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let kinds = first.columns().iter().map(|column| column.type_info().name()).collect::<Vec<_>>();
    rows.iter().map(|row| postgres_row(row, &kinds)).collect()
}

fn postgres_row(row: &PgRow, kinds: &[&str]) -> Result<Row, String> {
    let mut values = Vec::with_capacity(kinds.len());
    for (column, kind) in kinds.iter().enumerate() {
        let value = match *kind {
            "INT8" => row.try_get_unchecked::<Option<i64>, _>(column).map(Value::from),
            "INT4" => row.try_get_unchecked::<Option<i32>, _>(column).map(|v| Value::from(v.map(i64::from))),
            "BOOL" => row.try_get_unchecked::<Option<bool>, _>(column).map(Value::from),
            "FLOAT8" => row.try_get_unchecked::<Option<f64>, _>(column).map(Value::from),
            "TEXT" | "VARCHAR" | "NAME" => {
                row.try_get_unchecked::<Option<String>, _>(column).map(Value::from)
            }
            "BYTEA" => row.try_get_unchecked::<Option<Vec<u8>>, _>(column).map(Value::from),
            "VOID" => Ok(Value::Null),
            other => return Err(format!("column {column} has the unexpected type {other}")),
        };
        values.push(value.map_err(|error| error.to_string())?);
    }
    Ok(Row(values))
}

//! The database as everybody else sees it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nephos_observe::Backoff;

use crate::connection::{Connection, Options, Reply, no_answer};
use crate::dialect::{Dialect, Kind};
use crate::error::{Failure, SqlError};
use crate::instrument;
use crate::packed;
use crate::pool::{Lease, Pool};
use crate::value::{Row, Sql, Value};

/// Connections to one PostgreSQL server that one process keeps at most.
const POSTGRES_CONNECTIONS: usize = 10;
/// Readers beside the one writer of a SQLite file.
const SQLITE_READERS: usize = 4;
/// How long a database that is ready takes to say so at most.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a transaction is run again after a conflict before the caller hears of it.
const CONFLICT_RETRIES: u32 = 10;

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    dialect: Dialect,
    readers: Arc<Pool>,
    writer: Arc<Pool>,
    /// Keeps a database in memory alive while no other connection is open.
    _anchor: Option<Connection>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("dialect", &self.inner.dialect).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens `sqlite:<path>` (created if missing), `sqlite::memory:` (a new one each time) or `postgres://…` with the
    /// parameters of libpq (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host=/socket/folder`, …). Tries once:
    /// `BadUrl`, `Unavailable` or, for wrong credentials and the like, `Refused`.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let options = Options::parse(url)?;
        let dialect = options.dialect();
        let in_memory = url.starts_with("sqlite::memory:");
        let anchor = if in_memory { Some(options.connect().await?) } else { None };
        let (readers, writer) = match dialect {
            Dialect::Sqlite if !in_memory => (
                Arc::new(Pool::new(options.clone().read_only(), SQLITE_READERS)),
                Arc::new(Pool::new(options, 1)),
            ),
            // A database in memory is one connection's; PostgreSQL's connections do everything.
            _ => {
                let size = if in_memory { 1 } else { POSTGRES_CONNECTIONS };
                let pool = Arc::new(Pool::new(options, size));
                (Arc::clone(&pool), pool)
            }
        };
        let db = Self { inner: Arc::new(Inner { dialect, readers, writer, _anchor: anchor }) };
        // The writer first: it creates the file that readers need.
        db.inner.writer.acquire().await?.give_back();
        db.read("SELECT 1", &[]).await?;
        Ok(db)
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// `Ok` if the database answers right now, which means within a few seconds.
    pub async fn ready(&self) -> Result<(), SqlError> {
        let answer = tokio::time::timeout(READY_TIMEOUT, self.read("SELECT 1", &[])).await;
        answer.unwrap_or_else(|_| Err(no_answer().1)).map(|_| ())
    }

    /// Runs one reading statement.
    pub async fn read(&self, sql: impl Into<Sql>, params: &[Value]) -> Result<Vec<Row>, SqlError> {
        self.run(&self.inner.readers, &sql.into(), params, Repeat::Always).await.map(|reply| reply.rows)
    }

    /// Runs one reading statement that gives at most one row of interest.
    pub async fn read_one(&self, sql: impl Into<Sql>, params: &[Value]) -> Result<Option<Row>, SqlError> {
        self.read(sql, params).await.map(|rows| rows.into_iter().next())
    }

    /// Runs one reading statement that may give many rows. `columns` are the kinds of its columns, in their order; bytes
    /// must not be empty. The rows are those of [`read`](Self::read), at a fraction of the price on
    /// SQLite.
    pub async fn list(
        &self,
        sql: impl Into<Sql>,
        columns: &[Kind],
        params: &[Value],
    ) -> Result<Vec<Row>, SqlError> {
        let sql = sql.into();
        if self.inner.dialect == Dialect::Postgres {
            return self.read(sql, params).await;
        }
        let packed = self.read_one(packed::statement(&sql.0, columns), params).await?;
        let refused = |reason| SqlError::Refused { reason };
        let row = packed.ok_or_else(|| refused("an aggregate without a row".to_owned()))?;
        packed::rows(row.text(0)?, columns).map_err(refused)
    }

    /// Runs one writing statement as a transaction of its own; the number of rows it touched.
    pub async fn execute(&self, sql: impl Into<Sql>, params: &[Value]) -> Result<u64, SqlError> {
        self.run(&self.inner.writer, &sql.into(), params, Repeat::IfNothingHappened)
            .await
            .map(|reply| reply.affected)
    }

    /// Writes a copy of a SQLite database as it is now to a new file, while others use it. `Refused` for PostgreSQL, which
    /// has its own tools.
    pub async fn copy_to(&self, path: &std::path::Path) -> Result<(), SqlError> {
        let refused = |reason: &str| SqlError::Refused { reason: reason.to_owned() };
        if self.inner.dialect != Dialect::Sqlite {
            return Err(refused("only SQLite databases are copied"));
        }
        let path = path.to_str().ok_or_else(|| refused("the path is no text"))?;
        self.execute("VACUUM INTO $1", &[path.into()]).await.map(|_| ())
    }

    /// Runs one writing statement with a `RETURNING` clause as a transaction of its own.
    pub async fn write(&self, sql: impl Into<Sql>, params: &[Value]) -> Result<Vec<Row>, SqlError> {
        self.run(&self.inner.writer, &sql.into(), params, Repeat::IfNothingHappened)
            .await
            .map(|reply| reply.rows)
    }

    /// Runs `body` in a transaction and commits if it returns `Ok`; durable when this returns. The body runs again from
    /// the start when the database reports a conflict with another transaction, so it must have no other effects. A
    /// failed statement ends the transaction, whatever the body makes of its error. PostgreSQL isolates at
    /// `READ COMMITTED`: lock with [`Dialect::for_update`] what must not change between reading and writing.
    ///
    /// Inside, use only the [`Tx`]: [`Db::read`] would not see its writes. The usual shape, with whatever the body needs
    /// borrowed from outside:
    ///
    /// ```
    /// # async fn example(db: &nephos_sql::Db, name: &str) -> Result<u64, nephos_sql::SqlError> {
    /// db.transaction(|tx| Box::pin(async move { tx.execute("DELETE FROM t WHERE name = $1", &[name.into()]).await }))
    ///     .await
    /// # }
    /// ```
    pub async fn transaction<'env, T, E, B>(&'env self, mut body: B) -> Result<T, E>
    where
        E: From<SqlError>,
        B: for<'tx> FnMut(&'tx mut Tx<'env>) -> TxFuture<'tx, Result<T, E>> + Send,
    {
        let mut retry = Retry::default();
        loop {
            let mut tx = match self.begin().await {
                Ok(tx) => tx,
                Err((failure, error)) => {
                    if retry.again(failure).await {
                        continue;
                    }
                    return Err(error.into());
                }
            };
            let result = body(&mut tx).await;
            let (failure, error) = match (result, tx.failed.take()) {
                (Ok(value), None) => match tx.commit().await {
                    Ok(()) => return Ok(value),
                    Err((failure, error)) => (failure, error.into()),
                },
                (Err(error), None) => {
                    tx.roll_back().await;
                    return Err(error);
                }
                (result, Some(failure)) => {
                    tx.end_failed(failure).await;
                    let error = result.err().unwrap_or_else(|| {
                        let reason = "a statement of the transaction failed".to_owned();
                        SqlError::Refused { reason }.into()
                    });
                    (failure, error)
                }
            };
            if !retry.again(failure).await {
                return Err(error);
            }
        }
    }

    /// Starts noting every statement; see [`recorded`](Self::recorded).
    #[cfg(feature = "testing")]
    pub fn start_recording(&self) {
        for pool in [&self.inner.readers, &self.inner.writer] {
            *pool.recording.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Vec::new());
        }
    }

    /// Ends the recording; statements and their parameters, those of readers first.
    #[cfg(feature = "testing")]
    pub fn recorded(&self) -> Vec<crate::testing::Recorded> {
        let take =
            |pool: &Pool| pool.recording.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let (readers, writer) = (take(&self.inner.readers), take(&self.inner.writer));
        [readers, writer].into_iter().flatten().flatten().collect()
    }

    async fn begin(&self) -> Result<Tx<'_>, (Failure, SqlError)> {
        let pool = &self.inner.writer;
        loop {
            let mut lease = pool.acquire().await.map_err(|error| (Failure::Statement, error))?;
            let begin = match self.inner.dialect {
                Dialect::Sqlite => "BEGIN IMMEDIATE",
                Dialect::Postgres => "BEGIN",
            };
            match lease.connection.script(begin).await {
                Ok(()) => return Ok(Tx { lease, pool, dialect: self.inner.dialect, failed: None }),
                Err((failure, error)) if failure.spares_connection() => {
                    lease.give_back();
                    return Err((failure, error));
                }
                Err((failure, error)) => {
                    pool.clear();
                    if !lease.reused {
                        return Err((failure, error));
                    }
                    instrument::retried(failure);
                }
            }
        }
    }

    async fn run(&self, pool: &Pool, sql: &Sql, params: &[Value], repeat: Repeat) -> Result<Reply, SqlError> {
        let mut retry = Retry::default();
        loop {
            let mut lease = pool.acquire().await?;
            #[cfg(feature = "testing")]
            crate::testing::record(pool, sql, params);
            let (failure, error) = match lease.connection.run(sql, params).await {
                Ok(reply) => {
                    lease.give_back();
                    return Ok(reply);
                }
                Err(failed) => failed,
            };
            let again = match failure {
                Failure::Conflict => retry.again(failure).await,
                Failure::Terminated => lease.reused && retry.again(failure).await,
                Failure::Lost => repeat == Repeat::Always && lease.reused && retry.again(failure).await,
                Failure::Statement => false,
            };
            if failure.spares_connection() {
                lease.give_back();
            } else {
                pool.clear();
            }
            if !again {
                return Err(error);
            }
        }
    }
}

/// Whether a statement whose fate is unknown may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Always,
    IfNothingHappened,
}

/// How often something was tried.
#[derive(Debug)]
struct Retry {
    left: u32,
    backoff: Backoff,
}

impl Default for Retry {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(250));
        Self { left: CONFLICT_RETRIES, backoff }
    }
}

impl Retry {
    /// Whether to try again; waits a little first. Only for failures after which nothing has happened.
    async fn again(&mut self, failure: Failure) -> bool {
        let worth_it = match failure {
            Failure::Conflict => self.left > 0,
            // A connection that died once was old; one that dies again tells of a server that is away.
            Failure::Terminated | Failure::Lost => self.left == CONFLICT_RETRIES,
            Failure::Statement => false,
        };
        if worth_it {
            self.left -= 1;
            instrument::retried(failure);
            tokio::time::sleep(self.backoff.next_delay()).await;
        }
        worth_it
    }
}

/// What the body of a transaction returns.
pub type TxFuture<'tx, T> = Pin<Box<dyn Future<Output = T> + Send + 'tx>>;

/// A transaction in progress.
#[derive(Debug)]
pub struct Tx<'db> {
    lease: Lease<'db>,
    pool: &'db Pool,
    dialect: Dialect,
    failed: Option<Failure>,
}

impl Tx<'_> {
    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Runs a statement that gives rows: `SELECT`, or a write with `RETURNING`.
    pub async fn read(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<Vec<Row>, SqlError> {
        self.run(&sql.into(), params).await.map(|reply| reply.rows)
    }

    /// The same for at most one row of interest.
    pub async fn read_one(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<Option<Row>, SqlError> {
        self.read(sql, params).await.map(|rows| rows.into_iter().next())
    }

    /// Runs a writing statement; the number of rows it touched.
    pub async fn execute(&mut self, sql: impl Into<Sql>, params: &[Value]) -> Result<u64, SqlError> {
        self.run(&sql.into(), params).await.map(|reply| reply.affected)
    }

    /// Inserts any number of rows by one statement; `tail` may be `ON CONFLICT …`. The number of rows inserted or, with
    /// `DO UPDATE`, updated.
    pub async fn insert(
        &mut self,
        table: &str,
        columns: &[(&str, Kind)],
        rows: Vec<Vec<Value>>,
        tail: &str,
    ) -> Result<u64, SqlError> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.execute(self.dialect.insert(table, columns, tail), &[Value::Table(rows)]).await
    }

    /// Runs several statements without parameters, `;` between them.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<(), SqlError> {
        let result = self.lease.connection.script(sql).await;
        self.note(result)
    }

    async fn run(&mut self, sql: &Sql, params: &[Value]) -> Result<Reply, SqlError> {
        #[cfg(feature = "testing")]
        crate::testing::record(self.pool, sql, params);
        let result = self.lease.connection.run(sql, params).await;
        self.note(result)
    }

    fn note<T>(&mut self, result: Result<T, (Failure, SqlError)>) -> Result<T, SqlError> {
        result.map_err(|(failure, error)| {
            self.failed.get_or_insert(failure);
            error
        })
    }

    async fn commit(mut self) -> Result<(), (Failure, SqlError)> {
        match self.lease.connection.script("COMMIT").await {
            Ok(()) => {
                self.lease.give_back();
                Ok(())
            }
            Err((Failure::Conflict, error)) => {
                self.roll_back().await;
                Err((Failure::Conflict, error))
            }
            // Whether it was committed is unknown unless the server said otherwise: do not run the body again.
            Err((failure, error)) => {
                let failure = if failure == Failure::Lost { Failure::Statement } else { failure };
                Err((failure, error))
            }
        }
    }

    /// Ends a transaction in which a statement failed.
    async fn end_failed(self, failure: Failure) {
        if failure.spares_connection() {
            self.roll_back().await;
        } else {
            self.pool.clear();
        }
    }

    /// Undoes everything. If that fails the connection is closed, which does the same.
    async fn roll_back(mut self) {
        if self.lease.connection.script("ROLLBACK").await.is_ok() {
            self.lease.give_back();
        }
    }
}

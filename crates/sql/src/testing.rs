//! Scratch databases for tests, and a record of what ran on a database.

use crate::db::Db;
use crate::pool::Pool;
use crate::value::{Sql, Value};

/// A statement that ran, with its parameters.
pub type Recorded = (String, Vec<Value>);

pub(crate) fn record(pool: &Pool, sql: &Sql, params: &[Value]) {
    if let Some(recording) = &mut *pool.recording.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
        recording.push((sql.0.clone().into_owned(), params.to_vec()));
    }
}

/// An empty database that goes when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    url: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sqlite { _folder: tempfile::TempDir },
    Postgres { server: String, name: String },
}

impl Scratch {
    /// A SQLite file in a temporary folder.
    #[allow(clippy::expect_used)]
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("test.sqlite").display());
        Self { url, kind: Kind::Sqlite { _folder: folder } }
    }

    /// A database on the server of `NEPHOS_TEST_POSTGRES_URL`; panics when the server is missing.
    #[allow(clippy::expect_used, clippy::disallowed_methods)]
    pub async fn postgres() -> Self {
        let server = std::env::var("NEPHOS_TEST_POSTGRES_URL")
            .unwrap_or_else(|_| "postgres://nephos:nephos@127.0.0.1:45432".to_owned());
        let name = format!("nephos_test_{}", uuid::Uuid::new_v4().simple());
        let admin = Db::connect(&format!("{server}/postgres")).await.expect("the test PostgreSQL server");
        admin.execute(format!("CREATE DATABASE {name}"), &[]).await.expect("a scratch database");
        Self { url: format!("{server}/{name}"), kind: Kind::Postgres { server, name } }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it.
    #[allow(clippy::expect_used)]
    pub async fn db(&self) -> Db {
        Db::connect(&self.url).await.expect("the scratch database")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Kind::Postgres { server, name } = &self.kind else { return };
        let (url, sql) =
            (format!("{server}/postgres"), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // Dropping may happen inside a runtime, which must not be blocked on: a thread with one of its own is joined.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async { Db::connect(&url).await.ok()?.execute(sql, &[]).await.ok() })
        })
        .join();
        if !matches!(dropped, Ok(Some(_))) {
            tracing::warn!(name, "scratch database was left behind");
        }
    }
}

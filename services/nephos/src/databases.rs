//! Databases: connected with patience, watched while in use.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use nephos_config::SecretUrl;
use nephos_config::settings::ClientTls;
use nephos_observe::{Backoff, Health, Shutdown};
use nephos_sql::migrations::{COORDINATION, INDEX, MigrationSet, migrate};
use nephos_sql::{Db, SqlError};

/// How often a database is asked whether it answers.
const WATCH: Duration = Duration::from_secs(2);
/// How long it may take to answer that.
const ANSWER: Duration = Duration::from_secs(5);

/// The schema of the index database: leases and members live beside it.
pub(crate) const INDEX_SETS: &[&MigrationSet] = &[&INDEX, &COORDINATION];
/// The schema of the state database.
pub(crate) const STATE_SETS: &[&MigrationSet] = &[&COORDINATION];

/// Where a connection is made to, with the certificates that a PostgreSQL URL carries as parameters.
pub(crate) fn url_with_tls(url: &SecretUrl, tls: &ClientTls) -> String {
    let mut text = url.expose().to_owned();
    if !url.scheme().starts_with("postgres") {
        return text;
    }
    let mut add = |key: &str, path: &std::path::Path| {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(&format!("{key}={}", path.display()));
    };
    if let Some(path) = &tls.ca_bundle {
        add("sslrootcert", path);
    }
    if let Some(identity) = &tls.identity {
        add("sslcert", &identity.certificate);
        add("sslkey", &identity.key);
    }
    text
}

/// Connects and migrates. While the server is away it waits, says so once, and `/readyz` tells; `Ok(None)` when shutdown
/// was asked for meanwhile.
pub(crate) async fn open(
    name: &'static str,
    url: &str,
    sets: &[&MigrationSet],
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Db>> {
    let state = Arc::new(Mutex::new(Err("not connected yet".to_owned())));
    let seen = Arc::clone(&state);
    health.register(name, Arc::new(move || seen.lock().unwrap_or_else(PoisonError::into_inner).clone()));
    let set = |result: Result<(), String>| *state.lock().unwrap_or_else(PoisonError::into_inner) = result;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut told = false;
    let db = loop {
        match connect(url, sets).await {
            Ok(db) => break db,
            Err(error) if error.is_retryable() => {
                set(Err(error.to_string()));
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(database = name, %error, "waiting for the database");
                }
            }
            Err(error) => return Err(error).with_context(|| format!("open the {name} database")),
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(None),
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    };
    if told {
        tracing::info!(database = name, "the database answers");
    }
    set(Ok(()));
    shutdown.spawn(watch(name, db.clone(), state, shutdown.clone()));
    Ok(Some(db))
}

async fn connect(url: &str, sets: &[&MigrationSet]) -> Result<Db, SqlError> {
    let db = Db::connect(url).await?;
    for done in migrate(&db, sets).await? {
        tracing::info!(migration = done, "database schema brought up to date");
    }
    Ok(db)
}

async fn watch(name: &'static str, db: Db, state: Arc<Mutex<Result<(), String>>>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(WATCH) => {}
        }
        let now = match tokio::time::timeout(ANSWER, db.ready()).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
        };
        let before =
            std::mem::replace(&mut *state.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        match (before, now) {
            (Ok(()), Err(error)) => tracing::warn!(database = name, error, "the database does not answer"),
            (Err(_), Ok(())) => tracing::info!(database = name, "the database answers again"),
            _ => {}
        }
    }
}

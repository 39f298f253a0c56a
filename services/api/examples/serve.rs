//! The API by itself, on SQLite and local files below a folder: for trying clients and suites against it.
//!
//! `cargo run -p nephos-api --example serve -- FOLDER [ADDRESS] [MAX_LIMIT]`
//!
//! Starts without policies and rules, takes origin `http://foobar.com` and believes proxy headers, as Gnocchi's own
//! functional suites want it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nephos_api::http::cors::Cors;
use nephos_api::{ApiOptions, ApiParts, housekeeping};
use nephos_identity::Basic;
use nephos_index::{Defaults, SqlIndex};
use nephos_metric_store::{LocalStore, StoreOptions};
use nephos_observe::{Health, LogControl, LogFormat, Metrics, Shutdown, SystemClock};
use nephos_sql::Db;
use nephos_sql::migrations::{INDEX, migrate};
use tokio::net::TcpListener;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: serve FOLDER [ADDRESS] [MAX_LIMIT]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8041".to_owned());
    let max_limit = arguments.next().map_or(Ok(1_000), |text| text.parse())?;

    LogControl::install("info", LogFormat::default())?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let clock = Arc::new(SystemClock::default());
    let db = Db::connect(&format!("sqlite:{}", folder.join("index.sqlite").display())).await?;
    migrate(&db, &[&INDEX]).await?;
    let index = Arc::new(SqlIndex::open(db, Arc::clone(&clock) as _).await?);
    index.ensure_defaults(&Defaults::default()).await?;
    let store = LocalStore::open(StoreOptions::new(folder.join("store"), Arc::clone(&clock) as _))?;

    let shutdown = Shutdown::default();
    let (stop, keep) = (shutdown.clone(), (Arc::clone(&index), Arc::clone(&store)));
    shutdown.spawn(async move {
        while !stop.is_requested() {
            // A failed run is made up for by the next.
            let _removed = housekeeping(keep.0.as_ref(), keep.1.as_ref()).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let parts = ApiParts {
        listener: TcpListener::bind(&address).await?,
        tls: None,
        aodh: None,
        statsd: None,
        index,
        store,
        identity: Arc::new(Basic),
        clock,
        health: Health::default(),
        metrics: Metrics::install(),
        options: ApiOptions {
            max_limit,
            proxy_headers: true,
            cors: Cors {
                allowed_origins: vec!["http://foobar.com".to_owned()],
                allowed_headers: Cors::DEFAULT_HEADERS.map(str::to_owned).to_vec(),
            },
            ..ApiOptions::default()
        },
    };
    nephos_api::run(parts, shutdown).await;
    Ok(())
}

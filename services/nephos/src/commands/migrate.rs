//! `nephos migrate`: brings the databases to this version's schema. Services do the same when they start.

use std::process::ExitCode;

use anyhow::Context;
use nephos_config::Mode;
use nephos_sql::Db;
use nephos_sql::migrations::migrate;

use crate::cli::Common;
use crate::databases::{INDEX_SETS, STATE_SETS, url_with_tls};
use crate::setup::{configuration, say};

/// Migrates index and state.
pub(super) async fn run(common: &Common) -> anyhow::Result<ExitCode> {
    // Embedded defaults fill in what the configuration leaves out; a scaled-out configuration names its databases.
    let Some(loaded) = configuration(common, Mode::Embedded)? else {
        return Ok(ExitCode::from(crate::BAD_CONFIGURATION));
    };
    let settings = &loaded.settings;
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("make the data directory {}", settings.data_dir.display()))?;
    let databases = [
        ("index", url_with_tls(&settings.index, &settings.index_tls), INDEX_SETS),
        ("state", url_with_tls(&settings.state, &settings.state_tls), STATE_SETS),
    ];
    for (name, url, sets) in databases {
        if url.starts_with("memory:") {
            continue;
        }
        let db = Db::connect(&url).await.with_context(|| format!("connect to the {name} database"))?;
        let done = migrate(&db, sets).await.with_context(|| format!("migrate the {name} database"))?;
        if done.is_empty() {
            say(&format!("{name}: up to date"));
        }
        for migration in done {
            say(&format!("{name}: applied {migration}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

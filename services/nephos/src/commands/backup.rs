//! `nephos backup`: copies what lies on this machine into a folder, while Nephos runs.
//!
//! The store comes first and the databases after it, so that no measure is without its metric. The list of files with
//! their checksums is written last: a folder without it is no backup.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use nephos_config::settings::Settings;
use nephos_config::{Loaded, SecretUrl};
use nephos_metric_store::StoreFile;
use nephos_model::Clock;
use nephos_observe::SystemClock;
use nephos_sql::Db;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::setup::say;

/// Name of the list of files.
pub(super) const LIST: &str = "nephos-backup.json";
/// Layout of a backup.
pub(super) const VERSION: u64 = 1;
/// Folder of the metric store within a backup.
pub(super) const STORE: &str = "store";
/// Bytes copied at a time.
const PIECE: usize = 1 << 18;

/// A database that is one file.
pub(super) struct Database {
    /// Its name within a backup.
    pub(super) name: &'static str,
    /// Where it is used.
    pub(super) path: PathBuf,
}

/// What lies on this machine.
pub(super) struct Local {
    pub(super) store: Option<PathBuf>,
    pub(super) databases: Vec<Database>,
    /// What does not, and how that is backed up.
    pub(super) elsewhere: Vec<String>,
}

/// Finds out which parts lie on this machine.
pub(super) fn local(settings: &Settings) -> Local {
    let mut local = Local { store: None, databases: Vec::new(), elsewhere: Vec::new() };
    match settings.store.url.path() {
        Some(folder) if settings.store.url.scheme() == "file" => local.store = Some(folder.to_owned()),
        _ => local.elsewhere.push(
            "metric store: in an object store; keep its versions (bucket versioning) or replicate the bucket"
                .to_owned(),
        ),
    }
    for (what, name, url) in
        [("index", "index.sqlite", &settings.index), ("state", "state.sqlite", &settings.state)]
    {
        match database(name, url) {
            Some(database) => local.databases.push(database),
            None if url.scheme() == "memory" => {}
            None => local.elsewhere.push(format!("{what}: on {}; use pg_dump", url.scheme())),
        }
    }
    local
}

fn database(name: &'static str, url: &SecretUrl) -> Option<Database> {
    let path = url.path().filter(|_| url.scheme() == "sqlite")?;
    Some(Database { name, path: path.to_owned() })
}

/// Backs up into `target`, a folder that is new or empty.
pub(super) async fn run(loaded: &Loaded, target: &Path) -> anyhow::Result<ExitCode> {
    let local = local(&loaded.settings);
    if local.store.is_none() && local.databases.is_empty() {
        bail!("nothing of this configuration lies on this machine: {}", local.elsewhere.join("; "));
    }
    make_empty(target)?;
    let mut files = Vec::new();
    if let Some(folder) = local.store.clone() {
        let target = target.to_owned();
        let copying = tokio::task::spawn_blocking(move || copy_store(&folder, &target));
        files.extend(copying.await.context("copy the metric store")??);
    }
    for database in local.databases.iter().filter(|database| database.path.exists()) {
        let path = target.join(database.name);
        let url = format!("sqlite:{}", database.path.display());
        let db = Db::connect(&url).await.with_context(|| format!("open {}", database.path.display()))?;
        db.copy_to(&path).await.with_context(|| format!("copy {}", database.path.display()))?;
        files.push(entry(Path::new(database.name), &path)?);
    }
    if files.is_empty() {
        bail!("there is nothing to back up in {} yet", loaded.settings.data_dir.display());
    }
    let list = json!({
        "version": VERSION,
        "nephos": env!("CARGO_PKG_VERSION"),
        "created": nephos_wire::time::naive_utc(SystemClock::default().now(), 'T'),
        "files": files,
        "elsewhere": local.elsewhere,
    });
    write_list(target, &list)?;
    let bytes: u64 = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
    say(&format!("backed up {} files, {bytes} bytes, to {}", files.len(), target.display()));
    for part in &local.elsewhere {
        say(&format!("not in this backup: {part}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn make_empty(target: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(target).with_context(|| format!("make {}", target.display()))?;
    if fs::read_dir(target).with_context(|| format!("list {}", target.display()))?.next().is_some() {
        bail!("{} is not empty; name a new folder", target.display());
    }
    Ok(())
}

fn copy_store(folder: &Path, target: &Path) -> anyhow::Result<Vec<Value>> {
    let mut files = Vec::new();
    nephos_metric_store::backup(folder, |StoreFile { name, file, len }| -> anyhow::Result<()> {
        let name = Path::new(STORE).join(name);
        let path = target.join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        copy(file.take(len), &path).with_context(|| format!("write {}", path.display()))?;
        files.push(entry(&name, &path)?);
        Ok(())
    })?;
    Ok(files)
}

/// Writes a new file, durably.
pub(super) fn copy(mut from: impl Read, to: &Path) -> io::Result<()> {
    let mut file = File::create_new(to)?;
    io::copy(&mut from, &mut file)?;
    file.sync_all()
}

fn entry(name: &Path, path: &Path) -> anyhow::Result<Value> {
    let (bytes, sha256) = checksum(path)?;
    Ok(json!({"path": name.to_str().context("a file's name is no text")?, "bytes": bytes, "sha256": sha256}))
}

/// Size and SHA-256 of a file.
pub(super) fn checksum(path: &Path) -> anyhow::Result<(u64, String)> {
    let sum = || -> io::Result<(u64, String)> {
        let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), 0);
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece)?;
            let Some(got) = piece.get(..read).filter(|got| !got.is_empty()) else { break };
            hash.update(got);
            bytes += got.len() as u64;
        }
        let text = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((bytes, text))
    };
    sum().with_context(|| format!("read {}", path.display()))
}

/// The list appears whole or not at all, after everything it names is durable.
fn write_list(target: &Path, list: &Value) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let unfinished = target.join(format!("{LIST}.tmp"));
        let mut file = File::create_new(&unfinished)?;
        file.write_all(format!("{list:#}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, target.join(LIST))?;
        File::open(target)?.sync_all()
    };
    write().with_context(|| format!("write {LIST}"))
}

//! `nephos restore`: puts a backup where the configuration says, if nobody uses it.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use nephos_config::Loaded;
use serde_json::Value;

use super::backup::{LIST, Local, STORE, VERSION, checksum, copy, local};
use crate::lock::DataDir;
use crate::setup::say;

/// A file of a backup and where it goes.
struct Move {
    from: PathBuf,
    to: PathBuf,
    bytes: u64,
}

/// Restores the backup in `source`. What is there already goes only with `force`.
pub(super) fn run(loaded: &Loaded, source: &Path, force: bool) -> anyhow::Result<ExitCode> {
    let settings = &loaded.settings;
    let local = local(settings);
    let list = read_list(source)?;
    let moves = check(source, &list, &local)?;
    let _lock = DataDir::lock(&settings.data_dir)?;
    let mut old = present(&settings.data_dir, &local)?;
    old.sort();
    old.dedup();
    if !old.is_empty() && !force {
        let first = old.first().map(|path| path.display().to_string()).unwrap_or_default();
        bail!("there are data already, such as {first}; --force replaces them by the backup");
    }
    for path in replaced(&local) {
        remove(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    for Move { from, to, .. } in &moves {
        let parent = to.parent().context("a file without a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        let open = File::open(from).with_context(|| format!("open {}", from.display()))?;
        copy(open, to).with_context(|| format!("write {}", to.display()))?;
        File::open(parent).and_then(|folder| folder.sync_all()).context("sync a folder")?;
    }
    let bytes: u64 = moves.iter().map(|file| file.bytes).sum();
    let made = list["created"].as_str().unwrap_or_default();
    let by = list["nephos"].as_str().unwrap_or_default();
    say(&format!("restored {} files, {bytes} bytes, backed up {made} by nephos {by}", moves.len()));
    if let Some(folder) = &local.store {
        say(&format!("metric store: {}", folder.display()));
    }
    for database in &local.databases {
        say(&format!("{}: {}", database.name.trim_end_matches(".sqlite"), database.path.display()));
    }
    for part in list["elsewhere"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("not in this backup: {part}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn read_list(source: &Path) -> anyhow::Result<Value> {
    let path = source.join(LIST);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{} is no finished backup: read {}", source.display(), path.display()))?;
    let list: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    if list["version"].as_u64() != Some(VERSION) {
        bail!("{} has version {}, this program reads {VERSION}", path.display(), list["version"]);
    }
    Ok(list)
}

/// Where each file goes, after a look at every byte: nothing is touched before all are known to be good.
fn check(source: &Path, list: &Value, local: &Local) -> anyhow::Result<Vec<Move>> {
    let mut moves = Vec::new();
    for file in list["files"].as_array().context("the list of files is missing")? {
        let name = file["path"].as_str().context("a file has no path")?;
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            bail!("{name:?} is no path within a backup");
        }
        let to = destination(name, local)
            .with_context(|| format!("the configuration keeps what {name} holds somewhere else"))?;
        let from = source.join(name);
        let (bytes, sha256) = checksum(&from)?;
        if file["bytes"].as_u64() != Some(bytes) || file["sha256"].as_str() != Some(sha256.as_str()) {
            bail!("{} is damaged: its checksum is not the one it was backed up with", from.display());
        }
        moves.push(Move { from, to, bytes });
    }
    Ok(moves)
}

fn destination(name: &str, local: &Local) -> Option<PathBuf> {
    if let Ok(file) = Path::new(name).strip_prefix(STORE) {
        return local.store.as_ref().map(|folder| folder.join(file));
    }
    local.databases.iter().find(|database| database.name == name).map(|database| database.path.clone())
}

/// What restoring replaces, whether it is there or not.
fn replaced(local: &Local) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = local.store.iter().cloned().collect();
    for database in &local.databases {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut path = database.path.clone().into_os_string();
            path.push(suffix);
            paths.push(path.into());
        }
    }
    paths
}

/// What is there already: anything in the data directory but the lock, and what would be replaced elsewhere.
fn present(data_dir: &Path, local: &Local) -> anyhow::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = replaced(local).into_iter().filter(|path| path.exists()).collect();
    for entry in fs::read_dir(data_dir).with_context(|| format!("list {}", data_dir.display()))? {
        let entry = entry.with_context(|| format!("list {}", data_dir.display()))?;
        if entry.file_name() != "LOCK" {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> std::io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

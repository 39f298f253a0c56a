//! Backups made while Nephos runs, and what is made of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nephos_integration_tests::counting::{self, Ledger, Load};
use nephos_integration_tests::{Http, Nephos, process, wait_for};

use super::support::{PATIENCE, Said};

/// Where `name` keeps its data.
fn data(folder: &Path, name: &str) -> String {
    path(folder, &format!("{name}-data"))
}

/// Nephos on the data of `name` without polling; `run` tells this start from others.
async fn start(folder: &Path, name: &str, run: &str) -> (Nephos, Http) {
    let data = data(folder, name);
    let settings = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__DATA_DIR", data.as_str())];
    let nephos = Nephos::start("run", folder, &format!("{name}-{run}"), &settings);
    let api = Http::new(&nephos.url("api").await);
    (nephos, api)
}

/// Runs a command on the data of `name`.
fn on(folder: &Path, name: &str, arguments: &[&str]) -> Said {
    let mut command = process::command(arguments);
    command.env("NEPHOS__DATA_DIR", data(folder, name));
    command.output().unwrap().into()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Load on two metrics of a running Nephos.
async fn load(api: &Http) -> Load {
    let metrics = counting::metrics(api, 2).await;
    let mut load = Load::default();
    load.over_rest(api, &metrics);
    load.acknowledge_more(200, PATIENCE).await;
    load
}

/// Starts Nephos on the data of `name` and looks whether everything is there.
async fn holds(folder: &Path, name: &str, run: &str, ledger: &Ledger) {
    let (mut nephos, api) = start(folder, name, run).await;
    assert!(ledger.acknowledged() > 0);
    ledger.arrived(&api, PATIENCE).await;
    assert_eq!(nephos.stop(PATIENCE).await, Some(0), "{}", nephos.log());
}

#[tokio::test]
async fn a_backup_under_load_holds_everything_acknowledged_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut nephos, api) = start(folder, "source", "first").await;
    let load = load(&api).await;
    let mut before = Vec::new();
    for n in 0..3 {
        before.push(load.ledger.snapshot());
        let target = path(folder, &format!("backup-{n}"));
        let said = on(folder, "source", &["backup", &target]).result();
        assert!(said.starts_with("backed up "), "{said}");
        load.acknowledge_more(100, PATIENCE).await;
    }
    let ledger = load.stop().await;
    ledger.settle(&api, PATIENCE).await;
    nephos.kill();
    for (n, before) in before.iter().enumerate() {
        let (source, name) = (path(folder, &format!("backup-{n}")), format!("restored-{n}"));
        let said = on(folder, &name, &["restore", &source]).result();
        assert!(said.starts_with("restored ") && said.contains("metric store: "), "{said}");
        assert!(said.contains("index: ") && said.contains("state: "), "{said}");
        holds(folder, &name, "first", before).await;
    }
}

#[tokio::test]
async fn restoring_refuses_what_it_would_destroy_or_cannot_trust() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut nephos, api) = start(folder, "source", "first").await;
    let ledger = load(&api).await.stop().await;
    let backup = path(folder, "backup");
    on(folder, "source", &["backup", &backup]).result();

    let refused = |name: &str, arguments: &[&str], reason: &str| {
        let said = on(folder, name, arguments);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(reason), "{reason}: {}", said.err);
    };
    refused("source", &["backup", &backup], "is not empty; name a new folder");
    let pid = format!("in use by process {}", nephos.pid());
    refused("source", &["restore", &backup, "--force"], &pid);
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
    refused("source", &["restore", &backup], "--force replaces them");
    refused("new", &["restore", &path(folder, "nowhere")], "is no finished backup");

    let index = Path::new(&backup).join("index.sqlite");
    let whole = std::fs::read(&index).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&index, changed).unwrap();
    refused("source", &["restore", &backup, "--force"], "index.sqlite is damaged");
    holds(folder, "source", "untouched", &ledger).await;
    std::fs::write(&index, whole).unwrap();
    on(folder, "source", &["restore", &backup, "--force"]).result();
    holds(folder, "source", "restored", &ledger).await;
}

#[tokio::test]
async fn a_backup_that_is_killed_leaves_its_source_whole_and_is_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (nephos, api) = start(folder, "source", "first").await;
    let load = load(&api).await;
    let mut unfinished = 0;
    for n in 0..6 {
        let before = load.ledger.snapshot();
        let target: PathBuf = folder.join(format!("killed-{n}"));
        let mut backup = process::command(&["backup", target.to_str().unwrap()])
            .env("NEPHOS__DATA_DIR", data(folder, "source"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("a backup that has begun", PATIENCE, || async {
            target.exists().then_some(()).ok_or_else(|| "no folder yet".to_owned())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(n / 2 * 5)).await;
        // It may have been quicker than we are; its last step may even be done when it is killed.
        // Then it is a backup like any other. What it may never be is one in part.
        backup.kill().unwrap();
        let finished = backup.wait().unwrap().success();
        let name = format!("new-{n}");
        let said = on(folder, &name, &["restore", target.to_str().unwrap()]);
        if said.code == Some(0) {
            holds(folder, &name, "first", &before).await;
        } else {
            assert!(!finished && said.err.contains("is no finished backup"), "{said:?}");
            unfinished += 1;
        }
    }
    assert!(unfinished > 0, "no backup was killed before its end");
    load.acknowledge_more(50, PATIENCE).await;
    load.stop().await.settle(&api, PATIENCE).await;
    drop(nephos);
}

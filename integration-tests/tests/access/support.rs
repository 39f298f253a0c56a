//! A Nephos with users, and its commands.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, process, wait_for};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One process that polls nothing.
pub(crate) struct World {
    pub(crate) nephos: Nephos,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
}

impl World {
    /// Starts with settings besides the usual ones.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, settings).await
    }

    pub(crate) async fn start_in(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let quiet = [("NEPHOS__POLLING__ENABLED", "false")];
        let settings = [&quiet[..], settings].concat();
        let nephos = Nephos::start("run", folder.path(), "nephos", &settings);
        let url = nephos.url("api").await;
        let world = Self { nephos, url, folder };
        let api = world.api();
        wait_for("nephos is ready", PATIENCE, || async {
            let answer = api.try_send("GET", "/readyz", None).await?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text) }
        })
        .await;
        world
    }

    pub(crate) fn api(&self) -> Http {
        Http::new(&self.url)
    }

    /// The data directory of the process.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("nephos-data")
    }

    /// Runs a command on the same data, with a text as standard input; what it printed.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        command(&self.data(), arguments, input)
    }

    /// A command that must succeed.
    pub(crate) fn done(&self, arguments: &[&str], input: &str) -> String {
        self.command(arguments, input).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// What a command prints with `--json`.
    pub(crate) fn json(&self, arguments: &[&str], input: &str) -> Value {
        let text = self.done(&[arguments, &["--json"]].concat(), input);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// A user with a password in a project, with a role.
    pub(crate) fn add(&self, name: &str, password: &str, project: &str, role: &str) {
        let roles: &[&str] =
            if role == "member" { &["--role", "member", "--role", "reader"] } else { &["--role", role] };
        let arguments =
            [&["user", "add", name, "--project", project, "--password-file", "-"][..], roles].concat();
        self.done(&arguments, &format!("{password}\n"));
    }
}

/// Runs a command on the data in a folder.
pub(crate) fn command(data: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = process::command(arguments)
        .env("NEPHOS__DATA_DIR", data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start nephos");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stdout) + &text(output.stderr))
    }
}

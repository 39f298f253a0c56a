//! Running the clients.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, wait_for};
use serde_json::Value;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Folder of the clients' commands.
#[allow(clippy::disallowed_methods)]
pub(crate) fn folder() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = std::env::var_os("NEPHOS_CLIENT_DIR")
        .map_or_else(|| repository.join(".tools/client/bin"), PathBuf::from);
    for name in ["gnocchi", "aodh"] {
        assert!(folder.join(name).exists(), "{name} is missing in {}: run `make client`", folder.display());
    }
    folder
}

/// A client that talks to one Nephos as user `admin`.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    program: &'static str,
    flags: Vec<String>,
}

impl Client {
    pub(crate) fn gnocchi(url: &str) -> Self {
        let flags = ["--os-auth-type", "gnocchi-basic", "--user", "admin", "--endpoint", url];
        Self { program: "gnocchi", flags: flags.map(str::to_owned).to_vec() }
    }

    pub(crate) fn aodh(url: &str) -> Self {
        let flags = [
            "--os-auth-type",
            "aodh-noauth",
            "--user-id",
            "admin",
            "--project-id",
            "admin",
            "--roles",
            "admin",
            "--aodh-endpoint",
            url,
        ];
        Self { program: "aodh", flags: flags.map(str::to_owned).to_vec() }
    }

    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = Command::new(folder().join(self.program))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(&self.flags)
            .args(arguments)
            .output()
            .expect("start the client");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    /// A command that prints nothing to look at.
    pub(crate) fn done(&self, arguments: &[&str]) {
        let (success, out, err) = self.run(arguments);
        assert!(success, "{} {arguments:?}: {out}{err}", self.program);
    }

    /// What a command prints, as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (success, out, err) = self.run(&[arguments, &["-f", "json"]].concat());
        assert!(success, "{} {arguments:?}: {out}{err}", self.program);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}{err}"))
    }

    /// What a command that must fail says.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let (success, out, err) = self.run(arguments);
        assert!(!success, "{} {arguments:?} did not fail: {out}", self.program);
        out + &err
    }
}

/// A Nephos that is ready, and its URL.
pub(crate) async fn start(folder: &Path, settings: &[(&str, &str)]) -> (Nephos, String) {
    let nephos = Nephos::start("run", folder, "nephos", settings);
    let url = nephos.url("api").await;
    let api = Http::new(&url);
    wait_for("nephos is ready", PATIENCE, || async {
        let answer = api.try_send("GET", "/readyz", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    (nephos, url)
}

/// The values under `key` of a list of objects.
pub(crate) fn column<'a>(list: &'a Value, key: &str) -> Vec<&'a Value> {
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter().map(|row| &row[key]).collect()
}

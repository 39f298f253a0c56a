//! Running commands and reading what they say.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nephos_integration_tests::process;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// What it printed as a result; panics unless it succeeded and complained about nothing.
    pub(crate) fn result(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The result as JSON.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.result()).unwrap()
    }
}

/// Runs a command of the binary whose data would be in `folder`.
pub(crate) fn nephos(folder: &Path, arguments: &[&str]) -> Said {
    nephos_with(folder, arguments, &[])
}

/// The same with settings as environment variables.
pub(crate) fn nephos_with(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Said {
    let mut command = process::command(arguments);
    command.current_dir(folder).env("NEPHOS__DATA_DIR", folder.join("data")).envs(settings.iter().copied());
    command.output().unwrap().into()
}

/// Runs `curl` as a person would; status and body.
pub(crate) fn curl(arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--user",
            "admin:",
            "--write-out",
            "\n%{http_code}",
        ])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let said = Said::from(output);
    let (body, status) = said.out.rsplit_once('\n').unwrap();
    if status == "000" { (status.to_owned(), said.err) } else { (status.to_owned(), body.to_owned()) }
}

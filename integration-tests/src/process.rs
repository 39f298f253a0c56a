//! The built binary as a process.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::wait::wait_for;

/// The binary that was built with the tests.
pub fn binary() -> PathBuf {
    let mut folder = std::env::current_exe().expect("path of the test");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let binary = folder.join("nephos");
    assert!(binary.exists(), "{} is missing: build it with `cargo build -p nephos`", binary.display());
    binary
}

/// A command of the binary with a clean environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command
}

/// Runs a command of the binary to its end.
pub fn output(arguments: &[&str]) -> Output {
    command(arguments).output().expect("start nephos")
}

/// A running Nephos, one service or all. Killed when dropped.
#[derive(Debug)]
pub struct Nephos {
    child: Child,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
    name: String,
    starts: u32,
}

impl Nephos {
    /// Starts `nephos <service>` with files in `folder` and the given settings as environment variables. Ports are free
    /// ones unless set.
    pub fn start(service: &str, folder: &Path, name: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_with(service, &[], folder, name, settings)
    }

    /// The same with further flags.
    pub fn start_with(
        service: &str,
        flags: &[&str],
        folder: &Path,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut environment: BTreeMap<String, String> = [
            ("NEPHOS__DATA_DIR".to_owned(), folder.join(format!("{name}-data")).display().to_string()),
            ("NEPHOS__API__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("NEPHOS__STORE__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("NEPHOS__OBSERVE__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ]
        .into();
        if service == "run" {
            environment.remove("NEPHOS__OBSERVE__LISTEN");
            environment.remove("NEPHOS__STORE__LISTEN");
        }
        environment.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let arguments: Vec<String> =
            std::iter::once(&service).chain(flags).map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&arguments, &environment, folder, name, 0);
        Self { child, arguments, environment, folder: folder.to_owned(), name: name.to_owned(), starts: 1 }
    }

    fn port_file(&self) -> PathBuf {
        port_file(&self.folder, &self.name, self.starts - 1)
    }

    /// Waits until it listens; the URL under `key` of the port file.
    pub async fn url(&self, key: &str) -> String {
        let path = self.port_file();
        wait_for(&format!("{} listens", self.name), Duration::from_secs(60), || async {
            let text = std::fs::read(&path).map_err(|error| format!("{error}\n{}", self.log_tail()))?;
            let ports: BTreeMap<String, String> =
                serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            ports.get(key).cloned().ok_or_else(|| format!("no key {key} in {ports:?}"))
        })
        .await
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill").success(), "kill -{signal} {}", self.name);
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().expect("wait");
    }

    /// SIGTERM, and waits for an orderly end within `patience`; its exit code.
    pub async fn stop(&mut self, patience: Duration) -> Option<i32> {
        self.signal("TERM");
        let name = self.name.clone();
        let child = &mut self.child;
        let end = tokio::time::Instant::now() + patience;
        loop {
            if let Some(status) = child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < end, "{name} did not stop within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it again with the same settings.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.arguments, &self.environment, &self.folder, &self.name, self.starts);
        self.starts += 1;
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Its log so far, over all starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_file(&self.folder, &self.name)).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn port_file(folder: &Path, name: &str, start: u32) -> PathBuf {
    folder.join(format!("{name}-{start}.ports.json"))
}

fn log_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn spawn(
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    folder: &Path,
    name: &str,
    start: u32,
) -> Child {
    let log = File::options().create(true).append(true).open(log_file(folder, name)).expect("log file");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    command(&arguments)
        .arg("--port-file")
        .arg(port_file(folder, name, start))
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("log file"))
        .stderr(log)
        .spawn()
        .expect("start nephos")
}

impl Drop for Nephos {
    fn drop(&mut self) {
        let _ended_already = self.child.kill().is_err();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- last log lines of {} ---\n{}", self.name, self.log_tail());
        }
    }
}

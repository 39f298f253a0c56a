//! Every command of the `gnocchi` client in one process, and which of them were run.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::support::folder;

/// The client as user `admin` of one Nephos. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Shell {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    flags: Vec<String>,
    not_run: BTreeSet<String>,
}

impl Shell {
    pub(crate) fn start(url: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/shell.py");
        let mut child = Command::new(folder().join("python"))
            .arg(script)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start Python");
        let requests = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let not_run = serde_json::from_value(answer(&mut answers)).unwrap();
        let flags = ["--os-auth-type", "gnocchi-basic", "--user", "admin", "--endpoint", url];
        Self { child, requests, answers, flags: flags.map(str::to_owned).to_vec(), not_run }
    }

    fn run(&mut self, arguments: &[&str]) -> (bool, String, String) {
        let words: Vec<&str> = arguments.iter().copied().take_while(|word| !word.starts_with('-')).collect();
        for length in 1..=words.len() {
            self.not_run.remove(&words[..length].join(" "));
        }
        let all: Vec<&str> = self.flags.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        writeln!(self.requests, "{}", serde_json::to_string(&all).unwrap()).expect("the client runs");
        let answer = answer(&mut self.answers);
        let text = |index: usize| answer[index].as_str().unwrap().to_owned();
        (answer[0] == 0, text(1), text(2))
    }

    /// A command that prints nothing to look at.
    pub(crate) fn done(&mut self, arguments: &[&str]) {
        let (success, out, err) = self.run(arguments);
        assert!(success, "{arguments:?}: {out}{err}");
    }

    /// What a command prints, as JSON.
    pub(crate) fn json(&mut self, arguments: &[&str]) -> Value {
        let (success, out, err) = self.run(&[arguments, &["-f", "json"]].concat());
        assert!(success, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}{err}"))
    }

    /// What a command that must fail says.
    pub(crate) fn refused(&mut self, arguments: &[&str]) -> String {
        let (success, out, err) = self.run(arguments);
        assert!(!success, "{arguments:?} did not fail: {out}");
        out + &err
    }

    /// The commands that have not been run.
    pub(crate) fn not_run(&self) -> Vec<&str> {
        self.not_run.iter().map(String::as_str).collect()
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the client answers");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ended_already = self.child.kill().is_err();
        let _status = self.child.wait();
    }
}

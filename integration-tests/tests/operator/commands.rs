//! The commands that look and leave everything as it is.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use nephos_integration_tests::{Nephos, process};
use serde_json::{Value, json};

use super::support::{PATIENCE, nephos, nephos_with};

const COMMANDS: [&str; 17] = [
    "run",
    "polling-agent",
    "notification-agent",
    "collector",
    "api",
    "alarm-evaluator",
    "alarm-notifier",
    "check-config",
    "migrate",
    "version",
    "status",
    "meters",
    "poll",
    "pipeline",
    "backup",
    "restore",
    "completions",
];

#[test]
fn help_lists_every_command_and_each_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let help = nephos(folder.path(), &["--help"]).result();
    for command in COMMANDS {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {command} "))), "{command}: {help}");
        let own = nephos(folder.path(), &[command, "--help"]).result();
        assert!(own.contains(&format!("Usage: nephos {command}")), "{own}");
        let said = own.lines().next().unwrap();
        assert!(said.len() > 10 && help.contains(said), "{command}: {said}");
    }
    for flag in ["--config", "--data-dir", "--listen", "--log-level", "--port-file", "--set"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    assert!(help.contains("NEPHOS__SECTION__KEY"), "{help}");
}

#[test]
fn version_tells_program_store_format_and_interfaces() {
    let folder = tempfile::tempdir().unwrap();
    let version = nephos(folder.path(), &["version"]).result();
    assert!(version.starts_with(&format!("nephos {}\n", env!("CARGO_PKG_VERSION"))), "{version}");
    for words in ["store format 2", "Gnocchi API v1", "Aodh API v2"] {
        assert!(version.contains(words), "{version}");
    }
}

#[test]
fn meters_are_listed_for_people_and_programs() {
    let folder = tempfile::tempdir().unwrap();
    let table = nephos(folder.path(), &["meters"]).result();
    let words: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["METER", "TYPE", "UNIT", "ARCHIVE", "POLICY", "MEANING", "RESOURCE", "TYPES"]);
    let meters = nephos(folder.path(), &["meters", "--format", "json"]).json();
    let meters = meters.as_array().unwrap();
    assert_eq!(table.lines().count(), meters.len() + 1);
    let cpu = meters.iter().find(|meter| meter["name"] == "cpu").unwrap();
    assert_eq!((&cpu["type"], &cpu["unit"]), (&json!("cumulative"), &json!("ns")));
    assert_eq!((&cpu["resource_types"], &cpu["archive_policies"]), (&json!(["host"]), &json!(["nephos"])));
    for meter in meters {
        assert!(table.contains(meter["name"].as_str().unwrap()), "{meter}");
        assert!(meter["description"].as_str().is_some_and(|text| !text.is_empty()), "{meter}");
    }
}

#[test]
fn a_reader_that_stops_early_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["meters"][..], &["completions", "bash"], &["check-config", "--print"]] {
        let mut child = process::command(arguments)
            .current_dir(folder.path())
            .env("NEPHOS__DATA_DIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything can be written.
        drop(child.stdout.take());
        let said = child.wait_with_output().unwrap();
        assert_eq!((said.status.code(), String::from_utf8_lossy(&said.stderr).as_ref()), (Some(0), ""));
    }
}

#[test]
fn one_reading_prints_the_wanted_samples_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let poll = ["poll", "--once", "--meter", "host.load.*", "--format", "json"];
    let samples = nephos_with(folder.path(), &poll, &[("NEPHOS__POLLING__HOST", "testhost")]).json();
    let samples = samples.as_array().unwrap();
    let names: Vec<&str> = samples.iter().map(|sample| sample["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["host.load.1min", "host.load.5min", "host.load.15min"]);
    for sample in samples {
        assert_eq!(sample["resource_id"], "testhost");
        assert_eq!(sample["type"], "gauge");
        assert_eq!(sample["resource_metadata"]["resource_type"], "host");
        assert!(sample["volume"].as_f64().unwrap() >= 0.0, "{sample}");
    }
    let table = nephos(folder.path(), &poll[..4]).result();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(!folder.path().join("data").exists(), "nothing was stored");
}

#[test]
fn samples_that_were_read_try_a_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let poll = ["poll", "--once", "--meter", "cpu", "--format", "json"];
    let read = nephos_with(folder.path(), &poll, &[("NEPHOS__POLLING__HOST", "testhost")]).json();
    let first = read[0].clone();
    let cpus = first["resource_metadata"]["cpu_number"].as_i64().unwrap();
    // Ten seconds later every CPU was busy for five.
    let mut second = first.clone();
    second["volume"] = json!(first["volume"].as_i64().unwrap() + cpus * 5_000_000_000);
    second["monotonic_time"] = json!(first["monotonic_time"].as_f64().unwrap() + 10.0);
    let at: jiff::civil::DateTime = first["timestamp"].as_str().unwrap().parse().unwrap();
    second["timestamp"] = json!((at + jiff::SignedDuration::from_secs(10)).to_string());
    let file = folder.path().join("samples.json");
    std::fs::write(&file, json!([first, second]).to_string()).unwrap();

    let said = nephos(folder.path(), &["pipeline", "test", "samples.json", "--format", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let sinks: Value = serde_json::from_str(&said.out).unwrap();
    let published: Vec<&Value> =
        sinks.as_array().unwrap().iter().flat_map(|sink| sink["samples"].as_array().unwrap()).collect();
    let of = |name: &str| published.iter().filter(|sample| sample["name"] == name).count();
    assert_eq!((of("cpu"), of("cpu_util")), (2, 1), "{sinks}");
    let util = published.iter().find(|sample| sample["name"] == "cpu_util").unwrap();
    assert!((util["volume"].as_f64().unwrap() - 50.0).abs() < 1e-6, "{util}");
    assert_eq!((&util["unit"], &util["resource_id"]), (&json!("%"), &json!("testhost")));

    let table = nephos(folder.path(), &["pipeline", "test", "samples.json"]).out;
    assert!(table.lines().any(|line| line.contains("cpu_util") && line.ends_with('%')), "{table}");
}

#[test]
fn a_file_that_holds_no_samples_is_named_with_its_fault() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("{", "samples.json is no JSON list of samples"),
        ("[{\"name\": \"cpu\"}]", "sample 0 of samples.json: \"type\" is missing or no text"),
    ] {
        std::fs::write(folder.path().join("samples.json"), text).unwrap();
        let said = nephos(folder.path(), &["pipeline", "test", "samples.json"]);
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let mut from_input = process::command(&["pipeline", "test", "-"]);
    let said = from_input.env("NEPHOS__DATA_DIR", folder.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("nephos: standard input is no JSON list of samples"), "{said}");
    let said = nephos(folder.path(), &["pipeline", "test", "gone.json"]);
    assert!(said.err.contains("read gone.json: No such file or directory"), "{}", said.err);
}

#[tokio::test]
async fn status_asks_a_running_nephos() {
    let folder = tempfile::tempdir().unwrap();
    let mut nephos_process =
        Nephos::start("run", folder.path(), "nephos", &[("NEPHOS__POLLING__ENABLED", "false")]);
    let url = nephos_process.url("api").await;
    nephos_integration_tests::wait_for("status says ready", PATIENCE, || async {
        let said = nephos(folder.path(), &["status", "--url", &url]);
        if said.code == Some(0) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    let table = nephos(folder.path(), &["status", "--url", &url]).result();
    for check in ["index", "bus", "state"] {
        let row = table.lines().find(|line| line.starts_with(check)).unwrap();
        assert!(row.ends_with(" ok"), "{row}");
    }
    let status = nephos(folder.path(), &["status", "--url", &url, "--format", "json"]).json();
    assert_eq!(status["readiness"]["ready"], true);
    assert!(status["status"]["metricd"]["statistics"].is_object(), "{status}");

    assert_eq!(nephos_process.stop(Duration::from_secs(10)).await, Some(0));
    let said = nephos(folder.path(), &["status", "--url", &url]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(&format!("no answer from {url}")), "{}", said.err);
}

#[test]
fn completions_are_scripts_that_know_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    let script = nephos(folder.path(), &["completions", "bash"]).result();
    std::fs::write(folder.path().join("nephos.bash"), &script).unwrap();
    // What a shell offers after `nephos `.
    let asked = "source nephos.bash; COMP_WORDS=(nephos ''); COMP_CWORD=1; _nephos nephos '' nephos; \
                 printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut child = std::process::Command::new("bash")
        .args(["-c", asked])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let offered: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    child.wait().unwrap();
    for command in COMMANDS {
        assert!(offered.iter().any(|word| word == command), "{command}: {offered:?}");
    }
    for shell in ["zsh", "fish"] {
        assert!(nephos(folder.path(), &["completions", shell]).result().contains("polling-agent"));
    }
}

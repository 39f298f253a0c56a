//! What Nephos prints at start works exactly as printed.

use std::process::Command;
use std::time::Duration;

use nephos_integration_tests::{Http, wait_for};
use serde_json::Value;

use super::support::{self, PATIENCE, start};

/// The commands among what was printed: paragraphs that are indented, below "Try next".
fn commands(printed: &str) -> Vec<String> {
    let (_, hints) = printed.split_once("Try next, in another terminal:").expect("hints are printed");
    let (hints, _) = hints.split_once("Ctrl-C stops").expect("the end of the hints");
    hints.split("\n\n").filter(|paragraph| paragraph.starts_with("  ")).map(str::to_owned).collect()
}

fn run(command: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("start bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn the_printed_commands_work_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let clients = support::folder().display().to_string();
    let (nephos, url) = start(folder.path(), &[("NEPHOS_CLIENT_DIR", &clients)]).await;
    let printed = wait_for("the hints are printed", PATIENCE, || async {
        let log = nephos.log();
        if log.contains("Ctrl-C stops") { Ok(log) } else { Err(log) }
    })
    .await;
    for words in [&format!("listens on   {url}")[..], "keeps data in ", "polls        host every 10 s"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let commands = commands(&printed);
    let [curl, gnocchi, alarm] = commands.as_slice() else { panic!("{commands:?}") };

    let points = wait_for("the first command shows a measure", Duration::from_secs(60), || async {
        let answer = run(curl);
        let points: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        if points.as_array().is_some_and(|points| !points.is_empty()) { Ok(points) } else { Err(answer) }
    })
    .await;
    let percent = points[0][2].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&percent), "{points}");

    assert!(gnocchi.contains(&format!("{clients}/gnocchi ")), "{gnocchi}");
    let table = run(gnocchi);
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| 20")).collect();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.contains("|        10.0 |")), "{table}");

    let created: Value = serde_json::from_str(&run(alarm)).unwrap();
    let id = created["alarm_id"].as_str().unwrap();
    let api = Http::new(&url);
    let state = wait_for("the alarm is judged", PATIENCE, || async {
        let alarm = api.try_send("GET", &format!("/v2/alarms/{id}"), None).await?.json();
        let state = alarm["state"].as_str().unwrap().to_owned();
        if state == "insufficient data" { Err(alarm.to_string()) } else { Ok(state) }
    })
    .await;
    assert!(["ok", "alarm"].contains(&state.as_str()), "{state}");
}

//! Every command of the README's first ten minutes does what it says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, wait_for};

const MINUTE: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The shell blocks below a heading, up to the next one.
fn blocks(readme: &str, heading: &str) -> Vec<String> {
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_first_ten_minutes_work_as_written() {
    let clients = root().join(".tools/client/bin/gnocchi");
    assert!(clients.exists(), "the clients are missing: run `make client`");
    let folder = tempfile::tempdir().unwrap();
    // With the host's own name, which the commands ask for.
    let nephos = Nephos::start("run", folder.path(), "nephos", &[]);
    let url = nephos.url("api").await;
    let api = Http::new(&url);
    let host = String::from_utf8(Command::new("hostname").output().unwrap().stdout).unwrap();
    let path = format!("/v1/resource/generic/{}/metric/cpu_util/measures?granularity=10", host.trim());
    wait_for("the first rates are there", MINUTE, || async {
        let answer = api.try_send("GET", &path, None).await?;
        if answer.status == 200 && answer.text.len() > 2 { Ok(()) } else { Err(answer.text) }
    })
    .await;

    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&readme, "The first ten minutes");
    assert!(blocks.len() >= 4, "only {} blocks", blocks.len());
    for block in blocks {
        let script =
            block.replace("http://127.0.0.1:8041", &url).replace("curl -s", "curl -sS --fail-with-body");
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(root())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{block}\n{out}\n{err}");
        assert!(!out.trim().is_empty(), "{block} printed nothing");
    }
}

#[test]
fn the_two_commands_are_targets_of_make() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let first = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let targets: Vec<&str> =
        first.lines().filter_map(|line| line.strip_prefix("make ")?.split(' ').next()).collect();
    assert_eq!(targets, ["run", "test"]);
    for target in
        targets.into_iter().chain(["help", "build", "lint", "bench", "docs", "clean", "client", "chart-test"])
    {
        let status = Command::new("make").args(["-n", target]).current_dir(root()).output().unwrap().status;
        assert!(status.success(), "make {target}");
    }
}

//! SIGHUP: what changed takes effect, what is broken changes nothing.

use std::path::Path;

use nephos_integration_tests::{Http, Nephos, wait_for};

use super::support::PATIENCE;

fn write(folder: &Path, level: &str, polling: &str) {
    let config = folder.join("polling.yaml");
    let settings = format!(
        "[polling]\nhost = \"testhost\"\nconfig = \"{}\"\n[log]\nlevel = \"{level}\"\n",
        config.display()
    );
    std::fs::write(folder.join("nephos.toml"), settings).unwrap();
    std::fs::write(config, polling).unwrap();
}

/// How many samples of a meter of this host are stored.
async fn count(api: &Http, meter: &str) -> Result<f64, String> {
    let path =
        format!("/v1/resource/host/testhost/metric/{meter}/measures?aggregation=count&granularity=3600");
    let answer = api.try_send("GET", &path, None).await?;
    if answer.status != 200 {
        return Err(answer.text);
    }
    Ok(answer.json().as_array().unwrap().iter().map(|point| point[2].as_f64().unwrap()).sum())
}

async fn at_least(api: &Http, meter: &str, wanted: f64) {
    wait_for(&format!("{wanted} samples of {meter}"), PATIENCE, || async {
        let count = count(api, meter).await?;
        if count >= wanted { Ok(()) } else { Err(format!("{count} samples")) }
    })
    .await;
}

async fn logged(nephos: &Nephos, words: &str) {
    wait_for(&format!("{words:?} is logged"), PATIENCE, || async {
        if nephos.log().contains(words) { Ok(()) } else { Err(nephos.log()) }
    })
    .await;
}

#[tokio::test]
async fn a_changed_configuration_takes_effect_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nephos.toml").display().to_string();
    write(folder.path(), "info", "sources:\n  - name: rare\n    interval: 3600\n    meters: [host.uptime]\n");
    let mut nephos = Nephos::start_with("run", &["--config", &config], folder.path(), "nephos", &[]);
    let api = Http::new(&nephos.url("api").await);
    at_least(&api, "host.uptime", 1.0).await;
    assert!(count(&api, "host.load.1min").await.is_err());
    assert!(!nephos.log().contains("DEBUG"));

    // Another interval, another meter, another level.
    let often = "sources:\n  - name: often\n    interval: 1\n    meters: [host.uptime, host.load.1min]\n";
    write(folder.path(), "debug", often);
    nephos.signal("HUP");
    at_least(&api, "host.load.1min", 3.0).await;
    at_least(&api, "host.uptime", 3.0).await;
    logged(&nephos, "configuration reloaded").await;
    logged(&nephos, "DEBUG").await;

    // A fault is told as at start, and polling goes on as before.
    write(
        folder.path(),
        "info",
        "sources:\n  - name: often\n    interval: never\n    meters: [host.uptime]\n",
    );
    nephos.signal("HUP");
    logged(&nephos, "nothing was reloaded").await;
    logged(&nephos, "polling.yaml:3:15: ").await;
    logged(&nephos, "    3 |     interval: never\n      |               ^^^^^").await;
    let before = count(&api, "host.load.1min").await.unwrap();
    at_least(&api, "host.load.1min", before + 2.0).await;
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
}

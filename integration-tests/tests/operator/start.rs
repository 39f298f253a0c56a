//! Starting, and the reasons not to.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use nephos_integration_tests::Nephos;

use super::support::{PATIENCE, curl, nephos, nephos_with};

const QUIET: (&str, &str) = ("NEPHOS__POLLING__ENABLED", "false");

#[tokio::test]
async fn a_second_start_on_the_data_is_refused_with_the_holders_pid() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("nephos-data");
    let mut first = Nephos::start("run", folder.path(), "nephos", &[QUIET]);
    first.url("api").await;
    let second = ["run", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let said = nephos_with(folder.path(), &second, &[QUIET]);
    assert_eq!(said.code, Some(1));
    let expected = format!(
        "nephos: data directory {} is in use by process {}; stop it, or set data_dir to another folder\n",
        data.display(),
        first.pid()
    );
    assert_eq!(said.err, expected);
    assert!(first.is_running());
    // A holder that was killed holds nothing.
    first.kill();
    first.start_again();
    first.url("api").await;
    assert!(first.is_running());
}

#[test]
fn a_taken_port_is_told_with_its_holder_and_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (variable, setting) in [
        ("NEPHOS__API__LISTEN", "[api] listen (or --listen)"),
        ("NEPHOS__API__AODH__LISTEN", "[api.aodh] listen"),
    ] {
        let settings = [QUIET, ("NEPHOS__API__LISTEN", "127.0.0.1:0"), (variable, &address)];
        let said = nephos_with(folder.path(), &["run", "--port-file", "ports.json"], &settings);
        assert_eq!(said.code, Some(1));
        let fault = said.err.lines().find(|line| line.starts_with("nephos: ")).unwrap();
        let holder = format!("{address} is taken by process {} (", std::process::id());
        assert!(fault.contains(&holder), "{fault}");
        assert!(fault.ends_with(&format!("stop it, or set {setting} to another address")), "{fault}");
        assert!(!folder.path().join("ports.json").exists(), "the port file appears whole or not at all");
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_told_with_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let said = nephos_with(folder.path(), &["run"], &[QUIET, ("NEPHOS__API__LISTEN", "127.0.0.1:0")]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("set data_dir to a folder that can be written"), "{}", said.err);
}

#[tokio::test]
async fn the_port_file_appears_whole_with_every_listener() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nephos-0.ports.json");
    let watcher = std::thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            // Whatever is there at the first glance must be all of it.
            if let Ok(text) = std::fs::read_to_string(&file) {
                return text;
            }
        }
        String::new()
    });
    let settings = [QUIET, ("NEPHOS__API__AODH__LISTEN", "127.0.0.1:0")];
    let nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    nephos.url("api").await;
    let text = watcher.join().unwrap();
    let ports: BTreeMap<String, String> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(ports.keys().collect::<Vec<_>>(), ["aodh", "api"]);
    assert_eq!(curl(&[&format!("{}/healthz", ports["api"])]).0, "200");
    let (status, alarms) = curl(&[&format!("{}/v2/alarms", ports["aodh"])]);
    assert_eq!((status.as_str(), alarms.as_str()), ("200", "[]"));
    let drafts = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("ports.json"))
        .count();
    assert_eq!(drafts, 1);
}

#[test]
fn a_store_of_another_format_is_refused_and_listens_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("data/store");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join("FORMAT"), "nephos-store 99\n").unwrap();
    let start = ["run", "--listen", "127.0.0.1:0", "--port-file", "ports.json"];
    let said = nephos(folder.path(), &start);
    assert_eq!(said.code, Some(1));
    let last = said.err.lines().last().unwrap();
    assert!(last.starts_with("nephos: open the metric store: ") && last.contains("99"), "{last}");
    assert!(!folder.path().join("ports.json").exists());
}

#[test]
fn a_port_file_that_cannot_be_written_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let start = ["run", "--listen", "127.0.0.1:0", "--port-file", "missing/ports.json"];
    let said = nephos(folder.path(), &start);
    assert_eq!(said.code, Some(1));
    let last = said.err.lines().last().unwrap();
    assert_eq!(last, "nephos: write missing/ports.json: No such file or directory (os error 2)");
    assert!(said.err.contains("nephos has stopped"), "{}", said.err);
    assert!(!said.err.contains("cancelled"), "{}", said.err);
}

#[tokio::test]
async fn sigterm_ends_in_order_and_soon() {
    let folder = tempfile::tempdir().unwrap();
    let mut nephos = Nephos::start("run", folder.path(), "nephos", &[("NEPHOS__POLLING__HOST", "testhost")]);
    nephos.url("api").await;
    assert_eq!(nephos.stop(Duration::from_secs(10)).await, Some(0), "{}", nephos.log());
    assert!(nephos.log().contains("SIGTERM: stopping"), "{}", nephos.log());
    assert!(nephos.log().trim_end().ends_with("nephos has stopped"), "{}", nephos.log());
}

#[test]
fn nobody_is_served_beyond_loopback_without_a_password_unless_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["basic", "noauth"] {
        let settings = [QUIET, ("NEPHOS__API__LISTEN", "0.0.0.0:0"), ("NEPHOS__API__AUTH_MODE", mode)];
        let said = nephos_with(folder.path(), &["run"], &settings);
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains(&format!("auth_mode \"{mode}\" checks no password")), "{}", said.err);
        assert!(said.err.contains("set api.allow_passwordless = true"), "{}", said.err);
    }
    let wanted = ["check-config", "--listen", "0.0.0.0:0", "--set", "api.allow_passwordless=true"];
    nephos(folder.path(), &wanted).result();
}

/// A key and a certificate for loopback.
fn certificate(folder: &std::path::Path) {
    let output = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_api_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let settings =
        [QUIET, ("NEPHOS__API__TLS__CERT", cert.as_str()), ("NEPHOS__API__TLS__KEY", key.as_str())];
    let nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    let url = nephos.url("api").await;
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let (status, body) = curl(&["--cacert", &cert, &format!("{url}/v1/archive_policy/low")]);
    assert_eq!(status, "200", "{body}");
    assert!(body.contains("\"low\""), "{body}");
    // Who does not trust the certificate, or speaks no TLS, gets no answer.
    assert_eq!(curl(&[&format!("{url}/v1/archive_policy/low")]).0, "000");
    let plain = url.replace("https:", "http:");
    assert_eq!(curl(&[&format!("{plain}/v1/archive_policy/low")]).0, "000");

    let wrong = [QUIET, ("NEPHOS__API__TLS__CERT", key.as_str()), ("NEPHOS__API__TLS__KEY", cert.as_str())];
    let said = nephos_with(folder.path(), &["run", "--listen", "127.0.0.1:0"], &wrong);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("key.pem holds no certificate"), "{}", said.err);
}

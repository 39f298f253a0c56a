//! Databases: brought up to date by hand or at start, and waited for.

use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, Servers, process, servers, wait_for};

use super::support::{PATIENCE, Said, curl, nephos, nephos_with};

#[test]
fn a_second_migration_finds_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let first = nephos(folder.path(), &["migrate"]).result();
    assert!(first.contains("index: applied index/0001"), "{first}");
    assert!(first.contains("state: applied "), "{first}");
    assert_eq!(nephos(folder.path(), &["migrate"]).result(), "index: up to date\nstate: up to date\n");
}

#[tokio::test]
async fn ten_migrations_at_once_apply_each_step_once() {
    let servers = Servers::create().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NEPHOS__INDEX", servers.postgres.as_str()), ("NEPHOS__STATE", &servers.postgres)];
    let started: Vec<_> = (0..10)
        .map(|_| {
            let mut command = process::command(&["migrate"]);
            command.env("NEPHOS__DATA_DIR", folder.path()).envs(settings);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut applied = Vec::new();
    for child in started {
        let text = Said::from(child.wait_with_output().unwrap()).result();
        applied.extend(text.lines().filter_map(|line| Some(line.split_once(": applied ")?.1.to_owned())));
    }
    let steps = applied.len();
    applied.sort();
    applied.dedup();
    assert_eq!(applied.len(), steps, "{applied:?}");
    assert!(applied.iter().any(|step| step.starts_with("index/")), "{applied:?}");
    assert!(applied.iter().any(|step| step.starts_with("coordination/")), "{applied:?}");
    let again = nephos_with(folder.path(), &["migrate"], &settings).result();
    assert_eq!(again, "index: up to date\nstate: up to date\n");
    servers.remove().await;
}

/// Lets what arrives at `port` of loopback reach `server` (`host:port`).
async fn forward(port: u16, server: String) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                // Either side may leave at any time.
                let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
}

#[tokio::test]
async fn an_unreachable_database_is_waited_for_and_named() {
    let servers = Servers::create().await;
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (before, database) = servers.postgres.rsplit_once('/').unwrap();
    let (credentials, server) = before.rsplit_once('@').unwrap();
    let index = format!("{credentials}@127.0.0.1:{port}/{database}");
    let settings = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__INDEX", index.as_str())];
    let mut nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    let url = nephos.url("api").await;
    assert_eq!(curl(&[&format!("{url}/healthz")]).0, "200");
    let (status, checks) = curl(&[&format!("{url}/readyz")]);
    assert_eq!(status, "503");
    let checks: serde_json::Value = serde_json::from_str(&checks).unwrap();
    assert_eq!(checks["ready"], false);
    let why = checks["checks"]["index"].as_str().unwrap();
    assert!(why.contains("Connection refused"), "{why}");
    assert!(!why.contains("nephos:nephos"), "{why}");
    assert_eq!(curl(&[&format!("{url}/v1/metric")]).0, "503");

    // Several attempts, one line.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(nephos.is_running());
    assert_eq!(nephos.log().matches("waiting for the database").count(), 1, "{}", nephos.log());

    forward(port, server.to_owned()).await;
    let api = Http::new(&url);
    wait_for("it is ready once the database is there", PATIENCE, || async {
        let answer = api.try_send("GET", "/readyz", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    assert!(nephos.log().contains("the database answers"), "{}", nephos.log());
    api.get("/v1/archive_policy/nephos").await.expect(200);
    let policies = servers::sql(&servers.postgres, "SELECT count(*) FROM archive_policy");
    assert_ne!(policies, "0", "it works on that database");
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
    servers.remove().await;
}

#[tokio::test]
async fn sigterm_ends_the_wait_for_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NEPHOS__INDEX", "postgres://nobody@127.0.0.1:1/nothing")];
    let mut nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    nephos.url("api").await;
    assert_eq!(nephos.stop(Duration::from_secs(10)).await, Some(0), "{}", nephos.log());
}

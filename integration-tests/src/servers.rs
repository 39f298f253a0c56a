//! PostgreSQL, RabbitMQ and S3 for a test: a database, a vhost and a bucket of its own on the servers that `scripts/servers` starts.

use std::path::Path;
use std::process::Command;

use reqwest::{Client, StatusCode};

/// A database and a vhost that exist for one test.
#[derive(Debug)]
pub struct Servers {
    /// URL of the database.
    pub postgres: String,
    /// URL of the vhost.
    pub amqp: String,
    /// Base of the broker's HTTP API, with credentials.
    rabbitmq_http: String,
    /// Name of both.
    pub name: String,
}

#[allow(clippy::disallowed_methods)]
fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Runs `scripts/servers`.
pub fn script(arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let status =
        Command::new(root.join("scripts/servers")).args(arguments).status().expect("scripts/servers");
    assert!(status.success(), "scripts/servers {arguments:?} failed");
}

impl Servers {
    /// Makes them; panics when a server is not there.
    pub async fn create() -> Self {
        crate::http::install_tls();
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let postgres = variable("NEPHOS_TEST_POSTGRES_URL", "postgres://nephos:nephos@127.0.0.1:45432");
        let amqp = variable("NEPHOS_TEST_AMQP_URL", "amqp://nephos:nephos@127.0.0.1:45672");
        let rabbitmq_http = variable("NEPHOS_TEST_RABBITMQ_HTTP_URL", "http://nephos:nephos@127.0.0.1:45673");
        sql(&postgres, &format!("CREATE DATABASE {name}"));
        let servers = Self {
            postgres: format!("{postgres}/{name}"),
            amqp: format!("{amqp}/{name}"),
            rabbitmq_http,
            name,
        };
        let status = servers.rabbitmq(reqwest::Method::PUT, &format!("vhosts/{}", servers.name)).await;
        assert!(status.is_success(), "vhost: {status}");
        servers
    }

    /// Makes a bucket of the same name on the S3 server; the server's URL.
    pub async fn bucket(&self) -> String {
        let server = variable("NEPHOS_TEST_S3_URL", "http://127.0.0.1:45675");
        let answer = Client::new().put(format!("{server}/{}", self.name)).send().await;
        let answer = answer.expect("the S3 server answers; start it with scripts/servers start");
        assert!(answer.status().is_success(), "bucket: {answer:?}");
        server
    }

    async fn rabbitmq(&self, method: reqwest::Method, path: &str) -> StatusCode {
        let response = Client::new()
            .request(method, format!("{}/api/{path}", self.rabbitmq_http))
            .header("content-type", "application/json")
            .send()
            .await
            .expect("RabbitMQ's HTTP API answers; start it with scripts/servers start");
        response.status()
    }

    /// Messages that wait in a queue, as the broker last counted them.
    pub async fn waiting(&self, queue: &str) -> Option<u64> {
        let url = format!("{}/api/queues/{}/{queue}", self.rabbitmq_http, self.name);
        let response = Client::new().get(url).send().await.ok()?;
        let text = response.text().await.ok()?;
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        json["messages"].as_u64()
    }

    /// Removes both. Not done on panic, so that a failed test can be looked at.
    pub async fn remove(self) {
        self.rabbitmq(reqwest::Method::DELETE, &format!("vhosts/{}", self.name)).await;
        let (base, _) = self.postgres.rsplit_once('/').expect("a database URL");
        sql(base, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// Runs a statement with `psql`.
pub fn sql(url: &str, statement: &str) -> String {
    let url = if url.matches('/').count() == 2 { format!("{url}/postgres") } else { url.to_owned() };
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, &url])
        .output()
        .expect("psql is installed with PostgreSQL");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

//! Nephos scaled out: six processes on one database and one vhost.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::counting::{self, Load};
use crate::http::Http;
use crate::process::Nephos;
use crate::servers::Servers;
use crate::wait::wait_for;

/// The services, in the order samples pass them.
pub const SERVICES: [&str; 6] =
    ["polling-agent", "notification-agent", "collector", "api", "alarm-evaluator", "alarm-notifier"];

/// Host meters every two seconds, so that no second has two readings.
const POLLING: &str = "\
sources:
  - name: host
    interval: 2
    meters: [cpu, host.uptime]
";

/// Six processes and what they stand on.
#[derive(Debug)]
pub struct Cluster {
    /// The servers.
    pub servers: Servers,
    /// The processes, as in [`SERVICES`].
    pub services: Vec<Nephos>,
    /// A second collector, where the store can be shared.
    pub second_collector: Option<Nephos>,
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// The API's port, the same over restarts.
    api: String,
}

/// A port that nothing listens on just now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("write a file");
    path
}

impl Cluster {
    /// Starts all six at once, on empty servers.
    pub async fn start() -> Self {
        Self::start_with(Servers::create().await, &[]).await
    }

    /// Starts all six and a second collector, which share a bucket.
    pub async fn start_on_a_bucket() -> Self {
        let servers = Servers::create().await;
        let endpoint = servers.bucket().await;
        let url = format!("s3://{}/metrics", servers.name);
        let settings = [
            ("NEPHOS__STORE__URL", url.as_str()),
            ("NEPHOS__STORE__ENDPOINT", &endpoint),
            ("NEPHOS__STORE__ALLOW_HTTP", "true"),
            ("NEPHOS__STORE__ACCESS_KEY_ID", "tests"),
            ("NEPHOS__STORE__SECRET_ACCESS_KEY", "a secret"),
            ("NEPHOS__STORE__SHARDS", "4"),
        ];
        let mut cluster = Self::start_with(servers, &settings).await;
        cluster.second_collector = Some(cluster.process("collector", "second-collector"));
        cluster
    }

    async fn start_with(servers: Servers, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let resources = format!(
            "{}  - resource_type: host\n    metrics:\n      cpu: {{archive_policy_name: counting}}\n      \
             cpu_util: {{archive_policy_name: counting}}\n      host.uptime: {{archive_policy_name: counting}}\n",
            counting::RESOURCES
        );
        let path = |name: &str, text: &str| file(folder.path(), name, text).display().to_string();
        let api = format!("127.0.0.1:{}", free_port());
        let environment: Vec<(String, String)> = [
            ("NEPHOS__INDEX", servers.postgres.clone()),
            ("NEPHOS__BUS", servers.amqp.clone()),
            ("NEPHOS__STORE__TOKEN", "a token of the tests".to_owned()),
            ("NEPHOS__API__LISTEN", api.clone()),
            ("NEPHOS__POLLING__CONFIG", path("polling.yaml", POLLING)),
            ("NEPHOS__COLLECTOR__RESOURCES", path("resources.yaml", &resources)),
            ("NEPHOS__POLLING__HOST", "testhost".to_owned()),
            ("NEPHOS__EVALUATOR__INTERVAL", "2".to_owned()),
        ]
        .into_iter()
        .chain(settings.iter().map(|(key, value)| (*key, (*value).to_owned())))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        let mut cluster = Self {
            servers,
            services: Vec::new(),
            second_collector: None,
            folder,
            environment,
            api: format!("http://{api}"),
        };
        for service in SERVICES {
            let process = cluster.process(service, service);
            cluster.services.push(process);
        }
        cluster.ready().await;
        cluster
    }

    /// Starts a further process of `service` under `name`.
    pub fn process(&self, service: &str, name: &str) -> Nephos {
        let settings: Vec<(&str, &str)> =
            self.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Nephos::start(service, self.folder.path(), name, &settings)
    }

    /// The process of that service.
    pub fn service(&mut self, name: &str) -> &mut Nephos {
        let at = SERVICES.iter().position(|service| *service == name).expect("a service");
        &mut self.services[at]
    }

    /// A client of its API.
    pub fn api(&self) -> Http {
        Http::new(&self.api)
    }

    /// Starts load over both ways in, over HTTP on as many metrics, and waits until some of it is acknowledged.
    pub async fn load(&self, metrics: usize, patience: Duration) -> Load {
        let api = self.api();
        let metrics = counting::metrics(&api, metrics).await;
        let mut load = Load::default();
        load.over_rest(&api, &metrics);
        load.over_amqp(&self.servers.amqp, "load-a", 5);
        load.over_amqp(&self.servers.amqp, "load-b", 5);
        load.acknowledge_more(200, patience).await;
        load
    }

    /// Waits until the API says that it is ready.
    pub async fn ready(&self) {
        let api = self.api();
        wait_for("the API is ready", Duration::from_secs(120), || async {
            let answer = api.try_send("GET", "/readyz", None).await?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text) }
        })
        .await;
    }

    /// Ends all in order; each must end by itself with success.
    pub async fn stop(mut self) {
        for service in self.services.iter_mut().chain(&mut self.second_collector) {
            assert_eq!(service.stop(Duration::from_secs(60)).await, Some(0));
        }
        self.servers.remove().await;
    }
}

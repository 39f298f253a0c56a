//! What `nephos.toml`, the environment and the command line set, typed and with every default filled in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nephos_model::Network;
use nephos_timeseries::AggregationMethod;
use secrecy::SecretString;

pub use crate::location::SecretUrl;
pub use statsd::StatsdSettings;

mod api;
mod backends;
mod read;
mod s3;
mod services;
mod statsd;

pub(crate) use read::read;

/// Which shape the process has: defaults depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything in one process, no server needed.
    Embedded,
    /// One service of several processes. `None` checks the settings of all of them.
    Distributed(Option<Service>),
}

/// The services that can run as processes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Reads meters.
    PollingAgent,
    /// Runs pipelines.
    NotificationAgent,
    /// Stores samples.
    Collector,
    /// Serves clients.
    Api,
    /// Judges alarms.
    AlarmEvaluator,
    /// Carries out alarm actions.
    AlarmNotifier,
}

impl Service {
    /// Every service, in the order samples and alarms pass them.
    pub const ALL: [Self; 6] = [
        Self::PollingAgent,
        Self::NotificationAgent,
        Self::Collector,
        Self::Api,
        Self::AlarmEvaluator,
        Self::AlarmNotifier,
    ];

    /// Its name as a command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PollingAgent => "polling-agent",
            Self::NotificationAgent => "notification-agent",
            Self::Collector => "collector",
            Self::Api => "api",
            Self::AlarmEvaluator => "alarm-evaluator",
            Self::AlarmNotifier => "alarm-notifier",
        }
    }

    /// The port of its health and metrics when `[observe] listen` is not set; the api has them on its own port.
    pub const fn observe_port(self) -> Option<u16> {
        match self {
            Self::PollingAgent => Some(8061),
            Self::NotificationAgent => Some(8062),
            Self::Collector => Some(8063),
            Self::Api => None,
            Self::AlarmEvaluator => Some(8064),
            Self::AlarmNotifier => Some(8065),
        }
    }

    /// Whether it reads or writes the index.
    pub const fn uses_index(self) -> bool {
        matches!(self, Self::Collector | Self::Api | Self::AlarmEvaluator | Self::AlarmNotifier)
    }

    /// Whether it owns shards of the metric store or calls their owner.
    pub const fn uses_store(self) -> bool {
        matches!(self, Self::Collector | Self::Api | Self::AlarmEvaluator)
    }

    /// Whether it opens shards of the metric store itself.
    pub const fn owns_shards(self) -> bool {
        matches!(self, Self::Collector)
    }

    /// Whether it speaks on the bus.
    pub const fn uses_bus(self) -> bool {
        matches!(self, Self::PollingAgent | Self::NotificationAgent | Self::Collector)
    }

    /// Whether it keeps state between runs.
    pub const fn uses_state(self) -> bool {
        matches!(self, Self::NotificationAgent)
    }
}

/// Everything `nephos.toml` can say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shape these were loaded for.
    pub mode: Mode,
    /// Where the process keeps its files; absolute.
    pub data_dir: PathBuf,
    /// `sqlite:<absolute path>` or `postgres://…`. [`SecretUrl::none`] if no service of this process uses it.
    pub index: SecretUrl,
    /// Certificates for the index.
    pub index_tls: ClientTls,
    /// `in-process` or `amqp://…`, `amqps://…`. [`SecretUrl::none`] if no service of this process uses it.
    pub bus: SecretUrl,
    /// Certificates for the bus.
    pub bus_tls: ClientTls,
    /// `memory:`, `sqlite:<absolute path>` or `postgres://…`. [`SecretUrl::none`] if no service of this process uses it.
    pub state: SecretUrl,
    /// Certificates for the state.
    pub state_tls: ClientTls,
    /// The metric store.
    pub store: StoreSettings,
    /// The service for clients.
    pub api: ApiSettings,
    /// How much a project may ask for and have.
    pub limits: LimitSettings,
    /// StatsD, if its datagrams are taken.
    pub statsd: Option<StatsdSettings>,
    /// Cross-origin requests.
    pub cors: CorsSettings,
    /// Health and metrics of the other processes.
    pub observe: ObserveSettings,
    /// The polling agent.
    pub polling: PollingSettings,
    /// The pipelines.
    pub pipeline: PipelineSettings,
    /// Archive policies made at first start.
    pub archive_policy: ArchivePolicySettings,
    /// The collector.
    pub collector: CollectorSettings,
    /// The notification agent.
    pub notification: NotificationSettings,
    /// What is sent to the bus.
    pub publisher: PublisherSettings,
    /// The alarm evaluator.
    pub evaluator: EvaluatorSettings,
    /// The alarm notifier.
    pub notifier: NotifierSettings,
    /// What is forgotten, and when.
    pub retention: RetentionSettings,
    /// Where the host is read.
    pub hypervisor: HypervisorSettings,
    /// Logging.
    pub log: LogSettings,
}

impl Settings {
    /// Where a process of its own serves health and metrics; `None` for the api, which has them on its own port.
    pub fn observe_listen(&self, service: Service) -> Option<SocketAddr> {
        let port = service.observe_port()?;
        Some(self.observe.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
    }
}

/// What a listener needs to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities whose client certificates are required, PEM; none are asked for if absent.
    pub client_ca: Option<PathBuf>,
}

/// What a client of a server needs beyond the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities to trust instead of the system's, PEM.
    pub ca_bundle: Option<PathBuf>,
    /// The client's certificate and its key, PEM.
    pub identity: Option<ClientIdentity>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// `[store]`.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `file:<absolute path>` or `s3://<bucket>/<prefix>`.
    pub url: SecretUrl,
    /// The server behind an `s3:` URL, and who we are there; absent for other URLs.
    pub s3: Option<S3Settings>,
    /// Where the owner of shards serves the other processes.
    pub listen: SocketAddr,
    /// The URL others reach `listen` by, without a trailing slash; the listening address if absent.
    pub advertise: Option<String>,
    /// What callers of the owner authenticate with.
    pub token: Option<SecretString>,
    /// Below this many free bytes writes are refused.
    pub min_free: u64,
    /// Whether a `file:` store is on storage that all collectors share.
    pub shared: bool,
    /// Number of shards of a store that is created.
    pub shards: u16,
    /// TLS of `listen`.
    pub tls: Option<ServerTls>,
    /// Certificates for calling an owner.
    pub client_tls: ClientTls,
}

impl StoreSettings {
    /// Whether several collectors can share it.
    pub fn is_shared(&self) -> bool {
        self.shared || self.url.scheme() == "s3"
    }
}

/// An S3-compatible server.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Name of the bucket.
    pub bucket: String,
    /// Begins the names of all objects; may be empty.
    pub prefix: String,
    /// URL of the server, without a trailing slash; that of Amazon if absent.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Whether an `http:` endpoint is fine.
    pub allow_http: bool,
    /// Name of the key that requests are signed with.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// Authorities to trust besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Bytes of the store's files kept in memory.
    pub cache: u64,
}

/// `[api]`.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Where clients are served.
    pub listen: SocketAddr,
    /// How clients say who they are.
    pub auth_mode: AuthMode,
    /// Networks of proxies whose identity headers are believed, besides loopback.
    pub trusted_proxies: Vec<Network>,
    /// The header in which a proxy says the user's name, for [`AuthMode::RemoteUser`].
    pub remote_user_header: String,
    /// How long a password that was verified need not be verified again.
    pub password_cache: Duration,
    /// Rules of access in the place of the shipped ones.
    pub policy_file: Option<PathBuf>,
    /// Most entries of one page.
    pub max_limit: u32,
    /// Whether `basic` and `noauth`, which check no password, may be served beyond loopback.
    pub allow_passwordless: bool,
    /// How long one request may take.
    pub operation_timeout: Duration,
    /// Whether `X-Forwarded-*` and `Forwarded` of a proxy are believed.
    pub enable_proxy_headers_parsing: bool,
    /// Largest request body in bytes.
    pub max_body: u64,
    /// A further port that serves the alarm paths at its own root.
    pub aodh_listen: Option<SocketAddr>,
    /// TLS of the listeners.
    pub tls: Option<ServerTls>,
}

/// How clients say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// A user name in HTTP basic authentication, no password checked.
    Basic,
    /// Headers that a proxy has set.
    NoAuth,
    /// Passwords and tokens of accounts in the index.
    Local,
    /// A user's name that a proxy has set.
    RemoteUser,
}

impl AuthMode {
    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::NoAuth => "noauth",
            Self::Local => "local",
            Self::RemoteUser => "remoteuser",
        }
    }
}

/// `[limits]`: for each project; absent means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests a second.
    pub requests: Option<RateSettings>,
    /// Points of measures a second.
    pub points: Option<RateSettings>,
    /// Most live metrics.
    pub metrics: Option<u64>,
    /// Most resources.
    pub resources: Option<u64>,
    /// Roles that no limit holds for.
    pub exempt_roles: Vec<String>,
}

/// How fast, and how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// So many a second.
    pub per_second: u32,
    /// So many at once.
    pub burst: u32,
}

/// `[cors]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsSettings {
    /// Origins browsers may call from (`https://host`), or `*`.
    pub allowed_origin: Vec<String>,
}

/// `[observe]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObserveSettings {
    /// Where health and metrics are served; see [`Settings::observe_listen`].
    pub listen: Option<SocketAddr>,
    /// TLS of the listener.
    pub tls: Option<ServerTls>,
}

/// `[polling]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollingSettings {
    /// Whether this process polls at all.
    pub enabled: bool,
    /// Which pollsters.
    pub namespaces: Vec<Namespace>,
    /// `polling.yaml`; the shipped one if absent.
    pub config: Option<PathBuf>,
    /// Name of this host in resource ids.
    pub host: String,
    /// Most samples of one message, 1 to 100.
    pub batch_size: u16,
}

/// A family of pollsters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// This machine and its guests.
    Compute,
}

/// `[pipeline]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineSettings {
    /// `pipeline.yaml`; the shipped one if absent.
    pub config: Option<PathBuf>,
}

/// `[archive_policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePolicySettings {
    /// Whether an empty index gets the shipped policies and their rule.
    pub create_defaults: bool,
    /// Methods of a policy that names none.
    pub default_aggregation_methods: Vec<AggregationMethod>,
}

/// `[collector]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorSettings {
    /// `gnocchi_resources.yaml`; the shipped one if absent.
    pub resources: Option<PathBuf>,
    /// Who owns what the collector creates.
    pub creator: String,
    /// Most samples taken from one partition at once.
    pub batch_size: u16,
    /// Number of partitions of the sample exchange.
    pub queues: u16,
}

/// `[notification]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationSettings {
    /// Messages taken before the first is acknowledged.
    pub prefetch: u16,
    /// Batches processed at once.
    pub workers: u16,
}

/// `[publisher]`.
#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// What samples on the bus are signed with.
    pub telemetry_secret: SecretString,
}

/// `[evaluator]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatorSettings {
    /// How often each alarm is judged.
    pub interval: Duration,
    /// Whether changes are written to the history.
    pub record_history: bool,
    /// How much later than now measures may arrive.
    pub additional_ingestion_lag: Duration,
    /// Most actions of one alarm and state; unlimited if absent.
    pub alarm_max_actions: Option<u32>,
    /// Most alarms of a user; unlimited if absent.
    pub user_alarm_quota: Option<u64>,
    /// Most alarms of a project; unlimited if absent.
    pub project_alarm_quota: Option<u64>,
}

/// `[notifier]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifierSettings {
    /// How long one call of an action may take.
    pub timeout: Duration,
    /// Certificates for calling receivers.
    pub tls: ClientTls,
    /// Whether receivers' certificates are checked.
    pub ssl_verify: bool,
    /// Most redirects followed.
    pub max_redirects: u32,
    /// Actions carried out at once.
    pub workers: u16,
}

/// `[retention]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionSettings {
    /// How long a resource that ended is kept with its metrics; for ever if absent.
    pub resource_cleanup_after: Option<Duration>,
    /// How long a past revision of a resource is kept after it ended; for ever if absent.
    pub history_cleanup_after: Option<Duration>,
}

/// `[hypervisor]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypervisorSettings {
    /// Where the host's `/proc` is.
    pub proc_root: PathBuf,
    /// Where the host's `/sys` is.
    pub sys_root: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or a list of `target=level`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

//! The concrete adapters behind the traits that services see, chosen by the settings.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nephos_bus::{AmqpBus, AmqpOptions, Bus, InProcessBus, InProcessOptions};
use nephos_config::ResourcesFile;
use nephos_config::resources::shipped_resource_types;
use nephos_config::settings::{ArchivePolicySettings, ClientTls, Mode, Settings};
use nephos_coordination::{
    Leases, LocalMembership, MEMBER_TIMEOUT, Membership, MemoryStateStore, SqlLeases, SqlMembership,
    SqlStateStore, StateStore,
};
use nephos_index::{Defaults, Index, PolicyRule, SqlIndex};
use nephos_metric_store::{
    LocalStore, MetricStore, ObjectPlace, Place, RemoteOptions, RemoteStore, S3Options, StoreError,
    StoreOptions,
};
use nephos_model::Clock;
use nephos_observe::{Backoff, Health, Shutdown};
use nephos_sql::Db;
use nephos_timeseries::ArchivePolicy;
use secrecy::SecretString;

use crate::databases::{self, INDEX_SETS, STATE_SETS, url_with_tls};
use crate::leases::LeaseLookup;

/// What every adapter of this process is made with.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Health,
    pub(crate) shutdown: Shutdown,
    /// Name of this process among its peers: the same after a restart on the same host and data directory.
    pub(crate) member: String,
}

/// The index with the database behind it.
#[derive(Clone, Debug)]
pub(crate) struct OpenIndex {
    pub(crate) db: Db,
    pub(crate) index: Arc<dyn Index>,
}

/// Opens the index and what a new one starts with; `None` when shutdown was asked for meanwhile.
pub(crate) async fn index(
    base: &Base,
    settings: &Settings,
    resources: &ResourcesFile,
) -> anyhow::Result<Option<OpenIndex>> {
    let url = url_with_tls(&settings.index, &settings.index_tls);
    let Some(db) = databases::open("index", &url, INDEX_SETS, &base.health, &base.shutdown).await? else {
        return Ok(None);
    };
    let index = SqlIndex::open(db.clone(), Arc::clone(&base.clock)).await.context("open the index")?;
    let defaults = defaults(&settings.archive_policy, resources);
    let mut backoff = Backoff::default();
    while let Err(error) = index.ensure_defaults(&defaults).await {
        if !error.is_retryable() {
            return Err(error).context("create what a new index starts with");
        }
        tokio::select! {
            () = base.shutdown.requested() => return Ok(None),
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
    Ok(Some(OpenIndex { db, index: Arc::new(index) }))
}

/// Policies, their rule, and the types of what we poll ourselves; nothing when the operator wants an empty index.
fn defaults(settings: &ArchivePolicySettings, resources: &ResourcesFile) -> Defaults {
    if !settings.create_defaults {
        return Defaults::default();
    }
    let ours = |name: &str| {
        resources.resources.iter().any(|definition| {
            definition.resource_type == name
                && definition.archive_policy.as_deref().unwrap_or(&resources.archive_policy_default)
                    == "nephos"
        })
    };
    Defaults {
        policies: ArchivePolicy::well_known(&settings.default_aggregation_methods),
        rules: vec![PolicyRule {
            name: "default".to_owned(),
            metric_pattern: "*".to_owned(),
            archive_policy_name: "low".to_owned(),
        }],
        resource_types: shipped_resource_types().into_iter().filter(|shipped| ours(&shipped.name)).collect(),
    }
}

/// The bus. RabbitMQ is connected to in the background; `/readyz` tells how it goes.
pub(crate) fn bus(base: &Base, settings: &Settings) -> anyhow::Result<Arc<dyn Bus>> {
    let queues = u32::from(settings.collector.queues);
    let bus: Arc<dyn Bus> = if settings.bus.scheme() == "in-process" {
        Arc::new(InProcessBus::new(InProcessOptions { queues, ..InProcessOptions::default() }))
    } else {
        let mut options = AmqpOptions::new(
            SecretString::from(settings.bus.expose()),
            settings.publisher.telemetry_secret.clone(),
            base.member.clone(),
        );
        options.queues = queues;
        options.ca = read_ca(&settings.bus_tls)?;
        Arc::new(AmqpBus::connect(options, Arc::clone(&base.clock)).context("bus")?)
    };
    let seen = Arc::clone(&bus);
    base.health.register("bus", Arc::new(move || seen.ready()));
    Ok(bus)
}

fn read_ca(tls: &ClientTls) -> anyhow::Result<Option<String>> {
    let Some(path) = &tls.ca_bundle else { return Ok(None) };
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display())).map(Some)
}

/// The shared state of transformers; `None` when shutdown was asked for meanwhile.
pub(crate) async fn state(base: &Base, settings: &Settings) -> anyhow::Result<Option<Arc<dyn StateStore>>> {
    if settings.state.scheme() == "memory" {
        return Ok(Some(Arc::new(MemoryStateStore::new(Arc::clone(&base.clock)))));
    }
    let url = url_with_tls(&settings.state, &settings.state_tls);
    let db = databases::open("state", &url, STATE_SETS, &base.health, &base.shutdown).await?;
    Ok(db.map(|db| Arc::new(SqlStateStore::new(db)) as Arc<dyn StateStore>))
}

/// Who else does the same work: known through the index when there are several processes.
pub(crate) fn membership(base: &Base, mode: Mode, db: Option<&Db>) -> Arc<dyn Membership> {
    match (mode, db) {
        (Mode::Distributed(_), Some(db)) => {
            Arc::new(SqlMembership::new(db.clone(), base.member.clone(), MEMBER_TIMEOUT))
        }
        _ => Arc::new(LocalMembership::new(base.member.clone(), Arc::clone(&base.clock))),
    }
}

/// Leases on shards, in the index database.
pub(crate) fn leases(db: &Db) -> Arc<dyn Leases> {
    Arc::new(SqlLeases::new(db.clone()))
}

/// Where the metric store lies.
pub(crate) fn place(settings: &Settings) -> anyhow::Result<Place> {
    let Some(s3) = &settings.store.s3 else {
        return Ok(Place::Folder(settings.store.url.path().context("store is no file: URL")?.to_owned()));
    };
    let ca = s3
        .ca_file
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("read store.ca_file {}", path.display())));
    let mut options = S3Options::new(&s3.bucket, &s3.access_key_id, s3.secret_access_key.clone());
    options.prefix.clone_from(&s3.prefix);
    options.region.clone_from(&s3.region);
    options.endpoint.clone_from(&s3.endpoint);
    options.allow_http = s3.allow_http;
    options.ca = ca.transpose()?;
    options.cache = s3.cache;
    let place = ObjectPlace::s3(&options, tokio::runtime::Handle::current());
    Ok(Place::Object(place.context("the bucket of the metric store")?))
}

/// Opens the store of this process, waiting for a server that does not answer; `None` when shutdown was asked for
/// meanwhile.
pub(crate) async fn local_store(
    base: &Base,
    options: StoreOptions,
) -> anyhow::Result<Option<Arc<LocalStore>>> {
    let mut backoff = Backoff::default();
    loop {
        let attempt = options.clone();
        let opened = tokio::task::spawn_blocking(move || LocalStore::open(attempt));
        let error = match opened.await.context("open the metric store")? {
            Ok(store) => {
                base.health.register("store", Arc::new(|| Ok(())));
                return Ok(Some(store));
            }
            Err(error) => error,
        };
        let passing = matches!(&error, StoreError::Io { source, .. } if source.kind() == ErrorKind::Other);
        if !passing || !matches!(options.place, Place::Object(_)) {
            return Err(error).context("open the metric store");
        }
        let reason = format!("{:#}", anyhow::Error::new(error));
        tracing::warn!(error = reason, "waiting for the object store");
        base.health.register("store", Arc::new(move || Err(reason.clone())));
        tokio::select! {
            () = base.shutdown.requested() => return Ok(None),
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
}

/// The metric store as its owner serves it.
pub(crate) fn remote_store(settings: &Settings, db: &Db) -> anyhow::Result<Arc<dyn MetricStore>> {
    let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(3));
    // Before the owner lets go of an idle connection.
    let mut client = client.pool_idle_timeout(nephos_observe::http::IDLE / 2);
    if let Some(path) = &settings.store.client_tls.ca_bundle {
        let pem = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem).context("store ca_bundle")? {
            client = client.add_root_certificate(certificate);
        }
    }
    if let Some(own) = &settings.store.client_tls.identity {
        let read =
            |path| std::fs::read(path).with_context(|| format!("read {}", std::path::Path::display(path)));
        let pem = [read(&own.certificate)?, read(&own.key)?].join(&b'\n');
        client = client.identity(reqwest::Identity::from_pem(&pem).context("store certificate and key")?);
    }
    let options = RemoteOptions::new(store_token(settings)?, u32::from(settings.store.shards));
    let lookup = Arc::new(LeaseLookup(leases(db)));
    Ok(Arc::new(RemoteStore::new(client.build().context("HTTP client")?, lookup, options)))
}

/// What callers of the store's owner show.
pub(crate) fn store_token(settings: &Settings) -> anyhow::Result<SecretString> {
    settings
        .store
        .token
        .clone()
        .context("store.token_file is not set: the owner of the metric store and its callers need one secret")
}

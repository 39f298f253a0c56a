//! The services of a process in the order in which samples pass them, which is the order in which they end: first the
//! intake, last the store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use nephos_alarm_evaluator::EvaluatorParts;
use nephos_alarm_notifier::{HttpNotifier, HttpOptions, NotifierParts, Notifiers};
use nephos_api::{ApiOptions, ApiParts, Statsd, StatsdOptions};
use nephos_bus::Bus;
use nephos_collector::CollectorParts;
use nephos_collector::ownership::{Ownership, OwnershipParts, Pace};
use nephos_config::Loaded;
use nephos_config::settings::{Mode, RetentionSettings, Service, Settings, StatsdSettings};
use nephos_identity::Rules;
use nephos_metric_store::{Limits, LocalStore, MetricStore, StoreOptions};
use nephos_notification_agent::NotificationParts;
use nephos_observe::{Metrics, Shutdown};
use nephos_polling_agent::{AgentSettings, FirstRun, PollingParts};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::serving::{Endpoint, Serving, spawn};
use crate::adapters::{self, Base, OpenIndex};
use crate::identity;
use crate::reload::Live;

/// How often deleted metrics are removed for good, and old state is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// How often a starting process looks whether its shards are open.
const SETTLING: Duration = Duration::from_millis(20);

/// A running service.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Everything that runs, and what must be closed after it.
pub(crate) struct Stages {
    stages: Vec<Stage>,
    bus: Option<Arc<dyn Bus>>,
    owned: Option<Owned>,
    /// Where the API is, if this process serves it.
    pub(crate) api_url: String,
}

/// The store of this process, and the leases on it.
struct Owned {
    store: Arc<LocalStore>,
    ownership: Option<Arc<Ownership>>,
}

impl Stages {
    /// Opens adapters and starts services; `None` when shutdown was asked for meanwhile.
    pub(crate) async fn start(
        base: &Base,
        settings: &Arc<Settings>,
        loaded: &Loaded,
        live: &Arc<Live>,
        services: &[Service],
        serving: Serving,
        metrics: Metrics,
    ) -> anyhow::Result<Option<Self>> {
        let any = |wants: fn(Service) -> bool| services.iter().copied().any(wants);
        let open = if any(Service::uses_index) {
            let Some(open) = adapters::index(base, settings, &loaded.resources).await? else {
                return Ok(None);
            };
            Some(open)
        } else {
            None
        };
        let bus = if any(Service::uses_bus) { Some(adapters::bus(base, settings)?) } else { None };
        let mut run = Self { stages: Vec::new(), bus, owned: None, api_url: String::new() };
        let membership = adapters::membership(base, settings.mode, open.as_ref().map(|open| &open.db));
        let Serving { api, aodh, statsd, store: store_endpoint, starting } = serving;
        let store = match &open {
            Some(open) => run.store(base, settings, open, services, store_endpoint).await?,
            None => None,
        };
        if open.is_some() && store.is_none() {
            return Ok(None);
        }
        for service in services.iter().rev() {
            match service {
                Service::PollingAgent if !settings.polling.enabled => {}
                Service::PollingAgent => {
                    let first_run =
                        if settings.mode == Mode::Embedded { FirstRun::AtOnce } else { FirstRun::Jittered };
                    let parts = PollingParts {
                        bus: run.bus()?,
                        membership: Arc::clone(&membership),
                        clock: Arc::clone(&base.clock),
                        health: base.health.clone(),
                        sources: live.polling.subscribe(),
                        settings: AgentSettings::new(settings, first_run),
                    };
                    run.add(base, "polling-agent", |until| async move {
                        Ok(nephos_polling_agent::run(parts, until).await?)
                    });
                }
                Service::NotificationAgent => {
                    let Some(state) = adapters::state(base, settings).await? else { return Ok(None) };
                    let parts = NotificationParts {
                        bus: run.bus()?,
                        state,
                        pipelines: live.pipeline.subscribe(),
                        clock: Arc::clone(&base.clock),
                        health: base.health.clone(),
                        prefetch: settings.notification.prefetch,
                        workers: settings.notification.workers,
                    };
                    run.add(base, "notification-agent", |until| async move {
                        Ok(nephos_notification_agent::run(parts, until).await?)
                    });
                }
                Service::Collector => {
                    let parts = CollectorParts {
                        bus: run.bus()?,
                        index: needed(&open)?,
                        store: needed_store(&store)?,
                        clock: Arc::clone(&base.clock),
                        resources: live.resources.subscribe(),
                        creator: settings.collector.creator.clone(),
                        batch_size: settings.collector.batch_size,
                    };
                    run.add(base, "collector", |until| async move {
                        Ok(nephos_collector::run(parts, until).await?)
                    });
                }
                Service::Api => {
                    let endpoint = api_endpoint(&api)?;
                    run.api_url.clone_from(&endpoint.url);
                }
                Service::AlarmEvaluator => {
                    let parts = EvaluatorParts {
                        index: needed(&open)?,
                        store: needed_store(&store)?,
                        membership: Arc::clone(&membership),
                        clock: Arc::clone(&base.clock),
                        health: base.health.clone(),
                        options: live.evaluator.subscribe(),
                        rules: live.rules.subscribe(),
                    };
                    run.add(base, "alarm-evaluator", |until| async move {
                        nephos_alarm_evaluator::run(parts, until).await;
                        Ok(())
                    });
                }
                Service::AlarmNotifier => {
                    let parts = notifier(base, settings, needed(&open)?)?;
                    run.add(base, "alarm-notifier", |until| async move {
                        nephos_alarm_notifier::run(parts, until).await;
                        Ok(())
                    });
                }
            }
        }
        if let Some(endpoint) = api {
            starting.trigger();
            starting.drained().await;
            run.api(
                base,
                settings,
                (endpoint, aodh, statsd),
                needed(&open)?,
                needed_store(&store)?,
                metrics,
                live.rules.subscribe(),
            )?;
        }
        // Started from the last to the first, so that nobody sends to somebody who is not there yet; ended from the
        // first to the last.
        run.stages.sort_by_key(|stage| order(stage.name));
        Ok(Some(run))
    }

    fn bus(&self) -> anyhow::Result<Arc<dyn Bus>> {
        self.bus.clone().context("no bus is configured")
    }

    /// Starts a service with a shutdown of its own.
    fn add<F, R>(&mut self, base: &Base, name: &'static str, service: F)
    where
        F: FnOnce(Shutdown) -> R,
        R: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        // Not a child of the process's: stages end one after another.
        let shutdown = Shutdown::default();
        let whole = base.shutdown.clone();
        let work = service(shutdown.clone());
        let task = tokio::spawn(async move {
            let ended = work.await.with_context(|| name);
            // Whoever ends, for whatever reason, ends the process.
            whole.trigger();
            ended
        });
        self.stages.push(Stage { name, shutdown, task });
    }

    /// The store as this process sees it: its own if it collects, otherwise the owner's.
    async fn store(
        &mut self,
        base: &Base,
        settings: &Arc<Settings>,
        open: &OpenIndex,
        services: &[Service],
        endpoint: Option<Endpoint>,
    ) -> anyhow::Result<Option<Arc<dyn MetricStore>>> {
        if !services.contains(&Service::Collector) {
            return adapters::remote_store(settings, &open.db).map(Some);
        }
        let mut options = StoreOptions::new(adapters::place(settings)?, Arc::clone(&base.clock));
        options.min_free = settings.store.min_free;
        options.shards = u32::from(settings.store.shards);
        // Each shard is opened when its lease is won; who is alone needs none.
        options.own = endpoint.is_some().then(Vec::new);
        let Some(local) = adapters::local_store(base, options).await? else { return Ok(None) };
        let Some(endpoint) = endpoint else {
            self.owned = Some(Owned { store: Arc::clone(&local), ownership: None });
            return Ok(Some(local));
        };
        if local.shard_count() != u32::from(settings.store.shards) {
            // Leases and callers count by the setting: another number would send them to the wrong shards.
            anyhow::bail!(
                "the metric store was created with {} shards: set store.shards to that, not {}",
                local.shard_count(),
                settings.store.shards
            );
        }
        let ownership = Arc::new(Ownership::new(OwnershipParts {
            leases: adapters::leases(&open.db),
            membership: adapters::membership(base, settings.mode, Some(&open.db)),
            store: Arc::clone(&local),
            clock: Arc::clone(&base.clock),
            url: settings.store.advertise.clone().unwrap_or_else(|| endpoint.url.clone()),
            shared: settings.store.is_shared(),
            pace: Pace::default(),
        }));
        let token = adapters::store_token(settings)?;
        let router = nephos_metric_store::routes(ownership.guard(), token, Limits::default());
        spawn(&base.shutdown, endpoint, router, base.shutdown.clone());
        let seen = Arc::clone(&ownership);
        base.health.register("shards", Arc::new(move || seen.ready()));
        let kept = Arc::clone(&ownership);
        self.add(base, "store", |until| async move { Ok(kept.keep(&until).await?) });
        while !ownership.is_settled() {
            tokio::select! {
                // What it ends with is told with everything else's end.
                () = base.shutdown.requested() => break,
                () = tokio::time::sleep(SETTLING) => {}
            }
        }
        let store = ownership.routed(adapters::remote_store(settings, &open.db)?);
        self.owned = Some(Owned { store: local, ownership: Some(ownership) });
        Ok(Some(store))
    }

    #[allow(clippy::too_many_arguments)]
    fn api(
        &mut self,
        base: &Base,
        settings: &Arc<Settings>,
        (endpoint, aodh, statsd): (Endpoint, Option<Endpoint>, Option<UdpSocket>),
        index: Arc<dyn nephos_index::Index>,
        store: Arc<dyn MetricStore>,
        metrics: Metrics,
        rules: watch::Receiver<Arc<Rules>>,
    ) -> anyhow::Result<()> {
        let identity = identity::of(settings, &index, &base.clock)?;
        let janitor = (Arc::clone(&index), Arc::clone(&store));
        let parts = ApiParts {
            listener: endpoint.listener,
            tls: endpoint.tls,
            index,
            store,
            identity,
            clock: Arc::clone(&base.clock),
            health: base.health.clone(),
            metrics,
            aodh: aodh.map(|endpoint| endpoint.listener),
            statsd: statsd
                .zip(settings.statsd.as_ref())
                .map(|(socket, settings)| statsd_parts(socket, settings)),
            options: ApiOptions { rules, ..identity::api_options(settings)? },
        };
        self.add(base, "api", |until| async move {
            nephos_api::run(parts, until).await;
            Ok(())
        });
        base.shutdown.spawn(housekeeping(base.clone(), janitor.0, janitor.1, settings.retention.clone()));
        Ok(())
    }

    /// Waits until the end is asked for or a service ends, then ends all in order.
    pub(crate) async fn run(self, shutdown: &Shutdown) -> anyhow::Result<()> {
        shutdown.requested().await;
        let mut failure = Ok(());
        for stage in self.stages {
            stage.shutdown.trigger();
            let ended = match stage.task.await {
                Ok(ended) => ended,
                Err(died) => Err(anyhow!("{} died: {died}", stage.name)),
            };
            stage.shutdown.drained().await;
            if let Err(error) = ended {
                tracing::error!(service = stage.name, error = format!("{error:#}"), "service failed");
                failure = failure.and(Err(error));
            }
        }
        if let Some(bus) = self.bus {
            bus.close().await;
        }
        if let Some(owned) = self.owned {
            owned.store.close().await;
            if let Some(ownership) = owned.ownership {
                ownership.release().await;
            }
        }
        failure
    }
}

/// Forgets what is over: resources and revisions that ended long ago, then metrics that were deleted, with their data.
async fn housekeeping(
    base: Base,
    index: Arc<dyn nephos_index::Index>,
    store: Arc<dyn MetricStore>,
    retention: RetentionSettings,
) {
    loop {
        tokio::select! {
            () = base.shutdown.requested() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
        if let Some(keep) = retention.resource_cleanup_after {
            match nephos_api::expire_resources(index.as_ref(), base.clock.now().minus(keep)).await {
                Ok(0) => {}
                Ok(resources) => tracing::info!(resources, "resources that ended long ago were forgotten"),
                Err(error) => tracing::warn!(%error, "ended resources stay for now; trying again later"),
            }
        }
        if let Some(keep) = retention.history_cleanup_after {
            match nephos_api::expire_history(index.as_ref(), base.clock.now().minus(keep)).await {
                Ok(0) => {}
                Ok(revisions) => tracing::info!(revisions, "past revisions of resources were forgotten"),
                Err(error) => tracing::warn!(%error, "past revisions stay for now; trying again later"),
            }
        }
        if let Err(error) = nephos_api::housekeeping(index.as_ref(), store.as_ref()).await {
            tracing::warn!(%error, "housekeeping failed; trying again later");
        }
    }
}

/// Place in the order of ending.
fn order(name: &str) -> usize {
    let names = [
        "polling-agent",
        "notification-agent",
        "collector",
        "api",
        "alarm-evaluator",
        "alarm-notifier",
        "store",
    ];
    names.iter().position(|other| *other == name).unwrap_or(names.len())
}

fn needed(open: &Option<OpenIndex>) -> anyhow::Result<Arc<dyn nephos_index::Index>> {
    open.as_ref().map(|open| Arc::clone(&open.index)).context("no index is configured")
}

fn needed_store(store: &Option<Arc<dyn MetricStore>>) -> anyhow::Result<Arc<dyn MetricStore>> {
    store.clone().context("no metric store is configured")
}

fn api_endpoint(endpoint: &Option<Endpoint>) -> anyhow::Result<&Endpoint> {
    endpoint.as_ref().context("the API has no listener")
}

fn notifier(
    base: &Base,
    settings: &Settings,
    index: Arc<dyn nephos_index::Index>,
) -> anyhow::Result<NotifierParts> {
    let notifier = &settings.notifier;
    let options = HttpOptions {
        timeout: notifier.timeout,
        ssl_verify: notifier.ssl_verify,
        ca_bundle: notifier.tls.ca_bundle.clone(),
        certificate: notifier.tls.identity.as_ref().map(|identity| identity.certificate.clone()),
        key: notifier.tls.identity.as_ref().map(|identity| identity.key.clone()),
        max_redirects: notifier.max_redirects,
    };
    Ok(NotifierParts {
        index,
        notifiers: Arc::new(Notifiers::new(HttpNotifier::new(&options)?)),
        timeout: notifier.timeout,
        workers: notifier.workers,
        clock: Arc::clone(&base.clock),
        health: base.health.clone(),
    })
}

fn statsd_parts(socket: UdpSocket, settings: &StatsdSettings) -> Statsd {
    Statsd {
        socket,
        options: StatsdOptions {
            resource_id: settings.resource_id.clone(),
            creator: settings.creator.clone(),
            user_id: settings.user_id.clone(),
            project_id: settings.project_id.clone(),
            archive_policy_name: settings.archive_policy_name.clone(),
            flush_delay: settings.flush_delay,
            max_metrics: settings.max_metrics as usize,
        },
    }
}

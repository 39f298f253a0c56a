//! One process: listeners, adapters, the services it runs, signals, and an orderly end.
//!
//! Embedded mode is all services in one process; scaled out it is one of them. The difference is which adapters the
//! settings name and how many services are started, nothing else.

mod serving;
mod stages;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nephos_config::settings::{Mode, Service, Settings};
use nephos_config::{Loaded, SystemEnv};
use nephos_observe::{Health, LogControl, LogFormat, Metrics, Shutdown, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

use crate::adapters::Base;
use crate::cli::Common;
use crate::lock::DataDir;
use crate::ports::Ports;
use crate::reload::Live;
use crate::{hints, setup};
use serving::Listeners;
use stages::Stages;

/// How long an orderly end may take before the rest is given up.
const END: Duration = Duration::from_secs(45);
/// How long the port file waits for services that start; afterwards it is written while they still do.
const SOON: Duration = Duration::from_secs(2);
/// How often our own histograms are folded.
const UPKEEP: Duration = Duration::from_secs(10);

/// The services of a mode.
fn services(mode: Mode) -> Vec<Service> {
    match mode {
        Mode::Embedded | Mode::Distributed(None) => Service::ALL.to_vec(),
        Mode::Distributed(Some(service)) => vec![service],
    }
}

/// Runs until a signal asks for the end, or a service fails.
pub(crate) async fn run(common: &Common, loaded: Loaded) -> anyhow::Result<()> {
    let settings = Arc::new(loaded.settings.clone());
    let format = match settings.log.format {
        nephos_config::settings::LogFormat::Text => LogFormat::Text,
        nephos_config::settings::LogFormat::Json => LogFormat::Json,
    };
    let log = LogControl::install(&settings.log.level, format)?;
    let services = services(settings.mode);
    let embedded = settings.mode == Mode::Embedded;
    let data = if embedded || services.contains(&Service::Collector) {
        Some(DataDir::lock(&settings.data_dir)?)
    } else {
        None
    };
    let metrics = Metrics::install();
    let base = Base {
        clock: Arc::new(SystemClock::default()),
        health: Health::default(),
        shutdown: Shutdown::default(),
        member: member(&settings, data.as_ref()),
    };
    let live = Arc::new(Live::new(&loaded, log));
    base.health.register("services", Arc::new(|| Err("starting".to_owned())));
    let (listeners, ports) = Listeners::bind(&settings, &services).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), services = names(&services), "nephos starts");
    base.shutdown.spawn(upkeep(metrics.clone(), base.shutdown.clone()));
    watch_signals(common.clone(), settings.mode, Arc::clone(&live), base.shutdown.clone())?;
    let serving = listeners.start(&base, &metrics)?;
    let starting = Stages::start(&base, &settings, &loaded, &live, &services, serving, metrics);
    let started = start_and_tell(starting, common.port_file.as_deref(), &ports).await;
    let ended = match started {
        Ok(Some(stages)) => {
            if embedded {
                hints::print(&settings, &loaded, &stages.api_url);
            }
            base.health.register("services", Arc::new(|| Ok(())));
            tracing::info!("nephos is ready");
            stages.run(&base.shutdown).await
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    base.shutdown.trigger();
    if tokio::time::timeout(END, base.shutdown.drained()).await.is_err() {
        tracing::error!("some tasks did not end in time");
    }
    tracing::info!("nephos has stopped");
    drop(data);
    ended
}

/// Starts the services, and writes the port file when they have started or a while has passed: who waits for it wants to
/// find Nephos ready, but who asks why it is not must find it, too.
async fn start_and_tell<T>(
    starting: impl Future<Output = anyhow::Result<T>>,
    port_file: Option<&Path>,
    ports: &Ports,
) -> anyhow::Result<T> {
    let mut starting = pin!(starting);
    let soon = tokio::time::timeout(SOON, &mut starting).await;
    if let Some(path) = port_file
        && !matches!(soon, Ok(Err(_)))
    {
        ports.write(path)?;
    }
    match soon {
        Ok(started) => started,
        Err(_) => starting.await,
    }
}

fn names(services: &[Service]) -> String {
    services.iter().map(|service| service.name()).collect::<Vec<_>>().join(",")
}

/// A name for this process that stays over restarts: what held a lease before may take it again at once. The lock on
/// the data directory makes sure that its former holder is gone.
fn member(settings: &Settings, data: Option<&DataDir>) -> String {
    use nephos_config::Env;
    let host = SystemEnv.host_name();
    match data {
        Some(data) => format!("{host}:{}", data.path().display()),
        None => match settings.mode {
            Mode::Distributed(Some(Service::PollingAgent)) => {
                format!("{}:polling-agent", settings.polling.host)
            }
            _ => format!("{host}:{}", std::process::id()),
        },
    }
}

async fn upkeep(metrics: Metrics, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(UPKEEP) => metrics.upkeep(),
        }
    }
}

/// SIGTERM and SIGINT end the process in order; SIGHUP reloads.
fn watch_signals(common: Common, mode: Mode, live: Arc<Live>, shutdown: Shutdown) -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("listen to signals");
    let (mut term, mut interrupt, mut hangup) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
    let tasks = shutdown.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = term.recv() => tracing::info!("SIGTERM: stopping"),
                _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
                _ = hangup.recv() => {
                    match setup::configuration(&common, mode) {
                        Ok(Some(loaded)) => live.apply(&loaded),
                        Ok(None) => tracing::error!("the configuration has faults: nothing was reloaded"),
                        Err(error) => tracing::error!(error = format!("{error:#}"), "nothing was reloaded"),
                    }
                    continue;
                }
            }
            shutdown.trigger();
        }
    });
    Ok(())
}

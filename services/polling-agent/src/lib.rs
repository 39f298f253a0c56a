//! Reads meters on schedule and sends them to the bus.
//!
//! [`Pollster`]s read: the host ([`HostPollster`]) and its control groups ([`GroupPollster`]). Sources of
//! `polling.yaml` say which meters when; sources of one schedule make one lane, whose runs never overlap and whose due
//! times follow from one pure function ([`schedule`]). What was read waits in a bounded outbox until the bus
//! acknowledges it; a batch that fails is sent again with the same sample ids.
//!
//! Nothing is kept over a restart, and nothing need be: counters are sent as they stand, with the time since boot, so
//! that the first rate after a restart spans the gap.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nephos_bus::Bus;
use nephos_config::settings::Namespace;
use nephos_config::{PollingFile, Settings};
use nephos_coordination::{HEARTBEAT, Membership};
use nephos_hypervisor::{Cgroups, Host, Roots, Unreadable};
use nephos_model::{Clock, Sample};
use nephos_observe::{Health, Shutdown};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub mod groups;
pub mod host;
pub mod identity;
pub mod meter;
pub mod pollster;
pub mod schedule;

mod blocking;
mod instrument;
mod lanes;
mod outbox;
mod sender;
mod ticker;

pub use groups::{ENDED_AT, GroupLimits, GroupPollster};
pub use host::HostPollster;
pub use identity::HostIdentity;
pub use meter::{Meter, Wanted};
pub use pollster::{Polled, Pollster};
pub use schedule::FirstRun;

use lanes::{Lanes, Shared};
use outbox::Outbox;

/// Group of members that polling agents are in.
pub const MEMBERS: &str = "polling-agent";

/// How long samples may still leave after the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// What the agent is told.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// Name of this host in resource ids.
    pub host: String,
    /// Which pollsters.
    pub namespaces: Vec<Namespace>,
    /// Where the host's `/proc` and `/sys` are.
    pub roots: Roots,
    /// When sources run first.
    pub first_run: FirstRun,
    /// Most samples of one message.
    pub batch_size: usize,
    /// Most samples that wait for the bus; beyond it the oldest are dropped.
    pub most_waiting: usize,
    /// Which control groups are read.
    pub groups: GroupLimits,
}

impl AgentSettings {
    /// From the configuration.
    pub fn new(settings: &Settings, first_run: FirstRun) -> Self {
        Self {
            host: settings.polling.host.clone(),
            namespaces: settings.polling.namespaces.clone(),
            roots: Roots {
                proc_root: settings.hypervisor.proc_root.clone(),
                sys_root: settings.hypervisor.sys_root.clone(),
            },
            first_run,
            batch_size: usize::from(settings.polling.batch_size),
            most_waiting: 200_000,
            groups: GroupLimits::default(),
        }
    }
}

/// What the agent works with.
#[derive(Debug)]
pub struct PollingParts {
    /// Where samples go.
    pub bus: Arc<dyn Bus>,
    /// Who else is there.
    pub membership: Arc<dyn Membership>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Readiness of this process.
    pub health: Health,
    /// `polling.yaml`, now and when it changes.
    pub sources: watch::Receiver<Arc<PollingFile>>,
    /// Settings.
    pub settings: AgentSettings,
}

/// Why the agent ended early.
#[derive(Debug, thiserror::Error)]
pub enum PollingError {
    /// A part of it died.
    #[error("the polling agent's {part} died")]
    Died {
        /// Which.
        part: &'static str,
        /// How.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Polls until shutdown is requested, then waits for runs under way and sends what is left.
///
/// # Errors
/// [`PollingError::Died`] if a task of its own panicked.
pub async fn run(parts: PollingParts, shutdown: Shutdown) -> Result<(), PollingError> {
    let PollingParts { bus, membership, clock, health, mut sources, settings } = parts;
    note_unreadable(&settings.roots);
    let ready = Arc::clone(&bus);
    health.register("bus", Arc::new(move || ready.ready()));
    let outbox = Arc::new(Outbox::new(settings.most_waiting, settings.batch_size.min(100)));
    let drain = CancellationToken::new();
    let sender = {
        let (outbox, drain) = (Arc::clone(&outbox), drain.clone());
        tokio::spawn(async move { sender::run(&outbox, bus.as_ref(), &drain, GRACE).await })
    };
    let presence = tokio::spawn(be_present(membership, shutdown.clone()));
    let mut lanes = Lanes::new(Shared {
        pollsters: pollsters(&settings, &clock),
        clock,
        outbox,
        host: settings.host,
        first_run: settings.first_run,
        told: Mutex::default(),
    });
    loop {
        let file = Arc::clone(&sources.borrow_and_update());
        lanes.apply(&file);
        tokio::select! {
            () = shutdown.requested() => break,
            changed = sources.changed() => if changed.is_err() {
                shutdown.requested().await;
                break;
            },
        }
    }
    lanes.stop().await;
    drain.cancel();
    sender.await.map_err(|source| PollingError::Died { part: "sender", source })?;
    presence.await.map_err(|source| PollingError::Died { part: "heartbeat", source })
}

/// Reads every meter that `filter` lets through, once. Nothing is sent.
pub async fn poll_once(
    settings: &AgentSettings,
    clock: Arc<dyn Clock>,
    filter: impl Fn(&str) -> bool,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for pollster in pollsters(settings, &clock) {
        let polled = pollster.poll(&Wanted::choose(&pollster.meters(), &filter)).await;
        for (kind, fault) in &polled.faults {
            warn!(pollster = pollster.name(), kind, "{fault}");
        }
        samples.extend(polled.samples);
    }
    samples
}

/// Every meter there is, in the order in which they are explained.
pub fn catalogue() -> Vec<Meter> {
    let mut meters = HostPollster::catalogue();
    meters.extend(GroupPollster::catalogue());
    meters
}

/// What cannot be read on this host, as far as can be told before polling.
pub fn unreadable(roots: &Roots) -> Vec<Unreadable> {
    let mut missing = Host::new(roots.clone()).unreadable();
    missing.extend(Cgroups::new(roots.clone()).unreadable());
    missing
}

fn pollsters(settings: &AgentSettings, clock: &Arc<dyn Clock>) -> Vec<Arc<dyn Pollster>> {
    let identity = Arc::new(HostIdentity::read(&settings.host, &settings.roots));
    let host = HostPollster::new(Arc::clone(&identity), settings.roots.clone(), Arc::clone(clock));
    let groups = GroupPollster::new(identity, settings.roots.clone(), Arc::clone(clock), settings.groups);
    let all: [Arc<dyn Pollster>; 2] = [Arc::new(host), Arc::new(groups)];
    all.into_iter().filter(|pollster| settings.namespaces.contains(&pollster.namespace())).collect()
}

fn note_unreadable(roots: &Roots) {
    let missing: Vec<String> = unreadable(roots).iter().map(Unreadable::to_string).collect();
    if !missing.is_empty() {
        warn!("not everything of this host can be read: {}", missing.join("; "));
    }
}

/// Says that this agent lives, until shutdown. A fault is told once, and its end.
async fn be_present(membership: Arc<dyn Membership>, shutdown: Shutdown) {
    let mut beats = tokio::time::interval(HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = false;
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            _ = beats.tick() => {}
        }
        match membership.beat(MEMBERS).await {
            Ok(()) if std::mem::take(&mut silent) => info!("other processes see this polling agent again"),
            Ok(()) => {}
            Err(error) => {
                instrument::error("heartbeat");
                if !std::mem::replace(&mut silent, true) {
                    warn!(%error, "other processes do not see this polling agent");
                }
            }
        }
    }
    if let Err(error) = membership.leave(MEMBERS).await {
        warn!(%error, "left without saying so");
    }
}

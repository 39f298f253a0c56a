//! One lane for each schedule: all sources of a schedule are read together, so that what two of them want of a
//! resource is read once. Runs of a lane never overlap.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nephos_config::PollingFile;
use nephos_config::polling::Schedule;
use nephos_model::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::instrument;
use crate::meter::Wanted;
use crate::outbox::Outbox;
use crate::pollster::{Pollster, TOO_MANY};
use crate::schedule::{Due, FirstRun, Moment, Pace};
use crate::ticker;

/// The resource that our pollsters read without being told.
const LOCAL: &str = "local_node";

/// What a lane reads.
type Work = Vec<(Arc<dyn Pollster>, Wanted)>;

/// What all lanes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pollsters: Vec<Arc<dyn Pollster>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) host: String,
    pub(crate) first_run: FirstRun,
    /// What was already complained of: pollster and kind of trouble.
    pub(crate) told: Mutex<HashSet<(&'static str, &'static str)>>,
}

impl Shared {
    /// Whether this trouble is new. Later it is only counted.
    fn is_new(&self, pollster: &'static str, kind: &'static str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((pollster, kind))
    }
}

/// The running lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    epoch: Instant,
    running: Vec<Running>,
    tasks: JoinSet<()>,
    ticks: watch::Sender<u64>,
    ticking: bool,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Running {
    schedule: Schedule,
    work: watch::Sender<Arc<Work>>,
    stop: CancellationToken,
}

impl Lanes {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            epoch: Instant::now(),
            running: Vec::new(),
            tasks: JoinSet::new(),
            ticks: watch::Sender::new(0),
            ticking: false,
            stop: CancellationToken::new(),
        }
    }

    /// Makes the lanes those of `file`: the first time, and each time it changes. A lane whose schedule stays keeps
    /// its pace.
    pub(crate) fn apply(&mut self, file: &PollingFile) {
        let plan = plan(file, &self.shared.pollsters);
        self.running.retain(|lane| {
            let stays = plan.iter().any(|(schedule, _)| *schedule == lane.schedule);
            if !stays {
                lane.stop.cancel();
            }
            stays
        });
        info!(sources = file.sources.len(), schedules = plan.len(), "polling");
        for (schedule, work) in plan {
            let work = Arc::new(work);
            match self.running.iter().find(|lane| lane.schedule == schedule) {
                Some(lane) => drop(lane.work.send_replace(work)),
                None => self.start(schedule, work),
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Stops all lanes and waits for the runs under way.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                instrument::error("died");
                error!(%error, "a polling task died");
            }
        }
    }

    fn start(&mut self, schedule: Schedule, work: Arc<Work>) {
        if matches!(schedule, Schedule::Cron(_)) && !self.ticking {
            self.ticking = true;
            self.tasks.spawn(ticker::run(self.ticks.clone(), self.stop.child_token()));
        }
        let stop = self.stop.child_token();
        let (sender, receiver) = watch::channel(work);
        let pace =
            Pace::new(schedule.clone(), &self.shared.host, self.shared.first_run, self.epoch.elapsed());
        let lane = Lane {
            shared: Arc::clone(&self.shared),
            epoch: self.epoch,
            pace,
            work: receiver,
            ticks: self.ticks.subscribe(),
            stop: stop.clone(),
        };
        self.tasks.spawn(lane.run());
        self.running.push(Running { schedule, work: sender, stop });
    }
}

/// What is read on which schedule.
fn plan(file: &PollingFile, pollsters: &[Arc<dyn Pollster>]) -> Vec<(Schedule, Work)> {
    let mut plan: Vec<(Schedule, Work)> = Vec::new();
    for source in &file.sources {
        for url in &source.discovery {
            let name = url.split(':').next().unwrap_or_default();
            if name != LOCAL {
                warn!(source = source.name, "unknown discovery {name:?}: it finds nothing");
            }
        }
        let mut matched = false;
        for pollster in pollsters {
            let wanted = Wanted::choose(&pollster.meters(), |name| source.meters.matches(name));
            if wanted.is_empty() {
                continue;
            }
            matched = true;
            add(&mut plan, &source.schedule, pollster, wanted);
        }
        if !matched {
            warn!(source = source.name, "no known meter matches this source");
        }
    }
    plan
}

fn add(plan: &mut Vec<(Schedule, Work)>, schedule: &Schedule, pollster: &Arc<dyn Pollster>, wanted: Wanted) {
    let place = plan.iter().position(|(known, _)| known == schedule).unwrap_or_else(|| {
        plan.push((schedule.clone(), Vec::new()));
        plan.len() - 1
    });
    let Some((_, work)) = plan.get_mut(place) else { return };
    match work.iter_mut().find(|(known, _)| Arc::ptr_eq(known, pollster)) {
        Some((_, all)) => all.join(wanted),
        None => work.push((Arc::clone(pollster), wanted)),
    }
}

struct Lane {
    shared: Arc<Shared>,
    epoch: Instant,
    pace: Pace,
    work: watch::Receiver<Arc<Work>>,
    ticks: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Lane {
    async fn run(mut self) {
        let (mut last, mut since) = (None, self.now().wall);
        let mut told = false;
        while let Some(began) = self.wait(last, since).await {
            (last, since) = (Some(began.monotonic), began.wall);
            let work = Arc::clone(&self.work.borrow_and_update());
            for (pollster, wanted) in work.iter() {
                poll(&self.shared, pollster.as_ref(), wanted).await;
            }
            let took = self.now().monotonic.saturating_sub(began.monotonic);
            if self.pace.is_overrun(took) {
                instrument::overrun();
                if !std::mem::replace(&mut told, true) {
                    warn!(
                        ?took,
                        "polling takes longer than its interval; runs follow each other without pause"
                    );
                }
            }
        }
    }

    /// Waits for the next run; `None` when stopped. If the wall clock is set back meanwhile, cron times count from
    /// where it was set to.
    async fn wait(&mut self, last: Option<Duration>, mut since: nephos_model::Timestamp) -> Option<Moment> {
        loop {
            let now = self.now();
            since = since.min(now.wall);
            let due = self.pace.next_due(last, since);
            if self.stop.is_cancelled() {
                return None;
            }
            if due.is_reached(now) {
                return Some(now);
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = until(self.epoch, due, &mut self.ticks) => {}
            }
        }
    }

    fn now(&self) -> Moment {
        Moment { wall: self.shared.clock.now(), monotonic: self.epoch.elapsed() }
    }
}

async fn until(epoch: Instant, due: Due, ticks: &mut watch::Receiver<u64>) {
    match due {
        Due::At(at) => tokio::time::sleep_until(epoch + at).await,
        // The sender lives as long as the lanes do.
        Due::On(_) if ticks.changed().await.is_ok() => {}
        Due::On(_) | Due::Never => std::future::pending().await,
    }
}

async fn poll(shared: &Shared, pollster: &dyn Pollster, wanted: &Wanted) {
    let began = Instant::now();
    let polled = pollster.poll(wanted).await;
    instrument::polled(pollster.name(), &polled, began.elapsed());
    for (kind, fault) in &polled.faults {
        if shared.is_new(pollster.name(), kind) {
            warn!(pollster = pollster.name(), kind, "{fault}; more of this kind is only counted");
        }
    }
    for (reason, count) in polled.left_out.iter().filter(|(reason, count)| *reason == TOO_MANY && *count > 0)
    {
        if shared.is_new(pollster.name(), reason) {
            warn!(pollster = pollster.name(), count, "too many resources; these are left out");
        }
    }
    debug!(pollster = pollster.name(), samples = polled.samples.len(), "polled");
    let dropped = shared.outbox.push(polled.samples);
    if dropped.samples > 0 {
        instrument::dropped("outbox_full", dropped.samples);
    }
    if dropped.first {
        error!(
            samples = dropped.samples,
            "samples are lost: the message bus was away too long; oldest go first"
        );
    }
}

#[cfg(test)]
mod tests;

//! Pipelines at work: batches in, outputs published, states written.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use nephos_bus::Bus;
use nephos_config::pipeline::PipelineFile;
use nephos_coordination::{CoordinationError, StateStore, StateWrite};
use nephos_model::{Clock, Sample};
use nephos_observe::Backoff;

use crate::flow::{Dropped, Flow, Lane};
use crate::instrument;
use crate::plan::Plan;
use crate::publish::{Outlet, PublishError};

/// State that was not written for this long is deleted.
pub const STATE_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// How often a batch is run again because others wrote its states meanwhile.
const MAX_RUNS: u32 = 20;

/// Why a batch is not done. All of it may pass: run the batch again later.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The shared state could not be read or written.
    #[error("transformer state is out of reach")]
    State(#[source] CoordinationError),
    /// A publisher did not take its samples.
    #[error("samples could not be published to {url}")]
    Publish {
        /// The publisher's url.
        url: String,
        /// Why.
        source: PublishError,
    },
    /// Others wrote the same states again and again.
    #[error("transformer state was changed by others {runs} times while the batch ran")]
    Contended {
        /// How often it was tried.
        runs: u32,
    },
}

impl PipelineError {
    /// One word for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Publish { .. } => "publish",
            Self::Contended { .. } => "contended",
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// Samples that went to publishers, counted once for each.
    pub published: u64,
    /// Samples that ended on the way.
    pub dropped: Dropped,
}

/// What a new pipeline file changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Urls of publishers that were opened.
    pub opened: Vec<String>,
    /// Urls of publishers that are used no longer.
    pub closed: Vec<String>,
    /// How many publishers go on as they are.
    pub kept: usize,
}

/// The pipelines of a process. Any number of batches may be processed at a time.
#[derive(Debug)]
pub struct Pipelines {
    bus: Arc<dyn Bus>,
    state: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    active: RwLock<Arc<Active>>,
}

/// A plan and where its sinks lead.
#[derive(Debug)]
struct Active {
    plan: Plan,
    routes: Vec<Route>,
}

/// A publisher and the positions of the sinks that lead to it.
#[derive(Debug)]
struct Route {
    outlet: Arc<Outlet>,
    sinks: Vec<usize>,
}

impl Pipelines {
    /// No pipelines yet: see [`apply`](Self::apply). `nephos://` publishes to `bus`.
    pub fn new(bus: Arc<dyn Bus>, state: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        let nothing = PipelineFile { sources: Vec::new(), sinks: Vec::new() };
        let active = Active { plan: Plan::build(&nothing), routes: Vec::new() };
        Self { bus, state, clock, active: RwLock::new(Arc::new(active)) }
    }

    /// Puts `file` in force for the batches that start from now on. Publishers whose url stays go on as they are;
    /// transformer state goes on under the names of the sinks.
    pub fn apply(&self, file: &PipelineFile) -> Applied {
        let old = self.active();
        let mut applied = Applied::default();
        let mut routes: Vec<Route> = Vec::new();
        for (position, sink) in file.sinks.iter().enumerate() {
            for spec in &sink.publishers {
                if let Some(route) = routes.iter_mut().find(|route| route.outlet.spec.url == spec.url) {
                    route.sinks.push(position);
                    continue;
                }
                let known = old.routes.iter().find(|route| route.outlet.spec == *spec);
                let outlet = if let Some(route) = known {
                    applied.kept += 1;
                    Arc::clone(&route.outlet)
                } else {
                    applied.opened.push(spec.url.clone());
                    Outlet::open(spec, &self.bus, &self.clock)
                };
                routes.push(Route { outlet, sinks: vec![position] });
            }
        }
        let is_used = |url: &str| routes.iter().any(|route| route.outlet.spec.url == url);
        let urls = old.routes.iter().map(|route| route.outlet.spec.url.clone());
        applied.closed = urls.filter(|url| !is_used(url)).collect();
        let active = Arc::new(Active { plan: Plan::build(file), routes });
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = active;
        applied
    }

    /// Takes a batch through the pipelines. When it returns `Ok`, every publisher has the outputs and the states are
    /// written: the input may be acknowledged. After an error the whole batch has to come again.
    pub async fn process(&self, samples: &[Sample]) -> Result<Processed, PipelineError> {
        let started = self.clock.monotonic();
        let active = self.active();
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
        for _ in 0..MAX_RUNS {
            match self.run(&active, samples).await {
                Ok(Some(processed)) => {
                    let took = self.clock.monotonic().saturating_sub(started);
                    instrument::processed(samples.len(), &processed.dropped, took);
                    return Ok(processed);
                }
                Ok(None) => instrument::failed("conflict"),
                Err(error) => {
                    instrument::failed(error.kind());
                    return Err(error);
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        let error = PipelineError::Contended { runs: MAX_RUNS };
        instrument::failed(error.kind());
        Err(error)
    }

    /// Deletes state that was not written for [`STATE_EXPIRY`]; returns how much.
    pub async fn expire(&self) -> Result<u64, PipelineError> {
        let count = self.state.expire(STATE_EXPIRY).await.map_err(PipelineError::State)?;
        instrument::expired(count);
        Ok(count)
    }

    fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a batch once; `None` if somebody else wrote one of its states meanwhile. Then the outputs are out already,
    /// but the next run gives all of them again that may have been wrong.
    async fn run(&self, active: &Active, samples: &[Sample]) -> Result<Option<Processed>, PipelineError> {
        let mut flow = Flow::start(&active.plan, samples, self.clock.now());
        let mut writes: Vec<StateWrite> = Vec::new();
        loop {
            let groups = flow.next_groups();
            if groups.keys.is_empty() {
                break;
            }
            let states = self.state.read(&groups.keys).await.map_err(PipelineError::State)?;
            writes.append(&mut flow.step(groups, states));
        }
        report(active, &flow);
        let published = publish(active, &mut flow.lanes).await?;
        // All writers take the rows in one order, so that databases see no deadlocks.
        writes.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        let written = writes.is_empty() || self.state.write(&writes).await.map_err(PipelineError::State)?;
        Ok(written.then_some(Processed { published, dropped: flow.dropped }))
    }
}

/// Brings each publisher the outputs of its sinks, all at once.
async fn publish(active: &Active, lanes: &mut [Lane]) -> Result<u64, PipelineError> {
    let mut users = vec![0_usize; lanes.len()];
    for sink in active.routes.iter().flat_map(|route| &route.sinks) {
        users.get_mut(*sink).into_iter().for_each(|users| *users += 1);
    }
    let mut deliveries = Vec::with_capacity(active.routes.len());
    for route in &active.routes {
        let mut samples: Vec<Sample> = Vec::new();
        for sink in &route.sinks {
            let (Some(lane), Some(users)) = (lanes.get_mut(*sink), users.get_mut(*sink)) else { continue };
            *users -= 1;
            match *users {
                0 => samples.append(&mut lane.samples),
                _ => samples.extend_from_slice(&lane.samples),
            }
        }
        if !samples.is_empty() {
            deliveries.push(deliver(&route.outlet, samples));
        }
    }
    // Each goes on until it is done: what one does not take must not keep the others from taking theirs.
    join_all(deliveries).await.into_iter().sum()
}

async fn deliver(outlet: &Outlet, samples: Vec<Sample>) -> Result<u64, PipelineError> {
    let delivered = outlet.deliver(&samples).await;
    delivered.map_err(|source| PipelineError::Publish { url: outlet.spec.url.clone(), source })?;
    Ok(samples.len() as u64)
}

fn report(active: &Active, flow: &Flow<'_>) {
    for fault in &flow.faults {
        if active.plan.is_news(fault.sink, fault.transformer) {
            tracing::warn!(
                sink = active.plan.sinks.get(fault.sink).map(|sink| sink.name.as_str()),
                transformer = fault.transformer,
                error = %fault.error,
                "a scale has no value for some samples; they are dropped"
            );
        }
    }
    if flow.unreadable_states > 0 {
        instrument::failed("unreadable_state");
        tracing::warn!(
            states = flow.unreadable_states,
            "stored transformer state was unreadable and began anew"
        );
    }
}

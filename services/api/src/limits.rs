//! How much a project may ask for, and have.
//!
//! Rates are buckets of tokens. Quotas are held against figures in memory: everything is counted once a minute, what this
//! process creates is added at once, and before anybody is refused it is counted again, though no more often than every
//! [`RECOUNT`]. What other processes create, and what was deleted, shows with the next count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephos_identity::Caller;
use nephos_identity::buckets::{Buckets, Rate};
use nephos_index::{Index, ResourceMetrics, Usage};

use crate::instrument;
use crate::service::Problem;
use crate::state::ApiState;

/// How old figures may be.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How old they may be when somebody would be refused for them.
pub const RECOUNT: Duration = Duration::from_secs(10);
/// Projects whose rates are kept in memory.
const PROJECTS: usize = 10_000;

/// What an operator can set, for each project; absent means no limit.
#[derive(Clone, Debug, Default)]
pub struct LimitOptions {
    /// Requests.
    pub requests: Option<Rate>,
    /// Points of measures.
    pub points: Option<Rate>,
    /// Most live metrics.
    pub metrics: Option<u64>,
    /// Most resources.
    pub resources: Option<u64>,
    /// Roles that no limit holds for.
    pub exempt_roles: Vec<String>,
}

/// The limits, and what counts against them.
#[derive(Debug)]
pub struct Limits {
    options: LimitOptions,
    requests: Option<Buckets<String>>,
    points: Option<Buckets<String>>,
    used: Arc<Mutex<Used>>,
    counting: tokio::sync::Mutex<()>,
}

/// What projects have, as far as is known.
#[derive(Debug, Default)]
struct Used {
    projects: BTreeMap<String, Usage>,
    /// What was added while everything is being counted.
    meanwhile: BTreeMap<String, Usage>,
    counted_at: Option<Duration>,
}

/// Room for what is about to be created. Given back when dropped, unless it was [kept](Self::keep).
#[derive(Debug)]
#[must_use = "what is not kept is given back"]
pub struct Reserved(Option<(Arc<Mutex<Used>>, String, Usage)>);

impl Reserved {
    /// It was created.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some((used, project, room)) = self.0.take() {
            let mut used = lock(&used);
            for side in [true, false] {
                let projects = if side { &mut used.projects } else { &mut used.meanwhile };
                if let Some(usage) = projects.get_mut(&project) {
                    usage.metrics = usage.metrics.saturating_sub(room.metrics);
                    usage.resources = usage.resources.saturating_sub(room.resources);
                }
            }
        }
    }
}

fn lock(used: &Mutex<Used>) -> MutexGuard<'_, Used> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who pays: the project, or the user where there is none.
fn payer(caller: &Caller) -> &str {
    let project = caller.project_id.as_deref().or(caller.user_id.as_deref());
    project.unwrap_or_default()
}

impl Limits {
    /// Full buckets, and nothing counted yet.
    pub fn new(options: LimitOptions) -> Self {
        let buckets = |rate: Option<Rate>| rate.map(|rate| Buckets::new(rate, PROJECTS));
        Self {
            requests: buckets(options.requests),
            points: buckets(options.points),
            options,
            used: Arc::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }

    fn is_exempt(&self, caller: &Caller) -> bool {
        self.options.exempt_roles.iter().any(|role| caller.has_role(role))
    }

    /// A request of this caller, at this monotonic time.
    pub fn request(&self, caller: &Caller, now: Duration) -> Result<(), Problem> {
        self.take(self.requests.as_ref(), caller, 1, now, "requests")
    }

    /// Points that this caller posts.
    pub fn points(&self, caller: &Caller, points: usize, now: Duration) -> Result<(), Problem> {
        self.take(self.points.as_ref(), caller, points, now, "points")
    }

    #[allow(clippy::cast_precision_loss)]
    fn take(
        &self,
        buckets: Option<&Buckets<String>>,
        caller: &Caller,
        number: usize,
        now: Duration,
        what: &'static str,
    ) -> Result<(), Problem> {
        let Some(buckets) = buckets.filter(|_| number > 0 && !self.is_exempt(caller)) else { return Ok(()) };
        let project = payer(caller).to_owned();
        buckets.take(&project, number as f64, now).map_err(|wait| {
            instrument::limited(what);
            Problem::Limited {
                reason: format!(
                    "Project {project} sends more {what} a second than it may. Please retry later."
                ),
                wait,
            }
        })
    }

    /// Room for metrics and resources that this caller wants to create.
    pub async fn reserve(
        &self,
        index: &dyn Index,
        caller: &Caller,
        room: Usage,
        now: Duration,
    ) -> Result<Reserved, Problem> {
        let asked = (room.metrics > 0 && self.options.metrics.is_some())
            || (room.resources > 0 && self.options.resources.is_some());
        if !asked || self.is_exempt(caller) {
            return Ok(Reserved(None));
        }
        self.count(index, now, MAX_AGE).await?;
        let project = payer(caller).to_owned();
        if let Err(first) = self.add(&project, room) {
            self.count(index, now, RECOUNT).await?;
            self.add(&project, room).map_err(|_| {
                instrument::limited(first.0);
                Problem::Limited {
                    reason: format!("Quota of {} {} for project {project} exceeded", first.1, first.0),
                    wait: MAX_AGE,
                }
            })?;
        }
        Ok(Reserved(Some((Arc::clone(&self.used), project, room))))
    }

    /// Counts what is about to be created, or says which quota is in the way.
    fn add(&self, project: &str, room: Usage) -> Result<(), (&'static str, u64)> {
        let mut used = lock(&self.used);
        let usage = used.projects.get(project).copied().unwrap_or_default();
        let sum = Usage {
            metrics: usage.metrics.saturating_add(room.metrics),
            resources: usage.resources.saturating_add(room.resources),
        };
        for (quota, own, wanted, what) in [
            (self.options.metrics, sum.metrics, room.metrics, "metrics"),
            (self.options.resources, sum.resources, room.resources, "resources"),
        ] {
            if let Some(quota) = quota.filter(|quota| wanted > 0 && own > *quota) {
                return Err((what, quota));
            }
        }
        used.projects.insert(project.to_owned(), sum);
        let meanwhile = used.meanwhile.entry(project.to_owned()).or_default();
        meanwhile.metrics += room.metrics;
        meanwhile.resources += room.resources;
        Ok(())
    }

    /// Counts everything if the figures are older than `age`. While somebody counts, others go on with figures they have.
    async fn count(&self, index: &dyn Index, now: Duration, age: Duration) -> Result<(), Problem> {
        let is_due = |used: &Used| used.counted_at.is_none_or(|at| now.saturating_sub(at) >= age);
        let (due, has_figures) = {
            let used = lock(&self.used);
            (is_due(&used), used.counted_at.is_some())
        };
        if !due {
            return Ok(());
        }
        let _counting = match self.counting.try_lock() {
            Ok(counting) => counting,
            Err(_) if has_figures => return Ok(()),
            Err(_) => self.counting.lock().await,
        };
        {
            let mut used = lock(&self.used);
            if !is_due(&used) {
                return Ok(());
            }
            used.meanwhile.clear();
        }
        let mut counted = index.usage().await?;
        instrument::quotas_counted();
        let mut used = lock(&self.used);
        // Some of it may be counted twice until the next count: better than not at all.
        for (project, room) in std::mem::take(&mut used.meanwhile) {
            let usage = counted.entry(project).or_default();
            usage.metrics += room.metrics;
            usage.resources += room.resources;
        }
        used.projects = counted;
        used.counted_at = Some(now);
        Ok(())
    }
}

/// Room for metrics that are created with a resource or added to one.
pub fn new_metrics(metrics: &BTreeMap<String, ResourceMetrics>) -> u64 {
    metrics.values().filter(|metric| matches!(metric, ResourceMetrics::New { .. })).count() as u64
}

/// Room for what `caller` wants to create.
pub async fn reserve(
    state: &ApiState,
    caller: &Caller,
    metrics: u64,
    resources: u64,
) -> Result<Reserved, Problem> {
    let now = state.clock.monotonic();
    state.limits.reserve(state.index.as_ref(), caller, Usage { metrics, resources }, now).await
}

/// Points that `caller` posts.
pub fn demand_points(state: &ApiState, caller: &Caller, points: usize) -> Result<(), Problem> {
    state.limits.points(caller, points, state.clock.monotonic())
}

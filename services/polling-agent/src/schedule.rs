//! When a source is due. Pure: the same function for intervals and cron expressions.

use std::time::Duration;

use nephos_config::polling::{CronSchedule, Schedule};
use nephos_model::Timestamp;

/// An instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock; may jump.
    pub wall: Timestamp,
    /// Time since any fixed instant; never goes back.
    pub monotonic: Duration,
}

/// When the first run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRun {
    /// At once.
    AtOnce,
    /// After the jitter, so that many agents started together spread out.
    Jittered,
}

/// The next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// By the monotonic clock.
    At(Duration),
    /// By the wall clock.
    On(Timestamp),
    /// Never again.
    Never,
}

impl Due {
    /// Whether the time has come.
    pub fn is_reached(self, now: Moment) -> bool {
        match self {
            Self::At(at) => at <= now.monotonic,
            Self::On(on) => on <= now.wall,
            Self::Never => false,
        }
    }
}

/// What the times of a source's runs follow from.
#[derive(Clone, Debug)]
pub struct Pace {
    schedule: Schedule,
    started: Duration,
    jitter: Duration,
    first: FirstRun,
}

impl Pace {
    /// The pace of a schedule on the host called `host`, started at `started`. The jitter is the same for all sources
    /// of one schedule, so that they share their readings, and another on each host: at most a tenth of the interval.
    pub fn new(schedule: Schedule, host: &str, first: FirstRun, started: Duration) -> Self {
        let jitter = match &schedule {
            Schedule::Interval(interval) => jitter(host, *interval),
            Schedule::Cron(_) => Duration::ZERO,
        };
        Self { schedule, started, jitter, first }
    }

    /// The run after the one that began at `last` on the monotonic clock, or the first. `since` is the wall clock at
    /// that run, or at the start; after the clock was set back, what it was set to.
    ///
    /// Runs of an interval stand on a fixed grid, so they do not drift; a run that was missed because another took
    /// long is due at once, but only one. Runs of a cron expression follow the wall clock.
    pub fn next_due(&self, last: Option<Duration>, since: Timestamp) -> Due {
        match &self.schedule {
            Schedule::Interval(interval) => self.on_grid(*interval, last),
            Schedule::Cron(cron) => next_of(cron, since).map_or(Due::Never, Due::On),
        }
    }

    /// Whether a run of that length left no time until the next one. Cron expressions have no such measure.
    pub fn is_overrun(&self, took: Duration) -> bool {
        matches!(&self.schedule, Schedule::Interval(interval) if took > *interval)
    }

    fn on_grid(&self, interval: Duration, last: Option<Duration>) -> Due {
        let origin = self.started.saturating_add(self.jitter);
        let Some(last) = last else {
            return Due::At(if self.first == FirstRun::AtOnce { self.started } else { origin });
        };
        let nanos = interval.as_nanos().max(1);
        let passed = last.saturating_sub(origin).as_nanos() / nanos;
        let ahead = u64::try_from((passed + 1).saturating_mul(nanos)).unwrap_or(u64::MAX);
        Due::At(origin.saturating_add(Duration::from_nanos(ahead)))
    }
}

fn jitter(host: &str, interval: Duration) -> Duration {
    let most = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX);
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(host.as_bytes(), most);
    Duration::from_nanos(hash.checked_rem(most).unwrap_or(0))
}

fn next_of(cron: &CronSchedule, after: Timestamp) -> Option<Timestamp> {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(after.as_nanos())).ok()?;
    let found = cron.pattern.find_next_occurrence(&instant.to_zoned(cron.zone.clone()), false).ok()?;
    i64::try_from(found.timestamp().as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests;

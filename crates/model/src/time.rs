//! Time as integers of nanoseconds, and the clock that is handed to whoever needs to know it.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00Z; may be negative, reaches to the year 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The latest instant that fits.
    pub const MAX: Self = Self(i64::MAX);
    /// The earliest instant that fits.
    pub const MIN: Self = Self(i64::MIN);

    /// From nanoseconds since the epoch.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch, saturating at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[inline]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Seconds since the epoch as a float.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The start of the bucket of `granularity` that holds this instant (metrics-api §9.1).
    pub const fn floor(self, granularity: Granularity) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(granularity.as_nanos())))
    }

    /// This instant moved by `nanos`, saturating.
    pub const fn plus_nanos(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// This instant moved forward, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    /// This instant moved back, saturating.
    pub fn minus(self, duration: Duration) -> Self {
        self.plus_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX).saturating_neg())
    }

    /// Nanoseconds from `earlier` to this instant; negative if `earlier` is later.
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant cut to whole microseconds: the precision of a sample's timestamp on the wire.
    pub const fn to_micros_precision(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(1_000)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({}.{:09})", self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000))
    }
}

/// The width of a bucket: a positive number of nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Granularity(i64);

impl Granularity {
    /// From nanoseconds; `None` unless positive.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> Option<Self> {
        if nanos > 0 { Some(Self(nanos)) } else { None }
    }

    /// From whole seconds; `None` unless positive and in range.
    pub const fn from_secs(secs: i64) -> Option<Self> {
        match secs.checked_mul(1_000_000_000) {
            Some(nanos) => Self::from_nanos(nanos),
            None => None,
        }
    }

    /// Nanoseconds, always positive.
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds as a float, as measures show it (`60.0`).
    #[allow(clippy::cast_precision_loss)]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Debug for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granularity({}s)", self.as_secs_f64())
    }
}

/// Where time comes from. Everything that needs "now" is given one; only the system clock of
/// `nephos-observe` reads the machine's.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time. May jump backwards.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start of this boot; never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// A clock that moves only when told: for tests.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both readings forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.0 = state.0.plus(by);
        state.1 = state.1.saturating_add(by);
    }

    /// Sets the wall clock alone, as an operator or NTP would.
    pub fn set(&self, now: Timestamp) {
        self.lock().0 = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_start_at_the_epoch_and_round_down_before_it() {
        let minute = Granularity::from_secs(60).unwrap();
        assert_eq!(Timestamp::from_secs(119).floor(minute), Timestamp::from_secs(60));
        assert_eq!(Timestamp::from_secs(120).floor(minute), Timestamp::from_secs(120));
        assert_eq!(Timestamp::from_secs(-1).floor(minute), Timestamp::from_secs(-60));
        assert_eq!(Timestamp::from_nanos(59_999_999_999).floor(minute), Timestamp::EPOCH);
    }

    #[test]
    fn granularity_is_positive() {
        assert!(Granularity::from_secs(0).is_none());
        assert!(Granularity::from_nanos(-1).is_none());
        assert!(Granularity::from_secs(i64::MAX).is_none());
    }

    #[test]
    fn manual_clock_can_jump_back_without_moving_monotonic_time() {
        let clock = ManualClock::new(Timestamp::from_secs(100));
        clock.advance(Duration::from_secs(5));
        clock.set(Timestamp::from_secs(50));
        assert_eq!(clock.now(), Timestamp::from_secs(50));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}

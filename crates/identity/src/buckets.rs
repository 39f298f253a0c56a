//! Limits of rates: a bucket of tokens for each key, in bounded memory.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

/// How fast and how much at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens that come back each second; more than 0.
    pub per_second: f64,
    /// Tokens of a full bucket; more than 0.
    pub burst: f64,
}

/// A bucket for each key. Of a bucket only the time is kept at which it will be full again: one that is full needs no
/// memory, and the least used are given up when there are too many.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    full_at: Cache<K, Arc<Mutex<Duration>>>,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Full buckets, for about so many keys at once.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, full_at: Cache::new(capacity) }
    }

    /// Takes tokens out of a bucket, or says when enough will be there. Who takes more than a bucket holds needs a full
    /// one, and waits the longer afterwards. `now` is monotonic.
    pub fn take(&self, key: &K, tokens: f64, now: Duration) -> Result<(), Duration> {
        let bucket = self.bucket(key);
        let mut full_at = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.saturating_sub(now).as_secs_f64() * self.rate.per_second;
        let lacking = missing + tokens.min(self.rate.burst) - self.rate.burst;
        // Less than a millionth of a token is an error of rounding.
        if lacking > 1e-6 {
            return Err(seconds(lacking / self.rate.per_second));
        }
        *full_at = now + seconds((missing + tokens) / self.rate.per_second);
        Ok(())
    }

    /// When a token will be there; `None` if one is there now.
    pub fn wait(&self, key: &K, now: Duration) -> Option<Duration> {
        let bucket = self.full_at.get(key)?;
        let full_at = *bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.saturating_sub(now).as_secs_f64() * self.rate.per_second;
        let lacking = missing + 1.0 - self.rate.burst;
        (lacking > 1e-6).then(|| seconds(lacking / self.rate.per_second))
    }

    fn bucket(&self, key: &K) -> Arc<Mutex<Duration>> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        match self.full_at.get_or_insert_with(key, fresh) {
            Ok(bucket) => bucket,
            Err(never) => match never {},
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    // A thousand years are enough for whatever was taken.
    Duration::try_from_secs_f64(seconds.clamp(0.0, 3e10)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let buckets = Buckets::new(Rate { per_second: 2.0, burst: 3.0 }, 10);
        for _ in 0..3 {
            assert_eq!(buckets.take(&"p", 1.0, at(0)), Ok(()));
        }
        assert_eq!(buckets.take(&"p", 1.0, at(0)), Err(Duration::from_millis(500)));
        assert_eq!(buckets.wait(&"p", at(100)), Some(Duration::from_millis(400)));
        assert_eq!(buckets.take(&"q", 1.0, at(0)), Ok(()), "another key has a bucket of its own");
        assert_eq!(buckets.wait(&"p", at(500)), None);
        assert_eq!(buckets.take(&"p", 1.0, at(500)), Ok(()));
        assert!(buckets.take(&"p", 1.0, at(600)).is_err());
        assert_eq!(buckets.take(&"p", 3.0, at(60_000)), Ok(()), "it fills up, and no further");
        assert!(buckets.take(&"p", 1.0, at(60_000)).is_err());
    }

    #[test]
    fn more_than_a_bucket_holds_needs_a_full_one_and_is_paid_for() {
        let buckets = Buckets::new(Rate { per_second: 10.0, burst: 10.0 }, 10);
        assert_eq!(buckets.take(&1, 100.0, at(0)), Ok(()));
        assert_eq!(buckets.take(&1, 1.0, at(0)), Err(Duration::from_millis(9_100)));
        assert_eq!(buckets.take(&1, 100.0, at(9_900)), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take(&1, 100.0, at(10_000)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_ever_pass(
            gaps in proptest::collection::vec(0_u64..400, 1..200),
            per_second in 1_u32..50,
            burst in 1_u32..20,
        ) {
            let rate = Rate { per_second: f64::from(per_second), burst: f64::from(burst) };
            let buckets = Buckets::new(rate, 10);
            let (mut now, mut passed) = (0, 0_u32);
            for gap in gaps {
                now += gap;
                passed += u32::from(buckets.take(&(), 1.0, at(now)).is_ok());
            }
            let most = rate.burst + Duration::from_millis(now).as_secs_f64() * rate.per_second;
            prop_assert!(f64::from(passed) <= most + 1e-3, "{passed} > {most}");
        }
    }
}

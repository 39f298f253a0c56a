//! How often, and after which pauses, a delivery that was given back comes again.

use std::time::Duration;

use nephos_observe::Backoff;

/// Bounds of redelivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a message is delivered before it is given up.
    pub deliveries: u32,
    /// Pause before the second delivery; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest pause.
    pub longest_delay: Duration,
}

impl Default for RetryPolicy {
    /// A hundred deliveries, from 100 ms to 30 s apart: an outage of three quarters of an hour is outlived.
    fn default() -> Self {
        Self {
            deliveries: 100,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The pause after a message was delivered `delivered` times, or `None` if that was the last time.
    pub(crate) fn pause_after(&self, delivered: u32) -> Option<Duration> {
        if delivered >= self.deliveries {
            return None;
        }
        let doublings = delivered.saturating_sub(1).min(20);
        let full = self.first_delay.saturating_mul(1 << doublings).min(self.longest_delay);
        Some(Backoff::new(full, full).next_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_end_with_the_last_delivery() {
        let policy = RetryPolicy {
            deliveries: 5,
            first_delay: Duration::from_millis(10),
            longest_delay: Duration::from_millis(35),
        };
        for (delivered, full) in [(1, 10), (2, 20), (3, 35), (4, 35)] {
            let pause = policy.pause_after(delivered).unwrap();
            assert!(
                pause <= Duration::from_millis(full) && pause >= Duration::from_millis(full / 2),
                "{pause:?}"
            );
        }
        assert_eq!(policy.pause_after(5), None);
        assert_eq!(policy.pause_after(u32::MAX), None);
    }
}

//! The clock of this boot.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine booted, sleep included: the same for every process of a boot, so readings of a process and
/// of its successor can be compared.
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds of that many clock ticks, saturating.
pub(crate) fn ticks_to_nanos(ticks: u64, ticks_per_second: u64) -> u64 {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Clock ticks per second of this kernel's figures.
pub(crate) fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_boot_moves_on() {
        let before = since_boot();
        assert!(before > Duration::ZERO);
        assert!(since_boot() >= before);
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        assert_eq!(ticks_to_nanos(53, 100), 530_000_000);
        assert_eq!(ticks_to_nanos(u64::MAX, 100), u64::MAX);
        assert_eq!(ticks_to_nanos(7, 0), 7_000_000_000);
    }
}

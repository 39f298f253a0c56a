//! When an alarm may be evaluated (alarms-api §11.2). Pure.

use std::time::Duration;

use nephos_lang::cron::{CronSchedule, zone};
use nephos_model::Timestamp;
use nephos_model::alarm::TimeConstraint;

/// A cron point this near counts as reached.
const NEAR: Duration = Duration::from_secs(60);

/// Whether at least one constraint holds at `now`, or there is none. A constraint that cannot be read never holds.
pub fn within(constraints: &[TimeConstraint], now: Timestamp) -> bool {
    constraints.is_empty() || constraints.iter().any(|constraint| holds(constraint, now))
}

fn holds(constraint: &TimeConstraint, now: Timestamp) -> bool {
    let (Ok(schedule), Ok(zone)) = (CronSchedule::parse(&constraint.start), zone(&constraint.timezone))
    else {
        return false;
    };
    if schedule.next(now, &zone).is_some_and(|next| next <= now.plus(NEAR)) {
        return true;
    }
    let duration = Duration::from_secs(constraint.duration).max(NEAR);
    schedule.previous(now, &zone).is_some_and(|previous| now <= previous.plus(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint(start: &str, duration: u64, timezone: &str) -> TimeConstraint {
        TimeConstraint {
            name: "c".into(),
            description: String::new(),
            start: start.into(),
            duration,
            timezone: timezone.into(),
        }
    }

    #[test]
    fn holds_for_the_duration_and_a_minute_around_each_start() {
        let daily = [constraint("0 11 * * *", 3_600, "")];
        let eleven = 1_700_000_000 / 86_400 * 86_400 + 11 * 3_600;
        for (offset, expected) in [(-61, false), (-60, true), (0, true), (3_600, true), (3_601, false)] {
            assert_eq!(within(&daily, Timestamp::from_secs(eleven + offset)), expected, "{offset}");
        }
    }

    #[test]
    fn one_of_several_is_enough_and_none_means_always() {
        let now = Timestamp::from_secs(1_700_000_000 / 86_400 * 86_400 + 11 * 3_600 + 600);
        assert!(within(&[], now));
        assert!(within(&[constraint("0 3 * * *", 60, ""), constraint("0 11 * * *", 3_600, "")], now));
        assert!(!within(&[constraint("0 11 * * *", 3_600, "America/New_York")], now));
    }
}

//! How long buckets are kept: relative to the newest one, never to the wall clock (metrics-api §9.4).

use nephos_model::Timestamp;

use crate::policy::PolicyItem;

/// Start of the oldest bucket that still counts when `newest` begins the newest one: exactly `points` slots, gaps
/// included. `None` if buckets are kept for ever. Reads cut here, by the newest bucket of the method they read.
pub fn first_kept(newest: Timestamp, item: &PolicyItem) -> Option<Timestamp> {
    let slots_behind = i64::try_from(item.points?.saturating_sub(1)).unwrap_or(i64::MAX);
    let back = item.granularity.as_nanos().saturating_mul(slots_behind);
    Some(newest.floor(item.granularity).plus_nanos(back.saturating_neg()))
}

/// The low-water mark of a metric and granularity after `newest` was written: buckets before it are gone. It only
/// rises, so that data do not come back when the policy grows.
pub fn low_water(mark: Option<Timestamp>, newest: Timestamp, item: &PolicyItem) -> Option<Timestamp> {
    mark.max(first_kept(newest, item))
}

#[cfg(test)]
mod tests {
    use nephos_model::Granularity;

    use super::*;

    fn item(points: Option<u64>) -> PolicyItem {
        PolicyItem { granularity: Granularity::from_secs(60).unwrap(), points }
    }

    #[test]
    fn exactly_as_many_slots_as_points_are_kept() {
        let newest = Timestamp::from_secs(600);
        assert_eq!(first_kept(newest, &item(Some(1))), Some(newest));
        assert_eq!(first_kept(newest, &item(Some(3))), Some(Timestamp::from_secs(480)));
        assert_eq!(first_kept(Timestamp::from_secs(659), &item(Some(3))), Some(Timestamp::from_secs(480)));
        assert_eq!(first_kept(newest, &item(None)), None);
        assert_eq!(
            first_kept(newest, &item(Some(u64::MAX))),
            Some(Timestamp::from_nanos(600_000_000_000 - i64::MAX))
        );
    }

    #[test]
    fn low_water_never_falls() {
        let mark = low_water(None, Timestamp::from_secs(600), &item(Some(3)));
        assert_eq!(mark, Some(Timestamp::from_secs(480)));
        assert_eq!(low_water(mark, Timestamp::from_secs(660), &item(Some(10))), mark);
        assert_eq!(low_water(mark, Timestamp::from_secs(660), &item(None)), mark);
        assert_eq!(
            low_water(mark, Timestamp::from_secs(720), &item(Some(3))),
            Some(Timestamp::from_secs(600))
        );
        assert_eq!(low_water(None, Timestamp::from_secs(720), &item(None)), None);
    }
}

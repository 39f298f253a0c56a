//! Cron expressions of alarm time constraints and polling sources: minute, hour, day of month, month, day of week,
//! then optionally second and year, or an alias such as `@daily` (alarms-api §3.2).

use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::TimeZone;
use nephos_model::Timestamp;

/// A parsed cron expression.
#[derive(Clone, Debug)]
pub struct CronSchedule {
    cron: croner::Cron,
}

/// Why an expression or zone was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five, six or seven fields.
    #[error("Exactly 5, 6 or 7 columns has to be specified for iterator expression.")]
    Columns,
    /// A field is wrong.
    #[error("[{expression}] is not acceptable: {reason}")]
    Field {
        /// The expression.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such time zone.
    #[error("Timezone {0} is not valid")]
    Zone(String),
}

/// The zone of that IANA name; empty means UTC.
pub fn zone(name: &str) -> Result<TimeZone, CronError> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| CronError::Zone(name.to_owned()))
}

impl CronSchedule {
    /// Parses an expression.
    pub fn parse(expression: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        // Seconds and year stand behind the classic five fields here, and around them in the library.
        let reordered = match fields.as_slice() {
            [alias] if alias.starts_with('@') => (*alias).to_owned(),
            [_, _, _, _, _] => format!("0 {}", fields.join(" ")),
            [minute, hour, day, month, weekday, second] => {
                format!("{second} {minute} {hour} {day} {month} {weekday}")
            }
            [minute, hour, day, month, weekday, second, year] => {
                format!("{second} {minute} {hour} {day} {month} {weekday} {year}")
            }
            _ => return Err(CronError::Columns),
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
        let cron = parser.parse(&reordered).map_err(|error| CronError::Field {
            expression: expression.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self { cron })
    }

    /// The last point at or before `now`, if there is one.
    pub fn previous(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.cron.find_previous_occurrence(&zoned(now, zone)?, true).ok().and_then(|found| timestamp(&found))
    }

    /// The first point after `now`, if there is one.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.cron.find_next_occurrence(&zoned(now, zone)?, false).ok().and_then(|found| timestamp(&found))
    }
}

fn zoned(now: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos())).ok().map(|at| at.to_zoned(zone.clone()))
}

fn timestamp(found: &Zoned) -> Option<Timestamp> {
    i64::try_from(found.timestamp().as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let parsed: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_nanos(i64::try_from(parsed.as_nanosecond()).unwrap())
    }

    #[test]
    fn previous_and_next_points_in_utc_and_in_a_zone() {
        let eleven = CronSchedule::parse("0 11 * * *").unwrap();
        let now = at("2026-11-21T12:30:00Z");
        assert_eq!(eleven.previous(now, &TimeZone::UTC), Some(at("2026-11-21T11:00:00Z")));
        assert_eq!(eleven.next(now, &TimeZone::UTC), Some(at("2026-11-22T11:00:00Z")));
        let berlin = zone("Europe/Berlin").unwrap();
        assert_eq!(eleven.previous(now, &berlin), Some(at("2026-11-21T10:00:00Z")));
    }

    #[test]
    fn a_point_counts_as_its_own_previous() {
        let hourly = CronSchedule::parse("0 * * * *").unwrap();
        let now = at("2026-11-21T12:00:00Z");
        assert_eq!(hourly.previous(now, &TimeZone::UTC), Some(now));
    }

    #[test]
    fn seconds_stand_last() {
        let schedule = CronSchedule::parse("30 11 * * * 15").unwrap();
        let now = at("2026-11-21T12:00:00Z");
        assert_eq!(schedule.previous(now, &TimeZone::UTC), Some(at("2026-11-21T11:30:15Z")));
    }

    #[test]
    fn aliases_are_known_and_nonsense_is_not() {
        assert!(CronSchedule::parse("@daily").is_ok());
        assert_eq!(CronSchedule::parse("11:00am").unwrap_err(), CronError::Columns);
        assert!(matches!(CronSchedule::parse("61 * * * *"), Err(CronError::Field { .. })));
        assert_eq!(zone("aaaa").unwrap_err(), CronError::Zone("aaaa".to_owned()));
    }
}

//! Regrouping of stored series, by a fixed step or by the calendar (metrics-api §5.3).

use std::ops::Range;

use nephos_model::{Granularity, Timestamp};

use crate::aggregate::Summary;
use crate::method::AggregationMethod;

/// Regrouping of a stored series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// Buckets of a fixed width.
    Step(Granularity),
    /// Calendar buckets: `Y` year, `H` half-year, `Q` quarter, `M` month, `W` week from Sunday.
    Calendar(Calendar),
}

/// A calendar bucket, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Year.
    Year,
    /// Half-year.
    HalfYear,
    /// Quarter.
    Quarter,
    /// Month.
    Month,
    /// Week that starts on Sunday.
    Week,
}

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Calendar {
    /// The letter of the API.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Year => "Y",
            Self::HalfYear => "H",
            Self::Quarter => "Q",
            Self::Month => "M",
            Self::Week => "W",
        }
    }

    /// The bucket of a letter of the API.
    pub fn from_letter(letter: &str) -> Option<Self> {
        let all = [Self::Year, Self::HalfYear, Self::Quarter, Self::Month, Self::Week];
        all.into_iter().find(|calendar| calendar.letter() == letter)
    }

    /// Midnight of the first day of the bucket that holds `timestamp`.
    pub fn floor(self, timestamp: Timestamp) -> Timestamp {
        self.start_near(timestamp, 0)
    }

    /// Start of the bucket `offset` buckets after the one that holds `timestamp`.
    fn start_near(self, timestamp: Timestamp, offset: i64) -> Timestamp {
        let day = timestamp.as_nanos().div_euclid(DAY_NANOS);
        let months = match self {
            Self::Year => 12,
            Self::HalfYear => 6,
            Self::Quarter => 3,
            Self::Month => 1,
            // 1970-01-01 was a Thursday, four days after a Sunday.
            Self::Week => return midnight(day - (day + 4).rem_euclid(7) + 7 * offset),
        };
        midnight(first_day_of_month((month_of_day(day).div_euclid(months) + offset) * months))
    }
}

impl Resample {
    /// Start of the group that holds `timestamp`.
    pub fn floor(self, timestamp: Timestamp) -> Timestamp {
        match self {
            Self::Step(step) => timestamp.floor(step),
            Self::Calendar(calendar) => calendar.floor(timestamp),
        }
    }

    /// Start of the group behind the one that holds `timestamp`.
    pub fn next(self, timestamp: Timestamp) -> Timestamp {
        match self {
            Self::Step(step) => timestamp.floor(step).plus_nanos(step.as_nanos()),
            Self::Calendar(calendar) => calendar.start_near(timestamp, 1),
        }
    }

    /// Which stored buckets a window needs: from the start of the first group, inclusive, to the end of the last
    /// group that begins before `stop`, exclusive. A group's value counts all its buckets, also those outside
    /// the window.
    pub fn input_window(
        self,
        start: Option<Timestamp>,
        stop: Option<Timestamp>,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        (start.map(|start| self.floor(start)), stop.map(|stop| self.next(stop.plus_nanos(-1))))
    }
}

/// Groups a series, ascending in time, and applies the statistic of `method` to each group: mean of means; the
/// count is that of the buckets; differences are not taken again. A step smaller than the series' own relabels.
/// Groups whose statistic has no value (deviation of one bucket) are left out.
pub fn resample(
    timestamps: &[Timestamp],
    values: &[f64],
    method: AggregationMethod,
    by: Resample,
) -> (Vec<Timestamp>, Vec<f64>) {
    let (mut starts, mut results) = (Vec::new(), Vec::new());
    let mut summary = Summary::default();
    let (mut timestamps, mut values) = (timestamps, values);
    while let Some(first) = timestamps.first() {
        let (start, next) = (by.floor(*first), by.next(*first));
        // At the end of time the next group begins where it cannot be told from this one.
        let inside = timestamps.partition_point(|timestamp| *timestamp < next).max(1).min(values.len());
        if inside == 0 {
            break;
        }
        let (group, rest) = values.split_at(inside);
        summary.reset();
        if let Some(value) = summary.of(method.stat, group) {
            starts.push(start);
            results.push(value);
        }
        values = rest;
        timestamps = &timestamps[inside..];
    }
    (starts, results)
}

/// The rows of ascending bucket starts inside `[floor(start), stop)`: start is rounded down to its bucket of
/// `by`, stop is not.
pub fn window(
    timestamps: &[Timestamp],
    start: Option<Timestamp>,
    stop: Option<Timestamp>,
    by: Resample,
) -> Range<usize> {
    let first = start.map_or(0, |start| {
        let start = by.floor(start);
        timestamps.partition_point(|timestamp| *timestamp < start)
    });
    let end = stop.map_or(timestamps.len(), |stop| timestamps.partition_point(|timestamp| *timestamp < stop));
    first..end.max(first)
}

fn midnight(day: i64) -> Timestamp {
    Timestamp::from_nanos(day.saturating_mul(DAY_NANOS))
}

/// Months since January 1970 of a day since 1970-01-01, in the proleptic Gregorian calendar. Years are taken to
/// begin in March, so that the leap day is their last and month lengths follow one formula.
fn month_of_day(day: i64) -> i64 {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era - 1970) * 12 + month_from_march + 2
}

/// The day since 1970-01-01 on which a month since January 1970 begins: [`month_of_day`] backwards.
fn first_day_of_month(month: i64) -> i64 {
    let from_march = month + 1970 * 12 - 2;
    let (year, month_from_march) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5;
    era * 146_097 + 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests;

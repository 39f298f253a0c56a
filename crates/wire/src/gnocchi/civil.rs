//! Days and dates of the proleptic Gregorian calendar, as integers.

/// Days from 1970-01-01 to a date; `None` if there is no such date.
pub(super) fn days_from_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month and day of the day that is `days` after 1970-01-01.
pub(super) fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_three_centuries_agrees_with_the_calendar() {
        let mut date = jiff::civil::date(1900, 1, 1);
        let first = days_from_date(1900, 1, 1).unwrap();
        assert_eq!(days_from_date(1970, 1, 1), Some(0));
        for days in first..first + 366 * 300 {
            let parts = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!(date_from_days(days), parts);
            assert_eq!(days_from_date(parts.0, parts.1, parts.2), Some(days));
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn impossible_dates_are_none() {
        for (year, month, day) in
            [(2015, 2, 29), (2015, 0, 1), (2015, 13, 1), (2015, 4, 31), (2015, 1, 0), (1900, 2, 29)]
        {
            assert_eq!(days_from_date(year, month, day), None, "{year}-{month}-{day}");
        }
        assert!(days_from_date(2000, 2, 29).is_some());
    }
}

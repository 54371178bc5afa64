//! The world's clock. The simulated service is the outside world, so it reads the real one, here only.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds.
#[allow(
    clippy::disallowed_methods,
    reason = "the outside world has a clock of its own; this is the one place that reads it"
)]
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `Wed, 15-Nov-2023 10:13:20 GMT`, the date form of the service's cookies.
pub(crate) fn cookie_date(unix_s: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = unix_s / 86_400;
    let seconds = unix_s % 86_400;
    // Days since 0000-03-01, then the usual division into 400-year eras.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = (month_index + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    let name = |list: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| list.get(at).copied()).unwrap_or("")
    };
    format!(
        "{}, {day:02}-{}-{year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::cookie_date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(cookie_date(1_700_043_200), "Wed, 15-Nov-2023 10:13:20 GMT");
        assert_eq!(cookie_date(951_782_400), "Tue, 29-Feb-2000 00:00:00 GMT");
        assert_eq!(cookie_date(0), "Thu, 01-Jan-1970 00:00:00 GMT");
    }
}

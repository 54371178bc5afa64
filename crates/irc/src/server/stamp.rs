//! Points in time as IRC writes them, in UTC.

use wxgate_contract::Timestamp;

/// A date and a time of day.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
}

/// Source: "chrono-Compatible Low-Level Date Algorithms", days to civil from an era of 400 years.
fn civil(at: Timestamp) -> Civil {
    let days = at.ms().div_euclid(86_400_000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let ms = at.ms().rem_euclid(86_400_000);
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted + 2) / 5 + 1,
        hour: ms / 3_600_000,
        minute: ms / 60_000 % 60,
        second: ms / 1000 % 60,
        ms: ms % 1000,
    }
}

/// `2026-11-24T00:10:14.123Z`, as server-time wants it.
pub(super) fn push_server_time(out: &mut String, at: Timestamp) {
    use std::fmt::Write as _;
    let c = civil(at);
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        c.year, c.month, c.day, c.hour, c.minute, c.second, c.ms
    );
}

/// `[11-24 00:10] `, for clients that cannot show a line's own time.
pub(super) fn short(at: Timestamp) -> String {
    let c = civil(at);
    format!("[{:02}-{:02} {:02}:{:02}] ", c.month, c.day, c.hour, c.minute)
}

/// For TIME and 003.
pub(super) fn long(at: Timestamp) -> String {
    let c = civil(at);
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_right() {
        let text = |ms| {
            let mut out = String::new();
            push_server_time(&mut out, Timestamp(ms));
            out
        };
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(1_709_164_799_999), "2024-02-28T23:59:59.999Z");
        assert_eq!(text(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(short(Timestamp(1_709_164_800_000)), "[02-29 00:00] ");
        assert_eq!(long(Timestamp(1_709_164_800_000)), "2024-02-29 00:00:00 UTC");
    }
}

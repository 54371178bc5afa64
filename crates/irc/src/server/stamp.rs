//! Points in time as IRC writes them, in UTC.

use wxgate_contract::Timestamp;

/// `2026-11-24T00:10:14.123Z`, as server-time wants it.
pub(super) fn push_server_time(out: &mut String, at: Timestamp) {
    use std::fmt::Write as _;
    let c = at.civil();
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        c.year, c.month, c.day, c.hour, c.minute, c.second, c.ms
    );
}

/// The same as a text of its own.
pub(crate) fn server_time(at: Timestamp) -> String {
    let mut out = String::with_capacity(24);
    push_server_time(&mut out, at);
    out
}

/// Reads `2026-11-24T00:10:14.123Z`; milliseconds may be absent or of another length.
/// Source: IRCv3 server-time.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, month, day) = three(date, '-')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let (hour, minute, second) = three(clock, ':')?;
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    if !is_real || second > 60 || year > 9999 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 =
        fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
    // Source: "chrono-Compatible Low-Level Date Algorithms", days from civil.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(Timestamp(days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms))
}

fn three(text: &str, separator: char) -> Option<(i64, i64, i64)> {
    let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok())?;
    let mut words = text.split(separator);
    let found = (number(words.next()?)?, number(words.next()?)?, number(words.next()?)?);
    words.next().is_none().then_some(found)
}

/// `[11-24 00:10] `, for clients that cannot show a line's own time.
pub(super) fn short(at: Timestamp) -> String {
    let c = at.civil();
    format!("[{:02}-{:02} {:02}:{:02}] ", c.month, c.day, c.hour, c.minute)
}

/// For TIME and 003.
pub(crate) fn long(at: Timestamp) -> String {
    let c = at.civil();
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
        for ms in [0, 1_709_164_799_999, 1_709_164_800_000, -1, 1_700_000_000_123] {
            assert_eq!(parse(&text(ms)), Some(Timestamp(ms)));
        }
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(Timestamp(1000)));
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Some(Timestamp(1500)));
        for bad in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-01-01T0:0Z",
            "x-1-1T1:1:1Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(short(Timestamp(1_709_164_800_000)), "[02-29 00:00] ");
        assert_eq!(long(Timestamp(1_709_164_800_000)), "2024-02-29 00:00:00 UTC");
    }
}

//! The `time` tag. Source: IRCv3 server-time: `YYYY-MM-DDThh:mm:ss.sssZ`, UTC.

use wxgate_contract::Timestamp;

/// The point in time; `None` for anything but the one form.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days since the epoch, counting years from March.
    // Source: "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some(Timestamp(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_form_is_read() {
        assert_eq!(parse("1970-01-01T00:00:00.000Z"), Some(Timestamp(0)));
        assert_eq!(parse("2012-06-30T23:59:60.419Z"), Some(Timestamp(1_341_100_800_419)));
        assert_eq!(parse("2024-02-29T12:34:56.7Z"), Some(Timestamp(1_709_210_096_700)));
        for odd in ["", "2024-02-29", "2024-13-01T00:00:00.000Z", "2024-01-01T00:00:00.xZ", "é-é-éT:Z"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}

//! The `Range` header, one range at a time.
//!
//! Source: RFC 9110, section 14.

/// Which bytes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of them.
    All,
    /// From the first to the last, both included.
    Part { first: u64, last: u64 },
    /// Bytes that are not there.
    Nothing,
}

/// Understands the header; what is not understood asks for everything, as the RFC wants.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(set) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::All };
    // Several ranges at once are answered with everything, which is allowed.
    let Some((from, to)) = set.split_once('-').filter(|_| !set.contains(',')) else { return Wanted::All };
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        // Digits that do not fit are beyond every file.
        true => Some(text.parse::<u64>().unwrap_or(u64::MAX)),
        false => None,
    };
    let (from, to) = (from.trim(), to.trim());
    let (Some(first), Some(last)) = (number(from), number(to)) else { return Wanted::All };
    match (from.is_empty(), to.is_empty()) {
        (true, true) => Wanted::All,
        (true, false) if last == 0 || size == 0 => Wanted::Nothing,
        (true, false) => Wanted::Part { first: size.saturating_sub(last), last: size - 1 },
        (false, false) if last < first => Wanted::All,
        _ if first >= size => Wanted::Nothing,
        (false, true) => Wanted::Part { first, last: size - 1 },
        (false, false) => Wanted::Part { first, last: last.min(size - 1) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood() {
        let part = |first, last| Wanted::Part { first, last };
        for (header, answer) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-5", part(2, 5)),
            ("bytes=2-", part(2, 9)),
            ("bytes=2-99999999999999999999", part(2, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-30", part(0, 9)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::All),
            ("bytes=0-1,4-5", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(Some(header), 10), answer, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::All);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}

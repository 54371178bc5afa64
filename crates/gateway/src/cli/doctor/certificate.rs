//! Until when a certificate is good.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxgate_contract::Timestamp;

use super::far::days;
use super::{Finding, ok, warning, wrong};

/// So long before its end somebody should think of it. Chosen: renewals come a month before.
const SOON_DAYS: i64 = 14;
const DAY_MS: i64 = 86_400_000;
/// Tags of ASN.1. Source: X.690, 8.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Looks at the first certificate of a PEM file, which is the server's own.
pub(super) fn check(path: &Path, now: Timestamp) -> Finding {
    const CHECK: &str = "certificate";
    const CURE: &str = "renew it; the running gateway reads the new file by itself";
    let shown = path.display();
    let read = std::fs::read_to_string(path).ok().and_then(|text| validity(&first(&text)?));
    let Some((from, until)) = read else {
        return wrong(CHECK, format!("{shown} holds no certificate that can be read (PEM)"), CURE);
    };
    let left = (until - now.ms()).div_euclid(DAY_MS);
    if now.ms() < from {
        wrong(CHECK, format!("{shown} is not good yet"), "look at the clock, or use the one before")
    } else if left < 0 {
        wrong(CHECK, format!("{shown} ran out {} days ago: clients refuse it", -left), CURE)
    } else if left < SOON_DAYS {
        warning(CHECK, format!("{shown} runs out in {left} days"), CURE)
    } else {
        ok(CHECK, format!("{shown} is good for {left} days"))
    }
}

/// The first certificate of a PEM text.
fn first(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// Tag and contents of the first value, and what comes after it. Source: X.690, 8.1.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // At most four bytes: a certificate has some thousands.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// From when and until when, in milliseconds since the epoch. Source: RFC 5280, 4.1.
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (SEQUENCE, certificate, _) = value(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = value(certificate)? else { return None };
    // Version, serial number, signature, issuer; the version may be left out.
    let skipped = if rest.first() == Some(&VERSION) { 4 } else { 3 };
    for _ in 0..skipped {
        rest = value(rest)?.2;
    }
    let (SEQUENCE, validity, _) = value(rest)? else { return None };
    let (tag, from, rest) = value(validity)?;
    let from = time(tag, from)?;
    let (tag, until, _) = value(rest)?;
    Some((from, time(tag, until)?))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`. Source: RFC 5280, 4.1.2.5.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == GENERALIZED_TIME { 4 } else { 2 })?;
    let year: i64 = year.parse().ok()?;
    let year = match (tag, year) {
        (GENERALIZED_TIME, year) => year,
        (UTC_TIME, 50..) => 1900 + year,
        (UTC_TIME, _) => 2000 + year,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let day = days(year, part(0)?, part(2)?);
    Some((((day * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl req -x509` for one day, for a name of RFC 2606.
    const SHORT: &str = include_str!("certificate/short.pem");

    fn at(text: &str) -> Timestamp {
        Timestamp(time(GENERALIZED_TIME, text.as_bytes()).unwrap())
    }

    #[test]
    fn the_end_of_a_certificate_is_told_before_and_after_it_came() {
        let dir = std::env::temp_dir().join(format!("wxgate-certificate-{}", std::process::id()));
        std::fs::write(&dir, SHORT).unwrap();
        let (from, until) = validity(&first(SHORT).unwrap()).unwrap();
        let told = |now: i64| check(&dir, Timestamp(now));
        assert!(told(from - 1).found.contains("not good yet"));
        assert!(told(from).found.contains("runs out in"), "{:?}", told(from));
        assert!(told(until + DAY_MS).found.contains("ran out"), "{:?}", told(until + DAY_MS));
        assert!(told(until - 400 * DAY_MS).found.contains("not good yet"));
        std::fs::write(&dir, "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n").unwrap();
        assert!(told(from).found.contains("no certificate"));
        std::fs::remove_file(&dir).unwrap();
        assert!(told(from).found.contains("no certificate"));
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(time(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, b"240229235959Z"), Some(at("20240229235959Z").ms()));
        assert_eq!(time(UTC_TIME, b"24"), None);
        assert_eq!(time(2, b"240229235959Z"), None);
    }

    #[test]
    fn garbage_is_no_certificate() {
        let good = first(SHORT).unwrap();
        for end in 0..good.len() {
            validity(&good[..end]);
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x7f;
            validity(&bad);
        }
    }
}

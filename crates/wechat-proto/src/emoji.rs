//! Emoji: the service's spans, its wrong table, and the private-use characters of its page.

mod softbank;

use std::borrow::Cow;

use softbank::SOFTBANK;

/// Whether the server's wrong table is undone.
///
/// The correction is lossy (a real 😼 becomes 😁), so it can be switched off.
/// Source: the protocol sheet, section 4.3 and appendix D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Corrections {
    /// Nine codes are replaced.
    #[default]
    On,
    /// Codes are taken as they come.
    Off,
}

/// (span, real): what the server writes for nine emoji.
///
/// Source: the protocol sheet, section 4.3 (IC's correction table, every row).
pub const CORRECTIONS: [(u32, u32); 9] = [
    (0x1f63c, 0x1f601),
    (0x1f639, 0x1f602),
    (0x1f63a, 0x1f603),
    (0x1f64d, 0x1f614),
    (0x1f63b, 0x1f60d),
    (0x1f63d, 0x1f618),
    (0x1f64e, 0x1f621),
    (0x1f63f, 0x1f622),
    (0x1f4ab, 0x1f616),
];

/// Longest run between `<span` and the class that is looked through, in bytes.
///
/// Chosen: real spans have none at all; the bound keeps the search linear.
const SPAN_ATTRIBUTES_BYTES: usize = 100;

/// Replaces emoji spans by the characters they stand for.
///
/// A missing final `>` is accepted, other attributes before `class` too; a span of another form
/// stays as it is. Source: the protocol sheet, section 4.3.
#[must_use]
pub fn decode_spans(text: &str, corrections: Corrections) -> Cow<'_, str> {
    const START: &str = "<span";
    if !text.contains(START) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        out.push_str(before);
        if let Some((code, tail)) = span_code(after) {
            push_code(&mut out, code, corrections);
            rest = tail;
        } else {
            out.push_str(START);
            rest = after;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The hex code of a span whose `<span` was read, and what follows the span.
fn span_code(after: &str) -> Option<(&str, &str)> {
    const CLASS: &str = "class=\"emoji emoji";
    let attributes = after.strip_prefix(|c: char| c.is_ascii_whitespace())?;
    let window_end = (0..=SPAN_ATTRIBUTES_BYTES).rev().find(|end| attributes.is_char_boundary(*end))?;
    let window = attributes.get(..window_end.min(attributes.len()))?;
    let at = window.find(CLASS)?;
    if window.get(..at)?.contains(['<', '>']) {
        return None;
    }
    let code_on = attributes.get(at + CLASS.len()..)?;
    let digits = code_on.bytes().take_while(u8::is_ascii_hexdigit).count();
    let code = code_on.get(..digits).filter(|code| !code.is_empty())?;
    let tail = code_on.get(digits..)?.strip_prefix("\"></span")?;
    Some((code, tail.strip_prefix('>').unwrap_or(tail)))
}

/// Appends what a code stands for: by its length one or two characters.
///
/// Source: the protocol sheet, section 4.3 (table of hex lengths).
fn push_code(out: &mut String, code: &str, corrections: Corrections) {
    let parts: &[&str] = match code.len() {
        2 | 4 | 5 => &[code],
        6 => &[code.get(..2).unwrap_or_default(), code.get(2..).unwrap_or_default()],
        8 => &[code.get(..4).unwrap_or_default(), code.get(4..).unwrap_or_default()],
        10 => &[code.get(..5).unwrap_or_default(), code.get(5..).unwrap_or_default()],
        _ => &[],
    };
    if parts.is_empty() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
    for part in parts {
        let code = u32::from_str_radix(part, 16).ok().map(|code| corrected(code, corrections));
        out.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}

fn corrected(code: u32, corrections: Corrections) -> u32 {
    match corrections {
        Corrections::On => CORRECTIONS.iter().find(|(span, _)| *span == code).map_or(code, |(_, real)| *real),
        Corrections::Off => code,
    }
}

/// Writes one character as the service's span; the reverse of [`decode_spans`] without corrections.
#[must_use]
pub fn encode_span(c: char) -> String {
    format!("<span class=\"emoji emoji{:x}\"></span>", u32::from(c))
}

/// Replaces SoftBank's private-use characters by real emoji.
///
/// Source: the protocol sheet, appendix B: convert by the table, then apply the corrections.
#[must_use]
pub fn from_softbank(text: &str, corrections: Corrections) -> Cow<'_, str> {
    let private = |c: char| ('\u{e001}'..='\u{e5ff}').contains(&c);
    if !text.contains(private) {
        return Cow::Borrowed(text);
    }
    let replaced = |c: char| {
        if !private(c) {
            return c;
        }
        let row = SOFTBANK.iter().find(|(softbank, _)| *softbank == u32::from(c));
        row.and_then(|(_, code)| char::from_u32(corrected(*code, corrections))).unwrap_or(c)
    };
    Cow::Owned(text.chars().map(replaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on(text: &str) -> String {
        decode_spans(text, Corrections::On).into_owned()
    }

    #[test]
    fn item_53_spans_keycaps_flags_and_the_broken_one() {
        for (span, expected) in [
            ("<span class=\"emoji emoji1f604\"></span>", "😄"),
            ("<span class=\"emoji emojia9\"></span>", "©"),
            ("<span class=\"emoji emoji263a\"></span>", "☺"),
            ("<span class=\"emoji emoji3120e3\"></span>", "1\u{20e3}"),
            ("<span class=\"emoji emoji2764fe0f\"></span>", "\u{2764}\u{fe0f}"),
            ("<span class=\"emoji emoji1f1e81f1f3\"></span>", "🇨🇳"),
            ("<span class=\"emoji emoji1f450\"></span", "👐"),
            ("<span class=\"emoji emoji1f4501\"></span>x", "\u{1f}\u{4501}x"),
            ("<span style=\"x\" class=\"emoji emoji1f604\"></span>", "😄"),
            ("<span class=\"emoji emoji1\"></span>", "\u{fffd}"),
            ("<span class=\"emoji emojid800\"></span>", "\u{fffd}"),
            ("<span class=\"emoji emoji123456789ab\"></span>", "\u{fffd}"),
            ("<span class=\"emoji emoji\"></span>", "<span class=\"emoji emoji\"></span>"),
            ("<span>x</span>", "<span>x</span>"),
            ("<span", "<span"),
        ] {
            assert_eq!(on(span), expected, "{span}");
        }
    }

    #[test]
    fn the_servers_nine_mistakes_are_undone_unless_switched_off() {
        for (span, real) in CORRECTIONS {
            let text = format!("<span class=\"emoji emoji{span:x}\"></span>");
            assert_eq!(on(&text), char::from_u32(real).unwrap().to_string());
            assert_eq!(decode_spans(&text, Corrections::Off), char::from_u32(span).unwrap().to_string());
        }
    }

    #[test]
    fn softbank_characters_become_emoji() {
        assert_eq!(from_softbank("a\u{e415}b", Corrections::On), "a😄b");
        assert_eq!(from_softbank("\u{e404}", Corrections::On), "😁", "the page codes its grin wrongly");
        assert_eq!(from_softbank("\u{e5ff}", Corrections::On), "\u{e5ff}", "unknown ones stay");
    }

    #[test]
    fn many_unclosed_spans_take_linear_time() {
        let text = "<span ".repeat(200_000);
        assert_eq!(on(&text), text);
    }

    proptest! {
        #[test]
        fn spans_round_trip(before in "[a-z]{0,5}", c in "[\u{1f300}-\u{1f5ff}\u{2600}-\u{27bf}]", after in "[a-z]{0,5}") {
            let c = c.chars().next().unwrap();
            let text = format!("{before}{}{after}", encode_span(c));
            prop_assert_eq!(decode_spans(&text, Corrections::Off), format!("{before}{c}{after}"));
        }
    }
}

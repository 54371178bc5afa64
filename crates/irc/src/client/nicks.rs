//! How people are called in a line of the relay: readable, and never pinged by their own words.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::wire::format::strip;

/// Longest name in front of a line, in bytes (16 Han characters): it is paid on every line. Chosen.
const NAME_BYTES: usize = 48;
/// Splits a name that is somebody's nick, so that nobody is pinged by himself. Invisible.
const NO_PING: char = '\u{200b}';
/// Colours that can be read on black and on white. Source: "Colors" in Modern IRC, without white,
/// black, grey, yellow and the dark blue.
const COLOURS: [u8; 9] = [3, 4, 5, 6, 7, 9, 10, 12, 13];

/// A name without what would break the line or hide something.
pub(super) fn clean(name: &str) -> String {
    let flat = strip(name).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(flat.len().min(NAME_BYTES));
    for cluster in flat.graphemes(true) {
        if out.len() + cluster.len() > NAME_BYTES {
            break;
        }
        out.push_str(cluster);
    }
    out
}

/// The name, so that the person of that nick is not highlighted.
pub(super) fn without_ping(name: &str) -> String {
    let first = name.graphemes(true).next().map_or(0, str::len);
    let (head, tail) = name.split_at_checked(first).unwrap_or((name, ""));
    format!("{head}{NO_PING}{tail}")
}

/// The colour of a person, the same for ever.
pub(super) fn colour(person: &str) -> u8 {
    // FNV-1a. Source: the FNV page of its authors.
    let hash = person
        .bytes()
        .fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    let at = usize::try_from(hash).unwrap_or(0) % COLOURS.len();
    COLOURS.get(at).copied().unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_readable_and_ping_nobody() {
        assert_eq!(clean(" 张\x02三\n (work) "), "张三 (work)");
        assert_eq!(clean(&"字".repeat(40)), "字".repeat(16));
        assert_eq!(without_ping("bob"), "b\u{200b}ob");
        assert_eq!(without_ping("👨\u{200d}👩x"), "👨\u{200d}👩\u{200b}x");
        assert_eq!(without_ping(""), "\u{200b}");
        assert!(COLOURS.contains(&colour("wechat:a/p1")) && colour("x") == colour("x"));
    }
}

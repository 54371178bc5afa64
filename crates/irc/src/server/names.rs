//! What a person or a group is called on IRC. Pure; who keeps the result is the roster.
//!
//! Source: the IRC notes, section 3.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_public_assigned;
use unicode_segmentation::UnicodeSegmentation;

use crate::wire::casemap::fold;

mod letters;

pub(crate) use letters::Style;

/// Longest nick in bytes (16 Han characters). Chosen; announced as NICKLEN.
pub(super) const NICK_BYTES: usize = 48;
/// Longest channel name in bytes. Chosen; announced as CHANNELLEN.
pub(super) const CHANNEL_BYTES: usize = 64;

/// Longest real name. Chosen; announced as NAMELEN.
pub(super) const REALNAME_BYTES: usize = 200;
/// Longest user part. Chosen; announced as USERLEN.
pub(super) const USER_BYTES: usize = 10;

/// `.` and `*` break masks, `,` target lists, `!` and `@` prefixes; the rest means something in
/// some client's command line.
const NOT_IN_NICKS: &str = "!@#&:,*?.~%+$\"'`<>\\/;";

/// A stable 32-bit hash (FNV-1a), for ids that must be the same after every restart.
/// Source: the FNV page of its authors: offset basis 2166136261, prime 16777619.
pub(super) fn stable_hash(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// The user part of a person's prefix: constant over renames, so that ignores and colours hold.
pub(crate) fn user_part(stable_id: &str) -> String {
    format!("u{:08x}", stable_hash(stable_id))
}

/// The user part of somebody without a password, from what the client says. Announced as USERLEN.
pub(super) fn guest_user(username: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = username.chars().filter(fits).take(USER_BYTES - 1).collect();
    if kept.is_empty() { "~guest".to_owned() } else { format!("~{kept}") }
}

/// The user part of somebody who logged in: what the client says, else from the name of the login.
pub(super) fn own_user(username: &str, login: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = username.chars().filter(fits).take(USER_BYTES).collect();
    if kept.is_empty() { user_part(login) } else { kept }
}

/// `text` up to so many bytes, cut between characters.
pub(super) fn cut_text(text: &str, max_bytes: usize) -> &str {
    let end = (0..=max_bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

/// A nick from a display name. Idempotent; never empty.
pub(crate) fn nick_from(name: &str, stable_id: &str) -> String {
    let mut nick = clean(name, |c| NOT_IN_NICKS.contains(c));
    if nick.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        nick.insert(0, '_');
    }
    cut(&mut nick, NICK_BYTES);
    if nick.is_empty() { format!("wx_{}", letters(stable_hash(stable_id))) } else { nick }
}

/// A channel name, `#` included, from a title; `None` when the title leaves nothing.
pub(super) fn channel_from(title: &str) -> Option<String> {
    let mut name = clean(title, |c| NOT_IN_NICKS.contains(c));
    cut(&mut name, CHANNEL_BYTES - 1);
    (!name.is_empty()).then(|| format!("#{name}"))
}

/// True when a client may call itself that.
pub(super) fn is_valid_nick(nick: &str) -> bool {
    // Two signs that stand in nicks since RFC 1459; no contact's nick has them.
    let plain = nick.replace(['`', '\\'], "x");
    !nick.is_empty() && nick.len() <= NICK_BYTES && nick_from(&plain, "") == plain
}

/// `wanted`, or `wanted_2`, `wanted_3` …: the first whose folded form is not taken.
pub(super) fn free_name(wanted: &str, max_bytes: usize, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&fold(wanted)) {
        return wanted.to_owned();
    }
    (2u32..)
        .map(|number| {
            let suffix = format!("_{number}");
            let mut name = wanted.to_owned();
            cut(&mut name, max_bytes - suffix.len());
            name + &suffix
        })
        .find(|name| !is_taken(&fold(name)))
        .unwrap_or_else(|| wanted.to_owned())
}

/// Names given in one go, first come first served.
#[cfg(test)]
pub(super) fn free_names<'a>(wanted: impl Iterator<Item = &'a str>, max_bytes: usize) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    wanted
        .map(|name| {
            let name = free_name(name, max_bytes, |folded| taken.contains(folded));
            taken.insert(fold(&name));
            name
        })
        .collect()
}

fn clean(name: &str, is_banned: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.nfc().map(fold_width) {
        if c == '\u{200d}' || c == '\u{fe0f}' {
            // Joiner and emoji style only inside an emoji sequence: alone they make twins that
            // nobody can tell apart.
            if out.chars().next_back().is_some_and(is_emoji_part) {
                out.push(c);
            }
        } else if c.is_whitespace() {
            trim_joiners(&mut out);
            if !out.ends_with('_') {
                out.push('_');
            }
        } else if !c.is_control() && !is_format(c) && is_public_assigned(c) && !is_banned(c) {
            // A joiner that joins nothing goes.
            if !is_emoji_part(c) {
                trim_joiners(&mut out);
            }
            out.push(c);
        }
    }
    trim_joiners(&mut out);
    let trimmed = out.trim_matches('_');
    // A name of underscores only keeps one.
    let kept = if trimmed.is_empty() && !out.is_empty() { "_" } else { trim_to(&out, trimmed) };
    // Removing characters can bring a base and its mark together.
    kept.nfc().collect()
}

/// Trailing underscores go (they came from spaces); leading ones stay where they were typed.
fn trim_to<'a>(whole: &'a str, trimmed: &str) -> &'a str {
    let end = whole.find(trimmed).map_or(whole.len(), |at| at + trimmed.len());
    whole.get(..end).unwrap_or(whole)
}

fn trim_joiners(out: &mut String) {
    while out.ends_with('\u{200d}') {
        out.pop();
    }
}

/// Full-width ASCII to ASCII, before anything is judged: `＃` must not hide a `#`.
fn fold_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    }
}

/// Source: Unicode 16, General_Category=Cf, as of its derived tables.
fn is_format(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x180e | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f | 0xfeff | 0xfff9..=0xfffb | 0x110bd | 0x110cd
        | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// Roughly the characters that emoji sequences are made of.
fn is_emoji_part(c: char) -> bool {
    matches!(u32::from(c), 0x1f000..=0x1faff | 0x2190..=0x2bff | 0x3030 | 0x303d | 0x3297 | 0x3299 | 0xfe0f | 0x200d)
}

/// Cuts a name between what people take for characters.
pub(crate) fn cut(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes {
        let end = text
            .grapheme_indices(true)
            .map(|(at, cluster)| at + cluster.len())
            .take_while(|end| *end <= max_bytes)
            .last()
            .unwrap_or_else(|| (0..=max_bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        text.truncate(end);
        // A cut makes a new end: what `clean` does not leave at one goes here too.
        trim_joiners(text);
        let kept = text.trim_end_matches('_').len();
        text.truncate(kept.max(1));
    }
}

fn letters(mut hash: u32) -> String {
    (0..5)
        .map(|_| {
            let letter = char::from(b'a' + u8::try_from(hash % 26).unwrap_or(0));
            hash /= 26;
            letter
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn names_become_nicks() {
        for (name, nick) in [
            ("张三", "张三"),
            ("Zhang  San", "Zhang_San"),
            ("＃老王！", "老王"),
            ("3号", "_3号"),
            ("-x", "_-x"),
            ("a\u{200b}b\u{202e}c", "abc"),
            ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
            ("a\u{200d}b❤\u{fe0f}", "ab❤\u{fe0f}"),
            ("👨\u{200d} x", "👨_x"),
            ("e\u{301}va", "éva"),
        ] {
            assert_eq!(nick_from(name, "id"), nick, "{name:?}");
        }
    }

    #[test]
    fn a_name_of_nothing_gets_letters_of_its_id() {
        let nick = nick_from("\u{200b}!@#", "id-1");
        assert!(nick.starts_with("wx_") && nick.len() == 8, "{nick}");
        assert_eq!(nick, nick_from("", "id-1"));
        assert_ne!(nick, nick_from("", "id-2"));
    }

    #[test]
    fn long_names_are_cut_between_clusters() {
        assert_eq!(nick_from(&"字".repeat(40), "x").len(), 48);
        assert_eq!(channel_from(&"字".repeat(40)).unwrap().len(), 64);
        assert_eq!(channel_from("！！"), None);
        assert_eq!(channel_from("测试 群").as_deref(), Some("#测试_群"));
        assert_eq!(nick_from(&format!("{} 🌀", "字".repeat(15)), "x"), "字".repeat(15));
    }

    #[test]
    fn two_people_with_one_name_are_told_apart() {
        let names = free_names(["张伟", "张伟", "张伟_2", "ZHANG", "zhang"].into_iter(), NICK_BYTES);
        assert_eq!(names, ["张伟", "张伟_2", "张伟_2_2", "ZHANG", "zhang_2"]);
        let long = "字".repeat(16);
        assert_eq!(
            free_names([long.as_str(), &long].into_iter(), NICK_BYTES)[1],
            format!("{}_2", "字".repeat(15))
        );
    }

    fn a_name() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\u{4e00}-\u{4e20}]{1,3}",
            "[\u{1f600}-\u{1f610}\u{200d}\u{fe0f}]{0,4}",
            "[\u{5d0}-\u{5ea}\u{202e}\u{200f}]{0,6}",
            "[ _a-c\u{200b}]{0,5}",
            "[\u{ff01}-\u{ff5e}\u{301}]{0,4}",
        ]
    }

    proptest! {
        #[test]
        fn naming_is_idempotent_and_safe(name in a_name()) {
            let nick = nick_from(&name, "id");
            prop_assert_eq!(nick_from(&nick, "id"), nick.clone());
            prop_assert!(is_valid_nick(&nick));
            prop_assert!(nick.len() <= NICK_BYTES);
            prop_assert!(!nick.contains([' ', '!', '@', ',', '*', ':', '#', '\r', '\n', '\0']));
            if let Some(channel) = channel_from(&name) {
                prop_assert!(channel.len() <= CHANNEL_BYTES);
                prop_assert_eq!(channel_from(&channel), Some(channel.clone()));
            }
        }
    }

    #[test]
    fn ten_thousand_names_never_collide() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        let mut runner = TestRunner::deterministic();
        let names: Vec<String> = (0..10_000)
            .map(|at| nick_from(&a_name().new_tree(&mut runner).unwrap().current(), &at.to_string()))
            .collect();
        let free = free_names(names.iter().map(String::as_str), NICK_BYTES);
        assert_eq!(free.iter().map(|n| fold(n)).collect::<HashSet<_>>().len(), 10_000);
        assert!(free.iter().all(|name| name.len() <= NICK_BYTES));
        assert_eq!(free, free_names(names.iter().map(String::as_str), NICK_BYTES));
    }
}

//! Whether a group text speaks to somebody by name.

/// Follows a name in a mention written on a phone. Source: the protocol sheet, section 4.4.
pub const PHONE_SEPARATOR: char = '\u{2005}';

/// Whether a decoded text mentions one of these decoded names.
///
/// Names contain spaces and emoji, so the text cannot be cut into words: `@` and a whole name must
/// stand there, followed by U+2005, a space of another kind or the end. Give the name in this group
/// **and** the own name, not a remark: those are what the sender's client may show.
/// Source: the protocol sheet, section 4.4.
#[must_use]
pub fn mentions(text: &str, own_names: &[&str]) -> bool {
    own_names.iter().filter(|name| !name.is_empty()).any(|name| {
        let mention = format!("@{name}");
        text.match_indices(&mention).any(|(at, found)| text.get(at + found.len()..).is_some_and(ends_name))
    })
}

fn ends_name(after: &str) -> bool {
    after.is_empty() || after.starts_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_54_only_a_whole_own_name_is_a_mention() {
        let names = ["阿林", "林一 🌺"];
        for text in [
            "@阿林\u{2005}带水了吗",
            "hi @阿林",
            "@阿林 x",
            "@林一 🌺\u{2005}?",
            "@Bo\u{2005}@阿林\u{2005}",
            "@阿林\nx",
        ] {
            assert!(mentions(text, &names), "{text}");
        }
        for text in ["@阿林林\u{2005}x", "阿林", "@Bo\u{2005}x", "a@b.c", "@", "", "@林一 x", "@安娜 阿林"]
        {
            assert!(!mentions(text, &names), "{text}");
        }
        assert!(!mentions("@ x", &["", ""]), "no name is no mention");
        assert!(mentions("@a@b\u{2005}x", &["a@b"]));
    }
}

//! The encoding of message texts: sender prefix, line breaks, emoji spans, entities.
//!
//! The order of the steps makes look-alike user text safe.
//! Source: the protocol sheet, section 4.2.

use std::borrow::Cow;

use crate::{UserName, emoji, emoji::Corrections};

/// A literal line break on the wire. Source: the protocol sheet, section 4.2 (2).
pub const LINE_BREAK: &str = "<br/>";

/// Splits `sender:<br/>` off the content of a group message: the first match only.
///
/// The sender is `@` with letters and digits, or a bare word with `_` and `-`.
/// Source: the protocol sheet, section 4.2, decoding order step 1 (the page's pattern).
#[must_use]
pub fn split_sender(content: &str) -> Option<(UserName, &str)> {
    let (sender, rest) = content.split_once(":<br/>")?;
    let well_formed = match sender.strip_prefix('@') {
        Some(hash) => !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        None => {
            !sender.is_empty()
                && sender.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        }
    };
    well_formed.then(|| (UserName::new(sender), rest))
}

/// Decodes a text without its sender prefix: line breaks, spans, entities once.
#[must_use]
pub fn decode(content: &str, corrections: Corrections) -> String {
    decode_spans_and_entities(&content.replace(LINE_BREAK, "\n"), corrections)
}

/// Steps 3 and 4, which names need as well.
#[must_use]
pub fn decode_spans_and_entities(content: &str, corrections: Corrections) -> String {
    let spans = emoji::decode_spans(content, corrections);
    emoji::from_softbank(&unescape(&spans), corrections).into_owned()
}

/// Resolves the five entities of the service exactly once.
///
/// One pass from left to right; `&amp;lt;` becomes `&lt;` and stays so, which is what "`&amp;`
/// last" means. Source: the protocol sheet, section 4.2, decoding order step 4.
#[must_use]
pub fn unescape(text: &str) -> Cow<'_, str> {
    const ENTITIES: [(&str, char); 5] =
        [("&lt;", '<'), ("&gt;", '>'), ("&#39;", '\''), ("&quot;", '"'), ("&amp;", '&')];
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, _)) = rest.split_once('&') {
        out.push_str(before);
        let at = rest.get(before.len()..).unwrap_or_default();
        let (consumed, c) = ENTITIES
            .iter()
            .find(|(entity, _)| at.starts_with(entity))
            .map_or((1, '&'), |(entity, c)| (entity.len(), *c));
        out.push(c);
        rest = at.get(consumed..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Encodes a text as the service does, without spans: for tests and for a simulated service.
#[must_use]
pub fn encode(text: &str) -> String {
    escape(text).replace('\n', LINE_BREAK)
}

/// Writes the five entities.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(content: &str) -> String {
        decode(content, Corrections::On)
    }

    #[test]
    fn item_48_only_the_first_sender_prefix_is_split() {
        let (sender, rest) = split_sender("@da2d:<br/>see http://example.com/a:<br/>second line").unwrap();
        assert_eq!(sender.as_str(), "@da2d");
        assert_eq!(plain(rest), "see http://example.com/a:\nsecond line");
    }

    #[test]
    fn item_49_the_prefix_takes_capitals_bare_words_and_many_lines() {
        for sender in ["@ABCdef0123", "wxid_fixture000001", "filehelper", "bo-fixture"] {
            let content = format!("{sender}:<br/>one\ntwo<br/>three");
            let (name, rest) = split_sender(&content).unwrap();
            assert_eq!((name.as_str(), rest), (sender, "one\ntwo<br/>three"));
        }
        for content in ["no prefix", "Example Street 1:<br/>/cgi-bin/x", "@:<br/>x", ":<br/>x", "周:<br/>x"]
        {
            assert!(split_sender(content).is_none(), "{content}");
        }
    }

    #[test]
    fn item_50_line_breaks_typed_by_a_user_stay_text() {
        assert_eq!(plain("a<br/>b &lt;br/&gt; c"), "a\nb <br/> c");
    }

    #[test]
    fn item_51_all_five_entities_are_resolved_once() {
        assert_eq!(plain("&lt;&gt;&amp;&quot;&#39;"), "<>&\"'");
        assert_eq!(plain("&amp;lt; &amp;amp; &amp;#39;"), "&lt; &amp; &#39;");
        assert_eq!(plain("R&D & &unknown; &"), "R&D & &unknown; &");
    }

    #[test]
    fn a_span_typed_by_a_user_stays_text() {
        let typed = "<span class=\"emoji emoji1f604\"></span>";
        assert_eq!(plain(&encode(typed)), typed);
    }

    #[test]
    fn the_example_of_the_sheet_decodes() {
        let content = "第一行<br/>a &lt; b &amp;&amp; c <span class=\"emoji emoji1f604\"></span>";
        assert_eq!(plain(content), "第一行\na < b && c 😄");
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in "[^\u{e000}-\u{f8ff}]*") {
            prop_assert_eq!(plain(&encode(&text)), text);
        }

        #[test]
        fn unescaping_undoes_escaping(text in ".*") {
            prop_assert_eq!(unescape(&escape(&text)).into_owned(), text);
        }

        #[test]
        fn lookalikes_survive(text in "(&amp;|&lt;|<br/>|:<br/>|<span class=\"emoji emoji1f604\"></span>|&|x|\n)*") {
            prop_assert_eq!(plain(&encode(&text)), text);
        }
    }
}

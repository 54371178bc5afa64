//! Message tags: the escaping of their values.
//!
//! Source: IRCv3 message-tags, section "Escaping values".

use std::borrow::Cow;

/// Appends `value` in its escaped form.
pub fn escape_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            ';' => out.push_str("\\:"),
            ' ' => out.push_str("\\s"),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            // NUL cannot stand in a line in any form.
            '\0' => {}
            c => out.push(c),
        }
    }
}

/// The plain form of an escaped value. A lone backslash at the end and the backslash of an unknown
/// escape are dropped.
pub fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(':') => out.push(';'),
            Some('s') => out.push(' '),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

/// The tags of a line as they stand in it, without the `@`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a>(pub(super) &'a str);

impl<'a> Tags<'a> {
    /// A list in the form of tags, as some commands take it.
    pub fn parse(text: &'a str) -> Self {
        Self(text)
    }

    /// The plain value of `key`. A repeated key: the last wins; a key without a value has the empty one.
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.iter().filter(|(name, _)| *name == key).last().map(|(_, value)| unescape(value))
    }

    /// Keys with their escaped values, in the line's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0.split(';').filter(|tag| !tag.is_empty()).map(|tag| tag.split_once('=').unwrap_or((tag, "")))
    }

    /// True when the line had none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_escapes_follow_the_specification() {
        assert_eq!(unescape("a\\:b\\sc\\\\d\\r\\n"), "a;b c\\d\r\n");
        assert_eq!(unescape("test\\"), "test");
        assert_eq!(unescape("te\\bst"), "tebst");
        let tags = Tags("a=1;b;c=;a=2");
        assert_eq!(tags.get("a").as_deref(), Some("2"));
        assert_eq!(tags.get("b").as_deref(), Some(""));
        assert_eq!(tags.get("c").as_deref(), Some(""));
        assert_eq!(tags.get("d"), None);
    }

    proptest! {
        #[test]
        fn an_escaped_value_comes_back(value in "[^\0]*") {
            let mut escaped = String::new();
            escape_into(&mut escaped, &value);
            prop_assert!(!escaped.contains([';', ' ', '\r', '\n']));
            prop_assert_eq!(unescape(&escaped), value);
        }
    }
}

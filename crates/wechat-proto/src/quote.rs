//! The old form of a quotation: text in corner brackets, a line, the reply.

/// A text that quotes another one.
#[derive(Clone, PartialEq, Eq)]
pub struct OldQuote {
    /// Who is quoted, as their name was shown to the sender.
    pub name: String,
    /// What is quoted.
    pub quoted: String,
    /// What is said to it.
    pub reply: String,
}

impl std::fmt::Debug for OldQuote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OldQuote({} bytes, {} bytes)", self.quoted.len(), self.reply.len())
    }
}

/// Takes a decoded text apart, if it has the form `「name：quoted」`, a line of dashes, a reply.
///
/// Source: the protocol sheet, sections 2.15 (em dashes) and 4.4 (`- - -`).
#[must_use]
pub fn split(text: &str) -> Option<OldQuote> {
    let inside = text.strip_prefix('「')?;
    let (quoted, after) = inside.match_indices('」').find_map(|(at, _)| {
        let after = inside.get(at..)?.strip_prefix('」')?.strip_prefix('\n')?;
        let (line, reply) = after.split_once('\n')?;
        is_rule(line).then_some((inside.get(..at)?, reply))
    })?;
    let (name, quoted) = quoted.split_once(['：', ':'])?;
    Some(OldQuote { name: name.trim().to_owned(), quoted: quoted.trim().to_owned(), reply: after.to_owned() })
}

/// At least three dashes of one kind, perhaps with spaces between.
fn is_rule(line: &str) -> bool {
    let dashes = |dash: char| {
        line.chars().filter(|c| *c == dash).count() >= 3 && line.chars().all(|c| c == dash || c == ' ')
    };
    dashes('-') || dashes('—')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_old_forms_are_understood() {
        for text in ["「Anna：明天?」\n- - - - - - - - - - - - - - -\n好", "「Anna: 明天?」\n—————————\n好"]
        {
            let quote = split(text).unwrap();
            assert_eq!(
                (quote.name.as_str(), quote.quoted.as_str(), quote.reply.as_str()),
                ("Anna", "明天?", "好")
            );
        }
        let nested = split("「A：「B」\nx」\n- - -\ny\nz").unwrap();
        assert_eq!((nested.quoted.as_str(), nested.reply.as_str()), ("「B」\nx", "y\nz"));
    }

    #[test]
    fn other_texts_are_not_quotes() {
        for text in ["「Anna：x」", "「Anna：x」\nreply", "「x」\n- - -\ny", "", "「", "a「Anna：x」\n---\ny"]
        {
            assert!(split(text).is_none(), "{text}");
        }
    }
}

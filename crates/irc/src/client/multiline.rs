//! One message in several lines, to a network that takes them and from it.
//!
//! Source: IRCv3 draft/multiline.

use std::collections::HashMap;

use super::session::Session;
use crate::wire::message::{Line, Message};
use crate::wire::split;

/// The capability, and the type of the batch.
pub(super) const NAME: &str = "draft/multiline";
/// A line that goes on where the one before it ended.
const CONCAT: &str = "draft/multiline-concat";
/// Messages that may be coming at once. Chosen: a server gives them one after the other.
const OPEN: usize = 16;
/// Bytes of a message that comes. Chosen: four times what servers commonly take; what is more comes as another.
const MOST_BYTES: usize = 16 * 1024;

/// What one message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    bytes: usize,
    lines: usize,
}

impl Bounds {
    /// From the value of the capability, `max-bytes=4096,max-lines=24`; the second may be missing.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let of = |wanted: &str| {
            let value = value.split(',').find_map(|pair| pair.strip_prefix(wanted)?.strip_prefix('='));
            value.map(str::parse::<usize>)
        };
        let bytes = of("max-bytes")?.ok()?;
        let lines = of("max-lines").unwrap_or(Ok(usize::MAX)).ok()?;
        Some(Self { bytes, lines })
    }

    pub(super) fn hold(self, parts: &[Part]) -> bool {
        let bytes: usize = parts.iter().map(|part| part.text.len() + usize::from(!part.is_concat)).sum();
        parts.len() <= self.lines && bytes <= self.bytes
    }
}

/// One line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    /// It goes on where the one before it ended.
    pub(super) is_concat: bool,
}

/// A text in lines of at most `budget` bytes, each line of the text with `mark` in front, for someone who needs no
/// name: who reads whole messages sees long lines whole.
pub(super) fn cut(text: &str, budget: usize, mark: &str) -> Vec<Part> {
    let of = |line| split::cuts(line, budget).into_iter().enumerate();
    let part = |(at, piece): (usize, &str)| match at {
        0 => Part { text: format!("{mark}{piece}"), is_concat: false },
        _ => Part { text: piece.to_owned(), is_concat: true },
    };
    text.split('\n').flat_map(|line| of(line).map(part)).collect()
}

/// The same with `name` in front of every line, for those who read lines only: nobody speaks without a name.
pub(super) fn cut_with_name(text: &str, budget: usize, name: &str) -> Vec<Part> {
    let pieces = split::split(text, budget).into_iter();
    pieces.map(|piece| Part { text: format!("{name}{piece}"), is_concat: false }).collect()
}

/// The lines to be sent; `first` has the tags.
pub(super) fn batch(first: Line, reference: &str, target: &str, parts: &[Part]) -> Vec<String> {
    let mut lines =
        vec![first.command("BATCH").param(&format!("+{reference}")).param(NAME).param(target).build()];
    for part in parts {
        let mut line = Line::new().tag("batch", reference);
        if part.is_concat {
            line = line.tag(CONCAT, "");
        }
        lines.push(line.command("PRIVMSG").param(target).last(&part.text).build());
    }
    lines.push(format!("BATCH -{reference}"));
    lines
}

/// A message that is coming.
struct Coming {
    /// Its tags, its source.
    head: String,
    command: String,
    target: String,
    text: String,
    is_begun: bool,
}

/// All of them, by the reference of the batch.
#[derive(Default)]
pub(super) struct Gathering(HashMap<String, Coming>);

impl Session<'_> {
    /// BATCH: a message of several lines begins or ends.
    pub(super) fn multiline(&mut self, message: &Message<'_>) {
        let param = |at: usize| message.param(at).unwrap_or("");
        if let Some(reference) = param(0).strip_prefix('+') {
            let coming = &mut self.gathering.0;
            if param(1) == NAME && coming.len() < OPEN {
                let tags: Vec<String> =
                    message.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let head = format!("@{} :{}", tags.join(";"), message.source.unwrap_or("*"));
                let head = head.strip_prefix("@ ").unwrap_or(&head).to_owned();
                let (command, text) = ("PRIVMSG".to_owned(), String::new());
                let target = param(2).to_owned();
                coming.insert(reference.to_owned(), Coming { head, command, target, text, is_begun: false });
            }
        } else if let Some(coming) =
            param(0).strip_prefix('-').and_then(|ended| self.gathering.0.remove(ended))
        {
            self.gathered(&coming);
        }
    }

    /// Takes a line of a message that is coming; false when it belongs to none.
    pub(super) fn gather(&mut self, message: &Message<'_>) -> bool {
        let Some(reference) = message.tags.get("batch") else { return false };
        let Some(coming) = self.gathering.0.get_mut(&*reference) else { return false };
        let text = message.param(1).unwrap_or("");
        if coming.text.len() + text.len() > MOST_BYTES {
            // What has come is one message; the rest of it comes line by line.
            if let Some(coming) = self.gathering.0.remove(&*reference) {
                self.gathered(&coming);
            }
            return false;
        }
        if coming.is_begun && message.tags.get(CONCAT).is_none() {
            coming.text.push('\n');
        }
        coming.text.push_str(text);
        coming.is_begun = true;
        message.command.clone_into(&mut coming.command);
        true
    }

    /// The connection is gone: what has come of messages is what there is of them.
    pub(super) fn give_up_gathering(&mut self) {
        for coming in std::mem::take(&mut self.gathering).0.into_values().filter(|coming| coming.is_begun) {
            self.gathered(&coming);
        }
    }

    fn gathered(&mut self, coming: &Coming) {
        let Coming { head, command, target, .. } = coming;
        let line = format!("{head} {command} {target} :");
        if let Ok(message) = Message::parse(&line) {
            self.heard(&message.with_last(&coming.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_network_are_kept() {
        assert_eq!(Bounds::parse("max-bytes=40,max-lines=2"), Some(Bounds { bytes: 40, lines: 2 }));
        assert_eq!(Bounds::parse("max-bytes=40").map(|bounds| bounds.lines), Some(usize::MAX));
        for odd in ["", "max-lines=2", "max-bytes=x", "max-bytes=40,max-lines=x", "max-bytes"] {
            assert_eq!(Bounds::parse(odd), None, "{odd}");
        }
        let bounds = Bounds { bytes: 8, lines: 2 };
        assert!(bounds.hold(&cut("abc\nabc", 64, "")));
        assert!(!bounds.hold(&cut("abc\nabcd", 64, "")), "nine bytes with the line breaks");
        assert!(!bounds.hold(&cut("a\nb\nc", 64, "")), "three lines");
    }

    #[test]
    fn lines_are_cut_so_that_both_kinds_of_readers_know_who_speaks() {
        let long = "字".repeat(30);
        let parts = cut(&format!("{long}\nshort"), 64, "! ");
        let shown: Vec<(&str, bool)> =
            parts.iter().map(|part| (part.text.as_str(), part.is_concat)).collect();
        assert_eq!(shown.len(), 3);
        assert!(shown[0].0.starts_with("! 字") && !shown[0].1 && shown[1].1);
        assert_eq!(shown[2], ("! short", false));
        let parts = cut_with_name(&long, 64, "<A> ");
        assert!(
            parts.len() == 2 && parts.iter().all(|part| part.text.starts_with("<A> 字") && !part.is_concat)
        );
        let lines = batch(Line::new().tag("label", "w1"), "w1", "#c", &cut(&long, 64, ""));
        assert_eq!(lines[0], "@label=w1 BATCH +w1 draft/multiline #c");
        assert!(lines[1].starts_with("@batch=w1 PRIVMSG #c :字"), "{lines:?}");
        assert!(lines[2].starts_with("@batch=w1;draft/multiline-concat PRIVMSG #c :字"), "{lines:?}");
        assert_eq!(lines[3], "BATCH -w1");
    }
}

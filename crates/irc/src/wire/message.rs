//! One line, borrowed from the input, and the way back.

use super::tags::{Tags, escape_into};

/// More parameters than this do not exist; the last one takes the rest of the line.
/// Source: Modern IRC, "Parameters".
pub const MAX_PARAMS: usize = 15;

/// A parsed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its tags.
    pub tags: Tags<'a>,
    /// Who it comes from, without the colon.
    pub source: Option<&'a str>,
    /// Letters or three digits, spelled as they came.
    pub command: &'a str,
    params: [&'a str; MAX_PARAMS],
    count: usize,
}

/// Why a line is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Nothing in it; to be ignored.
    #[error("the line is empty")]
    Empty,
    /// NUL anywhere, or CR inside.
    #[error("the line contains NUL or CR")]
    Control,
    /// No command where one must be, or one that is neither letters nor three digits.
    #[error("the line has no command")]
    NoCommand,
}

impl<'a> Message<'a> {
    /// Parses a line without its end (CRLF or LF).
    pub fn parse(line: &'a str) -> Result<Self, BadLine> {
        if line.bytes().any(|b| b == 0 || b == b'\r' || b == b'\n') {
            return Err(BadLine::Control);
        }
        let mut rest = line.trim_start_matches(' ');
        if rest.is_empty() {
            return Err(BadLine::Empty);
        }
        let mut tags = Tags::default();
        if let Some(tagged) = rest.strip_prefix('@') {
            let (head, tail) = tagged.split_once(' ').ok_or(BadLine::NoCommand)?;
            tags = Tags(head);
            rest = tail.trim_start_matches(' ');
        }
        let mut source = None;
        if let Some(sourced) = rest.strip_prefix(':') {
            let (head, tail) = sourced.split_once(' ').ok_or(BadLine::NoCommand)?;
            source = Some(head);
            rest = tail.trim_start_matches(' ');
        }
        let (command, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_word = !command.is_empty() && command.bytes().all(|b| b.is_ascii_alphabetic());
        let is_number = command.len() == 3 && command.bytes().all(|b| b.is_ascii_digit());
        if !is_word && !is_number {
            return Err(BadLine::NoCommand);
        }
        let mut params = [""; MAX_PARAMS];
        let mut count = 0;
        for (at, slot) in params.iter_mut().enumerate() {
            rest = rest.trim_start_matches(' ');
            if rest.is_empty() {
                break;
            }
            count = at + 1;
            if let Some(last) = rest.strip_prefix(':') {
                *slot = last;
                break;
            }
            if at + 1 == MAX_PARAMS {
                *slot = rest;
                break;
            }
            let (param, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            *slot = param;
            rest = tail;
        }
        Ok(Self { tags, source, command, params, count })
    }

    /// All parameters.
    pub fn params(&self) -> &[&'a str] {
        self.params.get(..self.count).unwrap_or_default()
    }

    /// The same with another text as its last parameter, also one of several lines; with none it gets none.
    pub fn with_last(mut self, text: &'a str) -> Self {
        if let Some(last) = self.count.checked_sub(1).and_then(|at| self.params.get_mut(at)) {
            *last = text;
        }
        self
    }

    /// One parameter; `None` when absent, which is not the same as empty.
    pub fn param(&self, at: usize) -> Option<&'a str> {
        self.params().get(at).copied()
    }
}

/// A line being built. Whatever is put in, what comes out is one line: NUL, CR and LF are
/// dropped from texts, and a middle parameter that could not stand there becomes `*`.
#[derive(Clone, Debug, Default)]
pub struct Line {
    text: String,
    has_tags: bool,
}

impl Line {
    /// An empty line; tags first, then source, command, parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tag. Keys are ours and need no escaping.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.text.push(if self.has_tags { ';' } else { '@' });
        self.has_tags = true;
        self.text.push_str(key);
        if !value.is_empty() {
            self.text.push('=');
            escape_into(&mut self.text, value);
        }
        self
    }

    /// Adds the source.
    pub fn source(mut self, source: &str) -> Self {
        self.end_tags();
        self.text.push(':');
        push_middle(&mut self.text, source);
        self.text.push(' ');
        self
    }

    /// Adds the command.
    pub fn command(mut self, command: &str) -> Self {
        self.end_tags();
        self.text.push_str(command);
        self
    }

    /// Adds a parameter that has to be a single word.
    pub fn param(mut self, param: &str) -> Self {
        self.text.push(' ');
        push_middle(&mut self.text, param);
        self
    }

    /// Adds the last parameter, any text.
    pub fn last(mut self, param: &str) -> Self {
        self.text.push_str(" :");
        push_text(&mut self.text, param);
        self
    }

    /// The line, without its end.
    pub fn build(self) -> String {
        self.text
    }

    fn end_tags(&mut self) {
        if self.has_tags {
            self.text.push(' ');
            self.has_tags = false;
        }
    }
}

/// Appends `text` without what would end the line.
pub fn push_text(out: &mut String, text: &str) {
    if text.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        out.extend(text.chars().filter(|c| !matches!(c, '\0' | '\r' | '\n')));
    } else {
        out.push_str(text);
    }
}

/// Appends `param` as a middle parameter; `*` stands for one that cannot be.
pub fn push_middle(out: &mut String, param: &str) {
    let is_word = !param.is_empty()
        && !param.starts_with(':')
        && param.bytes().all(|b| !matches!(b, 0 | b' ' | b'\r' | b'\n'));
    out.push_str(if is_word { param } else { "*" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn absent_and_empty_parameters_differ() {
        assert_eq!(Message::parse("TOPIC #c").unwrap().params(), ["#c"]);
        assert_eq!(Message::parse("TOPIC #c :").unwrap().params(), ["#c", ""]);
        assert_eq!(Message::parse("TOPIC  #c   : a b ").unwrap().params(), ["#c", " a b "]);
    }

    #[test]
    fn the_last_parameter_can_be_another() {
        let text = "two\nlines";
        assert_eq!(Message::parse("X #c :").unwrap().with_last(text).params(), ["#c", text]);
        assert_eq!(Message::parse("X").unwrap().with_last(text).params(), [""; 0]);
    }

    #[test]
    fn tags_and_source_are_found() {
        let message = Message::parse("@a=1;b :nick!u@h  privmsg #c hi:there").unwrap();
        assert_eq!(message.tags.get("a").as_deref(), Some("1"));
        assert_eq!(message.source, Some("nick!u@h"));
        assert_eq!(message.command, "privmsg");
        assert_eq!(message.params(), ["#c", "hi:there"]);
    }

    #[test]
    fn the_fifteenth_parameter_takes_the_rest() {
        let message = Message::parse("X 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 :17").unwrap();
        assert_eq!(message.params().len(), 15);
        assert_eq!(message.param(14), Some("15 16 :17"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(Message::parse("  "), Err(BadLine::Empty));
        assert_eq!(Message::parse("PING a\rb"), Err(BadLine::Control));
        assert_eq!(Message::parse("PING a\0b"), Err(BadLine::Control));
        for line in ["@a", ":a", "@a :b", "1234", "PR1V", ":a  ", "你好"] {
            assert_eq!(Message::parse(line), Err(BadLine::NoCommand), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed(
            key in "[a-z+./]{1,8}", value in "[^\0]{0,12}", source in "[^ \0\r\n:@][^ \0\r\n]{0,8}",
            command in "[A-Z]{1,9}|[0-9]{3}", params in prop::collection::vec("[^ \0\r\n:][^ \0\r\n]{0,8}", 0..14),
            last in "[^\0\r\n]{0,30}",
        ) {
            let mut line = Line::new().tag(&key, &value).source(&source).command(&command);
            for param in &params { line = line.param(param); }
            let line = line.last(&last).build();
            let message = Message::parse(&line).unwrap();
            prop_assert_eq!(message.tags.get(&key).unwrap(), value);
            prop_assert_eq!(message.source, Some(source.as_str()));
            prop_assert_eq!(message.command, command);
            let mut all: Vec<&str> = params.iter().map(String::as_str).collect();
            all.push(&last);
            prop_assert_eq!(message.params(), &all[..]);
        }

        #[test]
        fn any_text_parses_or_is_refused(line in ".*") {
            let _ = Message::parse(&line);
        }

        #[test]
        fn a_built_line_is_one_line(a in any::<String>(), b in any::<String>()) {
            let line = Line::new().command("X").param(&a).last(&b).build();
            prop_assert_eq!(Message::parse(&line).unwrap().params().len(), 2);
        }
    }
}

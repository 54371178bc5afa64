//! One line of IRC, taken apart.

use std::fmt;

/// Where a line comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The nick or the server's name.
    pub nick: String,
    /// The user.
    pub user: String,
    /// The host.
    pub host: String,
}

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// When it came, Unix microseconds.
    pub at_us: u64,
    /// Its tags, values unescaped.
    pub tags: Vec<(String, String)>,
    /// Where it comes from.
    pub source: Source,
    /// Its command or number.
    pub verb: String,
    /// Its parameters.
    pub params: Vec<String>,
}

impl Line {
    /// Takes a line apart.
    pub fn parse(text: &str, at_us: u64) -> Self {
        let mut line = Self { at_us, ..Self::default() };
        let mut rest = text.trim_end_matches(['\r', '\n']);
        if let Some(tagged) = rest.strip_prefix('@') {
            let (tags, after) = tagged.split_once(' ').unwrap_or((tagged, ""));
            line.tags = tags.split(';').map(tag).collect();
            rest = after.trim_start_matches(' ');
        }
        if let Some(sourced) = rest.strip_prefix(':') {
            let (source, after) = sourced.split_once(' ').unwrap_or((sourced, ""));
            let (nick_user, host) = source.split_once('@').unwrap_or((source, ""));
            let (nick, user) = nick_user.split_once('!').unwrap_or((nick_user, ""));
            line.source = Source { nick: nick.into(), user: user.into(), host: host.into() };
            rest = after.trim_start_matches(' ');
        }
        let (verb, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        verb.clone_into(&mut line.verb);
        while !rest.is_empty() {
            if let Some(last) = rest.strip_prefix(':') {
                line.params.push(last.to_owned());
                break;
            }
            let (param, after) = rest.split_once(' ').unwrap_or((rest, ""));
            if !param.is_empty() {
                line.params.push(param.to_owned());
            }
            rest = after;
        }
        line
    }

    /// A parameter, empty when there is none.
    pub fn param(&self, at: usize) -> &str {
        self.params.get(at).map_or("", String::as_str)
    }

    /// The last parameter, empty when there is none.
    pub fn last(&self) -> &str {
        self.params.last().map_or("", String::as_str)
    }

    /// A tag's value, empty when it is not there.
    pub fn tag(&self, name: &str) -> &str {
        self.tags.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether it is a message.
    pub fn is_said(&self) -> bool {
        self.verb == "PRIVMSG"
    }
}

fn tag(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        match chars.next() {
            Some(':') => plain.push(';'),
            Some('s') => plain.push(' '),
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    (name.to_owned(), plain)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.tags {
            write!(f, "@{name}={value} ")?;
        }
        write!(f, "<{}> {}", self.source.nick, self.verb)?;
        for param in &self.params {
            write!(f, " [{param}]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_line_comes_apart() {
        let line = Line::parse("@time=x;+draft/reply=a\\:b\\s :王!u1@wechat PRIVMSG #群 :hi :there\r\n", 0);
        assert_eq!((line.tag("time"), line.tag("+draft/reply"), line.tag("no")), ("x", "a;b ", ""));
        assert_eq!((line.source.nick.as_str(), line.source.host.as_str()), ("王", "wechat"));
        assert_eq!((line.verb.as_str(), line.param(0), line.last()), ("PRIVMSG", "#群", "hi :there"));
        assert_eq!(Line::parse("PING x", 0).last(), "x");
        assert_eq!(Line::parse("", 0).verb, "");
    }
}

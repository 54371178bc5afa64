//! What is wrong with a configuration, and where.

use std::fmt;

use super::keys;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File { file: String, line: usize },
    /// An environment variable.
    Env { variable: String },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Env { variable } => f.write_str(variable),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) origin: Origin,
    /// The key, as far as there is one.
    pub(crate) key: String,
    /// What is wrong and what to do, lower case, no full stop.
    pub(crate) message: String,
    /// For unknown keys: the known key that looks most like it.
    pub(crate) nearest: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; the nearest known key is {nearest}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    /// A value that does not do.
    pub(crate) fn new(origin: Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin, key: key.into(), message: message.into(), nearest: None }
    }

    /// A key that does not exist.
    pub(crate) fn unknown(origin: Origin, key: &str) -> Self {
        let nearest = nearest(key, keys::paths());
        Self { origin, key: key.to_owned(), message: "there is no such key".to_owned(), nearest }
    }

    /// A section that does not exist.
    pub(crate) fn unknown_section(origin: Origin, path: &str) -> Self {
        let known = keys::SECTIONS.iter().map(|section| section.path.to_owned()).filter(|p| !p.is_empty());
        let message = "there is no such section".to_owned();
        Self { origin, key: path.to_owned(), message, nearest: nearest(path, known) }
    }
}

/// Words that other programs have for ours. Chosen: what people typed.
const MEANT: [(&str, &str); 8] = [
    ("address", "listen"),
    ("bind", "listen"),
    ("host", "listen"),
    ("port", "listen"),
    ("ports", "listen"),
    ("level", "filter"),
    ("rate", "sends_per_minute"),
    ("url", "public_url"),
];
/// What it costs to look in another section.
const ELSEWHERE: usize = 5;

/// The candidate that is most likely meant: one that is written nearly so, or one of the same section that is
/// called so elsewhere.
fn nearest(wanted: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let parts = |path: &str| {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        (section.to_owned(), name.to_owned())
    };
    let (section, name) = parts(wanted);
    let meant = MEANT.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    known.min_by_key(|path| {
        let (of, known) = parts(path);
        let is_near = of == section || of.starts_with(&format!("{section}."));
        let mut cost = 2 * distance(&name, &known);
        let shorter = name.len().min(known.len());
        if shorter > 3 && (known.contains(&name) || name.contains(&known)) {
            cost = cost.min(3);
        }
        if is_near && meant == Some(known.as_str()) {
            cost = 1;
        }
        if !is_near {
            // A short name is near to every other short name.
            let is_alike = 3 * distance(&name, &known) <= shorter;
            cost = if is_alike { cost + ELSEWHERE } else { cost + 8 * ELSEWHERE };
        }
        let whole = distance(wanted, path);
        (cost.min(2 * whole), whole)
    })
}

/// Number of characters to insert, remove or replace (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    // Bounded: keys from outside may be of any length.
    let from: Vec<char> = from.chars().take(80).collect();
    let to: Vec<char> = to.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in to.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(a != b)).min(*above + 1).min(left + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("lisen", "listen"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn the_nearest_key_is_found_across_sections() {
        let near = |key| nearest(key, keys::paths());
        assert_eq!(near("irc.server.lisen").as_deref(), Some("irc.server.listen"));
        assert_eq!(near("media.public_url").as_deref(), Some("web.public_url"));
        assert_eq!(near("datadir").as_deref(), Some("data_dir"));
        for (wanted, found) in [
            ("web.port", "web.listen"),
            ("web.address", "web.listen"),
            ("irc.server.bind", "irc.server.listen"),
            ("irc.server.ssl_cert", "irc.server.tls_cert"),
            ("irc.enabled", "irc.server.enabled"),
            ("log.level", "log.filter"),
            ("limits.rate", "limits.sends_per_minute"),
            ("limits.accounts", "limits.accounts_per_user"),
            ("matrix.appservice.token_file", "matrix.appservice.as_token_file"),
            ("wechat.keep_days", "media.keep_days"),
        ] {
            assert_eq!(near(wanted).as_deref(), Some(found), "{wanted}");
        }
    }
}

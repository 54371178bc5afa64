//! Walks a configuration file with the positions of its parts, and judges every one of them.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, Kind, Section};
use super::problem::{Origin, Problem};
use super::value;

/// A file's text under its name.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// What a layer says, as positions: dotted key to its origin.
#[derive(Default)]
pub(super) struct Findings {
    /// Keys of lists of sections stand there twice: as they are written, for the last entry, and with the number of
    /// each entry (see [`entry`]).
    pub(super) origins: BTreeMap<String, Origin>,
    pub(super) problems: Vec<Problem>,
}

impl Source<'_> {
    fn at(&self, span: &Range<usize>) -> Origin {
        let before = self.text.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { file: self.name.to_owned(), line }
    }
}

/// Reads and judges a file.
pub(super) fn read(source: &Source<'_>) -> Findings {
    let mut findings = Findings::default();
    let (document, errors) = DeTable::parse_recoverable(source.text);
    for error in errors {
        let origin = source.at(&error.span().unwrap_or(0..0));
        findings.problems.push(Problem::new(origin, "", format!("not TOML: {}", error.message())));
    }
    // After a syntax error the rest was guessed at; complaints about it would mislead.
    if findings.problems.is_empty() {
        walk(&|span| source.at(span), "", document.get_ref(), &mut findings);
    }
    findings.problems.sort_by_key(|problem| match &problem.origin {
        Origin::File { line, .. } => *line,
        Origin::Default | Origin::Env { .. } => usize::MAX,
    });
    findings
}

/// The path of an entry of a list of sections: `irc.network[0]`.
pub(super) fn entry(list: &str, number: usize) -> String {
    format!("{list}[{number}]")
}

/// True for a path such as `irc`, which only groups sections.
fn is_group(path: &str) -> bool {
    keys::SECTIONS.iter().any(|s| s.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Where a part of a layer stands.
type At<'a> = dyn Fn(&Range<usize>) -> Origin + 'a;

fn walk(at: &At<'_>, path: &str, table: &DeTable<'_>, findings: &mut Findings) {
    for (name, item) in table {
        let full = keys::join(path, name.get_ref());
        let origin = at(&name.span());
        let section = keys::section(&full);
        let key = keys::find(&full);
        match (section, key) {
            (Some(section), _) => walk_section(at, section, item, origin, findings),
            (None, Some((_, key))) => take_key(at, &full, key, item, origin, findings),
            (None, None) => match item.get_ref() {
                DeValue::Table(inner) if is_group(&full) => walk(at, &full, inner, findings),
                DeValue::Table(_) if !full.contains('.') || is_group(path) => {
                    findings.problems.push(Problem::unknown_section(origin, &full));
                }
                _ if is_group(&full) => {
                    let message = "groups sections and takes no value";
                    findings.problems.push(Problem::new(origin, full, message));
                }
                _ => findings.problems.push(Problem::unknown(origin, &full)),
            },
        }
    }
}

/// Judges what stands for a section.
pub(super) fn walk_section(
    at: &At<'_>,
    section: &Section,
    item: &Spanned<DeValue<'_>>,
    origin: Origin,
    findings: &mut Findings,
) {
    let path = section.path;
    match (section.is_list, item.get_ref()) {
        (false, DeValue::Table(inner)) => walk(at, path, inner, findings),
        (true, DeValue::Array(entries)) => {
            findings.origins.insert(path.to_owned(), origin.clone());
            for (number, item) in entries.iter().enumerate() {
                match item.get_ref() {
                    DeValue::Table(inner) => {
                        let mut found = Findings::default();
                        walk(at, path, inner, &mut found);
                        findings.problems.extend(found.problems);
                        for (key, origin) in found.origins {
                            let name = key.strip_prefix(path).unwrap_or_default();
                            findings.origins.insert(entry(path, number) + name, origin.clone());
                            findings.origins.insert(key, origin);
                        }
                    }
                    _ => {
                        let message = format!("every entry must be a table, written [[{path}]]");
                        findings.problems.push(Problem::new(origin.clone(), path, message));
                    }
                }
            }
        }
        (false, _) => {
            let message = format!("is a section, written [{path}], and not a value");
            findings.problems.push(Problem::new(origin, path, message));
        }
        (true, _) => {
            let message = format!("may occur several times and is written [[{path}]]");
            findings.problems.push(Problem::new(origin, path, message));
        }
    }
}

/// Judges the value of a key; `at` says where its parts stand.
pub(super) fn take_key(
    at: &At<'_>,
    path: &str,
    key: &Key,
    item: &Spanned<DeValue<'_>>,
    origin: Origin,
    findings: &mut Findings,
) {
    findings.origins.insert(path.to_owned(), origin.clone());
    if let Some(message) = value::misfit(item.get_ref(), key.kind) {
        findings.problems.push(Problem::new(origin, path, message));
        return;
    }
    let Some(inner) = item.get_ref().as_table() else { return };
    for (name, value) in inner {
        let origin = at(&name.span());
        let full = format!("{path}.{}", name.get_ref());
        match key.kind {
            Kind::Words(words) => {
                findings.origins.insert(full.clone(), origin.clone());
                if let Some(message) = value::bad_word(value.get_ref(), words) {
                    findings.problems.push(Problem::new(origin, full, message));
                }
            }
            Kind::Record(known) => match known.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) => take_key(at, &full, key, value, origin, findings),
                None => findings.problems.push(Problem {
                    nearest: known.first().map(|key| format!("{path}.{}", key.name)),
                    ..Problem::new(origin, full, "there is no such key")
                }),
            },
            _ => {}
        }
    }
}

//! `WXGATE__SECTION__KEY`: every key as an environment variable, typed by the table.

use toml::de::DeValue;

use super::file::{self, Findings};
use super::keys::{self, Kind, Section};
use super::problem::{Origin, Problem};
use super::value;

/// Variables with this prefix are ours; one that is no key is an error, not somebody else's.
const PREFIX: &str = "WXGATE__";

/// A key that the environment sets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) path: String,
    pub(super) variable: String,
    /// The value, written as TOML.
    pub(super) toml: String,
}

/// Reads and judges the variables; `all` is the whole environment. Gives the keys that are set, and what was found
/// out about them.
pub(super) fn read(all: &[(String, String)]) -> (Vec<Setting>, Findings) {
    let mut settings: Vec<Setting> = Vec::new();
    let mut findings = Findings::default();
    for (variable, text) in all {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let path = rest.split("__").map(str::to_ascii_lowercase).collect::<Vec<_>>().join(".");
        // Names of variables tell small letters from capital ones, keys do not.
        if let Some(other) = settings.iter().find(|other| other.path == path) {
            let origin = Origin::Env { variable: variable.clone() };
            let message = format!("is set by {} already; keep one of the two", other.variable);
            findings.problems.push(Problem::new(origin, path, message));
            continue;
        }
        settings.extend(read_one(variable, path, text, &mut findings));
    }
    (settings, findings)
}

/// The key that a variable sets, unless it is none or its value does not fit.
fn read_one(variable: &str, path: String, text: &str, findings: &mut Findings) -> Option<Setting> {
    let origin = Origin::Env { variable: variable.to_owned() };
    if let Some(list) = keys::section(&path).filter(|section| section.is_list) {
        return read_list(variable, list, text, findings);
    }
    let Some((section, key)) = keys::find(&path) else {
        findings.problems.push(Problem::unknown(origin, &path));
        return None;
    };
    if section.is_list {
        let whole = format!("{PREFIX}{}", section.path.replace('.', "__").to_ascii_uppercase());
        let message = format!(
            "nothing tells which entry of [[{}]] this is for; set all of them, {whole}='{}', or write them in the \
             file",
            section.path,
            example(section)
        );
        findings.problems.push(Problem::new(origin, path, message));
        return None;
    }
    let toml = as_toml(text, key.kind);
    // The same judgement as for the file, on the same text that will be layered.
    let Ok(value) = DeValue::parse(&toml) else {
        let message = format!("{} cannot be read as a value of this key", value::repeated(text));
        findings.problems.push(Problem::new(origin, path, message));
        return None;
    };
    let before = findings.problems.len();
    file::take_key(&|_| origin.clone(), &path, key, &value, origin.clone(), findings);
    (findings.problems.len() == before).then(|| Setting { path, variable: variable.to_owned(), toml })
}

/// All entries of a list of sections: an array of tables.
fn read_list(variable: &str, section: &Section, text: &str, findings: &mut Findings) -> Option<Setting> {
    let origin = Origin::Env { variable: variable.to_owned() };
    let toml = text.trim().to_owned();
    let value = DeValue::parse(&toml).ok().filter(|value| value.get_ref().is_array());
    let Some(value) = value else {
        let message =
            format!("{} is no array of tables, such as {}", value::repeated(text), example(section));
        findings.problems.push(Problem::new(origin, section.path, message));
        return None;
    };
    let before = findings.problems.len();
    file::walk_section(&|_| origin.clone(), section, &value, origin.clone(), findings);
    let setting =
        Setting { path: section.path.to_owned(), variable: variable.to_owned(), toml: toml.clone() };
    (findings.problems.len() == before).then_some(setting)
}

/// One entry of a list, as the reference has its first keys.
fn example(section: &Section) -> String {
    let pairs = section.keys.iter().take(2).map(|key| format!("{} = {}", key.name, key.default));
    format!("[{{ {}, … }}]", pairs.collect::<Vec<_>>().join(", "))
}

/// The variable's text as TOML: numbers, flags and tables as they stand, lists also parted by
/// commas, everything else quoted.
fn as_toml(text: &str, kind: Kind) -> String {
    match kind {
        Kind::Flag | Kind::Number { .. } | Kind::Record(_) | Kind::Words(_) => text.trim().to_owned(),
        Kind::Addresses | Kind::Networks | Kind::Origins
            if text.trim_start().starts_with('[') && text.trim_end().ends_with(']') && text.contains('"') =>
        {
            text.trim().to_owned()
        }
        Kind::Addresses | Kind::Networks | Kind::Origins => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(quoted);
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        _ => quoted(text),
    }
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

//! The rules of `deny.toml`, enforced without `cargo-deny`: licences, sources, bans with their wrappers,
//! duplicate versions. Where `cargo-deny` is installed it runs as well, and judges the same file.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::arch::{Finding, report};
use crate::metadata::{Graph, Package};
use crate::run::Cmd;
use crate::tree::Root;

/// `deny.toml`, the part that is read here.
#[derive(Debug, Default)]
struct Rules {
    targets: Vec<String>,
    licences: BTreeSet<String>,
    /// Crate, and what it alone may be licensed under besides.
    exceptions: Vec<(String, Vec<String>)>,
    bans: Vec<Ban>,
    /// Crate and version that may stand beside another, with the reason.
    skips: Vec<(String, String)>,
}

#[derive(Debug)]
struct Ban {
    name: String,
    /// Who may name it all the same; nobody when empty.
    wrappers: Vec<String>,
}

/// Whether the dependency tree keeps the rules.
pub(crate) fn deny(root: &Root) -> Result<bool> {
    let path = root.join("deny.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let rules = Rules::read(&text).context("reading deny.toml")?;
    let graph = Graph::resolved(root, &rules.targets)?;
    let mut findings = licences(&rules, &graph);
    findings.extend(bans(&rules, &graph));
    findings.extend(duplicates(&rules, &graph));
    findings.extend(outside_sources(&graph));
    let mut good = report("deny", &findings);
    if Cmd::cargo(root).args(["deny", "--version"]).works() {
        good &= Cmd::cargo(root).args(["deny", "check", "bans", "licenses", "sources"]).run()?.success();
    }
    Ok(good)
}

impl Rules {
    fn read(text: &str) -> Result<Self> {
        let file: Table = text.parse()?;
        let list = |section: &str, key: &str| -> Vec<Value> {
            let value = file.get(section).and_then(|section| section.get(key)).and_then(Value::as_array);
            value.cloned().unwrap_or_default()
        };
        let text_of = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let strings = |values: Vec<Value>| values.into_iter().filter_map(|v| v.as_str().map(str::to_owned));
        let mut rules = Self {
            targets: strings(list("graph", "targets")).collect(),
            licences: strings(list("licenses", "allow")).collect(),
            ..Self::default()
        };
        anyhow::ensure!(!rules.targets.is_empty(), "[graph] names no targets");
        let list_of = |value: &Value, key: &str| -> Vec<String> {
            strings(value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()).collect()
        };
        for exception in list("licenses", "exceptions") {
            let name = text_of(&exception, "crate").context("a licence exception without a crate")?;
            rules.exceptions.push((name, list_of(&exception, "allow")));
        }
        for ban in list("bans", "deny") {
            let name = text_of(&ban, "crate").context("a ban without a crate")?;
            rules.bans.push(Ban { name, wrappers: list_of(&ban, "wrappers") });
        }
        for skip in list("bans", "skip") {
            let name = text_of(&skip, "crate").context("a skip without a crate")?;
            rules.skips.push((name, text_of(&skip, "reason").unwrap_or_default()));
        }
        Ok(rules)
    }
}

fn licences(rules: &Rules, graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in graph.packages.values() {
        let place = format!("{} {}", package.name, package.version);
        let mut list = rules.licences.clone();
        let more = rules.exceptions.iter().filter(|(name, _)| *name == package.name);
        list.extend(more.flat_map(|(_, allow)| allow.iter().cloned()));
        match &package.licence {
            None => findings.push(Finding::fails("licence", place, "states no licence")),
            Some(licence) if !allowed(licence, &list) => {
                findings.push(Finding::fails("licence", place, format!("'{licence}' is not on the list")));
            }
            Some(_) => {}
        }
    }
    findings
}

/// Whether an SPDX expression can be met from the list. `/` is the old way to write OR.
fn allowed(expression: &str, list: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let good = either(&mut rest, list);
    good && rest.is_empty()
}

fn either(rest: &mut &[&str], list: &BTreeSet<String>) -> bool {
    let mut good = both(rest, list);
    while let [first, tail @ ..] = *rest
        && *first == "OR"
    {
        *rest = tail;
        // The right side is read in any case, so that the tokens are used up.
        let right = both(rest, list);
        good |= right;
    }
    good
}

fn both(rest: &mut &[&str], list: &BTreeSet<String>) -> bool {
    let mut good = one(rest, list);
    while let [first, tail @ ..] = *rest
        && *first == "AND"
    {
        *rest = tail;
        let right = one(rest, list);
        good &= right;
    }
    good
}

fn one(rest: &mut &[&str], list: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let good = either(rest, list);
            match *rest {
                [")", tail @ ..] => {
                    *rest = tail;
                    good
                }
                _ => false,
            }
        }
        [name, "WITH", exception, tail @ ..] => {
            *rest = tail;
            list.contains(*name) || list.contains(&format!("{name} WITH {exception}"))
        }
        [name, tail @ ..] => {
            *rest = tail;
            list.contains(*name)
        }
        [] => false,
    }
}

/// A banned crate is named by its wrappers only.
fn bans(rules: &Rules, graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ban in &rules.bans {
        for (id, package) in graph.packages.iter().filter(|(_, package)| package.name == ban.name) {
            let parents = graph.edges.iter().filter(|(_, on)| on.contains(id));
            let parents = parents.filter_map(|(parent, _)| graph.packages.get(parent));
            for parent in parents.filter(|parent| !ban.wrappers.contains(&parent.name)) {
                let who = if ban.wrappers.is_empty() { "nobody".to_owned() } else { ban.wrappers.join(", ") };
                let what = format!("depends on `{}`, which is for {who}", package.name);
                findings.push(Finding::fails("border", &parent.name, what));
            }
        }
    }
    findings
}

/// Two versions of one crate need a dated line that says why.
fn duplicates(rules: &Rules, graph: &Graph) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in graph.packages.values() {
        versions.entry(&package.name).or_default().push(package);
    }
    let mut findings = Vec::new();
    for (name, packages) in versions.iter().filter(|(_, packages)| packages.len() > 1) {
        let unexcused: Vec<&&Package> = packages
            .iter()
            .filter(|package| !rules.skips.iter().any(|(skip, _)| skipped(skip, package)))
            .collect();
        if unexcused.len() > 1 {
            let list: Vec<&str> = packages.iter().map(|package| package.version.as_str()).collect();
            findings.push(Finding::fails(
                "duplicate",
                *name,
                format!("is built in versions {}", list.join(", ")),
            ));
        }
    }
    for (skip, reason) in &rules.skips {
        if !dated(reason) {
            findings.push(Finding::fails(
                "duplicate",
                skip,
                "is excused without a date (YYYY-MM-DD) in its reason",
            ));
        }
        let used = graph.packages.values().any(|p| skipped(skip, p) && versions[p.name.as_str()].len() > 1);
        if !used {
            findings.push(Finding::look(
                "duplicate",
                skip,
                "is excused, but there is no second version any more",
            ));
        }
    }
    findings
}

/// `name`, or `name@1.2` for the versions that begin so.
fn skipped(skip: &str, package: &Package) -> bool {
    match skip.split_once('@') {
        None => skip == package.name,
        Some((name, version)) => {
            let version = version.trim_start_matches(['=', '^', '~']);
            name == package.name
                && package
                    .version
                    .strip_prefix(version)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }
    }
}

fn dated(reason: &str) -> bool {
    let is_date = |word: &str| {
        let parts: Vec<&str> = word.split('-').collect();
        parts.len() == 3
            && parts.iter().zip([4, 2, 2]).all(|(p, n)| p.len() == n && p.chars().all(|c| c.is_ascii_digit()))
    };
    reason.split(|c: char| !(c.is_ascii_digit() || c == '-')).any(is_date)
}

fn outside_sources(graph: &Graph) -> Vec<Finding> {
    let public = "registry+https://github.com/rust-lang/crates.io-index";
    let odd = graph.packages.values().filter(|p| p.source.as_deref().is_some_and(|source| source != public));
    odd.map(|p| {
        Finding::fails("origin", format!("{} {}", p.name, p.version), "is not from the public registry")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::read(
            "[graph]\ntargets = [\"t\"]\n[licenses]\nallow = [\"MIT\", \"Zlib\", \"Apache-2.0\"]\n\
             exceptions = [{ crate = \"irc\", allow = [\"MPL-2.0\"] }]\n[bans]\n\
             deny = [{ crate = \"sqlx\", wrappers = [\"store\"] }, { crate = \"openssl\" }]\n\
             skip = [{ crate = \"hash@0.14\", reason = \"2026-11-24: until sqlx moves\" }]\n",
        )
        .unwrap()
    }

    fn graph(packages: &[(&str, &str, &str)], edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (name, version, licence) in packages {
            let package = Package {
                name: (*name).into(),
                version: (*version).into(),
                licence: Some((*licence).into()),
                ..Package::default()
            };
            graph.packages.insert(format!("{name}@{version}"), package);
        }
        for (from, on) in edges {
            graph.edges.entry((*from).into()).or_default().insert((*on).into());
        }
        graph
    }

    fn shown(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}: {}", finding.place, finding.what)).collect()
    }

    #[test]
    fn licence_expressions_are_met_from_the_list() {
        let list = rules().licences;
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR (MIT AND Zlib)",
            "(MIT OR X) AND Zlib",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(allowed(good, &list), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "(MIT", "MIT MIT", "GPL-2.0 WITH Classpath", "MIT AND"]
        {
            assert!(!allowed(bad, &list), "{bad}");
        }
    }

    #[test]
    fn an_exception_is_for_its_crate_alone() {
        let graph = graph(&[("irc", "1.0.0", "MPL-2.0"), ("css", "1.0.0", "MPL-2.0")], &[]);
        assert_eq!(shown(&licences(&rules(), &graph)), ["css 1.0.0: 'MPL-2.0' is not on the list"]);
    }

    #[test]
    fn a_crate_across_its_border_is_found() {
        let graph = graph(
            &[
                ("sqlx", "1.0.0", "MIT"),
                ("store", "0.1.0", "MIT"),
                ("bridge", "0.1.0", "MIT"),
                ("openssl", "1.0.0", "MIT"),
            ],
            &[
                ("store@0.1.0", "sqlx@1.0.0"),
                ("bridge@0.1.0", "sqlx@1.0.0"),
                ("store@0.1.0", "openssl@1.0.0"),
            ],
        );
        assert_eq!(
            shown(&bans(&rules(), &graph)),
            [
                "bridge: depends on `sqlx`, which is for store",
                "store: depends on `openssl`, which is for nobody"
            ]
        );
    }

    #[test]
    fn a_second_version_needs_an_excuse() {
        let twice = graph(
            &[
                ("rand", "0.8.1", "MIT"),
                ("rand", "0.9.0", "MIT"),
                ("hash", "0.14.2", "MIT"),
                ("hash", "0.15.0", "MIT"),
            ],
            &[],
        );
        assert_eq!(shown(&duplicates(&rules(), &twice)), ["rand: is built in versions 0.8.1, 0.9.0"]);
        let once = graph(&[("hash", "0.15.0", "MIT")], &[]);
        assert_eq!(duplicates(&rules(), &once).len(), 1, "an excuse that is no longer needed is shown");
    }

    #[test]
    fn an_excuse_has_a_date() {
        assert!(dated("2026-11-24: until sqlx moves"));
        assert!(!dated("until 2026"));
    }
}

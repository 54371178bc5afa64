//! The shape of the tree, checked: what ARCHITECTURE.md and the style rules promise, no reviewer has to remember.
//!
//! Every rule is a function from a tree to findings, so that each has a test on a made-up tree.

mod deploy;
mod edges;
mod files;
pub(crate) mod generated;
mod metrics;
mod pages;
mod versions;
mod words;

pub(crate) use pages::links;

use anyhow::Result;

use crate::metadata::Graph;
use crate::tree::{Root, Tree};

/// One place where a rule is broken, or worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    /// Path, and line where there is one.
    pub(crate) place: String,
    pub(crate) what: String,
    pub(crate) weight: Weight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Fails,
    /// Shown, and no more.
    LookAgain,
}

impl Finding {
    pub(crate) fn fails(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { rule, place: place.into(), what: what.into(), weight: Weight::Fails }
    }

    pub(crate) fn look(rule: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { weight: Weight::LookAgain, ..Self::fails(rule, place, what) }
    }
}

/// `cargo xtask arch`.
pub(crate) fn arch(root: &Root) -> Result<bool> {
    let tree = Tree::load(root)?;
    let graph = Graph::workspace(root)?;
    let mut findings = edges::edges(&tree, &graph);
    findings.extend(edges::lints(&tree, &graph));
    findings.extend(files::sizes(&tree));
    findings.extend(files::names(&tree));
    findings.extend(files::machine_paths(&tree, root.path()));
    findings.extend(files::registries(&tree));
    findings.extend(words::bridge_names_no_network(&tree));
    findings.extend(words::pure_crates(&tree));
    findings.extend(words::sources(&tree));
    findings.extend(words::conditions(&tree));
    findings.extend(words::only_the_heap_is_unsafe(&tree));
    findings.extend(metrics::agree(&tree));
    findings.extend(deploy::agree(&tree, |path| root.join(path).exists()));
    findings.extend(versions::agree(&tree));
    findings.extend(pages::numbers(&tree));
    findings.extend(pages::links(&tree, |path| root.join(path).exists()));
    findings.extend(generated::agree(root, &tree)?);
    Ok(report("arch", &findings))
}

/// Prints findings; true when none of them fails.
pub(crate) fn report(of: &str, findings: &[Finding]) -> bool {
    let failing = findings.iter().filter(|finding| finding.weight == Weight::Fails).count();
    for finding in findings {
        let mark = if finding.weight == Weight::Fails { "fail" } else { "look" };
        println!("{mark}  {:<10} {}: {}", finding.rule, finding.place, finding.what);
    }
    println!("{of}: {failing} to mend, {} to look at", findings.len() - failing);
    failing == 0
}

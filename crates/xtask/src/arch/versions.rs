//! The version of the program and those of the changelog.

use super::Finding;
use crate::tree::Tree;

const CHANGELOG: &str = "CHANGELOG.md";
const MANIFEST: &str = "Cargo.toml";

/// The changelog begins with what is not released; below it are releases, the newest first, none newer than the program.
pub(super) fn agree(tree: &Tree) -> Vec<Finding> {
    let fails = |place: &str, what: String| vec![Finding::fails("version", place, what)];
    let own = tree.get(MANIFEST).and_then(|file| {
        let line = file.text.lines().find(|line| line.starts_with("version = "))?;
        parsed(line.split('"').nth(1)?)
    });
    let Some(own) = own else { return fails(MANIFEST, "says no version of three numbers".to_owned()) };
    let Some(page) = tree.get(CHANGELOG) else { return fails(CHANGELOG, "is missing".to_owned()) };
    let mut heads = page.text.lines().filter_map(|line| line.strip_prefix("## "));
    if heads.next() != Some("[Unreleased]") {
        return fails(CHANGELOG, "does not begin with [Unreleased]".to_owned());
    }
    let mut before = None;
    for head in heads {
        let Some(released) = head.strip_prefix('[').and_then(|rest| parsed(rest.split(']').next()?)) else {
            return fails(CHANGELOG, format!("has no version in the head {head:?}"));
        };
        if released > own || before.is_some_and(|before| released >= before) {
            return fails(
                CHANGELOG,
                format!("{head:?} is newer than what stands above it, or than the program"),
            );
        }
        before = Some(released);
    }
    Vec::new()
}

fn parsed(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_stand_in_order_and_none_is_newer_than_the_program() {
        let said = |version: &str, heads: &[&str]| {
            let manifest = format!("[workspace.package]\nversion = \"{version}\"\n");
            let page: String = heads.iter().map(|head| format!("## {head}\n\n* x\n")).collect();
            let found = agree(&Tree::of(&[(MANIFEST, &manifest), (CHANGELOG, &page)]));
            found.into_iter().map(|finding| finding.what).collect::<String>()
        };
        assert_eq!(said("0.1.0", &["[Unreleased]"]), "");
        assert_eq!(said("0.10.0", &["[Unreleased]", "[0.10.0] - 2026-01-02", "[0.9.1] - 2026-01-01"]), "");
        assert!(said("0.1.0", &["[0.1.0]"]).contains("does not begin"));
        assert!(said("0.1.0", &["[Unreleased]", "[0.2.0]"]).contains("0.2.0"));
        assert!(said("0.2.0", &["[Unreleased]", "[0.1.0]", "[0.2.0]"]).contains("0.2.0"));
        assert!(said("0.2.0", &["[Unreleased]", "soon"]).contains("no version"));
        assert!(said("0.2", &["[Unreleased]"]).contains("three numbers"));
    }
}

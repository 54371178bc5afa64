//! Pages for people: their links lead somewhere, and no two decisions have one number.

use std::collections::BTreeMap;

use super::Finding;
use crate::tree::{SourceFile, Tree};

const DECISIONS: &str = "docs/decisions/";

/// Each number belongs to one page, and the page says it.
pub(super) fn numbers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for file in pages(tree) {
        let Some(name) = file.path.strip_prefix(DECISIONS) else { continue };
        let Some((number, _)) = name.split_once('-').filter(|(number, _)| is_number(number)) else {
            continue;
        };
        if let Some(other) = taken.insert(number, name) {
            findings.push(Finding::fails("decision", &file.path, format!("has the number of {other}")));
        }
        if !file.text.starts_with(&format!("# {number}: ")) {
            findings.push(Finding::fails(
                "decision",
                &file.path,
                format!("does not begin with '# {number}: '"),
            ));
        }
    }
    findings
}

fn is_number(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Links to files of the tree and to headings of pages. `is_there` knows files that hold no text.
pub(crate) fn links(tree: &Tree, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in pages(tree) {
        for (at, target) in targets(&file.text) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => file.path.clone(),
                path => resolved(&file.path, path),
            };
            let page = tree.get(&path);
            let leads = match page {
                Some(page) => heading.is_empty() || headings(&page.text).any(|known| known == heading),
                None => heading.is_empty() && is_there(&path),
            };
            if !leads {
                let place = format!("{}:{at}", file.path);
                findings.push(Finding::fails(
                    "link",
                    place,
                    format!("links to {target}, which is not there"),
                ));
            }
        }
    }
    findings
}

fn pages(tree: &Tree) -> impl Iterator<Item = &SourceFile> {
    tree.files.iter().filter(|file| file.path.ends_with(".md"))
}

/// What `[…](…)` leads to, with the line, outside of code; addresses of the web aside.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text)
        .flat_map(|(at, line)| {
            let outside = line.split('`').step_by(2);
            // A link whose words are code: `](` follows the closing backtick.
            outside.flat_map(move |part| {
                let ends = part.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
                ends.map(move |target| (at, target.split(' ').next().unwrap_or(target)))
            })
        })
        .filter(|(_, target)| !target.contains(':') && !target.starts_with('/'))
}

/// Numbered lines that are not in a block of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        (!is_code && !fence).then_some((at + 1, line))
    })
}

/// Anchors as the usual renderers make them: small letters, spaces become hyphens, other signs go.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter_map(|(_, line)| line.strip_prefix('#')).map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

fn resolved(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}: {}", finding.place, finding.what)).collect()
    }

    #[test]
    fn two_decisions_with_one_number_are_found() {
        let tree = Tree::of(&[
            ("docs/decisions/0003-a.md", "# 0003: A\n"),
            ("docs/decisions/0003-b.md", "# 0003: B\n"),
            ("docs/decisions/0004-c.md", "# 0003: C\n"),
            ("docs/decisions/README.md", "# Decisions\n"),
        ]);
        assert_eq!(
            said(&numbers(&tree)),
            [
                "docs/decisions/0003-b.md: has the number of 0003-a.md",
                "docs/decisions/0004-c.md: does not begin with '# 0004: '",
            ]
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "See [a](a.md), [b](../README.md#two-words), [`code`](a.md) and [web](https://x.invalid/).\n\
                    ![picture](p.png) [gone](gone.md)\n[no](a.md#no) `[x](y.md)` [here](#own-title)\n\
                    ```\n[in code](z.md)\n```\n# Own title\n[dir](.)\n";
        let tree = Tree::of(&[
            ("docs/page.md", text),
            ("docs/a.md", "# A\n"),
            ("README.md", "## Two words!\n[up](docs/none.md)\n"),
        ]);
        let found = links(&tree, |path| ["docs/p.png", "docs"].contains(&path));
        assert_eq!(
            said(&found),
            [
                "README.md:2: links to docs/none.md, which is not there",
                "docs/page.md:2: links to gone.md, which is not there",
                "docs/page.md:3: links to a.md#no, which is not there",
            ]
        );
    }
}

//! Numbers: what dashboards, alerts and the reference call by name, the program has to tell.

use std::collections::BTreeSet;

use super::Finding;
use crate::tree::Tree;

const CODE: &str = "crates/gateway/src/metrics.rs";
const REFERENCE: &str = "docs/metrics.md";
/// What a histogram is told as. Source: the Prometheus text format, version 0.0.4.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Each name that is used in `deploy/` exists, and the reference has exactly the names that there are.
pub(super) fn agree(tree: &Tree) -> Vec<Finding> {
    let Some(code) = tree.get(CODE) else { return vec![Finding::fails("metrics", CODE, "is missing")] };
    // Constants only: crates of ours have names that begin the same.
    let constants = code.code().filter(|(_, line)| line.starts_with("const "));
    let told: BTreeSet<String> = constants.flat_map(|(_, line)| names(line)).collect();
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.starts_with("deploy/")) {
        for (at, line) in file.text.lines().enumerate() {
            for name in names(line).filter(|name| !is_told(&told, name)) {
                let what = format!("names {name}, which the program does not tell");
                findings.push(Finding::fails("metrics", format!("{}:{}", file.path, at + 1), what));
            }
        }
    }
    let Some(page) = tree.get(REFERENCE) else {
        return vec![Finding::fails("metrics", REFERENCE, "is missing")];
    };
    let rows = page.text.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeSet<String> = rows.filter_map(|row| names(row).next()).collect();
    for name in told.difference(&listed) {
        findings.push(Finding::fails("metrics", REFERENCE, format!("has no row for {name}")));
    }
    for name in listed.difference(&told) {
        findings.push(Finding::fails(
            "metrics",
            REFERENCE,
            format!("has a row for {name}, which is not told"),
        ));
    }
    findings
}

fn is_told(told: &BTreeSet<String>, name: &str) -> bool {
    told.contains(name) || PARTS.iter().any(|part| name.strip_suffix(part).is_some_and(|n| told.contains(n)))
}

/// The names of metrics in a line: ours, and the one of the process.
fn names(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_name = |word: &&str| word.starts_with("wxgate_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_tells_and_rows_that_are_missing_are_found() {
        let tree = Tree::of(&[
            (
                CODE,
                "const A: &str = \"wxgate_a_seconds\";\nconst B: &str = \"wxgate_b_total\";\nuse wxgate_bridge::Meter;\n",
            ),
            ("deploy/rules.yml", "expr: rate(wxgate_a_seconds_bucket[5m]) > wxgate_c\n# wxgate.rules.yml\n"),
            (REFERENCE, "`wxgate_b_total` in a sentence\n| `wxgate_a_seconds` | |\n| `wxgate_d` | |\n"),
        ]);
        let said: Vec<String> = agree(&tree).iter().map(|f| format!("{}: {}", f.place, f.what)).collect();
        assert_eq!(
            said,
            [
                "deploy/rules.yml:1: names wxgate_c, which the program does not tell",
                "docs/metrics.md: has no row for wxgate_b_total",
                "docs/metrics.md: has a row for wxgate_d, which is not told",
            ]
        );
    }
}

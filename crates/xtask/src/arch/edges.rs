//! Crate edges against the table in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::metadata::{Graph, Package};
use crate::tree::Tree;

const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Crates";

/// What tests of any crate may lean on besides the table: the shared stories and the outside world.
const FOR_TESTS: [&str; 3] = ["contract", "simulator", "wechat-proto"];

/// Crate directory to the crates it may depend on.
type Allowed = BTreeMap<String, BTreeSet<String>>;

/// Every crate has a row, every row a crate, and no manifest names a crate of ours beyond its row.
pub(super) fn edges(tree: &Tree, graph: &Graph) -> Vec<Finding> {
    let Some(page) = tree.get(PAGE) else {
        return vec![Finding::fails("edges", PAGE, "is missing, and with it the table of crates")];
    };
    let allowed = match table(&page.text) {
        Ok(allowed) => allowed,
        Err(what) => return vec![Finding::fails("edges", PAGE, what)],
    };
    let crates: BTreeMap<&str, &Package> =
        graph.ours().filter_map(|package| Some((crate_dir(package)?, package))).collect();
    let dirs: BTreeMap<&str, &str> =
        crates.iter().map(|(dir, package)| (package.name.as_str(), *dir)).collect();

    let mut findings = Vec::new();
    for row in allowed.keys().filter(|row| !crates.contains_key(row.as_str())) {
        findings.push(Finding::fails("edges", PAGE, format!("has a row for `{row}`, which is no crate")));
    }
    for (dir, package) in &crates {
        let Some(allowed) = allowed.get(*dir) else {
            findings.push(Finding::fails("edges", PAGE, format!("has no row for `{dir}`")));
            continue;
        };
        for (name, only_tests) in &package.named {
            // A crate may name itself in its tests, to switch a feature of its own on.
            let Some(on) = dirs.get(name.as_str()).copied().filter(|on| on != dir) else { continue };
            if allowed.contains(on) || *only_tests && FOR_TESTS.contains(&on) {
                continue;
            }
            let what = format!("depends on `{on}`, which its row in {PAGE} does not allow");
            let dir = package.dir.as_deref().unwrap_or(dir);
            findings.push(Finding::fails("edges", format!("{dir}/Cargo.toml"), what));
        }
    }
    findings
}

/// Every manifest inherits the lints of the workspace.
pub(super) fn lints(tree: &Tree, graph: &Graph) -> Vec<Finding> {
    let manifests = graph.ours().filter_map(|package| package.dir.as_ref());
    let lacking = manifests.map(|dir| format!("{dir}/Cargo.toml")).filter(|path| {
        let manifest = tree.get(path).and_then(|file| file.text.parse::<toml::Table>().ok());
        let inherits = manifest.and_then(|manifest| manifest.get("lints")?.get("workspace")?.as_bool());
        inherits != Some(true)
    });
    lacking.map(|path| Finding::fails("lints", path, "does not inherit the lints of the workspace")).collect()
}

/// What a row calls a package: its directory, without the `crates/` that nearly all have.
fn crate_dir(package: &Package) -> Option<&str> {
    package.dir.as_deref().map(|dir| dir.strip_prefix("crates/").unwrap_or(dir))
}

/// Reads the first Markdown table under the heading.
fn table(page: &str) -> Result<Allowed, String> {
    let mut lines = page.lines().skip_while(|line| line.trim_end() != HEADING).skip(1);
    let rows: Vec<&str> = lines
        .by_ref()
        .take_while(|line| !line.starts_with("## "))
        .skip_while(|line| !line.trim_start().starts_with('|'))
        .take_while(|line| line.trim_start().starts_with('|'))
        .collect();
    // Two rows of head: the titles and the rule below them.
    let Some((_, body)) = rows.split_at_checked(2).filter(|(_, body)| !body.is_empty()) else {
        return Err(format!("has no table under the heading '{HEADING}'"));
    };
    let mut allowed = Allowed::new();
    for row in body {
        let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, on, ..] = cells.as_slice() else {
            return Err(format!("has a row of fewer than three cells: {row}"));
        };
        let name = quoted(name).next().ok_or_else(|| format!("has a row without a crate name: {row}"))?;
        let on: BTreeSet<String> = match *on {
            "" | "-" | "–" | "—" => BTreeSet::new(),
            on => quoted(on).map(str::to_owned).collect(),
        };
        if on.is_empty() && !matches!(cells[2], "" | "-" | "–" | "—") {
            return Err(format!("row `{name}`: names of crates stand in backticks, or – for none"));
        }
        if allowed.insert(name.to_owned(), on).is_some() {
            return Err(format!("has two rows for `{name}`"));
        }
    }
    Ok(allowed)
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Architecture
| not | this | one |
|---|---|---|
| `x` | y | – |

## Crates

Some words.

| crate | what | may depend on |
|---|---|---|
| `contract` | words | – |
| `bridge` | the pipe | `contract`, `store` |
| `store` | rows | `contract` |
| `tests` | stories | `bridge` |

## Next
| `late` | no | – |
";

    fn package(name: &str, dir: &str, named: &[(&str, bool)]) -> (String, Package) {
        let named = named.iter().map(|(name, dev)| ((*name).to_owned(), *dev)).collect();
        (name.into(), Package { name: name.into(), dir: Some(dir.into()), named, ..Package::default() })
    }

    fn graph(store: &[(&str, bool)]) -> Graph {
        let packages = [
            package("wxgate-contract", "crates/contract", &[("serde", false), ("wxgate-contract", true)]),
            package("wxgate-store", "crates/store", store),
            package("wxgate-bridge", "crates/bridge", &[("wxgate-store", false)]),
            package("wxgate-tests", "tests", &[("wxgate-bridge", false)]),
        ];
        Graph { packages: packages.into(), ..Graph::default() }
    }

    fn found(page: &str, store: &[(&str, bool)]) -> Vec<String> {
        let tree = Tree::of(&[(PAGE, page)]);
        edges(&tree, &graph(store)).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn the_table_is_the_first_below_its_heading() {
        let allowed = table(TABLE).unwrap();
        assert_eq!(allowed.keys().collect::<Vec<_>>(), ["bridge", "contract", "store", "tests"]);
        assert_eq!(allowed["bridge"], ["contract".to_owned(), "store".to_owned()].into());
        assert!(allowed["contract"].is_empty());
    }

    #[test]
    fn a_page_without_a_usable_table_is_said_so() {
        assert!(table("# x\n").unwrap_err().contains("no table"));
        assert!(
            table("## Crates\n| a | b | c |\n|-|-|-|\n| `a` | b |\n").unwrap_err().contains("three cells")
        );
        assert!(table("## Crates\n| a | b | c |\n|-|-|-|\n| `a` | b | store |\n").is_err());
        assert!(
            table("## Crates\n|a|b|c|\n|-|-|-|\n|`a`|b|–|\n|`a`|b|–|\n").unwrap_err().contains("two rows")
        );
    }

    #[test]
    fn edges_within_the_table_pass() {
        assert_eq!(found(TABLE, &[("wxgate-contract", false), ("sqlx", false)]), [""; 0]);
    }

    #[test]
    fn an_edge_beyond_the_table_fails_even_for_tests() {
        let beyond = "depends on `bridge`, which its row in ARCHITECTURE.md does not allow";
        assert_eq!(found(TABLE, &[("wxgate-bridge", false)]), [beyond]);
        assert_eq!(found(TABLE, &[("wxgate-bridge", true)]), [beyond]);
    }

    #[test]
    fn rows_and_crates_must_match() {
        let page = TABLE.replace("| `store` | rows", "| `warehouse` | rows");
        assert_eq!(
            found(&page, &[]),
            ["has a row for `warehouse`, which is no crate", "has no row for `store`"]
        );
    }

    #[test]
    fn a_manifest_without_the_lints_is_found() {
        let tree = Tree::of(&[
            ("crates/contract/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("crates/store/Cargo.toml", "[package]\n"),
            ("crates/bridge/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("tests/Cargo.toml", "[lints]\nworkspace = true\n"),
        ]);
        let found = lints(&tree, &graph(&[]));
        assert_eq!(found.iter().map(|f| f.place.as_str()).collect::<Vec<_>>(), ["crates/store/Cargo.toml"]);
    }
}

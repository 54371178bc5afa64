//! Files: how long, how named, and nothing in them that is true on one machine only.

use std::path::Path;

use super::Finding;
use crate::tree::Tree;

/// Above this a file is shown. From the sizes of projects that are pleasant to read.
const LOOK_LINES: usize = 400;
/// Above this it fails.
const FAIL_LINES: usize = 800;

/// Names that say nothing of what happens inside.
const EMPTY_NAMES: [&str; 11] = [
    "common",
    "core",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "manager",
    "misc",
    "processor",
    "util",
    "utils",
];

/// Length of Rust files, unit tests aside. A file that is all tests is only shown: a long table of cases is
/// no maze.
pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = if file.is_test { file.text.lines().count() } else { file.code().count() };
        if lines > FAIL_LINES && !file.is_test {
            let what = format!("{lines} lines, tests aside; {FAIL_LINES} is the most");
            findings.push(Finding::fails("size", &file.path, what));
        } else if lines > if file.is_test { FAIL_LINES } else { LOOK_LINES } {
            findings.push(Finding::look("size", &file.path, format!("{lines} lines")));
        }
    }
    findings
}

/// `foo.rs` beside `foo/`, and names that say something.
pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let stem = name.trim_end_matches(".rs");
        if stem == "mod" {
            findings.push(Finding::fails("name", &file.path, "is a mod.rs; put `foo.rs` beside `foo/`"));
        }
        if EMPTY_NAMES.contains(&stem) {
            findings.push(Finding::fails("name", &file.path, "is named for nothing that happens in it"));
        }
    }
    findings
}

/// No path of somebody's machine: not of this clone, not of a home directory.
pub(super) fn machine_paths(tree: &Tree, root: &Path) -> Vec<Finding> {
    let patterns = local_paths(root);
    let mut findings = Vec::new();
    for file in &tree.files {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(pattern) = patterns.iter().find(|pattern| holds_path(line, pattern)) {
                let place = format!("{}:{}", file.path, at + 1);
                findings.push(Finding::fails(
                    "machine",
                    place,
                    format!("names '{pattern}', a path of one machine"),
                ));
            }
        }
    }
    findings
}

/// Where this clone and its neighbours lie, unless that is a place every machine has.
fn local_paths(root: &Path) -> Vec<String> {
    let mut patterns: Vec<String> = ["home", "Users"].iter().map(|top| format!("/{top}/")).collect();
    patterns.push(["/ro", "ot/"].concat());
    let shared = ["/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr", "/usr/src", "/var", "/var/tmp"];
    for dir in [Some(root), root.parent()].into_iter().flatten() {
        let dir = dir.to_string_lossy();
        if dir.starts_with('/') && !shared.contains(&dir.as_ref()) {
            patterns.push(format!("{dir}/"));
        }
    }
    patterns
}

/// People who live in examples only.
const NOBODY: [&str; 3] = ["me/", "user/", "you/"];

/// Whether the pattern stands where a path begins: `see /a/b`, not `http://host/a/b` nor `x/a/b`.
fn holds_path(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let rest = &line[at + pattern.len()..];
        let after = rest.chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || "-_.~}>*".contains(c))
            && after.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '_')
            && !NOBODY.iter().any(|name| rest.starts_with(name))
    })
}

/// Lock and requirement files say what is installed; where from is the machine's business.
pub(super) fn registries(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let banned: &[&str] = match name {
            ".npmrc" | "pip.conf" | ".pypirc" | ".yarnrc" => {
                findings.push(Finding::fails(
                    "registry",
                    &file.path,
                    "sets up a registry; that is the machine's",
                ));
                continue;
            }
            "package-lock.json" => &["\"resolved\": \"http"],
            "config.toml" if file.path.contains(".cargo/") => &["[source", "[registries", "replace-with"],
            _ if name.starts_with("requirements") => &["://", "--index", "--extra-index", "--find-links"],
            "Cargo.lock" => &["source = \"registry+http", "source = \"sparse+", "source = \"git+"],
            _ => continue,
        };
        for (at, line) in file.text.lines().enumerate() {
            let public = line.contains("github.com/rust-lang/crates.io-index");
            if !public && banned.iter().any(|part| line.contains(part)) {
                let place = format!("{}:{}", file.path, at + 1);
                findings.push(Finding::fails("registry", place, "names a registry of its own"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn long_files_fail_and_longish_ones_are_shown() {
        let tests = format!("x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(900));
        let tree = Tree::of(&[
            ("a/src/short.rs", "x\n"),
            ("a/src/tested.rs", &tests),
            ("a/src/longish.rs", &"x\n".repeat(401)),
            ("a/src/long.rs", &"x\n".repeat(801)),
            ("a/src/long/tests.rs", &"x\n".repeat(801)),
        ]);
        let found = sizes(&tree);
        let marks: Vec<(&str, bool)> =
            found.iter().map(|f| (f.place.as_str(), f.weight == super::super::Weight::Fails)).collect();
        assert_eq!(
            marks,
            [("a/src/long.rs", true), ("a/src/long/tests.rs", false), ("a/src/longish.rs", false)]
        );
    }

    #[test]
    fn mod_rs_and_empty_names_are_found() {
        let tree = Tree::of(&[("a/src/x/mod.rs", ""), ("a/src/utils.rs", ""), ("a/src/model.rs", "")]);
        assert_eq!(places(&names(&tree)), ["a/src/utils.rs", "a/src/x/mod.rs"]);
    }

    #[test]
    fn paths_of_a_machine_are_found_and_urls_are_not() {
        let home = "/home/";
        let tree = Tree::of(&[
            ("a.md", &format!("see {home}someone/notes\nhttps://host{home}page\n`{home}` alone\n{home}me/x")),
            ("b.md", "in /lab/bench/main/src\n../lab/bench/x\n/lab/bench/other"),
            ("c.md", "in /tmp/x and /lab/else"),
        ]);
        assert_eq!(
            places(&machine_paths(&tree, Path::new("/lab/bench/main"))),
            ["a.md:1", "b.md:1", "b.md:3"]
        );
        assert_eq!(places(&machine_paths(&tree, Path::new("/tmp/main"))), ["a.md:1"]);
    }

    #[test]
    fn a_registry_in_a_lock_or_requirement_file_is_found() {
        let url = ["https:", "//mirror.invalid"].concat();
        let tree = Tree::of(&[
            ("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"),
            ("x/Cargo.lock", &format!("source = \"registry+{url}/index\"\n")),
            ("t/package-lock.json", &format!("{{\n\"resolved\": \"{url}/a.tgz\"\n}}")),
            ("t/requirements.txt", &format!("a==1\n--find-links {url}\n")),
            ("t/.npmrc", ""),
            (".cargo/config.toml", "[alias]\n"),
        ]);
        assert_eq!(
            places(&registries(&tree)),
            ["t/.npmrc", "t/package-lock.json:2", "t/requirements.txt:2", "x/Cargo.lock:1"]
        );
    }
}

//! The tree as the rules see it: tracked text files, held as values so that a rule can be tested on a made-up one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::Cmd;

/// The root directory of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn find() -> Result<Self> {
        let here = std::env::current_dir().context("reading the current directory")?;
        here.ancestors()
            .find(|dir| dir.join("Cargo.lock").is_file() && dir.join("crates/xtask").is_dir())
            .map(|dir| Self(dir.to_owned()))
            .with_context(|| format!("no workspace of wxgate at or above {}", here.display()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }
}

/// One text file.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The whole file is test code: by its place, or because its parent declares it under `#[cfg(test)]`.
    pub(crate) is_test: bool,
}

/// The text files of the tree: what git tracks, and what it would track.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
}

impl Tree {
    /// Reads the tree. New files count before their first commit: a rule that only sees a fault once it is
    /// history comes too late.
    pub(crate) fn load(root: &Root) -> Result<Self> {
        let list = Cmd::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .dir(root.path())
            .text()
            .context("listing the files of the tree")?;
        let mut files = Vec::new();
        for path in list.split('\0').filter(|path| !path.is_empty()) {
            // Deleted but not yet committed, a link to nowhere, or not text: nothing for a rule to read.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.push((path.to_owned(), text));
            }
        }
        Ok(Self::new(files))
    }

    fn new(mut files: Vec<(String, String)>) -> Self {
        files.sort();
        let only_for_tests: BTreeSet<String> =
            files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
        let file = |(path, text): (String, String)| {
            let is_test = is_test_path(&path) || only_for_tests.contains(&path);
            SourceFile { path, text, is_test }
        };
        Self { files: files.into_iter().map(file).collect() }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

impl SourceFile {
    /// The lines before the unit tests, numbered from 1; none for a file that is all tests.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test { 0 } else { self.code_lines() };
        self.text.lines().take(end).enumerate().map(|(at, line)| (at + 1, line))
    }

    fn code_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines.windows(3).position(|at| {
            // `mod tests;` is a declaration and does not end the code; an attribute may stand in between.
            at[0].trim_end() == "#[cfg(test)]"
                && (opens_tests(at[1]) || at[1].starts_with("#[") && opens_tests(at[2]))
        });
        tests.unwrap_or(lines.len())
    }
}

fn is_test_path(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.ends_with("/tests.rs")
}

/// The files of the modules that `path` declares under `#[cfg(test)]`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let Some((dir, name)) = path.strip_suffix(".rs").and_then(|stem| stem.rsplit_once('/')) else {
        return Vec::new();
    };
    let dir = if matches!(name, "lib" | "main") { dir.to_owned() } else { format!("{dir}/{name}") };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|at| at[0] == "#[cfg(test)]").filter_map(|at| {
        let name = at[1].strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(format!("{dir}/{name}.rs"))
    });
    declared.collect()
}

fn opens_tests(line: &str) -> bool {
    line.starts_with("mod ") && line.trim_end().ends_with('{')
}

#[cfg(test)]
impl Tree {
    /// A made-up tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_are_not_code() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "one\n#[cfg(test)]\nmod tests {\n    two\n}\n"),
            ("crates/a/src/long.rs", "one\n#[cfg(test)]\nmod tests;\ntwo\n"),
            ("crates/a/src/long/tests.rs", "one\n"),
            ("crates/a/src/parts.rs", "one\n#[cfg(test)]\npub(crate) mod fixture;\n"),
            ("crates/a/src/parts/fixture.rs", "one\n"),
            ("crates/a/src/attr.rs", "one\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n}\n"),
        ]);
        let count = |name: &str| tree.get(&format!("crates/a/src/{name}.rs")).unwrap().code().count();
        let counts = ["lib", "long", "long/tests", "attr", "parts", "parts/fixture"].map(count);
        assert_eq!(counts, [1, 4, 0, 1, 3, 0]);
    }
}

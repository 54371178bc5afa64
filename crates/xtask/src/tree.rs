//! The tree as the rules see it: tracked text files, held as values so that a rule can be tested on a made-up one.

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
                files.push(SourceFile { path: path.to_owned(), text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    pub(crate) fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

impl SourceFile {
    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || self.path.ends_with("/tests.rs")
    }

    /// The lines before the unit tests, numbered from 1; none for a file that is all tests.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { 0 } else { self.code_lines() };
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

fn opens_tests(line: &str) -> bool {
    line.starts_with("mod ") && line.trim_end().ends_with('{')
}

#[cfg(test)]
impl Tree {
    /// A made-up tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).into(), text: (*text).into() };
        Self { files: files.iter().map(file).collect() }
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
            ("crates/a/src/attr.rs", "one\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n}\n"),
        ]);
        let counts: Vec<usize> = tree.files.iter().map(|file| file.code().count()).collect();
        assert_eq!(counts, [1, 4, 0, 1]);
    }
}

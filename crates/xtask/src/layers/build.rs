//! One cargo call that builds every test program and every program under test, with one set of features.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::Cmd;
use crate::tree::Root;

/// What the build left behind.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) programs: Vec<TestProgram>,
    pub(super) gateway: Option<PathBuf>,
    pub(super) simulator: Option<PathBuf>,
    pub(super) matcher: Option<PathBuf>,
}

/// A program of tests, ready to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TestProgram {
    pub(super) package: String,
    pub(super) target: String,
    /// In `tests/` of its package, and not beside the code.
    pub(super) is_integration: bool,
    pub(super) executable: PathBuf,
    /// Where its package lies; cargo runs tests there, and so do we.
    pub(super) dir: PathBuf,
}

pub(super) fn build(root: &Root) -> Result<Built> {
    println!("building all tests and programs");
    let child = Cmd::cargo(root)
        .args(["build", "--workspace", "--all-features", "--lib", "--bins", "--tests"])
        .args(["--message-format", "json-render-diagnostics"])
        .start(Stdio::piped(), Stdio::inherit())?;
    let out = child.wait_with_output().context("waiting for cargo build")?;
    if !out.status.success() {
        bail!("the build failed");
    }
    let mut built = Built::default();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let message: Value = serde_json::from_str(line).context("reading what cargo build says")?;
        built.absorb(&message);
    }
    built.programs.sort_by(|a, b| (&a.package, &a.target).cmp(&(&b.package, &b.target)));
    Ok(built)
}

impl Built {
    fn absorb(&mut self, message: &Value) {
        let Some(executable) = message["executable"].as_str().map(PathBuf::from) else { return };
        let target = message["target"]["name"].as_str().unwrap_or_default();
        if message["profile"]["test"] != Value::Bool(true) {
            match target {
                "wxgate" => self.gateway = Some(executable),
                "wxgate-simulator" => self.simulator = Some(executable),
                "wxgate-matcher" => self.matcher = Some(executable),
                _ => {}
            }
            return;
        }
        let manifest = PathBuf::from(message["manifest_path"].as_str().unwrap_or_default());
        let kinds = message["target"]["kind"].as_array();
        self.programs.push(TestProgram {
            package: package_name(message["package_id"].as_str().unwrap_or_default()),
            target: target.to_owned(),
            is_integration: kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "test")),
            executable,
            dir: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        });
    }
}

/// `path+file:///x/crates/irc#wxgate-irc@0.1.0`, or without the name where the directory has it:
/// `path+file:///x/crates/wechat-proto#0.1.0`. Source: the cargo book, "Package ID Specifications".
fn package_name(id: &str) -> String {
    let (url, rest) = id.split_once('#').unwrap_or((id, ""));
    match rest.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => url.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_by_their_ids() {
        assert_eq!(package_name("path+file:///x/crates/irc#wxgate-irc@0.1.0"), "wxgate-irc");
        assert_eq!(package_name("path+file:///x/crates/wechat-proto#0.1.0"), "wechat-proto");
    }

    #[test]
    fn programs_under_test_and_test_programs_are_told_apart() {
        let message = |target: &str, kind: &str, test: bool| {
            serde_json::json!({
                "executable": "/t/x", "manifest_path": "/x/crates/irc/Cargo.toml",
                "package_id": "path+file:///x/crates/irc#wxgate-irc@0.1.0",
                "target": {"name": target, "kind": [kind]}, "profile": {"test": test}
            })
        };
        let mut built = Built::default();
        built.absorb(&message("wxgate", "bin", false));
        built.absorb(&message("wxgate", "bin", true));
        built.absorb(&message("conformance", "test", true));
        built.absorb(&serde_json::json!({"reason": "build-finished"}));
        assert!(built.gateway.is_some() && built.simulator.is_none());
        let kinds: Vec<bool> = built.programs.iter().map(|program| program.is_integration).collect();
        assert_eq!(kinds, [false, true]);
        assert_eq!(built.programs[0].dir, PathBuf::from("/x/crates/irc"));
    }
}

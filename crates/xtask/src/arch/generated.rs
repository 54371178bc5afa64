//! What the program itself must agree with: example configurations and the generated reference.

use anyhow::{Context, Result};

use super::Finding;
use crate::run::Cmd;
use crate::tree::{Root, Tree};

pub(crate) const REFERENCE: &str = "docs/config-reference.md";

/// Each example in `config/` and `deploy/` is accepted by the program, and the committed reference is the one it prints today.
pub(super) fn agree(root: &Root, tree: &Tree) -> Result<Vec<Finding>> {
    if !Cmd::cargo(root).args(["build", "--quiet", "--package", "wxgate"]).run()?.success() {
        return Ok(vec![Finding::fails(
            "config",
            "crates/gateway",
            "does not build, so nothing can be asked of it",
        )]);
    }
    let mut findings = config_examples(root, tree)?;
    findings.extend(config_reference(root, tree)?);
    Ok(findings)
}

/// How a build says that it lacks a feature.
const LEFT_OUT: &str = "; build with --features ";

fn config_examples(root: &Root, tree: &Tree) -> Result<Vec<Finding>> {
    let is_example =
        |path: &str| (path.starts_with("config/") || path.starts_with("deploy/")) && path.ends_with(".toml");
    let examples: Vec<&str> =
        tree.files.iter().map(|file| file.path.as_str()).filter(|path| is_example(path)).collect();
    if examples.is_empty() {
        return Ok(vec![Finding::fails("config", "config/", "has no example configuration")]);
    }
    let mut findings = Vec::new();
    for example in examples {
        let said = program(root).args(["config", "check", "-c", example]).output()?;
        if !said.status.success() {
            let why = String::from_utf8_lossy(&said.stderr);
            // What an example needs may be left out of this build; the gateway's own tests judge it with everything.
            for problem in own_problems(&why, example).into_iter().filter(|line| !line.contains(LEFT_OUT)) {
                findings.push(Finding::fails("config", example, format!("is refused: {problem}")));
            }
        }
    }
    Ok(findings)
}

fn config_reference(root: &Root, tree: &Tree) -> Result<Vec<Finding>> {
    let finding = |what: &str| vec![Finding::fails("generated", REFERENCE, what)];
    let Some(today) = reference(root)? else {
        return Ok(finding("cannot be checked: `wxgate config reference` prints nothing"));
    };
    Ok(match tree.get(REFERENCE) {
        Some(page) if page.text == today => Vec::new(),
        Some(_) => finding("is not what the program prints; run `cargo xtask fix`"),
        None => finding("is missing; run `cargo xtask fix`"),
    })
}

/// The problems of a refused example that are its own: a certificate that this machine lacks is the machine's.
fn own_problems(said: &str, example: &str) -> Vec<String> {
    let (listed, other): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with(example));
    if listed.is_empty() {
        return vec![other.join(" ")];
    }
    let own = listed.into_iter().filter(|line| !line.contains(" cannot be read: No such file"));
    own.map(str::to_owned).collect()
}

/// The page as the program prints it; `None` if it prints none.
pub(crate) fn reference(root: &Root) -> Result<Option<String>> {
    let said = program(root).args(["config", "reference", "--markdown"]).output()?;
    if !said.status.success() || said.stdout.is_empty() {
        return Ok(None);
    }
    String::from_utf8(said.stdout).map(Some).context("the configuration reference is not UTF-8")
}

fn program(root: &Root) -> Cmd {
    Cmd::cargo(root).args(["run", "--quiet", "--package", "wxgate", "--"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_of_the_machine_is_no_fault_of_the_example() {
        let head = "wxgate: the configuration has 2 problems:\n";
        let lacks =
            "config/a.toml:9: irc.server.tls_key: /etc/x.pem cannot be read: No such file or directory\n";
        let wrong = "config/a.toml:3: web.lisen: unknown key, did you mean 'listen'?\n";
        let own = |said: &str| own_problems(said, "config/a.toml");
        assert_eq!(own(&format!("{head}{lacks}")), [""; 0]);
        assert_eq!(own(&format!("{head}{lacks}{wrong}")), [wrong.trim()]);
        assert_eq!(own("thread 'main' panicked"), ["thread 'main' panicked"]);
    }
}

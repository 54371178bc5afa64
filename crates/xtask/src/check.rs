//! `check` and `fix`: what a change must pass, and what a machine can mend.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::arch::generated;
use crate::layers::{Layer, Length};
use crate::run::{Cmd, now};
use crate::tree::Root;
use crate::{arch, deny, deploy, layers};

/// A step with its name.
type Step = (&'static str, fn(&Root) -> Result<bool>);

const STEPS: [Step; 7] = [
    ("format", format),
    ("lints", lints),
    ("arch", arch::arch),
    ("deny", deny::deny),
    ("deploy", deploy::deploy),
    ("docs", docs),
    ("layers 1-4", quick_layers),
];

/// Every step runs, also after one has failed: a list of all faults saves a round.
pub(crate) fn check(root: &Root) -> Result<bool> {
    let mut ended: Vec<(&str, bool, Duration)> = Vec::new();
    for (name, step) in STEPS {
        println!("\n== {name}");
        let begin = now();
        // A step that cannot run is a step that has not passed.
        let passed = step(root).unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            false
        });
        ended.push((name, passed, begin.elapsed()));
    }
    println!();
    for (name, passed, took) in &ended {
        println!("{:<4}  {name:<11} {:>6.1} s", if *passed { "good" } else { "BAD" }, took.as_secs_f64());
    }
    Ok(ended.iter().all(|(_, passed, _)| *passed))
}

/// `cargo xtask fix`.
pub(crate) fn fix(root: &Root) -> Result<bool> {
    let lints = Cmd::cargo(root)
        .args(["clippy", "--fix", "--allow-dirty", "--allow-staged"])
        .args(["--workspace", "--all-targets", "--all-features"])
        .run()?;
    let format = Cmd::cargo(root).args(["fmt", "--all"]).run()?;
    match generated::reference(root)? {
        Some(page) => {
            let path = root.join(generated::REFERENCE);
            std::fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
            println!("wrote {}", generated::REFERENCE);
        }
        None => println!("{} left as it is: the program prints no reference", generated::REFERENCE),
    }
    Ok(lints.success() && format.success())
}

fn format(root: &Root) -> Result<bool> {
    Ok(Cmd::cargo(root).args(["fmt", "--all", "--", "--check"]).run()?.success())
}

fn lints(root: &Root) -> Result<bool> {
    let cargo =
        Cmd::cargo(root).args(["clippy", "--keep-going", "--workspace", "--all-targets", "--all-features"]);
    Ok(cargo.args(["--", "-D", "warnings"]).run()?.success())
}

fn docs(root: &Root) -> Result<bool> {
    let cargo = Cmd::cargo(root).args([
        "doc",
        "--workspace",
        "--no-deps",
        "--all-features",
        "--document-private-items",
    ]);
    Ok(cargo.env("RUSTDOCFLAGS", "-D warnings").run()?.success())
}

fn quick_layers(root: &Root) -> Result<bool> {
    layers::run(root, &[Layer::Unit, Layer::Conformance, Layer::Store], Length::Everyday)
}

//! `fuzz`: a minute per target with cargo-fuzz, or the deterministic rounds that every toolchain can run.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::layers::summary::Sum;
use crate::run::Cmd;
use crate::tree::Root;

/// Long enough to leave the corpus behind, short enough to wait for.
const SECONDS_PER_TARGET: u32 = 60;
/// A hundred times what the tests do on the way; some minutes, optimised.
const ROUNDS: &str = "200000";

struct Target {
    dir: PathBuf,
    name: String,
}

pub(crate) fn fuzz(root: &Root, args: &[String]) -> Result<bool> {
    let wanted = match args {
        [] => None,
        [one] => Some(one.as_str()),
        [_, more, ..] => bail!("fuzz takes one target, but got '{more}' as well"),
    };
    if !Cmd::cargo(root).args(["fuzz", "--version"]).works() {
        println!("cargo-fuzz is not installed; `cargo install cargo-fuzz` brings coverage-guided runs.");
        println!("Running the deterministic rounds instead.\n");
        return smoke(root, wanted);
    }
    let mut targets = targets(root)?;
    targets.retain(|target| wanted.is_none_or(|wanted| wanted == target.name));
    if targets.is_empty() {
        bail!(
            "no fuzz target{} in crates/*/fuzz",
            wanted.map(|name| format!(" '{name}'")).unwrap_or_default()
        );
    }
    let nightly = Cmd::new("rustup").args(["run", "nightly", "cargo", "--version"]).works();
    let mut good = true;
    for target in targets {
        // Without a nightly the stable compiler is told to accept the sanitizer flags.
        let cargo = if nightly {
            Cmd::new("rustup").args(["run", "nightly", "cargo"])
        } else {
            Cmd::cargo(root).env("RUSTC_BOOTSTRAP", "1")
        };
        let cargo = cargo.args(["fuzz", "run", "--fuzz-dir", "fuzz", &target.name, "--"]);
        let limit = format!("-max_total_time={SECONDS_PER_TARGET}");
        good &= cargo.args([limit]).dir(target.dir).run()?.success();
    }
    Ok(good)
}

/// Runs the test programs named `smoke_fuzz`, with more rounds than usual; a target selects by name.
fn smoke(root: &Root, wanted: Option<&str>) -> Result<bool> {
    let mut cargo = Cmd::cargo(root).args(["test", "--profile", "dist", "--no-fail-fast"]);
    for package in fuzzed(root)? {
        cargo = cargo.args(["--package", &package]);
    }
    let ran = cargo
        .args(["--test", "smoke_fuzz"])
        .args(wanted)
        .args(["--", "--nocapture"])
        .env("WXGATE_FUZZ_ROUNDS", ROUNDS)
        .watch(std::time::Duration::from_secs(3600))?;
    let sum = Sum::read(&ran.output).with_end(ran.end);
    if sum.good() {
        // How many rounds there were is the one thing that a green line does not say.
        ran.output.lines().filter(|line| line.contains(" rounds, ")).for_each(|line| println!("{line}"));
    } else {
        print!("{}", ran.output);
    }
    println!("{sum}");
    if sum.ran() == 0 {
        bail!("no smoke_fuzz test{} ran", wanted.map(|name| format!(" named …{name}…")).unwrap_or_default());
    }
    Ok(sum.good())
}

/// The packages with a `tests/smoke_fuzz.rs`: only these are built, since they are built optimised.
fn fuzzed(root: &Root) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(root.join("crates")).context("listing crates/")? {
        let dir = entry?.path();
        if !dir.join("tests/smoke_fuzz.rs").is_file() {
            continue;
        }
        let path = dir.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let manifest: toml::Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
        let name =
            manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        packages.push(name.with_context(|| format!("no name in {}", path.display()))?.to_owned());
    }
    packages.sort();
    Ok(packages)
}

/// The binaries of every `crates/*/fuzz/Cargo.toml`.
fn targets(root: &Root) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(root.join("crates")).context("listing crates/")? {
        let dir = entry?.path();
        let Ok(manifest) = std::fs::read_to_string(dir.join("fuzz/Cargo.toml")) else { continue };
        let manifest: toml::Table =
            manifest.parse().with_context(|| format!("reading {}/fuzz/Cargo.toml", dir.display()))?;
        let bins = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        let names = bins.filter_map(|bin| bin.get("name").and_then(toml::Value::as_str));
        targets.extend(names.map(|name| Target { dir: dir.clone(), name: name.to_owned() }));
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}

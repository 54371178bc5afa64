//! `cargo xtask`: one command for everything a developer does.
//!
//! It needs the toolchain and nothing else; what the tests need beyond that, `setup` installs. CI calls the
//! same subcommands and has no logic of its own.

mod arch;
mod check;
mod deny;
mod deploy;
mod fuzz;
mod layers;
mod metadata;
mod package;
mod run;
mod setup;
mod tree;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::layers::Postgres;
use crate::run::Cmd;
use crate::tree::Root;

const USAGE: &str = "\
cargo xtask COMMAND

  setup            install what the tests need; offline when it is there already
  check            all that a change must pass: format, lints, arch, deny, deploy, docs, layers 1 to 4
  fix              format, apply what the linter can, regenerate generated files
  test [LAYER…]    run test layers, by number or name; all without arguments; crash --long: 500 kills,
                   and 50 on PostgreSQL; matrix --long: 200 people speak in one encrypted room; stories --long:
                   a minute stopped, an hour offline; sim --seed N: that seed of the simulation again
  arch             crate edges, sizes, banned words, sources of facts, tracked files
  deny             licences, duplicate versions and borders of outside crates, by deny.toml
  deploy           alert rules by Prometheus, the unit by systemd, YAML by a reader of it
  demo [ARG…]      wxgate demo, release build
  bench [ARG…]     the load bench, release build; with --dist first: as packages are built
  package [PROF]   a Debian package in target/package, optimised (profile dist)
  static [PROF]    one program that needs nothing of the system it runs on, in target/package
  fuzz [TARGET]    fuzz for a minute per target; deterministic rounds where cargo-fuzz is missing

Layers:
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Says whether the thing asked for went well; an error is one of the tooling itself.
fn dispatch(args: &[String]) -> Result<bool> {
    let Some((command, rest)) = args.split_first() else {
        print!("{}", usage());
        return Ok(false);
    };
    if matches!(command.as_str(), "help" | "-h" | "--help") {
        print!("{}", usage());
        return Ok(true);
    }
    let root = Root::find()?;
    match command.as_str() {
        "setup" => none(rest).and_then(|()| setup::all(&root)),
        "check" => none(rest).and_then(|()| check::check(&root)),
        "fix" => none(rest).and_then(|()| check::fix(&root)),
        "test" => layers::test(&root, rest),
        "arch" => none(rest).and_then(|()| arch::arch(&root)),
        "deny" => none(rest).and_then(|()| deny::deny(&root)),
        "deploy" => none(rest).and_then(|()| deploy::deploy(&root)),
        "demo" => cargo(&root, &["run", "--release", "--package", "wxgate", "--", "demo"], rest),
        "bench" => bench(&root, rest),
        "fuzz" => fuzz::fuzz(&root, rest),
        "package" => package::package(&root, rest),
        "static" => package::alone(&root, rest),
        other => bail!("no command '{other}'\n\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = USAGE.to_owned();
    for layer in layers::ALL {
        text.push_str(&format!("  {:<4} {:<12} {}\n", layer.number(), layer.name(), layer.about()));
    }
    text
}

fn none(rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(arg) => bail!("this command takes no arguments, but got '{arg}'"),
        None => Ok(()),
    }
}

/// Builds the programs that are measured, then measures: as the first build makes them, or as packages
/// ship them.
fn bench(root: &Root, rest: &[String]) -> Result<bool> {
    let (profile, rest) = match rest.split_first() {
        Some((first, rest)) if first == "--dist" => ("dist", rest),
        _ => ("release", rest),
    };
    let on_postgres = rest.iter().any(|arg| arg == "--postgres");
    let mut programs = vec!["build", "--profile", profile, "--bins"];
    for package in ["wxgate", "wxgate-simulator", "wxgate-identity"] {
        programs.extend(["--package", package]);
    }
    if on_postgres {
        programs.extend(["--features", "wxgate/postgres"]);
    }
    if rest.iter().any(|arg| arg == "--tls") {
        programs.extend(["--features", "wxgate-simulator/tls"]);
    }
    if rest.iter().any(|arg| arg == "encrypted") {
        programs.extend(["--features", "wxgate/encryption"]);
    }
    if !cargo(root, &programs, &[])? {
        return Ok(false);
    }
    let bench = ["run", "--profile", profile, "--package", "wxgate-tests", "--bin", "wxgate-bench", "--"];
    let mut bench = Cmd::cargo(root).args(bench).args(rest);
    let server = if on_postgres { Some(Postgres::start()?) } else { None };
    if let Some(server) = &server {
        bench = bench.env("WXGATE_TEST_POSTGRES", server.url());
    }
    Ok(bench.run()?.success())
}

fn cargo(root: &Root, args: &[&str], rest: &[String]) -> Result<bool> {
    Ok(Cmd::cargo(root).args(args).args(rest).run()?.success())
}

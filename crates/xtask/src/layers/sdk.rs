//! matrix-sdk as a second client of others: the stories of one module are told to it as well.
//!
//! It is no member of the workspace: five minutes of processor time for the first build are not for everyday.
//! What it is built into lies below the target directory, and is there the next time.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::build::{Built, TestProgram};
use super::scratch::Scratch;
use super::summary::Sum;
use super::{Length, environment, lengthened, show_ends, show_if_bad};
use crate::run::Cmd;
use crate::tree::Root;

const MANIFEST: &str = "tests/matrix-sdk/Cargo.toml";
const PROGRAM: &str = "wxgate-sdk-people";
/// What is told to it: what the client itself does, and what only a client that encrypts can do.
const STORIES: [&str; 9] = [
    "absence::",
    "client::",
    "crowd::",
    "encrypted::",
    "ends::sealed::",
    "left_behind::",
    "policy::",
    "put_back::",
    "verified::",
];

/// Builds the client and tells it its stories.
pub(super) fn run(
    (root, scratch): (&Root, &Scratch),
    built: &Built,
    (program, length): (&TestProgram, Length),
) -> Result<Sum> {
    let people = build(root, built)?;
    let cmd = environment((root, scratch), built, program).env("WXGATE_MATRIX_PEOPLE", people).args(STORIES);
    let (cmd, limit) = lengthened(cmd, (program, length));
    let ran = cmd.watch(limit)?;
    let sum = Sum::read(&ran.output).with_end(ran.end);
    println!("{:<40} {:>7.1} s   {sum}", "the same, told to matrix-sdk", ran.took.as_secs_f64());
    show_ends(&ran.output, sum, length);
    show_if_bad(&ran.output, sum, ran.end);
    if sum.ran() == 0 && sum.good() {
        bail!("no story of {STORIES:?} was told to matrix-sdk");
    }
    Ok(sum)
}

fn build(root: &Root, built: &Built) -> Result<PathBuf> {
    // Beside what the gateway was built into, wherever that is.
    let gateway = built.gateway.as_deref().context("there is no gateway to test")?;
    let target = gateway.ancestors().nth(2).context("the gateway lies in no target directory")?;
    let target = target.join("sdk-people");
    println!("building matrix-sdk into {}", target.display());
    let cargo = Cmd::cargo(root).args(["build", "--quiet", "--locked", "--manifest-path", MANIFEST]);
    if !cargo.env("CARGO_TARGET_DIR", &target).run()?.success() {
        bail!("matrix-sdk could not be built");
    }
    Ok(target.join("debug").join(PROGRAM))
}

//! `deploy`: what the programs that will read the files in `deploy/` say to them. How these files fit each other says
//! `arch`.
//!
//! A judge that Debian cannot bring here is left out, and that is said.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::run::Cmd;
use crate::setup::{self, MATRIX};
use crate::tree::Root;

const RULES: &str = "deploy/prometheus";
const UNIT: &str = "deploy/wxgate.service";
/// What the unit starts; it is not installed where it is judged.
const PROGRAM: &str = "ExecStart=/usr/bin/wxgate";
/// What the unit may leave open, in tenths of systemd's scale from 0 to 10. docs/install.md tells what it gets.
const EXPOSURE: &str = "15";
/// Reads each file, and says nothing when it can.
const READ_YAML: &str =
    "import sys, yaml\nfor path in sys.argv[1:]:\n    assert yaml.safe_load(open(path)), path\n";

/// What a judge says; `None` where there is none.
type Judge = fn(&Root) -> Result<Option<bool>>;

/// `cargo xtask deploy`.
pub(crate) fn deploy(root: &Root) -> Result<bool> {
    let judges: [(&str, Judge); 3] = [("alert rules", rules), ("systemd unit", unit), ("YAML files", yaml)];
    let mut is_good = true;
    for (what, judge) in judges {
        match judge(root)? {
            Some(passed) => {
                println!("{}  {what}", if passed { "good" } else { "BAD " });
                is_good &= passed;
            }
            None => println!("skip  {what}: nobody is here who can judge them; run: cargo xtask setup"),
        }
    }
    Ok(is_good)
}

/// Prometheus reads the rules, and plays their tests.
fn rules(root: &Root) -> Result<Option<bool>> {
    let Some(promtool) = setup::promtool(root) else { return Ok(None) };
    let dir = root.join(RULES);
    for args in [["check", "rules", "wxgate.rules.yml"], ["test", "rules", "wxgate.rules.test.yml"]] {
        if !Cmd::new(&promtool).args(args).dir(&dir).run()?.success() {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

/// systemd reads the unit, and says how much of the machine it leaves open.
fn unit(root: &Root) -> Result<Option<bool>> {
    if !setup::on_path("systemd-analyze") {
        return Ok(None);
    }
    let text = std::fs::read_to_string(root.join(UNIT)).context("reading the unit")?;
    ensure!(text.contains(PROGRAM), "{UNIT} does not say {PROGRAM}");
    let dir = Aside::new(&root.join(".wxgate/judged"))?;
    let copy = dir.0.join("wxgate.service");
    std::fs::write(&copy, text.replace(PROGRAM, "ExecStart=/bin/true"))?;
    let verify = Cmd::new("systemd-analyze").args(["verify", "--man=no"]).args([&copy]);
    let out = verify.output()?;
    // What it does not understand it passes over with a warning.
    let said = String::from_utf8_lossy(&out.stderr);
    let own: Vec<&str> = said.lines().filter(|line| line.contains("wxgate.service")).collect();
    if !out.status.success() || !own.is_empty() {
        println!("{}", said.trim_end());
        return Ok(Some(false));
    }
    let security = Cmd::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]);
    let out = security.args(["--threshold", EXPOSURE]).args([&copy]).output()?;
    if !out.status.success() {
        println!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    }
    Ok(Some(out.status.success()))
}

/// Read as the homeserver's own library reads them.
fn yaml(root: &Root) -> Result<Option<bool>> {
    let python = MATRIX.python(root);
    if !Cmd::new(&python).args(["-c", "import yaml"]).works() {
        return Ok(None);
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for dir in ["deploy/compose", RULES] {
        for entry in std::fs::read_dir(root.join(dir)).with_context(|| format!("listing {dir}"))? {
            let path = entry?.path();
            files
                .extend(path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml").then_some(path));
        }
    }
    ensure!(files.len() >= 6, "only {} files were found", files.len());
    let out = Cmd::new(&python).args(["-c", READ_YAML]).args(files).output()?;
    if !out.status.success() {
        println!("{}", String::from_utf8_lossy(&out.stderr).trim_end());
    }
    Ok(Some(out.status.success()))
}

/// A directory that goes again.
struct Aside(PathBuf);

impl Aside {
    fn new(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It stays otherwise, and the next one writes over it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! Clients that others wrote, run against the simulated service: is it faithful to the service, or to us?

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build::Built;
use super::scratch::Scratch;
use super::show_if_bad;
use super::summary::Sum;
use crate::run::{Cmd, End};
use crate::setup;
use crate::tree::Root;

const READY_WITHIN: Duration = Duration::from_secs(30);
const SCRIPT_LIMIT: Duration = Duration::from_secs(180);

/// Every script in `tests/clients`, each against a service of its own.
pub(super) fn run((root, scratch): (&Root, &Scratch), built: &Built) -> Result<Sum> {
    let simulator = built.simulator.as_deref().context("the program wxgate-simulator was not built")?;
    let mut sum = Sum::default();
    for script in scripts(&root.join("tests/clients"))? {
        sum += run_script((root, scratch), simulator, &script)?;
    }
    Ok(sum)
}

/// The programs of the directory; names that begin with `_` are parts of others.
fn scripts(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        let is_part = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
        if path.is_file()
            && !is_part
            && extension(&path).is_some_and(|kind| ["py", "js", "mjs", "cjs"].contains(&kind))
        {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn run_script((root, scratch): (&Root, &Scratch), simulator: &Path, script: &Path) -> Result<Sum> {
    let service = Service::start(root, simulator)?;
    let program =
        if extension(script) == Some("py") { setup::CLIENTS.python(root) } else { PathBuf::from("node") };
    let cmd = scratch.holds(Cmd::new(program).args([script]).dir(root.join("tests/clients")));
    let cmd = cmd.env("WXGATE_SIM_URL", &service.url).env("WXGATE_SIM_CONTROL", &service.control);
    // Nothing between us and loopback, whatever the machine is set up for.
    let ran =
        cmd.env("NO_PROXY", "*").env("no_proxy", "*").env("PYTHONUNBUFFERED", "1").watch(SCRIPT_LIMIT)?;
    let counted = Sum::read(&ran.output).with_end(ran.end);
    // A script may count its steps; one that only ends well is one test.
    let sum = if counted.ran() == 0 && ran.end == End::Good { Sum::one_passed() } else { counted };
    let name = script.file_name().unwrap_or_default().to_string_lossy();
    println!("{name:<40} {:>7.1} s   {sum}", ran.took.as_secs_f64());
    show_if_bad(&ran.output, sum, ran.end);
    Ok(sum)
}

/// A running simulator; dropping it ends it.
struct Service {
    child: Child,
    url: String,
    control: String,
}

impl Service {
    fn start(root: &Root, simulator: &Path) -> Result<Self> {
        // Each script scans and confirms for itself; short polls keep it from waiting for nothing.
        let args = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--hold-seconds", "5"];
        let child =
            Cmd::new(simulator).dir(root.path()).args(args).start(Stdio::piped(), Stdio::inherit())?;
        let mut this = Self { child, url: String::new(), control: String::new() };
        let stdout = this.child.stdout.take().context("the simulator has no standard output")?;
        let (first, arrived) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads on after the first line: a full pipe would stop the simulator.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = first.send(line);
            }
        });
        let line = arrived.recv_timeout(READY_WITHIN).context("waiting for the simulator's ready line")?;
        (this.url, this.control) = ready(&line)?;
        Ok(this)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The two addresses of the ready line, as URLs.
fn ready(line: &str) -> Result<(String, String)> {
    let json: Value =
        serde_json::from_str(line).with_context(|| format!("reading the ready line '{line}'"))?;
    match (json["service"].as_str(), json["control"].as_str()) {
        (Some(service), Some(control)) => Ok((service.to_owned(), control.to_owned())),
        _ => bail!("the ready line names no service or no control address: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_gives_two_addresses() {
        let line = r#"{"service":"http://127.0.0.1:4000","control":"http://127.0.0.1:4001","accounts":1}"#;
        assert_eq!(ready(line).unwrap(), ("http://127.0.0.1:4000".into(), "http://127.0.0.1:4001".into()));
        assert!(ready("listening").is_err());
        assert!(ready(r#"{"service":"http://127.0.0.1:4000"}"#).unwrap_err().to_string().contains("control"));
    }
}

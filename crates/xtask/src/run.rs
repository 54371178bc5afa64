//! Starting other programs: one place that says what is run and what became of it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::tree::Root;

/// A command with a name to put into errors.
pub(crate) struct Cmd {
    command: Command,
    shown: String,
}

/// What a watched run left behind.
pub(crate) struct Watched {
    /// Everything it wrote, both streams, in the order of arrival.
    pub(crate) output: String,
    pub(crate) end: End,
    pub(crate) took: Duration,
}

/// How a watched run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Bad,
    /// It was still running at the limit and was killed.
    TimedOut,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown = program.as_ref().to_string_lossy().into_owned();
        Self { command: Command::new(program), shown }
    }

    /// The cargo that runs us, in the root of the tree.
    pub(crate) fn cargo(root: &Root) -> Self {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut this = Self::new(program).dir(root.path());
        "cargo".clone_into(&mut this.shown);
        // Set by the cargo that started us; a nested cargo must find out for itself.
        this.command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
        this
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs as another user; `None` stays who we are.
    pub(crate) fn owned_by(mut self, owner: Option<(u32, u32)>) -> Self {
        use std::os::unix::process::CommandExt;
        if let Some((uid, gid)) = owner {
            self.command.uid(uid).gid(gid);
        }
        self
    }

    /// Shows itself, inherits the terminal, waits.
    pub(crate) fn run(mut self) -> Result<ExitStatus> {
        println!("$ {}", self.shown);
        self.command.status().with_context(|| format!("starting '{}'", self.shown))
    }

    /// Waits, and keeps what was written.
    pub(crate) fn output(mut self) -> Result<Output> {
        self.command.stdin(Stdio::null()).output().with_context(|| format!("starting '{}'", self.shown))
    }

    /// Whether it starts and ends well; says nothing.
    pub(crate) fn works(self) -> bool {
        self.output().is_ok_and(|out| out.status.success())
    }

    /// Its standard output, or an error with what it said.
    pub(crate) fn text(self) -> Result<String> {
        let shown = self.shown.clone();
        let out = self.output()?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            anyhow::bail!("'{shown}' ended with {}: {}", out.status, said.trim());
        }
        String::from_utf8(out.stdout).with_context(|| format!("'{shown}' wrote text that is not UTF-8"))
    }

    /// Starts it with the given pipes and leaves it running; the caller ends it.
    pub(crate) fn start(mut self, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        self.command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("starting '{}'", self.shown))
    }

    /// Runs with everything it writes kept, and kills it at `limit`: a test that hangs is a failed test,
    /// not a build that never ends.
    pub(crate) fn watch(self, limit: Duration) -> Result<Watched> {
        let begin = now();
        let mut child = self.start(Stdio::piped(), Stdio::piped())?;
        let (lines, arrived) = mpsc::channel();
        for stream in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten() {
            let lines = lines.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while matches!(stream.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                    if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
        drop(lines);

        let mut output = String::new();
        let end = loop {
            match arrived.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => output.push_str(&line),
                // Both ends are closed: it has ended, or is about to.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    break if child.wait()?.success() { End::Good } else { End::Bad };
                }
                // A grandchild may keep the pipes open after the child is gone; do not wait for it.
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Some(status) = child.try_wait()? {
                        output.extend(arrived.try_iter());
                        break if status.success() { End::Good } else { End::Bad };
                    }
                }
            }
            if begin.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                output.extend(arrived.try_iter());
                break End::TimedOut;
            }
        };
        Ok(Watched { output, end, took: begin.elapsed() })
    }
}

fn boxed(stream: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(stream)
}

/// Wall time of what developers wait for.
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_run_keeps_both_streams_and_its_end() {
        let sh = |script: &str| Cmd::new("sh").args(["-c", script]).watch(Duration::from_secs(20)).unwrap();
        let ran = sh("echo out; echo err >&2; exit 3");
        assert_eq!(ran.end, End::Bad);
        assert!(ran.output.contains("out\n") && ran.output.contains("err\n"));
        assert_eq!(sh("true").end, End::Good);
    }

    #[test]
    fn a_run_that_hangs_is_ended_at_its_limit() {
        let ran = Cmd::new("sh").args(["-c", "echo begun; exec sleep 60"]).watch(Duration::from_millis(300));
        let ran = ran.unwrap();
        assert_eq!(ran.end, End::TimedOut);
        assert_eq!(ran.output, "begun\n");
        assert!(ran.took < Duration::from_secs(30));
    }
}

//! Somebody's terminal: a program in tmux that is typed into, and whose screen is read.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tokio::process::Command;

use crate::program::Program;
use crate::scratch::Scratch;
use crate::wait::until;

/// What should be seen soon on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// How often a screen is looked at; each look is a process.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So wide that few lines are wrapped, and so high that a window shows all that a story says in it.
const COLUMNS: &str = "180";
const ROWS: &str = "150";
/// Variables that would lead to another terminal, or to files outside the home directory.
const FOREIGN: [&str; 6] =
    ["TMUX", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];
/// So much of the end of a line is looked for where it is typed.
const SEEN_CHARS: usize = 10;
/// The only session.
const SESSION: &str = "main";

/// A program in a terminal of its own. It ends with the value.
#[derive(Debug)]
pub struct Terminal {
    name: &'static str,
    socket: PathBuf,
    /// The server of tmux; what runs in it loses its terminal when this one ends.
    _server: Program,
}

impl Terminal {
    /// Starts `program` (found on the path) with `args`, in a home directory of its own.
    pub async fn open(scratch: &Scratch, program: &'static str, args: &[&str]) -> Result<Self> {
        for needed in ["tmux", program] {
            ensure!(is_on_path(needed), "{needed} is missing; run: cargo xtask setup");
        }
        let home = scratch.join(&format!("home-{program}"));
        std::fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        // Beside the home, not in it: the path of a socket has to be short.
        let socket = scratch.join(&format!("{program}.tmux"));
        let log = scratch.join(&format!("{program}.log"));
        let (at, here) = (socket.to_string_lossy().into_owned(), format!("HOME={}", home.display()));
        // Its environment is that of what runs in it: nothing of ours leads to files of whoever tests.
        let mut server: Vec<&str> = FOREIGN.iter().flat_map(|name| ["-u", *name]).collect();
        server.extend([here.as_str(), "LC_ALL=C.UTF-8"]);
        // In the foreground (`-D`), so that it is our child and ends with us.
        server.extend(["tmux", "-u", "-f", "/dev/null", "-S", at.as_str(), "-D"]);
        let server = Program::start_other("tmux", Path::new("/usr/bin/env"), &server, &home, &log)?;
        let terminal = Self { name: program, socket, _server: server };
        until("tmux to listen", SOON, async || {
            terminal.tmux(&["set-option", "-g", "status", "off"]).await.map(Some)
        })
        .await?;
        let begin = ["new-session", "-d", "-s", SESSION, "-x", COLUMNS, "-y", ROWS, "--", program];
        terminal.tmux(&[&begin[..], args].concat()).await?;
        Ok(terminal)
    }

    /// One order to its tmux, and what that prints.
    async fn tmux(&self, args: &[&str]) -> Result<String> {
        let mut tmux = Command::new("tmux");
        // `-N`: without a server this fails, and does not start another one that nobody owns.
        tmux.args(["-u", "-N", "-S"]).arg(&self.socket).args(args);
        tmux.env("LC_ALL", "C.UTF-8").env_remove("TMUX").stdin(Stdio::null()).kill_on_drop(true);
        let done = tokio::time::timeout(SOON, tmux.output()).await;
        let done = done.map_err(|_| anyhow!("tmux does not answer"))?.context("run tmux")?;
        let order = args.first().copied().unwrap_or_default();
        ensure!(
            done.status.success(),
            "tmux {order} of {}: {}",
            self.name,
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Types a line, sees it stand at the bottom, presses the key behind it and sees it go. What comes faster than the
    /// program reads is text that was pasted, about which WeeChat asks.
    pub async fn enter(&self, line: &str) -> Result<()> {
        let end = line.char_indices().rev().nth(SEEN_CHARS - 1).map_or(0, |(at, _)| at);
        let end = line.get(end..).unwrap_or(line).trim();
        let stands =
            |screen: &str| screen.lines().next_back().is_some_and(|row| row.trim_end().ends_with(end));
        // A semicolon at the end of a word would end the order. Source: `man 1 tmux`, "Parsing syntax".
        let typed = match line.strip_suffix(';') {
            Some(line) => format!("{line}\\;"),
            None => line.to_owned(),
        };
        self.tmux(&["send-keys", "-t", SESSION, "-l", "--", &typed]).await?;
        self.expect_screen(&format!("what was typed, “{end}”"), stands).await?;
        self.press("Enter").await?;
        self.expect_screen(&format!("nothing of “{end}” any more"), |screen| !stands(screen)).await.map(drop)
    }

    /// Presses one key, by its name in tmux.
    pub async fn press(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", "-t", SESSION, key]).await.map(drop)
    }

    /// What it shows now.
    pub async fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-t", SESSION]).await
    }

    /// Waits until it shows something, and returns the whole screen.
    pub async fn expect(&self, text: &str) -> Result<String> {
        self.expect_screen(&format!("“{text}”"), |screen| screen.contains(text)).await
    }

    /// Waits until the screen fits.
    pub async fn expect_screen(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
        self.expect_within(SOON, what, fits).await
    }

    /// The same for at most so long.
    pub async fn expect_within(
        &self,
        limit: Duration,
        what: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let what = format!("{} to show {what}", self.name);
        let seen = until(&what, limit, async || {
            let screen = self.screen().await?;
            if fits(&screen) {
                return Ok(Some(screen));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            Ok(None)
        });
        match seen.await {
            Ok(screen) => Ok(screen),
            Err(error) => bail!("{error:#}; it shows:\n{}", self.shown().await),
        }
    }

    /// The screen for the report of a failure, without its empty lines.
    pub async fn shown(&self) -> String {
        let screen = self.screen().await.unwrap_or_else(|error| format!("{error:#}"));
        let lines = screen.lines().map(str::trim_end).filter(|line| !line.is_empty());
        lines.map(|line| format!("  {line}\n")).collect()
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

//! A command that asks on a terminal: it is answered as from a keyboard, and what it shows is kept.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A command of the gateway on a terminal of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Prompt {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Prompt {
    /// Starts a command line of the shell. `script` gives it the terminal, whose keyboard is its standard input.
    pub fn open(command: &str) -> Result<Self> {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start script")?;
        let keyboard = child.stdin.take().context("no keyboard")?;
        let screen = child.stdout.take().context("no screen")?;
        Ok(Self { child, keyboard, screen, shown: String::new() })
    }

    /// Waits until a question was shown so many times, and types the answer as it stands.
    pub async fn answer(&mut self, question: &str, times: usize, typed: &str) -> Result<()> {
        let mut piece = [0; 256];
        while self.shown.matches(question).count() < times {
            let count = self.screen.read(&mut piece).await?;
            ensure!(count > 0, "it ended before {question:?} came {times} times: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        Ok(self.keyboard.write_all(typed.as_bytes()).await?)
    }

    /// Waits for its end; how it ended, and all that it showed.
    pub async fn end(mut self) -> Result<(ExitStatus, String)> {
        self.screen.read_to_string(&mut self.shown).await?;
        Ok((self.child.wait().await?, self.shown))
    }
}

//! Programs as children: found beside us, logged, measured, and gone when we are gone.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// The program `name`: where the environment says, else of the same build as we are.
pub fn find(name: &str) -> Result<PathBuf> {
    let (variable, package) = match name {
        "wxgate" => ("WXGATE_BIN", "wxgate"),
        "wxgate-matcher" => ("WXGATE_MATCHER_BIN", "wxgate-identity"),
        _ => ("WXGATE_SIMULATOR_BIN", "wxgate-simulator"),
    };
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("find our own program")?;
    let mut dir = own.parent().map(Path::to_path_buf).unwrap_or_default();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    if path.is_file() {
        return Ok(path);
    }
    let release = if dir.ends_with("release") { " --release" } else { "" };
    bail!("{} is missing; build it with: cargo build{release} -p {package} --bin {name}", path.display())
}

/// Processor time that a process has used so far, user and system.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    /// Linux counts in hundredths of a second towards programs, whatever the kernel's own rate.
    /// Source: `man 5 proc`, `sysconf(_SC_CLK_TCK)`.
    const TICK_MS: u64 = 10;
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name in parentheses may hold spaces; the fields are counted behind it.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    match (next(), next()) {
        (Some(user), Some(system)) => Ok(Duration::from_millis((user + system) * TICK_MS)),
        _ => bail!("cannot read the processor time in {path}"),
    }
}

/// The Python of `tests/api`, where it is installed; else says that this story was not told.
pub fn python(story: &str) -> Option<PathBuf> {
    let python = std::env::var_os("WXGATE_API_PYTHON").map(PathBuf::from).filter(|python| python.is_file());
    if python.is_none() {
        eprintln!("story {story} was NOT told: tests/api is not installed; run: cargo xtask test stories");
    }
    python
}

/// A running program. Dropping it ends it with SIGKILL.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    pid: u32,
}

impl Program {
    /// Starts it. Its standard error, and its output unless `piped`, go to `log` (appended).
    pub fn start(
        name: &'static str,
        args: &[impl AsRef<OsStr>],
        env: &[(&str, &str)],
        log: &Path,
        piped: bool,
    ) -> Result<(Self, Option<Output>)> {
        let mut command = limited(&find(name)?);
        command.args(args).envs(env.iter().copied());
        Self::begin(name, command, log, piped)
    }

    /// Starts a program of others, by its path. Both its streams go to `log` (appended).
    pub fn start_other(
        name: &'static str,
        path: &Path,
        args: &[impl AsRef<OsStr>],
        dir: &Path,
        log: &Path,
    ) -> Result<Self> {
        let mut command = limited(path);
        command.args(args).current_dir(dir);
        Ok(Self::begin(name, command, log, false)?.0)
    }

    fn begin(
        name: &'static str,
        mut command: Command,
        log: &Path,
        piped: bool,
    ) -> Result<(Self, Option<Output>)> {
        let open = || File::options().create(true).append(true).open(log);
        let file = open().with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stderr(file);
        command.stdout(if piped {
            Stdio::piped()
        } else {
            Stdio::from(open().with_context(|| format!("open {}", log.display()))?)
        });
        command.kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let pid = child.id().ok_or_else(|| anyhow!("{name} ended at once"))?;
        let output = child.stdout.take().map(|out| Output(BufReader::new(out)));
        Ok((Self { name, child, pid }, output))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("look after {}", self.name))
    }

    /// Ends it at once with SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Asks it to end (SIGTERM) and waits.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        self.wait(limit).await
    }

    /// Sends a signal by name.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", signal, &self.pid.to_string()])
            .status()
            .await
            .context("run kill")?;
        if !status.success() {
            bail!("cannot send {signal} to {} ({})", self.name, self.pid);
        }
        Ok(())
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("wait for {}", self.name)),
            Err(_) => bail!("{} did not end within {limit:?}", self.name),
        }
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// Source: `man 5 proc_pid_status`.
    fn memory(&self, field: &str) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.ok_or_else(|| anyhow!("no {field} of {}", self.name))? * 1024)
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak_rss_bytes(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// Bytes that it had written to disks so far. Source: `man 5 proc_pid_io`.
    pub fn written_bytes(&self) -> Result<u64> {
        let io = self.proc("io")?;
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"));
        line.and_then(|rest| rest.trim().parse().ok())
            .ok_or_else(|| anyhow!("no write_bytes of {}", self.name))
    }

    /// Files, sockets and the like that it has open.
    pub fn open_files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid)).context("list open files")?.count())
    }

    /// Sockets among them. Source: `man 5 proc_pid_fd`.
    pub fn sockets(&self) -> Result<usize> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).context("list open files")?;
        // One that was closed meanwhile has no target any more.
        let targets = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
    }

    /// Threads. Source: `man 5 proc_pid_status`.
    pub fn threads(&self) -> Result<usize> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        line.and_then(|rest| rest.trim().parse().ok()).ok_or_else(|| anyhow!("no Threads of {}", self.name))
    }

    /// Processor time used so far, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.pid).with_context(|| format!("of {}", self.name))
    }

    fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.pid);
        std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }
}

/// Thousands of connections need thousands of descriptors; where the limit cannot be raised the
/// program runs with what there is.
fn limited(path: &Path) -> Command {
    let raise = "ulimit -n 65536 2>/dev/null || ulimit -n $(ulimit -Hn) 2>/dev/null; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.arg("-c").arg(raise).arg(path);
    command
}

/// What a program prints.
#[derive(Debug)]
pub struct Output(BufReader<ChildStdout>);

impl Output {
    /// Its next line.
    pub async fn line(&mut self, limit: Duration) -> Result<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(limit, self.0.read_line(&mut line)).await;
        match read.map_err(|_| anyhow!("the program printed nothing within {limit:?}"))?? {
            0 => bail!("the program closed its output"),
            _ => Ok(line),
        }
    }
}

/// Runs the program once to its end and returns what it printed.
pub async fn run_once(
    name: &'static str,
    args: &[impl AsRef<OsStr>],
    input: Option<&str>,
    limit: Duration,
) -> Result<(ExitStatus, String, String)> {
    let mut command = Command::new(find(name)?);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        use tokio::io::AsyncWriteExt as _;
        // A program that does not read its input may have ended already; its exit code tells.
        let _ = pipe.write_all(text.as_bytes()).await;
    }
    let done = tokio::time::timeout(limit, child.wait_with_output()).await;
    let done = done.map_err(|_| anyhow!("{name} did not end within {limit:?}"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((done.status, text(&done.stdout), text(&done.stderr)))
}

//! A PostgreSQL of our own: made in a temporary directory, on a free port of loopback, gone afterwards.
//!
//! It runs with the settings a host would have (fsync on): the tests are about what is durable.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::run::{Cmd, now};
use crate::setup;

/// The port is free when we look and may be taken when the server binds it.
const TRIES: usize = 3;
const READY_WITHIN: Duration = Duration::from_secs(60);
const NAME: &str = "wxgate-pg-";

/// A running server; dropping it stops it and removes its directory.
pub(crate) struct Postgres {
    /// `None` until it is started.
    server: Option<Child>,
    port: u16,
    bin: PathBuf,
    dir: PathBuf,
    /// PostgreSQL refuses to run as root; `None` when we are somebody else already.
    owner: Option<(u32, u32)>,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        let bin = setup::postgres_bin().context("no PostgreSQL server programs; run `cargo xtask setup`")?;
        let owner = if setup::is_root() { Some(unprivileged()?) } else { None };
        sweep(&bin, owner);
        let mut tried = 1;
        loop {
            match Self::try_start(&bin, owner) {
                Err(error) if tried < TRIES => println!("PostgreSQL, try {tried} of {TRIES}: {error:#}"),
                ended => return ended,
            }
            tried += 1;
        }
    }

    /// For `WXGATE_TEST_POSTGRES`: a server without a database's name, and a superuser; tests make databases of
    /// their own.
    pub(crate) fn url(&self) -> String {
        format!("postgres://wxgate@127.0.0.1:{}", self.port)
    }

    fn try_start(bin: &Path, owner: Option<(u32, u32)>) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.context("looking for a free port")?.port();
        let dir = std::env::temp_dir().join(format!("{NAME}{}", std::process::id()));
        // Owned from here on, so that every way out cleans up.
        let mut this = Self { server: None, port, bin: bin.to_owned(), dir, owner };
        this.make()?;
        this.serve()?;
        println!("PostgreSQL for tests: port {port}, {}", this.dir.display());
        Ok(this)
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Makes the cluster: trust on loopback, for as long as the tests run.
    fn make(&self) -> Result<()> {
        fs::create_dir_all(&self.dir).with_context(|| format!("making {}", self.dir.display()))?;
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::chown(&self.dir, Some(uid), Some(gid)).context("giving the directory away")?;
        }
        let initdb = Cmd::new(self.bin.join("initdb")).owned_by(self.owner).dir(&self.dir);
        let initdb =
            initdb.args(["--auth=trust", "--username=wxgate", "--encoding=UTF8", "--locale=C", "-D"]);
        initdb.args([self.data()]).text().context("making a PostgreSQL cluster")?;
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        let log = fs::File::create(self.log()).context("making the server's log")?;
        let also = log.try_clone().context("sharing the server's log")?;
        let server = Cmd::new(self.bin.join("postgres"))
            .owned_by(self.owner)
            .dir(&self.dir)
            .args(["-D"])
            .args([self.data()])
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-c", "max_connections=200", "-k"])
            .args([&self.dir])
            .start(Stdio::from(log), Stdio::from(also))?;
        let server = self.server.insert(server);
        let begin = now();
        while begin.elapsed() < READY_WITHIN {
            if let Some(status) = server.try_wait()? {
                let said = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("the server ended with {status}: {}", said.trim());
            }
            let ready = Cmd::new(self.bin.join("pg_isready"));
            if ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", "5"]).works() {
                return Ok(());
            }
            pause();
        }
        bail!("the server was not ready within {} s", READY_WITHIN.as_secs())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // Immediate: the data is thrown away, and the server still takes its children with it.
            if !stop(&self.bin, &self.dir, self.owner) {
                // Already gone is as good.
                let _ = server.kill();
            }
            let _ = server.wait();
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            println!("removing {}: {error}", self.dir.display());
        }
    }
}

fn stop(bin: &Path, dir: &Path, owner: Option<(u32, u32)>) -> bool {
    let pg_ctl = Cmd::new(bin.join("pg_ctl")).owned_by(owner).dir(dir);
    pg_ctl.args(["stop", "-m", "immediate", "-w", "-D"]).args([dir.join("data")]).works()
}

#[expect(clippy::disallowed_methods, reason = "no runtime here: one thread that waits for another program")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Stops and removes what runs that were killed have left behind.
fn sweep(bin: &Path, owner: Option<(u32, u32)>) {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(NAME)).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            stop(bin, &entry.path(), owner);
            // Another user's: not ours to remove.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whom the server runs as when we are root: Debian's `postgres`, or `nobody`.
fn unprivileged() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    ["postgres", "nobody"].iter().find_map(|name| user(&users, name)).context("no user to run PostgreSQL as")
}

fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root::\npostgresq:x:7:7::\npostgres:x:104:111:x:/var:/bin/sh\n";
        assert_eq!(user(passwd, "postgres"), Some((104, 111)));
        assert_eq!(user(passwd, "nobody"), None);
    }
}

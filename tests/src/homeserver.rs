//! A real homeserver (Synapse) on loopback, in a directory of its own, and a person's way to it.
//!
//! Source: docs of Synapse 1.163, `usage/configuration/config_documentation`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::http::{self, Answer, Place};
use crate::people::People;
use crate::ports;
use crate::program::Program;
use crate::scratch::{self, Scratch};
use crate::sqlite;
use crate::wait::until;

/// From its start to its first answer: 2 to 5 s alone, the schema included; tests run side by side.
const UP: Duration = Duration::from_secs(90);
/// From SIGTERM to its end.
const DOWN: Duration = Duration::from_secs(30);
/// The part of ids behind the colon.
pub const DOMAIN: &str = "localhost";

/// The python that has Synapse and matrix-nio, or `None` where `cargo xtask setup` did not run.
pub fn python() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("WXGATE_MATRIX_PYTHON") {
        return Some(path.into());
    }
    let path = root().join(".wxgate/venv-matrix/bin/python");
    path.is_file().then_some(path)
}

/// Tells a story that needs a homeserver, as [`scratch::tell`] does. Where none was installed it says so and
/// passes, so that `cargo test` needs nothing but the toolchain; `cargo xtask test` installs one first.
pub async fn tell(
    name: &str,
    limit: Duration,
    story: impl AsyncFnOnce(&Scratch) -> Result<()>,
) -> Result<()> {
    if python().is_none() {
        eprintln!("story {name} was NOT told: no Synapse here; run: cargo xtask setup");
        return Ok(());
    }
    scratch::tell(name, limit, story).await
}

/// The tree that these tests belong to.
pub fn root() -> PathBuf {
    let tree = std::env::var_os("WXGATE_ROOT").map(PathBuf::from);
    tree.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// Where people of a homeserver sign in, on pages of its own.
#[derive(Debug)]
pub struct SignInService {
    place: Place,
    _program: Program,
}

/// What it and the homeserver know each other by.
const SERVICE_SECRET: &str = "between-the-two";

impl SignInService {
    /// Starts it and has the homeserver leave sign-ins to it, from its next [`Homeserver::start`] on.
    pub async fn start(homeserver: &mut Homeserver, life: Duration) -> Result<Self> {
        let port = ports::free()?.to_string();
        let path = homeserver.dir.join("sign_in_service.py");
        std::fs::write(&path, include_str!("homeserver/sign_in_service.py"))
            .with_context(|| format!("write {}", path.display()))?;
        let (path, database) = (path.display().to_string(), homeserver.database().display().to_string());
        let (url, life) = (homeserver.url(), life.as_secs().to_string());
        let args = [path.as_str(), &port, &url, &database, SERVICE_SECRET, &life];
        let program = Program::start_other(
            "the sign-in service",
            &homeserver.python,
            &args,
            &homeserver.dir,
            &homeserver.log,
        )?;
        homeserver.set(format!(
            "enable_registration: false\nenable_registration_without_verification: false\n\
             password_config: {{enabled: false}}\nmatrix_authentication_service: {{enabled: true, \
             endpoint: \"http://127.0.0.1:{port}/\", secret: {SERVICE_SECRET:?}}}\n"
        ));
        let service = Self { place: Place::Tcp(format!("127.0.0.1:{port}")), _program: program };
        until("the sign-in service to answer", UP, async || service.counts().await.map(Some)).await?;
        Ok(service)
    }

    /// How often it did what.
    pub async fn counts(&self) -> Result<serde_json::Value> {
        http::json(&self.place, "GET", "/counts", &serde_json::Value::Null, DOWN).await
    }

    /// Ends all sessions that it gave.
    pub async fn end_sessions(&self) -> Result<()> {
        http::ask(&self.place, "POST", "/end", &[], "{}", DOWN).await?.good("end sessions").map(drop)
    }

    /// Somebody's browser opens a link and says yes; where it is sent to. Nobody is `nobody`, who says no.
    pub async fn say_yes(&self, link: &str, who: &str) -> Result<String> {
        let path = link.splitn(4, '/').nth(3).context("a link without a path")?;
        let path = format!("/{path}&as={who}");
        let answer: Answer = http::ask(&self.place, "GET", &path, &[], "", DOWN).await?;
        ensure!(answer.status == 302, "the page answers {}: {}", answer.status, answer.text());
        Ok(answer.header("location").to_owned())
    }
}

/// A homeserver, running or not.
#[derive(Debug)]
pub struct Homeserver {
    /// Where it serves clients, `127.0.0.1:port`.
    pub address: String,
    python: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    /// Whether everybody may do as much as Synapse lets them by default.
    is_limited: bool,
    /// Further settings.
    settings: String,
    /// Where it says that it is.
    public: String,
    program: Option<Program>,
}

impl Homeserver {
    /// Chooses its port and directory. Nothing runs yet: a gateway's registration names a homeserver, and
    /// the homeserver reads registrations when it starts.
    pub fn prepare(scratch: &Scratch) -> Result<Self> {
        let python = python().context("no Synapse here; run: cargo xtask setup")?;
        let dir = scratch.join("homeserver");
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let address = format!("127.0.0.1:{}", ports::free()?);
        let public = format!("http://{address}");
        Ok(Self {
            public,
            address,
            python,
            dir,
            log: scratch.join("homeserver.log"),
            is_limited: false,
            settings: String::new(),
            program: None,
        })
    }

    /// Leaves the limits of requests where Synapse has them by default.
    #[must_use]
    pub fn with_default_limits(mut self) -> Self {
        self.is_limited = true;
        self
    }

    /// Has it have further settings, lines of YAML, from its next [`Self::start`] on.
    pub fn set(&mut self, settings: impl Into<String>) {
        self.settings = settings.into();
    }

    /// Has it say that it is there.
    pub fn is_known_as(&mut self, url: &str) {
        self.public = url.to_owned();
    }

    /// Starts it with these registrations of application services, YAML each.
    pub async fn start(&mut self, registrations: &[String]) -> Result<()> {
        let mut names = Vec::new();
        for (at, text) in registrations.iter().enumerate() {
            let path = self.dir.join(format!("appservice{at}.yaml"));
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            names.push(path);
        }
        self.configure(&names)?;
        self.run().await
    }

    /// Starts it as it was configured and waits until it answers.
    pub async fn run(&mut self) -> Result<()> {
        self.launch()?;
        let place = Place::Tcp(self.address.clone());
        let up = until("the homeserver to answer", UP, async || {
            let program = self.program.as_mut().context("not started")?;
            if let Some(status) = program.ended()? {
                return Ok(Some(Err(anyhow!("it ended with {status}, see {}", self.log.display()))));
            }
            let path = "/_matrix/client/versions";
            let answer = http::ask(&place, "GET", path, &[], "", Duration::from_secs(5)).await?;
            Ok((answer.status == 200).then_some(Ok(())))
        });
        up.await?
    }

    /// Starts it and waits for nothing.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.program.is_none(), "the homeserver runs already");
        let args = ["-m", "synapse.app.homeserver", "-c", "homeserver.yaml"];
        let program = Program::start_other("the homeserver", &self.python, &args, &self.dir, &self.log)?;
        self.program = Some(program);
        Ok(())
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> Result<()> {
        self.program.take().context("the homeserver does not run")?.kill().await
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<()> {
        let mut program = self.program.take().context("the homeserver does not run")?;
        program.terminate(DOWN).await.map(drop)
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.dir.join("homeserver.db")
    }

    /// Takes away what waits in its database for application services: a kill between saving how far it
    /// counted and writing down the transaction leaves it so. It must not run.
    pub async fn forget_transactions(&self) -> Result<()> {
        ensure!(self.program.is_none(), "the homeserver runs");
        let gone = sqlite::ask(&self.database(), "DELETE FROM application_services_txns").await?;
        ensure!(gone > 0, "no transaction was waiting");
        Ok(())
    }

    /// Fails when it has ended by itself.
    pub fn assert_up(&mut self) -> Result<()> {
        match self.program.as_mut().context("the homeserver does not run")?.ended()? {
            None => Ok(()),
            Some(status) => bail!("the homeserver ended with {status}"),
        }
    }

    /// The address for configurations.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Somebody who plays people of this homeserver.
    pub fn people(&self) -> Result<People> {
        People::start(&self.python, &self.url(), &self.log.with_file_name("people.log"))
    }

    fn configure(&self, registrations: &[PathBuf]) -> Result<()> {
        let names: Vec<String> = registrations.iter().map(|path| format!("{path:?}")).collect();
        let registrations = format!("[{}]", names.join(", "));
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let limits = if self.is_limited { "" } else { include_str!("homeserver/no_limits.yaml") };
        let homeserver = [include_str!("homeserver/homeserver.yaml"), limits, &self.settings]
            .concat()
            .replace("$PUBLIC", &self.public)
            .replace("$PORT", port)
            .replace("$DOMAIN", DOMAIN)
            .replace("$REGISTRATIONS", &registrations);
        let files = [
            ("homeserver.yaml", homeserver.as_str()),
            ("log.yaml", include_str!("homeserver/log.yaml")),
            // 32 bytes that are no secret: this server speaks to nobody.
            ("signing.key", "ed25519 a_story c3RvcmllcyBvbmx5LCBuZXZlciBvdXRzaWRlIG9mIHQ\n"),
        ];
        for (name, text) in files {
            let path = self.dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

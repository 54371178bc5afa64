//! The gateway, started as a process in a directory of its own and led over its control socket.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::http::{self, Answer, Lines, Place};
use crate::irc::{IrcClient, Login};
use crate::ports;
use crate::program::{self, Program};
use crate::scratch::Scratch;
use crate::sim::Sim;
use crate::wait::until;

/// Start, stop, sign-in: what should take a moment.
pub const SOON: Duration = Duration::from_secs(60);
/// The password of everybody in the stories.
pub const PASSWORD: &str = "open sesame 芝麻";

/// What differs from gateway to gateway.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Tells its files in the scratch directory from those of another gateway.
    pub name: String,
    /// Where the database lies; empty: `data` in the scratch directory.
    pub data_dir: PathBuf,
    /// Messages per minute and account towards WeChat.
    pub sends_per_minute: u32,
    /// What is logged.
    pub log_filter: String,
    /// The database; empty: the default.
    pub store: String,
    /// Further variables of its environment.
    pub env: Vec<(String, String)>,
    /// More of the configuration file.
    pub more: String,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            name: "gateway".to_owned(),
            data_dir: PathBuf::new(),
            sends_per_minute: 6_000,
            log_filter: "info".to_owned(),
            store: String::new(),
            env: Vec::new(),
            more: String::new(),
        }
    }
}

/// A gateway, running or not.
#[derive(Debug)]
pub struct Gateway {
    /// Where it serves IRC.
    pub irc: String,
    /// Where it serves HTTP.
    pub web: String,
    /// Its configuration file.
    pub config: PathBuf,
    data_dir: PathBuf,
    log: PathBuf,
    env: Vec<(String, String)>,
    program: Option<Program>,
}

impl Gateway {
    /// Writes a configuration for `service` and starts it.
    pub async fn start(scratch: &Scratch, service: &str, options: &GatewayOptions) -> Result<Self> {
        let mut gateway = Self::prepare(scratch, service, options)?;
        gateway.run().await?;
        Ok(gateway)
    }

    /// Writes a configuration for `service` without starting anything.
    pub fn prepare(scratch: &Scratch, service: &str, options: &GatewayOptions) -> Result<Self> {
        let (irc, web) = (ports::free()?, ports::free()?);
        let config = scratch.join(&format!("{}.toml", options.name));
        let data_dir = match options.data_dir.as_os_str().is_empty() {
            true => scratch.join("data"),
            false => options.data_dir.clone(),
        };
        let store = match options.store.as_str() {
            "" => String::new(),
            url => format!("[store]\nurl = {url:?}\n"),
        };
        // The same on every machine: only stories about it have files converted.
        let media = if options.more.contains("[media]") { "" } else { "[media]\nffmpeg = \"off\"\n" };
        let text = format!(
            "data_dir = {data_dir:?}\n\
             {store}[wechat]\nservice = {service:?}\n\
             [irc.server]\nlisten = [\"127.0.0.1:{irc}\"]\n\
             [web]\nlisten = \"127.0.0.1:{web}\"\n\
             [limits]\naccounts_per_user = 10000\nsends_per_minute = {}\n\
             [log]\nfilter = {:?}\n{media}{}",
            options.sends_per_minute, options.log_filter, options.more
        );
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        Ok(Self {
            irc: format!("127.0.0.1:{irc}"),
            web: format!("127.0.0.1:{web}"),
            config,
            data_dir,
            log: scratch.join(&format!("{}.log", options.name)),
            env: options.env.clone(),
            program: None,
        })
    }

    /// Starts the program and waits until it says that it is ready.
    pub async fn run(&mut self) -> Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Waits until the program says that it is ready.
    pub async fn ready(&mut self) -> Result<()> {
        let place = Place::Tcp(self.web.clone());
        let ready = until("the gateway to be ready", SOON, async || {
            if let Some(status) = self.program.as_mut().context("not started")?.ended()? {
                return Ok(Some(Err(anyhow!("the gateway ended with {status}, see {}", self.log.display()))));
            }
            let answer = http::ask(&place, "GET", "/readyz", &[], "", Duration::from_secs(5)).await?;
            Ok((answer.status == 200).then_some(Ok(())))
        });
        ready.await?
    }

    /// Starts the program and waits for nothing.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.program.is_none(), "the gateway runs already");
        let args = ["run".into(), "-c".into(), self.config.clone().into_os_string()];
        let mut env = vec![("RUST_BACKTRACE", "1")];
        env.extend(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let (program, _) = Program::start("wxgate", &args, &env, &self.log, false)?;
        self.program = Some(program);
        Ok(())
    }

    /// The running program.
    pub fn program(&mut self) -> Result<&mut Program> {
        self.program.as_mut().context("the gateway does not run")
    }

    /// Fails when it has ended by itself.
    pub fn assert_up(&mut self) -> Result<()> {
        match self.program()?.ended()? {
            None => Ok(()),
            Some(status) => bail!("the gateway ended with {status}"),
        }
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> Result<()> {
        self.program()?.kill().await?;
        self.program = None;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        let status = self.program()?.terminate(SOON).await?;
        self.program = None;
        Ok(status)
    }

    /// Waits until it has ended by itself, or by somebody else's hand.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = self.program()?.wait(limit).await?;
        self.program = None;
        Ok(status)
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where its state lies.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// One request to the control socket whose answer must tell success.
    pub async fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let socket = Place::unix(&self.data_dir.join("wxgate.sock"));
        http::json(&socket, method, path, body, SOON).await
    }

    /// One request to the HTTP listener.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        http::ask(&Place::Tcp(self.web.clone()), "GET", path, headers, "", SOON).await
    }

    /// Hands something over to the HTTP listener.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Answer> {
        http::ask(&Place::Tcp(self.web.clone()), "POST", path, headers, body, SOON).await
    }

    /// Follows a link that the gateway gave out.
    pub async fn open_link(&self, link: &str) -> Result<Answer> {
        let base = format!("http://{}", self.web);
        let path =
            link.strip_prefix(&base).ok_or_else(|| anyhow!("the link {link} does not lead to {base}"))?;
        self.get(path, &[]).await
    }

    /// Runs a command of the program against this gateway; it must succeed.
    pub async fn cli(&self, args: &[&str], input: Option<&str>) -> Result<String> {
        let (status, out, err) = self.try_cli(args, input).await?;
        ensure!(status.success(), "wxgate {args:?} ended with {status}: {out}{err}");
        Ok(out)
    }

    /// Runs a command of the program against this gateway.
    pub async fn try_cli(&self, args: &[&str], input: Option<&str>) -> Result<(ExitStatus, String, String)> {
        let config = self.config.to_string_lossy().into_owned();
        let mut all = vec!["-c", config.as_str()];
        all.extend(args);
        program::run_once("wxgate", &all, input, SOON).await
    }

    /// Adds a person.
    pub async fn add_user(&self, name: &str) -> Result<()> {
        self.api("POST", "/api/v1/users", &json!({"name": name, "is_admin": false, "password": PASSWORD}))
            .await
            .map(drop)
    }

    /// Adds an account of theirs, signed out.
    pub async fn add_account(&self, name: &str, owner: &str) -> Result<()> {
        self.api("POST", "/api/v1/accounts", &json!({"name": name, "owner": owner})).await.map(drop)
    }

    /// The state of an account, as the word in lists, and what is wrong.
    pub async fn state(&self, account: &str) -> Result<(String, String)> {
        let account = self.api("GET", &format!("/api/v1/accounts/{account}"), &Value::Null).await?;
        let word = |name: &str| account[name].as_str().unwrap_or_default().to_owned();
        Ok((word("state"), word("detail")))
    }

    /// Waits until an account is in a state.
    pub async fn wait_state(&self, account: &str, state: &str, limit: Duration) -> Result<String> {
        until(&format!("account {account} to be {state}"), limit, async || {
            let (word, detail) = self.state(account).await?;
            if word == state { Ok(Some(detail)) } else { Err(anyhow!("it is {word} ({detail})")) }
        })
        .await
    }

    /// Orders a sign-in and follows it.
    pub async fn begin_sign_in(&self, account: &str) -> Result<SignIn> {
        let socket = Place::unix(&self.data_dir.join("wxgate.sock"));
        let path = format!("/api/v1/accounts/{account}/sign-in");
        let steps = Lines::follow(&socket, "POST", &path).await?;
        Ok(SignIn { account: account.to_owned(), steps, patience: SOON, last: Value::Null })
    }

    /// Signs an account in as the simulated account `of`, whose phone scans and confirms.
    pub async fn sign_in(&self, sim: &Sim, account: &str, of: &str) -> Result<()> {
        self.begin_sign_in(account).await?.complete(sim, of).await
    }

    /// Connects a client to an account of `user`.
    pub async fn client(&self, user: &str, account: &str, client: &str) -> Result<IrcClient> {
        IrcClient::login(&self.irc, &login(user, account, client)).await
    }
}

/// A sign-in that is being followed.
#[derive(Debug)]
pub struct SignIn {
    account: String,
    steps: Lines,
    /// How long it may tell nothing.
    patience: Duration,
    /// What it told last.
    last: Value,
}

impl SignIn {
    /// The same where many wait for their turn: address books are loaded a few at a time.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The next step, as the gateway tells it.
    pub async fn step(&mut self) -> Result<Value> {
        let step = self.steps.next(self.patience).await;
        let step =
            step.with_context(|| format!("follow the sign-in of {} after {}", self.account, self.last))?;
        self.last =
            step.with_context(|| format!("the sign-in of {} broke off after {}", self.account, self.last))?;
        Ok(self.last.clone())
    }

    /// Waits for a code and returns its uuid.
    pub async fn code(&mut self) -> Result<String> {
        loop {
            let step = self.step().await?;
            if let Some((_, uuid)) = step["text"].as_str().and_then(|text| text.rsplit_once("/l/")) {
                return Ok(uuid.to_owned());
            }
            ensure!(step["step"] == "starting", "{}: no code, but {step}", self.account);
        }
    }

    /// The phone of the simulated account `of` scans and confirms; waits until it is online.
    pub async fn complete(mut self, sim: &Sim, of: &str) -> Result<()> {
        let uuid = self.code().await?;
        sim.scan(&uuid, of).await?;
        sim.confirm(&uuid).await?;
        self.done().await
    }

    /// Waits until the account is online.
    pub async fn done(&mut self) -> Result<()> {
        loop {
            let step = self.step().await?;
            match step["step"].as_str() {
                Some("done") => return Ok(()),
                Some("failed") => bail!("the sign-in of {} failed: {step}", self.account),
                _ => {}
            }
        }
    }
}

/// A login with everything that is offered.
pub fn login<'a>(user: &'a str, account: &'a str, client: &'a str) -> Login<'a> {
    Login { user, password: PASSWORD, account, client, caps: crate::irc::ALL_CAPS }
}

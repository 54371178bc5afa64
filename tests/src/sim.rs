//! The simulated service, started as a process and led over its control API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::http::{self, Connection, Place};
use crate::ports;
use crate::program::Program;
use crate::scratch::Scratch;
use crate::truth::{Entry, number};
use crate::wait::until;

/// Enough for a service on this machine.
const SOON: Duration = Duration::from_secs(30);
/// Entries per question to the ledger.
const PAGE: usize = 10_000;

/// What the world is made of.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// How many accounts: `account0`, `account1`, ….
    pub accounts: u32,
    /// Contacts of each.
    pub contacts: u32,
    /// Groups of each.
    pub groups: u32,
    /// Members of each group.
    pub members: u32,
    /// How long an idle poll is held.
    pub hold_seconds: f64,
    /// Whether permanent names are told at a login, as the service did until 2017.
    pub permanent_ids: bool,
    /// Whether a remark that a client sets is kept.
    pub keeps_remarks: bool,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            accounts: 2,
            contacts: 20,
            groups: 4,
            members: 8,
            hold_seconds: 2.0,
            permanent_ids: true,
            keeps_remarks: true,
        }
    }
}

/// A running simulated service.
#[derive(Debug)]
pub struct Sim {
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
    scheme: &'static str,
    program: Program,
    args: Vec<String>,
    log: PathBuf,
    control: Mutex<Option<Connection>>,
    control_place: Place,
}

/// The service's own account of somebody.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name as the service writes it, entities and spans included.
    pub nick: String,
    /// The remark of the account's owner; empty for none.
    pub remark: String,
    /// The members of a group.
    pub members: Vec<String>,
}

impl Sim {
    /// Starts it and waits until it is ready.
    pub async fn start(scratch: &Scratch, options: &SimOptions) -> Result<Self> {
        Self::start_as(scratch, options, None).await
    }

    /// The same over TLS, with a certificate that it makes and writes to `certificate`.
    pub async fn start_tls(scratch: &Scratch, options: &SimOptions, certificate: &Path) -> Result<Self> {
        Self::start_as(scratch, options, Some(certificate)).await
    }

    async fn start_as(scratch: &Scratch, options: &SimOptions, certificate: Option<&Path>) -> Result<Self> {
        let (service, control) = (ports::free()?, ports::free()?);
        let mut args = vec![
            format!("--listen=127.0.0.1:{service}"),
            format!("--control=127.0.0.1:{control}"),
            format!("--accounts={}", options.accounts),
            format!("--contacts={}", options.contacts),
            format!("--groups={}", options.groups),
            format!("--members={}", options.members),
            format!("--hold-seconds={}", options.hold_seconds),
        ];
        if !options.permanent_ids {
            args.push("--no-permanent-ids".to_owned());
        }
        if !options.keeps_remarks {
            args.push("--forget-remarks".to_owned());
        }
        if let Some(path) = certificate {
            args.extend(["--tls".to_owned(), format!("--certificate={}", path.display())]);
        }
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let log = scratch.join("simulator.log");
        let (program, ready) = launch(&args, &log).await?;
        let address = bare(&ready["service"])?;
        let control_place = Place::Tcp(bare(&ready["control"])?);
        Ok(Self { address, scheme, program, args, log, control: Mutex::new(None), control_place })
    }

    /// The address for the configuration of a gateway.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Ends the process at once: the service is away from now on.
    pub async fn kill(&mut self) -> Result<()> {
        *self.control.lock().await = None;
        self.program.kill().await
    }

    /// Where it takes orders.
    pub fn control_url(&self) -> String {
        match &self.control_place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    /// Starts it again on the same address, with a new world of the same size.
    pub async fn start_again(&mut self) -> Result<()> {
        (self.program, _) = launch(&self.args, &self.log).await?;
        Ok(())
    }

    /// One order to the control API.
    pub async fn order(&self, verb: &str, body: &Value) -> Result<Value> {
        let path = format!("/_sim/{verb}");
        let mut kept = self.control.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(&self.control_place).await?,
        };
        let headers = [("content-type", "application/json")];
        let asked = connection.ask("POST", &path, &headers, body.to_string());
        let answer = tokio::time::timeout(SOON * 10, asked)
            .await
            .map_err(|_| anyhow!("{path} was not answered"))??;
        *kept = Some(connection);
        answer.good(&path)?.json()
    }

    /// The phone of `account` scans a code.
    pub async fn scan(&self, uuid: &str, account: &str) -> Result<()> {
        self.order("scan", &json!({"uuid": uuid, "account": account})).await.map(drop)
    }

    /// The phone confirms what it scanned, or a push login.
    pub async fn confirm(&self, uuid: &str) -> Result<()> {
        self.order("confirm", &json!({"uuid": uuid})).await.map(drop)
    }

    /// Logins that are not over: uuid, account, step, push.
    pub async fn logins(&self) -> Result<Vec<Value>> {
        Ok(self.order("logins", &json!({})).await?.as_array().cloned().unwrap_or_default())
    }

    /// `from` says a text in `chat`; the server's id of the message.
    pub async fn say(&self, account: &str, chat: &str, from: &str, text: &str) -> Result<u64> {
        self.tell(account, chat, from, json!({"kind": "text", "text": text})).await
    }

    /// The same with any kind of message.
    pub async fn tell(&self, account: &str, chat: &str, from: &str, kind: Value) -> Result<u64> {
        let mut body = json!({"account": account, "chat": chat, "from": from});
        merge(&mut body, kind);
        let said = self.order("say", &body).await?;
        number(&said["msg_id"]).ok_or_else(|| anyhow!("no msg_id in {said}"))
    }

    /// `from` says `count` texts at once: `text 0`, `text 1`, ….
    pub async fn burst(&self, account: &str, chat: &str, from: &str, text: &str, count: u32) -> Result<()> {
        let body = json!({"account": account, "chat": chat, "from": from, "kind": "text", "text": text, "count": count});
        self.order("say", &body).await.map(drop)
    }

    /// A phone or another person changes something: fields as the control API reads them.
    pub async fn change(&self, account: &str, change: Value) -> Result<()> {
        let mut body = json!({"account": account});
        merge(&mut body, change);
        self.order("change", &body).await.map(drop)
    }

    /// The session of `account` ends from outside; its requests are told `code`.
    pub async fn end_session(&self, account: &str, code: i32) -> Result<()> {
        self.order("end_session", &json!({"account": account, "code": code})).await.map(drop)
    }

    /// Adds a fault: fields as the control API reads them.
    pub async fn fault(&self, rule: &Value) -> Result<()> {
        self.order("fault", rule).await.map(drop)
    }

    /// Takes all faults back.
    pub async fn clear_faults(&self) -> Result<()> {
        self.order("clear_faults", &json!({})).await.map(drop)
    }

    /// Counters of the world.
    pub async fn stats(&self) -> Result<Value> {
        self.order("stats", &json!({})).await
    }

    /// How often `account` has signed in.
    pub async fn logins_of(&self, account: &str) -> Result<u64> {
        let list = self.order("list", &json!({})).await?;
        let found = list.as_array().into_iter().flatten().find(|known| known["name"] == account);
        found.and_then(|known| known["logins"].as_u64()).ok_or_else(|| anyhow!("no account {account}"))
    }

    /// What the service knows about somebody.
    pub async fn person(&self, account: &str, who: &str) -> Result<Person> {
        let person = self.order("person", &json!({"account": account, "who": who})).await?;
        let members = person["members"].as_array().into_iter().flatten();
        Ok(Person {
            nick: person["nick"].as_str().unwrap_or_default().to_owned(),
            remark: person["remark"].as_str().unwrap_or_default().to_owned(),
            members: members.filter_map(|member| member.as_str().map(str::to_owned)).collect(),
        })
    }

    /// The bytes of a message's file.
    pub async fn media(&self, account: &str, msg_id: u64) -> Result<Vec<u8>> {
        let body = json!({"account": account, "msg_id": msg_id}).to_string();
        let answer = http::ask(&self.control_place, "POST", "/_sim/media", &[], body, SOON).await?;
        Ok(answer.good("media")?.body.to_vec())
    }

    /// Everything that was said to and heard from `account`.
    pub async fn ledger(&self, account: &str) -> Result<Vec<Entry>> {
        Ok(self.ledger_from(account, 0).await?.0)
    }

    /// The entries from a place on, and the place behind the last one.
    pub async fn ledger_from(&self, account: &str, mut from: usize) -> Result<(Vec<Entry>, usize)> {
        let mut entries = Vec::new();
        loop {
            let page =
                self.order("ledger", &json!({"account": account, "from": from, "limit": PAGE})).await?;
            let items = page["entries"].as_array().context("ledger without entries")?;
            entries.extend(items.iter().map(Entry::read));
            from = usize::try_from(page["next"].as_u64().context("ledger without next")?)?;
            if items.len() < PAGE {
                return Ok((entries, from));
            }
        }
    }

    /// Waits until somebody of `account` has heard `text`, and returns the entry.
    pub async fn heard(&self, account: &str, text: &str) -> Result<Entry> {
        self.heard_within(SOON, account, text).await
    }

    /// The same where what is said waits for something.
    pub async fn heard_within(&self, limit: Duration, account: &str, text: &str) -> Result<Entry> {
        until(&format!("the simulated people of {account} to hear “{text}”"), limit, async || {
            let ledger = self.ledger(account).await?;
            Ok(ledger.into_iter().find(|entry| entry.is_heard() && entry.text == text))
        })
        .await
    }

    /// The same for a text of which only a part is known.
    pub async fn heard_part(&self, account: &str, part: &str) -> Result<Entry> {
        until(&format!("the simulated people of {account} to hear “…{part}…”"), SOON, async || {
            let ledger = self.ledger(account).await?;
            Ok(ledger.into_iter().find(|entry| entry.is_heard() && entry.text.contains(part)))
        })
        .await
    }

    /// The same after the gateway was killed: a cookie that came in its last moment is lost with it, and
    /// the one before is shown until the service sets another. That alone is no breach.
    pub async fn assert_no_violations_but_lost_cookies(&self) -> Result<()> {
        let found = self.order("violations", &json!({})).await?;
        let all = found.as_array().context("no list of violations")?;
        let is_lost_cookie = |breach: &&Value| {
            breach["what"].as_str().is_some_and(|what| what.ends_with("is not the newest that was set"))
        };
        match all.iter().find(|breach| !is_lost_cookie(breach)) {
            None => Ok(()),
            Some(_) => bail!("the service recorded breaches of the protocol: {found}"),
        }
    }

    /// Fails when the service recorded a breach of the protocol.
    pub async fn assert_no_violations(&self) -> Result<()> {
        let found = self.order("violations", &json!({})).await?;
        if found.as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        bail!("the service recorded breaches of the protocol: {found}")
    }
}

async fn launch(args: &[String], log: &Path) -> Result<(Program, Value)> {
    let (program, output) = Program::start("wxgate-simulator", args, &[], log, true)?;
    let mut output = output.context("the simulator's output is not ours")?;
    let line =
        output.line(SOON).await.with_context(|| format!("start the simulator, see {}", log.display()))?;
    let ready = serde_json::from_str(&line).with_context(|| format!("read the ready line {line:?}"))?;
    Ok((program, ready))
}

/// `127.0.0.1:1` of `http://127.0.0.1:1`.
fn bare(url: &Value) -> Result<String> {
    let address = url.as_str().and_then(|url| url.split_once("://")).map(|(_, address)| address);
    let address = address.ok_or_else(|| anyhow!("not an address: {url}"))?;
    address.parse::<SocketAddr>().with_context(|| format!("read {address}"))?;
    Ok(address.to_owned())
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

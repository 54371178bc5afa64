//! The floor: the smallest loop that keeps the promise. A long poll wakes, one sync, one `fdatasync`,
//! one write to a socket whose reader stamps. Nothing that carries messages durably can be faster.
//!
//! Source: the protocol sheet, sections 2.2 to 2.12 and 5.3, for the order and form of the calls.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock::now_us;
use crate::http::{Answer, Connection, Place, encode};
use crate::sim::Sim;

/// One agent for the whole session, as a browser has.
const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
const BASE: &str = "/cgi-bin/mmwebwx-bin";
/// Longer than the service holds a poll.
const POLL_LIMIT: Duration = Duration::from_secs(40);

/// A line that arrived at the reader's end: when, and its words.
pub type Arrival = (u64, String);

/// A running floor loop for one account; dropping it ends the loop.
#[derive(Debug)]
pub struct Floor {
    tasks: JoinSet<Result<()>>,
}

impl Floor {
    /// Signs `account` in and begins to carry. Its journal is `journal`; arrivals go to `arrivals`.
    pub async fn start(
        sim: &Sim,
        account: &str,
        journal: &Path,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Result<Self> {
        let mut session = Session::sign_in(sim, account).await?;
        session.catch_up().await?;
        let journal = File::create(journal).with_context(|| format!("create {}", journal.display()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut out = TcpStream::connect(listener.local_addr()?).await?;
        out.set_nodelay(true)?;
        let (input, _) = listener.accept().await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut lines = BufReader::new(input).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if arrivals.send((now_us(), line)).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        tasks.spawn(async move {
            loop {
                if !session.news().await? {
                    continue;
                }
                let lines = session.sync().await?;
                if lines.is_empty() {
                    continue;
                }
                let text = lines.join("\n") + "\n";
                let mut file = journal.try_clone()?;
                let kept = text.clone();
                // As every durable program must: off the threads that serve the sockets.
                tokio::task::spawn_blocking(move || {
                    file.write_all(kept.as_bytes())?;
                    file.sync_data()
                })
                .await??;
                out.write_all(text.as_bytes()).await?;
            }
        });
        Ok(Self { tasks })
    }

    /// Fails when a loop has ended, which it never should.
    pub fn check(&mut self) -> Result<()> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(ended) => ended?.and_then(|()| bail!("the floor's loop ended")),
        }
    }
}

/// A session of the web protocol, as little of it as the loop needs.
#[derive(Debug)]
struct Session {
    api: Connection,
    poll: Connection,
    cookies: BTreeMap<String, String>,
    uin: u64,
    sid: String,
    skey: String,
    ticket: String,
    sync_key: Value,
    check_key: Value,
    requests: u64,
}

impl Session {
    async fn sign_in(sim: &Sim, account: &str) -> Result<Self> {
        let place = Place::Tcp(sim.address.clone());
        let (api, poll) = (Connection::open(&place).await?, Connection::open(&place).await?);
        let mut session = Self {
            api,
            poll,
            cookies: BTreeMap::new(),
            uin: 0,
            sid: String::new(),
            skey: String::new(),
            ticket: String::new(),
            sync_key: Value::Null,
            check_key: Value::Null,
            requests: 0,
        };
        let redirect = encode("https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage");
        let path = format!(
            "/jslogin?appid=wx782c26e4c19acffb&redirect_uri={redirect}&fun=new&lang=zh_CN&_={}",
            now_us() / 1000
        );
        let uuid = session.get(&path).await?.text();
        let uuid = quoted(&uuid, "uuid = \"").context("read the uuid")?.to_owned();
        sim.scan(&uuid, account).await?;
        sim.confirm(&uuid).await?;
        let redirect = loop {
            let now_ms = now_us() / 1000;
            let path =
                format!("{BASE}/login?loginicon=true&uuid={}&tip=0&r={now_ms}&_={now_ms}", encode(&uuid));
            let text = session.get(&path).await?.text();
            if let Some(uri) = quoted(&text, "redirect_uri=\"") {
                break uri.to_owned();
            }
            if !text.contains("code=408") && !text.contains("code=201") {
                bail!("sign {account} in: {text}");
            }
        };
        let at = redirect.find("/cgi-bin").ok_or_else(|| anyhow!("odd redirect {redirect}"))?;
        let path = format!("{}&fun=new&version=v2", redirect.get(at..).unwrap_or_default());
        let xml = session.get(&path).await?.text();
        let field = |name: &str| {
            let (_, rest) = xml.split_once(&format!("<{name}>"))?;
            Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
        };
        session.skey = field("skey").ok_or_else(|| anyhow!("no skey in {xml}"))?;
        session.sid = field("wxsid").ok_or_else(|| anyhow!("no wxsid"))?;
        session.uin = field("wxuin").and_then(|uin| uin.parse().ok()).ok_or_else(|| anyhow!("no wxuin"))?;
        // Already percent-encoded once by the service.
        session.ticket = field("pass_ticket").unwrap_or_default();
        let init = session.call(&format!("webwxinit?r={}", now_us() / 1000), Value::Null).await?;
        let me = init["User"]["UserName"].clone();
        if let Some(skey) = init["SKey"].as_str().filter(|skey| !skey.is_empty()) {
            skey.clone_into(&mut session.skey);
        }
        session.sync_key = init["SyncKey"].clone();
        session.check_key = init["SyncKey"].clone();
        let notify = json!({"Code": 3, "FromUserName": me, "ToUserName": me, "ClientMsgId": now_us() / 1000});
        session.call("webwxstatusnotify?lang=zh_CN", notify).await?;
        Ok(session)
    }

    /// Reads what waits from before, so that the loop begins at rest.
    async fn catch_up(&mut self) -> Result<()> {
        while !self.sync().await?.is_empty() {}
        Ok(())
    }

    /// One long poll: whether there is something new.
    async fn news(&mut self) -> Result<bool> {
        let device = self.device();
        let key: Vec<String> = self.check_key["List"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pair| format!("{}_{}", pair["Key"], pair["Val"]))
            .collect();
        let now_ms = now_us() / 1000;
        let path = format!(
            "{BASE}/synccheck?r={now_ms}&skey={}&sid={}&uin={}&deviceid={}&synckey={}&_={now_ms}",
            encode(&self.skey),
            encode(&self.sid),
            self.uin,
            device,
            encode(&key.join("|"))
        );
        let cookies = self.cookie_header();
        let headers =
            [("cookie", cookies.as_str()), ("user-agent", AGENT), ("referer", "https://wx.qq.com/")];
        let asked = self.poll.ask("GET", &path, &headers, Bytes::new());
        let answer = tokio::time::timeout(POLL_LIMIT, asked).await??;
        self.keep_cookies(&answer);
        let text = answer.text();
        if !text.contains("retcode:\"0\"") {
            bail!("the poll was told {text}");
        }
        Ok(!text.contains("selector:\"0\""))
    }

    /// One sync: the words of the messages in it.
    async fn sync(&mut self) -> Result<Vec<String>> {
        let path = format!("webwxsync?sid={}&skey={}&lang=zh_CN", encode(&self.sid), encode(&self.skey));
        let news = self.call(&path, json!({"SyncKey": self.sync_key, "rr": now_us() / 1000})).await?;
        for (name, key) in [("SyncKey", &mut self.sync_key), ("SyncCheckKey", &mut self.check_key)] {
            if news[name]["Count"].as_u64().unwrap_or(0) > 0 {
                key.clone_from(&news[name]);
            }
        }
        if let Some(skey) = news["SKey"].as_str().filter(|skey| !skey.is_empty()) {
            skey.clone_into(&mut self.skey);
        }
        let messages = news["AddMsgList"].as_array().into_iter().flatten();
        Ok(messages
            .filter_map(|message| message["Content"].as_str())
            .map(|text| text.replace('\n', " "))
            .collect())
    }

    async fn get(&mut self, path: &str) -> Result<Answer> {
        let cookies = self.cookie_header();
        let headers =
            [("cookie", cookies.as_str()), ("user-agent", AGENT), ("referer", "https://wx.qq.com/")];
        let asked = self.api.ask("GET", path, &headers, Bytes::new());
        let answer = tokio::time::timeout(POLL_LIMIT, asked).await??;
        self.keep_cookies(&answer);
        Ok(answer)
    }

    async fn call(&mut self, path: &str, body: Value) -> Result<Value> {
        let base = json!({"Uin": self.uin, "Sid": self.sid, "Skey": self.skey, "DeviceID": self.device()});
        let fields = match body {
            Value::Object(mut fields) => {
                fields.insert("BaseRequest".to_owned(), base);
                Value::Object(fields)
            }
            _ => json!({"BaseRequest": base}),
        };
        let path = format!("{BASE}/{path}&pass_ticket={}", self.ticket);
        let cookies = self.cookie_header();
        let headers = [
            ("cookie", cookies.as_str()),
            ("user-agent", AGENT),
            ("referer", "https://wx.qq.com/"),
            ("content-type", "application/json;charset=UTF-8"),
        ];
        let asked = self.api.ask("POST", &path, &headers, fields.to_string());
        let answer = tokio::time::timeout(POLL_LIMIT, asked).await??;
        self.keep_cookies(&answer);
        let value: Value =
            serde_json::from_str(&answer.text()).with_context(|| format!("read the answer to {path}"))?;
        match value["BaseResponse"]["Ret"].as_i64() {
            Some(0) => Ok(value),
            code => bail!("{path} was told {code:?}"),
        }
    }

    /// New for each request. Source: the protocol sheet, section 2.1.1.
    fn device(&mut self) -> String {
        self.requests += 1;
        format!("e{:015}", (now_us().wrapping_mul(0x9e37_79b9) ^ self.requests) % 1_000_000_000_000_000)
    }

    fn cookie_header(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for value in answer.headers.get_all("set-cookie") {
            let pair = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// What stands between `before` and the next quotation mark.
fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once('"')?.0)
}

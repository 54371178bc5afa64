//! A small client: one request per connection, cookies by name, the calls of the protocol sheet, section 8.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wxgate_simulator::{AccountSpec, ServerHandle, World, WorldConfig, serve};

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Everything that came over the wire.
    pub(crate) raw: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn ret(&self) -> i64 {
        self.json()["BaseResponse"]["Ret"].as_i64().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// What stands between `from` and `to`.
pub(crate) fn between(text: &str, from: &str, to: &str) -> String {
    let at = text.find(from).unwrap_or_else(|| panic!("no {from} in {text}")) + from.len();
    let rest = &text[at..];
    rest[..rest.find(to).unwrap()].to_owned()
}

/// A world with one account `a`: 60 contacts, 16 groups; polls are held 300 ms.
pub(crate) async fn world() -> (World, ServerHandle) {
    world_with(WorldConfig {
        hold: Duration::from_millis(300),
        login_hold: Duration::from_millis(300),
        late_media: false,
        ..WorldConfig::default()
    })
    .await
}

pub(crate) async fn world_with(config: WorldConfig) -> (World, ServerHandle) {
    let world = World::new(config);
    world.add_account(&AccountSpec::new("a", 0, 60, 16)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(world.clone(), listener).await.unwrap();
    (world, server)
}

pub(crate) struct Browser {
    server: std::net::SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) skey: String,
    pub(crate) ticket: String,
    pub(crate) own: String,
    pub(crate) sync_key: Value,
    pub(crate) check_key: Value,
    device: u64,
    pub(crate) base: &'static str,
}

impl Browser {
    pub(crate) fn new(server: &ServerHandle) -> Self {
        Self {
            server: server.addr(),
            cookies: BTreeMap::new(),
            skey: String::new(),
            ticket: String::new(),
            own: String::new(),
            sync_key: Value::Null,
            check_key: Value::Null,
            device: 0,
            base: "wx2.qq.com",
        }
    }

    /// One request; `extra` are header lines.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        extra: &str,
        body: &[u8],
    ) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nReferer: https://wx2.qq.com/\r\nConnection: close\r\nCookie: {}\r\nContent-Length: {}\r\n{extra}\r\n",
            cookies.join("; "),
            body.len()
        );
        let mut stream = TcpStream::connect(self.server).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The service may close before it has read everything.
        let _ = stream.write_all(body).await;
        let mut raw = Vec::new();
        let _ = stream.read_to_end(&mut raw).await;
        let answer = parse(raw);
        for (name, value) in &answer.headers {
            if name == "set-cookie" {
                let pair = value.split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Answer {
        self.ask("GET", host, path, "", b"").await
    }

    pub(crate) fn base_request(&mut self) -> Value {
        self.device += 1;
        json!({
            "Uin": self.cookies["wxuin"].parse::<u64>().unwrap(), "Sid": self.cookies["wxsid"],
            "Skey": self.skey, "DeviceID": format!("e{:015}", self.device)
        })
    }

    /// A JSON call of the base host, with the ticket and language of the page.
    pub(crate) async fn call(&mut self, name: &str, query: &str, mut body: Value) -> Answer {
        body["BaseRequest"] = self.base_request();
        let path =
            format!("/cgi-bin/mmwebwx-bin/{name}?{query}&pass_ticket={}&lang=zh_CN", encode(&self.ticket));
        let body = body.to_string();
        self.ask(
            "POST",
            self.base,
            &path,
            "Content-Type: application/json;charset=UTF-8\r\n",
            body.as_bytes(),
        )
        .await
    }

    pub(crate) async fn uuid(&mut self) -> String {
        let answer = self
            .get(
                "login.wx.qq.com",
                "/jslogin?appid=wx782c26e4c19acffb&redirect_uri=https%3A%2F%2Fwx.qq.com%2Fcgi-bin%2Fmmwebwx-bin%2Fwebwxnewloginpage&fun=new&lang=zh_CN&_=1700000000000",
            )
            .await;
        between(&answer.text(), "uuid = \"", "\"")
    }

    pub(crate) async fn poll(&mut self, uuid: &str, tip: u8) -> String {
        let path = format!(
            "/cgi-bin/mmwebwx-bin/login?loginicon=true&uuid={}&tip={tip}&r=807048715&_=1700000000501",
            encode(uuid)
        );
        self.get("login.wx.qq.com", &path).await.text()
    }

    /// Requests the `redirect_uri` of a confirmed login.
    pub(crate) async fn exchange(&mut self, confirmed: &str, version: &str) -> Answer {
        let uri = between(confirmed, "redirect_uri=\"", "\"");
        let path = uri.strip_prefix("https://wx2.qq.com").unwrap();
        let answer = self.get("wx2.qq.com", &format!("{path}&fun=new{version}")).await;
        let text = answer.text();
        if text.contains("<skey>") {
            self.skey = between(&text, "<skey>", "</skey>");
            self.ticket = between(&text, "<pass_ticket>", "</pass_ticket>")
                .replace("%2B", "+")
                .replace("%2F", "/")
                .replace("%3D", "=");
        }
        answer
    }

    pub(crate) async fn sign_in(&mut self, world: &World, account: &str) {
        let uuid = self.uuid().await;
        world.scan(&uuid, account).unwrap();
        assert!(self.poll(&uuid, 1).await.starts_with("window.code=201;"));
        world.confirm(&uuid).unwrap();
        let confirmed = self.poll(&uuid, 0).await;
        let answer = self.exchange(&confirmed, "&version=v2").await;
        assert_eq!(answer.status, 200);
        let init = self.init().await;
        assert_eq!(init.ret(), 0, "{}", init.text());
    }

    pub(crate) async fn init(&mut self) -> Answer {
        let answer = self.call("webwxinit", "r=807021215", json!({})).await;
        let value = answer.json();
        if answer.ret() == 0 {
            self.own = value["User"]["UserName"].as_str().unwrap().to_owned();
            self.sync_key = value["SyncKey"].clone();
            self.check_key = value["SyncKey"].clone();
        }
        answer
    }

    pub(crate) async fn check_with(&mut self, sid: &str, key: &Value) -> Answer {
        let pairs: Vec<String> = key["List"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| format!("{}_{}", pair["Key"], pair["Val"]))
            .collect();
        self.device += 1;
        let path = format!(
            "/cgi-bin/mmwebwx-bin/synccheck?r=1700000029100&skey={}&sid={sid}&uin={}&deviceid=e{:015}&synckey={}&_=1700000028001",
            encode(&self.skey),
            self.cookies["wxuin"],
            self.device,
            encode(&pairs.join("|"))
        );
        let host = format!("webpush.{}", self.base);
        self.get(&host, &path).await
    }

    /// The event poll: (retcode, selector).
    pub(crate) async fn check(&mut self) -> (String, String) {
        let sid = encode(&self.cookies["wxsid"]);
        let key = self.check_key.clone();
        let text = self.check_with(&sid, &key).await.text();
        (between(&text, "retcode:\"", "\""), between(&text, "selector:\"", "\""))
    }

    pub(crate) async fn sync(&mut self) -> Value {
        let query = format!("sid={}&skey={}", encode(&self.cookies["wxsid"]), encode(&self.skey));
        let body = json!({"SyncKey": self.sync_key, "rr": 807019915});
        let value = self.call("webwxsync", &query, body).await.json();
        if value["BaseResponse"]["Ret"] == 0 {
            self.sync_key = value["SyncKey"].clone();
            self.check_key = value["SyncCheckKey"].clone();
        }
        value
    }

    pub(crate) fn message(&self, kind: u32, to: &str, content: &str, id: &str) -> Value {
        json!({
            "Msg": {
                "Type": kind, "Content": content, "FromUserName": self.own, "ToUserName": to,
                "LocalID": id, "ClientMsgId": id
            },
            "Scene": 0
        })
    }
}

pub(crate) fn parse(raw: Vec<u8>) -> Answer {
    let split = raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(raw.len());
    let head = String::from_utf8_lossy(&raw[..split]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = raw.get(split + 4..).unwrap_or_default().to_vec();
    Answer { status, headers, body, raw }
}

pub(crate) fn no_violations(world: &World) {
    assert_eq!(world.violations(), []);
    assert_eq!(world.tolerated(), []);
}

/// The kinds of violations that were seen.
pub(crate) fn seen(world: &World) -> Vec<String> {
    world.violations().into_iter().map(|(violation, _)| violation.what).collect()
}

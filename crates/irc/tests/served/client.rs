//! A running server and raw clients, with few words.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{
    Adapter as _, AdapterContext, AdapterError, Author, Body, ChatKind, ChatProfile, ChatRef, Member,
    PersonKind, PersonProfile, Post, Stopped, Timestamp,
};
use wxgate_irc::{IrcServerAdapter, IrcServerConfig};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// 2023-11-14T22:13:20Z
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
pub(crate) const ACCOUNT: &str = "wechat:work";

/// A server that runs against an in-memory far end.
pub(crate) struct Served {
    pub(crate) double: Double,
    pub(crate) address: SocketAddr,
    pub(crate) running: Running,
    pub(crate) task: JoinHandle<Result<Stopped, AdapterError>>,
}

pub(crate) fn config() -> IrcServerConfig {
    let mut config = IrcServerConfig::new("irc:local".into(), "wx.test");
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.limits.flood = None;
    config.limits.confirm_pause = Duration::ZERO;
    config.limits.hold = Duration::ZERO;
    config.limits.failed_login_pause = Duration::ZERO;
    config
}

pub(crate) async fn serve(double: Double, config: IrcServerConfig) -> Served {
    serve_with(double, config, |_| {}).await
}

/// The same with something else in the place of a part of the far end.
pub(crate) async fn serve_with(
    double: Double,
    mut config: IrcServerConfig,
    change: impl FnOnce(&mut AdapterContext),
) -> Served {
    let bound: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let seen = Arc::clone(&bound);
    config.on_bound = Some(Arc::new(move |bound| seen.lock().unwrap().extend(&bound.plain)));
    let clock = FixedClock::at(NOW_MS);
    let network = config.network.clone();
    let (mut context, running) = double.context(&network, clock);
    change(&mut context);
    let adapter = IrcServerAdapter::new(config);
    let task = tokio::spawn(async move { adapter.run(context).await });
    let up = network.clone();
    double.wait_for(PATIENCE, |state| state.health.remove(&up)).await;
    let address = bound.lock().unwrap()[0];
    Served { double, address, running, task }
}

/// ann's account `work`: two contacts and two groups.
pub(crate) fn world() -> Double {
    let double = Double::new();
    double.add_account("ann", "secret", ACCOUNT);
    double.state().says_at_once = true;
    add_person(&double, "p-zhang", "张三", true);
    add_person(&double, "p-li", "李四", true);
    add_person(&double, "p-wang", "王五", false);
    add_group(&double, "g-test", "测试群", &["p-zhang", "p-wang"]);
    add_group(&double, "g-home", "家", &["p-li"]);
    double
}

pub(crate) fn add_person(double: &Double, key: &str, nickname: &str, is_contact: bool) {
    let person = PersonProfile {
        person: key.into(),
        kind: PersonKind::Human,
        nickname: nickname.to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact,
    };
    double.state().people.insert((ACCOUNT.into(), key.into()), person);
}

pub(crate) fn add_group(double: &Double, key: &str, title: &str, members: &[&str]) {
    let mut list = vec![member("me", "me")];
    list[0].is_self = true;
    list.extend(members.iter().map(|key| {
        let name = double.state().people.get(&(ACCOUNT.into(), (*key).into())).map(|p| p.nickname.clone());
        member(key, &name.unwrap_or_default())
    }));
    let chat = ChatProfile {
        chat: key.into(),
        kind: ChatKind::Group,
        title: title.to_owned(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: Some(list),
        is_gone: false,
    };
    double.state().chats.insert((ACCOUNT.into(), key.into()), chat);
}

pub(crate) fn member(key: &str, name: &str) -> Member {
    Member { person: key.into(), name: name.to_owned(), is_self: false, is_contact: false }
}

pub(crate) fn chat(key: &str) -> ChatRef {
    ChatRef { network: ACCOUNT.into(), chat: key.into() }
}

/// What somebody said; `owner` is the owner's phone.
pub(crate) fn said(chat_key: &str, author: &str, id: &str, body: Body) -> Post {
    let author = match author {
        "owner" => Author::Owner,
        person => Author::Person { person: person.into(), name: person.to_owned() },
    };
    Post {
        remote_id: id.into(),
        chat: chat(chat_key),
        author,
        at: Timestamp(NOW_MS),
        body,
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

/// One raw connection.
pub(crate) struct Client {
    lines: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// Answers the server's own PINGs with a PONG.
    pub(crate) confirms: bool,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (read, write) = TcpStream::connect(address).await.unwrap().into_split();
        Self { lines: BufReader::new(read), write, confirms: true }
    }

    /// Connected, logged in as ann with these capabilities, welcome read.
    pub(crate) async fn login(served: &Served, name: &str, caps: &str) -> Self {
        let mut client = Self::begin(served, name, caps).await;
        client.until(" 221 ").await;
        client.sync().await;
        client
    }

    pub(crate) async fn begin(served: &Served, name: &str, caps: &str) -> Self {
        let mut client = Self::connect(served.address).await;
        if !caps.is_empty() {
            client.send(&format!("CAP REQ :{caps}")).await;
        }
        let name = if name.is_empty() { String::new() } else { format!("@{name}") };
        client.send(&format!("PASS ann/work{name}:secret")).await;
        client.send("NICK ann").await;
        client.send("USER ann 0 * :Ann Lee").await;
        if !caps.is_empty() {
            client.send("CAP END").await;
        }
        client
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.bytes(format!("{line}\r\n").as_bytes()).await;
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn try_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write.write_all(bytes).await
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let mut line = Vec::new();
            let length = match timeout(PATIENCE, self.lines.read_until(b'\n', &mut line)).await {
                Ok(Ok(length)) => length,
                Ok(Err(_)) => 0,
                Err(_) => panic!("the server says nothing"),
            };
            if length == 0 {
                return None;
            }
            assert!(line.ends_with(b"\r\n"), "every line ends with CRLF");
            let line = String::from_utf8(line).unwrap().trim_end().to_owned();
            let body =
                line.strip_prefix('@').and_then(|tagged| tagged.split_once(' ')).map_or(&*line, |(_, b)| b);
            assert!(body.len() <= 510, "{} bytes: {body}", body.len());
            if let Some(token) = line.strip_prefix("PING :") {
                if self.confirms {
                    self.send(&format!("PONG :{token}")).await;
                }
                continue;
            }
            return Some(line);
        }
    }

    /// Lines up to one that contains `what`, that one included.
    pub(crate) async fn until(&mut self, what: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.next().await else { panic!("closed before {what:?}: {lines:#?}") };
            let is_it = line.contains(what);
            lines.push(line);
            if is_it {
                return lines;
            }
        }
    }

    /// Everything up to the answer to a PING of ours.
    pub(crate) async fn sync(&mut self) -> Vec<String> {
        self.send("PING sync-mark").await;
        let mut lines = self.until("PONG wx.test :sync-mark").await;
        lines.pop();
        lines
    }

    /// Sends a line and gives all that comes of it.
    pub(crate) async fn ask(&mut self, line: &str) -> Vec<String> {
        self.send(line).await;
        self.sync().await
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }
}

/// The numerics of some lines, in order.
pub(crate) fn numerics(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.split(' ').nth(1)).filter(|word| word.len() == 3).collect()
}

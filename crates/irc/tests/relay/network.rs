//! A network of one server that does what the test says, and words to play with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{
    Adapter, AdapterError, Answer, Ask, Author, Body, ChatRef, CommandError, DeliveryId, Health, Order,
    Outcome, Post, Request, Stopped, Timestamp,
};
use wxgate_irc::{IrcClientAdapter, IrcClientConfig, Rate};

pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
pub(crate) const NETWORK: &str = "irc:test";
/// A modern network.
pub(crate) const MODERN: &str = "message-tags server-time batch echo-message labeled-response account-tag \
                                 draft/message-redaction";
/// One from before capabilities.
pub(crate) const OLD: &str = "";

/// How the server behaves; tests change it while it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    pub(crate) caps: String,
    /// Nicks that are in use.
    pub(crate) taken: Vec<String>,
    /// Answers JOIN with this numeric.
    pub(crate) bars: Option<&'static str>,
    /// Answers what is said with this numeric.
    pub(crate) refuses: Option<(&'static str, &'static str)>,
    /// What this nick says is said to nobody; the line it is told instead is given, if any.
    pub(crate) drops: Option<(&'static str, &'static str)>,
    /// Has passwords in a form that SCRAM cannot use, and says so in these lines.
    pub(crate) no_scram: Vec<&'static str>,
    /// Neither echoes nor answers PING.
    pub(crate) is_mute: bool,
    /// Becomes so at the line behind these.
    pub(crate) mute_after: Option<usize>,
    /// Says ERROR with this and closes, instead of a welcome.
    pub(crate) farewell: Option<&'static str>,
    /// Answers AUTHENTICATE: true lets everybody in.
    pub(crate) lets_in: bool,
    /// The services are away: what is said then to who begins to sign in, `NAK` or a numeric.
    pub(crate) no_services: Option<&'static str>,
    /// People in every channel.
    pub(crate) people: Vec<String>,
    pub(crate) isupport: String,
    /// Nicks that are longer than NICKLEN are refused (432), and not cut.
    pub(crate) refuses_long_nicks: bool,
    /// Nicks with these characters in them are refused (432).
    pub(crate) bad_nick: &'static str,
    /// What the network remembers of `#c`: seconds of a minute, id, nick, text.
    pub(crate) history: Vec<(u8, &'static str, &'static str, &'static str)>,
    /// Answers RELAYMSG with this.
    pub(crate) refuses_relaymsg: Option<&'static str>,
    /// Does not answer CHATHISTORY.
    pub(crate) forgets: bool,
    /// Whom alone this numeric meets on JOIN.
    pub(crate) bars_nick: Option<String>,
    /// Answers a message of several lines with a refusal.
    pub(crate) refuses_batches: bool,
}

impl Manners {
    /// As much of a nick as NICKLEN lets.
    fn cut_nick(&self, nick: &str) -> String {
        let most = self.isupport.split(' ').find_map(|token| token.strip_prefix("NICKLEN=")?.parse().ok());
        nick.chars().take(most.unwrap_or(9)).collect()
    }
}

struct State {
    manners: Manners,
    /// Every line of every client, and under which nick it came.
    lines: Vec<String>,
    by: Vec<String>,
    connections: usize,
    peers: Vec<SocketAddr>,
    to_client: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Of all connections; without them they end.
    senders: Vec<mpsc::UnboundedSender<Vec<u8>>>,
    by_nick: HashMap<String, mpsc::WeakUnboundedSender<Vec<u8>>>,
    is_reachable: bool,
    ids: u64,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
    pub(crate) address: String,
}

impl Network {
    pub(crate) async fn start(caps: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let manners = Manners {
            caps: caps.to_owned(),
            people: vec!["bob".to_owned()],
            isupport: "CASEMAPPING=ascii NICKLEN=30".to_owned(),
            ..Manners::default()
        };
        let state = State {
            manners,
            lines: Vec::new(),
            by: Vec::new(),
            connections: 0,
            peers: Vec::new(),
            to_client: None,
            senders: Vec::new(),
            by_nick: HashMap::new(),
            is_reachable: true,
            ids: 0,
        };
        let network = Self { state: Arc::new(Mutex::new(state)), address };
        tokio::spawn(network.clone().accept(listener));
        network
    }

    pub(crate) fn change(&self, how: impl FnOnce(&mut Manners)) {
        how(&mut self.state.lock().unwrap().manners);
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Where the clients came from, in order.
    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.state.lock().unwrap().peers.clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().lines.clone()
    }

    /// The texts that were said in a channel or to somebody.
    pub(crate) fn said(&self, target: &str) -> Vec<String> {
        let of = |line: &String| Some(bare(line).strip_prefix(&format!("PRIVMSG {target} :"))?.to_owned());
        self.lines().iter().filter_map(of).collect()
    }

    /// The same, each with the nick of who said it.
    pub(crate) fn said_by(&self, target: &str) -> Vec<(String, String)> {
        let state = self.state.lock().unwrap();
        let of = |line: &String| Some(bare(line).strip_prefix(&format!("PRIVMSG {target} :"))?.to_owned());
        state.lines.iter().zip(&state.by).filter_map(|(line, by)| Some((by.clone(), of(line)?))).collect()
    }

    /// The nicks of those who wrote a line.
    pub(crate) fn by(&self, wanted: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let all = state.lines.iter().zip(&state.by);
        all.filter(|(line, _)| bare(line) == wanted).map(|(_, by)| by.clone()).collect()
    }

    /// Writes a line to the client of that nick.
    pub(crate) fn line_to(&self, nick: &str, line: &str) {
        let state = self.state.lock().unwrap();
        let sender = state.by_nick.get(nick).and_then(mpsc::WeakUnboundedSender::upgrade);
        let sender = sender.unwrap_or_else(|| panic!("there is no {nick}"));
        sender.send([line.as_bytes(), b"\r\n"].concat()).unwrap();
    }

    /// Ends the connection of that nick.
    pub(crate) fn cut_nick(&self, nick: &str) {
        self.line_to(nick, "ERROR :Closing link: killed");
    }

    /// Writes bytes to the client.
    pub(crate) fn bytes(&self, line: &[u8]) {
        let state = self.state.lock().unwrap();
        let sender = state.to_client.as_ref().expect("nobody is connected");
        sender.send([line, b"\r\n"].concat()).unwrap();
    }

    pub(crate) fn line(&self, line: &str) {
        self.bytes(line.as_bytes());
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.to_client = None;
        state.senders.clear();
    }

    pub(crate) fn set_reachable(&self, reachable: bool) {
        let mut state = self.state.lock().unwrap();
        state.is_reachable = reachable;
        if !reachable {
            state.to_client = None;
            state.senders.clear();
        }
    }

    /// Waits until the server has seen something.
    pub(crate) async fn wait<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = look(self) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for {what}; the server has seen {:#?}", self.lines()),
        }
    }

    pub(crate) async fn wait_line(&self, begin: &str) -> String {
        self.wait(begin, |net| net.lines().into_iter().find(|line| bare(line).starts_with(begin))).await
    }

    pub(crate) async fn wait_said(&self, target: &str, count: usize) -> Vec<String> {
        self.wait("something said", |net| Some(net.said(target)).filter(|said| said.len() >= count)).await
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let Ok((mut stream, peer)) = listener.accept().await else { return };
            let (tx, mut rx) = mpsc::unbounded_channel::<Vec<u8>>();
            {
                let mut state = self.state.lock().unwrap();
                state.connections += 1;
                state.peers.push(peer);
                if !state.is_reachable {
                    continue;
                }
                state.senders.push(tx.clone());
                state.to_client = Some(tx.clone());
            }
            let to_client = Some(tx.downgrade());
            drop(tx);
            let net = self.clone();
            tokio::spawn(async move {
                let (mut session, mut waiting) = (Session { to_client, ..Session::default() }, Vec::new());
                let mut chunk = [0; 4096];
                loop {
                    tokio::select! {
                        out = rx.recv() => match out {
                            Some(out) => stream.write_all(&out).await.unwrap_or_default(),
                            None => return,
                        },
                        read = stream.read(&mut chunk) => match read {
                            Ok(count) if count > 0 => waiting.extend_from_slice(&chunk[..count]),
                            _ => return,
                        },
                    }
                    while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = waiting.drain(..=end).collect();
                        let line = String::from_utf8(line).unwrap().trim_end().to_owned();
                        for answer in net.answer(&mut session, &line) {
                            if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                                return;
                            }
                            if answer.starts_with("ERROR") {
                                return;
                            }
                        }
                    }
                }
            });
        }
    }

    fn answer(&self, session: &mut Session, line: &str) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        state.lines.push(line.to_owned());
        state.by.push(session.nick.clone());
        if let Some(sender) = session.to_client.clone().filter(|_| session.is_in) {
            state.by_nick.insert(session.nick.clone(), sender);
        }
        let manners = state.manners.clone();
        let label =
            line.strip_prefix("@label=").map(|rest| rest.split([';', ' ']).next().unwrap().to_owned());
        let rest = bare(line).to_owned();
        let words: Vec<&str> = rest.split(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or("").trim_start_matches(':').to_owned();
        let nick = session.nick.clone();
        let me = format!("{nick}!~u@host.example");
        match words[0] {
            "CAP" if manners.caps.is_empty() => vec![format!(":irc.test 421 * CAP :Unknown command")],
            "CAP" if word(1) == "LS" => vec![format!(":irc.test CAP * LS :{}", manners.caps)],
            "CAP" if word(1) == "REQ" => {
                let names = rest.split_once(" :").unwrap().1;
                let is_refused = names.contains("sasl") && manners.no_services == Some("NAK");
                let answer = if is_refused { "NAK" } else { "ACK" };
                vec![format!(":irc.test CAP * {answer} :{names}")]
            }
            "AUTHENTICATE" if manners.no_services.is_some() => {
                vec![format!(
                    ":irc.test {} {nick} :SASL authentication aborted",
                    manners.no_services.unwrap()
                )]
            }
            "CAP" => {
                session.has_ended = true;
                session.welcome(&manners)
            }
            "AUTHENTICATE" => sign_in(&manners, &word(1), &nick),
            "NICK" => {
                let answer = renamed(session, &manners, &word(1));
                for line in answer.iter().filter(|line| line.contains(" NICK :")) {
                    tell_others(&state, &nick, line.clone());
                }
                answer
            }
            "USER" => {
                session.has_user = true;
                session.has_ended |= manners.caps.is_empty();
                session.welcome(&manners)
            }
            "PING" if manners.is_mute => Vec::new(),
            "PING" => vec![format!(":irc.test PONG irc.test :{}", word(1))],
            "ISON" => {
                let online = if manners.taken.contains(&word(1)) { word(1) } else { String::new() };
                vec![format!(":irc.test 303 {nick} :{online}")]
            }
            "JOIN" if manners.bars_nick.as_ref() == Some(&nick) => {
                vec![format!(":irc.test 473 {nick} {} :Cannot join channel (+i)", word(1))]
            }
            "JOIN" => match manners.bars {
                Some(numeric) => vec![format!(":irc.test {numeric} {nick} {} :Cannot join channel", word(1))],
                None => [
                    tell_others(&state, &nick, format!(":{me} JOIN {}", word(1))),
                    format!(":irc.test 332 {nick} {} :the topic", word(1)),
                    format!(":irc.test 353 {nick} = {} :@{nick} {}", word(1), manners.people.join(" ")),
                    format!(":irc.test 366 {nick} {} :End of /NAMES list.", word(1)),
                ]
                .into(),
            },
            "PART" => vec![format!(":{me} PART {}", word(1))],
            "RELAYMSG" => relayed(&mut state, &rest, label.as_deref(), &nick),
            "BATCH" | "PRIVMSG" | "REDACT" if manners.is_mute => Vec::new(),
            "BATCH" => session.batch(&mut state, (&words, label.as_deref()), &me),
            "PRIVMSG" if line.starts_with("@batch=") => {
                session.batch.push(rest.split_once(" :").unwrap().1.to_owned());
                Vec::new()
            }
            "PRIVMSG" if manners.mute_after == Some(0) => {
                (state.manners.is_mute, state.manners.mute_after) = (true, None);
                Vec::new()
            }
            "PRIVMSG" if manners.drops.is_some_and(|(by, _)| by == nick) => dropped(&manners, label),
            "PRIVMSG" => {
                let label = label.map(|label| format!("label={label};")).unwrap_or_default();
                if let Some((numeric, why)) = manners.refuses {
                    let tags = if label.is_empty() { String::new() } else { format!("@{label} ") };
                    return vec![format!("{tags}:irc.test {numeric} {nick} {} :{why}", word(1))];
                }
                state.ids += 1;
                state.manners.mute_after = manners.mute_after.map(|count| count - 1);
                match manners.caps.contains("echo-message") {
                    true => vec![format!("@{label}msgid=own{} :{me} {rest}", state.ids)],
                    false => Vec::new(),
                }
            }
            "CHATHISTORY" if manners.forgets => Vec::new(),
            "CHATHISTORY" => history(&manners, &words),
            "REDACT" => label.map(|label| format!("@label={label} :irc.test ACK")).into_iter().collect(),
            "QUIT" => vec!["ERROR :Closing link".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// What is told of a line that is dropped.
fn dropped(manners: &Manners, label: Option<String>) -> Vec<String> {
    let told = manners.drops.unwrap().1;
    let has_label = manners.caps.contains("labeled-response");
    let told = if told.is_empty() && has_label { ":irc.test ACK" } else { told };
    let label = label.map(|label| format!("@label={label} ")).unwrap_or_default();
    (!told.is_empty()).then(|| format!("{label}{told}")).into_iter().collect()
}

/// Shows a line to everybody else.
fn tell_others(state: &State, nick: &str, line: String) -> String {
    let others = state.by_nick.iter().filter(|(other, _)| *other != nick);
    for sender in others.filter_map(|(_, sender)| sender.upgrade()) {
        // Who is gone needs no line.
        let _ = sender.send(format!("{line}\r\n").into_bytes());
    }
    line
}

/// NICK: what the network minds about a nick, or the new one.
fn renamed(session: &mut Session, manners: &Manners, nick: &str) -> Vec<String> {
    let new = manners.cut_nick(nick);
    if nick.contains(|c: char| manners.bad_nick.contains(c)) {
        return vec![format!(":irc.test 432 * {nick} :Erroneous nickname")];
    }
    if manners.refuses_long_nicks && new != nick {
        return vec![format!(":irc.test 432 * {nick} :Nickname too long")];
    }
    if manners.taken.contains(&new) {
        return vec![format!(":irc.test 433 * {nick} :Nickname is already in use")];
    }
    let old = std::mem::replace(&mut session.nick, new.clone());
    match session.is_in {
        true => vec![format!(":{old}!~u@host.example NICK :{new}")],
        false => session.welcome(manners),
    }
}

/// SASL, as far as tests look.
fn sign_in(manners: &Manners, data: &str, nick: &str) -> Vec<String> {
    match data {
        "PLAIN" | "EXTERNAL" | "SCRAM-SHA-256" => vec!["AUTHENTICATE +".to_owned()],
        // `n,,` is how SCRAM begins.
        _ if data.starts_with("biws") && !manners.no_scram.is_empty() => {
            manners.no_scram.iter().map(|line| line.replace("{nick}", nick)).collect()
        }
        _ if manners.lets_in => {
            vec![
                format!(":irc.test 900 {nick} {nick}!~u@host.example acc :in"),
                format!(":irc.test 903 {nick} :ok"),
            ]
        }
        _ => vec![format!(":irc.test 904 {nick} :SASL authentication failed")],
    }
}

/// RELAYMSG.
fn relayed(state: &mut State, rest: &str, label: Option<&str>, nick: &str) -> Vec<String> {
    if let Some(refusal) = state.manners.refuses_relaymsg {
        let label = label.map(|label| format!("@label={label} ")).unwrap_or_default();
        return vec![format!("{label}:irc.test {refusal}")];
    }
    state.ids += 1;
    let label = label.map(|label| format!("label={label};")).unwrap_or_default();
    let (head, text) = rest.split_once(" :").unwrap();
    let [_, target, by] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{rest}") };
    let id = state.ids;
    vec![format!("@{label}draft/relaymsg={nick};msgid=own{id} :{by}!r@h PRIVMSG {target} :{text}")]
}

/// CHATHISTORY AFTER.
fn history(manners: &Manners, words: &[&str]) -> Vec<String> {
    let [_, _, channel, after, most] = words else { panic!("{words:?}") };
    let (after, most) = (after.strip_prefix("timestamp=").unwrap(), most.parse().unwrap());
    let kept = manners.history.iter().map(|(at, id, nick, text)| (at_second(*at), id, nick, text));
    let told = kept.filter(|(at, ..)| at.as_str() > after).take(most);
    let mut lines = vec![format!(":irc.test BATCH +h1 chathistory {channel}")];
    lines.extend(told.map(|(at, id, nick, text)| {
        format!("@batch=h1;time={at};msgid={id} :{nick}!x@y PRIVMSG {channel} :{text}")
    }));
    lines.push(":irc.test BATCH -h1".to_owned());
    lines
}

/// A time in the minute after the clock of the tests.
pub(crate) fn at_second(second: u8) -> String {
    format!("2023-11-14T22:14:{second:02}.000Z")
}

/// A line without its tags.
fn bare(line: &str) -> &str {
    match line.strip_prefix('@') {
        Some(tagged) => tagged.split_once(' ').map_or("", |(_, rest)| rest),
        None => line,
    }
}

#[derive(Default)]
struct Session {
    nick: String,
    to_client: Option<mpsc::WeakUnboundedSender<Vec<u8>>>,
    has_user: bool,
    has_ended: bool,
    is_in: bool,
    /// What has come of a message of several lines.
    batch: Vec<String>,
}

impl Session {
    /// A message of several lines begins, or ends: then it is echoed, in an answer of several lines as some servers
    /// give it.
    fn batch(&mut self, state: &mut State, (words, label): (&[&str], Option<&str>), me: &str) -> Vec<String> {
        if words[1].starts_with('+') {
            self.batch = vec![label.unwrap_or_default().to_owned(), words[3].to_owned()];
            return Vec::new();
        }
        let batch = std::mem::take(&mut self.batch);
        let [label, target, lines @ ..] = &batch[..] else { panic!("{batch:?}") };
        if state.manners.refuses_batches {
            return vec![format!("@label={label} :irc.test FAIL BATCH MULTILINE_MAX_LINES 1 :too long")];
        }
        state.ids += 1;
        let id = state.ids;
        let mut answer = vec![
            format!("@label={label} :irc.test BATCH +a{id} labeled-response"),
            format!("@batch=a{id};msgid=own{id} :{me} BATCH +e{id} draft/multiline {target}"),
        ];
        answer.extend(lines.iter().map(|text| format!("@batch=e{id} :{me} PRIVMSG {target} :{text}")));
        answer.extend([format!("@batch=a{id} :irc.test BATCH -e{id}"), format!(":irc.test BATCH -a{id}")]);
        answer
    }

    fn welcome(&mut self, manners: &Manners) -> Vec<String> {
        if self.is_in || self.nick.is_empty() || !self.has_user || !self.has_ended {
            return Vec::new();
        }
        if let Some(farewell) = manners.farewell {
            let is_ban = farewell.to_lowercase().contains("k-line");
            let ban = is_ban.then(|| format!(":irc.test 465 {} :{farewell}", self.nick));
            return ban.into_iter().chain([format!("ERROR :{farewell}")]).collect();
        }
        self.is_in = true;
        let nick = &self.nick;
        vec![
            format!(":irc.test 001 {nick} :Welcome"),
            format!(":irc.test 005 {nick} {} :are supported by this server", manners.isupport),
            format!(":irc.test 422 {nick} :MOTD File is missing"),
        ]
    }
}

/// A running guest.
pub(crate) struct Guest {
    pub(crate) double: Double,
    pub(crate) running: Running,
    pub(crate) task: JoinHandle<Result<Stopped, AdapterError>>,
}

/// Quick enough for tests.
pub(crate) fn config(network: &Network) -> IrcClientConfig {
    let mut config = IrcClientConfig::new(NETWORK.into(), network.address.clone(), "relay");
    config.colours = false;
    let limits = &mut config.limits;
    limits.rate = Some(Rate { burst: 1000.0, per_second: 1000.0 });
    limits.first_pause = Duration::from_millis(20);
    limits.longest_pause = Duration::from_millis(50);
    limits.throttled_pause = Duration::from_millis(20);
    limits.rejoin = Duration::from_millis(20);
    limits.answer = Duration::from_secs(5);
    limits.company = Duration::from_millis(300);
    config
}

impl Guest {
    /// Begins a run with `#c` linked.
    pub(crate) fn start(double: &Double, config: IrcClientConfig) -> Self {
        double.link(&NETWORK.into(), &["#c"]);
        let (context, running) = double.context(&NETWORK.into(), FixedClock::at(1_700_000_000_000));
        let adapter = IrcClientAdapter::new(config);
        let task = tokio::spawn(async move { adapter.run(context).await });
        Self { double: double.clone(), running, task }
    }

    /// The same, and waits until it is in the channel.
    pub(crate) async fn ready(network: &Network, config: IrcClientConfig) -> Self {
        let guest = Self::start(&Double::new(), config);
        network.wait_line("MODE #c").await;
        guest
    }

    pub(crate) async fn health(&self, fits: impl Fn(&Health) -> bool) -> Health {
        let of = |state: &mut wxgate_contract::conformance::State| {
            state.health.get(&NETWORK.into()).filter(|health| fits(health)).cloned()
        };
        self.double.wait_for(PATIENCE, of).await
    }

    /// Orders something to be said in `#c` by `name`.
    pub(crate) async fn say(&self, name: &str, text: &str) -> DeliveryId {
        self.say_to("#c", name, text).await
    }

    pub(crate) async fn say_to(&self, chat: &str, name: &str, text: &str) -> DeliveryId {
        let mut delivery = self.double.delivery(&chat.into(), post(name, Body::text(text)));
        if let wxgate_contract::Job::Say(say) = &mut delivery.job {
            name.clone_into(&mut say.author_prefix);
        }
        let id = delivery.id;
        self.running.orders.send(Order::Deliver(Box::new(delivery))).await.unwrap();
        id
    }

    /// Asks something of the network.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, CommandError> {
        let (answer, mut answers) = mpsc::channel(1);
        self.running.orders.send(Order::Ask(Ask { request, answer })).await.unwrap();
        tokio::time::timeout(PATIENCE, answers.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn outcome(&self, id: DeliveryId) -> Outcome {
        let of = |state: &mut wxgate_contract::conformance::State| {
            state.outcomes.iter().find(|(of, _)| *of == id).map(|(_, outcome)| outcome.clone())
        };
        self.double.wait_for(PATIENCE, of).await
    }

    /// The posts so far, once there are as many.
    pub(crate) async fn posts(&self, count: usize) -> Vec<Post> {
        let of = |state: &mut wxgate_contract::conformance::State| {
            (state.posts.len() >= count)
                .then(|| state.posts.iter().map(|(_, _, post)| post.clone()).collect())
        };
        self.double.wait_for(PATIENCE, of).await
    }

    pub(crate) async fn stop(self) -> Result<Stopped, AdapterError> {
        self.running.stop.stop();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap()
    }
}

/// What somebody says in a group of an account.
pub(crate) fn post(name: &str, body: Body) -> Post {
    Post {
        remote_id: "1".into(),
        chat: ChatRef { network: "wechat:a".into(), chat: "g".into() },
        author: Author::Person { person: format!("p-{name}").as_str().into(), name: name.to_owned() },
        at: Timestamp(1),
        body,
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

pub(crate) fn text_of(post: &Post) -> &str {
    match &post.body {
        Body::Text { text } | Body::Action { text } => text,
        other => panic!("{other:?}"),
    }
}

//! People of a homeserver, played by a client library of others in one process that is led by lines of JSON:
//! by matrix-nio (`tests/matrix/people.py`), or by matrix-sdk (`tests/matrix-sdk`) where `WXGATE_MATRIX_PEOPLE`
//! names that program.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::homeserver::root;

/// What one thing that a person does may take, on a machine that is busy with other tests.
const ACT: Duration = Duration::from_secs(90);
/// The password of everybody.
pub const PASSWORD: &str = "open sesame";

/// Whether whoever plays people encrypts: matrix-sdk does.
pub fn encrypts() -> bool {
    std::env::var_os("WXGATE_MATRIX_PEOPLE").is_some()
}

/// Whoever plays people. Dropping it ends the process.
#[derive(Debug)]
pub struct People {
    stdin: tokio::sync::Mutex<ChildStdin>,
    told: Arc<Told>,
    _child: Child,
    _reader: JoinSet<()>,
}

/// What the process has said so far.
#[derive(Debug, Default)]
struct Told {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    seen: Vec<Seen>,
    is_over: bool,
}

impl Told {
    // A poisoned lock belongs to a test that failed; what it left behind is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &Value) {
        let mut state = self.state();
        match line["id"].as_u64() {
            Some(id) => {
                if let Some(waiting) = state.waiting.remove(&id) {
                    // Whoever asked may have given up.
                    let _ = waiting.send(line.clone());
                }
            }
            None => state.seen.push(Seen::read(line)),
        }
        drop(state);
        self.more.notify_waiters();
    }

    fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        state.waiting.clear();
        drop(state);
        self.more.notify_waiters();
    }
}

/// One event that a person's client was given.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whose client.
    pub who: String,
    /// Where.
    pub room: String,
    /// `timeline`, `state` (as it was before the timeline), `invite`, `ephemeral` or `left`.
    pub part: String,
    /// What the library took it for, `RoomMessageText` for example.
    pub class: String,
    /// The event as the homeserver gave it.
    pub event: Value,
}

impl Seen {
    fn read(line: &Value) -> Self {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Self {
            who: text("who"),
            room: text("room"),
            part: text("part"),
            class: text("class"),
            event: line["event"].clone(),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.event["event_id"].as_str().unwrap_or_default()
    }

    /// Who sent it.
    pub fn sender(&self) -> &str {
        self.event["sender"].as_str().unwrap_or_default()
    }

    /// Its type, `m.room.message` for example.
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap_or_default()
    }

    /// Its content.
    pub fn content(&self) -> &Value {
        &self.event["content"]
    }

    /// The plain text of a message.
    pub fn body(&self) -> &str {
        self.content()["body"].as_str().unwrap_or_default()
    }

    /// Whether it is something said, and not state or a receipt.
    pub fn is_said(&self) -> bool {
        self.part == "timeline" && matches!(self.kind(), "m.room.message" | "m.sticker")
    }
}

impl People {
    /// Starts the process that plays them.
    pub(crate) fn start(python: &Path, homeserver: &str, log: &Path) -> Result<Self> {
        let log = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let other = std::env::var_os("WXGATE_MATRIX_PEOPLE");
        let mut command = Command::new(other.as_deref().unwrap_or(python.as_os_str()));
        if other.is_none() {
            command.arg(root().join("tests/matrix/people.py"));
        }
        let mut child = command
            .arg(homeserver)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start whoever plays people")?;
        let stdin = child.stdin.take().context("its input is not ours")?;
        let stdout = child.stdout.take().context("its output is not ours")?;
        let told = Arc::new(Told::default());
        let mut reader = JoinSet::new();
        reader.spawn(read(stdout, told.clone()));
        Ok(Self { stdin: tokio::sync::Mutex::new(stdin), told, _child: child, _reader: reader })
    }

    /// Makes somebody and signs them in; they accept invitations by themselves.
    pub async fn register(&self, name: &str) -> Result<Person<'_>> {
        self.enter(name, "register", true).await
    }

    /// The same for somebody who looks at invitations first.
    pub async fn register_careful(&self, name: &str) -> Result<Person<'_>> {
        self.enter(name, "register", false).await
    }

    /// Signs somebody in who was made before.
    pub async fn login(&self, name: &str) -> Result<Person<'_>> {
        self.enter(name, "login", true).await
    }

    /// Makes somebody, or signs them in (`verb` is `register` or `login`), with a client that is told more:
    /// `strict` for one that has nothing to do with devices that their owners have not signed, `user` for a
    /// further client of somebody who has one.
    pub async fn enter_as(&self, name: &str, verb: &str, mut more: Value) -> Result<Person<'_>> {
        more["password"] = json!(PASSWORD);
        more["auto_join"] = json!(true);
        self.enter_with(name, verb, more).await
    }

    async fn enter(&self, name: &str, verb: &str, auto_join: bool) -> Result<Person<'_>> {
        self.enter_with(name, verb, json!({"password": PASSWORD, "auto_join": auto_join})).await
    }

    async fn enter_with(&self, name: &str, verb: &str, order: Value) -> Result<Person<'_>> {
        let entered = self.order(name, verb, order).await?;
        let text = |key: &str| entered[key].as_str().unwrap_or_default().to_owned();
        Ok(Person { people: self, name: name.to_owned(), id: text("user_id"), token: text("token") })
    }

    async fn order(&self, who: &str, verb: &str, mut order: Value) -> Result<Value> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.told.state();
            ensure!(!state.is_over, "whoever plays people has ended");
            state.asked += 1;
            let id = state.asked;
            state.waiting.insert(id, answer);
            id
        };
        for (key, value) in [("id", json!(id)), ("who", json!(who)), ("do", json!(verb))] {
            order[key] = value;
        }
        let line = format!("{order}\n");
        let mut stdin = self.stdin.lock().await;
        stdin.write_all(line.as_bytes()).await.context("tell whoever plays people")?;
        drop(stdin);
        let answer = tokio::time::timeout(ACT, answered).await;
        let answer = answer.map_err(|_| anyhow!("{who} could not {verb} within {ACT:?}"))?;
        let mut answer = answer.context("whoever plays people has ended")?;
        match answer["error"].as_str() {
            Some(error) => bail!("{who} could not {verb}: {error}"),
            None => Ok(answer["ok"].take()),
        }
    }
}

async fn read(stdout: ChildStdout, told: Arc<Told>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(line) => told.take(&line),
            Err(error) => eprintln!("not a line of JSON from whoever plays people: {error}: {line}"),
        }
    }
    told.end();
}

/// Somebody with a client that is signed in and syncs.
#[derive(Debug, Clone)]
pub struct Person<'a> {
    people: &'a People,
    name: String,
    /// The whole id, `@ann:localhost`.
    pub id: String,
    /// What requests are made with.
    pub token: String,
}

impl Person<'_> {
    /// Does one thing that the driver knows; see `tests/matrix/people.py`.
    pub async fn act(&self, verb: &str, order: Value) -> Result<Value> {
        self.people.order(&self.name, verb, order).await
    }

    async fn act_for(&self, verb: &str, order: Value, key: &str) -> Result<String> {
        let done = self.act(verb, order).await?;
        let text = done[key].as_str().with_context(|| format!("no {key} in the answer to {verb}"))?;
        Ok(text.to_owned())
    }

    /// Says a text; its event id.
    pub async fn say(&self, room: &str, text: &str) -> Result<String> {
        self.send(room, json!({"msgtype": "m.text", "body": text})).await
    }

    /// Sends a message with this content; its event id.
    pub async fn send(&self, room: &str, content: Value) -> Result<String> {
        self.act_for("send", json!({"room": room, "content": content}), "event_id").await
    }

    /// Answers to an event.
    pub async fn reply(&self, room: &str, to: &str, text: &str) -> Result<String> {
        let relates = json!({"m.in_reply_to": {"event_id": to}});
        self.send(room, json!({"msgtype": "m.text", "body": text, "m.relates_to": relates})).await
    }

    /// Puts a file into the homeserver's store; its address.
    pub async fn upload(&self, data: &[u8], mime: &str, name: &str) -> Result<String> {
        let order = json!({"data": base64(data), "mime": mime, "name": name});
        self.act_for("upload", order, "mxc").await
    }

    /// The bytes behind an address.
    pub async fn download(&self, mxc: &str) -> Result<Vec<u8>> {
        let data = self.act_for("download", json!({"mxc": mxc}), "data").await?;
        from_base64(&data).with_context(|| format!("the bytes of {mxc}"))
    }

    /// The bytes of a file of an encrypted room, decrypted as the event tells.
    pub async fn download_sealed(&self, file: &Value) -> Result<Vec<u8>> {
        let data = self.act_for("download", json!({"file": file}), "data").await?;
        from_base64(&data).context("the bytes of an encrypted file")
    }

    /// Sends a file as the client does it by itself: encrypted where the room is.
    pub async fn send_file(&self, room: &str, name: &str, mime: &str, data: &[u8]) -> Result<String> {
        let order = json!({"room": room, "name": name, "mime": mime, "data": base64(data)});
        self.act_for("send_file", order, "event_id").await
    }

    /// Takes back what was said.
    pub async fn redact(&self, room: &str, event: &str) -> Result<String> {
        self.act_for("redact", json!({"room": room, "event": event}), "event_id").await
    }

    /// A room of their own.
    pub async fn create(&self, name: &str, invite: &[&str], is_direct: bool) -> Result<String> {
        let order = json!({"name": name, "invite": invite, "direct": is_direct});
        self.act_for("create", order, "room").await
    }

    /// A request without a method of its own.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        self.act("ask", json!({"method": method, "path": path, "body": body})).await
    }

    /// All events of a room as the homeserver has them now, oldest first.
    pub async fn history(&self, room: &str) -> Result<Vec<Value>> {
        let events = self.act("history", json!({"room": room, "limit": 5_000})).await?;
        Ok(events.as_array().cloned().unwrap_or_default())
    }

    /// The content of a state event of a room, `null` when there is none.
    pub async fn state(&self, room: &str, kind: &str, key: &str) -> Result<Value> {
        let all = self.act("state", json!({"room": room})).await?;
        let mut all = all.as_array().into_iter().flatten();
        let found = all.find(|event| event["type"] == kind && event["state_key"] == key);
        Ok(found.map_or(Value::Null, |event| event["content"].clone()))
    }

    /// How many events this person's client was given so far: where a later [`Person::expect_after`] begins.
    pub fn mark(&self) -> usize {
        self.people.told.state().seen.len()
    }

    /// What this person's client was given, in order.
    pub fn seen(&self) -> Vec<Seen> {
        let state = self.people.told.state();
        state.seen.iter().filter(|seen| seen.who == self.name).cloned().collect()
    }

    /// Waits for an event that fits, from the beginning of the story on.
    pub async fn expect(&self, what: &str, limit: Duration, fits: impl FnMut(&Seen) -> bool) -> Result<Seen> {
        self.expect_after(0, what, limit, fits).await
    }

    /// Waits for an event that fits and came after `mark`.
    pub async fn expect_after(
        &self,
        mark: usize,
        what: &str,
        limit: Duration,
        mut fits: impl FnMut(&Seen) -> bool,
    ) -> Result<Seen> {
        let (end, mut from) = (Instant::now() + limit, mark);
        let told = &self.people.told;
        loop {
            // Begun before the look, so that nothing slips in between.
            let more = told.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            {
                let state = told.state();
                let mut fresh = state.seen.iter().skip(from).filter(|seen| seen.who == self.name);
                if let Some(found) = fresh.find(|seen| fits(seen)) {
                    return Ok(found.clone());
                }
                ensure!(!state.is_over, "whoever plays people has ended before {what} came");
                from = state.seen.len();
            }
            if timeout_at(end, more).await.is_err() {
                bail!("{} waited {limit:?} in vain for {what}; was given: {}", self.name, self.recent())
            }
        }
    }

    /// Waits for a text that somebody said.
    pub async fn expect_text(&self, text: &str, limit: Duration) -> Result<Seen> {
        self.expect(&format!("“{text}”"), limit, |seen| seen.is_said() && seen.body() == text).await
    }

    /// What came last, for the report of a failure.
    fn recent(&self) -> String {
        const SHOWN: usize = 12;
        let seen = self.seen();
        let from = seen.len().saturating_sub(SHOWN);
        let lines: Vec<String> = seen
            .iter()
            .skip(from)
            .map(|seen| format!("{} {} {} {}", seen.room, seen.part, seen.class, seen.event))
            .collect();
        format!("{} events, the last of them:\n{}", seen.len(), lines.join("\n"))
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding, so that stories need no further crate.
fn base64(data: &[u8]) -> String {
    let digit = |n: u32| char::from(DIGITS[(n & 63) as usize]);
    let mut out = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            out.push(if at <= chunk.len() { digit(bits >> (18 - 6 * at)) } else { '=' });
        }
    }
    out
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut have) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte).context("not base64")?;
        bits = bits << 6 | u32::try_from(digit)?;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from(bits >> have & 0xff)?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_their_text_form() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).unwrap(), bytes.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_base64(&base64(&all)).unwrap(), all);
        assert!(from_base64("a-b").is_err());
    }
}

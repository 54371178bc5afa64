//! The control API: what a test in another process may do to the world.
//!
//! `POST` with a JSON body to `/_sim/<verb>`; the answer is JSON, `{"error": …}` with status 400 when it
//! could not be done. `GET` works for verbs without a body.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::account::{AccountSpec, Admission};
use crate::fault::RuleForm;
use crate::http::{Answer, form};
use crate::message::Kind;
use crate::who::Who;
use crate::world::{Change, World};

/// Most ledger entries in one answer.
const PAGE: usize = 10_000;

pub(crate) async fn answer(world: &World, head: &hyper::http::request::Parts, body: &[u8]) -> Answer {
    let path = head.uri.path();
    let verb = path.trim_start_matches("/_sim").trim_matches('/');
    let query = form(head.uri.query().unwrap_or(""));
    let body = if body.is_empty() {
        // Parameters of a GET: numbers stay numbers.
        query
            .into_iter()
            .map(|(name, value)| {
                let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
                (name, value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    } else {
        match serde_json::from_slice::<Value>(body) {
            Ok(body) => body,
            Err(error) => return failure(&format!("body is not JSON: {error}")),
        }
    };
    if verb == "media" {
        return read::<Message>(body)
            .and_then(|message| world.media(&message.account, message.msg_id))
            .map_or_else(|error| failure(&error), |data| Answer::file("application/octet-stream", data));
    }
    let done = match verb {
        "wait" => wait(world, body).await,
        _ => obey(world, verb, body),
    };
    match done {
        Ok(value) => Answer::new(200, "application/json", value.to_string()),
        Err(error) => failure(&error),
    }
}

fn failure(error: &str) -> Answer {
    Answer::new(400, "application/json", json!({"error": error}).to_string())
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, String> {
    serde_json::from_value(body).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct NewAccounts {
    name: String,
    uin: Option<u64>,
    #[serde(default)]
    contacts: u32,
    #[serde(default)]
    groups: u32,
    #[serde(default = "eight")]
    members_per_group: u32,
    /// More than one: their names are numbered from 0.
    count: Option<u32>,
}

fn eight() -> u32 {
    8
}

#[derive(Deserialize)]
struct Account {
    account: String,
}

#[derive(Deserialize)]
struct Login {
    uuid: String,
    account: Option<String>,
}

#[derive(Deserialize)]
struct Say {
    account: String,
    chat: String,
    from: Option<String>,
    #[serde(flatten)]
    kind: Kind,
    count: Option<u32>,
}

#[derive(Deserialize)]
struct Message {
    account: String,
    #[serde(deserialize_with = "crate::ledger::from_text")]
    msg_id: u64,
}

#[derive(Deserialize)]
struct Changed {
    account: String,
    #[serde(flatten)]
    change: Change,
}

#[derive(Deserialize)]
struct Ended {
    account: String,
    code: i32,
}

#[derive(Deserialize)]
struct Selector {
    account: String,
    selector: u8,
    count: u32,
}

#[derive(Deserialize)]
struct Admit {
    account: String,
    admission: String,
    #[serde(default)]
    code: i32,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Page {
    account: String,
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Shared {
    /// Each `[account, group]`.
    seats: Vec<(String, u32)>,
}

#[derive(Deserialize)]
struct Person {
    account: String,
    who: String,
}

#[derive(Deserialize)]
struct Switch {
    #[serde(default)]
    account: String,
    on: bool,
}

#[derive(Deserialize)]
struct Hold {
    seconds: f64,
}

fn breaches(list: Vec<(crate::breach::Violation, u64)>) -> Value {
    list.into_iter()
        .map(|(breach, count)| {
            json!({
                "account": breach.account, "endpoint": breach.endpoint,
                "what": breach.what, "count": count
            })
        })
        .collect()
}

fn obey(world: &World, verb: &str, body: Value) -> Result<Value, String> {
    let ok = |done: Result<(), String>| done.map(|()| json!({"ok": true}));
    match verb {
        "accounts" => add_accounts(world, read(body)?),
        "list" => Ok(list(world)),
        "stats" => serde_json::to_value(world.stats()).map_err(|error| error.to_string()),
        "logins" => serde_json::to_value(world.logins()).map_err(|error| error.to_string()),
        "scan" | "confirm" | "cancel" | "expire" | "break" | "scan_and_confirm" => {
            ok(login(world, verb, &read(body)?))
        }
        "auto_confirm" => {
            world.set_auto_confirm(read::<Switch>(body)?.on);
            Ok(json!({"ok": true}))
        }
        "say" => say(world, read(body)?),
        "change" => {
            let changed: Changed = read(body)?;
            ok(world.change(&changed.account, &changed.change))
        }
        "share_group" => ok(world.share_group(read::<Shared>(body)?.seats)),
        "end_session" => {
            let ended: Ended = read(body)?;
            ok(world.end_session(&ended.account, ended.code))
        }
        "selector" => {
            let forced: Selector = read(body)?;
            ok(world.force_selector(&forced.account, forced.selector, forced.count))
        }
        "renew_skey" => ok(world.renew_skey(&read::<Account>(body)?.account)),
        "phone_offline" => {
            let switch: Switch = read(body)?;
            ok(world.set_phone_offline(&switch.account, switch.on))
        }
        "admission" => {
            let admit: Admit = read(body)?;
            let admission = match admit.admission.as_str() {
                "open" => Admission::Open,
                "refused" => Admission::Refused(admit.code, admit.message),
                "html_page" => Admission::HtmlPage,
                "cookies_only" => Admission::CookiesOnly,
                "elsewhere" => Admission::Elsewhere,
                other => return Err(format!("'{other}' is no admission")),
            };
            ok(world.set_admission(&admit.account, admission))
        }
        "fault" => {
            world.add_fault(read::<RuleForm>(body)?.into());
            Ok(json!({"ok": true}))
        }
        "clear_faults" => {
            world.clear_faults();
            Ok(json!({"ok": true}))
        }
        "hold" => {
            let seconds = read::<Hold>(body)?.seconds;
            let hold = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
            world.set_hold(hold);
            Ok(json!({"ok": true}))
        }
        "ledger" => {
            let page: Page = read(body)?;
            let limit = page.limit.unwrap_or(PAGE).min(PAGE);
            let entries = world.ledger(&page.account, page.from, limit)?;
            let next = entries.last().map_or(page.from, |entry| entry.n + 1);
            Ok(json!({"entries": entries, "next": next}))
        }
        "violations" => Ok(breaches(world.violations())),
        "tolerated" => Ok(breaches(world.tolerated())),
        "clear_violations" => {
            world.clear_violations();
            Ok(json!({"ok": true}))
        }
        "person" => {
            let person: Person = read(body)?;
            let who: Who = person.who.parse()?;
            let members = match who {
                Who::Group(group) => world.members(&person.account, group)?,
                _ => Vec::new(),
            };
            Ok(json!({
                "who": who, "nick": world.nick(&person.account, who)?,
                "remark": world.remark(&person.account, who)?,
                "user_name": world.user_name(&person.account, who).ok(),
                "members": members,
            }))
        }
        other => Err(format!("there is no verb '{other}'")),
    }
}

fn add_accounts(world: &World, new: NewAccounts) -> Result<Value, String> {
    let have = u32::try_from(world.stats().accounts).unwrap_or(u32::MAX);
    let mut names = Vec::new();
    for at in 0..new.count.unwrap_or(1) {
        let name = if new.count.is_some() { format!("{}{at}", new.name) } else { new.name.clone() };
        let mut spec = AccountSpec::new(&name, have.saturating_add(at), new.contacts, new.groups);
        spec.members_per_group = new.members_per_group;
        if let Some(uin) = new.uin {
            spec.uin = uin + u64::from(at);
        }
        world.add_account(&spec)?;
        names.push(json!({"name": name, "uin": spec.uin}));
    }
    Ok(names.into())
}

fn list(world: &World) -> Value {
    world
        .accounts()
        .iter()
        .map(|account| {
            let state = account.state();
            json!({
                "name": account.name, "uin": account.uin,
                "contacts": state.people.contact_count(), "groups": state.people.groups,
                "signed_in": state.session.is_some(),
                "online": state.session.as_ref().is_some_and(|session| session.inited),
                "polls": state.session.as_ref().map_or(0, |session| session.checks_open),
                "logins": state.logins,
            })
        })
        .collect()
}

fn login(world: &World, verb: &str, login: &Login) -> Result<(), String> {
    let account =
        || login.account.as_deref().ok_or_else(|| "which account? field 'account' is missing".to_owned());
    match verb {
        "scan" => world.scan(&login.uuid, account()?),
        "scan_and_confirm" => {
            world.scan(&login.uuid, account()?)?;
            world.confirm(&login.uuid)
        }
        "confirm" => world.confirm(&login.uuid),
        "cancel" => world.cancel(&login.uuid),
        "expire" => world.expire(&login.uuid),
        _ => world.break_login(&login.uuid),
    }
}

fn say(world: &World, say: Say) -> Result<Value, String> {
    let chat: Who = say.chat.parse()?;
    let from = match say.from.as_deref() {
        Some(from) => from.parse()?,
        None => chat,
    };
    let said = match say.count {
        Some(count) => world.say_many(&say.account, chat, from, &say.kind, count)?,
        None => world.say(&say.account, chat, from, say.kind)?,
    };
    serde_json::to_value(said).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Wait {
    account: String,
    /// `online`, `offline`, `polling`, or `ledger` (an entry numbered `from` or later whose text is `text`).
    state: String,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    seconds: Option<u64>,
}

/// Waits until an account is in a state, so that tests need not guess.
async fn wait(world: &World, body: Value) -> Result<Value, String> {
    let wait: Wait = read(body)?;
    let end = tokio::time::Instant::now() + Duration::from_secs(wait.seconds.unwrap_or(30).min(600));
    loop {
        let account = world.account(&wait.account)?;
        let found = {
            let state = account.state();
            let session = state.session.as_ref();
            match wait.state.as_str() {
                "online" => session.is_some_and(|session| session.inited),
                "offline" => session.is_none(),
                "polling" => session.is_some_and(|session| session.checks_open > 0),
                "ledger" => state.ledger.page(wait.from, usize::MAX).iter().any(|entry| {
                    wait.text.as_deref().is_none_or(|text| *entry.text == *text)
                        && wait.kind.as_deref().is_none_or(|kind| entry.kind == kind)
                        && entry.way == crate::ledger::Way::FromAccount
                }),
                other => return Err(format!("cannot wait for '{other}'")),
            }
        };
        if found {
            return Ok(json!({"ok": true}));
        }
        if tokio::time::Instant::now() >= end {
            return Err(format!("account '{}' did not become {} in time", wait.account, wait.state));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

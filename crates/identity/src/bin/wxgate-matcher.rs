//! `wxgate-matcher --jsonl`: drives the matcher over logins given as lines of JSON, for the evaluator.
//!
//! Reads `login`, `replies` and `messages`, writes `answers` and `settled`; the README beside the evaluator has
//! the protocol.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use wechat_proto::{Contact, SelfUser};
use wxgate_identity::{
    Book, Group, GroupMember, GroupSight, Lesson, Login, MemberSight, Person, Sight, recognise, text_code,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args != ["--jsonl"] {
        eprintln!("wxgate-matcher: usage: wxgate-matcher --jsonl");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wxgate-matcher: {error}");
            ExitCode::from(1)
        }
    }
}

fn run() -> Result<(), String> {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut matcher = Matcher::default();
    for (at, line) in input.lines().enumerate() {
        let line = line.map_err(|error| format!("reading line {}: {error}", at + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let said =
            matcher.hear(&line).map_err(|error| format!("line {} is not understood: {error}", at + 1))?;
        if let Some(said) = said {
            writeln!(output, "{said}")
                .and_then(|()| output.flush())
                .map_err(|error| format!("writing: {error}"))?;
        }
    }
    Ok(())
}

/// Which of the lines it is; the records within do not survive being read as anything else first.
#[derive(Deserialize)]
struct Headline {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct RepliesLine {
    replies: Vec<Reply>,
}

#[derive(Deserialize)]
struct MessagesLine {
    #[serde(rename = "AddMsgList")]
    messages: Vec<MessageLine>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct LoginLine {
    system_time: i64,
    user: SelfUser,
    sync_key: wechat_proto::SyncKey,
    contact_list: Vec<Contact>,
    avatars: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "UserName")]
    name: String,
    #[serde(default)]
    same_as: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct MessageLine {
    msg_type: i64,
    from_user_name: String,
    content: String,
}

#[derive(Default)]
struct Matcher {
    book: Book,
    /// Lasting ids of this login.
    ids: HashMap<String, String>,
    minted: u64,
}

impl Matcher {
    fn hear(&mut self, line: &str) -> Result<Option<Value>, serde_json::Error> {
        let headline: Headline = serde_json::from_str(line)?;
        Ok(match headline.kind.as_str() {
            "login" => Some(self.login(&serde_json::from_str(line)?)),
            "replies" => Some(self.replies(&serde_json::from_str::<RepliesLine>(line)?.replies)),
            "messages" => {
                self.messages(&serde_json::from_str::<MessagesLine>(line)?.messages);
                None
            }
            other => return Err(serde::de::Error::custom(format!("no type '{other}'"))),
        })
    }

    fn login(&mut self, line: &LoginLine) -> Value {
        let (login, built_in) = read(line);
        let verdicts = recognise(&self.book, &login);
        let minted = &mut self.minted;
        let answers = self.book.apply(&login, &verdicts, |_| mint(minted));
        self.ids.clear();
        let mut out: Vec<Value> = built_in.iter().map(|name| json!({"UserName": name, "id": name})).collect();
        for answer in answers.records {
            let id = if answer.is_open { Value::Null } else { Value::from(answer.id.as_str()) };
            out.push(json!({"UserName": answer.name, "id": id}));
            self.ids.insert(answer.name, answer.id);
        }
        json!({"type": "answers", "answers": out})
    }

    fn replies(&mut self, replies: &[Reply]) -> Value {
        for reply in replies {
            let Some(id) = self.ids.get(&reply.name).cloned() else { continue };
            let minted = &mut self.minted;
            let lesson = self.book.resolve(&id, reply.same_as.as_deref(), |_| mint(minted));
            self.take(&lesson);
        }
        let out: Vec<Value> = replies
            .iter()
            .filter_map(|reply| Some(json!({"UserName": reply.name, "id": self.ids.get(&reply.name)?})))
            .collect();
        json!({"type": "settled", "answers": out})
    }

    fn messages(&mut self, messages: &[MessageLine]) {
        for message in messages.iter().filter(|message| message.msg_type == 10002) {
            let content = wechat_proto::text::unescape(&message.content);
            let session = content
                .split_once("<session>")
                .and_then(|(_, rest)| rest.split_once("</session>"))
                .map(|cut| cut.0);
            let (Some(id), Some(session)) = (self.ids.get(&message.from_user_name).cloned(), session) else {
                continue;
            };
            let minted = &mut self.minted;
            let lesson = self.book.learn(&id, text_code(session), |_| mint(minted));
            self.take(&lesson);
        }
    }

    fn take(&mut self, lesson: &Lesson) {
        for (from, to) in &lesson.moved {
            for id in self.ids.values_mut().filter(|id| *id == from) {
                id.clone_from(to);
            }
        }
    }
}

fn mint(minted: &mut u64) -> String {
    *minted += 1;
    format!("w{minted}")
}

/// The login, and the names that are lasting as they are.
fn read(line: &LoginLine) -> (Login, Vec<String>) {
    let avatar = |name: &str| line.avatars.get(name).map_or(0, |hash| text_code(hash));
    // Counter 1000 is a time. Source: the protocol sheet, section 2.12.
    let counters =
        line.sync_key.list.iter().filter(|pair| (1..1000).contains(&pair.key)).map(|pair| pair.val);
    let mut login = Login {
        uin: line.user.uin,
        at_s: line.system_time,
        bound: counters.min().unwrap_or(0),
        ..Login::default()
    };
    let mut built_in = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for contact in &line.contact_list {
        let name = contact.user_name.as_str().to_owned();
        if name.is_empty() || !seen.insert(name.clone()) {
            continue;
        }
        if contact.user_name.survives_login() {
            built_in.push(name);
        } else if contact.is_room() {
            let members = contact.member_list.iter().map(|member| GroupMember {
                name: member.user_name.as_str().to_owned(),
                is_self: member.user_name == line.user.user_name,
                sight: MemberSight::of(member),
            });
            let sight = GroupSight::of(contact, avatar(&name));
            login.groups.push(Group { sight, members: members.collect(), name });
        } else {
            login.people.push(Person { sight: Sight::of(contact, avatar(&name)), name });
        }
    }
    (login, built_in)
}

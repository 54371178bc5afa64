//! What it costs to tell who is who after a sign-in: the matcher, given logins of a large account.

use std::collections::HashMap;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use super::options::Options;
use super::report::{Aim, Report};
use crate::dice::Dice;
use crate::program;

const SECTION: &str = "matcher";
/// A large account. Source: issue 4, section 6.
const CONTACTS: u64 = 5_000;
const GROUPS: u64 = 300;
const SECONDS: f64 = 1.0;
/// Members of a group, at most; a quarter of them are contacts.
const MEMBERS: u64 = 60;
/// Names that people choose from: every name is somebody else's too, as in life.
const NAMES: u64 = 1_500;
/// Logins after the first; the matcher learns from each.
const LOGINS: u32 = 3;
/// Of a hundred people this many are touched between two logins, so that their record's number moves.
const TOUCHED: u64 = 10;

/// Somebody as the service shows them.
struct Person {
    nick: String,
    remark: String,
    signature: String,
    sex: u64,
    city: u64,
    seq: u64,
}

struct World {
    dice: Dice,
    people: Vec<Person>,
    /// Title, number of the record, members by their place among the people.
    groups: Vec<(String, u64, Vec<usize>)>,
    newest: u64,
}

/// The matcher as a child.
struct Matcher {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Measures a first login, in which nobody is known, and those after it.
pub(super) async fn measure(_options: &Options, report: &mut Report) -> Result<()> {
    let (mut matcher, mut world) = (Matcher::start()?, World::new());
    let mut first: HashMap<usize, String> = HashMap::new();
    let (mut slowest, mut most) = (0.0_f64, 0.0_f64);
    let what = format!("{CONTACTS} contacts, {GROUPS} groups");
    for login in 0..=LOGINS {
        let names = world.names(login);
        let line = world.login(login, &names);
        let (begun, before) = (Instant::now(), matcher.cpu()?);
        let answers = matcher.ask(&line).await?;
        let (took, cpu) = (begun.elapsed().as_secs_f64(), (matcher.cpu()? - before).as_secs_f64());
        let of_name: HashMap<&str, usize> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let known = answers.iter().filter_map(|answer| {
            let at = of_name.get(answer["UserName"].as_str()?).copied()?;
            Some((at, answer["id"].as_str()?.to_owned()))
        });
        if login == 0 {
            first = known.collect();
            report.add(SECTION, format!("{what}: a first login, processor"), cpu, "s", Aim::None);
        } else {
            (slowest, most) = (slowest.max(took), most.max(cpu));
            let same = known.filter(|(at, id)| first.get(at) == Some(id)).count();
            // A matcher that asks about everybody, or knows nobody, is fast.
            ensure!(same * 10 > first.len() * 9, "only {same} of {} were known again", first.len());
        }
        world.live_on();
    }
    let later = format!("{what}: the dearest of {LOGINS} logins after it, reading included");
    // The processor's time is the same on a busy machine.
    report.add(SECTION, format!("{later}, processor"), most, "s", Aim::AtMost(SECONDS));
    report.add(SECTION, format!("{later}, as one waits"), slowest, "s", Aim::None);
    Ok(())
}

impl Matcher {
    fn start() -> Result<Self> {
        let path = program::find("wxgate-matcher")?;
        let mut child = Command::new(&path)
            .arg("--jsonl")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", path.display()))?;
        let to = child.stdin.take().context("the matcher has no input")?;
        let from = BufReader::new(child.stdout.take().context("the matcher has no output")?);
        Ok(Self { child, to, from })
    }

    fn cpu(&self) -> Result<std::time::Duration> {
        program::cpu_of(self.child.id().context("the matcher ended")?)
    }

    /// Gives a login and returns the answers: reading, matching and writing, as one waits for it.
    async fn ask(&mut self, login: &[u8]) -> Result<Vec<Value>> {
        let mut line = String::new();
        let (told, heard) = tokio::join!(self.to.write_all(login), self.from.read_line(&mut line));
        told.context("tell the matcher")?;
        ensure!(heard.context("hear the matcher")? > 0, "the matcher ended");
        let mut answer: Value = serde_json::from_str(&line).context("read the matcher's answer")?;
        match answer["answers"].take() {
            Value::Array(answers) => Ok(answers),
            _ => anyhow::bail!("the matcher said something else: {answer}"),
        }
    }
}

impl World {
    fn new() -> Self {
        let mut dice = Dice::of(5_000);
        // Contacts, and as many who are only members of groups.
        let people = (0..2 * CONTACTS).map(|at| Person {
            nick: format!("名字{}", dice.below(NAMES)),
            remark: if at < CONTACTS && dice.below(3) == 0 {
                format!("备注{}", dice.below(NAMES))
            } else {
                String::new()
            },
            signature: if dice.below(2) == 0 {
                format!("signature {}", dice.below(100_000))
            } else {
                String::new()
            },
            sex: dice.below(3),
            city: dice.below(40),
            seq: 600_000_000 + at * 3,
        });
        let people: Vec<Person> = people.collect();
        let mut dice = Dice::of(300);
        let groups = (0..GROUPS).map(|at| {
            let size = 3 + dice.below(MEMBERS - 3);
            let members = (0..size).map(|_| match dice.below(4) {
                0 => dice.below(CONTACTS) as usize,
                _ => (CONTACTS + dice.below(CONTACTS)) as usize,
            });
            let members: std::collections::BTreeSet<usize> = members.collect();
            (format!("群{}", at % (GROUPS * 4 / 5)), 620_000_000 + at * 3, members.into_iter().collect())
        });
        let groups = groups.collect();
        Self { dice: Dice::of(41), people, groups, newest: 650_000_000 }
    }

    /// The names of everybody and then of the groups in one login; they mean nothing in another.
    fn names(&self, login: u32) -> Vec<String> {
        let (people, groups) = (self.people.len(), self.groups.len());
        let name = |at: usize| {
            // A permutation of the order, so that nothing follows from it.
            let mixed = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(login * 7 + 3);
            let at_signs = if at < people { "@" } else { "@@" };
            format!("{at_signs}{mixed:016x}{login:04x}")
        };
        (0..people + groups).map(name).collect()
    }

    fn login(&self, login: u32, names: &[String]) -> Vec<u8> {
        let own = format!("@self{login}");
        let image = |seq: u64, name: &str| {
            format!("/cgi-bin/mmwebwx-bin/webwxgeticon?seq={seq}&username={name}&skey=x")
        };
        let contacts = self.people.iter().zip(names).take(CONTACTS as usize).map(|(person, name)| {
            json!({
                "UserName": name, "NickName": person.nick, "RemarkName": person.remark, "Sex": person.sex,
                "Province": format!("省{}", person.city / 4), "City": format!("市{}", person.city),
                "Signature": person.signature, "HeadImgUrl": image(person.seq, name), "ContactFlag": 3,
                "AttrStatus": 33_660_000 + person.city * 8, "SnsFlag": 17, "MemberList": [],
            })
        });
        let mut records: Vec<Value> = contacts.collect();
        let group_names = names.get(self.people.len()..).unwrap_or_default();
        records.extend(self.groups.iter().zip(group_names).map(|((title, seq, members), name)| {
            let members = members.iter().filter_map(|at| Some((self.people.get(*at)?, names.get(*at)?)));
            let members = members.map(|(person, name)| {
                json!({"UserName": name, "NickName": person.nick, "AttrStatus": 33_660_000 + person.city * 8})
            });
            let mut members: Vec<Value> = members.collect();
            members.push(json!({"UserName": own, "NickName": "me"}));
            json!({
                "UserName": name, "NickName": title, "HeadImgUrl": image(*seq, name), "ContactFlag": 3,
                "MemberCount": members.len(), "MemberList": members,
            })
        }));
        records.sort_by_cached_key(|record| record["UserName"].to_string());
        let line = json!({
            "type": "login", "session": login, "SystemTime": 1_700_000_000 + u64::from(login) * 600_000,
            "User": {"Uin": 77, "UserName": own, "NickName": "me"},
            "SyncKey": {"Count": 1, "List": [{"Key": 1, "Val": self.newest}]},
            "ContactList": records, "Avatars": {},
        });
        format!("{line}\n").into_bytes()
    }

    /// Some days pass: records are touched, and some people call themselves otherwise.
    fn live_on(&mut self) {
        for person in &mut self.people {
            if self.dice.below(100) >= TOUCHED {
                continue;
            }
            self.newest += 1 + self.dice.below(50);
            person.seq = self.newest;
            match self.dice.below(4) {
                0 => person.nick = format!("名字{}", self.dice.below(NAMES)),
                1 => person.signature = format!("signature {}", self.dice.below(100_000)),
                _ => {}
            }
        }
    }
}

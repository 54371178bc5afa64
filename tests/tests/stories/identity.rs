//! Two contacts that nobody can tell apart after a new login: nothing goes to an old chat until the owner says.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::browser::Browser;
use wxgate_tests::fleet::USER;
use wxgate_tests::gateway::{GatewayOptions, PASSWORD};
use wxgate_tests::irc::{IrcClient, Line};
use wxgate_tests::program;
use wxgate_tests::prompt::Prompt;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(60);
const ACCOUNT: &str = "account0";
/// In no group, and nothing but their permanent ids, which are never shown, tells them apart.
const TWINS: [&str; 2] = ["c6", "c9"];

/// Texts said while the owner answers.
const FLOW: u32 = 40;

/// The nicks of both before the new login, and whoever watches.
struct Twins {
    stage: Stage,
    client: IrcClient,
    nicks: [String; 2],
    /// How often the owner had to be asked so far.
    asked: usize,
}

impl Twins {
    async fn part(stage: Stage) -> Result<Self> {
        let [one, other] = TWINS;
        stage.sim.change(ACCOUNT, json!({"change": "twin", "who": other, "of": one})).await?;
        let mut client = stage.client(0, "x").await?;
        let mut nicks = [String::new(), String::new()];
        for (nick, who) in nicks.iter_mut().zip(TWINS) {
            let text = format!("before from {who}");
            stage.sim.say(ACCOUNT, who, who, &text).await?;
            *nick = client.expect_text(&text).await?.source.nick;
        }
        ensure!(nicks[0] != nicks[1], "two people share the nick {}", nicks[0]);
        let mut twins = Self { stage, client, nicks, asked: 0 };
        twins.new_login().await?;
        Ok(twins)
    }

    /// Everybody is renamed, and the records of both were touched meanwhile.
    async fn new_login(&mut self) -> Result<()> {
        self.stage.sim.end_session(ACCOUNT, 1_100).await?;
        self.stage.gateway().wait_state(ACCOUNT, "needs_human", SOON).await?;
        for who in TWINS {
            self.stage
                .sim
                .change(ACCOUNT, json!({"change": "signature", "who": who, "text": "same words"}))
                .await?;
        }
        self.stage.sign_in_again(ACCOUNT).await
    }

    /// `who` says `count` texts; the nick that they came from.
    async fn talk(&mut self, who: &str, mark: &str, count: u32) -> Result<String> {
        self.stage.sim.burst(ACCOUNT, who, who, mark, count).await?;
        let last = self.client.expect_text(&format!("{mark} {}", count - 1)).await?;
        Ok(last.source.nick)
    }

    /// The same of somebody who is asked about, which is told at once.
    async fn talk_unknown(&mut self, who: &str, mark: &str, count: u32) -> Result<String> {
        let place = self.talk(who, mark, count).await?;
        let asks = |line: &&Line| {
            line.source.nick == "wechat" && line.verb == "NOTICE" && line.last().contains("not settled who")
        };
        self.asked += 1;
        if self.client.seen().iter().filter(asks).count() < self.asked {
            self.client.expect("to be asked who it is", |line| asks(&line)).await?;
        }
        let told = self.client.seen().iter().filter(asks).count();
        ensure!(told == self.asked, "asked {told} times about {}", self.asked);
        Ok(place)
    }

    /// The texts with `mark` that came from `nick`, in order.
    fn from(&self, nick: &str, mark: &str) -> Vec<&str> {
        let lines = self.client.said().filter(|line| line.source.nick == nick);
        lines.map(Line::last).filter(|text| text.starts_with(mark)).collect()
    }

    /// What the service nick answers, up to the answer to a PING.
    async fn service(&mut self, words: &str) -> Result<String> {
        self.client.drain().await?;
        self.client.say("wechat", words).await?;
        let first = self
            .client
            .expect("an answer of the service nick", |line| {
                line.source.nick == "wechat" && line.verb == "NOTICE"
            })
            .await?;
        let rest = self.client.drain().await?;
        let more = rest.iter().filter(|line| line.source.nick == "wechat").map(Line::last);
        Ok(std::iter::once(first.last()).chain(more).collect::<Vec<_>>().join("\n"))
    }

    async fn cli(&self, args: &[&str]) -> Result<String> {
        let all: Vec<&str> = ["chat", "resolve", ACCOUNT].iter().chain(args).copied().collect();
        self.stage.gateway().cli(&all, None).await
    }

    async fn questions(&self) -> Result<Vec<Value>> {
        let questions: Value = serde_json::from_str(&self.cli(&["--json"]).await?)?;
        Ok(questions.as_array().cloned().unwrap_or_default())
    }
}

fn numbered(mark: &str, count: u32) -> Vec<String> {
    (0..count).map(|n| format!("{mark} {n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unknown_twin_says_waits_in_a_marked_place_until_the_owner_answers() -> Result<()> {
    tell("twins", LIMIT, async |scratch| {
        // As the real service: it has told no permanent names at a login since 2017.
        let world = SimOptions { accounts: 1, permanent_ids: false, ..SimOptions::default() };
        let stage = Stage::set_in(scratch, &world, &GatewayOptions::default()).await?;
        let mut twins = Twins::part(stage).await?;
        let [one, other] = TWINS;
        ensure!(twins.questions().await?.is_empty(), "something is asked about chats that were silent");
        marked(&mut twins, one).await?;
        pictured(&twins).await?;
        answered_by_command(&mut twins, one).await?;
        answered_by_the_service_nick(&mut twins, other).await?;
        undone(&mut twins, other).await?;
        twins.stage.end().await
    })
    .await
}

/// Nothing goes into an old chat, in either direction.
async fn marked(twins: &mut Twins, who: &str) -> Result<()> {
    let place = twins.talk_unknown(who, "meanwhile", 5).await?;
    ensure!(!twins.nicks.contains(&place), "it was guessed who {who} is: {place} of {:?}", twins.nicks);
    ensure!(twins.from(&place, "meanwhile") == numbered("meanwhile", 5), "{place} is out of order");
    twins.client.say(&place, "an answer to the unknown").await?;
    twins.client.expect_text("an answer to the unknown").await?;
    let heard = twins.stage.sim.heard(ACCOUNT, "an answer to the unknown").await?;
    ensure!(heard.chat == who, "it went to {}", heard.chat);
    for nick in twins.nicks.clone() {
        let text = format!("to the old {nick}");
        twins.client.say(&nick, &text).await?;
        let told = twins.client.expect("a word about it", |line| line.last().contains(&text)).await?;
        ensure!(!told.is_said() && told.last().contains("was not delivered"), "{told}");
        ensure!(told.last().contains("identity"), "no way out is named: {told}");
    }
    let ledger = twins.stage.sim.ledger(ACCOUNT).await?;
    ensure!(!ledger.iter().any(|entry| entry.text.starts_with("to the old")), "a line went to somebody");
    Ok(())
}

/// The page shows whoever is new as WeChat does; of those from before there is no picture that anybody fetched.
async fn pictured(twins: &Twins) -> Result<()> {
    let mut browser = Browser::at(&twins.stage.gateway().web);
    browser.sign_in(USER, PASSWORD).await?.good("the owner")?;
    let page = browser.open(&format!("/accounts/{ACCOUNT}")).await?.good("the account")?.text();
    let faces: Vec<&str> = page
        .split("src=\"")
        .filter_map(|rest| rest.split('"').next())
        .filter(|src| src.contains("/face?"))
        .collect();
    ensure!(faces.len() == 3, "one question about two: {faces:?}");
    let mut kinds = Vec::new();
    for face in faces {
        let picture = browser.open(face).await?.good("a picture")?;
        ensure!(!picture.body.is_empty() && picture.header("x-content-type-options") == "nosniff", "{face}");
        kinds.push(picture.header("content-type").to_owned());
    }
    ensure!(kinds == ["image/jpeg", "image/svg+xml", "image/svg+xml"], "{kinds:?}");
    Ok(())
}

/// What a terminal shows on which `lines` are typed, each at a prompt of its own, and then nothing more.
async fn typed(twins: &Twins, lines: &[&str]) -> Result<String> {
    let (program, config) = (program::find("wxgate")?, &twins.stage.gateway().config);
    let command = format!("exec '{}' -c '{}' chat resolve {ACCOUNT}", program.display(), config.display());
    let mut prompt = Prompt::open(&command)?;
    // The end of what is typed, as a terminal tells it.
    let typed =
        lines.iter().map(|line| format!("{line}\n")).chain(lines.is_empty().then(|| "\x04".to_owned()));
    for (at, line) in typed.enumerate() {
        prompt.answer("[later]:", at + 1, &line).await?;
    }
    let (ended, shown) = prompt.end().await?;
    ensure!(ended.success(), "{ended}: {shown}");
    Ok(shown)
}

async fn answered_by_command(twins: &mut Twins, who: &str) -> Result<()> {
    let shown = twins.cli(&[]).await?;
    ensure!(shown.contains("unconfirmed") && shown.contains("--answer"), "{shown}");
    let questions = twins.questions().await?;
    ensure!(questions.len() == 1, "{questions:?}");
    let id = questions[0]["id"].as_str().context("a question without id")?;
    let candidates = questions[0]["candidates"].as_array().context("no candidates")?;
    ensure!(candidates.len() == 2, "{candidates:?}");
    ensure!(shown.matches("last message just now").count() == 2, "{shown}");
    let odd = format!("{id}=p-nobody");
    let (slip, ..) =
        twins.stage.gateway().try_cli(&["chat", "resolve", ACCOUNT, "--answer", &odd], None).await?;
    ensure!(slip.code() == Some(2), "an answer that names nobody ended with {slip}");
    let same = candidates[0]["chat"].as_str().context("a candidate without chat")?;
    let later = twins.cli(&["--answer", &format!("{id}=later")]).await?;
    ensure!(later.trim() == "Noted." && twins.questions().await?.len() == 1, "{later}");
    // Whoever goes away from the question is asked again.
    let left = typed(twins, &[]).await?;
    ensure!(left.contains("[later]:") && twins.questions().await?.len() == 1, "{left}");
    // The answer comes while the chat speaks on.
    let speaking = async {
        for n in 0..FLOW {
            twins.stage.sim.say(ACCOUNT, who, who, &format!("flow {n}")).await?;
        }
        Ok(())
    };
    let answering = typed(twins, &["3", "somebody", "1"]);
    let ((), shown) = tokio::try_join!(speaking, answering)?;
    ensure!(shown.matches("Say a number from 1 to 2, new or later.").count() == 2, "{shown}");
    ensure!(shown.contains("1  \"") && shown.contains(same), "the first is another one: {shown}");
    let after = twins.talk(who, "settled", 3).await?;
    let was = twins.nicks.iter().position(|nick| *nick == after);
    let was = was.with_context(|| format!("{who} goes by {after}, not by an old nick: {:?}", twins.nicks))?;
    twins.nicks.swap(0, was);
    ensure!(twins.from(&after, "meanwhile") == numbered("meanwhile", 5), "what was said did not move on");
    let all = [numbered("meanwhile", 5), numbered("flow", FLOW), numbered("settled", 3)].concat();
    let there = twins.from(&after, "");
    let moved = there.iter().position(|text| *text == "meanwhile 0").context("nothing moved")?;
    ensure!(there[moved..] == all, "{there:?}");
    twins.client.say(&after, "an answer to the known").await?;
    let heard = twins.stage.sim.heard(ACCOUNT, "an answer to the known").await?;
    ensure!(heard.chat == who, "it went to {}", heard.chat);
    ensure!(!twins.cli(&["--why", same]).await?.trim().is_empty(), "no reason is told");
    Ok(())
}

async fn answered_by_the_service_nick(twins: &mut Twins, who: &str) -> Result<()> {
    let place = twins.talk_unknown(who, "unsettled", 4).await?;
    ensure!(!twins.nicks.contains(&place), "it was guessed who {who} is: {place} of {:?}", twins.nicks);
    let asked = twins.service("identity").await?;
    ensure!(asked.contains("1. who is"), "{asked}");
    // One profile is left: the other one is taken.
    let nick = twins.nicks[1].clone();
    ensure!(asked.contains(&nick) && !asked.contains("2)"), "{nick} is not offered alone: {asked}");
    let why = twins.service(&format!("why {place}")).await?;
    ensure!(why.contains("not settled"), "{why}");
    let odd = twins.service("same 7 1").await?;
    ensure!(odd.contains("no question 7"), "{odd}");
    let noted = twins.service("same 1 1").await?;
    ensure!(noted.contains("noted"), "{noted}");
    let after = twins.talk(who, "known", 2).await?;
    ensure!(after == nick, "{who} goes by {after}, not by {nick}");
    ensure!(twins.from(&nick, "unsettled") == numbered("unsettled", 4), "what was said did not move on");
    ensure!(twins.service("identity").await?.contains("nothing to settle"), "asked again");
    Ok(())
}

async fn undone(twins: &mut Twins, who: &str) -> Result<()> {
    let nick = twins.nicks[1].clone();
    let undone = twins.service(&format!("undo {nick}")).await?;
    ensure!(undone.contains("undone"), "{undone}");
    let after = twins.talk_unknown(who, "afterwards", 2).await?;
    ensure!(!twins.nicks.contains(&after), "the link was not taken back: {after}");
    twins.client.say(&after, "an answer after all").await?;
    let heard = twins.stage.sim.heard(ACCOUNT, "an answer after all").await?;
    ensure!(heard.chat == who, "it went to {}", heard.chat);
    // The same by command: it is asked anew.
    let asked = twins.questions().await?;
    let id = asked.first().and_then(|question| question["id"].as_str()).context("it is not asked anew")?;
    let same = asked[0]["candidates"][0]["chat"].as_str().context("no candidate")?.to_owned();
    twins.cli(&["--answer", &format!("{id}={same}")]).await?;
    ensure!(twins.questions().await?.is_empty(), "it is asked once more");
    let told = twins.cli(&["--undo", &same]).await?;
    ensure!(told.contains("Undone") && twins.questions().await?.len() == 1, "{told}");
    Ok(())
}

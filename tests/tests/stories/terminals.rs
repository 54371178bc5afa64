//! What people see and type in irssi and WeeChat, as Debian has them: the real clients, in terminals of their own.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use wxgate_tests::fleet::{self, USER, name};
use wxgate_tests::gateway::GatewayOptions;
use wxgate_tests::scratch::{Scratch, tell};
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::Stage;
use wxgate_tests::terminal::Terminal;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);
/// A command may come too early, for a window that is not there yet.
const AGAIN: Duration = Duration::from_secs(3);
const ACCOUNT: &str = "account0";
/// What the contact `c1` and the group `g0`, of which he is a member, are called. Nobody else is called so.
const CONTACT: &str = "司马相如🌊";
const GROUP: &str = "#观星小组";
/// What the group is called later.
const LATER: &str = "#看星星的人";
/// And both in letters.
const CONTACT_IN_LETTERS: &str = "simaxiangru";
const LATER_IN_LETTERS: &str = "#kanxingxingderen";
/// Verbs that neither client knows: each would be printed as it came.
const RAW: [&str; 6] = ["RENAME", "REDACT", "TAGMSG", "FAIL ", "MARKREAD", "BATCH"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Irssi,
    Weechat,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Irssi => "irssi",
            Self::Weechat => "weechat",
        }
    }

    /// Connects as docs/start/irc.md says.
    fn args(self, address: &str, login: &str) -> Result<Vec<String>> {
        let (host, port) = address.split_once(':').context("an address")?;
        Ok(match self {
            Self::Irssi => {
                ["-c", host, "-p", port, "-n", USER, "-w", login].iter().map(|&a| a.to_owned()).collect()
            }
            Self::Weechat => vec![
                "-r".to_owned(),
                format!(
                    "/server add wx {host}/{port} -notls -nossl -nicks={USER} -password={login};/connect wx"
                ),
            ],
        })
    }

    /// The window of the server itself.
    fn server(self) -> &'static str {
        match self {
            Self::Irssi => "1",
            Self::Weechat => "wx",
        }
    }
}

/// Somebody at one of the clients.
struct Seat {
    kind: Kind,
    terminal: Terminal,
}

impl Seat {
    async fn take(scratch: &Scratch, stage: &Stage, kind: Kind) -> Result<Self> {
        let token = stage.gateway().cli(&["user", "token", USER], None).await?;
        let login = format!("{USER}/{}@{}:{}", name(0), kind.program(), token.trim());
        let args = kind.args(&stage.gateway().irc, &login)?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let terminal = Terminal::open(scratch, kind.program(), &args).await?;
        // What is typed before it knows who one is may be lost.
        let is_in = |screen: &str| screen.contains(&format!("[{USER}"));
        terminal.expect_screen("that it has signed in", is_in).await?;
        Ok(Self { kind, terminal })
    }

    /// Goes to the window of a channel that is being entered. WeeChat goes there by itself, and what is being typed
    /// then stays behind: each of its windows has a line of its own.
    async fn follow(&self, window: &str) -> Result<()> {
        match self.kind {
            Kind::Irssi => self.go(window).await,
            Kind::Weechat => {
                let there = |screen: &str| self.stands_in(screen, window);
                self.terminal.expect_screen(window, there).await.map(drop)
            }
        }
    }

    /// Goes to a window by its name, as soon as there is one.
    async fn go(&self, window: &str) -> Result<()> {
        let there = |screen: &str| self.stands_in(screen, window);
        let command = match self.kind {
            Kind::Irssi => format!("/window goto {window}"),
            Kind::Weechat => format!("/buffer {window}"),
        };
        let end = tokio::time::Instant::now() + SOON;
        loop {
            self.terminal.enter(&command).await?;
            let seen = self.terminal.expect_within(AGAIN, window, there).await;
            if seen.is_ok() || tokio::time::Instant::now() > end {
                return seen.map(drop);
            }
        }
    }

    /// The line at the bottom says where one is.
    fn stands_in(&self, screen: &str, window: &str) -> bool {
        let shows = |row: &str, (before, after): (&str, &[char])| {
            row.split_once(before).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with(after))
        };
        screen.lines().any(|row| match self.kind {
            _ if window == self.kind.server() => {
                row.contains("[1:127") || (row.contains("[irc/wx]") && row.contains(":server["))
            }
            Kind::Irssi => shows(row, (&format!("/{window}"), &['(', ']'])),
            Kind::Weechat => {
                row.contains("[irc/wx]") && shows(row, (&format!(":{window}"), &['(', '{', ' ']))
            }
        })
    }

    /// Asks something about the channel in a window that is empty, and waits for a row of the answer.
    async fn asked(&self, command: &str, answers: impl Fn(&str) -> bool) -> Result<()> {
        self.terminal.enter(if self.kind == Kind::Irssi { "/clear" } else { "/buffer clear" }).await?;
        let is_empty = |screen: &str| !screen.lines().any(&answers);
        self.terminal.expect_screen(&format!("nothing of /{command} any more"), is_empty).await?;
        self.terminal.enter(&format!("/{command}")).await?;
        let row = |screen: &str| screen.lines().any(&answers);
        self.terminal.expect_screen(&format!("the answer to /{command}"), row).await.map(drop)
    }

    /// Waits until the window shows `text`, said by `nick`.
    async fn expect_said(&self, nick: &str, text: &str) -> Result<String> {
        let what = format!("“{text}” of {nick}");
        self.terminal.expect_screen(&what, |screen| rows_with(screen, text).any(|by| by.contains(nick))).await
    }

    /// Waits until what was typed or said in a query elsewhere is shown as one's own: WeeChat 3.8 shows it so in the
    /// other's window, irssi under one's own name.
    async fn expect_own_in_query(&self, text: &str) -> Result<String> {
        match self.kind {
            Kind::Irssi => self.expect_said(USER, text).await,
            Kind::Weechat => self.expect_said("→", text).await,
        }
    }

    /// Types it and waits until somebody of the chat has heard exactly it.
    async fn say(&self, stage: &Stage, chat: &str, text: &str) -> Result<()> {
        self.terminal.enter(text).await?;
        let mut said = Vec::new();
        let what = format!("{text:?} to be heard");
        let heard = until(&what, SOON, async || {
            said = stage.sim.ledger(ACCOUNT).await?;
            said.retain(|entry| entry.is_heard());
            Ok(said.iter().find(|entry| entry.text == text).cloned())
        });
        let heard = match heard.await {
            Ok(heard) => heard,
            Err(error) => bail!("{error:#}; it said {said:#?} and shows\n{}", self.terminal.shown().await),
        };
        ensure!(heard.chat == chat && heard.repeats == 0, "{heard:?}");
        Ok(())
    }
}

/// What stands in front of `text` in each row that has it; without the list of buffers that WeeChat has on the left.
fn rows_with<'a>(screen: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let chat = |row: &'a str| row.split_once('│').map_or(row, |(_, chat)| chat);
    screen.lines().map(chat).filter_map(move |row| Some(row.split_once(text)?.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_read_and_written_in_irssi() -> Result<()> {
    story("irssi", Kind::Irssi).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_read_and_written_in_weechat() -> Result<()> {
    story("weechat", Kind::Weechat).await
}

async fn story(label: &'static str, kind: Kind) -> Result<()> {
    tell(label, LIMIT, async |scratch| {
        let mut stage = set(scratch).await?;
        let seat = Seat::take(scratch, &stage, kind).await?;
        seat.follow(GROUP).await?;
        private_chat(&stage, &seat).await.context("the private chat")?;
        group(&stage, &seat).await.context("the group")?;
        long_texts(&stage, &seat).await.context("long texts")?;
        undelivered(&stage, &seat).await.context("what is not delivered")?;
        service(&seat).await.context("the service")?;
        away(&mut stage, &seat).await.context("after the end of the gateway")?;
        renamed(&stage, &seat).await.context("another name")?;
        letters(&seat).await.context("names in letters")?;
        no_raw_verbs(&seat).await?;
        // A kill may take a cookie along that came in its last moment.
        stage.gateway_mut()?.assert_up()?;
        stage.sim.assert_no_violations_but_lost_cookies().await
    })
    .await
}

/// One account, online, in which those who speak have names that are seen.
async fn set(scratch: &Scratch) -> Result<Stage> {
    // irssi asks three things about each channel before it sends what is typed: one command per 2.2 s.
    let world = SimOptions { accounts: 1, groups: 1, ..SimOptions::default() };
    let stage = Stage::set_some(scratch, &world, &GatewayOptions::default(), 0..0).await?;
    for (who, name) in [("c1", CONTACT), ("g0", GROUP.trim_start_matches('#'))] {
        stage.sim.change(ACCOUNT, json!({"change": "rename", "who": who, "name": name})).await?;
    }
    let members = stage.sim.person(ACCOUNT, "g0").await?.members;
    ensure!(members.iter().any(|who| who == "c1"), "{members:?}");
    fleet::sign_in(stage.shared(), &stage.sim, 0..1, SOON).await?;
    Ok(stage)
}

/// What a contact says opens a query; answers are typed, and said on the phone.
async fn private_chat(stage: &Stage, seat: &Seat) -> Result<()> {
    stage.sim.say(ACCOUNT, "c1", "c1", "到家了吗？ are you home? 🏠").await?;
    seat.go(CONTACT).await?;
    seat.expect_said(CONTACT, "到家了吗？ are you home? 🏠").await?;
    seat.say(stage, "c1", "快到了 almost there 👋").await?;
    seat.expect_said(USER, "快到了 almost there 👋").await?;
    stage.sim.say(ACCOUNT, "c1", "self", "到了 home now 📱").await?;
    seat.expect_own_in_query("到了 home now 📱").await?;
    seat.terminal.enter(&format!("/whois {CONTACT}")).await?;
    // Where there is a window of his, the answer stands in it; else in that of the server.
    if seat.kind == Kind::Weechat {
        seat.go(seat.kind.server()).await?;
    }
    seat.terminal.expect("@wechat").await?;
    seat.terminal.expect_screen("the end of it", |screen| screen.contains("WHOIS")).await?;
    Ok(())
}

/// What is said in a group stands in its channel, under the names of those who said it.
async fn group(stage: &Stage, seat: &Seat) -> Result<()> {
    seat.go(GROUP).await?;
    stage.sim.say(ACCOUNT, "g0", "c1", "今晚看星星吗 🌙").await?;
    seat.expect_said(CONTACT, "今晚看星星吗 🌙").await?;
    seat.say(stage, "g0", "好啊 see you at nine 🔭").await?;
    seat.expect_said(USER, "好啊 see you at nine 🔭").await?;
    stage.sim.say(ACCOUNT, "g0", "self", "我带望远镜 from my phone").await?;
    seat.expect_said(USER, "我带望远镜 from my phone").await?;
    let names = |row: &str| row.contains(CONTACT) && (seat.kind == Kind::Irssi || row.contains("Nicks "));
    let topic = |row: &str| row.contains(&format!("Topic for {GROUP}"));
    seat.asked("names", names).await?;
    seat.asked("topic", topic).await?;
    let slip = stage.sim.say(ACCOUNT, "g0", "c1", "说错了").await?;
    seat.expect_said(CONTACT, "说错了").await?;
    stage.sim.tell(ACCOUNT, "g0", "c1", json!({"kind": "recall", "msg_id": slip.to_string()})).await?;
    seat.expect_said("", "撤回了一条消息").await?;
    Ok(())
}

/// What a client cuts because it is longer than a line is one text again; and a long one that comes is all there.
async fn long_texts(stage: &Stage, seat: &Seat) -> Result<()> {
    let sentences = |of: &dyn Fn(usize) -> String| (0..70).map(of).collect::<String>();
    let han = sentences(&|n| format!("第{n}句话，"));
    let words = sentences(&|n| format!("sentence number {n}, "));
    for text in [han.as_str(), words.trim_end()] {
        ensure!(text.len() > 2 * 430, "{} bytes are no long text", text.len());
        seat.say(stage, "g0", text).await?;
    }
    let long = sentences(&|n| format!("第{n}颗星 ")) + "the-last-star";
    stage.sim.say(ACCOUNT, "g0", "c1", &long).await?;
    seat.terminal.expect("the-last-star").await?;
    if seat.kind == Kind::Irssi {
        // As docs/troubleshooting.md says to whom this is too slow; here so that the rest is told sooner.
        seat.terminal.enter("/set cmd_queue_speed 200msec").await?;
    }
    Ok(())
}

/// What was refused says so in the window where it was typed.
async fn undelivered(stage: &Stage, seat: &Seat) -> Result<()> {
    let fault = json!({"account": ACCOUNT, "endpoint": "webwxsendmsg", "fault": {"ret": 4711}, "count": 1});
    stage.sim.fault(&fault).await?;
    seat.terminal.enter("谁听见了").await?;
    seat.terminal.expect("\"谁听见了\" was not delivered, because").await?;
    seat.say(stage, "g0", "现在听见了").await
}

async fn service(seat: &Seat) -> Result<()> {
    seat.terminal.enter("/query wechat").await?;
    seat.go("wechat").await?;
    seat.terminal.enter("/msg wechat help").await?;
    seat.terminal.expect("this list").await?;
    seat.terminal.expect("how this account is doing").await?;
    seat.terminal.enter("status").await?;
    seat.terminal.expect(&format!("{ACCOUNT} is ")).await?;
    Ok(())
}

/// The gateway is killed; what was said meanwhile comes when the client is back, in order and once.
async fn away(stage: &mut Stage, seat: &Seat) -> Result<()> {
    const MISSED: u32 = 5;
    seat.go(GROUP).await?;
    stage.gateway_mut()?.kill().await?;
    stage.sim.burst(ACCOUNT, "g0", "c1", "错过的 missed", MISSED).await?;
    stage.gateway_mut()?.run().await?;
    stage.gateway().wait_state(ACCOUNT, "up", SOON).await?;
    seat.terminal.enter(if seat.kind == Kind::Irssi { "/reconnect all" } else { "/reconnect wx" }).await?;
    seat.go(GROUP).await?;
    let last = format!("missed {}", MISSED - 1);
    let screen = seat.expect_said(CONTACT, &last).await?;
    let shown: Vec<&str> =
        screen.lines().filter_map(|row| row.split_once("错过的 ")).map(|(_, text)| text).collect();
    let shown: Vec<&str> =
        shown.iter().map(|text| text.split("  ").next().unwrap_or_default().trim()).collect();
    let said: Vec<String> = (0..MISSED).map(|n| format!("missed {n}")).collect();
    ensure!(shown == said, "{shown:?}");
    seat.say(stage, "g0", "我回来了 back again").await
}

/// Both clients see a channel of another name left and entered.
async fn renamed(stage: &Stage, seat: &Seat) -> Result<()> {
    let name = LATER.trim_start_matches('#');
    stage.sim.change(ACCOUNT, json!({"change": "rename", "who": "g0", "name": name})).await?;
    seat.follow(LATER).await?;
    let topic = |screen: &str| rows_with(screen, name).any(|before| before.contains("opic"));
    seat.terminal.expect_screen("the new topic", topic).await?;
    stage.sim.say(ACCOUNT, "g0", "c1", "新名字真好").await?;
    seat.expect_said(CONTACT, "新名字真好").await?;
    seat.say(stage, "g0", "我也觉得").await
}

async fn letters(seat: &Seat) -> Result<()> {
    seat.terminal.enter("/msg wechat names pinyin").await?;
    seat.follow(LATER_IN_LETTERS).await?;
    seat.go(CONTACT_IN_LETTERS).await?;
    seat.expect_said(CONTACT, &format!("is now known as {CONTACT_IN_LETTERS}")).await.map(drop)
}

/// The window of the server shows nothing that the client did not understand.
async fn no_raw_verbs(seat: &Seat) -> Result<()> {
    seat.go(seat.kind.server()).await?;
    let screen = seat.terminal.screen().await?;
    // 005 names a verb too, for those that have it.
    for row in screen.lines().filter(|row| !row.contains("TARGMAX")) {
        ensure!(!RAW.iter().any(|verb| row.contains(verb)), "a raw line is shown: {row:?}");
    }
    ensure!(!screen.contains("nknown command"), "an unknown command is shown:\n{screen}");
    Ok(())
}

//! However a session ends, its owner hears of it once in each of their networks: what happened, and what to do. The
//! pages show the same words.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::browser::Browser;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{PASSWORD, SignIn};
use wxgate_tests::homeserver::tell;
use wxgate_tests::irc::IrcClient;
use wxgate_tests::matrix::{BOT, Ground, SOON, is_join};
use wxgate_tests::people::Person;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::confirm_pushed;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(420);
/// Trouble is told when it has lasted for a while.
const TOLD: Duration = Duration::from_secs(120);
/// Codes that are shown for one sign-in.
const CODES: usize = 5;

/// What an owner hears of one account, in this order, and as often.
struct Heard {
    account: u32,
    /// The state, and words that are told.
    endings: Vec<(&'static str, String)>,
}

/// Somebody with a client of each kind.
struct Owner<'a> {
    ground: &'a Ground,
    person: Person<'a>,
    desk: String,
    irc: IrcClient,
    web: Browser,
    /// What of the room with the bot is from before.
    mark: usize,
    heard: Vec<Heard>,
}

impl<'a> Owner<'a> {
    /// Somebody who has all of these accounts online, and hears of them everywhere.
    async fn of(ground: &'a Ground, accounts: u32) -> Result<Self> {
        let gateway = &ground.gateway;
        gateway.add_user(USER).await?;
        let person = ground.people.register(USER).await?;
        gateway.cli(&["user", "matrix", USER, &person.id], None).await?;
        let desk = person.create("wxgate", &[BOT], true).await?;
        person.expect("the bot to come", SOON, |seen| is_join(seen, &desk, BOT)).await?;
        ground.ask(&person, &desk, "list-logins").await?;
        for at in 0..accounts {
            gateway.add_account(&name(at), USER).await?;
            gateway.sign_in(&ground.sim, &name(at), &name(at)).await?;
            gateway.wait_state(&name(at), "up", SOON).await?;
        }
        let mut irc = gateway.client(USER, "", "x").await?;
        irc.drain().await?;
        let mut web = Browser::at(&gateway.web);
        web.sign_in(USER, PASSWORD).await?.good("the first page")?;
        // Whatever was on its way to the bot's room is there before its answer.
        ground.ask(&person, &desk, "ping account0").await?;
        let mark = person.mark();
        Ok(Self { ground, person, desk, irc, web, mark, heard: Vec::new() })
    }

    /// Waits until an account is in a state that is told with these words, and looks at the pages.
    async fn hears(&mut self, account: u32, state: &'static str, words: &str) -> Result<()> {
        let what = name(account);
        until(&format!("{what} to be {state}: {words}"), TOLD, async || {
            let (is, detail) = self.ground.gateway.state(&what).await?;
            ensure!(is == state && detail.contains(words), "it is {is}: {detail}");
            Ok(Some(()))
        })
        .await?;
        for path in ["/".to_owned(), format!("/accounts/{what}")] {
            let page = self.web.open(&path).await?.good(&path)?.text();
            ensure!(page.contains(words), "{path} does not say “{words}”: {page}");
        }
        let ending = (state, words.to_owned());
        match self.heard.iter_mut().find(|heard| heard.account == account) {
            Some(heard) => heard.endings.push(ending),
            None => self.heard.push(Heard { account, endings: vec![ending] }),
        }
        Ok(())
    }

    /// What the service nick said of an account since the clients came.
    fn on_irc(&self, account: u32) -> Vec<&str> {
        let about = format!("{} is", name(account));
        let notices =
            self.irc.seen().iter().filter(|line| line.verb == "NOTICE" && line.source.nick == "wechat");
        notices.map(|line| line.last()).filter(|text| text.starts_with(&about)).collect()
    }

    /// What the bot said of an account in the same time.
    fn on_matrix(&self, account: u32) -> Vec<String> {
        let about = format!("{} ", name(account));
        let said = self.person.seen().into_iter().skip(self.mark);
        let said = said.filter(|seen| seen.is_said() && seen.sender() == BOT && seen.room == self.desk);
        let said = said.map(|seen| seen.body().replace("**", ""));
        said.filter(|text| text.starts_with(&about)).collect()
    }

    /// Everything was told once, in order, and says what to do.
    async fn judge(&mut self) -> Result<()> {
        self.ground.ask(&self.person, &self.desk, "version").await?;
        self.irc.drain().await?;
        for heard in &self.heard {
            let account = name(heard.account);
            let (irc, matrix) = (self.on_irc(heard.account), self.on_matrix(heard.account));
            println!("{account}\n  irc: {irc:#?}\n  matrix: {matrix:#?}");
            ensure!(irc.len() == heard.endings.len(), "{account} on IRC: {irc:?}");
            ensure!(matrix.len() == heard.endings.len(), "{account} on Matrix: {matrix:?}");
            for (n, (state, words)) in heard.endings.iter().enumerate() {
                let told = [irc.get(n).copied(), matrix.get(n).map(String::as_str)];
                for text in told.map(Option::unwrap_or_default) {
                    ensure!(text.contains(words), "{account}: “{text}” is not “{words}”");
                    let advice = format!("login {account}");
                    let needs =
                        *state == "down" || (*state == "needs_human" && !words.contains("confirm the"));
                    ensure!(text.contains(&advice) == needs, "{account}: what to do in “{text}”?");
                }
            }
        }
        Ok(())
    }

    /// The phone that is being asked, once it is.
    async fn asked_phone(&self) -> Result<String> {
        until("a phone to be asked", SOON, async || {
            let logins = self.ground.sim.logins().await?;
            let asked = logins.iter().find(|login| login["push"] == true && login["step"] == "waiting");
            Ok(asked.and_then(|login| login["uuid"].as_str()).map(str::to_owned))
        })
        .await
    }

    async fn fault(&self, account: u32, endpoint: &str, fault: Value) -> Result<()> {
        let rule = json!({"account": name(account), "endpoint": endpoint, "fault": fault, "count": 100_000});
        self.ground.sim.fault(&rule).await
    }

    async fn end_session(&self, account: u32, code: i32) -> Result<()> {
        self.ground.sim.end_session(&name(account), code).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ending_is_told_once_on_irc_and_matrix_and_shown_on_the_pages() -> Result<()> {
    tell("endings", LIMIT, async |scratch| {
        let world = SimOptions { accounts: 7, ..SimOptions::default() };
        let ground = Ground::set_with(scratch, world, "").await?;
        let mut owner = Owner::of(&ground, 6).await?;
        // Those that last begin first.
        owner.fault(5, "synccheck", json!({"status": 502})).await?;
        owner.fault(5, "webwxsync", json!({"status": 502})).await?;
        on_the_phone(&mut owner).await.context("on the phone")?;
        elsewhere(&mut owner).await.context("elsewhere")?;
        by_the_service(&mut owner).await.context("by the service")?;
        in_vain(&mut owner).await.context("in vain")?;
        owner.judge().await?;
        drop(owner);
        ground.sim.clear_faults().await?;
        ground.end().await
    })
    .await
}

/// Signed out on the phone; and signing in again meets an account that may not.
async fn on_the_phone(owner: &mut Owner<'_>) -> Result<()> {
    owner.end_session(0, 1100).await?;
    owner.hears(0, "needs_human", "the phone signed this account out").await?;
    owner.fault(0, "webwxnewloginpage", json!({"ret": 1203})).await?;
    let mut sign_in = owner.ground.gateway.begin_sign_in(&name(0)).await?;
    loop {
        let step = sign_in.step().await?;
        match step["step"].as_str() {
            Some("confirm_on_phone") => confirm_pushed(&owner.ground.sim).await?,
            Some("failed") => break,
            _ => ensure!(step["step"] != "done", "an account that may not was let in"),
        }
    }
    let (state, why) = owner.ground.gateway.state(&name(0)).await?;
    ensure!(state == "down" && !why.is_empty(), "{state}: {why}");
    owner.hears(0, "down", &why).await
}

/// Opened on another computer: the phone is asked, and says no, or nothing.
async fn elsewhere(owner: &mut Owner<'_>) -> Result<()> {
    let taken =
        "WeChat ended the session: the account was opened on another computer, or signed out on the phone";
    owner.end_session(1, 1101).await?;
    let uuid = owner.asked_phone().await?;
    owner.hears(1, "needs_human", &format!("{taken}; confirm the sign-in on the phone")).await?;
    owner.ground.sim.order("cancel", &json!({"uuid": uuid})).await?;
    owner.hears(1, "needs_human", &format!("{taken}, and a new sign-in was declined on the phone")).await?;
    owner.end_session(2, 1102).await?;
    let uuid = owner.asked_phone().await?;
    owner.hears(2, "needs_human", "WeChat ended the session; confirm the sign-in on the phone").await?;
    owner.ground.sim.order("expire", &json!({"uuid": uuid})).await?;
    let unconfirmed = "WeChat ended the session, and the phone did not confirm a new sign-in";
    owner.hears(2, "needs_human", unconfirmed).await
}

/// Refused, told to do less, and not answered in words that can be read.
async fn by_the_service(owner: &mut Owner<'_>) -> Result<()> {
    for (account, ret) in [(3, 1203), (4, 1205)] {
        owner.fault(account, "webwxsync", json!({"ret": ret})).await?;
        owner.ground.sim.say(&name(account), "c1", "c1", "news").await?;
    }
    owner.hears(3, "down", "WeChat refused: 1203").await?;
    let too_much = "WeChat says that this account does too much; it is left alone for a while";
    owner.hears(4, "degraded", too_much).await?;
    owner.hears(5, "degraded", "WeChat's answers cannot be read; still trying").await
}

/// The next code; whoever is asked on the phone before that says no.
async fn code(owner: &Owner<'_>, sign_in: &mut SignIn) -> Result<String> {
    loop {
        let step = sign_in.step().await?;
        if let Some((_, uuid)) = step["text"].as_str().and_then(|text| text.rsplit_once("/l/")) {
            return Ok(uuid.to_owned());
        }
        ensure!(step["step"] != "failed", "it was given up: {step}");
        if step["step"] == "confirm_on_phone" {
            let uuid = owner.asked_phone().await?;
            owner.ground.sim.order("cancel", &json!({"uuid": uuid})).await?;
        }
    }
}

/// Nobody scans; and somebody scans with another account's phone.
async fn in_vain(owner: &mut Owner<'_>) -> Result<()> {
    let ground = owner.ground;
    let mut sign_in = ground.gateway.begin_sign_in(&name(2)).await?;
    for _ in 0..CODES {
        let uuid = code(owner, &mut sign_in).await?;
        ground.sim.order("expire", &json!({"uuid": uuid})).await?;
    }
    owner.hears(2, "needs_human", "nobody scanned the code in time").await?;
    // The seventh of the world is somebody else's.
    let mut sign_in = ground.gateway.begin_sign_in(&name(1)).await?;
    let uuid = code(owner, &mut sign_in).await?;
    ground.sim.scan(&uuid, &name(6)).await?;
    ground.sim.confirm(&uuid).await?;
    loop {
        let step = sign_in.step().await?;
        ensure!(step["step"] != "done", "another account was let in");
        if step["step"] == "failed" {
            break;
        }
    }
    let words = "the phone belongs to another WeChat account than the one signed in here before";
    owner.hears(1, "down", words).await
}

//! How the bot's account (`matrix.bot`) gets in: with a password, with the token of a device, with its recovery key
//! after everything else was lost; and what is said when it does not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::gateway::{Gateway, GatewayOptions};
use wxgate_tests::homeserver::{DOMAIN, Homeserver, tell};
use wxgate_tests::http::{self, Place};

use wxgate_tests::irc::{ALL_CAPS, IrcClient, Line, Login};
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::scratch::Scratch;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::wait::until;

use crate::bot::{ACCOUNT, PASSWORD, SOON, register, sign_in};

const LIMIT: Duration = Duration::from_secs(480);
const WRONG: &str = "not the bot's password";
const WHAT_TO_DO: &str = "access_token_file and restart the gateway";

/// What the story is about.
struct World {
    sim: Sim,
    homeserver: Homeserver,
    bot: String,
}

impl World {
    fn place(&self) -> Place {
        Place::Tcp(self.homeserver.address.clone())
    }

    /// A gateway with its own directory that gets in by what stands in a file.
    fn gateway(&self, scratch: &Scratch, name: &str, key: &str, file: &Path) -> Result<Gateway> {
        let more = format!(
            "[matrix.bot]\nenabled = true\nhomeserver = {:?}\nuser = {:?}\n{key} = {file:?}\n\
             permissions = {{ {DOMAIN:?} = \"user\" }}\n",
            self.homeserver.url(),
            self.bot
        );
        let data_dir = scratch.join(&format!("{name}-data"));
        let options = GatewayOptions { name: name.to_owned(), data_dir, more, ..GatewayOptions::default() };
        Gateway::prepare(scratch, &self.sim.url(), &options)
    }

    /// Somebody signs in as the bot elsewhere; the token.
    async fn elsewhere(&self) -> Result<String> {
        let order = json!({
            "type": "m.login.password", "password": PASSWORD,
            "identifier": { "type": "m.id.user", "user": self.bot },
        });
        let told = http::json(&self.place(), "POST", "/_matrix/client/v3/login", &order, SOON).await?;
        Ok(told["access_token"].as_str().context("no token")?.to_owned())
    }

    /// Ends every session of the bot.
    async fn end_sessions(&self, token: &str) -> Result<()> {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let path = "/_matrix/client/v3/logout/all";
        http::ask(&self.place(), "POST", path, &headers, "{}", SOON).await?.good(path).map(drop)
    }

    /// Both ways, by whatever device the bot has now.
    async fn both_ways(&self, ann: &Person<'_>, words: &str) -> Result<()> {
        self.sim.say(ACCOUNT, "c1", "c1", words).await?;
        let fits = |seen: &Seen| seen.is_said() && seen.body().contains(words);
        let seen = ann.expect(words, SOON, fits).await.with_context(|| words.to_owned())?;
        let answer = format!("answer to {words}");
        ann.say(&seen.room, &answer).await?;
        self.sim.heard(ACCOUNT, &answer).await.map(drop).with_context(|| words.to_owned())
    }

    /// The bot's devices, and how many of them it has signed.
    async fn devices(&self, ann: &Person<'_>) -> Result<(usize, usize)> {
        let told = ann
            .ask("POST", "/_matrix/client/v3/keys/query", json!({ "device_keys": { &self.bot: [] } }))
            .await?;
        let devices = told["device_keys"][&self.bot].as_object().context("no devices")?;
        // By itself, and by its owner's key.
        let is_signed = |keys: &&Value| {
            keys["signatures"][&self.bot].as_object().is_some_and(|signatures| signatures.len() == 2)
        };
        Ok((devices.len(), devices.values().filter(is_signed).count()))
    }
}

fn secret(scratch: &Scratch, name: &str, text: &str) -> Result<PathBuf> {
    let file = scratch.join(name);
    std::fs::write(&file, text).with_context(|| format!("write {name}"))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).context("keep it to us")?;
    Ok(file)
}

/// Whether it is the bot, telling that its session was ended.
fn is_told(seen: &Seen) -> bool {
    seen.is_said() && seen.body().contains("My session was ended")
}

/// Ann, by IRC.
async fn irc(gateway: &Gateway, client: &str) -> Result<IrcClient> {
    let told = gateway.cli(&["user", "token", "ann", "--label", client], None).await?;
    let token = told.split_whitespace().find(|word| word.starts_with("wxgate_")).context("no token")?;
    let login = Login { user: "ann", password: token, account: "", client, caps: ALL_CAPS };
    IrcClient::login(&gateway.irc, &login).await
}

/// Waits until the examination says something of the bot.
async fn examined(gateway: &Gateway, words: &str) -> Result<()> {
    until(&format!("the examination to say “{words}”"), SOON, async || {
        let (_, out, err) = gateway.try_cli(&["doctor", "--json"], None).await?;
        ensure!(out.contains(words), "{out}{err}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_gets_in_by_password_token_and_recovery_key_and_says_when_it_does_not() -> Result<()> {
    tell("bot-entrance", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut world = World { sim, homeserver, bot: format!("@bot:{DOMAIN}") };
        register(&world.homeserver).await?;
        let ann = people.enter_as("ann", "register", json!({ "encrypts": true })).await?;

        // A wrong password: said before the start and after it.
        let file = secret(scratch, "bot.password", WRONG)?;
        let mut gateway = world.gateway(scratch, "by-password", "password_file", &file)?;
        examined(&gateway, "the homeserver refuses the account (M_FORBIDDEN").await?;
        gateway.run().await?;
        examined(&gateway, "look at password_file").await?;
        gateway.stop().await?;
        secret(scratch, "bot.password", PASSWORD)?;
        examined(&gateway, "the homeserver lets @bot:localhost in").await?;
        gateway.run().await?;
        examined(&gateway, "works, in both directions").await?;
        let order = json!({ "name": "desk", "invite": [&world.bot], "direct": true, "encrypted": true });
        let desk = ann.act("create", order).await?["room"].as_str().context("no room")?.to_owned();
        let comes = |seen: &Seen| {
            seen.room == desk
                && seen.event["state_key"] == world.bot.as_str()
                && seen.content()["membership"] == "join"
        };
        ann.expect("the bot to come", SOON, comes).await?;
        sign_in(&ann, &world.sim, &desk).await?;
        world.both_ways(&ann, "by password").await?;
        ensure!(world.devices(&ann).await? == (1, 1), "{:?}", world.devices(&ann).await?);

        // Its session is ended elsewhere: it begins another one, signed as before.
        let token = world.elsewhere().await?;
        world.end_sessions(&token).await?;
        until("another session", SOON, async || {
            Ok((world.devices(&ann).await? == (1, 1) && gateway.logged().contains("another one is begun"))
                .then_some(()))
        })
        .await?;
        ann.expect("to be told of it", SOON, is_told).await?;
        world.both_ways(&ann, "after the end of a session").await?;

        // What the account's devices knew is lost, as after a restore: the recovery key is what is left.
        gateway.stop().await?;
        std::fs::remove_dir_all(gateway.data_dir().join("matrix-bot")).context("lose its store")?;
        gateway.run().await?;
        world.both_ways(&ann, "with the recovery key").await?;
        let (all, signed) = world.devices(&ann).await?;
        ensure!(all == 2 && signed == 2, "{signed} of {all} devices are signed");

        // With the token of a device that somebody made, beside the directory and the key of before.
        gateway.stop().await?;
        let token = world.elsewhere().await?;
        let file = secret(scratch, "bot.token", &token)?;
        let mut by_token = world.gateway(scratch, "by-token", "access_token_file", &file)?;
        std::fs::rename(gateway.data_dir(), by_token.data_dir()).context("hand its directory over")?;
        std::fs::remove_dir_all(by_token.data_dir().join("matrix-bot")).context("lose its store")?;
        examined(&by_token, "knows the access token as device").await?;
        by_token.run().await?;
        world.both_ways(&ann, "by token").await?;
        // Where she is as well she hears that it cannot get in any more, at once and whenever she comes.
        let mut irc = irc(&by_token, "there").await?;
        let mark = ann.mark();
        world.end_sessions(&token).await?;
        examined(&by_token, WHAT_TO_DO).await?;
        let says = |line: &Line| line.last().contains(WHAT_TO_DO);
        irc.expect("to be told what to do", says).await?;
        self::irc(&by_token, "later").await?.expect("to be told as well", says).await?;
        ensure!(!by_token.logged().contains(&token), "the token is in the log");
        // And on Matrix, when it is back.
        secret(scratch, "bot.token", &world.elsewhere().await?)?;
        by_token.stop().await?;
        by_token.run().await?;
        ann.expect_after(mark, "to be told of it", SOON, is_told).await?;
        world.both_ways(&ann, "by another token").await?;
        by_token.assert_up()?;
        world.sim.assert_no_violations_but_lost_cookies().await?;
        world.homeserver.stop().await
    })
    .await
}

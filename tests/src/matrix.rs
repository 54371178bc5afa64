//! What most Matrix stories begin with: a service, a homeserver, a gateway that mirrors, and somebody who
//! has signed in through the bot.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cut::Wire;
use crate::gateway::{Gateway, GatewayOptions};
use crate::homeserver::{DOMAIN, Homeserver};
use crate::people::{People, Person, Seen};
use crate::ports;
use crate::scratch::Scratch;
use crate::sim::{Sim, SimOptions};

/// What takes a moment, on a machine that runs other tests as well.
pub const SOON: Duration = Duration::from_secs(60);
/// The bot of the gateway.
pub const BOT: &str = "@wechatbot:localhost";

/// Everything that a story needs, running.
#[derive(Debug)]
pub struct Ground {
    /// The simulated service.
    pub sim: Sim,
    /// The homeserver.
    pub homeserver: Homeserver,
    /// The gateway.
    pub gateway: Gateway,
    /// From the gateway to the homeserver.
    pub out: Wire,
    /// From the homeserver to the gateway.
    pub back: Wire,
    /// Whoever plays people.
    pub people: People,
}

impl Ground {
    /// All of it, where local people may have accounts and the gateway may speak as them.
    pub async fn set(scratch: &Scratch) -> Result<Self> {
        Self::set_with(scratch, SimOptions { accounts: 1, ..SimOptions::default() }, "").await
    }

    /// The same with another world and further keys of `matrix.appservice`.
    pub async fn set_with(scratch: &Scratch, world: SimOptions, keys: &str) -> Result<Self> {
        let mut ground = Self::lay(scratch, world, keys, Vec::new()).await?;
        ground.gateway.run().await?;
        Ok(ground)
    }

    /// The same, where the gateway does not run yet and its environment has further variables.
    pub async fn lay(
        scratch: &Scratch,
        world: SimOptions,
        keys: &str,
        env: Vec<(String, String)>,
    ) -> Result<Self> {
        let sim = Sim::start(scratch, &world).await?;
        let mut homeserver = Homeserver::prepare(scratch)?;
        let listen = format!("127.0.0.1:{}", ports::free()?);
        let (out, back) = (Wire::to(&homeserver.address).await?, Wire::to(&listen).await?);
        let more = format!(
            "[matrix.appservice]\nenabled = true\nhomeserver = \"http://{}\"\ndomain = {DOMAIN:?}\n\
             listen = {listen:?}\npublic_url = \"http://{}\"\ndouble_puppets = true\n\
             permissions = {{ {DOMAIN:?} = \"user\" }}\n{keys}",
            out.address, back.address
        );
        let options = GatewayOptions { more, env, ..Default::default() };
        let gateway = Gateway::prepare(scratch, &sim.url(), &options)?;
        let registration = gateway.cli(&["matrix", "registration"], None).await?;
        let puppets = gateway.cli(&["matrix", "registration", "--double-puppets"], None).await?;
        homeserver.start(&[registration, puppets]).await?;
        let people = homeserver.people()?;
        Ok(Self { sim, homeserver, gateway, out, back, people })
    }

    /// Somebody new, who signs in to the simulated account `account` by talking to the bot.
    pub async fn signed_in(&self, name: &str, account: &str) -> Result<(Person<'_>, String)> {
        let person = self.people.register(name).await?;
        let desk = self.at_home(&person, account).await?;
        Ok((person, desk))
    }

    /// Signs somebody in to the simulated account `account`; gives the room in which they talk to the bot.
    pub async fn at_home(&self, person: &Person<'_>, account: &str) -> Result<String> {
        let desk = person.create("wxgate", &[BOT], true).await?;
        person.expect("the bot to come", SOON, |seen| is_join(seen, &desk, BOT)).await?;
        self.sign_in(person, &desk, "login", account).await?;
        Ok(desk)
    }

    /// Says `words` to the bot, and has the phone of `account` scan and confirm what it shows.
    pub async fn sign_in(&self, person: &Person<'_>, desk: &str, words: &str, account: &str) -> Result<()> {
        let mark = person.mark();
        person.say(desk, words).await?;
        let code = person
            .expect_after(mark, "a code", SOON, |seen| {
                seen.room == desk && seen.content()["msgtype"] == "m.image"
            })
            .await?;
        self.sim.scan(&uuid(&code)?, account).await?;
        person
            .expect_after(mark, "to be asked for the tap", SOON, |seen| seen.body().contains("confirm"))
            .await?;
        self.sim.confirm(&uuid(&code)?).await?;
        person.expect_after(mark, "to be online", SOON, |seen| seen.body().contains("is online")).await?;
        Ok(())
    }

    /// Asks the bot, and gives its answer.
    pub async fn ask(&self, person: &Person<'_>, room: &str, words: &str) -> Result<Seen> {
        let mark = person.mark();
        let asked = person.say(room, words).await?;
        person
            .expect_after(mark, &format!("an answer to “{words}”"), SOON, |seen| {
                let to = &seen.content()["m.relates_to"]["m.in_reply_to"]["event_id"];
                seen.sender() == BOT && to.as_str() == Some(&asked)
            })
            .await
    }

    /// Kills both at once, as a machine that loses its power does, and starts both again: the
    /// homeserver first, which the gateway greets.
    pub async fn lose_power(&mut self) -> Result<()> {
        self.gateway.kill().await?;
        self.homeserver.kill().await?;
        self.homeserver.run().await?;
        self.gateway.run().await
    }

    /// Kills the gateway and starts it again.
    pub async fn restart_gateway(&mut self) -> Result<()> {
        self.gateway.kill().await?;
        self.gateway.run().await
    }

    /// What every story ends with: everybody lives, and no rule of the protocol was broken.
    pub async fn end(self) -> Result<()> {
        self.sim.assert_no_violations().await?;
        self.end_after_kills().await
    }

    /// The same for stories that killed the gateway.
    pub async fn end_after_kills(mut self) -> Result<()> {
        self.gateway.assert_up()?;
        self.homeserver.assert_up()?;
        self.sim.assert_no_violations_but_lost_cookies().await?;
        ensure!(!self.gateway.logged().contains("panicked"), "something panicked");
        self.homeserver.stop().await
    }
}

/// The uuid in the words below a code.
pub fn uuid(code: &Seen) -> Result<String> {
    let (_, rest) = code.body().rsplit_once("/l/").with_context(|| format!("no code in {}", code.event))?;
    Ok(rest.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Whether it is somebody's joining of a room.
pub fn is_join(seen: &Seen, room: &str, who: &str) -> bool {
    is_membership(seen, "join", room, who)
}

/// Whether it is somebody's new membership of a room (`join`, `leave` …).
pub fn is_membership(seen: &Seen, membership: &str, room: &str, who: &str) -> bool {
    let is_it = seen.kind() == "m.room.member" && seen.content()["membership"] == membership;
    seen.room == room && is_it && seen.event["state_key"] == who
}

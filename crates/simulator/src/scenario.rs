//! People who talk by themselves: the cast of the demo and of the load test.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::message::Kind;
use crate::seed::{Dice, mix_all};
use crate::who::Who;
use crate::world::{Change, Heard, World};

mod lines;

use lines::{ANSWERS, COLLEAGUES, FAMILY, NOISE, PHONE, PRIVATE};

/// The chats of one account that the cast plays in.
#[derive(Debug, Clone)]
pub struct Cast {
    account: String,
    family: u32,
    colleagues: u32,
    noisy: u32,
    account_of_news: Option<Who>,
    friends: Vec<Who>,
    /// Messages that may be recalled, newest last.
    said: Vec<(Who, Who, u64)>,
}

impl Cast {
    /// Gives the first three groups and a few contacts their parts. Smaller accounts have fewer.
    ///
    /// # Errors
    /// When there is no such account, or it has neither contacts nor groups.
    pub fn new(world: &World, account: &str) -> Result<Self, String> {
        let found = world.account(account)?;
        let (groups, contacts) = {
            let state = found.state();
            (state.people.groups, state.people.contacts)
        };
        if groups == 0 || contacts == 0 {
            return Err(format!("account '{account}' has nobody to play with"));
        }
        for (group, topic) in [(0, "家"), (1, "项目组"), (2, "周末爬山")] {
            if group < groups {
                found.state().people.edits.nicks.insert(Who::Group(group), topic.to_owned());
            }
        }
        let state = found.state();
        let friends =
            (0..contacts).map(Who::Contact).filter(|who| !state.people.is_official(*who)).take(8).collect();
        Ok(Self {
            account: account.to_owned(),
            family: 0,
            colleagues: 1.min(groups - 1),
            noisy: 2.min(groups - 1),
            account_of_news: (0..contacts).map(Who::Contact).find(|who| state.people.is_official(*who)),
            friends,
            said: Vec::new(),
        })
    }

    /// Somebody of a group who is not the owner of the account.
    fn member(&self, world: &World, group: u32, dice: &mut Dice) -> Who {
        let members = world.members(&self.account, group).unwrap_or_default();
        let others: Vec<Who> = members.into_iter().filter(|who| *who != Who::Own).collect();
        if others.is_empty() { Who::Group(group) } else { *dice.pick(&others) }
    }

    /// Says the next thing. The mix: mostly the noisy group, then the others, now and then a picture, a
    /// voice, a recall, a line from the owner's phone.
    ///
    /// # Errors
    /// When the account is gone.
    fn next(&mut self, world: &World, dice: &mut Dice) -> Result<(), String> {
        let roll = dice.below(100);
        let (chat, from, kind) = match roll {
            0..40 => {
                let group = self.noisy;
                let from = self.member(world, group, dice);
                (Who::Group(group), from, Kind::text(dice.line(&NOISE)))
            }
            40..58 => {
                let from = self.member(world, self.family, dice);
                (Who::Group(self.family), from, Kind::text(dice.line(&FAMILY)))
            }
            58..72 => {
                let from = self.member(world, self.colleagues, dice);
                let line = dice.line(&COLLEAGUES).to_owned();
                // A phone puts U+2005 after the name. Source: the protocol sheet, section 4.4.
                let line = line.replace("@me ", &format!("@{}\u{2005}", self.own_name(world)));
                (Who::Group(self.colleagues), from, Kind::text(&line))
            }
            72..84 => {
                let friend = *dice.pick(&self.friends);
                (friend, friend, Kind::text(dice.line(&PRIVATE)))
            }
            84..86 => {
                let friend = *dice.pick(&self.friends);
                (friend, Who::Own, Kind::text(dice.line(&PHONE)))
            }
            86..88 => (Who::Group(self.family), Who::Own, Kind::text(dice.line(&PHONE))),
            88..92 => {
                let from = self.member(world, self.family, dice);
                (Who::Group(self.family), from, Kind::Image)
            }
            92..94 => {
                let friend = *dice.pick(&self.friends);
                (friend, friend, Kind::Voice)
            }
            94..96 => {
                let friend = *dice.pick(&self.friends);
                (friend, friend, Kind::Sticker { store: false })
            }
            96..98 => match (self.said.pop(), self.account_of_news) {
                (Some((chat, from, msg_id)), _) => (chat, from, Kind::Recall { msg_id }),
                (None, Some(news)) => (news, news, Kind::Articles { count: 2 }),
                (None, None) => return Ok(()),
            },
            _ => match self.account_of_news {
                Some(news) => (news, news, Kind::Articles { count: 3 }),
                None => return Ok(()),
            },
        };
        let recallable = matches!(kind, Kind::Text { .. }) && from != Who::Own;
        let said = world.say(&self.account, chat, from, kind)?;
        if recallable {
            self.said.push((chat, from, said.msg_id));
            if self.said.len() > 3 {
                self.said.remove(0);
            }
        }
        Ok(())
    }

    /// What members of the colleagues' group call the owner of the account.
    fn own_name(&self, world: &World) -> String {
        world
            .account(&self.account)
            .map(|account| {
                let people = &account.state().people;
                let display = people.display_name(self.colleagues, Who::Own);
                if display.is_empty() { people.nick(Who::Own) } else { display }
            })
            .unwrap_or_default()
    }
}

/// Somebody answers what the owner of an account wrote.
fn answer(world: &World, heard: &Heard, dice: &mut Dice) -> Result<(), String> {
    let entry = &heard.entry;
    if !matches!(entry.kind, "text" | "image" | "file" | "sticker" | "video") {
        return Ok(());
    }
    let from = match entry.chat {
        Who::Group(group) => {
            let members = world.members(&heard.account, group)?;
            let others: Vec<Who> = members.into_iter().filter(|who| *who != Who::Own).collect();
            match others.is_empty() {
                true => return Ok(()),
                false => *dice.pick(&others),
            }
        }
        Who::Contact(_) => entry.chat,
        _ => return Ok(()),
    };
    let line = if entry.kind == "text" {
        let quoted: String = entry.text.chars().take(40).collect();
        dice.line(&ANSWERS).replace("{}", &quoted)
    } else {
        "收到 👍".to_owned()
    };
    world.say(&heard.account, entry.chat, from, Kind::text(&line)).map(|_| ())
}

/// Lets the casts of `accounts` talk at `rate_per_s` messages per second in all, and answer what their
/// owners write, until the future is dropped.
///
/// # Errors
/// When an account is unknown or has nobody to play with.
pub async fn demo(world: World, accounts: Vec<String>, rate_per_s: f64) -> Result<(), String> {
    let mut casts =
        accounts.iter().map(|account| Cast::new(&world, account)).collect::<Result<Vec<_>, _>>()?;
    if casts.is_empty() || !rate_per_s.is_finite() || rate_per_s < 0.0 {
        return Err("a demo needs accounts and a rate that is not negative".to_owned());
    }
    let mut dice = Dice::new(mix_all(&[world.0.config.seed, 0xde]));
    let mut heard = world.listen();
    // Fast rates are played in steps of 5 ms at least, several messages each.
    let step = Duration::from_secs_f64((1.0 / rate_per_s.max(0.001)).max(0.005));
    let mut ticks = tokio::time::interval(step);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let mut said = 0.0;
    let mut at = 0;
    loop {
        tokio::select! {
            message = heard.recv() => {
                if let Some(message) = message
                    && accounts.contains(&message.account)
                {
                    // People take a moment to answer, but the demo should feel alive.
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    answer(&world, &message, &mut dice)?;
                }
            }
            _ = ticks.tick(), if rate_per_s > 0.0 => {
                let due = start.elapsed().as_secs_f64() * rate_per_s;
                // After a pause the cast does not make up for more than a second of silence.
                said = f64::max(said, due - rate_per_s.max(1.0));
                while said < due {
                    said += 1.0;
                    at = (at + 1) % casts.len();
                    if let Some(cast) = casts.get_mut(at) {
                        cast.next(&world, &mut dice)?;
                    }
                }
            }
        }
    }
}

/// Things that happen to an account besides talk: a rename, somebody coming, somebody leaving.
///
/// # Errors
/// When there is no such account or group.
pub fn stir(world: &World, account: &str, group: u32) -> Result<(), String> {
    world.change(
        account,
        &Change::Rename { who: Who::Group(group).to_string(), name: "周末去哪儿".to_owned() },
    )?;
    let newcomer = Who::Stranger(group, 9_001);
    world.change(account, &Change::AddMember { group, who: newcomer.to_string() })?;
    world
        .say(
            account,
            Who::Group(group),
            newcomer,
            Kind::system(&format!("\"{}\"通过扫描二维码加入群聊", world.nick(account, newcomer)?)),
        )
        .map(|_| ())
}

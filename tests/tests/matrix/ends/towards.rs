//! Towards rooms: from the first words of a chat that has no room yet to everybody in it who should be.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::cut::Hold;
use wxgate_tests::fault::Act;
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{BOT, Ground};
use wxgate_tests::people::Person;
use wxgate_tests::sim::SimOptions;
use wxgate_tests::sqlite;
use wxgate_tests::wait::until;

use super::{ARRIVE, Case, Ends, HOLDS, Point, extent, sync, texts};

/// Ends of an everyday run.
const EVERYDAY: usize = 10;
/// Contacts and groups: each round takes one that said nothing yet.
const CHATS: u32 = 260;
const GROUPS: u32 = 40;
const MEMBERS: u32 = 4;
/// Rooms that say which chat they mirror.
const ROOMS: &str = "SELECT COUNT(*) FROM events JOIN event_json USING (event_id) \
                     WHERE type = 'm.room.create' AND json LIKE '%wxgate.chat%'";
const SPACES: &str = "SELECT COUNT(*) FROM events JOIN event_json USING (event_id) \
                      WHERE type = 'm.room.create' AND json LIKE '%\"m.space\"%'";

/// What is said before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// Two texts of a contact.
    Private,
    /// Two texts of the owner, from the phone.
    Phone,
    /// Two texts of a group's member.
    Group,
    /// A picture between two texts.
    Picture,
    /// A text is taken back that stands in a room.
    Recall,
}

/// What each story asks of the homeserver, and how many of the kind may pass first.
const REQUESTS: [(Story, &str, u32); 19] = [
    (Story::Private, "POST /register", 0),
    (Story::Private, "PUT /devices/", 0),
    (Story::Private, "PUT /displayname", 0),
    (Story::Private, "POST /createRoom", 0),
    (Story::Private, "POST /join/", 1),
    (Story::Private, "PUT /send/m.room.message/", 1),
    (Story::Private, "PUT /account_data/m.direct", 0),
    (Story::Private, "PUT /state/m.space.child/", 0),
    (Story::Private, "PUT /state/m.space.parent/", 0),
    (Story::Phone, "POST /createRoom", 0),
    (Story::Phone, "POST /join/", 1),
    (Story::Phone, "PUT /send/m.room.message/", 1),
    (Story::Group, "POST /createRoom", 0),
    (Story::Group, "POST /invite", 2),
    (Story::Group, "PUT /state/m.room.member/", 1),
    (Story::Group, "PUT /send/m.room.message/", 1),
    (Story::Picture, "POST /media/v3/upload", 0),
    (Story::Picture, "PUT /send/m.room.message/", 2),
    (Story::Recall, "PUT /redact/", 0),
];
/// Commits that a first message takes at least.
const COMMITS: u32 = 3;

/// All of it.
fn cases(ends: &mut Ends) -> Vec<Case<Story>> {
    let mut all = Vec::new();
    for (story, words, skips) in REQUESTS {
        for hold in HOLDS {
            let skip = u32::try_from(ends.dice.below(u64::from(skips) + 1)).unwrap_or(0);
            all.push((story, vec![Point::Asks(words, skip, hold)]));
        }
    }
    for skip in 0..=COMMITS {
        all.push((Story::Private, vec![Point::Calls(sync(Act::DieBefore, skip))]));
        all.push((Story::Private, vec![Point::Calls(sync(Act::DieAfter, skip))]));
    }
    // Ended again while it finds out how far it was.
    let create = |hold| Point::Asks("POST /createRoom", 0, hold);
    let send = |hold| Point::Asks("PUT /send/m.room.message/", 0, hold);
    for hold in [Hold::Before, Hold::Answered] {
        let found = Point::Asks("GET /directory/room/", 0, hold);
        all.push((Story::Private, vec![create(Hold::Answered), found]));
        let looked = Point::Asks("GET /joined_members", 0, hold);
        all.push((Story::Phone, vec![create(Hold::Answered), looked]));
        all.push((Story::Private, vec![send(Hold::Answered), Point::Asks("GET /messages", 0, hold)]));
        all.push((Story::Picture, vec![send(hold), send(hold)]));
        all.push((Story::Group, vec![create(Hold::Answered), create(hold)]));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wechat_says_stands_once_in_one_room_wherever_the_gateway_ends() -> Result<()> {
    let (count, limit) = extent(EVERYDAY)?;
    tell("ends-towards", limit, async |scratch| {
        let world = SimOptions {
            accounts: 1,
            contacts: CHATS,
            groups: GROUPS,
            members: MEMBERS,
            ..Default::default()
        };
        let mut ends = Ends::begin(scratch, world, "").await?;
        ends.run().await?;
        let people = ends.ground.homeserver.people()?;
        let ann = people.register("ann").await?;
        ends.ground.at_home(&ann, "account0").await?;
        let mut told = Told { ann, rooms: Vec::new(), contacts: 0, groups: 0, in_groups: BTreeSet::new() };
        let all = cases(&mut ends);
        let chosen = ends.choose(all, count)?;
        for (n, (story, points)) in chosen.into_iter().enumerate() {
            println!("end {n}: {story:?} {points:?}");
            let done = told.round(&mut ends, n, story, &points).await;
            done.with_context(|| format!("end {n}: {story:?} {points:?}"))?;
        }
        told.judge_all(&ends.ground).await?;
        println!("{count} ends: each text once, in order, in one room");
        ends.ground.end_after_kills().await
    })
    .await
}

/// A room, and what has to stand in it.
struct Room {
    id: String,
    mark: String,
    wanted: Vec<String>,
}

/// What was told so far.
struct Told<'a> {
    ann: Person<'a>,
    rooms: Vec<Room>,
    contacts: u32,
    groups: u32,
    /// Members of groups that were told of: they have a ghost already.
    in_groups: BTreeSet<String>,
}

impl Told<'_> {
    /// A chat that said nothing yet, and who speaks in it.
    async fn chat(&mut self, ground: &Ground, story: Story) -> Result<(String, String)> {
        if story == Story::Group {
            let chat = format!("g{}", self.groups % GROUPS);
            self.groups += 1;
            let info = ground.sim.person("account0", &chat).await?;
            let speaker = info.members.iter().find(|who| *who != "self").context("an empty group")?;
            let speaker = speaker.clone();
            self.in_groups.extend(info.members);
            return Ok((chat, speaker));
        }
        let chat = loop {
            self.contacts += 1;
            let chat = format!("c{}", self.contacts);
            if !self.in_groups.contains(&chat) {
                break chat;
            }
        };
        let speaker = if story == Story::Phone { "self".to_owned() } else { chat.clone() };
        Ok((chat, speaker))
    }

    async fn round(&mut self, ends: &mut Ends, n: usize, story: Story, points: &[Point]) -> Result<()> {
        let (chat, speaker) = self.chat(&ends.ground, story).await?;
        let mark = format!("t{n}-");
        let text = |k: usize| format!("{mark}{k} 消息");
        let taken_back = match story {
            Story::Recall => {
                let id = ends.ground.sim.say("account0", &chat, &speaker, &text(0)).await?;
                self.ann.expect_text(&text(0), ARRIVE).await?;
                Some(json!({"kind": "recall", "msg_id": id.to_string()}))
            }
            _ => None,
        };
        let mut picture = None;
        let cause = async |ground: &Ground| {
            let tell = async |kind: Value| ground.sim.tell("account0", &chat, &speaker, kind).await;
            let say = |k: usize| json!({"kind": "text", "text": text(k)});
            tell(taken_back.unwrap_or_else(|| say(0))).await?;
            if story == Story::Picture {
                picture = Some(tell(json!({"kind": "image"})).await?);
            }
            tell(say(1)).await.map(|_| ())
        };
        ends.end_at(points, &mark, cause).await?;
        ends.ground.sim.say("account0", &chat, &speaker, &text(2)).await?;
        let room = self.ann.expect_text(&text(2), ARRIVE).await?.room;
        let first = usize::from(story == Story::Recall);
        let wanted = (first..3).map(text).collect();
        self.rooms.push(Room { id: room.clone(), mark, wanted });
        let told = self.rooms.last().context("no room")?;
        self.judge(told).await?;
        let events = self.ann.history(&room).await?;
        match story {
            Story::Picture => self.judge_picture(&ends.ground, &events, picture).await?,
            Story::Recall => {
                let redactions = events.iter().filter(|event| event["type"] == "m.room.redaction").count();
                ensure!(redactions == 1, "{redactions} redactions");
            }
            _ => {}
        }
        self.judge_members(ends, &chat, &room, story).await
    }

    async fn judge(&self, room: &Room) -> Result<()> {
        let have = texts(&self.ann, &room.id, &room.mark).await?;
        ensure!(have == room.wanted, "said {:?}, shown {have:?}", room.wanted);
        Ok(())
    }

    async fn judge_picture(&self, ground: &Ground, events: &[Value], picture: Option<u64>) -> Result<()> {
        let said: Vec<&Value> =
            events.iter().filter(|event| event["content"]["msgtype"].is_string()).collect();
        let kinds: Vec<&str> = said.iter().filter_map(|event| event["content"]["msgtype"].as_str()).collect();
        ensure!(kinds == ["m.text", "m.image", "m.text", "m.text"], "{kinds:?}");
        let url = said[1]["content"]["url"].as_str().context("no url")?;
        let wanted = ground.sim.media("account0", picture.context("no picture")?).await?;
        ensure!(self.ann.download(url).await? == wanted, "other bytes");
        Ok(())
    }

    /// One room for each chat, one space, and in the room whoever is in the chat.
    async fn judge_members(&self, ends: &Ends, chat: &str, room: &str, story: Story) -> Result<()> {
        let database = ends.ground.homeserver.database();
        let rooms = sqlite::ask(&database, ROOMS).await?;
        ensure!(usize::try_from(rooms)? == self.rooms.len(), "{rooms} rooms for {} chats", self.rooms.len());
        let spaces = sqlite::ask(&database, SPACES).await?;
        ensure!(spaces <= 1, "{spaces} spaces of one account");
        let ghosts = match story {
            Story::Group => {
                let members = ends.ground.sim.person("account0", chat).await?.members;
                members.iter().filter(|who| *who != "self").count()
            }
            _ => 1,
        };
        let path = format!("/_matrix/client/v3/rooms/{room}/joined_members");
        until("everybody to be in the room", ARRIVE, async || {
            let members = self.ann.ask("GET", &path, json!(null)).await?;
            let joined = members["joined"].as_object().context("nobody")?;
            let is_ghost = |user: &&String| user.starts_with("@wechat_");
            let there = joined.contains_key(BOT) && joined.contains_key(&self.ann.id);
            let all = joined.keys().filter(is_ghost).count() == ghosts && joined.len() == ghosts + 2;
            ensure!(there && all, "{members}");
            Ok(Some(()))
        })
        .await
    }

    /// Nothing came later that had come before.
    async fn judge_all(&self, ground: &Ground) -> Result<()> {
        for room in &self.rooms {
            self.judge(room).await.with_context(|| room.mark.clone())?;
        }
        let spaces = sqlite::ask(&ground.homeserver.database(), SPACES).await?;
        ensure!(spaces == 1, "{spaces} spaces of one account");
        Ok(())
    }
}

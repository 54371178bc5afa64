//! Says a message in a shared room, unless another lane does.

use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::{Author, ChatRef, Health, NetworkId, PersonRef, RemoteId, Say};

use super::{Sharing, Told, Voice};
use crate::media::Showing;
use crate::memory::Room;
use crate::shared::Shared;
use crate::speak::{Speaker, derived_txn_id};
use crate::trouble::Trouble;

/// How long a lane waits for one that may know better, or that said that it says something. Chosen: what one
/// account hears, another that is well hears within seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same while somebody's own words are on their way through their account. Chosen: pacing towards WeChat
/// may hold them for minutes.
const LONG_PATIENCE: Duration = Duration::from_secs(600);
/// How far the clocks of WeChat and this machine are taken to differ, in milliseconds. Chosen.
const CLOCKS_MS: i64 = 10_000;

/// What a lane has to do about a message.
enum Turn {
    /// Say it.
    Say { voice: Voice, author: Voice },
    /// It stands there.
    Stands(Told),
    /// Another account brings it.
    NotOurs,
}

/// One message in one lane of a shared room.
struct Case<'a> {
    sharing: &'a Sharing,
    room: &'a Room,
    say: &'a Say,
    /// The message.
    key: String,
}

impl Case<'_> {
    /// True for what this account heard, and false for what was carried into the group through it.
    fn is_heard(&self) -> bool {
        self.say.native_ids.first() == Some(&self.say.post.remote_id)
    }

    /// Whose words it is in the group, as this account knows them.
    fn author(&self) -> Voice {
        let network = self.room.chat.network.clone();
        match &self.say.post.author {
            Author::Network | Author::Gateway => Voice::Network,
            Author::Person { person, .. } if self.is_heard() => {
                Voice::Person(PersonRef { network, person: person.clone() })
            }
            Author::Person { .. } | Author::Owner => Voice::Owner(network),
        }
    }

    fn waits_for(&self) -> String {
        format!("{} {}", self.key, self.room.chat.network)
    }
}

fn soon<T>() -> Result<T, Trouble> {
    Err(Trouble::Soon("another account may be showing it".to_owned()))
}

impl Shared {
    /// Says a message in a shared room once, whichever account brings it first.
    pub(crate) async fn deliver_shared(
        &self,
        sharing: &Sharing,
        room: Arc<Room>,
        say: &Say,
        attempt: u32,
    ) -> Result<Vec<RemoteId>, Trouble> {
        let chat = room.chat.clone();
        let Some(number) = say.native_ids.first() else {
            // Nobody knows under which number it arrived, if it did: it is shown as said through this account.
            let speaker = self.speaker(&say.post.author, &chat).await?;
            return self.say_post(room, &speaker, say, attempt).await;
        };
        let case = Case { sharing, room: &room, say, key: sharing.told_key(number) };
        let known = self.memory.told.get(&self.memory, &case.key).await?;
        let (voice, author) = match known.as_deref() {
            Some(told) if !told.events.is_empty() => {
                self.learn_same(sharing, &case.author(), &told.author).await?;
                return Ok(told.ids_for(&chat));
            }
            // It said so and did not do it yet; taking it over says the same event.
            Some(told)
                if told.lane != chat
                    && sharing.chats.contains(&told.lane)
                    && !self.is_over(&case, PATIENCE) =>
            {
                return soon();
            }
            Some(told) => (told.voice.clone(), told.author.clone()),
            None => match self.turn(&case).await? {
                Turn::Say { voice, author } => (voice, author),
                Turn::NotOurs => return Ok(Vec::new()),
                Turn::Stands(told) => {
                    let ids = told.ids_for(&chat);
                    self.memory.told.put(&self.memory, &case.key, told).await?;
                    return Ok(ids);
                }
            },
        };
        let showing = Showing { attempt, is_sealed: self.seals(&room.room_id).await? };
        let contents = self.render(&chat, say, showing).await?;
        let told = Told {
            lane: chat.clone(),
            voice,
            author,
            events: Vec::new(),
            holder: None,
            at: self.clock.now().ms(),
        };
        let key = case.key.clone();
        if !self.begin_telling(&key, known.as_deref(), &told).await? {
            return soon();
        }
        let speaker = self.speaker_for(&told.voice, say, &chat).await?;
        let txn = |n: usize| derived_txn_id(&["shared", &sharing.key, number.as_str(), &n.to_string()]);
        let is_repeated = attempt > 1 || known.is_some();
        let events = self.say_parts(room.clone(), &speaker, contents, txn, (say, is_repeated)).await?;
        let holder = match (&speaker, &told.voice) {
            (Speaker::Puppet(..), Voice::Owner(network)) => sharing.chat_of(network),
            _ => sharing.lead(),
        };
        let told = Told { events, holder: holder.cloned(), ..told };
        let ids = told.ids_for(&chat);
        self.end_telling(sharing, &say.native_ids, told).await?;
        Ok(ids)
    }

    /// Writes down that a lane says a message; false when somebody else wrote meanwhile.
    async fn begin_telling(&self, key: &str, known: Option<&Told>, told: &Told) -> Result<bool, Trouble> {
        let _turn = self.turns.turn(key).lock().await;
        let now = self.memory.told.get(&self.memory, key).await?;
        if now.as_deref() != known {
            return Ok(false);
        }
        if known.is_none_or(|known| known.lane != told.lane) {
            self.memory.told.put(&self.memory, key, told.clone()).await?;
        }
        Ok(true)
    }

    /// Writes down where a message stands, under all its numbers.
    pub(super) async fn end_telling(
        &self,
        sharing: &Sharing,
        numbers: &[RemoteId],
        told: Told,
    ) -> Result<(), Trouble> {
        let keys: Vec<String> = numbers.iter().map(|number| sharing.told_key(number)).collect();
        let notes = keys.iter().map(|key| self.memory.told.note(key, &told)).collect();
        self.memory.save(notes).await?;
        for key in &keys {
            self.memory.told.keep(key, told.clone());
        }
        self.count_told(keys.len());
        Ok(())
    }

    async fn turn(&self, case: &Case<'_>) -> Result<Turn, Trouble> {
        let (chat, post) = (&case.room.chat, &case.say.post);
        let author = case.author();
        // What they say on the phone is theirs as soon as they share.
        let margin = if matches!(author, Voice::Owner(_)) { 0 } else { CLOCKS_MS };
        if case.room.is_guest && post.at.ms() <= case.room.since + margin {
            // Said before the room was shared, or in that moment: it is the lead's, which heard it.
            match case.sharing.lead() {
                Some(lead) if self.may_tell(&lead.network).await? => {
                    return if self.is_over(case, PATIENCE) { Ok(Turn::NotOurs) } else { soon() };
                }
                _ => {}
            }
        }
        let person = match (&author, &post.author) {
            // Notices have words, and perhaps numbers, of their own in each account: one account brings them.
            (Voice::Network, _) => {
                return Ok(match self.brings_notices(case).await? {
                    true => Turn::Say { voice: Voice::Network, author },
                    false => Turn::NotOurs,
                });
            }
            (Voice::Owner(_), Author::Person { person, .. }) => {
                let person = PersonRef { network: chat.network.clone(), person: person.clone() };
                return Ok(Turn::Say { voice: Voice::Person(person), author });
            }
            (Voice::Owner(_), _) => return Ok(Turn::Say { voice: author.clone(), author }),
            (Voice::Person(person), _) => person.clone(),
        };
        // Whoever else heard it by now tells who that is in their eyes.
        for other in self.turns.hear(&case.key, &chat.network, &author) {
            self.learn_same(case.sharing, &author, &other).await?;
        }
        match self.same_as(case.sharing, &person).await?.as_deref() {
            Some(Voice::Owner(other)) if *other != chat.network && case.sharing.has(other) => {
                self.wait_for_owner(case, other).await
            }
            Some(Voice::Person(shown)) if case.sharing.has(&shown.network) => {
                Ok(Turn::Say { voice: Voice::Person(shown.clone()), author })
            }
            _ if !self.is_over(case, PATIENCE) && self.others_may_know(case, &person).await? => soon(),
            _ => Ok(Turn::Say { voice: Voice::Person(person), author }),
        }
    }

    /// What the owner of another account said comes out through that account, as long as it can tell.
    async fn wait_for_owner(&self, case: &Case<'_>, other: &NetworkId) -> Result<Turn, Trouble> {
        let may_tell = self.may_tell(other).await?;
        let author = Voice::Owner(other.clone());
        match self.typed_by(case.sharing, other, &case.say.post.body).await? {
            Some(_) if may_tell && !self.is_over(case, LONG_PATIENCE) => soon(),
            // They typed these words, and nobody will tell under which number they arrived.
            Some(event_id) => Ok(Turn::Stands(Told {
                lane: case.room.chat.clone(),
                voice: author.clone(),
                author,
                events: vec![event_id],
                holder: case.sharing.chat_of(other).cloned(),
                at: self.clock.now().ms(),
            })),
            None if may_tell && !self.is_over(case, PATIENCE) => soon(),
            None => Ok(Turn::Say { voice: author.clone(), author }),
        }
    }

    /// Whether another account may know better who said it.
    async fn others_may_know(&self, case: &Case<'_>, person: &PersonRef) -> Result<bool, Trouble> {
        let (sharing, own) = (case.sharing, &case.room.chat.network);
        for other in sharing.others(&case.room.chat) {
            if !case.room.is_guest {
                // Whoever leads shows its own people, except owners of other accounts, who speak for
                // themselves: is it this one?
                let owner = Voice::Owner(other.network.clone());
                let is_known = self.person_behind(sharing, own, &owner).await?.is_some();
                let person = Voice::Person(person.clone());
                if is_known || self.person_behind(sharing, &other.network, &person).await?.is_some() {
                    continue;
                }
            }
            if self.may_tell(&other.network).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first account that is well brings the group's own notices.
    async fn brings_notices(&self, case: &Case<'_>) -> Result<bool, Trouble> {
        for chat in &case.sharing.chats {
            if *chat == case.room.chat || self.may_tell(&chat.network).await? {
                return Ok(*chat == case.room.chat);
            }
        }
        Ok(true)
    }

    /// Whether an account hears its groups, or will in a moment.
    async fn may_tell(&self, account: &NetworkId) -> Result<bool, Trouble> {
        let view = self.owners.fresh(account).await?;
        Ok(view.is_some_and(|view| !matches!(view.health, Health::NeedsHuman { .. } | Health::Down { .. })))
    }

    fn is_over(&self, case: &Case<'_>, patience: Duration) -> bool {
        self.turns.waited(&case.waits_for(), self.clock.now()) >= patience
    }

    /// The speaker that a voice has.
    async fn speaker_for(&self, voice: &Voice, say: &Say, chat: &ChatRef) -> Result<Speaker, Trouble> {
        match voice {
            Voice::Network => Ok(Speaker::Bot),
            Voice::Owner(network) => self.speaker_of_owner(network).await,
            Voice::Person(person) => {
                let name = match &say.post.author {
                    Author::Person { name, .. } if person.network == chat.network => name.as_str(),
                    _ => "",
                };
                Ok(Speaker::Ghost(self.ghost(person, name).await?))
            }
        }
    }
}

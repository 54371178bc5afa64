//! After a login: the owner's answers, permanent names that messages show, and their undoing.
//!
//! What changes here is who a session name stands for, so it waits for a batch that is being
//! committed, and a batch that was translated before is translated again (`Live::who_changed`). One at a time decides
//! (`Live::deciding`), a relogin too.

mod moves;
mod questions;
mod told;

use std::collections::HashMap;
use std::sync::Arc;

use wechat_proto::{MsgId, UserName};
use wxgate_contract::{
    Batch, ChatProfile, ChatRef, CommandError, Directory, FarEnd, FarError, NetworkId, PersonKey,
    PersonProfile, RemoteId,
};
use wxgate_identity::{Book, Lesson};

use super::{UNCONFIRMED, shelf};
use crate::roster::{Lasting, Named, lasting_note, member_note, name_note, new_key, note, stranger_note};
use crate::session::live::Live;

/// Decides again after the login.
pub(crate) struct Settler {
    pub(crate) far: Arc<dyn FarEnd>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) live: Arc<Live>,
    pub(crate) network: NetworkId,
}

/// What is decided after a login.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Resolve { chat: &'a str, same_as: Option<&'a str> },
    Undo { chat: &'a str },
    Learn { chat: &'a str, permanent: u64 },
}

impl<'a> Step<'a> {
    /// Whose present record may have to go by another key: nobody else's does.
    fn may_leave(self, book: &Book) -> Vec<String> {
        let owner_of = |permanent: u64| {
            let person = book.people.iter().find(|known| known.permanent == permanent);
            let group = book.groups.iter().find(|known| known.permanent == permanent);
            person.map(|known| known.id.clone()).or_else(|| group.map(|known| known.id.clone()))
        };
        let (chat, other) = match self {
            Self::Resolve { chat, same_as } => (chat, same_as.map(str::to_owned)),
            Self::Undo { chat } => (chat, None),
            Self::Learn { chat, permanent } => (chat, owner_of(permanent)),
        };
        std::iter::once(chat.to_owned()).chain(other).collect()
    }

    /// Takes the step; `fresh` are the keys that records have as somebody new, by those they have now.
    fn take(self, book: &mut Book, fresh: &HashMap<String, String>) -> Result<Lesson, CommandError> {
        let mint = |id: &str| fresh.get(id).map_or_else(|| id.to_owned(), Clone::clone);
        match self {
            Self::Resolve { chat, same_as } => {
                let open = open_of(book, chat);
                if open.is_empty() {
                    return Err(CommandError::Refused(
                        "there is no open question about that chat".to_owned(),
                    ));
                }
                if let Some(to) = same_as.filter(|to| !open.iter().any(|id| id == to)) {
                    return Err(CommandError::Refused(format!("{to} is none of those that the chat may be")));
                }
                Ok(book.resolve(chat, same_as, mint))
            }
            Self::Undo { chat } => {
                let person =
                    book.people.iter().any(|known| known.id == chat && known.seen.login == book.login);
                let group =
                    book.groups.iter().any(|known| known.id == chat && known.seen.login == book.login);
                if !person && !group {
                    return Err(CommandError::Refused("that chat is not in the present login".to_owned()));
                }
                let lesson = book.undo(chat, mint);
                if lesson.reopened.is_empty() && mint(chat) == chat {
                    return Err(CommandError::Refused(
                        "that chat is new in this login: there is nothing to take back".to_owned(),
                    ));
                }
                Ok(lesson)
            }
            Self::Learn { chat, permanent } => Ok(book.learn(chat, permanent, mint)),
        }
    }
}

/// A lesson, and what was known before and after it.
struct Taught {
    before: Book,
    /// The keys that records have as somebody new, by those they had before.
    fresh: HashMap<String, String>,
    book: Book,
    lesson: Lesson,
}

impl Taught {
    /// The chats that stood for somebody for the time being: what was said there is theirs.
    fn moves(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lesson.ends().into_iter().filter(|(from, _)| self.stood_apart(from))
    }

    /// As whom whoever stood there was moved and taken back.
    fn taken_back(&self, id: &str) -> &[String] {
        let person = self.before.people.iter().find(|known| known.id == id).map(|known| &known.taken_back);
        let group = || self.before.groups.iter().find(|known| known.id == id).map(|known| &known.taken_back);
        person.or_else(group).map_or(&[], Vec::as_slice)
    }

    /// Nobody else was ever spoken to there: who it is was open, or it stood in for somebody until the list is read.
    fn stood_apart(&self, id: &str) -> bool {
        let people = self.before.people.iter().map(|known| (&known.id, known.seen.login, known.permanent));
        let groups = self.before.groups.iter().map(|known| (&known.id, known.seen.login, known.permanent));
        let is_fresh = self.fresh.get(id).is_some_and(|key| key == id);
        let made = |(known, login, proof): (&String, u32, u64)| known == id && login == 0 && proof == 0;
        !open_of(&self.before, id).is_empty() || (is_fresh && people.chain(groups).any(made))
    }
}

/// What a record leaves behind when it goes by another key.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// Somebody for the time being.
    stood_apart: bool,
    /// Somebody else goes by that key from now on.
    is_taken: bool,
}

pub(super) fn failed(error: FarError) -> CommandError {
    CommandError::Failed(error.to_string())
}

impl Settler {
    /// The owner says who an open chat is; `None`: somebody new. Final until withdrawn.
    pub(crate) async fn resolve(&self, chat: &str, same_as: Option<&str>) -> Result<(), CommandError> {
        self.decide(Step::Resolve { chat, same_as }).await
    }

    /// Takes the last decision about a chat back: it is asked again whether they are somebody new, or who is there now
    /// goes by a new chat.
    pub(crate) async fn undo(&self, chat: &str) -> Result<(), CommandError> {
        self.decide(Step::Undo { chat }).await
    }

    /// A message showed the permanent name of a chat: it proves who that is, or that it is not.
    pub(crate) async fn learn(&self, chat: &str, permanent: u64) -> Result<(), CommandError> {
        if !self.live.rest().is_roster_loaded {
            return self.prove(chat, permanent).await;
        }
        self.decide(Step::Learn { chat, permanent }).await
    }

    /// Takes in the permanent names that messages showed and nobody came to yet. Those of an earlier login say nothing
    /// any more, nor do those of somebody for whom the chat stands no more: it may stand for others now.
    ///
    /// # Errors
    /// The last one of those that could not be taken in.
    pub(crate) async fn take_in_shown(&self) -> Result<(), CommandError> {
        let mut done = Ok(());
        for shown in shelf::shown(&*self.far, &self.network).await.map_err(failed)? {
            let is_theirs = shown.generation == self.live.generation()
                && self.key_of(&shown.user_name).await.map_err(failed)? == Some(shown.chat.clone());
            let taken = if is_theirs {
                self.learn(&shown.chat, shown.permanent).await
            } else {
                let notes = vec![shelf::gone(shelf::shown_key(&shown.chat, shown.permanent))];
                let batch = Batch { notes, ..Batch::default() };
                self.far.commit(&self.network, batch).await.map(drop).map_err(failed)
            };
            done = taken.and(done);
        }
        done
    }

    async fn decide(&self, step: Step<'_>) -> Result<(), CommandError> {
        let _alone = self.live.deciding().lock().await;
        self.apply(step).await
    }

    /// The key that whoever holds this one now would have had as somebody new.
    async fn fresh(&self, chat: &str) -> Result<String, FarError> {
        let name = self.name_of(chat).await?;
        let (uin, generation) = (self.live.uin().or(self.live.rest().uin), self.live.generation());
        Ok(name.map_or_else(
            || format!("{chat}-{generation}"),
            |name| new_key(&self.network, uin.unwrap_or(0), generation, &name),
        ))
    }

    /// The key of whoever has this name in the present login.
    async fn key_of(&self, user_name: &UserName) -> Result<Option<String>, FarError> {
        let value = self.far.note(&self.network, &name_note(self.live.generation(), user_name)).await?;
        let named = value.and_then(|value| serde_json::from_slice::<Named>(&value).ok());
        Ok(named.map(|named| named.key))
    }

    async fn name_of(&self, chat: &str) -> Result<Option<UserName>, FarError> {
        crate::roster::lasting(&*self.far, &self.network, chat, self.live.generation()).await
    }

    /// Carries a lesson out: the posts said meanwhile first, then, with no batch under way, whoever
    /// goes by another key and what is kept. Whoever calls it decides alone. What is known is read again when no
    /// batch is under way: a sync may have seen something newer of somebody while posts were moved.
    async fn apply(&self, step: Step<'_>) -> Result<(), CommandError> {
        let mut moved = HashMap::new();
        let taught = self.taught(step).await?;
        self.move_all(&taught, &mut moved).await.map_err(failed)?;
        let _alone = self.live.settling().lock().await;
        let taught = self.taught(step).await?;
        self.move_all(&taught, &mut moved).await.map_err(failed)?;
        let mut batch = self.carried_out(&taught).await.map_err(failed)?;
        if let Step::Learn { chat, permanent } = step {
            batch.posts = self.notices(&taught).await.map_err(failed)?;
            batch.notes.push(shelf::gone(shelf::shown_key(chat, permanent)));
        }
        self.far.commit(&self.network, batch).await.map_err(failed)?;
        self.live.who_changed();
        Ok(())
    }

    /// All that a lesson changes. Everything is read as it was before: a note that is written for one record is never
    /// what is read of another.
    async fn carried_out(&self, taught: &Taught) -> Result<Batch, FarError> {
        let Taught { before, book, lesson, .. } = taught;
        let mut batch = Batch { notes: shelf::changes(before, book), ..Batch::default() };
        let ends = lesson.ends();
        let is_taken = |key: &str| ends.iter().any(|(_, to)| *to == key);
        for (from, to) in &ends {
            let left = Left { stood_apart: taught.stood_apart(from), is_taken: is_taken(from) };
            self.rename(&mut batch, book, (from, to), left).await?;
        }
        for (ids, is_open) in [(&lesson.settled, false), (&lesson.reopened, true)] {
            for id in ids {
                self.mark(&mut batch, id, is_open).await?;
            }
        }
        Ok(batch)
    }

    /// What would be known after a step, or why it cannot be taken.
    async fn taught(&self, step: Step<'_>) -> Result<Taught, CommandError> {
        let before = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let mut fresh = HashMap::new();
        for id in step.may_leave(&before) {
            let key = self.fresh(&id).await.map_err(failed)?;
            fresh.insert(id, key);
        }
        let mut book = before.clone();
        let lesson = step.take(&mut book, &fresh)?;
        Ok(Taught { before, fresh, book, lesson })
    }

    /// The session name behind `from` stands for `to` from now on.
    async fn rename(
        &self,
        batch: &mut Batch,
        book: &Book,
        (from, to): (&str, &str),
        left: Left,
    ) -> Result<(), FarError> {
        let generation = self.live.generation();
        let value = self.far.note(&self.network, &lasting_note(from)).await?;
        let lasting = value.and_then(|value| serde_json::from_slice::<Lasting>(&value).ok());
        let Some(lasting) = lasting.filter(|lasting| lasting.generation == generation) else { return Ok(()) };
        let profile = self.chat(from).await?;
        let is_open = !open_of(book, to).is_empty();
        let title = |title: &str| {
            let plain = title.strip_suffix(UNCONFIRMED).unwrap_or(title);
            if is_open { format!("{plain}{UNCONFIRMED}") } else { plain.to_owned() }
        };
        let name = &lasting.user_name;
        for key in [name_note(generation, name), stranger_note(generation, name)] {
            if let Some(named) = self.named(&key).await? {
                let named = Named { key: to.to_owned(), is_open, name: title(&named.name), ..named };
                batch.notes.push(note(key, &named));
            }
        }
        batch.notes.push(note(lasting_note(to), &lasting));
        if !left.is_taken {
            batch.notes.push(shelf::gone(lasting_note(from)));
        }
        let is_over = left.stood_apart && !left.is_taken;
        if is_over {
            batch.follows.push((from.into(), to.into()));
        }
        if let Some(profile) = profile {
            let moved = ChatProfile {
                chat: to.into(),
                title: title(&profile.title),
                is_gone: false,
                ..profile.clone()
            };
            batch.chats.push(moved);
            if is_over {
                batch.chats.push(ChatProfile { is_gone: true, members: None, ..profile });
            }
        }
        let people = self.directory.people(&self.network, &[PersonKey::from(from)]).await?;
        for person in people {
            batch.people.push(PersonProfile { person: to.into(), ..person.clone() });
            if is_over {
                batch.people.push(PersonProfile { is_contact: false, ..person });
            }
        }
        self.rename_member(batch, book, (from, to), name).await
    }

    /// In the groups of this login too, so that what they say there has the right author.
    async fn rename_member(
        &self,
        batch: &mut Batch,
        book: &Book,
        (from, to): (&str, &str),
        name: &UserName,
    ) -> Result<(), FarError> {
        let groups = book.groups.iter().filter(|group| group.members.iter().any(|member| member.id == to));
        for group in groups {
            let key = member_note(self.live.generation(), &group.id, name);
            if let Some(named) = self.named(&key).await?.filter(|named| named.key == from) {
                batch.notes.push(note(key, &Named { key: to.to_owned(), ..named }));
            }
        }
        Ok(())
    }

    /// Somebody new after all: the mark goes. Asked again: it comes back.
    async fn mark(&self, batch: &mut Batch, id: &str, is_open: bool) -> Result<(), FarError> {
        let Some(name) = self.name_of(id).await? else { return Ok(()) };
        let key = name_note(self.live.generation(), &name);
        let Some(named) = self.named(&key).await? else { return Ok(()) };
        let mut title = named.name.strip_suffix(UNCONFIRMED).unwrap_or(&named.name).to_owned();
        if is_open {
            title.push_str(UNCONFIRMED);
        }
        batch.notes.push(note(key, &Named { is_open, name: title.clone(), ..named }));
        batch.chats.extend(self.chat(id).await?.map(|profile| ChatProfile { title, ..profile }));
        Ok(())
    }

    async fn named(&self, key: &str) -> Result<Option<Named>, FarError> {
        let value = self.far.note(&self.network, key).await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    pub(super) async fn chat(&self, key: &str) -> Result<Option<ChatProfile>, FarError> {
        let chat = ChatRef { network: self.network.clone(), chat: key.into() };
        self.directory.chat(&chat).await
    }

    async fn title_of(&self, key: &str) -> Result<String, FarError> {
        Ok(self.chat(key).await?.map(|profile| profile.title).unwrap_or_default())
    }
}

/// The id by which the service knows what we know by this one, if it knows it at all.
pub(crate) fn service_id(id: &RemoteId) -> Option<MsgId> {
    let first = id.first();
    let is_one = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| MsgId::new(first))
}

/// Whether the owner is, or will be, asked of somebody in the present login whether they are this chat.
///
/// # Errors
/// When what is known cannot be read now.
pub(crate) async fn may_be_asked(
    far: &dyn FarEnd,
    network: &NetworkId,
    chat: &str,
) -> Result<bool, FarError> {
    let book = shelf::load(far, network).await?;
    let people = book.people.iter().map(|known| &known.open);
    let groups = book.groups.iter().map(|known| &known.open);
    Ok(people.chain(groups).any(|open| open.iter().any(|id| id == chat)))
}

fn open_of<'a>(book: &'a Book, id: &str) -> &'a [String] {
    let person = book.people.iter().find(|known| known.id == id).map(|known| known.open.as_slice());
    let group = || book.groups.iter().find(|known| known.id == id).map(|known| known.open.as_slice());
    person.or_else(group).unwrap_or_default()
}

#[cfg(test)]
mod tests;

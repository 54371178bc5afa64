//! After a login: the owner's answers, permanent names that messages show, and their undoing.
//!
//! What changes here is who a session name stands for, so it waits for a batch that is being
//! committed, and a batch that was translated before is translated again (`Live::who_changed`). One at a time decides
//! (`Live::deciding`), a relogin too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use wechat_proto::{MsgId, UserName};
use wxgate_contract::{
    Author, Batch, Body, Candidate, ChatKey, ChatProfile, ChatRef, CommandError, Directory, FarEnd, FarError,
    HistoryRange, NetworkId, PersonKey, PersonProfile, Post, Question, RemoteId, TimelineItem,
};
use wxgate_identity::{Book, Lesson, Why};

use super::{UNCONFIRMED, shelf};
use crate::roster::{Lasting, Named, lasting_note, member_note, name_note, new_key, note, stranger_note};
use crate::session::live::Live;

/// Posts moved at once. Chosen: a page of history.
const PAGE: usize = 200;
/// Chats that are looked through for those that spoke. Chosen: far more than a person reads.
const SPOKEN: usize = 1000;

/// Decides again after the login.
pub(crate) struct Settler {
    pub(crate) far: Arc<dyn FarEnd>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) live: Arc<Live>,
    pub(crate) network: NetworkId,
}

/// A lesson, and what was known before and after it.
struct Taught {
    before: Book,
    book: Book,
    lesson: Lesson,
}

impl Taught {
    /// The chats that stood for somebody for the time being: what was said there is theirs.
    fn moves(&self) -> impl Iterator<Item = &(String, String)> {
        self.lesson.moved.iter().filter(|(from, _)| !open_of(&self.before, from).is_empty())
    }
}

fn failed(error: FarError) -> CommandError {
    CommandError::Failed(error.to_string())
}

impl Settler {
    /// The open questions about chats that spoke, the latest first; nothing is asked about the rest.
    pub(crate) async fn questions(&self) -> Result<Vec<Question>, CommandError> {
        let book = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let spoken = self.directory.spoken(&self.network, SPOKEN).await.map_err(failed)?;
        let mut questions = Vec::new();
        for chat in &spoken {
            let open = open_of(&book, chat.chat.as_str());
            if open.is_empty() {
                continue;
            }
            let mut candidates = Vec::with_capacity(open.len());
            for id in open {
                let title = self.title(id).await?;
                let mut words = evidence(&book, id, chat.chat.as_str());
                // Of two with one name, people know which they spoke to last.
                if let Some(last) = spoken.iter().find(|known| known.chat.as_str() == id) {
                    words.push_str(&format!("; last message {}", ago(self.live.now().since(last.at))));
                }
                candidates.push(Candidate { chat: id.as_str().into(), title, evidence: words });
            }
            let title = self.title(chat.chat.as_str()).await?;
            questions.push(Question { title, chat: chat.chat.clone(), candidates });
        }
        Ok(questions)
    }

    async fn title(&self, key: &str) -> Result<String, CommandError> {
        let chat = ChatRef { network: self.network.clone(), chat: key.into() };
        let profile = self.directory.chat(&chat).await.map_err(failed)?;
        Ok(profile.map(|profile| profile.title).unwrap_or_default())
    }

    /// Why a chat is taken for who it is, in words.
    pub(crate) async fn why(&self, chat: &str) -> Result<String, CommandError> {
        let book = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let person = book.people.iter().find(|known| known.id == chat);
        let group = book.groups.iter().find(|known| known.id == chat);
        let (why, open, permanent, seen) = match (person, group) {
            (Some(known), _) => (known.why, known.open.len(), known.permanent, known.seen.login),
            (None, Some(known)) => (known.why, known.open.len(), known.permanent, known.seen.login),
            (None, None) => {
                return Err(CommandError::Refused("nothing is kept about that chat".to_owned()));
            }
        };
        if open > 0 {
            return Ok(format!("it is not settled who this is; {open} known before may be"));
        }
        let mut words = match why {
            None => "seen for the first time, or as you said".to_owned(),
            Some(why) if group.is_some() => group_words(&why),
            Some(why) => why.words(),
        };
        if permanent != 0 {
            words.push_str("; a message showed the permanent name");
        }
        if seen < book.login {
            words.push_str("; not in the present login's list");
        }
        Ok(words)
    }

    /// The owner says who an open chat is; `None`: somebody new. Final until withdrawn.
    pub(crate) async fn resolve(&self, chat: &str, same_as: Option<&str>) -> Result<(), CommandError> {
        let _alone = self.live.deciding().lock().await;
        let fresh = self.fresh(chat).await?;
        self.apply(|book| {
            let open = open_of(book, chat);
            if open.is_empty() {
                return Err(CommandError::Refused("there is no open question about that chat".to_owned()));
            }
            if let Some(to) = same_as.filter(|to| !open.iter().any(|id| id == to)) {
                return Err(CommandError::Refused(format!("{to} is none of those that the chat may be")));
            }
            Ok(book.resolve(chat, same_as, || fresh.clone()))
        })
        .await
    }

    /// Takes the last decision about a chat back: it is asked again whether they are somebody new, or who is there now
    /// goes by a new chat.
    pub(crate) async fn undo(&self, chat: &str) -> Result<(), CommandError> {
        let _alone = self.live.deciding().lock().await;
        let fresh = self.fresh(chat).await?;
        self.apply(|book| {
            let person = book.people.iter().any(|known| known.id == chat && known.seen.login == book.login);
            let group = book.groups.iter().any(|known| known.id == chat && known.seen.login == book.login);
            if !person && !group {
                return Err(CommandError::Refused("that chat is not in the present login".to_owned()));
            }
            let lesson = book.undo(chat, || fresh.clone());
            if lesson.reopened.is_empty() && fresh == chat {
                return Err(CommandError::Refused(
                    "that chat is new in this login: there is nothing to take back".to_owned(),
                ));
            }
            Ok(lesson)
        })
        .await
    }

    /// A message showed the permanent name of a chat: it proves who that is, or that it is not.
    pub(crate) async fn learn(&self, chat: &str, permanent: u64) -> Result<(), CommandError> {
        let _alone = self.live.deciding().lock().await;
        let fresh = self.fresh(chat).await?;
        self.apply(|book| Ok(book.learn(chat, permanent, || fresh.clone()))).await
    }

    /// The key that whoever holds this one now would have had as somebody new.
    async fn fresh(&self, chat: &str) -> Result<String, CommandError> {
        let name = self.name_of(chat).await.map_err(failed)?;
        let (uin, generation) = (self.live.uin().or(self.live.rest().uin), self.live.generation());
        Ok(name.map_or_else(
            || format!("{chat}-{generation}"),
            |name| new_key(&self.network, uin.unwrap_or(0), generation, &name),
        ))
    }

    async fn name_of(&self, chat: &str) -> Result<Option<UserName>, FarError> {
        crate::roster::lasting(&*self.far, &self.network, chat, self.live.generation()).await
    }

    /// Carries a lesson out: the posts said meanwhile first, then, with no batch under way, whoever
    /// goes by another key and what is kept. Whoever calls it decides alone. What is known is read again when no
    /// batch is under way: a sync may have seen something newer of somebody while posts were moved.
    async fn apply(
        &self,
        change: impl Fn(&mut Book) -> Result<Lesson, CommandError>,
    ) -> Result<(), CommandError> {
        for (from, to) in self.taught(&change).await?.moves() {
            self.move_posts(from, to).await.map_err(failed)?;
        }
        let _alone = self.live.settling().lock().await;
        let taught = self.taught(&change).await?;
        for (from, to) in taught.moves() {
            self.move_posts(from, to).await.map_err(failed)?;
        }
        let Taught { before, book, lesson } = &taught;
        let mut batch = Batch { notes: shelf::changes(before, book), ..Batch::default() };
        for (from, to) in &lesson.moved {
            let was_open = !open_of(before, from).is_empty();
            self.rename(&mut batch, book, (from, to), was_open).await.map_err(failed)?;
        }
        for (ids, is_open) in [(&lesson.settled, false), (&lesson.reopened, true)] {
            for id in ids {
                self.mark(&mut batch, id, is_open).await.map_err(failed)?;
            }
        }
        self.far.commit(&self.network, batch).await.map_err(failed)?;
        self.live.who_changed();
        Ok(())
    }

    /// What would be known after a lesson, or why it cannot be given.
    async fn taught(
        &self,
        change: &impl Fn(&mut Book) -> Result<Lesson, CommandError>,
    ) -> Result<Taught, CommandError> {
        let before = shelf::load(&*self.far, &self.network).await.map_err(failed)?;
        let mut book = before.clone();
        let lesson = change(&mut book)?;
        Ok(Taught { before, book, lesson })
    }

    /// The session name behind `from` stands for `to` from now on.
    async fn rename(
        &self,
        batch: &mut Batch,
        book: &Book,
        (from, to): (&str, &str),
        was_open: bool,
    ) -> Result<(), FarError> {
        let generation = self.live.generation();
        let value = self.far.note(&self.network, &lasting_note(from)).await?;
        let lasting = value.and_then(|value| serde_json::from_slice::<Lasting>(&value).ok());
        let Some(lasting) = lasting.filter(|lasting| lasting.generation == generation) else { return Ok(()) };
        let profile = self.chat(from).await?;
        let title = |title: &str| title.strip_suffix(UNCONFIRMED).unwrap_or(title).to_owned();
        let name = &lasting.user_name;
        for key in [name_note(generation, name), stranger_note(generation, name)] {
            if let Some(named) = self.named(&key).await? {
                let named = Named { key: to.to_owned(), is_open: false, name: title(&named.name), ..named };
                batch.notes.push(note(key, &named));
            }
        }
        batch.notes.push(note(lasting_note(to), &lasting));
        batch.notes.push(shelf::gone(lasting_note(from)));
        if let Some(profile) = profile {
            let moved = ChatProfile {
                chat: to.into(),
                title: title(&profile.title),
                is_gone: false,
                ..profile.clone()
            };
            batch.chats.push(moved);
            if was_open {
                batch.chats.push(ChatProfile { is_gone: true, members: None, ..profile });
            }
        }
        let people = self.directory.people(&self.network, &[PersonKey::from(from)]).await?;
        for person in people {
            batch.people.push(PersonProfile { person: to.into(), ..person.clone() });
            if was_open {
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

    /// Says again in `to` what was said in `from`, in order. Their ids follow from the first ones,
    /// so that what was moved already is not said twice.
    pub(super) async fn move_posts(&self, from: &str, to: &str) -> Result<(), FarError> {
        let chat = ChatKey::from(from);
        let mut after = 0;
        loop {
            let page =
                self.directory.history(&self.network, Some(&chat), HistoryRange::After(after), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.seq;
            let own = &self.network;
            let said = page.iter().filter(|item| matches!(item.fate, wxgate_contract::Fate::Said));
            let posts = said.map(|item| moved(item, own, (from, to))).collect();
            self.far.commit(&self.network, Batch { posts, ..Batch::default() }).await?;
        }
    }
}

/// The id by which the service knows what we know by this one, if it knows it at all.
pub(crate) fn service_id(id: &RemoteId) -> Option<MsgId> {
    let first = id.first();
    let is_one = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| MsgId::new(first))
}

/// The same post in another chat.
fn moved(item: &TimelineItem, network: &NetworkId, (from, to): (&str, &str)) -> Post {
    let mut post = item.post.clone();
    post.remote_id = match &item.native_id {
        _ if item.origin == *network => post.remote_id.said_again(),
        // The service knows what was said through us by its own id.
        Some(native) => native.said_again(),
        None => RemoteId::from(format!("{}-{}", item.origin, post.remote_id)).said_again(),
    };
    post.chat = ChatRef { network: network.clone(), chat: to.into() };
    post.echo_of = None;
    if let Author::Person { person, .. } = &mut post.author
        && person.as_str() == from
    {
        *person = to.into();
    }
    if let Body::Recall { target: Some(target), .. } = &mut post.body {
        *target = target.said_again();
    }
    if let Some(target) = post.quote.as_mut().and_then(|quote| quote.target.as_mut()) {
        *target = target.said_again();
    }
    post
}

fn open_of<'a>(book: &'a Book, id: &str) -> &'a [String] {
    let person = book.people.iter().find(|known| known.id == id).map(|known| known.open.as_slice());
    let group = || book.groups.iter().find(|known| known.id == id).map(|known| known.open.as_slice());
    person.or_else(group).unwrap_or_default()
}

/// How long ago something was, as people say it.
fn ago(past: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (count, unit) = match past.as_secs() {
        0..MINUTE => return "just now".to_owned(),
        seconds @ MINUTE..HOUR => (seconds / MINUTE, "minute"),
        seconds @ HOUR..DAY => (seconds / HOUR, "hour"),
        seconds => (seconds / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// What speaks for and against `was` being `now`.
fn evidence(book: &Book, was: &str, now: &str) -> String {
    let person = |id: &str| book.people.iter().find(|known| known.id == id);
    let group = |id: &str| book.groups.iter().find(|known| known.id == id);
    match (person(was), person(now), group(was), group(now)) {
        (Some(was), Some(now), ..) => Why::between(&was.sight, &now.sight).words(),
        (.., Some(was), Some(now)) => {
            let ids: HashMap<&str, ()> = was.members.iter().map(|member| (member.id.as_str(), ())).collect();
            let both = now.members.iter().filter(|member| ids.contains_key(member.id.as_str())).count();
            let title = if was.sight.title == now.sight.title { "the same name" } else { "another name" };
            format!("{title}, {both} of {} members", was.members.len())
        }
        _ => "nothing is kept to compare".to_owned(),
    }
}

fn group_words(why: &Why) -> String {
    let version = if why.version { "the record is untouched; " } else { "" };
    format!("{version}{} members in both lists", why.shared)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wechat_proto::Contact;
    use wxgate_contract::conformance::{Double, FixedClock};
    use wxgate_contract::{BoxFuture, Committed, DeliveryId, Health, Outcome, SignInStep};
    use wxgate_identity::{Profile, Seen, Sight};

    use super::*;

    /// A far end that lets others go on at each call, as a store does.
    struct Yielding(Double);

    impl FarEnd for Yielding {
        fn commit<'a>(
            &'a self,
            network: &'a NetworkId,
            batch: Batch,
        ) -> BoxFuture<'a, Result<Committed, FarError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                self.0.commit(network, batch).await
            })
        }

        fn settle<'a>(
            &'a self,
            network: &'a NetworkId,
            delivery: DeliveryId,
            outcome: Outcome,
        ) -> BoxFuture<'a, Result<(), FarError>> {
            self.0.settle(network, delivery, outcome)
        }

        fn note<'a>(
            &'a self,
            network: &'a NetworkId,
            key: &'a str,
        ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                self.0.note(network, key).await
            })
        }

        fn notes_of<'a>(
            &'a self,
            network: &'a NetworkId,
            keys: &'a [String],
        ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
            self.0.notes_of(network, keys)
        }

        fn notes<'a>(
            &'a self,
            network: &'a NetworkId,
            prefix: &'a str,
            after: Option<&'a str>,
            limit: usize,
        ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                self.0.notes(network, prefix, after, limit).await
            })
        }

        fn health(&self, network: &NetworkId, health: Health) {
            self.0.health(network, health);
        }

        fn sign_in(&self, network: &NetworkId, step: SignInStep) {
            self.0.sign_in(network, step);
        }
    }

    #[tokio::test]
    async fn of_two_answers_at_once_that_name_the_same_person_one_counts() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        let profile = |id: &str, login: u32, open: &[&str]| Profile {
            open: open.iter().map(|id| (*id).to_owned()).collect(),
            ..Profile::new(
                id.to_owned(),
                Sight::of(&Contact::default(), 0),
                Seen { login, ..Seen::default() },
            )
        };
        let book = Book {
            uin: 1,
            login: 2,
            people: vec![
                profile("p-old", 1, &[]),
                profile("p-one", 2, &["p-old"]),
                profile("p-two", 2, &["p-old"]),
            ],
            ..Book::default()
        };
        let mut notes = shelf::changes(&Book::default(), &book);
        notes.push(shelf::head_note(&book));
        double.commit(&network, Batch { notes, ..Batch::default() }).await.unwrap();
        let clock = FixedClock::at(1_700_000_000_000);
        let rng = rand::SeedableRng::seed_from_u64(1);
        let settler = Settler {
            far: Arc::new(Yielding(double.clone())),
            directory: Arc::new(double.clone()),
            live: Arc::new(Live::new(clock, wechat_proto::Profile::Desktop, "en_US", rng)),
            network: network.clone(),
        };
        let answer = |chat: &'static str| settler.resolve(chat, Some("p-old"));
        let both: [Result<(), CommandError>; 2] = tokio::join!(answer("p-one"), answer("p-two")).into();
        let refused = |answer: &&Result<(), CommandError>| matches!(answer, Err(CommandError::Refused(_)));
        assert!(both[0].is_ok(), "{both:?}");
        assert_eq!(both.iter().filter(refused).count(), 1, "two people on one chat: {both:?}");
        let known = shelf::load(&double, &network).await.unwrap();
        let mut ids: Vec<&str> = known.people.iter().map(|known| known.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["p-old", "p-two"]);
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        let seconds = [0, 59, 60, 3_599, 3_600, 7_200, 86_400, 40 * 86_400];
        let words = seconds.map(|seconds| ago(Duration::from_secs(seconds)));
        let expected = [
            "just now",
            "just now",
            "1 minute ago",
            "59 minutes ago",
            "1 hour ago",
            "2 hours ago",
            "1 day ago",
            "40 days ago",
        ];
        assert_eq!(words, expected);
    }
}

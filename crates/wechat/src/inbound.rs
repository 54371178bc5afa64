//! What a sync brought → one batch: contacts first, then messages, in the service's order.
//!
//! Between the poll's wake-up and the commit there is nothing but the sync itself, unless somebody
//! speaks whom nobody knows yet; then names are fetched for a few seconds, and when that fails the
//! message is delivered with what is at hand.

mod again;
mod app;
pub(crate) mod fetch;
pub(crate) mod media;
mod people;
mod permanent;
mod system;
mod text;
mod unnamed;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use ring::digest;
use tokio::time::Instant;
use wechat_proto::endpoint::Changes;
use wechat_proto::message::{Body as Said, Message, Sender, Status};
use wechat_proto::{UserName, message};
use wxgate_contract::{
    Author, Body, ChatKey, ChatRef, Directory, FarError, MediaId, NetworkId, PersonKey, Post, RemoteId,
    Timestamp,
};

use crate::asked::keep_request;
use crate::identity::refresh;
use crate::outbound::unanswered::Unanswered;
use crate::roster::record::{Keys, Login, Mark, put_group, put_person};
use crate::roster::{Draft, Fresh, Kind, Named, OWNER, Roster, member_note, name_note, stranger_note};
use crate::session::hold::Reason;
use crate::session::live::Live;
use crate::transport::Transport;
use unnamed::Unnamed;

/// Turns sync answers into batches.
pub(crate) struct Inbound {
    pub(crate) roster: Roster,
    transport: Arc<Transport>,
    live: Arc<Live>,
    network: NetworkId,
    unanswered: Arc<Unanswered>,
    directory: Arc<dyn Directory>,
    unnamed: Unnamed,
    /// Chats about which the owner was told in this run that it is not settled who they are.
    asked: HashSet<String>,
    max_media_bytes: u64,
}

/// A body with what stands beside it in a post.
#[derive(Debug)]
struct Content {
    body: Body,
    quote: Option<wxgate_contract::Quote>,
}

impl From<Body> for Content {
    fn from(body: Body) -> Self {
        Self { body, quote: None }
    }
}

/// Where a message belongs, in lasting keys.
struct Place<'a> {
    login: &'a Login<'a>,
    media: MediaId,
    max_media_bytes: u64,
}

impl Inbound {
    pub(crate) fn new(
        roster: Roster,
        transport: Arc<Transport>,
        live: Arc<Live>,
        network: NetworkId,
        unanswered: Arc<Unanswered>,
        (directory, max_media_bytes): (Arc<dyn Directory>, u64),
    ) -> Self {
        Self {
            roster,
            transport,
            live,
            network,
            unanswered,
            directory,
            unnamed: Unnamed::default(),
            asked: HashSet::new(),
            max_media_bytes,
        }
    }

    /// The batch for a sync answer, without the notes of the session.
    ///
    /// Order: profile, deleted, modified, messages. Source: the protocol sheet, section 2.12, rule 4.
    pub(crate) async fn translate(&mut self, changes: Changes) -> Result<Draft, FarError> {
        let mut draft = Draft::default();
        self.apply_profile(&changes, &mut draft);
        let network = self.network.clone();
        let live = Arc::clone(&self.live);
        let login = Login::of(&network, &live);
        let own = login.own.user_name.clone();

        let decoded: Vec<Message> = changes
            .messages
            .iter()
            .map(|raw| message::decode(raw, &own, message::DecodeOptions::default()))
            .collect();
        let mut stale: BTreeSet<UserName> = BTreeSet::new();
        for message in &decoded {
            match &message.body {
                // Names in system texts are hints; the room itself is the truth.
                Said::System(text) if text.event.changes_room() && message.chat.is_room() => {
                    stale.insert(message.chat.clone());
                }
                Said::Status(Status::Chats(names)) => {
                    stale.extend(
                        self.unknown(&draft, &login, names.iter().filter(|name| name.is_room())).await?,
                    );
                }
                _ => {}
            }
        }
        self.apply_deleted(&changes, &login, &mut draft).await?;
        self.apply_modified(&changes, &login, &mut draft, &mut stale).await?;
        stale.extend(self.strangers(&draft, &login, &decoded).await?);
        if let Some(asked) = self.fetch_names(stale, &login, &mut draft).await? {
            // A group that came without whoever spoke in it is as good as none.
            let still = self.strangers(&draft, &login, &decoded).await?;
            let is_named = |(name, came): &(UserName, bool)| *came && !still.contains(name);
            let (named, unnamed): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_named);
            self.unnamed.named(named.iter().map(|(name, _)| name));
            self.unnamed.rest(unnamed.iter().map(|(name, _)| name), Instant::now());
        }

        for message in &decoded {
            self.learn_names(message, &login, &mut draft).await?;
        }
        self.apply_read(&decoded, &login, &mut draft).await?;
        for (at, message) in decoded.into_iter().enumerate() {
            if let Some(post) = self.post(&message, changes.messages.get(at), &login, &mut draft).await? {
                draft.batch.posts.push(post);
            }
        }
        draft.batch.asks = draft.open.iter().any(|chat| !self.asked.contains(chat));
        Ok(draft)
    }

    /// A draft is on disk.
    pub(crate) fn committed(&mut self, fresh: Fresh) {
        self.unanswered.take(&fresh.echoes);
        self.asked.extend(fresh.open.iter().cloned());
        self.roster.remember(fresh);
    }

    /// Chats that were opened on the phone: they are read up to then.
    async fn apply_read(
        &mut self,
        messages: &[Message],
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        for message in messages {
            let Said::Status(Status::Opened(chat)) = &message.body else { continue };
            if !login.is_own(chat) {
                // That one the service sends by itself, after a sign-in.
                self.live.release(|reason| reason == Reason::PhoneOff);
            }
            let key = name_note(login.generation, chat);
            if let Some(named) = self.roster.look_up(draft, vec![key.clone()]).await?.remove(&key) {
                let at = Timestamp(message.created_s.saturating_mul(1000));
                draft.batch.read.push((ChatKey::from(named.key.as_str()), at));
            }
        }
        Ok(())
    }

    /// Chats and speakers of these messages that nobody knows yet, as names to fetch: the group
    /// for a member, because its answer carries all members.
    async fn strangers(
        &mut self,
        draft: &Draft,
        login: &Login<'_>,
        messages: &[Message],
    ) -> Result<Vec<UserName>, FarError> {
        let shown: Vec<&Message> = messages.iter().filter(|message| is_shown(message)).collect();
        let chats = shown.iter().map(|message| &message.chat).filter(|chat| !login.is_own(chat));
        let mut unknown = self.unknown(draft, login, chats).await?;
        let mut members: Vec<(String, UserName)> = Vec::new();
        let names = shown.iter().map(|message| name_note(login.generation, &message.chat)).collect();
        let rooms = self.roster.look_up(draft, names).await?;
        for message in shown {
            let Sender::Member(sender) = &message.sender else { continue };
            let Some(room) = rooms.get(&name_note(login.generation, &message.chat)) else { continue };
            if room.is_gone {
                // Somebody speaks in it: we are in it again, and nobody said so.
                unknown.push(message.chat.clone());
            }
            members.push((member_note(login.generation, &room.key, sender), message.chat.clone()));
        }
        let known = self.roster.look_up(draft, members.iter().map(|(key, _)| key.clone()).collect()).await?;
        unknown.extend(members.into_iter().filter(|(key, _)| !known.contains_key(key)).map(|(_, room)| room));
        Ok(unknown)
    }

    async fn unknown<'a>(
        &mut self,
        draft: &Draft,
        login: &Login<'_>,
        names: impl Iterator<Item = &'a UserName>,
    ) -> Result<Vec<UserName>, FarError> {
        let names: BTreeSet<&UserName> = names.collect();
        let keys = names.iter().map(|name| name_note(login.generation, name)).collect();
        let known = self.roster.look_up(draft, keys).await?;
        Ok(names
            .into_iter()
            .filter(|n| !known.contains_key(&name_note(login.generation, n)))
            .cloned()
            .collect())
    }

    async fn post(
        &mut self,
        message: &Message,
        raw: Option<&wechat_proto::RawMessage>,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<Option<Post>, FarError> {
        if !is_shown(message) {
            return Ok(None);
        }
        let chat = self.chat_of(&message.chat, login, draft).await?;
        let remote_id = remote_id(message, raw);
        let media = media_id(&self.network, &remote_id);
        let place = Place { login, media, max_media_bytes: self.max_media_bytes };
        let Some(Content { mut body, quote }) = content(message, &place, draft) else { return Ok(None) };
        if let Body::Text { text } = &mut body
            && message.sender == Sender::Peer
            && matches!(chat.kind, Kind::Official | Kind::System)
        {
            *text = text::with_links(text);
        }
        if let Body::Recall { target: target @ None, .. } = &mut body {
            *target = self.last_own(&chat.key, draft).await?;
        }
        if let Said::FriendRequest(request) = &message.body {
            let at = Timestamp(message.created_s.saturating_mul(1000));
            let place = (self.roster.far(), &self.network, login.generation);
            let kept = keep_request(place, &remote_id, (request, at), &draft.batch.notes).await?;
            draft.batch.notes.extend(kept);
        }
        let author = self.author(message, &chat, login, draft).await?;
        let mentions = match &body {
            Body::Text { text } if message.chat.is_room() && text.contains('@') => {
                let members = self.roster.gather(draft, login.generation, &chat.key).await?;
                text::mentions(text, &chat, &login.own, members)
            }
            _ => Vec::new(),
        };
        let echo_of = if message.sender == Sender::Own {
            self.unanswered.echo(&remote_id, message, &draft.echoes)
        } else {
            None
        };
        draft.echoes.extend(echo_of.map(|(ticket, _)| ticket));
        if message.sender == Sender::Own && echo_of.is_none() {
            // The owner said it on the phone.
            self.live.release(|reason| reason == Reason::PhoneOff);
        }
        if chat.is_open {
            draft.open.push(chat.key.clone());
        }
        Ok(Some(Post {
            remote_id,
            chat: ChatRef { network: self.network.clone(), chat: ChatKey::from(chat.key.as_str()) },
            author,
            at: Timestamp(message.created_s.saturating_mul(1000)),
            body,
            quote,
            mentions,
            echo_of: echo_of.map(|(_, delivery)| delivery),
        }))
    }

    async fn author(
        &mut self,
        message: &Message,
        chat: &Named,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<Author, FarError> {
        let person = |named: &Named| Author::Person {
            person: PersonKey::from(named.key.as_str()),
            name: named.name.clone(),
        };
        Ok(match &message.sender {
            _ if matches!(message.body, Said::System(_)) => Author::Network,
            Sender::Own => Author::Owner,
            Sender::Peer => person(chat),
            Sender::Unknown => Author::Network,
            Sender::Member(name) => {
                let (in_room, anywhere, stranger) = (
                    member_note(login.generation, &chat.key, name),
                    name_note(login.generation, name),
                    stranger_note(login.generation, name),
                );
                let keys = vec![in_room.clone(), anywhere.clone(), stranger.clone()];
                let mut known = self.roster.look_up(draft, keys).await?;
                let known = [in_room, anywhere, stranger].iter().find_map(|key| known.remove(key));
                match known {
                    Some(named) => person(&named),
                    None => {
                        Author::Person { person: PersonKey::from(login.key_for(name)), name: String::new() }
                    }
                }
            }
        })
    }

    /// The chat of a message; somebody whom even fetching did not make known gets a record of
    /// their own, so that the chat can be answered, and is looked at again with the list of contacts.
    async fn chat_of(
        &mut self,
        name: &UserName,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<Named, FarError> {
        if login.is_own(name) {
            people::put_self_chat(draft, login);
            return Ok(Named::new(OWNER, Kind::Person, login.own.nickname.clone()));
        }
        let key = name_note(login.generation, name);
        if let Some(named) = self.roster.look_up(draft, vec![key.clone()]).await?.remove(&key) {
            return Ok(named);
        }
        let record = wechat_proto::Contact { user_name: name.clone(), ..Default::default() };
        let lasting = login.key_for(name);
        draft.has_unlisted |= !name.survives_login();
        let at_s = self.live.now().ms() / 1000;
        if name.is_room() {
            put_group(draft, login, (&lasting, Mark::Sure), &record, None, &Keys::default());
            let place = (lasting.as_str(), &login.own.user_name);
            draft.batch.notes.push(refresh::group(None, place, &record, |_| String::new(), at_s));
        } else {
            put_person(draft, login, (&lasting, Mark::Sure, None), &record);
            if !name.survives_login() {
                draft.batch.notes.push(refresh::person(None, &lasting, &record, at_s));
            }
        }
        let known = self.roster.look_up(draft, vec![key.clone()]).await?.remove(&key);
        Ok(known.unwrap_or_else(|| Named::new(lasting, crate::roster::record::kind_of(&record), "")))
    }
}

/// Whether a message is something that people see.
///
/// Source: the protocol sheet, sections 3.8, 4.13 and 7 (item 57).
fn is_shown(message: &Message) -> bool {
    let is_silent = match &message.body {
        Said::Status(_) | Said::ServiceNotice | Said::OtherSystem => true,
        Said::FriendRequest(request) => request.is_own,
        _ => false,
    };
    !is_silent && !message.chat.is_hidden() && !message.chat.is_empty()
}

/// What a message says; `None` for what nobody is to see.
fn content(message: &Message, place: &Place<'_>, draft: &mut Draft) -> Option<Content> {
    Some(match &message.body {
        Said::Text { text, quote } => text::content(text, quote.as_ref()),
        Said::Image(image) => media::image(message, image, place, draft).into(),
        Said::Voice(voice) => media::voice(message, voice, place, draft).into(),
        Said::Video(video) => media::video(message, video, place, draft).into(),
        Said::Sticker(sticker) => media::sticker(message, sticker, place, draft).into(),
        Said::App(made) => app::content(message, made, place, draft),
        Said::Location(location) => app::location(location).into(),
        Said::Card(card) | Said::Recommendation(card) => app::name_card(card).into(),
        Said::FriendRequest(request) => {
            Body::FriendRequest { name: request.card.nick_name.clone(), greeting: request.greeting.clone() }
                .into()
        }
        Said::Call(event) => app::call(*event).into(),
        Said::News(articles) => app::articles(articles).into(),
        Said::System(text) => system::content(text, &place.login.own).into(),
        Said::Revoke(revoke) => system::recall(revoke).into(),
        Said::Unsupported(what) => system::unsupported(what).into(),
        Said::Status(_) | Said::ServiceNotice | Said::OtherSystem => return None,
    })
}

/// The id of a message; one that came without gets one from its content, so that the same message
/// handed over twice is one post.
fn remote_id(message: &Message, raw: Option<&wechat_proto::RawMessage>) -> RemoteId {
    if !message.id.is_empty() {
        return RemoteId::from(message.id.as_str());
    }
    let mut context = digest::Context::new(&digest::SHA256);
    if let Some(raw) = raw {
        for part in [
            raw.from_user_name.as_str(),
            raw.to_user_name.as_str(),
            &raw.create_time.to_string(),
            &raw.content,
        ] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
    }
    let hash = context.finish();
    let hex: String = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    RemoteId::from(format!("no-id-{hex}"))
}

/// Derived, so that the same post names the same bytes each time it is handed over.
fn media_id(network: &NetworkId, remote_id: &RemoteId) -> MediaId {
    let hash = digest::digest(&digest::SHA256, format!("{network}\0{remote_id}").as_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    MediaId(id)
}

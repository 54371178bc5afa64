//! How far the person has read, for all their clients. Source: IRCv3 draft/read-marker.

use bytes::Bytes;
use wxgate_contract::{Batch, ChatKey, Note, Timestamp};

use super::caps::Caps;
use super::commands::Turn;
use super::names;
use super::registry::ClientId;
use super::roster::ChannelIx;
use super::session::Session;
use super::shared::ReadMark;
use super::stamp;
use crate::wire::message::Line;

/// Marks beyond which nobody who is not there gets one. Chosen: more chats than anybody has.
const MAX_MARKS: usize = 20_000;

/// What the mark of a local channel is kept under.
fn local_key(name: &str) -> ChatKey {
    ChatKey::new(format!("local/{}", crate::wire::casemap::fold(name)))
}

/// A mark as clients read it; `*` where there is none.
fn written(mark: Option<Timestamp>) -> String {
    mark.map_or_else(|| "*".to_owned(), |at| format!("timestamp={}", stamp::server_time(at)))
}

impl Session {
    pub(super) fn load_mark(&mut self, chat: &ChatKey, value: &[u8]) {
        let ms = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        if let Some(ms) = ms {
            self.marks.insert(chat.clone(), Timestamp(ms));
        }
    }

    /// `MARKREAD target [timestamp=…]`.
    pub(super) async fn markread(&mut self, turn: &Turn<'_>) {
        let id = turn.client;
        let name = turn.param(0).to_owned();
        if name.is_empty() {
            return self.fails(id, "MARKREAD", "NEED_MORE_PARAMS", &[], "Missing parameters");
        }
        let Some(chat) = self.mark_key(&name) else {
            if turn.message.param(1).is_none() {
                // Nothing is known of it, and nothing was read there. Source: IRCv3 draft/read-marker.
                return self.tell_mark(id, &name, None);
            }
            return self.fails(id, "MARKREAD", "INVALID_PARAMS", &[&name], "There is no such chat");
        };
        let before = self.marks.get(&chat).copied();
        let Some(given) = turn.message.param(1) else {
            return self.tell_mark(id, &name, before);
        };
        let Some(at) = given.strip_prefix("timestamp=").and_then(stamp::parse) else {
            return self.fails(id, "MARKREAD", "INVALID_PARAMS", &[&name, given], "This is no timestamp");
        };
        if before.is_some_and(|before| at <= before) {
            // It only moves forward; the client learns where it stands.
            return self.tell_mark(id, &name, before);
        }
        if let Err(error) = self.keep_mark(&chat, at).await {
            let text = format!("The mark could not be stored: {error}");
            return self.fails(id, "MARKREAD", "INTERNAL_ERROR", &[&name], &text);
        }
        self.tell_read(&chat, at);
        self.marks.insert(chat, at);
        for client in self.client_ids() {
            self.tell_mark(client, &name, Some(at));
        }
    }

    async fn keep_mark(&self, chat: &ChatKey, at: Timestamp) -> Result<(), super::session::Unstored> {
        if self.key.guest.is_some() {
            return Ok(());
        }
        let key = self.roster.note_key("read", chat.as_str());
        let notes = vec![Note { key, value: Some(Bytes::from(at.ms().to_string())), is_secret: false }];
        self.commit(Batch { notes, ..Batch::default() }).await
    }

    /// Tells the account that its owner has read a chat; windows that are no chats stay here. The
    /// answer says nothing that anybody waits for, so nobody does.
    fn tell_read(&mut self, chat: &ChatKey, at: Timestamp) {
        let Some(account) = self.account().cloned() else { return };
        let is_chat = self.roster.by_chat(chat).is_some() || self.roster.by_private_chat(chat).is_some();
        if is_chat {
            // Full means that the phone learns it with the next mark.
            let _ = self.shared.marks.try_send(ReadMark { account, chat: chat.clone(), at });
        }
    }

    /// The owner has read a chat on another device or face.
    pub(super) async fn read_elsewhere(&mut self, chat: &ChatKey, at: Timestamp) {
        if self.marks.get(chat).is_some_and(|before| at <= *before) {
            return;
        }
        if let Err(error) = self.keep_mark(chat, at).await {
            tracing::warn!(%error, "a read mark could not be stored");
        }
        self.marks.insert(chat.clone(), at);
        let name = self.window_name(chat);
        for client in self.client_ids() {
            self.tell_mark(client, &name, Some(at));
        }
    }

    /// What the mark of a target is kept under.
    fn mark_key(&mut self, name: &str) -> Option<ChatKey> {
        if let Some(chat) = self.target(name).and_then(|target| self.chat_of(target)) {
            return Some(chat);
        }
        if name.starts_with(['#', '&']) {
            self.note_local_channels();
            let local = self.is_local(name) && self.local_who_has(name);
            return local.then(|| local_key(name));
        }
        // The service, oneself and whoever is not there now are windows too, in this session's memory.
        let is_known =
            self.who_is(name).is_some() || (names::is_valid_nick(name) && self.marks.len() < MAX_MARKS);
        is_known.then(|| ChatKey::new(format!("nick/{}", crate::wire::casemap::fold(name))))
    }

    /// The marks of local channels go along when these are renamed, from the first name to the second; what is to be
    /// written down of it.
    pub(super) fn move_marks<'a>(
        &mut self,
        renamed: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Vec<Note> {
        // All of them first: one may have the name now that another one had.
        let renamed: Vec<_> = renamed.map(|(old, new)| (local_key(old), local_key(new))).collect();
        let taken = renamed.into_iter().filter_map(|(old, new)| Some((self.marks.remove(&old)?, old, new)));
        let taken: Vec<_> = taken.collect();
        let note = |session: &Self, chat: &ChatKey, value| Note {
            key: session.roster.note_key("read", chat.as_str()),
            value,
            is_secret: false,
        };
        let mut notes: Vec<Note> = taken.iter().map(|(_, old, _)| note(self, old, None)).collect();
        for (at, _, new) in taken {
            notes.push(note(self, &new, Some(Bytes::from(at.ms().to_string()))));
            self.marks.insert(new, at);
        }
        notes
    }

    /// Of a local channel, between JOIN and the end of NAMES.
    pub(super) fn send_local_mark(&mut self, id: ClientId, name: &str) {
        let mark = self.marks.get(&local_key(name)).copied();
        self.tell_mark(id, name, mark);
    }

    fn tell_mark(&mut self, id: ClientId, name: &str, mark: Option<Timestamp>) {
        let line = Line::new().source(&self.shared.config.server_name).command("MARKREAD").param(name);
        let line = line.param(&written(mark)).build();
        if let Some(client) = self.clients.get_mut(&id).filter(|client| client.has(Caps::READ_MARKER)) {
            client.line(&line);
        }
    }

    /// Sent between JOIN and the end of NAMES.
    pub(super) fn send_mark(&mut self, id: ClientId, ix: ChannelIx) {
        let Some(channel) = self.roster.channel(ix) else { return };
        let (name, mark) = (channel.name.clone(), self.marks.get(&channel.chat).copied());
        self.tell_mark(id, &name, mark);
    }
}

//! What a client name has missed, and feeding it no faster than it reads.
//! Source: the IRC notes, section 6.

use tokio::time::Instant;
use wxgate_contract::{ChatKey, HistoryRange, TimelineItem};

use super::caps::Caps;
use super::client::{Mode, Piece};
use super::outbound::{Giving, MAX_AHEAD_BYTES, Replay, Window};
use super::registry::ClientId;
use super::session::Session;

mod gather;

pub(in crate::server) use gather::Gathered;

/// Items read at once.
const PAGE: usize = 500;

impl Session {
    /// Gives a client more of what it has not got, up to what may wait for it.
    pub(super) async fn pump(&mut self, id: ClientId) {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            if client.queue.is_ahead(MAX_AHEAD_BYTES) {
                // The writer tells when it has written.
                client.queue.wake();
                return;
            }
            match &mut client.mode {
                Mode::Live => return,
                Mode::Backlog(pieces) => match pieces.pop_front() {
                    Some(piece) => self.give_piece(id, piece).await,
                    None => {
                        let floor = client.floor_seq;
                        client.gave(floor, Instant::now());
                        client.mode = Mode::Reading;
                    }
                },
                Mode::Reading => {
                    if self.read_page(id).await == Page::Last {
                        return;
                    }
                }
            }
        }
    }

    async fn give_piece(&mut self, id: ClientId, piece: Piece) {
        let server = self.shared.config.server_name.clone();
        match piece {
            Piece::Join(ix) => self.show_joined(id, ix),
            Piece::BatchStart { reference, chat } => {
                let target = self.window_name(&chat);
                self.to(id, &format!(":{server} BATCH +{reference} chathistory {target}"));
            }
            Piece::BatchEnd(reference) => self.to(id, &format!(":{server} BATCH -{reference}")),
            Piece::Older { chat, count, is_more } => self.tell_older(id, &chat, count, is_more),
            Piece::Item(item, reference) => {
                self.give_missed(id, &item, reference.as_deref()).await;
            }
        }
    }

    /// How many older lines of a chat are not shown; of one that is out of the way nothing is said.
    fn tell_older(&mut self, id: ClientId, chat: &ChatKey, count: usize, is_more: bool) {
        if !self.is_shown(chat) {
            return;
        }
        let target = self.window_name(chat);
        let is_group = target.starts_with(['#', '&']);
        let person = self.roster.by_private_chat(chat).and_then(|ix| self.roster.person(ix));
        let source = match person.filter(|_| !is_group) {
            Some(person) => person.prefix(),
            None => self.service_prefix(),
        };
        let where_to = if is_group { &target } else { &self.nick };
        let least = if is_more { "at least " } else { "" };
        let text = format!("{least}{count} older messages not shown, \"more {target}\"");
        let line = format!(":{source} NOTICE {where_to} :{text}");
        self.to(id, &line);
    }

    /// The name of the window of a chat.
    pub(super) fn window_name(&self, chat: &ChatKey) -> String {
        if let Some(ix) = self.roster.by_chat(chat) {
            return self.channel_name(ix);
        }
        let person = self.roster.by_private_chat(chat).and_then(|ix| self.roster.person(ix));
        person.map_or_else(|| "*".to_owned(), |person| person.nick.clone())
    }

    pub(super) async fn give_missed(&mut self, id: ClientId, item: &TimelineItem, batch: Option<&str>) {
        let Some(window) = self.window(item).await else { return };
        if let Window::Channel(ix) = window
            && !self.roster.channel(ix).is_some_and(|channel| channel.is_joined)
        {
            return;
        }
        let Some(rendered) = self.render_whole(item, window, Replay(true)).await else { return };
        // Without event-playback there are messages only in such a batch. Source: IRCv3 draft/chathistory.
        let caps = self.clients.get(&id).map(|client| client.caps()).unwrap_or_default();
        let batch = batch.filter(|_| !rendered.is_redaction_for(caps) || caps.has(Caps::EVENT_PLAYBACK));
        self.give_item(id, &rendered, Giving { batch, is_replay: true, label: None });
        if let Window::Channel(ix) = window
            && let Some(channel) = self.roster.channel_mut(ix)
        {
            channel.last_post = Some(item.post_id);
        }
    }

    /// The next page of the timeline for a client that is behind.
    async fn read_page(&mut self, id: ClientId) -> Page {
        let Some(client) = self.clients.get_mut(&id) else { return Page::Last };
        let after = client.sent_seq;
        let Some(account) = self.account().cloned() else {
            self.go_live(id);
            return Page::Last;
        };
        let page = match self.shared.directory.history(&account, None, HistoryRange::After(after), PAGE).await
        {
            Ok(page) => page,
            Err(error) => {
                // It stays behind; the next line that is shown tries again, or the end of what waits.
                tracing::warn!(%error, "the timeline could not be read for a slow client");
                if let Some(client) = self.clients.get(&id) {
                    client.queue.await_drained();
                }
                return Page::Last;
            }
        };
        if page.is_empty() {
            self.go_live(id);
            return Page::Last;
        }
        for item in page {
            // Where its arrival could not be prepared, a group may speak here first.
            let mut is_muted = false;
            if let Some(window) = self.window(&item).await {
                self.is_open(window).await;
                is_muted = self.is_muted(window, &item);
            }
            if self.typed_by(&item) == Some(id) {
                self.tell_reader(&item).await;
            } else if !is_muted {
                self.give_missed(id, &item, None).await;
            }
            if let Some(client) = self.clients.get_mut(&id) {
                client.gave(item.seq, Instant::now());
            }
        }
        Page::More
    }

    /// What became of a line, to the client that typed it and comes to it in the timeline now.
    async fn tell_reader(&mut self, item: &TimelineItem) {
        let rendered = match self.window(item).await {
            Some(window) => self.render_whole(item, window, Replay(true)).await,
            None => None,
        };
        if let Some(pending) = self.pending.remove(&item.post.remote_id) {
            self.tell_sender(&pending, item, rendered.as_ref());
        }
    }

    fn go_live(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.mode = Mode::Live;
            client.floor_seq = client.floor_seq.max(client.sent_seq);
        }
    }

    /// The newest lines of one chat, on request.
    pub(super) async fn more(&mut self, id: ClientId, chat: &ChatKey, count: usize) -> Result<usize, String> {
        let Some(account) = self.account().cloned() else {
            return Err("there is no account here".to_owned());
        };
        let range = HistoryRange::Before(i64::MAX);
        let page = self.shared.directory.history(&account, Some(chat), range, count).await;
        let page = page.map_err(|error| format!("the lines cannot be read: {error}"))?;
        let with_batch = self.clients.get(&id).is_some_and(|client| client.has(Caps::BATCH));
        let reference = with_batch.then(|| format!("h{}", self.shared.next_number()));
        let shown = self.fitting_newest(&page).await;
        if let Some(reference) = &reference {
            let start = Piece::BatchStart { reference: reference.clone(), chat: chat.clone() };
            self.give_piece(id, start).await;
        }
        for item in page.iter().skip(page.len() - shown) {
            self.give_missed(id, item, reference.as_deref()).await;
        }
        if let Some(reference) = reference {
            self.give_piece(id, Piece::BatchEnd(reference)).await;
        }
        Ok(shown)
    }

    /// How many of the newest lines fit into one answer.
    async fn fitting_newest(&mut self, page: &[TimelineItem]) -> usize {
        // An answer comes on top of a quarter of the queue.
        let max_bytes = self.shared.config.limits.sendq_bytes / 2;
        let (mut count, mut bytes) = (0, 0);
        for item in page.iter().rev() {
            let window = self.window(item).await;
            bytes +=
                window.and_then(|window| self.render(item, window, Replay(true))).map_or(0, |r| r.bytes());
            if bytes > max_bytes && count > 0 {
                break;
            }
            count += 1;
        }
        count
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    More,
    Last,
}

//! What a client name has missed, and feeding it no faster than it reads.
//! Source: the IRC notes, section 6.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;
use wxgate_contract::{ChatKey, HistoryRange, TimelineItem};

use super::caps::Caps;
use super::client::{Mode, Piece};
use super::outbound::{Giving, MAX_AHEAD_BYTES, Replay, Window};
use super::registry::ClientId;
use super::session::Session;

/// Items read at once.
const PAGE: usize = 500;
/// Items looked at for one arrival. More than this behind, the counts of older lines are lower
/// bounds; the lines themselves are limited per chat anyway.
const MAX_SCANNED: usize = 10_000;
/// Items looked at for a client name that was never seen.
const MAX_SCANNED_FIRST: usize = 2_000;

/// What an arriving client gets.
pub(in crate::server) struct Gathered {
    pub(in crate::server) pieces: VecDeque<Piece>,
    /// Chats that spoke.
    pub(super) active: Vec<ChatKey>,
    pub(in crate::server) top_seq: i64,
}

#[derive(Default)]
struct Missed {
    /// Newest first.
    items: Vec<Arc<TimelineItem>>,
    older: usize,
}

impl Session {
    /// Collects what a client at `cursor` has not been given, per chat, oldest first.
    pub(super) async fn gather(&self, cursor: Option<i64>, with_batches: bool) -> Gathered {
        let mut gathered =
            Gathered { pieces: VecDeque::new(), active: Vec::new(), top_seq: cursor.unwrap_or(0) };
        let Some(account) = self.account() else { return gathered };
        let limits = &self.shared.config.limits;
        let (per_chat, max_scanned) = match cursor {
            Some(_) => (limits.replay_per_chat, MAX_SCANNED),
            None => (limits.first_replay_per_chat, MAX_SCANNED_FIRST),
        };
        let mut chats: HashMap<ChatKey, Missed> = HashMap::new();
        let mut before = i64::MAX;
        let mut scanned = 0;
        'pages: while scanned < max_scanned {
            let range = HistoryRange::Before(before);
            let page = match self.shared.directory.history(account, None, range, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "missed lines could not be read");
                    break;
                }
            };
            let count = page.len();
            scanned += count;
            before = page.first().map_or(before, |item| item.seq);
            for item in page.into_iter().rev() {
                gathered.top_seq = gathered.top_seq.max(item.seq);
                if cursor.is_some_and(|cursor| item.seq <= cursor) {
                    break 'pages;
                }
                let missed = chats.entry(item.post.chat.chat.clone()).or_default();
                if missed.items.len() < per_chat {
                    missed.items.push(Arc::new(item));
                } else {
                    missed.older += 1;
                }
            }
            if count < PAGE {
                break;
            }
        }
        gathered.active = chats.keys().cloned().collect();
        // The chat that spoke last comes last, as in a list of open windows.
        let ordered: BTreeMap<i64, (ChatKey, Missed)> = chats
            .into_iter()
            .filter_map(|(chat, missed)| Some((missed.items.first()?.seq, (chat, missed))))
            .collect();
        for (chat, missed) in ordered.into_values() {
            let reference = with_batches.then(|| format!("h{}", self.shared.next_number()));
            if missed.older > 0 && cursor.is_some() {
                gathered.pieces.push_back(Piece::Older { chat: chat.clone(), count: missed.older });
            }
            if let Some(reference) = &reference {
                gathered.pieces.push_back(Piece::BatchStart { reference: reference.clone(), chat });
            }
            let items = missed.items.into_iter().rev();
            gathered.pieces.extend(items.map(|item| Piece::Item(item, reference.clone())));
            gathered.pieces.extend(reference.map(Piece::BatchEnd));
        }
        gathered
    }

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
            Piece::Older { chat, count } => {
                let target = self.window_name(&chat);
                let where_to =
                    if target.starts_with(['#', '&']) { target.clone() } else { self.nick.clone() };
                let source = match self.roster.by_private_chat(&chat).and_then(|ix| self.roster.person(ix)) {
                    Some(person) if !target.starts_with(['#', '&']) => person.prefix(),
                    _ => self.service_prefix(),
                };
                let text = format!("{count} older messages not shown, \"more {target}\"");
                self.to(id, &format!(":{source} NOTICE {where_to} :{text}"));
            }
            Piece::Item(item, reference) => {
                self.give_missed(id, &item, reference.as_deref()).await;
            }
        }
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
        let told = self.told_in_full(item).await;
        if let Some(rendered) = self.render(told.as_ref().unwrap_or(item), window, Replay(true)) {
            self.give_item(id, &rendered, Giving { batch, is_replay: true, label: None });
        }
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
            if self.typed_by(&item) == Some(id) {
                self.tell_reader(&item).await;
            } else {
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
        let window = self.window(item).await;
        let rendered = window.and_then(|window| self.render(item, window, Replay(true)));
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
